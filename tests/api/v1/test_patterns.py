"""How texts must be written: every pattern of the API has words for people, and nobody is shown a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field, create_model

from faxgw.api import admin_models, admin_queries
from faxgw.api.answers import Refusal
from faxgw.api.v1 import account, cursor, events, fax_models, templates, webhooks
from faxgw.api.v1.patterns import OTHERWISE, WORDS, words
from faxgw.api.v1.types import Document, Query, checked

MODULES = (account, admin_models, admin_queries, cursor, events, fax_models, templates, webhooks)
GIVEN = [
    model
    for module in MODULES
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, Document | Query) and model.__module__ == module.__name__
]
"""What clients send."""


def found(shape: Any, name: str = "") -> Iterator[str]:
    """The patterns in a schema; settings are checked by rules of their own, which have words of their own."""
    if isinstance(shape, dict) and name not in ("Settings", "SettingsChange"):
        if isinstance(shape.get("pattern"), str):
            yield shape["pattern"]
        for key, inner in shape.items():
            yield from found(inner, key)
    elif isinstance(shape, list):
        for inner in shape:
            yield from found(inner)


@pytest.mark.parametrize("model", GIVEN, ids=lambda model: model.__name__)
def test_every_pattern_that_a_client_has_to_fit_has_words(model: type[BaseModel]) -> None:
    without = {pattern for pattern in found(model.model_json_schema()) if pattern not in WORDS}
    assert not without


def test_all_models_are_looked_at() -> None:
    assert {"FaxNew", "Resend", "FaxQuery", "WebhookNew", "CustomerNew", "RuleNew"} <= {m.__name__ for m in GIVEN}
    assert len({pattern for model in GIVEN for pattern in found(model.model_json_schema())}) > 15


@pytest.mark.parametrize("pattern", WORDS)
def test_the_words_are_told_and_the_pattern_is_not(pattern: str) -> None:
    model = create_model("Model", __base__=Document, text=(str, Field(pattern=pattern)))
    with pytest.raises(Refusal) as refused:
        checked(model, {"text": "\x01/\\"})
    faults = refused.value.members["faults"]
    assert faults == [{"param": "text", "detail": WORDS[pattern]}]
    assert pattern not in refused.value.detail and "^" not in refused.value.detail
    assert refused.value.detail == f"text: {WORDS[pattern]}."


@pytest.mark.parametrize("pattern", [one for one in WORDS if "such as" in WORDS[one]])
def test_the_examples_are_written_as_they_must_be(pattern: str) -> None:
    for example in WORDS[pattern].split("such as ")[1].partition(";")[0].split(" or "):
        assert re.search(pattern, example), example


def test_a_pattern_without_words_is_not_shown_either() -> None:
    assert words("^x$") == OTHERWISE
