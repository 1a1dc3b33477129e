"""What a call leaves to be looked at: its SIP messages, its notes, its recording (docs/calls.md)."""

from __future__ import annotations

import asyncio

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip import recording
from faxgw.foip.recording import Medium
from faxgw.line.sip import SipLine
from tests.line.far_end import FarEnd
from tests.line.test_recordings import Keeper
from tests.line.test_sip import FAKE, dial, far, line, settings, trunk

__all__ = ["far", "line"]


async def test_the_outcome_tells_what_was_said_in_sip_and_when(line: SipLine) -> None:
    """Times count from the INVITE; our frames too, though the worker counts from its own beginning."""
    outcome = await dial(line)
    said = [(way, words.partition(",")[0]) for _at, way, words in outcome.steps if way != "="]
    assert said[0] == (">", "INVITE")
    assert ("<", "200 OK to INVITE") in said and (">", "ACK") in said
    assert {words for _way, words in said[-2:]} == {"BYE", "200 OK to BYE"}
    times = [at for at, _way, _words in outcome.steps]
    assert times == sorted(times) and 0 <= times[0] < 0.5
    acknowledged = next(at for at, _way, words in outcome.steps if words == "ACK")
    assert all(at >= acknowledged for at, _way, _frame in outcome.frames)


async def test_a_refusal_is_told_too(line: SipLine) -> None:
    outcome = await dial(line, number="+486")
    assert outcome.cause is Cause.BUSY
    assert [words.partition(",")[0] for _at, _way, words in outcome.steps][-2:] == ["486 Busy Here to INVITE", "ACK"]


async def test_notes_say_which_page_was_confirmed(line: SipLine) -> None:
    outcome = await dial(line)
    notes = [words for _at, way, words in outcome.steps if way == "="]
    assert [note.partition(",")[0] for note in notes if note.startswith("page")] == [
        "page 1 confirmed", "page 2 confirmed",
    ]  # fmt: skip


async def test_two_calls_at_once_see_their_own_messages_only(line: SipLine) -> None:
    first, second = await asyncio.gather(dial(line), dial(line, number="+486", attempt="att_2"))
    assert not any("486" in words for _at, _way, words in first.steps)
    assert sum(words.startswith("INVITE") for _at, _way, words in second.steps) == 1


@pytest.mark.parametrize(
    "mode, script, kept", [("all", "ok", True), ("failed", "ok", False), ("failed", "crash", True)]
)
async def test_a_recording_outlives_the_call_and_its_worker(far: FarEnd, mode: str, script: str, kept: bool) -> None:
    """The worker that crashes takes nothing of the recording with it."""
    keeper = Keeper()
    made = SipLine(settings(record=mode), [trunk(far)], FAKE)
    await made.start()
    made.record_to(keeper)
    try:
        outcome = await dial(made, script=script)
        assert (outcome.cause is Cause.OK) is (script == "ok")
    finally:
        await made.stop()
    assert bool(keeper.kept) is kept
    if kept:
        read = recording.decode(keeper.kept["att_1"])
        assert (read.header.number, read.header.trunk, read.header.sending) == ("+200", "t", True)
        sip = [entry.octets.split(b" ")[0] for entry in read.entries if entry.medium is Medium.SIP]
        assert sip[0] == b"INVITE" and b"BYE" in sip
