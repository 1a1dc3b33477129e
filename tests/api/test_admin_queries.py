"""Parameters of the administration: what is not known, not whole or out of its bounds is refused by its name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from faxgw.api import admin_queries as module
from faxgw.api.v1.types import Query

EVERY = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Query) and one is not Query]


@pytest.mark.parametrize("query", EVERY, ids=lambda query: query.__name__)
def test_an_unknown_parameter_is_refused(query: type[Query]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        query.model_validate({"no_such_parameter": "1"})


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        (module.Part, "limit", "ten"),
        (module.Part, "limit", "-1"),
        (module.Part, "limit", "1" * 19),
        (module.Part, "after", "x" * 321),
        (module.EndingPapers, "days", "3651"),
        (module.PaperNew, "until", "-1"),
        (module.Preview, "page", "0"),
        (module.Preview, "language", "it"),
        (module.Given, "given", ["<script>"]),
        (module.Given, "given", ["a"] * 100),
        (module.DryRun, "dry_run", "yes"),
        (module.AuditPart, "since", "x" * 41),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_name(query: type[Query], name: str, value: object) -> None:
    whole = {"kind": "consent"} if query is module.PaperNew else {}
    query.model_validate(whole)
    with pytest.raises(ValidationError) as refused:
        query.model_validate({**whole, name: value})
    assert refused.value.errors()[0]["loc"][0] == name


def test_digits_of_an_address_are_a_number() -> None:
    assert module.Part.model_validate({"limit": "25"}).limit == 25
