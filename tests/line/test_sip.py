"""The SIP line against a far end of our own and a worker without an engine: signalling, marks, endings."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallPlan
from faxgw.foip.events import By
from faxgw.line.ports import PortRange
from faxgw.line.sip import LineNotStarted, SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener
from tests.foip.wire import AUDIO
from tests.line.far_end import FarEnd, Marks, plan, until

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
PORTS = PortRange(21000, 21999)


def settings(**changes: object) -> SipSettings:
    values: dict[str, object] = {
        "listen": Listener("127.0.0.1", 0), "media_ports": PORTS, "t38_wait": Duration(0.05), **changes,
    }  # fmt: skip
    return SipSettings(**values)  # type: ignore[arg-type]


def trunk(far: FarEnd, **changes: object) -> TrunkSettings:
    values: dict[str, object] = {"name": "t", "host": "127.0.0.1", "port": far.port, "ring_time": Duration(0.6)}
    return TrunkSettings(**{**values, **changes})  # type: ignore[arg-type]


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


async def send(line: SipLine, marks: Marks, made: CallPlan) -> Outcome:
    try:
        async with asyncio.timeout(60):
            return await line.call(made, marks)
    finally:
        for document in made.documents:
            os.close(document.descriptor)


async def dial(line: SipLine, marks: Marks | None = None, script: str = "ok", **options: object) -> Outcome:
    return await send(line, marks or Marks(), plan(line.new_identity("t"), script=script, **options))  # type: ignore[arg-type]


async def test_a_fax_is_sent_with_each_mark_in_its_order(line: SipLine, far: FarEnd) -> None:
    marks = Marks()
    outcome = await dial(line, marks)
    assert outcome.cause is Cause.OK
    assert marks.log == ["answered", "exposed ok-FN1 1", "confirmed ok-FN1 1", "confirmed ok-FN1 2"]
    assert (outcome.connected, outcome.exposed, outcome.doubtful) == (True, True, False)
    assert (outcome.transport, outcome.bit_rate, outcome.ecm, outcome.encoding) == ("g711", 14400, True, "MMR")
    assert outcome.remote_ident == "far end"
    assert outcome.answered_at is not None
    assert outcome.started_at <= outcome.answered_at <= outcome.ended_at
    assert [name for _at, _direction, name in outcome.frames] == [b"\xff\xc8\x2e", b"\xff\xc8\x8c"] * 2
    assert marks.dialog["call_id"]
    assert far.log == ["call +200 from +33100000000", "Acknowledged", "Ended"]
    assert [ended.by for ended in far.ended] == [By.REMOTE]
    assert marks.phases[:3] == ["dialling", "answered", "phase_b"]


@pytest.mark.parametrize(
    ("number", "cause", "status", "q850"),
    [("+486", Cause.BUSY, 486, 17), ("+404", Cause.WRONG_NUMBER, 404, None)],
)
async def test_a_refusal_is_named(line: SipLine, number: str, cause: Cause, status: int, q850: int | None) -> None:
    marks = Marks()
    outcome = await dial(line, marks, number=number)
    assert (outcome.cause, outcome.sip_status, outcome.q850, outcome.connected) == (cause, status, q850, False)
    assert marks.log == []


async def test_a_call_nobody_takes_is_cancelled(line: SipLine, far: FarEnd) -> None:
    outcome = await dial(line, number="+180")
    assert outcome.cause is Cause.NO_ANSWER
    assert not outcome.connected
    assert far.log[-1] == "Ended"


async def test_a_far_end_for_standard_resolution_gets_nothing_and_asks_for_another_call(line: SipLine) -> None:
    """The dispatcher composes the pages at standard resolution and calls again at once (`resume`)."""
    marks = Marks()
    outcome = await dial(line, marks, "toofine")
    assert (outcome.cause, outcome.t30_code, outcome.resume) == (Cause.NO_COMMON_MODE, 11, True)
    assert (outcome.connected, outcome.exposed, outcome.doubtful) == (True, False, False)
    assert outcome.remote_ident == "far end"
    assert marks.log == ["answered"]


async def test_the_sub_address_of_the_plan_goes_to_the_worker(line: SipLine) -> None:
    outcome = await dial(line, script="sub", sub_address="4711")
    assert outcome.remote_ident == "sub 4711"
    assert "the far end takes no sub-address: none was sent" in outcome.detail


async def test_the_owner_cancels_while_it_rings(line: SipLine, far: FarEnd) -> None:
    marks = Marks()
    call = asyncio.create_task(dial(line, marks, number="+180"))
    await marks.until("ringing")
    await line.hangup("att_1")
    assert (await call).cause is Cause.CANCELLED
    await line.hangup("att_1")
    assert far.ended[0].why == "cancel"


async def test_the_owner_cancels_during_the_fax(line: SipLine, far: FarEnd) -> None:
    marks = Marks()
    call = asyncio.create_task(dial(line, marks, "hold"))
    await marks.until("page")
    await asyncio.sleep(0.1)
    await line.hangup("att_1")
    outcome = await call
    assert (outcome.cause, outcome.exposed, outcome.doubtful) == (Cause.CANCELLED, True, True)
    assert far.ended[0].why == "bye"


async def test_the_far_end_proposes_t38(line: SipLine, far: FarEnd) -> None:
    far.after_ack = far.propose_t38
    outcome = await dial(line, script="wait")
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
    assert far.offers[-1].t38 is not None
    assert far.offers[-1].t38.port % 2 == 0


@pytest.mark.parametrize("tone", ["ced", "v21"])
async def test_we_propose_t38_when_the_far_end_does_not(line: SipLine, far: FarEnd, tone: str) -> None:
    """docs/transport.md D.3 rule 1."""
    outcome = await dial(line, script=tone)
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
    assert "Reoffered" in far.log


async def test_refused_t38_stays_in_audio(line: SipLine, far: FarEnd) -> None:
    """docs/transport.md D.3 rule 3; the far end then moves its audio, which the worker must hear of."""
    far.refuse_t38 = True
    far.after_refusal = far.propose_audio_when_free
    outcome = await dial(line, script="ced")
    assert (outcome.cause, outcome.transport) == (Cause.OK, "g711")
    assert far.log.count("Reoffered") == 1
    assert outcome.detail == "T.38 refused with 488"


async def test_t38_is_refused_once_the_fax_runs_in_audio(line: SipLine, far: FarEnd) -> None:
    """docs/transport.md D.3 rule 2: never swap after phase B."""
    marks = Marks()
    calls: list[object] = []
    far.after_ack = calls.append
    call = asyncio.create_task(dial(line, marks, "hold"))
    await marks.until("page")
    far.propose_t38(calls[0])  # type: ignore[arg-type]
    await until(lambda: "refused 488" in far.log)
    await line.hangup("att_1")
    await call


async def test_a_trunk_without_t38_neither_proposes_nor_takes_it(far: FarEnd) -> None:
    line = SipLine(settings(), [trunk(far, t38=False)], FAKE)
    await line.start()
    try:
        far.after_ack = far.propose_t38
        call = asyncio.create_task(dial(line, script="ced"))
        await until(lambda: "refused 488" in far.log)
        await line.hangup("att_1")
        await call
    finally:
        await line.stop()
    assert "Reoffered" not in far.log


async def test_back_to_audio_at_the_end_is_accepted(line: SipLine, far: FarEnd) -> None:
    """docs/transport.md D.3 rule 4: accept, no new fax; BYE follows."""
    marks = Marks()
    calls: list[object] = []

    def start(call: object) -> None:
        calls.append(call)
        far.propose_t38(call)  # type: ignore[arg-type]

    far.after_ack = start
    call = asyncio.create_task(dial(line, marks, "wait"))
    await marks.until("page")
    far.propose_audio(calls[0])  # type: ignore[arg-type]
    outcome = await call
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")


async def test_the_far_end_hangs_up_in_the_middle(line: SipLine, far: FarEnd) -> None:
    marks = Marks()
    calls: list[object] = []
    far.after_ack = calls.append
    call = asyncio.create_task(dial(line, marks, "hold", pages=3))
    await until(lambda: "confirmed hold-FN1 2" in marks.log)
    await asyncio.sleep(0.1)
    far.hang_up(calls[0])  # type: ignore[arg-type]
    outcome = await call
    assert outcome.doubtful
    assert outcome.cause is Cause.LAST_PAGE_NOT_CONFIRMED
    assert outcome.t30_code == 49


async def test_the_far_end_hangs_up_before_any_fax(line: SipLine, far: FarEnd) -> None:
    far.after_ack = far.hang_up
    outcome = await dial(line, script="wait")
    assert (outcome.cause, outcome.connected, outcome.exposed) == (Cause.HUNG_UP_BEFORE_FAX, True, False)


async def test_a_last_page_without_confirmation_is_not_sent(line: SipLine) -> None:
    marks = Marks()
    outcome = await dial(line, marks, "silent")
    assert (outcome.cause, outcome.doubtful) == (Cause.LAST_PAGE_NOT_CONFIRMED, True)
    assert marks.log[-1] == "confirmed silent-FN1 1"


async def test_a_result_of_ok_without_the_last_confirmation_is_not_believed(line: SipLine) -> None:
    """docs/transport.md J.7 rule 6: RTN for the last page ends with code 0."""
    outcome = await dial(line, script="rtn")
    assert (outcome.cause, outcome.t30_code, outcome.doubtful) == (Cause.BAD_LINES, 0, False)


@pytest.mark.parametrize("mark", ["answered", "exposed", "confirmed"])
@pytest.mark.parametrize("how", ["refuse", "broken"])
async def test_a_mark_that_is_not_durable_ends_the_call(line: SipLine, far: FarEnd, mark: str, how: str) -> None:
    marks = Marks(**{how: mark})
    outcome = await dial(line, marks)
    assert outcome.cause is Cause.LINE_FAULT
    assert mark in outcome.detail
    assert outcome.exposed == (mark == "confirmed")
    assert not any(entry.startswith("confirmed") for entry in marks.log)
    await until(lambda: bool(far.ended))


async def test_a_worker_that_crashes_ends_its_call_and_says_so(line: SipLine, far: FarEnd) -> None:
    outcome = await dial(line, script="crash")
    assert (outcome.cause, outcome.worker_died, outcome.exposed) == (Cause.LINE_FAULT, True, False)
    assert "SIGSEGV" in outcome.detail
    assert far.ended
    assert (await dial(line)).cause is Cause.OK  # a new worker stands in


async def test_what_a_dead_worker_had_said_counts(line: SipLine) -> None:
    """Spine section 5: the pipe is read to its end first."""
    marks = Marks()
    outcome = await dial(line, marks, "crashlater", pages=1)
    assert (outcome.worker_died, outcome.exposed, outcome.doubtful) == (True, True, True)
    assert marks.log == ["answered", "exposed crashlater-FN1 1"]


async def test_a_worker_that_died_before_the_answer_is_replaced(line: SipLine, far: FarEnd) -> None:
    marks = Marks()
    [pid] = line.worker_pids
    call = asyncio.create_task(dial(line, marks, number="+300"))
    await marks.until("ringing")
    os.kill(pid, 9)
    await until(lambda: line.worker_pids not in ([pid], []))
    far.may_answer.set()
    outcome = await call
    assert (outcome.cause, outcome.worker_died) == (Cause.OK, False)


async def test_an_isolated_call_has_a_worker_of_its_own(line: SipLine) -> None:
    before = line.worker_pids
    marks = Marks()
    call = asyncio.create_task(dial(line, marks, "hold", isolated=True))
    await marks.until("page")
    assert len(line.worker_pids) == len(before) + 1
    await line.hangup("att_1")
    await call
    await until(lambda: line.worker_pids == before)


async def test_an_answer_without_usable_audio_is_refused(line: SipLine, far: FarEnd) -> None:
    far.audio_codec = ()
    outcome = await dial(line)
    assert (outcome.cause, outcome.connected) == (Cause.NO_COMMON_MODE, True)
    assert far.ended


async def test_an_answer_and_a_bye_at_once(line: SipLine, far: FarEnd) -> None:
    far.early_bye = True
    outcome = await dial(line)
    assert (outcome.cause, outcome.connected, outcome.exposed) == (Cause.HUNG_UP_BEFORE_FAX, True, False)


async def test_an_unreachable_trunk_fails_at_once(far: FarEnd) -> None:
    line = SipLine(settings(), [TrunkSettings(name="t", host="127.0.0.1", port=9)], FAKE)
    await line.start()
    try:
        outcome = await dial(line)
    finally:
        await line.stop()
    assert (outcome.cause, outcome.sip_status) == (Cause.CARRIER_FAULT, 503)
    assert outcome.ended_at - outcome.started_at < 2


async def test_a_name_that_does_not_resolve_and_a_trunk_that_is_none(far: FarEnd) -> None:
    line = SipLine(settings(), [TrunkSettings(name="t", host="no.such.host.invalid")], FAKE)
    await line.start()
    try:
        assert (await dial(line)).cause is Cause.CARRIER_FAULT
        assert (await dial(line, trunk="other")).cause is Cause.NO_ROUTE
    finally:
        await line.stop()


async def test_an_invite_that_comes_too_late_does_not_leave(line: SipLine, far: FarEnd) -> None:
    """Spine section 5: within 2 s of the commit, or not at all."""
    outcome = await dial(line, not_after=asyncio.get_running_loop().time() - 0.01)
    assert (outcome.cause, outcome.connected) == (Cause.LINE_FAULT, False)
    assert far.log == []


async def test_stopping_ends_calls_properly(far: FarEnd) -> None:
    line = SipLine(settings(), [trunk(far)], FAKE)
    await line.start()
    marks = Marks()
    call = asyncio.create_task(dial(line, marks, "hold"))
    await marks.until("page")
    await line.stop()
    outcome = await call
    assert outcome.cause is Cause.LINE_FAULT
    assert far.ended[0].by is By.REMOTE
    assert line.worker_pids == []
    assert (await dial(line)).cause is Cause.LINE_FAULT
    await line.stop()


async def test_a_cancelled_task_still_says_goodbye(line: SipLine, far: FarEnd) -> None:
    marks = Marks()
    call = asyncio.create_task(dial(line, marks, "hold"))
    await marks.until("page")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: bool(far.ended))


async def test_a_later_line_ends_calls_of_an_earlier_one(far: FarEnd) -> None:
    """Recovery: BYE with the stored dialog, CANCEL with the stored branch."""
    first = SipLine(settings(), [trunk(far, ring_time=Duration(30))], FAKE)
    await first.start()
    port = first.port
    answered, ringing = Marks(), Marks()
    identities = [first.new_identity("t"), first.new_identity("t")]
    calls = [
        asyncio.create_task(send(first, answered, plan(identities[0], script="hold", attempt="a"))),
        asyncio.create_task(send(first, ringing, plan(identities[1], number="+180", attempt="b"))),
    ]
    await answered.until("page")
    await ringing.until("ringing")
    first._endpoint.cut_off()  # dies without a word
    await asyncio.sleep(0.05)
    second = SipLine(settings(listen=Listener("127.0.0.1", port)), [trunk(far)], FAKE)
    await second.start()
    try:
        await second.end_stranger("t", identities[0], "+200", answered.dialog)
        await second.end_stranger("t", identities[1], "+180", {})
        await second.end_stranger("gone", identities[1], "+180", {})
        await second.end_stranger("t", identities[1], "+180", {"call_id": "x"})
        await until(lambda: len(far.ended) == 2)
        assert sorted(ended.why for ended in far.ended) == ["bye", "cancel"]
    finally:
        await second.stop()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await first.stop()


async def test_calls_to_us_are_refused_as_long_as_nobody_takes_them(line: SipLine, far: FarEnd) -> None:
    inbox: asyncio.Queue[object] = asyncio.Queue()
    call = far.endpoint.agent.invite(
        far.endpoint.agent.new_identity(),
        "sip:1@127.0.0.1",
        ("127.0.0.1", line.port),
        AUDIO,
        from_="sip:2@127.0.0.1",
        now=far.endpoint.now,
    )
    far.endpoint.listen(call, inbox)
    far.endpoint.pump()
    async with asyncio.timeout(40):
        event = await inbox.get()
    assert getattr(event, "status", 0) == 480


async def test_a_port_in_use_is_told(far: FarEnd) -> None:
    line = SipLine(settings(listen=Listener("127.0.0.1", far.port)), [], FAKE)
    with pytest.raises(LineNotStarted) as caught:
        await line.start()
    assert str(far.port) in caught.value.public
    assert not caught.value.temporary
