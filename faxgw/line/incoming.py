"""One call to us: admitted, answered, switched to T.38, each page kept before the worker may confirm it.

Everything that happens to a call goes through one inbox and is handled one by one; what must be durable is asked for
beside it, in order, and comes back through the inbox. The rules are those of docs/spine.md sections 4 and 5 and
docs/transport.md D.3 and J.7:

- the reception's row is durable before 200 OK; a refusal has its SIP status and leaves no row;
- a little after the ACK we re-INVITE to T.38, for many senders never do; 488 leaves the call in audio, and what the
  caller proposes is taken before phase B;
- a page is acknowledged only when it is durable, else the call ends without its MCF.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.fax.ports import Admission, CallProgress, InboundCalls, Ringing
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.foip import control
from faxgw.foip.control import Gate
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import (
    Acknowledged,
    By,
    Ended,
    IncomingCall,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
from faxgw.foip.headers import NameAddr, split_list
from faxgw.foip.message import clean_text
from faxgw.foip.sdp import (
    Origin,
    SessionDescription,
    T38Parameters,
    answer,
    answer_audio,
    answer_t38,
    audio_line,
    offer,
    t38_line,
)
from faxgw.foip.transaction import Timers
from faxgw.foip.uri import SipUri
from faxgw.line.arrival import Arrival
from faxgw.line.calls import FAREWELL_WITHIN, PHASE_E_WITHIN, HangUp, modems, t38_media
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.trunk import MediaSockets, NoMediaPorts, PortRange, Trunk, bind_media
from faxgw.line.workers import CallWorkers, Inbox, NoWorker, Place, Received, WorkerGone

log = logging.getLogger(__name__)

T38_AFTER: Final = 0.3
"""Seconds from the ACK to our re-INVITE to T.38 (docs/transport.md D.3 rule 1: 0.2 to 1 s)."""
BYE_AFTER: Final = 1.0
"""Seconds from phase E to our BYE; the sender, who placed the call, usually says it first."""
LINGER: Final = 0.3
"""Seconds the worker still reads after a BYE that came with the last page confirmed: DCN may be right before it."""
NOT_ACCEPTABLE: Final = 488
UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True)
class _Done:
    """A promise came back: `answered`, or a page."""

    page: int
    """0: the answer."""
    durable: bool
    last: bool = False


class IncomingFaxCall:
    """One call that a trunk brings us.

    Args:
        event: The INVITE.
        dialled: The number dialled, as the trunk's settings find it.
        calls: Who decides, and keeps the pages.
        trunk: Where it comes from.
        endpoint: The SIP listener.
        workers: Where the media live.
        ports: Media ports.
    """

    def __init__(
        self,
        event: IncomingCall,
        dialled: str,
        calls: InboundCalls,
        trunk: Trunk,
        endpoint: SipEndpoint,
        workers: CallWorkers,
        ports: PortRange,
    ) -> None:
        self.trunk = trunk.name
        """Name of its trunk."""
        self._event = event
        self._call = event.call
        self._dialled = dialled
        self._calls = calls
        self._trunk = trunk
        self._endpoint = endpoint
        self._workers = workers
        self._ports = ports
        self._inbox: Inbox = asyncio.Queue()
        self._timers = Timers()
        self._promises: asyncio.Queue[tuple[ReceivedPage, int] | None] = asyncio.Queue()
        self._origin = Origin(int.from_bytes(os.urandom(4), "big"), 1, endpoint.media_address)
        self._admission: Admission | None = None
        self._place: Place | None = None
        self._sockets: MediaSockets | None = None
        self._rtp_port = 0
        self._udptl_port = 0
        self._offer = event.offer
        self._sip_over = False
        self._answered = False
        self._media_over = True
        self._t38 = False
        self._proposed = False
        self._facts = Arrival(time.time())
        endpoint.listen(self._call, self._inbox)

    def hang_up(self, cause: Cause, detail: str) -> None:
        """End the call; `run` then returns."""
        self._inbox.put_nowait(HangUp(cause, detail))

    async def run(self) -> None:
        """See the call through. Never raises for a failed call."""
        keeper: asyncio.Task[None] | None = None
        try:
            self._admission = await self._admit()
            if self._admission is None:
                return
            keeper = asyncio.create_task(
                self._keep_for_ever(self._admission.reception), name=f"keep {self._admission.reception}"
            )
            if await self._answer(self._admission):
                await self._serve()
            self._promises.put_nowait(None)  # what is under way is durable, or not, before we tell the end
            await keeper
            self._drain()
        finally:
            if keeper is not None:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
            self._release()
            if self._admission is not None:
                await self._tell(self._admission)

    async def _tell(self, admission: Admission) -> None:
        facts = self._facts
        await self._calls.ended(
            admission.reception,
            facts.outcome(time.time()),
            acknowledged=facts.acknowledged,
            farewell=facts.farewell,
        )

    # The beginning

    async def _admit(self) -> Admission | None:
        """Ask; refuse with the status, which leaves nothing to be told."""
        if self._usable() is None:
            self._reject(NOT_ACCEPTABLE)
            return None
        try:
            dialog = self._endpoint.agent.dialog_of(self._call).to_dict()
        except LocalProtocolError:
            return None  # given up already
        event = self._event
        ringing = Ringing(
            self._trunk.name, self._call.rpartition("/")[0], self._dialled, event.caller, event.display, dialog
        )
        decided = await self._calls.admit(ringing)
        if isinstance(decided, int):
            self._reject(decided)
            return None
        return decided

    def _usable(self) -> SessionDescription | None:
        """Our answer to the first offer, or our offer if the caller made none; None if nothing fits."""
        if self._offer is None:
            return offer(self._origin, audio_line(self._rtp_port or 9, self._trunk.payload_types))
        made = answer_audio(self._offer, self._origin, self._rtp_port or 9, self._trunk.payload_types)
        if made is None and self._trunk.settings.t38 and t38_media(self._offer) is not None:
            made = answer_t38(self._offer, self._origin, self._udptl_port or 9)
        return made

    async def _answer(self, admission: Admission) -> bool:
        """Take a place and ports, and send 200 OK. False: the call did not come about."""
        try:
            self._place = await self._workers.reserve(self._inbox)
            self._sockets = bind_media(self._endpoint.host, self._ports)
        except (NoMediaPorts, NoWorker) as exc:
            self._facts.force(Cause.LINE_FAULT, str(exc))
            self._reject(UNAVAILABLE)
            return False
        self._rtp_port, self._udptl_port = self._sockets.rtp_port, self._sockets.udptl_port
        made = self._usable()
        try:
            if made is None:
                raise LocalProtocolError("nothing to answer")
            self._endpoint.agent.answer(self._call, made, self._endpoint.now)
        except LocalProtocolError as exc:  # given up while it rang
            self._facts.details.append(f"not answered: {exc}")
            return False
        self._answered = True
        self._endpoint.pump()
        self._show("answered")
        return True

    def _reject(self, status: int) -> None:
        with contextlib.suppress(LocalProtocolError):  # given up already
            self._endpoint.agent.reject(self._call, status, self._endpoint.now)
        self._sip_over = True
        self._endpoint.pump()

    # The call

    async def _serve(self) -> None:
        while not (self._sip_over and self._media_over):
            item = await self._next()
            if item is None:
                for name in self._timers.due(self._endpoint.now):
                    self._on_timer(name)
            else:
                self._on_item(item)

    async def _next(self) -> object | None:
        """The next thing that happens; None when a timer is due."""
        try:
            async with asyncio.timeout_at(self._timers.deadline):
                return await self._inbox.get()
        except TimeoutError:
            return None

    def _on_item(self, item: object) -> None:
        match item:
            case Received():
                self._on_message(item)
            case WorkerGone():
                self._on_worker_gone(item)
            case _Done():
                self._on_done(item)
            case HangUp():
                self._facts.force(item.cause, item.detail)
                self._end_all()
            case _:
                self._on_event(item)

    # SIP

    def _on_event(self, event: object) -> None:
        match event:
            case Acknowledged():
                self._on_acknowledged(event)
            case Reoffered():
                self._on_reoffered(event.offer)
            case ReofferAnswered():
                self._on_reoffer_answered(event.sdp)
            case ReofferRefused():
                self._facts.details.append(f"T.38 refused with {event.status}")
            case Ended():
                self._on_ended(event)

    def _on_acknowledged(self, event: Acknowledged) -> None:
        self._facts.answered_at = time.time()
        if self._offer is None:
            self._offer = event.sdp
        self._promises.put_nowait((_ANSWER, -1))

    def _start_media(self) -> None:
        """The answer is committed: the worker begins, and T.38 is proposed in a moment."""
        admission, place, sockets = self._admission, self._place, self._sockets
        if admission is None or place is None or sockets is None or self._sip_over:
            return
        remote, payload_type = self._audio_of(self._offer)
        t38 = t38_media(self._offer) if remote is None and self._offer is not None else None
        if (remote is None or payload_type is None) and t38 is None:
            self._facts.force(Cause.NO_COMMON_MODE, "the caller has no media we can use")
            self._say_bye()
            return
        start = control.Start(
            call=place.number,
            role=control.Role.RECEIVE,
            rtp_remote=remote,
            payload_type=self._trunk.payload_types[0] if payload_type is None else payload_type,
            t38=t38,
            station_id=admission.station_id,
            ecm=admission.ecm,
            modems=modems(admission.max_bit_rate),
            calling_party=False,
        )
        self._media_over = False
        self._t38 = t38 is not None
        place.send(start, [sockets.rtp.fileno(), sockets.udptl.fileno()])
        self._close_sockets()
        if not self._t38 and self._trunk.settings.t38:
            self._timers.start("t38", self._endpoint.now + T38_AFTER)

    def _audio_of(self, sdp: SessionDescription | None) -> tuple[tuple[str, int] | None, int | None]:
        line = sdp.audio if sdp is not None else None
        if sdp is None or line is None:
            return None, None
        try:
            return sdp.address_of(line), line.payload_type(self._trunk.payload_types)
        except RemoteProtocolError:
            return None, None

    def _on_reoffered(self, offered: SessionDescription) -> None:
        """The caller changes the session (docs/transport.md D.3 rules 2 and 4)."""
        self._origin = self._origin.next()
        made: SessionDescription | None = None
        switch: control.T38Media | None = None
        if offered.t38 is not None:
            allowed = self._trunk.settings.t38 and (self._t38 or not self._facts.phase_b)
            switch = t38_media(offered) if allowed else None
            made = answer_t38(offered, self._origin, self._udptl_port) if switch is not None else None
        elif offered.audio is not None:
            made = answer_audio(offered, self._origin, self._rtp_port, self._trunk.payload_types)
        else:  # all lines at port 0: the end of the session, BYE follows
            made = answer(offered, self._origin, {})
        if made is None:
            self._command(lambda: self._endpoint.agent.refuse_reinvite(self._call, NOT_ACCEPTABLE, self._endpoint.now))
            return
        agreed = made
        self._command(lambda: self._endpoint.agent.answer_reinvite(self._call, agreed, self._endpoint.now))
        if switch is not None:
            self._switch(switch)
        elif not self._t38:
            self._tell_media(offered)

    def _on_reoffer_answered(self, sdp: SessionDescription) -> None:
        media = t38_media(sdp)
        if media is None:
            self._tell_media(sdp)
        elif self._facts.phase_b and not self._t38:
            self._return_to_audio()
        else:
            self._switch(media)

    def _switch(self, media: control.T38Media) -> None:
        self._t38 = True
        self._timers.stop("t38")
        self._send(lambda place: control.SwitchT38(place.number, media))
        self._show("t38")

    def _tell_media(self, sdp: SessionDescription) -> None:
        """The caller's audio address or coding may have changed."""
        remote, payload_type = self._audio_of(sdp)
        if remote is not None and payload_type is not None:
            self._send(lambda place: control.Media(place.number, remote, payload_type))

    def _propose_t38(self) -> None:
        """Our own re-INVITE, once, before phase B."""
        if self._proposed or self._t38 or self._facts.phase_b or self._sip_over:
            return
        self._proposed = True
        self._origin = self._origin.next()
        proposal = offer(self._origin, t38_line(self._udptl_port, T38Parameters()))
        self._command(lambda: self._endpoint.agent.reinvite(self._call, proposal, self._endpoint.now))

    def _return_to_audio(self) -> None:
        """T.38 was agreed too late: the fax has begun in audio and stays there."""
        self._origin = self._origin.next()
        back = offer(self._origin, audio_line(self._rtp_port, self._trunk.payload_types))
        self._facts.details.append("T.38 came after phase B")
        self._command(lambda: self._endpoint.agent.reinvite(self._call, back, self._endpoint.now))

    def _on_ended(self, event: Ended) -> None:
        self._sip_over = True
        self._timers.stop("bye", "farewell", "t38")
        self._facts.add_causes(event.causes)
        if event.by is not By.LOCAL:
            self._facts.details.append(f"SIP: {event.why} by {event.by.value}")
            self._facts.remote_ended = self._facts.phase_e is None
        if self._facts.whole and not self._media_over:
            self._timers.start("linger", self._endpoint.now + LINGER)
        else:
            self._end_media()

    # The worker

    def _on_message(self, item: Received) -> None:
        match item.message:
            case control.PhaseB():
                self._facts.phase_b = True
                self._facts.ident = item.message.remote_ident
                self._timers.stop("t38")
                self._show("phase_b")
            case control.PageReceived():
                self._on_page(item.message, item.descriptors)
                return
            case control.Trace():
                self._facts.add_frames(item.message.frames)
            case control.PhaseE():
                self._on_phase_e(item.message)
        _close(item.descriptors)

    def _on_page(self, message: control.PageReceived, descriptors: tuple[int, ...]) -> None:
        if len(descriptors) != 1:
            _close(descriptors)
            self._facts.force(Cause.LINE_FAULT, "a page came without its file")
            self._end_all()
            return
        self._facts.announced = message.page
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
            self._facts.ident,
        )
        self._promises.put_nowait((page, descriptors[0]))
        self._show("page", message.page)

    def _on_phase_e(self, message: control.PhaseE) -> None:
        self._facts.phase_e = message
        self._media_over = True
        self._timers.stop("phase_e", "t38", "linger")
        self._show("closing")
        if not self._sip_over and not self._timers.running("farewell"):
            self._timers.start("bye", self._endpoint.now + BYE_AFTER)

    def _on_worker_gone(self, gone: WorkerGone) -> None:
        if self._media_over and self._facts.answered_at is not None and self._facts.phase_e is not None:
            return  # its part was done
        self._facts.worker_gone = gone.text
        self._facts.worker_died = not gone.our_doing
        self._media_over = True
        self._place = None
        self._say_bye()

    # Promises

    async def _keep_for_ever(self, reception: str) -> None:
        """Ask for what must be durable, one after the other; each answer comes back through the inbox."""
        while (item := await self._promises.get()) is not None:
            page, descriptor = item
            try:
                durable = await (
                    self._calls.answered(reception)
                    if page is _ANSWER
                    else self._calls.page(reception, page, descriptor)
                )
            except Exception:
                log.exception("promise failed", extra={"event": "call.mark_failed", "reception": reception})
                durable = False
            finally:
                _close((descriptor,) if descriptor >= 0 else ())
            self._inbox.put_nowait(_Done(page.page, durable, page.end is PageEnd.EOP))

    def _on_done(self, done: _Done) -> None:
        if not done.durable:
            self._facts.force(
                Cause.LINE_FAULT, f"page {done.page} was not kept" if done.page else "answer not committed"
            )
            self._end_all()
        elif done.page == 0:
            self._start_media()
        elif self._send(lambda place: control.Ack(place.number, Gate.PAGE, "", done.page)):
            self._facts.released = done.page
            self._facts.whole = done.last

    def _drain(self) -> None:
        """After the end: promises that came back last, and frames still in the inbox."""
        while not self._inbox.empty():
            item = self._inbox.get_nowait()
            if isinstance(item, Received):
                if isinstance(item.message, control.Trace):
                    self._facts.add_frames(item.message.frames)
                _close(item.descriptors)

    # The end

    def _on_timer(self, name: str) -> None:
        if name == "t38":
            self._propose_t38()
        elif name == "bye":
            self._say_bye()
        elif name == "linger":
            self._end_media()
        elif name == "phase_e":
            self._facts.details.append("the call worker did not end the fax in time")
            self._media_over = True
        elif name == "farewell":
            self._sip_over = True

    def _end_all(self) -> None:
        """Nothing more is confirmed, and the caller is told."""
        self._end_media()
        self._say_bye()

    def _end_media(self) -> None:
        """Tell the worker to hang up; its phase E is awaited for PHASE_E_WITHIN."""
        if not self._timers.running("phase_e") and self._send(lambda place: control.Hangup(place.number)):
            self._timers.start("phase_e", self._endpoint.now + PHASE_E_WITHIN)

    def _say_bye(self) -> None:
        if self._sip_over or self._timers.running("farewell"):
            return
        self._timers.stop("bye")
        self._timers.start("farewell", self._endpoint.now + FAREWELL_WITHIN)
        self._command(lambda: self._endpoint.agent.bye(self._call, self._endpoint.now))

    def _send(self, make: Callable[[Place], control.Message]) -> bool:
        """Say something to the worker while it serves the call."""
        place = self._place
        if place is None or self._media_over or not place.alive:
            return False
        place.send(make(place))
        return True

    def _command(self, command: Callable[[], None]) -> None:
        """Give the agent a command; one that crosses the caller's own doing is void."""
        try:
            command()
        except LocalProtocolError as exc:
            log.info("command crossed", extra={"event": "call.crossed", "call_id": self._call, "why": str(exc)})
        self._endpoint.pump()

    def _release(self) -> None:
        """Give back whatever is left, also when we are cancelled in the middle."""
        self._end_media()
        if self._place is not None:
            self._place.release()
        if not self._sip_over:
            if self._answered:
                self._say_bye()
            else:
                self._reject(UNAVAILABLE)
        self._close_sockets()
        self._endpoint.forget(self._call)
        self._drain()
        while not self._promises.empty():
            item = self._promises.get_nowait()
            _close((item[1],) if item is not None and item[1] >= 0 else ())

    def _close_sockets(self) -> None:
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    def _show(self, phase: str, page: int = 0) -> None:
        if self._admission is not None:
            self._calls.progress(self._admission.reception, CallProgress(phase, page, self._facts.ident))


def dialled(event: IncomingCall, where: str) -> str:
    """The number dialled of a call to us, from the Request-URI, To or Diversion (RFC 5806); empty for none.

    Args:
        event: The INVITE.
        where: `request_uri`, `to` or `diversion`, as the trunk's settings say. A call that was not diverted has no
            Diversion: then the Request-URI counts.
    """
    if where == "request_uri":
        return event.target
    values = [value for name, value in event.headers if name.lower() == where]
    try:
        uri = NameAddr.parse(split_list(values[0])[0]).uri
    except (IndexError, RemoteProtocolError):
        return event.target if where == "diversion" and not values else ""
    return clean_text(uri.username) if isinstance(uri, SipUri) else clean_text(uri.opaque)


_ANSWER: Final = ReceivedPage(0, 0, 0, 0, 0, 0, "", PageEnd.MPS)
"""Stands for the answer in the queue of promises."""


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
