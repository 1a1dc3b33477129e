"""What is stored of a call's course."""

from __future__ import annotations

import pytest

from faxgw.dispatch import trace
from faxgw.dispatch.trace import trace_rows
from faxgw.fax.outcome import Cause, Outcome


def test_frames_messages_and_notes_stand_in_the_order_of_time() -> None:
    outcome = Outcome(
        Cause.OK,
        frames=((6.0, "<", b"\xff\x13\x80"), (7.0, ">", b"\xff\xc8\x82")),
        steps=((0.0, ">", "INVITE"), (6.5, "=", "a note"), (9.0, ">", "BYE")),
    )
    assert trace_rows(outcome, lambda frame: f"frame {frame[2]:x}") == [
        (0.0, ">", "", "INVITE"),
        (6.0, "<", "ff1380", "frame 80"),
        (6.5, "=", "", "a note"),
        (7.0, ">", "ffc882", "frame 82"),
        (9.0, ">", "", "BYE"),
    ]


def test_of_a_long_call_the_middle_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end tells most: why the call ended."""
    monkeypatch.setattr(trace, "MAX_ROWS", 100)
    monkeypatch.setattr(trace, "LAST_ROWS", 30)
    frames = tuple((float(at), ">", b"\xff\xc8\x8c") for at in range(500))
    rows = trace_rows(Outcome(Cause.OK, frames=frames, steps=((500.0, ">", "BYE"),)), bytes.hex)
    assert len(rows) == 100
    assert rows[69] == (69.0, "=", "", "402 entries are left out here")
    assert rows[-1] == (500.0, ">", "", "BYE")
    assert rows[68][0] == 68.0 and rows[70][0] == 471.0
