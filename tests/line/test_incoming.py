"""Calls to us: a caller of our own, a worker without an engine, an inside that remembers (docs/transport.md D.3)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import Admission, CallIdentity, CallProgress, Ringing
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.foip.events import (
    Answered,
    By,
    CallId,
    Ended,
    Event,
    IncomingCall,
    Rejected,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.sdp import MediaLine, Origin, SessionDescription, answer_audio, answer_t38, audio_line, offer, t38_line
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.identity import dialled
from faxgw.line.ports import PortRange
from faxgw.line.sip import STRANGERS_PER_SECOND, SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener
from tests.line import fake_receiver as plays
from tests.line.far_end import until

FAKE = (sys.executable, str(Path(__file__).with_name("fake_receiver.py")))
OURS = Origin(7, 1, "127.0.0.1")
AUDIO, T38 = offer(OURS, audio_line(19100)), offer(OURS, t38_line(19102))


class Inside:
    """Admits, keeps and remembers; `status` refuses, `lose` is a page that cannot be kept."""

    def __init__(self) -> None:
        self.station_id = plays.TWO
        self.status = 0
        self.lose = 0
        self.may_admit = asyncio.Event()
        self.may_admit.set()
        self.answer_lost = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.log: list[str] = []
        self.ringing: list[Ringing] = []
        self.pages: list[tuple[ReceivedPage, bytes]] = []
        self.phases: list[str] = []
        self.ends: list[tuple[Outcome, int, bool]] = []

    async def admit(self, ringing: Ringing) -> Admission | int:
        self.ringing.append(ringing)
        await self.may_admit.wait()
        self.log.append("admit")
        return self.status or Admission(f"rcv_{len(self.ringing)}", self.station_id, True, 14400)

    async def answered(self, reception: str) -> bool:
        self.log.append("answered")
        await self.may_answer.wait()
        return not self.answer_lost

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        await asyncio.sleep(0)
        self.log.append(f"page {page.page}")
        self.pages.append((page, os.pread(descriptor, 100, 0)))
        return page.page != self.lose

    def progress(self, reception: str, what: CallProgress) -> None:
        self.phases.append(what.phase)

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        self.log.append("ended")
        self.ends.append((outcome, acknowledged, farewell))

    async def end(self) -> tuple[Outcome, int, bool]:
        await until(lambda: bool(self.ends))
        return self.ends[0]


class Caller:
    """The calling side: places one call and does what it is told."""

    def __init__(self, line: SipLine) -> None:
        self.endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", lambda event: None)
        self.events: list[Event] = []
        self.offers: list[SessionDescription] = []
        self.takes_t38 = True
        self.on_answer: Callable[[CallId], None] = lambda call: None
        self._line = line
        self._inbox: asyncio.Queue[object] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.call = CallId("")

    async def start(self) -> None:
        await self.endpoint.start()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.endpoint.stop()

    def invite(
        self,
        sdp: SessionDescription = AUDIO,
        number: str = "0199000099",
        headers: tuple[tuple[str, str], ...] = (),
        caller: str = "+498955",
    ) -> None:
        agent = self.endpoint.agent
        self.call = agent.invite(
            agent.new_identity(),
            f"sip:{number}@127.0.0.1",
            ("127.0.0.1", self._line.port),
            sdp,
            from_=f'"Peer" <sip:{caller}@127.0.0.1>',
            headers=headers,
            now=self.endpoint.now,
        )
        self.endpoint.listen(self.call, self._inbox)
        self.endpoint.pump()
        self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            event = await self._inbox.get()
            assert isinstance(event, Event)
            self.events.append(event)
            self._on_event(event)
            self.endpoint.pump()

    def _on_event(self, event: Event) -> None:
        agent, now = self.endpoint.agent, self.endpoint.now
        if isinstance(event, Answered):
            agent.acknowledge(event.call, now)
            self.on_answer(event.call)
        elif isinstance(event, Reoffered):
            self.offers.append(event.offer)
            made = None
            if event.offer.t38 is None:
                made = answer_audio(event.offer, OURS, 19100)
            elif self.takes_t38:
                made = answer_t38(event.offer, OURS, 19102)
            if made is None:
                agent.refuse_reinvite(event.call, 488, now)
            else:
                agent.answer_reinvite(event.call, made, now)

    def bye(self) -> None:
        self.endpoint.agent.bye(self.call, self.endpoint.now)
        self.endpoint.pump()

    def cancel(self) -> None:
        self.endpoint.agent.cancel(self.call, self.endpoint.now)
        self.endpoint.pump()

    def propose(self, sdp: SessionDescription) -> None:
        self.endpoint.agent.reinvite(self.call, sdp, self.endpoint.now)
        self.endpoint.pump()

    async def over(self) -> Event:
        """The last event of the call."""
        await until(lambda: any(isinstance(event, (Ended, Rejected)) for event in self.events))
        return next(event for event in self.events if isinstance(event, (Ended, Rejected)))

    async def status(self) -> int:
        event = await self.over()
        assert isinstance(event, Rejected)
        return event.status

    def saw(self, kind: type[Event]) -> bool:
        return any(isinstance(event, kind) for event in self.events)


@pytest.fixture
def inside() -> Inside:
    return Inside()


async def make_line(inside: Inside | None, **changes: object) -> SipLine:
    sip = SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(23000, 23999))
    values: dict[str, object] = {"name": "t", "host": "127.0.0.1", "port": 9, "keepalive": Duration(0), **changes}
    made = SipLine(sip, [TrunkSettings(**values)], FAKE)  # type: ignore[arg-type]
    await made.start()
    if inside is not None:
        made.take_calls(inside)
    return made


@pytest.fixture
async def line(inside: Inside) -> AsyncIterator[SipLine]:
    made = await make_line(inside)
    yield made
    await made.stop()


@pytest.fixture
async def caller(line: SipLine) -> AsyncIterator[Caller]:
    made = Caller(line)
    await made.start()
    yield made
    await made.stop()


# ------------------------------------------------------------------------------------------------------ admission


@pytest.fixture
def in_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    """We propose no T.38 before the worker says phase B, however busy the machine is."""
    monkeypatch.setattr("faxgw.line.incoming.T38_AFTER", 60.0)


@pytest.mark.usefixtures("in_audio")
async def test_a_fax_of_two_pages_comes_in(inside: Inside, caller: Caller) -> None:
    """Spine section 4: row, answer, pages, end, in this order."""
    caller.invite()
    outcome, acknowledged, farewell = await inside.end()
    assert inside.log == ["admit", "answered", "page 1", "page 2", "ended"]
    assert [octets for _page, octets in inside.pages] == [b"II*\0 page 1", b"II*\0 page 2"]
    assert [(page.end, page.ident, page.rows) for page, _octets in inside.pages] == [
        (PageEnd.MPS, "+49 89", 100),
        (PageEnd.EOP, "+49 89", 100),
    ]
    assert (outcome.cause, acknowledged, farewell) == (Cause.OK, 2, True)
    assert (outcome.transport, outcome.bit_rate, outcome.ecm) == ("g711", 14400, True)
    (ringing,) = inside.ringing
    assert (ringing.trunk, ringing.dialled, ringing.caller, ringing.display) == ("t", "0199000099", "+498955", "Peer")
    assert ringing.dialog["call_id"] == ringing.call_id and ringing.dialog["invite_seq"] == 0
    event = await caller.over()
    assert isinstance(event, Ended) and event.by is By.REMOTE


@pytest.mark.parametrize("status", [404, 480, 503])
async def test_a_refusal_has_its_status_and_no_end(inside: Inside, caller: Caller, status: int) -> None:
    inside.status = status
    caller.invite()
    assert await caller.status() == status
    assert inside.log == ["admit"]


async def test_an_offer_nobody_can_use_is_refused_before_anybody_is_asked(inside: Inside, caller: Caller) -> None:
    caller.invite(offer(OURS, MediaLine("video", 19100, "RTP/AVP", ("31",))))
    assert await caller.status() == 488
    assert inside.log == []


async def test_a_caller_who_gives_up_while_we_decide_is_not_answered(inside: Inside, caller: Caller) -> None:
    inside.may_admit.clear()
    caller.invite()
    await until(lambda: bool(inside.ringing))
    caller.cancel()
    await caller.over()
    inside.may_admit.set()
    outcome, acknowledged, farewell = await inside.end()
    assert (outcome.cause, acknowledged, farewell) == (Cause.HUNG_UP_BEFORE_FAX, 0, False)
    assert not caller.saw(Answered)


async def test_full_lines_are_busy_and_leave_nothing_for_calls_out(inside: Inside) -> None:
    inside.station_id = plays.SILENT
    line = await make_line(inside, channels=3, inbound_channels=1)
    callers = [Caller(line), Caller(line)]
    try:
        for made in callers:
            await made.start()
        callers[0].invite()
        await until(lambda: "answered" in inside.log)
        assert (line.trunks(), line.channels) == ({"t": 2}, {"t": 3})
        callers[1].invite()
        assert await callers[1].status() == 486
    finally:
        await line.stop()
        for made in callers:
            await made.stop()
    assert inside.ends[0][0].cause is Cause.LINE_FAULT


async def test_strangers_get_404_and_only_so_often(inside: Inside) -> None:
    """No transaction is kept for them, and the inside never hears of them."""
    line = await make_line(inside, host="192.0.2.1")
    callers = [Caller(line) for _ in range(STRANGERS_PER_SECOND + 2)]
    try:
        for made in callers:
            await made.start()
            made.invite()
        await until(lambda: sum(made.saw(Rejected) for made in callers) >= STRANGERS_PER_SECOND)
        answered = [made for made in callers if made.saw(Rejected)]
        assert {await made.status() for made in answered} == {404}
        assert inside.ringing == []
    finally:
        for made in callers:
            await made.stop()
        await line.stop()


@pytest.mark.parametrize(
    "where, headers, number",
    [
        ("request_uri", (), "0199000099"),
        ("to", (), "0199000099"),
        ("diversion", (("Diversion", "<sip:+33199000042@pbx>;reason=unconditional, <sip:1@x>"),), "+33199000042"),
        ("diversion", (), "0199000099"),
        ("diversion", (("Diversion", "nonsense<"),), ""),
    ],
)
async def test_the_number_dialled_stands_where_the_trunk_says(
    inside: Inside, where: str, headers: tuple[tuple[str, str], ...], number: str
) -> None:
    inside.status = 404
    line = await make_line(inside, dialled_from=where)
    caller = Caller(line)
    await caller.start()
    try:
        caller.invite(headers=headers)
        assert await caller.status() == 404
        assert inside.ringing[0].dialled == number
    finally:
        await caller.stop()
        await line.stop()


def test_a_tel_uri_in_to_is_a_number() -> None:
    event = IncomingCall(CallId("c"), "x", "", "", None, ("127.0.0.1", 1), (("To", "<tel:+33199000042>"),))
    assert dialled(event, "to").startswith("+33199000042")


# ---------------------------------------------------------------------------------------------------------- media


async def test_we_propose_t38_a_moment_after_the_ack(inside: Inside, caller: Caller) -> None:
    """D.3 rule 1: many senders never do."""
    inside.station_id = plays.ON_T38
    caller.invite()
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.cause, outcome.transport, acknowledged) == (Cause.OK, "t38", 2)
    assert [sdp.t38 is not None for sdp in caller.offers] == [True]
    assert inside.phases.index("answered") < inside.phases.index("t38") < inside.phases.index("phase_b")


async def test_a_refused_proposal_leaves_the_call_in_audio(inside: Inside, caller: Caller) -> None:
    """D.3 rule 3."""
    inside.station_id = plays.SILENT
    caller.takes_t38 = False
    caller.invite()
    await until(lambda: len(caller.offers) == 1)
    caller.bye()
    outcome, acknowledged, _farewell = await inside.end()
    assert "T.38 refused with 488" in outcome.detail
    assert (outcome.cause, acknowledged) == (Cause.HUNG_UP_BEFORE_FAX, 0)


async def test_a_trunk_without_t38_is_never_asked(inside: Inside) -> None:
    line = await make_line(inside, t38=False)
    caller = Caller(line)
    await caller.start()
    try:
        caller.invite()
        outcome, _acknowledged, _farewell = await inside.end()
        assert outcome.cause is Cause.OK and caller.offers == []
        caller.invite(T38)
        await until(lambda: caller.saw(Rejected))
    finally:
        await caller.stop()
        await line.stop()


async def test_the_callers_own_proposal_is_taken(inside: Inside, caller: Caller) -> None:
    inside.station_id = plays.ON_T38
    caller.takes_t38 = False
    caller.on_answer = lambda call: caller.propose(T38)
    caller.invite()
    outcome, _acknowledged, _farewell = await inside.end()
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
    assert caller.saw(ReofferAnswered)


async def test_a_proposal_that_comes_before_the_answer_is_committed_counts(inside: Inside, caller: Caller) -> None:
    """The worker gets the call only then; it must know of T.38, and we must not propose it a second time."""
    inside.station_id = plays.ON_T38
    inside.may_answer.clear()
    caller.on_answer = lambda call: caller.propose(T38)
    caller.invite()
    await until(lambda: caller.saw(ReofferAnswered))
    inside.may_answer.set()
    outcome, _acknowledged, _farewell = await inside.end()
    assert (outcome.cause, outcome.transport, outcome.far.t38) == (Cause.OK, "t38", "theirs")
    assert not [step for step in outcome.steps if step[1] == ">" and step[2].startswith("re-INVITE")]


async def test_a_call_that_begins_with_t38_stays_there(inside: Inside, caller: Caller) -> None:
    caller.invite(T38)
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.transport, acknowledged, caller.offers) == ("t38", 2, [])


@pytest.mark.usefixtures("in_audio")
async def test_t38_after_phase_b_is_refused(inside: Inside, caller: Caller) -> None:
    """D.3 rule 2: the engine is never swapped once DCS was decoded."""
    inside.station_id = plays.AFTER_PAGE_1
    caller.invite()
    await until(lambda: "page 1" in inside.log)
    caller.propose(T38)
    await until(lambda: caller.saw(ReofferRefused))
    caller.bye()
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.transport, acknowledged) == ("g711", 1)


# ----------------------------------------------------------------------------------------------------------- ends


async def test_a_page_that_is_not_kept_ends_the_call_without_its_release(inside: Inside, caller: Caller) -> None:
    """Spine section 5: on any error the call ends without MCF."""
    inside.lose = 2
    caller.invite()
    outcome, acknowledged, farewell = await inside.end()
    assert (outcome.cause, acknowledged, farewell) == (Cause.LINE_FAULT, 1, False)
    assert "page 2 was not kept" in outcome.detail
    event = await caller.over()
    assert isinstance(event, Ended) and event.by is By.REMOTE


async def test_an_answer_that_is_not_committed_ends_the_call(inside: Inside, caller: Caller) -> None:
    inside.answer_lost = True
    caller.invite()
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.cause, acknowledged) == (Cause.LINE_FAULT, 0)
    assert inside.pages == []


async def test_a_caller_who_hangs_up_after_page_1(inside: Inside, caller: Caller) -> None:
    inside.station_id = plays.AFTER_PAGE_1
    caller.invite()
    await until(lambda: "page 1" in inside.log)
    caller.bye()
    outcome, acknowledged, farewell = await inside.end()
    assert (outcome.cause, acknowledged, farewell) == (Cause.REMOTE_HUNG_UP, 1, False)


async def test_a_goodbye_after_eom_is_a_clean_end(inside: Inside, caller: Caller) -> None:
    inside.station_id = plays.EOM
    caller.invite()
    outcome, acknowledged, farewell = await inside.end()
    assert inside.pages[0][0].end is PageEnd.EOM
    assert (outcome.cause, acknowledged, farewell) == (Cause.OK, 1, True)


async def test_a_release_that_came_too_late_confirms_nothing(inside: Inside, caller: Caller) -> None:
    """docs/transport.md J.7 rule 3: the worker had lost its patience."""
    inside.station_id = plays.GATE
    caller.invite()
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.cause, acknowledged, len(inside.pages)) == (Cause.LINE_FAULT, 1, 2)


async def test_a_worker_that_dies_ends_the_call_and_keeps_its_pages(inside: Inside, caller: Caller) -> None:
    inside.station_id = plays.CRASH
    caller.invite()
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.cause, outcome.worker_died, acknowledged) == (Cause.LINE_FAULT, True, 1)
    event = await caller.over()
    assert isinstance(event, Ended) and event.by is By.REMOTE


async def test_a_caller_whose_worker_died_has_one_of_its_own_the_next_time(
    inside: Inside, caller: Caller, line: SipLine
) -> None:
    """What kills a worker ends one more call of its sender, and no other."""
    inside.station_id = plays.CRASH
    caller.invite()
    await inside.end()
    innocent, again = Caller(line), Caller(line)
    await innocent.start()
    await again.start()
    try:
        inside.station_id = plays.SILENT
        innocent.invite(caller="+331990")
        await until(lambda: inside.log.count("answered") == 2)
        inside.station_id = plays.CRASH
        again.invite()
        await until(lambda: len(inside.ends) == 2)
        assert inside.ends[1][0].worker_died
        assert not innocent.saw(Ended)
        innocent.bye()
        await until(lambda: len(inside.ends) == 3)
        assert not inside.ends[2][0].worker_died
    finally:
        await innocent.stop()
        await again.stop()


async def test_stopping_says_goodbye_and_tells_the_end(inside: Inside, caller: Caller, line: SipLine) -> None:
    inside.station_id = plays.SILENT
    caller.invite()
    await until(lambda: "answered" in inside.log)
    await line.stop()
    outcome, _acknowledged, _farewell = inside.ends[0]
    assert outcome.cause is Cause.LINE_FAULT and "stopped" in outcome.detail
    assert isinstance(await caller.over(), Ended)


async def test_draining_waits_for_calls_and_takes_no_more(inside: Inside, caller: Caller, line: SipLine) -> None:
    caller.invite()
    await until(lambda: "answered" in inside.log)
    await line.drain(10.0)
    assert inside.ends[0][0].cause is Cause.OK
    late = Caller(line)
    await late.start()
    late.invite()
    assert await late.status() == 480
    await late.stop()


async def test_an_inside_that_breaks_ends_the_call(
    inside: Inside, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(reception: str, page: ReceivedPage, descriptor: int) -> bool:
        raise OSError("gone")

    monkeypatch.setattr(inside, "page", broken)
    caller.invite()
    outcome, acknowledged, _farewell = await inside.end()
    assert (outcome.cause, acknowledged) == (Cause.LINE_FAULT, 0)


async def test_a_dialog_of_an_earlier_life_gets_its_bye(inside: Inside, caller: Caller, line: SipLine) -> None:
    """Recovery: the record of `Ringing` is enough to hang up."""
    inside.station_id = plays.SILENT
    caller.invite()
    await until(lambda: "answered" in inside.log)
    second = await make_line(None)
    try:
        ringing = inside.ringing[0]
        await second.end_stranger("t", CallIdentity(ringing.call_id, "", "", 0), "", ringing.dialog)
        event = await caller.over()
        assert isinstance(event, Ended) and event.by is By.REMOTE
    finally:
        await second.stop()
