"""Calls to us, where things cross or never come: hang-ups in each phase, late promises, dead workers, bounds."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Admission, CallProgress, Ringing
from faxgw.fax.reception import ReceivedPage
from faxgw.foip.events import Answered, CallId, Ended, Event, Rejected, Reoffered
from faxgw.foip.sdp import Origin, answer_t38
from faxgw.line import call as module
from faxgw.line import sip as sip_module
from faxgw.line.sip import SipLine
from tests.foip.wire import AUDIO
from tests.line.far_end import UDPTL_PORT, FarEnd, until
from tests.line.test_sip import FAKE, settings, trunk


class Inbound:
    """Admits every call; `script` is what the fake worker plays; each promise can be held up or broken."""

    def __init__(self, script: str = "fax") -> None:
        self.script = script
        self.log: list[str] = []
        self.phases: list[str] = []
        self.outcome: Outcome | None = None
        self.acknowledged = -1
        self.farewell = False
        self.broken = ""
        self.gates = {name: asyncio.Event() for name in ("admit", "answered", "page", "ended")}
        for gate in self.gates.values():
            gate.set()

    async def admit(self, ringing: Ringing) -> Admission | int:
        self.log.append(f"admit {ringing.dialled}")
        await self.gates["admit"].wait()
        return Admission("rcv_1", self.script, True, 14400)

    async def answered(self, reception: str) -> bool:
        return await self._promise("answered", f"answered {reception}")

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        os.fstat(descriptor)
        return await self._promise("page", f"page {page.page} {page.end}")

    def progress(self, reception: str, what: CallProgress) -> None:
        self.phases.append(what.phase)

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        self.log.append("ended")
        self.outcome, self.acknowledged, self.farewell = outcome, acknowledged, farewell
        await self.gates["ended"].wait()

    async def _promise(self, kind: str, text: str) -> bool:
        self.log.append(f"{text}?")
        await self.gates[kind].wait()
        if kind == self.broken:
            raise OSError("database gone")
        self.log.append(text)
        return True


class Caller:
    """Calls the line through the far end's listener, acknowledges, and takes T.38."""

    def __init__(self, far: FarEnd, line: SipLine) -> None:
        self._endpoint = far.endpoint
        self._port = line.port
        self.log: list[str] = []
        self.call = CallId("")
        self._task: asyncio.Task[None] | None = None

    def dial(self) -> None:
        agent = self._endpoint.agent
        target, from_ = "sip:+4989@127.0.0.1", "sip:+4930@127.0.0.1"
        destination = ("127.0.0.1", self._port)
        self.call = agent.invite(agent.new_identity(), target, destination, AUDIO, from_=from_, now=self._endpoint.now)
        inbox: asyncio.Queue[object] = asyncio.Queue()
        self._endpoint.listen(self.call, inbox)
        self._endpoint.pump()
        self._task = asyncio.create_task(self._serve(inbox), name="caller")

    async def _serve(self, inbox: asyncio.Queue[object]) -> None:
        agent = self._endpoint.agent
        while True:
            event = await inbox.get()
            assert isinstance(event, Event)
            self.log.append(f"rejected {event.status}" if isinstance(event, Rejected) else type(event).__name__)
            if isinstance(event, Answered):
                agent.acknowledge(self.call, self._endpoint.now)
            elif isinstance(event, Reoffered):
                made = answer_t38(event.offer, Origin(7, 2, "127.0.0.1"), UDPTL_PORT)
                assert made is not None
                agent.answer_reinvite(self.call, made, self._endpoint.now)
            self._endpoint.pump()
            if isinstance(event, Ended | Rejected):
                return

    def hang_up(self) -> None:
        self._endpoint.agent.bye(self.call, self._endpoint.now)
        self._endpoint.pump()

    def give_up(self) -> None:
        self._endpoint.agent.cancel(self.call, self._endpoint.now)
        self._endpoint.pump()

    async def over(self) -> None:
        assert self._task is not None
        async with asyncio.timeout(40):
            await self._task


@pytest.fixture
async def far() -> AsyncIterator[FarEnd]:
    async with FarEnd() as far_end:
        yield far_end


@pytest.fixture
async def line(far: FarEnd) -> AsyncIterator[SipLine]:
    made = SipLine(settings(), [trunk(far, peers=("127.0.0.1",))], FAKE)
    await made.start()
    yield made
    await made.stop()


def call(line: SipLine, far: FarEnd, inbound: Inbound) -> Caller:
    line.take_calls(inbound)
    caller = Caller(far, line)
    caller.dial()
    return caller


async def test_each_page_is_kept_before_it_is_acknowledged(line: SipLine, far: FarEnd) -> None:
    inbound = Inbound()
    caller = call(line, far, inbound)
    await caller.over()
    await until(lambda: "ended" in inbound.log)
    assert inbound.log == [
        "admit +4989", "answered rcv_1?", "answered rcv_1", "page 1 mps?", "page 1 mps", "page 2 eop?", "page 2 eop",
        "ended",
    ]  # fmt: skip
    assert inbound.outcome is not None
    assert (inbound.outcome.cause, inbound.acknowledged, inbound.farewell) == (Cause.OK, 2, True)
    assert (inbound.outcome.remote_ident, inbound.outcome.sub_address) == ("sender", "4711")
    assert caller.log[0] == "Answered" and caller.log[-1] == "Ended"


async def test_we_propose_t38_soon_after_the_ack(line: SipLine, far: FarEnd) -> None:
    inbound = Inbound("idle")
    caller = call(line, far, inbound)
    await until(lambda: "phase_b" in inbound.phases)
    caller.hang_up()
    await until(lambda: "ended" in inbound.log)
    assert inbound.acknowledged == 0
    assert inbound.outcome is not None and inbound.outcome.cause is Cause.REMOTE_HUNG_UP


