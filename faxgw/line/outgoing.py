"""One call that we place: from a plan to its outcome.

The marks are those of docs/spine.md sections 3 and 5: `answered` is durable before the ACK, `exposed` and `confirmed`
before the worker is told. T.38 is proposed a little after the answer tone, or at the V.21 preamble (docs/transport.md
D.3 rule 1). A page counts as confirmed when its mark is durable, and a call's result is told after the last of them.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from faxgw.fax.destination import T38Use
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallDocument, CallMarks, CallPlan
from faxgw.foip import control, t30_frames
from faxgw.foip.agent import UserAgent
from faxgw.foip.control import Gate, Tone
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import Answered, CallIdentity, Provisional, Rejected
from faxgw.foip.location import Target
from faxgw.foip.sdp import SessionDescription
from faxgw.line.call import ANSWERED_WITHIN, FaxCall, HangUp
from faxgw.line.commits import Committed
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.media import modems
from faxgw.line.ports import NoMediaPorts, PortRange
from faxgw.line.tally import Tally
from faxgw.line.targets import leg_of
from faxgw.line.trunk import Trunk
from faxgw.line.watch import Watch
from faxgw.line.workers import CallWorkers, NoWorker, Received

PARTING_WITHIN: Final = 10.0
"""Seconds from the last confirmation to the engine's phase E: DCN takes 1.5 of them."""
BYE_DELAY: Final = 0.2
"""Seconds from phase E to our BYE. Measured: phase E comes 1.2 s after DCN has left, so nothing is cut off, and the
BYE is out within 3 s of DCN even when the far end waits for it."""


MOVE_WITHIN: Final = 20.0
"""Seconds after the first INVITE in which another server of the trunk may get one. Less than a node's lease: whoever
takes its calls over cancels every INVITE that may have left."""
REQUEST_TIMEOUT: Final = 408
"""SIP status (RFC 3261 section 21.4.9)."""
UNAVAILABLE: Final = 503
"""SIP status (RFC 3261 section 21.5.4)."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark that is asked for."""

    kind: str
    """`answered`, `exposed` or `confirmed`."""
    fax: str = ""
    page: int = 0


@dataclass(slots=True, eq=False)
class _Coarser:
    """The wish for pages in another resolution."""

    taken: tuple[str, ...]
    """Resolutions that the far end takes."""
    documents: Sequence[CallDocument] = ()
    """What came; the descriptors are ours."""

    async def fulfil(self, marks: CallMarks) -> bool:
        """Ask for them."""
        self.documents = await marks.coarser(self.taken)
        return bool(self.documents)

    def close(self) -> None:
        """Close the descriptors."""
        for document in self.documents:
            os.close(document.descriptor)
        self.documents = ()


