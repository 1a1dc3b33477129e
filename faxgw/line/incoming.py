"""One call to us: admitted, answered, switched to T.38, each page kept before the worker may confirm it.

The rules are those of docs/spine.md sections 4 and 5 and docs/transport.md D.3 and J.7:

- the reception's row is durable before 200 OK; a refusal has its SIP status and leaves no row;
- a little after the ACK we re-INVITE to T.38, for many senders never do;
- a page is acknowledged only when it is durable, else the call ends without its MCF.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.fax.ports import Admission, InboundCalls, Ringing
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.foip import control
from faxgw.foip.control import Gate
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import Acknowledged, CallId, IncomingCall
from faxgw.line.arrival import Arrival
from faxgw.line.call import ANSWERED_WITHIN, NOT_ACCEPTABLE, FaxCall
from faxgw.line.commits import Committed
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.media import modems
from faxgw.line.ports import NoMediaPorts, PortRange
from faxgw.line.suspects import Suspects
from faxgw.line.trunk import Trunk
from faxgw.line.workers import CallWorkers, NoWorker, Received, WorkerGone

T38_AFTER: Final = 0.3
"""Seconds from the ACK to our re-INVITE to T.38 (docs/transport.md D.3 rule 1: 0.2 to 1 s)."""
BYE_AFTER: Final = 1.0
"""Seconds from phase E to our BYE; the sender, who placed the call, usually says it first."""
LINGER: Final = 0.3
"""Seconds the worker still reads after a BYE that came with the last page confirmed: DCN may be right before it."""
PARTING_WITHIN: Final = 20.0
"""Seconds the sender has to say goodbye (DCN or BYE) once the last page is confirmed: time enough to repeat EOP three
times, T4 apart. The engine itself would wait for ever."""
UNAVAILABLE: Final = 503
"""SIP status (RFC 3261 section 21.5.4)."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What must be durable: the answer, or a page."""

    page: int = 0
    """0: the answer."""
    last: bool = False


