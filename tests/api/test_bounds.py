"""Everything that a client may send has a bound: generated from the descriptions that the gateway serves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from re import _parser as regex  # type: ignore[attr-defined]  # its only public form compiles, and tells no length
from typing import Any

import pytest

from faxgw.fax.account import SETTINGS
from tests.api.offices import offices
from tests.api.test_openapi import description
from tests.house import House

LONGEST = 1_000_000
"""Characters or items that still are a bound."""
BY_THE_BODY = ("binary", "base64")
"""Files: bounded by what the operation takes in all, 413."""


def is_bounded(shape: dict[str, Any]) -> bool:
    """Whether a text can be only so long."""
    if "enum" in shape or "const" in shape or shape.get("format") in ("time-zone", *BY_THE_BODY):
        return True
    if shape.get("contentEncoding") in BY_THE_BODY or shape.get("maxLength", LONGEST) < LONGEST:
        return True
    pattern = shape.get("pattern", "")
    whole = pattern.startswith("^") and pattern.endswith("$")
    return whole and int(regex.parse(pattern).getwidth()[1]) < LONGEST


def unbounded(shape: Any, document: Any, where: str, seen: set[str]) -> Iterator[str]:
    """Places in a schema where something may grow for ever."""
    if not isinstance(shape, dict):
        return
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from unbounded(document["components"]["schemas"][name], document, name, seen)
        return
    kinds = shape.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    for one in (*shape.get("anyOf", ()), *shape.get("oneOf", ())):
        if "required" not in one:  # else a condition on what is described beside it
            yield from unbounded(one, document, where, seen)
    if "string" in kinds and not is_bounded(shape):
        yield f"{where}: a text"
    if "array" in kinds:
        if shape.get("maxItems", LONGEST) >= LONGEST:
            yield f"{where}: a list"
        yield from unbounded(shape.get("items"), document, f"{where}[]", seen)
    if "object" in kinds:
        for name, inner in shape.get("properties", {}).items():
            yield from unbounded(inner, document, f"{where}.{name}", seen)
        others = shape.get("additionalProperties", True)
        if others is not False and shape.get("maxProperties", LONGEST) >= LONGEST:
            yield f"{where}: an object"
        for inner in (others, *shape.get("patternProperties", {}).values()):
            yield from unbounded(inner, document, f"{where}.*", seen)


def all_unbounded(document: Any) -> set[str]:
    """The same of everything that is sent: parameters, header fields, bodies."""
    found: set[str] = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            what = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", ()):
                found |= set(unbounded(parameter["schema"], document, f"{what} {parameter['name']}", set()))
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                found |= set(unbounded(content.get("schema"), document, f"{what} {media}", set()))
    return found


def test_nothing_that_is_sent_to_the_native_api_may_grow_for_ever() -> None:
    document = description()
    assert all_unbounded(document) == set()
    assert len(document["paths"]) > 30


@pytest.mark.asyncio(loop_scope="session")
async def test_nothing_that_is_sent_to_the_administration_may_grow_for_ever(house: House) -> None:
    async with (
        offices(house) as made,
        made.desk.client.get("/api/v1/admin/openapi.json", headers=dict(made.auth)) as answer,
    ):
        document = json.loads(await answer.read())
    assert all_unbounded(document) == set()
    assert len(document["paths"]) > 30


@pytest.mark.parametrize("key", SETTINGS)
def test_no_setting_may_grow_for_ever(key: str) -> None:
    """Whichever way it is written: the settings file, the command line, HTTP, a directory, a command in a subject."""
    assert list(unbounded(dict(SETTINGS[key].shape), {}, key, set())) == []


@pytest.mark.parametrize("key", [key for key, setting in SETTINGS.items() if setting.shape["type"] == "array"])
def test_a_list_longer_than_its_bound_is_refused(key: str) -> None:
    setting = SETTINGS[key]
    most, item = setting.shape["maxItems"], _one(setting.shape["items"])
    assert len(setting.check([item] * most)) <= most
    with pytest.raises(ValueError, match=r"at most|1 to 12"):
        setting.check([item] * (most + 1))


def _one(shape: Any) -> Any:
    """Something that fits an item's schema."""
    if "enum" in shape:
        return shape["enum"][0]
    if shape["type"] == "integer":
        return shape["minimum"]
    samples = ("FR", "fra", "+33199", "a@x.example", "FromName=Ann", "+33*")
    return next(one for one in samples if re.fullmatch(shape["pattern"], one))