class OutgoingFaxCall(FaxCall):
    """One call of a plan, from INVITE to outcome.

    Args:
        plan: What to send where.
        marks: The promises.
        trunk: The trunk of the plan.
        endpoint: The SIP listener.
        workers: Where the media live.
        ports: Media ports.
        t38_wait: Seconds the far end has for its own T.38 proposal after the answer tone.
    """

    group = "out"
    bye_after = BYE_DELAY

    def __init__(
        self,
        plan: CallPlan,
        marks: CallMarks,
        trunk: Trunk,
        endpoint: SipEndpoint,
        workers: CallWorkers,
        ports: PortRange,
        t38_wait: float,
    ) -> None:
        pages = sum(document.last - document.first + 1 for document in plan.documents)
        self._tally = Tally(time.time(), pages=pages)
        super().__init__(self._tally, trunk, endpoint, workers, ports, plan.attempt, isolated=plan.isolated)
        self._plan = plan
        self._media.takes_t38 = trunk.settings.t38 and plan.t38 is not T38Use.AUDIO
        self._media.proposes_t38 = plan.t38 in (T38Use.LATE, T38Use.EARLY)
        self._marks = marks
        self._watch = Watch(sending=True, pages=pages)
        self._t38_wait = t38_wait
        self._last_page = max((document.last for document in plan.documents), default=0)
        self._servers: deque[Target] = deque()
        """Servers of the trunk that have not been tried."""
        self._server: Target | None = None
        """The one that has the INVITE."""
        self._try_until = 0.0
        self._rings = False
        """A provisional response above 100 came: from here on there is no other server for this call."""
        self._moves = False
        """The next server is to be tried."""
        self._answer: SessionDescription | None = None
        self._peer = ""
        self._asked: set[_Mark] = set()
        self._sip_over = True  # until the INVITE has left

    async def run(self) -> Outcome:
        """See the call through. Never raises for a failed call."""
        self._commits.start()
        try:
            if await self._dial():
                await self._serve()
            await self._finish()
            return self._tally.outcome(time.time())
        finally:
            await self._release()

    # The beginning

    async def _dial(self) -> bool:
        """Everything up to the INVITE. False: it did not leave."""
        plan = self._plan
        try:
            await self._media.open()
            self._servers.extend(await self._trunk.servers(self._endpoint.family))
            self._server = await self._reach()
        except (NoMediaPorts, NoWorker) as exc:
            self._tally.force(Cause.LINE_FAULT, str(exc))
            return False
        except OSError as exc:
            self._tally.force(Cause.CARRIER_FAULT, f"trunk {self._trunk.name} not reached: {exc or 'not in time'}")
            return False
        if self._wish is not None:
            self._on_hang_up(self._wish)
            return False
        if plan.not_after and self._endpoint.now > plan.not_after:
            self._tally.force(Cause.LINE_FAULT, "the INVITE would have left too long after its commit")
            return False
        self._tap(plan.identity.call_id)
        self._try_until = self._endpoint.now + MOVE_WITHIN
        return self._invite(self._server)

    async def _reach(self) -> Target:
        """The first of the servers that are left which can be reached.

        Raises:
            OSError: If none can.
        """
        while True:
            server = self._servers.popleft()
            try:
                await self._endpoint.reach(server.address)
            except OSError:
                self._trunk.targets.failed(server, unreachable=True)
                if not self._servers:
                    raise
            else:
                return server

    def _invite(self, server: Target) -> bool:
        """Send the INVITE to a server. False: it did not leave."""
        plan = self._plan
        drawn = CallIdentity(plan.identity.call_id, plan.identity.from_tag, plan.identity.branch, plan.identity.cseq)
        try:
            self._call = self._endpoint.agent.invite(
                leg_of(drawn, server, alone=self._trunk.has_one_server),
                self._trunk.target(plan.number),
                server.address,
                self._media.offer_first(),
                from_=self._trunk.from_(plan.caller, plan.caller_name, withheld=plan.withheld),
                to=self._trunk.to(plan.number),
                credentials=self._trunk.credentials,
                headers=self._trunk.identity_headers(plan.caller, plan.caller_name, plan.withheld, plan.number),
                route=self._trunk.route,
                redirect=partial(self._trunk.redirected, server, plan.number),
                now=self._endpoint.now,
            )
        except LocalProtocolError as exc:
            self._tally.force(Cause.LINE_FAULT, f"not dialled: {exc}")
            return False
        self._sip_over = False
        self._endpoint.listen(self._call, self._inbox)
        self._timers.start("ring", self._endpoint.now + float(self._trunk.settings.ring_time))
        self._timers.start("silent", self._endpoint.now + float(self._trunk.settings.answer_within))
        self._endpoint.pump()
        self._show("dialling")
        return True

    # Another server

    async def _next(self) -> object | None:
        if self._moves:
            self._moves = False
            await self._move()
        return await super()._next()

    async def _move(self) -> None:
        """Call the trunk's next server: the one before has failed before anything rang."""
        self._sip_over = True  # until the next INVITE has left
        try:
            server = await self._reach()
        except OSError as exc:
            self._tally.details.append(f"no other server reached: {exc or 'not in time'}")
            return
        if self._wish is not None:
            self._on_hang_up(self._wish)
            return
        if self._endpoint.now > self._try_until:
            self._tally.details.append("too late for another server")
            return
        self._note(f"calling {server}")
        self._server = server
        self._invite(server)

    @property
    def _may_move(self) -> bool:
        """Whether another server may be called: one is left, nothing has rung, and it is not too late."""
        in_time = self._endpoint.now <= self._try_until
        return bool(self._servers) and in_time and not (self._rings or self._closing or self._wish)

    def _on_silence(self) -> None:
        """The server has said nothing at all: leave it, and call the next one.

        Its INVITE is cancelled as soon as it says anything; an answer that crosses that gets ACK and BYE.
        """
        if self._call is None or self._server is None or not self._may_move:
            return
        if not self._endpoint.agent.is_unanswered(self._call):
            return
        self._trunk.targets.failed(self._server, unreachable=False)
        self._tally.details.append(f"no answer from {self._server}")
        self._tally.sip_status = REQUEST_TIMEOUT
        self._command(UserAgent.cancel)
        self._endpoint.forget(self._call)
        self._moves = True

    def _judge(self, event: Rejected) -> bool:
        """What a refusal says about the server. True: it says that another one may do better (RFC 3263 section 4.3)."""
        if self._server is None:
            return False
        targets = self._trunk.targets
        if event.local and event.status in (REQUEST_TIMEOUT, UNAVAILABLE):
            targets.failed(self._server, unreachable=event.status == UNAVAILABLE)
            return True
        if event.status == UNAVAILABLE:
            targets.overloaded(self._server, self._tally.retry_after)
            return True
        targets.served(self._server)
        return False

    # SIP

    def _on_own_event(self, event: object) -> None:
        match event:
            case Provisional():
                self._rings = True
                self._timers.stop("silent")
                self._show("ringing")
            case Answered() if not self._closing:  # else it crossed our goodbye: acknowledged and ended already
                self._on_answered(event)
            case Rejected():
                self._on_rejected(event)

    def _on_answered(self, event: Answered) -> None:
        self._timers.stop("ring", "silent")
        if self._server is not None:
            self._trunk.targets.served(self._server)
        self._timers.start("answered", self._endpoint.now + ANSWERED_WITHIN)
        self._tally.answered_at = time.time()
        self._answer = event.sdp
        self._peer = event.dialog.host
        self._show("answered")
        dialog: Mapping[str, object] = event.dialog.to_dict()
        self._commits.ask(_Mark("answered"), partial(self._marks.answered, dict(dialog)))

    def _on_rejected(self, event: Rejected) -> None:
        self._timers.clear()
        self._tally.sip_status = event.status
        self._tally.retry_after = None if event.retry_after is None else float(event.retry_after)
        self._tally.add_causes(event.causes)
        self._tally.details.append(f"SIP {event.status} {event.reason}{' (no answer came)' * event.local}")
        if self._judge(event) and self._may_move:
            self._moves = True
        else:
            self._sip_over = True

    def _start_media(self) -> None:
        """The mark `answered` is durable: ACK, and the worker begins."""
        if not self._may_begin:
            return
        remote, payload_type = self._media.remote_audio(self._answer)
        t38 = self._media.t38_of(self._answer) if self._answer is not None and self._offers_t38 else None
        if payload_type is None and t38 is None:
            self._tally.force(Cause.NO_COMMON_MODE, f"the answer has no {self._wanted} we can use")
            self._say_bye()
            return
        if not self._command(UserAgent.acknowledge):
            return  # the far end, or the agent's patience, was quicker: the end is on its way
        plan = self._plan
        if t38 is not None:
            self._tally.far = replace(self._tally.far, t38="ours")
        codec = self._trunk.payload_types[0] if payload_type is None else payload_type
        self._begin(
            lambda number: control.Start(
                call=number,
                role=control.Role.SEND,
                rtp_remote=remote,
                payload_type=codec,
                t38=t38,
                signalling=self._peer,
                nat=self._trunk.settings.nat,
                station_id=plan.station_id,
                documents=tuple(
                    control.Document(document.fax, document.pages_in_file, document.first, document.last)
                    for document in plan.documents
                ),
                ecm=plan.ecm,
                modems=modems(plan.max_bit_rate),
                sub_address=plan.sub_address,
                limits=control.Limits(answer_to_phase_b=plan.patience, coarser=plan.coarser_within),
            ),
            tuple(document.descriptor for document in plan.documents),
        )

    @property
    def _offers_t38(self) -> bool:
        return self._trunk.settings.t38_offer != "later"

    @property
    def _wanted(self) -> str:
        return {"later": "audio", "first": "audio or T.38", "only": "T.38"}[self._trunk.settings.t38_offer]

    def _refuse(self) -> None:
        """CANCEL; BYE when an answer has come that we have not looked at yet."""
        self._close_signalling()
        if not self._command(UserAgent.cancel):
            self._command(UserAgent.bye)

    # The worker

    def _on_received(self, received: Received) -> None:
        for descriptor in received.descriptors:  # a sending call gets none
            os.close(descriptor)
        match received.message:
            case control.Heard():
                self._on_tone(received.message.tone)
            case control.PhaseB():
                self._on_phase_b(received.message)
            case control.TooFine():
                self._on_too_fine(received.message)
            case control.Confirmed():
                self._on_confirmed(received.message)
            case control.Trace():
                self._on_trace(received.message)
            case control.PhaseE():
                self._on_phase_e(received.message)

    @property
    def _may_propose(self) -> bool:
        return self._plan.t38 in (T38Use.LATE, T38Use.EARLY) and super()._may_propose

    def _on_tone(self, tone: Tone) -> None:
        self._tally.heard.add(tone)
        if tone in (Tone.CED, Tone.V21) and self._tally.far.heard_after is None:
            self._tally.far = replace(self._tally.far, heard_after=self._tally.since_answer(time.time()))
        if not self._may_propose or self._tally.phase_b:
            return
        if tone is Tone.V21:
            self._propose_t38()
        elif tone is Tone.CED and not self._timers.running("t38"):
            wait = 0.0 if self._plan.t38 is T38Use.EARLY else self._t38_wait
            self._timers.start("t38", self._endpoint.now + wait)

    def _on_phase_b(self, message: control.PhaseB) -> None:
        self._tally.phase_b = True
        self._tally.remote_ident = message.remote_ident
        self._timers.stop("t38")
        self._show("phase_b")
        meaning = t30_frames.capabilities(message.frame)
        if self._tally.far.dis_after is None:  # after coarser pages it comes twice
            self._tally.far = replace(self._tally.far, dis_after=self._tally.since_answer(time.time()))
        if meaning is not None:
            self._tally.far = replace(self._tally.far, resolutions=meaning.resolutions, codings=meaning.codings)
        if self._plan.sub_address and meaning is not None and not meaning.sub_address:
            self._tally.details.append("the far end takes no sub-address: none was sent")
        mark = _Mark("exposed", message.fax, message.page)
        # Without a fax nothing of this call can be sent, and after a hang-up nothing will be.
        if message.fax and mark not in self._asked and not self._media.hung_up:
            self._asked.add(mark)
            self._commits.ask(mark, partial(self._marks.exposed, message.fax, message.page))

    def _on_too_fine(self, message: control.TooFine) -> None:
        """The worker waits, the far end repeats its DIS: ask for the pages in another resolution."""
        self._note(f"the far end takes {'/'.join(message.taken)}: the pages are made anew")
        wish = _Coarser(message.taken)
        self._commits.ask(wish, partial(wish.fulfil, self._marks))

    def _give_coarser(self, wish: _Coarser) -> None:
        self._note("the pages have been made anew" if wish.documents else "no other pages came in time")
        self._media.give_documents(
            tuple(
                control.Document(document.fax, document.pages_in_file, document.first, document.last)
                for document in wish.documents
            ),
            tuple(document.descriptor for document in wish.documents),
        )

    def _on_confirmed(self, message: control.Confirmed) -> None:
        self._watch.count(message.statistics)
        self._note(f"page {message.page} confirmed{_measures(message.statistics)}")
        self._show("page", message.page)
        mark = _Mark("confirmed", message.fax, message.page)
        self._commits.ask(mark, partial(self._marks.confirmed, message.fax, message.page))

    # Marks

    def _on_committed(self, committed: Committed) -> None:
        if isinstance(committed.what, _Mark):
            self._on_marked(committed.what, committed.durable)
        elif isinstance(committed.what, _Coarser):
            self._give_coarser(committed.what)
            committed.what.close()

    def _on_marked(self, mark: _Mark, durable: bool) -> None:
        if not durable:
            self._fail(f"the mark {mark.kind} was not committed")
        elif mark.kind == "answered":
            self._on_answer_committed()
        else:
            self._count(mark)
            self._media.acknowledge(Gate(mark.kind), mark.fax, mark.page)
            self._show("page", min(mark.page + (mark.kind == "confirmed"), self._last_page))

            if self._tally.complete and self._tally.phase_e is None:
                self._timers.start("parting", self._endpoint.now + PARTING_WITHIN)

    def _count(self, mark: _Mark) -> None:
        if mark.kind == "exposed":
            self._tally.exposed = True
        elif mark.kind == "confirmed":
            self._tally.confirmed.add((mark.fax, mark.page))

    # The end

    def _on_hang_up(self, wish: HangUp) -> None:
        self._tally.cancelled = self._tally.cancelled or wish.cause is Cause.CANCELLED
        super()._on_hang_up(wish)

    def _on_own_timer(self, name: str) -> None:
        if name == "ring":
            self._tally.force(Cause.NO_ANSWER, f"not answered in {self._trunk.settings.ring_time}")
            self._end_sip()
        elif name == "silent":
            self._on_silence()
        elif name == "parting":
            self._tally.details.append("the fax engine did not say goodbye")
            self._end_all()

    def _on_late(self, item: object) -> None:
        """Marks that came back last count, and so does what a slow worker said last."""
        match item:
            case Committed(_Mark() as mark, True):
                self._count(mark)
            case Committed(_Coarser() as wish):
                wish.close()
            case Received(control.Confirmed() as message):
                self._on_confirmed(message)
            case Received(control.Trace() as message):
                self._tally.add_frames(message.frames)
            case Received(control.PhaseE() as message):
                self._tally.phase_e = self._tally.phase_e or message
        if isinstance(item, Received):
            for descriptor in item.descriptors:
                os.close(descriptor)

    def _tell_progress(self) -> None:
        self._marks.progress(self._watch.progress())


def _measures(statistics: control.Statistics) -> str:
    """Rows, octets and coding of the page that was just counted, as far as the engine told."""
    known = [(statistics.page_rows, "rows"), (statistics.page_octets, "octets")]
    words = "".join(f", {number} {unit}" for number, unit in known if number)
    return words + (f" of {statistics.encoding}" if words and statistics.encoding else "")
