"""Recordings of our own calls, replayed: the same ladder and the same page come out (docs/calls.md)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faxgw.foip.control import Confirmed, PageReceived
from faxgw.foip.recording import Medium, Recording
from faxgw.foip.t30_frames import name
from tests.interop.capture import PAGE, frames
from tests.interop.record import CALLER, NUMBER, RECEIVED, record
from tests.interop.replay import agreed_t38, as_capture, load, named, replayed
from tests.t30.conftest import pixels

BOTH = pytest.mark.parametrize("recorded", ["recorded-sending", "recorded-receiving"])


def ladder(recorded: Recording) -> list[str]:
    return [direction + name(frame) for _at, direction, frame in frames(as_capture(recorded))]


@BOTH
def test_a_replay_climbs_the_recorded_ladder(recorded: str) -> None:
    """What the far end sent leads a fresh engine through the very frames of the recorded call."""
    call = named(recorded)
    then = ladder(call)
    assert then[-1].endswith("DCN") and ("<MCF" in then) is call.header.sending
    with replayed(call, PAGE.read_bytes() if call.header.sending else None) as daemon:
        assert daemon.frames == then
        assert daemon.result.code == 0


def test_a_sent_page_is_confirmed_again() -> None:
    with replayed(named("recorded-sending"), PAGE.read_bytes()) as daemon:
        assert [(confirmed.fax, confirmed.page) for confirmed in daemon.of(Confirmed)] == [("FN1", 1)]


def test_a_received_page_is_received_again() -> None:
    with replayed(named("recorded-receiving"), None) as daemon:
        (page,) = daemon.of(PageReceived)
        assert (page.bad_rows, page.last) == (0, True)
        assert [pixels(octets) for octets in daemon.pages] == [pixels(PAGE.read_bytes())]


def test_a_far_end_that_falls_silent_in_the_recording_does_so_in_the_replay() -> None:
    """The recording cut before the page's answer: no page is confirmed, whatever our side does."""
    call = named("recorded-sending")
    answers = [at for at, way, frame in frames(as_capture(call)) if way == "<" and name(frame) == "MCF"]
    end = call.header.began + answers[0] - 1.5
    cut = replace(call, entries=tuple(entry for entry in call.entries if entry.at < end))
    with replayed(cut, PAGE.read_bytes()) as daemon:
        assert daemon.of(Confirmed) == []
        assert daemon.result.code != 0


@pytest.mark.realtime
async def test_new_recordings_can_be_made(tmp_path: Path) -> None:
    """`python -m tests.interop.record`: real calls on loopback; what they leave replays."""
    for made in await record(tmp_path, tmp_path / "received"):
        call = load(made)
        with replayed(call, PAGE.read_bytes() if call.header.sending else None) as daemon:
            assert daemon.frames == ladder(call)


@BOTH
def test_a_recording_has_the_whole_call_and_no_real_number(recorded: str) -> None:
    call = named(recorded)
    first, *_rest = call.entries
    assert first.octets.startswith(b"INVITE") and first.ours is call.header.sending
    assert {(e.medium, e.ours) for e in call.entries} >= {(Medium.UDPTL, True), (Medium.UDPTL, False)}
    assert call.header.complete
    assert agreed_t38(call) is not None
    assert call.entries[-1].octets.startswith(b"SIP/2.0 200") and b"BYE" in call.entries[-1].octets
    assert {call.header.number, call.header.caller} <= {NUMBER, RECEIVED, CALLER}