class IncomingFaxCall(FaxCall):
    """One call that a trunk brings us.

    Args:
        event: The INVITE.
        dialled: The number dialled, as the trunk's settings find it.
        calls: Who decides, and keeps the pages.
        trunk: Where it comes from.
        endpoint: The SIP listener.
        workers: Where the media live.
        ports: Media ports.
        suspects: Callers that are kept apart from others.
    """

    group = "in"
    bye_after = BYE_AFTER

    def __init__(
        self,
        event: IncomingCall,
        dialled: str,
        calls: InboundCalls,
        trunk: Trunk,
        endpoint: SipEndpoint,
        workers: CallWorkers,
        ports: PortRange,
        suspects: Suspects,
    ) -> None:
        self._arrival = Arrival(time.time())
        apart = suspects.has(event.caller, endpoint.now)
        super().__init__(self._arrival, trunk, endpoint, workers, ports, event.call, isolated=apart)
        self._suspects = suspects
        self.trunk = trunk.name
        """Name of its trunk."""
        self._event = event
        self._id: CallId = event.call
        self._caller_at = event.source
        self._tap(event.call.rpartition("/")[0])
        self._call = event.call
        self._dialled = dialled
        self._calls = calls
        self._admission: Admission | None = None
        self._offer = event.offer
        self._answered = False
        """200 OK has left."""
        endpoint.listen(event.call, self._inbox)

    async def run(self) -> None:
        """See the call through. Never raises for a failed call."""
        self._commits.start()
        try:
            self._admission = await self._admit()
            if self._admission is None:
                return
            if await self._answer():
                await self._serve()
            await self._finish()
        finally:
            await self._release()
            if self._admission is not None:
                await self._tell(self._admission)

    async def _tell(self, admission: Admission) -> None:
        facts = self._arrival
        await self._calls.ended(
            admission.reception,
            facts.outcome(time.time()),
            acknowledged=facts.acknowledged,
            farewell=facts.farewell,
        )

    # The beginning

    async def _admit(self) -> Admission | None:
        """Ask; refuse with the status, which leaves nothing to be told."""
        if self._media.answer_first(self._offer) is None:
            self._reject(NOT_ACCEPTABLE)
            return None
        try:
            dialog = self._endpoint.agent.dialog_of(self._id).to_dict()
        except LocalProtocolError:
            self._sip_over = True  # given up already
            return None
        event = self._event
        ringing = Ringing(
            self._trunk.name,
            self._id.rpartition("/")[0],
            self._dialled,
            event.caller,
            event.display,
            dialog,
            self._trunk.settings.customer,
        )
        decided = await self._calls.admit(ringing)
        if isinstance(decided, int):
            self._reject(decided)
            return None
        return decided

    async def _answer(self) -> bool:
        """Take a place and ports, and send 200 OK. False: the call did not come about."""
        try:
            await self._media.open()
        except (NoMediaPorts, NoWorker) as exc:
            self._arrival.force(Cause.LINE_FAULT, str(exc))
            self._reject(UNAVAILABLE)
            return False
        if self._wish is not None:
            self._on_hang_up(self._wish)
            return False
        made = self._media.answer_first(self._offer)
        try:
            if made is None:
                raise LocalProtocolError("nothing to answer")
            self._endpoint.agent.answer(self._id, made, self._endpoint.now)
        except LocalProtocolError as exc:  # given up while it rang
            self._arrival.details.append(f"not answered: {exc}")
            self._sip_over = True
            return False
        self._answered = True
        self._endpoint.pump()
        self._show("answered")
        return True

    def _reject(self, status: int) -> None:
        with contextlib.suppress(LocalProtocolError):  # given up already
            self._endpoint.agent.reject(self._id, status, self._endpoint.now)
        self._sip_over = True
        self._endpoint.pump()

    def _refuse(self) -> None:
        """A final response, or BYE when 200 OK has left."""
        if self._answered:
            self._say_bye()
        else:
            self._reject(UNAVAILABLE)

    def _on_worker_gone(self, gone: WorkerGone) -> None:
        if self._media.running and not gone.our_doing:
            self._suspects.suspect(self._event.caller, self._endpoint.now)
        super()._on_worker_gone(gone)

    # SIP

    def _on_own_event(self, event: object) -> None:
        if isinstance(event, Acknowledged):
            self._on_acknowledged(event)

    def _on_acknowledged(self, event: Acknowledged) -> None:
        self._arrival.answered_at = time.time()
        if self._offer is None:
            self._offer = event.sdp
        if self._admission is not None and not self._closing:
            self._timers.start("answered", self._endpoint.now + ANSWERED_WITHIN)
            self._commits.ask(_Kept(), partial(self._calls.answered, self._admission.reception))

    def _start_media(self) -> None:
        """The answer is committed: the worker begins, and T.38 is proposed in a moment."""
        admission = self._admission
        if admission is None or not self._may_begin:
            return
        remote, payload_type = self._media.remote_audio(self._offer)
        t38 = self._first_t38()
        if payload_type is None and t38 is None:
            self._arrival.force(Cause.NO_COMMON_MODE, "the caller has no media we can use")
            self._say_bye()
            return
        codec = self._trunk.payload_types[0] if payload_type is None else payload_type
        begun = self._begin(
            lambda number: control.Start(
                call=number,
                role=control.Role.RECEIVE,
                rtp_remote=remote,
                payload_type=codec,
                t38=t38,
                signalling=self._event.source[0],
                nat=self._trunk.settings.nat,
                station_id=admission.station_id,
                ecm=admission.ecm,
                modems=modems(admission.max_bit_rate),
                calling_party=False,
                takes_sub_address=True,
            )
        )
        if begun and t38 is None and self._trunk.settings.t38:
            self._timers.start("t38", self._endpoint.now + T38_AFTER)

    def _first_t38(self) -> control.T38Media | None:
        """T.38 when the call begins with it: our answer to the caller's offer says so, or the ACK to ours."""
        if self._offer is None:
            return None
        return self._media.first_t38(self._offer) if self._event.offer else self._media.t38_of(self._offer)

    def _on_sip_ended(self) -> None:
        if self._arrival.whole and self._media.running:
            self._timers.start("linger", self._endpoint.now + LINGER)
        else:
            self._end_media()

    # The worker

    def _on_received(self, received: Received) -> None:
        match received.message:
            case control.PhaseB():
                self._on_phase_b(received.message)
            case control.PageReceived():
                self._on_page(received.message, received.descriptors)
                return
            case control.Trace():
                self._on_trace(received.message)
            case control.PhaseE():
                self._on_phase_e(received.message)
        _close(received.descriptors)

    def _on_phase_b(self, message: control.PhaseB) -> None:
        self._arrival.phase_b = True
        self._arrival.remote_ident = message.remote_ident
        self._arrival.sub_address = message.sub_address
        self._timers.stop("t38")
        self._show("phase_b")

    def _on_page(self, message: control.PageReceived, descriptors: tuple[int, ...]) -> None:
        if len(descriptors) != 1 or self._admission is None:
            _close(descriptors)
            self._fail("a page came without its file")
            return
        self._arrival.announced = message.page
        end = PageEnd.EOP if message.last else PageEnd.EOM if message.document_end else PageEnd.MPS
        page = ReceivedPage(
            message.page,
            message.rows,
            message.width,
            message.x_resolution,
            message.y_resolution,
            message.bad_rows,
            message.encoding,
            end,
            self._arrival.remote_ident,
            self._arrival.sub_address,
        )
        self._commits.ask(
            _Kept(message.page, end is PageEnd.EOP),
            partial(self._calls.page, self._admission.reception, page, descriptors[0]),
            partial(os.close, descriptors[0]),
        )
        noise = f", {message.bad_rows} bad rows" if message.bad_rows else ""
        self._note(f"page {message.page} received, {message.rows} rows of {message.encoding}{noise}")
        self._watch.encoding = message.encoding
        self._show("page", message.page)

    # Promises

    def _on_committed(self, committed: Committed) -> None:
        kept = committed.what
        if not isinstance(kept, _Kept):
            return
        if not committed.durable:
            self._fail(f"page {kept.page} was not kept" if kept.page else "answer not committed")
        elif kept.page == 0:
            self._on_answer_committed()
        elif self._media.acknowledge(Gate.PAGE, "", kept.page):
            self._arrival.released = kept.page
            self._arrival.whole = kept.last
            if kept.last:
                self._timers.start("parting", self._endpoint.now + PARTING_WITHIN)

    # The end

    def _on_own_timer(self, name: str) -> None:
        if name == "linger":
            self._end_media()
        elif name == "parting":
            self._arrival.details.append("the sender did not say goodbye")
            self._end_all()

    def _on_late(self, item: object) -> None:
        """Frames count; a page that comes now is left to the sender, who gets no MCF for it."""
        if isinstance(item, Received):
            if isinstance(item.message, control.Trace):
                self._arrival.add_frames(item.message.frames)
            _close(item.descriptors)

    @property
    def reception(self) -> str:
        """The reception's id; empty when the call was not admitted."""
        return "" if self._admission is None else self._admission.reception

    @property
    def numbers(self) -> tuple[str, str]:
        """The number dialled, and the caller's."""
        return self._dialled, self._event.caller

    @property
    def failed(self) -> bool:
        """Whether what has come so far is not a whole fax."""
        return not self._arrival.whole

    def _tell_progress(self) -> None:
        if self._admission is not None:
            self._calls.progress(self._admission.reception, self._watch.progress())


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
