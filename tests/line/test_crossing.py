"""Calls that we place, where things cross or never come: hang-ups in each phase, late marks, dead workers, bounds."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import Answered
from faxgw.foip.transaction import Address
from faxgw.line import call as module
from faxgw.line.sip import SipLine
from faxgw.line.trunk import TrunkSettings
from faxgw.settings import Duration
from tests.line.far_end import FarEnd, Marks, until
from tests.line.test_sip import FAKE, dial, settings, trunk


@pytest.fixture
async def far() -> AsyncIterator[FarEnd]:
    async with FarEnd() as far_end:
        yield far_end


@pytest.fixture
async def line(far: FarEnd) -> AsyncIterator[SipLine]:
    made = SipLine(settings(), [trunk(far)], FAKE)
    await made.start()
    yield made
    await made.stop()


class SlowMarks(Marks):
    """`answered` becomes durable when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()

    async def answered(self, dialog: Mapping[str, object]) -> bool:
        await self.may_answer.wait()
        return await super().answered(dialog)


async def test_a_hang_up_that_crosses_the_answer_begins_no_fax(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wish is seen before the answer, which the agent has taken in already: neither CANCEL fits nor media."""
    listen = line._endpoint.listen

    def crossed(call: object, inbox: asyncio.Queue[object]) -> None:
        class Crossing(asyncio.Queue[object]):
            def put_nowait(self, item: object) -> None:
                if isinstance(item, Answered):
                    line._calls["att_1"].hang_up(Cause.CANCELLED, "cancelled during the call")
                inbox.put_nowait(item)

        listen(call, Crossing())  # type: ignore[arg-type]

    monkeypatch.setattr(line._endpoint, "listen", crossed)
    marks = Marks()
    outcome = await dial(line, marks)
    assert (outcome.cause, outcome.exposed) == (Cause.CANCELLED, False)
    assert "phase_b" not in marks.phases
    await until(lambda: bool(far.ended))


async def test_a_hang_up_before_the_answer_is_durable_begins_no_fax(line: SipLine, far: FarEnd) -> None:
    marks = SlowMarks()
    call = asyncio.create_task(dial(line, marks))
    await marks.until("answered")
    await line.hangup("att_1")
    await asyncio.sleep(0)
    marks.may_answer.set()
    outcome = await call
    assert (outcome.cause, outcome.exposed) == (Cause.CANCELLED, False)
    assert "phase_b" not in marks.phases
    assert far.ended


async def test_a_mark_that_never_comes_ends_the_call(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWERED_WITHIN", 0.2)
    monkeypatch.setattr("faxgw.line.outgoing.ANSWERED_WITHIN", 0.2)
    marks = SlowMarks()
    call = asyncio.create_task(dial(line, marks))
    await until(lambda: bool(far.ended))
    marks.may_answer.set()
    outcome = await call
    assert outcome.cause is Cause.LINE_FAULT
    assert "not committed in time" in outcome.detail
    assert "phase_b" not in marks.phases


async def test_a_worker_that_never_ends_the_call_is_told_to(line: SipLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_WITHIN", 0.2)
    outcome = await dial(line, script="hold")
    assert outcome.cause is Cause.LINE_FAULT
    assert "the call worker did not end the call" in outcome.detail


async def test_a_hang_up_while_the_trunk_is_looked_up_lets_no_invite_leave(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = asyncio.Event()
    reach = line._endpoint.reach

    async def slow(address: Address) -> None:
        await found.wait()
        await reach(address)

    monkeypatch.setattr(line._endpoint, "reach", slow)
    call = asyncio.create_task(dial(line))
    await asyncio.sleep(0.05)
    await line.hangup("att_1")
    found.set()
    outcome = await call
    assert (outcome.cause, outcome.connected) == (Cause.CANCELLED, False)
    await asyncio.sleep(0.05)
    assert far.log == []


async def test_the_last_word_of_a_worker_counts_though_we_were_late_to_hear_it(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirmation that waits in the pipe while our own loop stands still is no doubt."""
    monkeypatch.setattr(module, "PHASE_E_WITHIN", 0.2)
    marks = Marks()
    calls: list[object] = []
    far.after_ack = calls.append
    call = asyncio.create_task(dial(line, marks, "lastword", pages=1))
    await marks.until("page")
    await asyncio.sleep(0.1)
    live = line._calls["att_1"]
    hang_up = live._media.hang_up

    def then_stand_still() -> bool:
        told = hang_up()
        asyncio.get_running_loop().call_soon(time.sleep, 0.5)
        return told

    monkeypatch.setattr(live._media, "hang_up", then_stand_still)
    far.hang_up(calls[0])  # type: ignore[arg-type]
    outcome = await call
    assert marks.log[-1] == "confirmed lastword-FN1 1"
    assert outcome.cause is Cause.OK


async def test_workers_that_die_one_after_the_other_end_the_call(far: FarEnd) -> None:
    line = SipLine(settings(), [trunk(far, ring_time=Duration(20))], (sys.executable, "-c", "pass"))
    await line.start()
    try:
        outcome = await dial(line, number="+180")
    finally:
        await line.stop()
    assert (outcome.cause, outcome.connected, outcome.worker_died) == (Cause.LINE_FAULT, False, False)
    assert "one after the other" in outcome.detail


async def test_a_worker_that_dies_while_the_answer_is_committed_is_replaced(line: SipLine) -> None:
    marks = SlowMarks()
    call = asyncio.create_task(dial(line, marks))
    await marks.until("answered")
    line._workers._workers[0]._kill("the test")
    marks.may_answer.set()
    outcome = await call
    assert (outcome.cause, outcome.worker_died) == (Cause.OK, False)


async def test_our_proposal_of_t38_waits_for_a_change_of_the_far_ends(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 3261 section 14.1: no re-INVITE while another is under way; carriers move the audio right after the ACK."""
    monkeypatch.setattr(module, "PROPOSE_AGAIN", 0.1)
    agent = line._endpoint.agent
    reinvite, busy = agent.reinvite, [True]

    def once_busy(*arguments: object) -> None:
        if busy:
            busy.clear()
            raise LocalProtocolError("no re-INVITE now")
        reinvite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(agent), "reinvite", lambda _agent, *arguments: once_busy(*arguments))
    outcome = await dial(line, script="ced")
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")


async def test_t38_accepted_without_media_goes_back_to_audio(line: SipLine, far: FarEnd) -> None:
    """A 200 whose `m=image` line has port 0 leaves the session without media: audio is offered again."""
    far.empty_t38 = True
    outcome = await dial(line, script="ced")
    assert (outcome.cause, outcome.transport) == (Cause.OK, "g711")
    assert far.offers[-1].audio is not None


async def test_a_worker_that_stays_in_audio_takes_the_call_back_there(line: SipLine, far: FarEnd) -> None:
    """Phase B and the far end's T.38 crossed (SwitchRefused): audio is offered as soon as its re-INVITE is done."""
    far.after_ack = far.propose_t38
    outcome = await dial(line, script="stays")
    assert (outcome.cause, outcome.transport) == (Cause.OK, "g711")
    assert "phase B came before T.38" in outcome.detail
    assert [sdp.t38 is not None for sdp in far.offers[1:]] == [True, False]


@pytest.mark.parametrize("how", ["refused", "never free"])
async def test_no_way_back_to_audio_ends_the_call_so_that_it_is_tried_again(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    far.after_ack = far.propose_t38
    far.refuse_audio = True
    if how == "never free":
        monkeypatch.setattr(module, "RETURN_WITHIN", 0.2)
        monkeypatch.setattr(module, "PROPOSE_AGAIN", 0.05)

        def busy(*_arguments: object) -> None:
            raise LocalProtocolError("no re-INVITE now")

        monkeypatch.setattr(type(line._endpoint.agent), "reinvite", reinvite_of(line, far, busy))
    outcome = await dial(line, script="stays")
    assert outcome.cause is Cause.MEDIA_LOST
    assert {"refused": "audio refused with 488", "never free": "no way back to audio"}[how] in outcome.detail
    await until(lambda: bool(far.ended))


def reinvite_of(line: SipLine, far: FarEnd, ours: Callable[..., None]) -> Callable[..., None]:
    """`reinvite` of the far end's agent as it is, of the line's agent `ours`."""
    real = type(far.endpoint.agent).reinvite
    return lambda agent, *given: ours() if agent is line._endpoint.agent else real(agent, *given)


async def test_an_engine_that_says_no_goodbye_is_hung_up_on(line: SipLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are confirmed: the fax is sent, whatever keeps the engine."""
    monkeypatch.setattr("faxgw.line.outgoing.PARTING_WITHIN", 0.2)
    outcome = await dial(line, script="lingers")
    assert outcome.cause is Cause.OK
    assert "the fax engine did not say goodbye" in outcome.detail


async def test_retry_after_is_told(line: SipLine) -> None:
    outcome = await dial(line, number="+503")
    assert (outcome.cause, outcome.sip_status, outcome.retry_after) == (Cause.CARRIER_FAULT, 503, 120.0)


async def test_a_trunk_that_the_system_sends_nothing_to_fails_at_once(far: FarEnd) -> None:
    """No ICMP comes for what never left: here a broadcast address, elsewhere a network without a route."""
    line = SipLine(settings(), [TrunkSettings(name="t", host="255.255.255.255", ring_time=Duration(20))], FAKE)
    await line.start()
    try:
        outcome = await dial(line)
    finally:
        await line.stop()
    assert (outcome.cause, outcome.sip_status) == (Cause.CARRIER_FAULT, 503)
    assert outcome.ended_at - outcome.started_at < 2