async def test_a_page_that_is_durable_after_the_callers_bye_is_kept_but_not_acknowledged(
    line: SipLine, far: FarEnd
) -> None:
    """Its MCF cannot have left: the worker was told to hang up before."""
    inbound = Inbound()
    inbound.gates["page"].clear()
    caller = call(line, far, inbound)
    await until(lambda: "page 1 mps?" in inbound.log)
    live = next(iter(line._arriving.values()))
    end_media = live._end_media

    def then_durable() -> None:
        end_media()
        inbound.gates["page"].set()

    live._end_media = then_durable  # type: ignore[method-assign]
    caller.hang_up()
    await until(lambda: "ended" in inbound.log)
    assert "page 1 mps" in inbound.log
    assert inbound.acknowledged == 0


@pytest.mark.parametrize("promise", ["answered", "page"])
async def test_a_promise_that_is_not_kept_ends_the_call(line: SipLine, far: FarEnd, promise: str) -> None:
    inbound = Inbound()
    inbound.broken = promise
    caller = call(line, far, inbound)
    await caller.over()
    await until(lambda: "ended" in inbound.log)
    assert inbound.outcome is not None
    assert (inbound.outcome.cause, inbound.acknowledged) == (Cause.LINE_FAULT, 0)


async def test_an_answer_that_is_never_durable_ends_the_call(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faxgw.line.incoming.ANSWERED_WITHIN", 0.2)
    inbound = Inbound()
    inbound.gates["answered"].clear()
    caller = call(line, far, inbound)
    await caller.over()
    inbound.gates["answered"].set()
    await until(lambda: "ended" in inbound.log)
    assert "phase_b" not in inbound.phases


async def test_a_hang_up_before_the_answer_is_durable_begins_nothing(line: SipLine, far: FarEnd) -> None:
    inbound = Inbound()
    inbound.gates["answered"].clear()
    caller = call(line, far, inbound)
    await until(lambda: "answered rcv_1?" in inbound.log)
    next(iter(line._arriving.values())).hang_up(Cause.LINE_FAULT, "the gateway was stopped")
    await asyncio.sleep(0)
    inbound.gates["answered"].set()
    await caller.over()
    await until(lambda: "ended" in inbound.log)
    assert "phase_b" not in inbound.phases


async def test_a_hang_up_during_admission_answers_nothing(line: SipLine, far: FarEnd) -> None:
    inbound = Inbound()
    inbound.gates["admit"].clear()
    caller = call(line, far, inbound)
    await until(lambda: bool(inbound.log))
    next(iter(line._arriving.values())).hang_up(Cause.LINE_FAULT, "the gateway was stopped")
    inbound.gates["admit"].set()
    await caller.over()
    await until(lambda: "ended" in inbound.log)
    assert caller.log == ["rejected 503"]


async def test_a_caller_who_gives_up_during_admission_is_told_of(line: SipLine, far: FarEnd) -> None:
    inbound = Inbound()
    inbound.gates["admit"].clear()
    caller = call(line, far, inbound)
    await until(lambda: bool(inbound.log))
    caller.give_up()
    await caller.over()
    inbound.gates["admit"].set()
    await until(lambda: "ended" in inbound.log)
    assert inbound.outcome is not None
    assert (inbound.outcome.cause, inbound.outcome.connected) == (Cause.HUNG_UP_BEFORE_FAX, False)


async def test_a_worker_that_dies_before_the_fax_begins_is_replaced(line: SipLine, far: FarEnd) -> None:
    inbound = Inbound()
    inbound.gates["answered"].clear()
    caller = call(line, far, inbound)
    await until(lambda: "answered rcv_1?" in inbound.log)
    line._workers._workers[0]._kill("the test")
    await until(lambda: not line._workers._workers or not line._workers._workers[0]._why)
    inbound.gates["answered"].set()
    await caller.over()
    await until(lambda: "ended" in inbound.log)
    assert inbound.outcome is not None
    assert (inbound.outcome.cause, inbound.acknowledged) == (Cause.OK, 2)


async def test_without_a_worker_the_caller_is_told_to_try_elsewhere(far: FarEnd) -> None:
    line = SipLine(settings(), [trunk(far, peers=("127.0.0.1",))], (sys.executable, "-c", "pass"))
    await line.start()
    line._workers._command = ("/no/such/program",)
    inbound = Inbound()
    try:
        await until(lambda: line.worker_pids == [])
        caller = call(line, far, inbound)
        await caller.over()
        await until(lambda: "ended" in inbound.log)
    finally:
        await line.stop()
    assert caller.log == ["rejected 503"]
    assert inbound.outcome is not None and inbound.outcome.cause is Cause.LINE_FAULT


async def test_a_call_that_lasts_for_ever_is_ended(line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_WITHIN", 0.2)
    inbound = Inbound("idle")
    await call(line, far, inbound).over()
    await until(lambda: "ended" in inbound.log)


async def test_stopping_waits_for_no_store_for_ever(
    line: SipLine, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery closes the reception at the next start."""
    monkeypatch.setattr(sip_module, "STOP_WITHIN", 0.2)
    monkeypatch.setattr(sip_module, "LAST_WORDS_WITHIN", 0.2, raising=False)
    inbound = Inbound("idle")
    inbound.gates["ended"].clear()
    caller = call(line, far, inbound)
    await until(lambda: "phase_b" in inbound.phases)
    async with asyncio.timeout(40):
        await line.stop()
    assert "Ended" in caller.log
