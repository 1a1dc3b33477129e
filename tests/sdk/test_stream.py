"""Server-sent events, line by line (WHATWG HTML section 9.2.6)."""

from __future__ import annotations

import pytest

from faxgw.sdk.stream import MAX_LINE, EventReader


def fed(reader: EventReader, *lines: str) -> list[object]:
    return [event for line in lines if (event := reader.feed(line)) is not None]


def test_comments_and_the_hello_are_no_events() -> None:
    reader = EventReader()
    assert fed(reader, ": ping", "", "event: ready", "data: {}", "id: 3", "") == []
    assert reader.last == "3", "but from there on it goes on"


def test_retry_is_in_milliseconds_and_nonsense_changes_nothing() -> None:
    reader = EventReader()
    fed(reader, "retry: 1500", "retry: soon", "retry: -1")
    assert reader.retry == 1.5


def test_an_event_that_is_not_ended_does_not_count() -> None:
    """The connection broke within it: it comes again, from the one before."""
    reader = EventReader("5")
    assert fed(reader, "id: 6", "event: fax.sent", 'data: {"half":') == []
    assert reader.last == "5"


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="without end"):
        EventReader().feed("x" * (MAX_LINE + 1))
