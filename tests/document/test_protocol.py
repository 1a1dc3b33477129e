"""Messages between daemon, server and child."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.document import protocol
from faxgw.document.protocol import BadMessage
from faxgw.document.types import (
    ComposeOptions,
    Document,
    Ignored,
    Kind,
    Overlay,
    PageFacts,
    Reason,
    Refused,
    Rendered,
    Resolution,
    Walked,
)
from faxgw.fax.header import HeaderContext
from faxgw.fax.overlay import OverlayMode

WALKED = Walked((Document(7, "a.pdf", Kind.PDF), Document(9, "b.txt", None, "utf-8")), "s", "<1>", (Ignored("x", "y"),))
RENDERED = Rendered(7, (PageFacts(1728, 2286, 100, 0.25),), Resolution.FINE, None)
COMPOSE = ComposeOptions(
    HeaderContext(datetime(2026, 1, 1, tzinfo=UTC)),
    "%P",
    marked=(1, 2),
    resolution=Resolution.FINE,
    overlay=Overlay(5, OverlayMode.LAST_PAGE, 2),
)
REFUSED = Refused(Reason.EMPTY, "Nothing.", "a.pdf", 3)


def through(item: object) -> tuple[Any, list[int]]:
    descriptors: list[int] = []

    def place(descriptor: int) -> int:
        descriptors.append(descriptor)
        return len(descriptors) - 1

    message = protocol.unpack(protocol.pack({"type": "x", "value": protocol.plain(item, place)}))
    return message["value"], descriptors


@pytest.mark.parametrize("item", [WALKED, RENDERED, COMPOSE, REFUSED], ids=lambda item: type(item).__name__)
def test_values_come_through(item: object) -> None:
    plain, descriptors = through(item)
    assert protocol.value(type(item), plain, descriptors) == item


def test_descriptors_travel_as_indexes() -> None:
    plain, descriptors = through(WALKED)
    assert descriptors == [7, 9]
    assert [document["fd"] for document in plain["documents"]] == [0, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"fd": 1},
        {"fd": -1},
        {"fd": "0"},
        {"fd": True},
        {"fd": None},
        {"pages": None},
        {"pages": [1]},
        {"pages": [{}]},
        {"resolution": "finest"},
        {"more": 1},
    ],
)
def test_what_is_no_such_value_is_refused(change: dict[str, object]) -> None:
    """A child that was taken over can send wrong facts, but nothing that is not facts."""
    plain, descriptors = through(RENDERED)
    with pytest.raises(BadMessage):
        protocol.value(Rendered, {**plain, **change}, descriptors)


def test_a_missing_field_is_refused() -> None:
    plain, descriptors = through(REFUSED)
    del plain["public"]
    with pytest.raises(BadMessage):
        protocol.value(Refused, plain, descriptors)


@given(st.binary(max_size=200))
def test_any_octets_are_a_message_or_refused(payload: bytes) -> None:
    try:
        message = protocol.unpack(payload)
    except BadMessage:
        return
    assert isinstance(message["type"], str)
