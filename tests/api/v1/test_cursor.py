"""Cursors: they go on where they were made, with the same filters, and are none of anybody's making."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from faxgw.api.answers import Refusal
from faxgw.api.v1.cursor import Cursor, decode, encode
from faxgw.api.v1.types import Query

PATTERN = Cursor.__metadata__[0].metadata[0].pattern  # type: ignore[attr-defined]  # of the annotation


class Filters(Query):
    """Some filters."""

    state: str = ""
    limit: int = 50
    cursor: str | None = None


PLACE = (1_795_000_000.25, "FN0123456789ABCDEFGHIJ")


def test_a_cursor_leads_back_to_its_place() -> None:
    query = Filters(state="sent")
    assert decode(encode(PLACE, query), query) == PLACE
    assert decode(None, query) is None


def test_it_is_what_the_description_says_it_looks_like() -> None:
    assert re.fullmatch(PATTERN, encode(PLACE, Filters()))


def test_how_many_are_told_and_the_cursor_itself_are_no_filters() -> None:
    made = encode(PLACE, Filters(state="sent"))
    assert decode(made, Filters(state="sent", limit=7, cursor=made)) == PLACE


def test_other_filters_make_another_list() -> None:
    with pytest.raises(Refusal) as refused:
        decode(encode(PLACE, Filters(state="sent")), Filters(state="failed"))
    assert (refused.value.status, refused.value.code, refused.value.param) == (404, "unknown_cursor", "cursor")


def forged(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


PRINT = json.loads(base64.urlsafe_b64decode(encode(PLACE, Filters()) + "=="))[2]


@pytest.mark.parametrize(
    "cursor",
    [
        "A" * 16,
        "_" * 300,
        forged([]),
        forged({"at": 1}),
        forged(7),
        forged(["soon", "FN1", PRINT]),
        forged([None, "FN1", PRINT]),
        forged([1.0, 7, PRINT]),
        forged([1.0, "F" * 49, PRINT]),
        forged([1.0, "FN1"]),
    ],
)
def test_what_nobody_was_given_is_refused_and_never_a_fault(cursor: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode(cursor, Filters())
    assert refused.value.code == "unknown_cursor"
