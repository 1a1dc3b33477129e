"""One outgoing call: SIP events, the worker's messages and the marks, brought into one order.

Everything that happens to a call goes through one inbox and is handled one by one; commits run beside it, in their
own order, and come back through the inbox, so that a slow database holds up no BYE. The rules are those of
docs/spine.md sections 3 and 5 and docs/transport.md D.3 and J.7:

- `answered` is durable before the ACK, `exposed` and `confirmed` before the worker is told;
- the far end's T.38 proposal is taken before phase B, ours is made a little after the answer tone, or at the V.21
  preamble, and never after phase B; a refusal leaves the call in audio;
- after phase E the call says BYE within a second; after the far end's BYE the worker has 2 s for its phase E.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallMarks, CallPlan, CallProgress
from faxgw.foip import control, t30_frames
from faxgw.foip.control import Gate, Tone
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import (
    Answered,
    By,
    CallId,
    CallIdentity,
    Ended,
    Provisional,
    Rejected,
    ReofferAnswered,
    Reoffered,
    ReofferRefused,
)
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
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.tally import Tally
from faxgw.line.trunk import MediaSockets, NoMediaPorts, PortRange, Trunk, bind_media
from faxgw.line.workers import CallWorkers, Inbox, NoWorker, Place, Received, WorkerGone

log = logging.getLogger(__name__)

BYE_DELAY = 0.2
"""Seconds from phase E to our BYE. Measured: phase E comes 1.2 s after DCN has left, so nothing is cut off, and the
BYE is out within 3 s of DCN even when the far end waits for it."""
PHASE_E_WITHIN = 2.0
"""Seconds the worker may take to its phase E after it was told to hang up."""
FAREWELL_WITHIN = 4.0
"""Seconds we wait for the answer to BYE or CANCEL; the agent goes on repeating it without us."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody wants the call ended."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class _Marked:
    """A mark came back from the store."""

    kind: str
    fax: str
    page: int
    durable: bool


class OutgoingFaxCall:
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
        self._plan = plan
        self._marks = marks
        self._trunk = trunk
        self._endpoint = endpoint
        self._workers = workers
        self._ports = ports
        self._t38_wait = t38_wait
        self._inbox: Inbox = asyncio.Queue()
        self._timers = Timers()
        self._commits: asyncio.Queue[tuple[str, str, int, dict[str, object]] | None] = asyncio.Queue()
        self._call: CallId | None = None
        self._place: Place | None = None
        self._sockets: MediaSockets | None = None
        self._rtp_port = 0
        self._udptl_port = 0
        self._origin = Origin(int.from_bytes(os.urandom(4), "big"), 1, endpoint.media_address)
        self._answer: SessionDescription | None = None
        self._sip_over = True
        self._media_over = True
        self._started = False
        self._t38 = False
        self._proposed = False
        self._asked: set[tuple[str, str, int]] = set()
        pages = sum(document.last - document.first + 1 for document in plan.documents)
        self._tally = Tally(pages, time.time())

    def hang_up(self, cause: Cause, detail: str) -> None:
        """End the call; `run` then returns."""
        self._inbox.put_nowait(HangUp(cause, detail))

    async def run(self) -> Outcome:
        """See the call through. Never raises for a failed call."""
        committer = asyncio.create_task(self._commit_for_ever(), name=f"marks {self._plan.attempt}")
        try:
            if await self._begin():
                while not (self._sip_over and self._media_over):
                    item = await self._next()
                    if item is None:
                        for name in self._timers.due(self._endpoint.now):
                            self._on_timer(name)
                    elif isinstance(item, WorkerGone) and not self._started:
                        await self._find_other_worker(item)
                    else:
                        self._on_item(item)
            self._commits.put_nowait(None)
            await committer  # what the far end confirmed is written down before we tell the result
            self._drain()
            return self._tally.outcome(time.time())
        finally:
            committer.cancel()
            await asyncio.gather(committer, return_exceptions=True)
            self._release()

    # The beginning

    async def _begin(self) -> bool:
        """Everything up to the INVITE. False: it did not leave."""
        plan = self._plan
        try:
            self._sockets = bind_media(self._endpoint.host, self._ports)
            self._rtp_port, self._udptl_port = self._sockets.rtp_port, self._sockets.udptl_port
            self._place = await self._workers.reserve(self._inbox, isolated=plan.isolated)
            destination = await self._trunk.address()
        except (NoMediaPorts, NoWorker) as exc:
            self._tally.force(Cause.LINE_FAULT, str(exc))
            return False
        except OSError as exc:
            self._tally.force(Cause.CARRIER_FAULT, f"trunk {self._trunk.name} not resolved: {exc}")
            return False
        if plan.not_after and self._endpoint.now > plan.not_after:
            self._tally.force(Cause.LINE_FAULT, "the INVITE would have left too long after its commit")
            return False
        identity = CallIdentity(plan.identity.call_id, plan.identity.from_tag, plan.identity.branch, plan.identity.cseq)
        try:
            self._call = self._endpoint.agent.invite(
                identity,
                self._trunk.target(plan.number),
                destination,
                offer(self._origin, audio_line(self._rtp_port, self._trunk.payload_types)),
                from_=self._trunk.from_(plan.caller),
                to=self._trunk.to(plan.number),
                credentials=self._trunk.credentials,
                now=self._endpoint.now,
            )
        except LocalProtocolError as exc:
            self._tally.force(Cause.LINE_FAULT, f"not dialled: {exc}")
            return False
        self._sip_over = False
        self._endpoint.listen(self._call, self._inbox)
        self._timers.start("ring", self._endpoint.now + float(self._trunk.settings.ring_time))
        self._endpoint.pump()
        self._show("dialling")
        return True

    async def _find_other_worker(self, gone: WorkerGone) -> None:
        """The worker died before this call had begun in it: no harm was done."""
        try:
            self._place = await self._workers.reserve(self._inbox, isolated=self._plan.isolated)
        except NoWorker as exc:
            self._place = None
            self._tally.force(Cause.LINE_FAULT, f"{exc}; the first one: {gone.text}")
            self._end_sip()

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
                self._on_message(item.message)
                for descriptor in item.descriptors:  # a sending call gets none
                    os.close(descriptor)
            case WorkerGone():
                self._on_worker_gone(item)
            case _Marked():
                self._on_marked(item)
            case HangUp():
                self._on_hang_up(item)
            case _:
                self._on_event(item)

    # SIP

    def _on_event(self, event: object) -> None:
        match event:
            case Provisional():
                self._show("ringing")
            case Answered():
                self._on_answered(event)
            case Rejected():
                self._timers.clear()
                self._tally.sip_status = event.status
                self._tally.add_causes(event.causes)
                self._tally.details.append(f"SIP {event.status} {event.reason}{' (no answer came)' * event.local}")
                self._sip_over = True
            case Reoffered():
                self._on_reoffered(event.offer)
            case ReofferAnswered():
                self._on_reoffer_answered(event.sdp)
            case ReofferRefused():
                self._tally.details.append(f"T.38 refused with {event.status}")
            case Ended():
                self._on_ended(event)

    def _on_answered(self, event: Answered) -> None:
        self._timers.stop("ring")
        self._tally.answered_at = time.time()
        self._answer = event.sdp
        self._show("answered")
        self._commits.put_nowait(("answered", "", 0, dict(event.dialog.to_dict())))

    def _start_media(self) -> None:
        """The mark `answered` is durable: ACK, and the worker begins."""
        call, place, sockets = self._call, self._place, self._sockets
        if call is None or place is None or sockets is None or self._sip_over:
            return
        remote, payload_type = self._audio_of(self._answer)
        if remote is None or payload_type is None:
            self._tally.force(Cause.NO_COMMON_MODE, "the answer has no audio we can use")
            self._say_bye()
            return
        self._command(lambda: self._endpoint.agent.acknowledge(call, self._endpoint.now))
        start = control.Start(
            call=place.number,
            role=control.Role.SEND,
            rtp_remote=remote,
            payload_type=payload_type,
            t38=None,
            station_id=self._plan.station_id,
            documents=tuple(
                control.Document(document.fax, document.pages_in_file, document.first, document.last)
                for document in self._plan.documents
            ),
            ecm=self._plan.ecm,
            modems=modems(self._plan.max_bit_rate),
            sub_address=self._plan.sub_address,
        )
        descriptors = [sockets.rtp.fileno(), sockets.udptl.fileno(), *(d.descriptor for d in self._plan.documents)]
        self._started = True
        self._media_over = False
        place.send(start, descriptors)
        self._close_sockets()

    def _audio_of(self, sdp: SessionDescription | None) -> tuple[tuple[str, int] | None, int | None]:
        line = sdp.audio if sdp is not None else None
        if sdp is None or line is None:
            return None, None
        try:
            return sdp.address_of(line), line.payload_type(self._trunk.payload_types)
        except RemoteProtocolError:
            return None, None

    def _on_reoffered(self, offered: SessionDescription) -> None:
        """The far end changes the session (docs/transport.md D.3 rules 1, 2 and 4)."""
        self._origin = self._origin.next()
        made: SessionDescription | None = None
        switch: control.T38Media | None = None
        if offered.t38 is not None:
            allowed = self._trunk.settings.t38 and (self._t38 or not self._tally.phase_b)
            switch = t38_media(offered) if allowed else None
            made = answer_t38(offered, self._origin, self._udptl_port) if switch is not None else None
        elif offered.audio is not None:
            made = answer_audio(offered, self._origin, self._rtp_port, self._trunk.payload_types)
        else:  # all lines at port 0: the end of the session, BYE follows
            made = answer(offered, self._origin, {})
        call = self._call
        if call is None:
            return
        if made is None:
            self._command(lambda: self._endpoint.agent.refuse_reinvite(call, 488, self._endpoint.now))
            return
        agreed = made
        self._command(lambda: self._endpoint.agent.answer_reinvite(call, agreed, self._endpoint.now))
        if switch is not None:
            self._switch(switch)
        elif not self._t38:
            self._tell_media(offered)

    def _on_reoffer_answered(self, sdp: SessionDescription) -> None:
        media = t38_media(sdp)
        if media is None:
            self._tell_media(sdp)
        elif self._tally.phase_b:
            self._return_to_audio()
        else:
            self._switch(media)

    def _switch(self, media: control.T38Media) -> None:
        self._t38 = True
        self._timers.stop("t38")
        if self._place is not None and not self._media_over:
            self._place.send(control.SwitchT38(self._place.number, media))
        self._show("t38")

    def _tell_media(self, sdp: SessionDescription) -> None:
        """The far end's audio address or coding may have changed."""
        remote, payload_type = self._audio_of(sdp)
        if remote is not None and payload_type is not None and self._place is not None and not self._media_over:
            self._place.send(control.Media(self._place.number, remote, payload_type))

    def _propose_t38(self) -> None:
        """Our own re-INVITE, once, before phase B."""
        call = self._call
        if call is None or self._proposed or self._t38 or self._tally.phase_b or not self._trunk.settings.t38:
            return
        self._timers.stop("t38")
        self._proposed = True
        self._origin = self._origin.next()
        proposal = offer(self._origin, t38_line(self._udptl_port, T38Parameters()))
        self._command(lambda: self._endpoint.agent.reinvite(call, proposal, self._endpoint.now))

    def _return_to_audio(self) -> None:
        """T.38 was agreed too late: the fax has begun in audio and stays there."""
        call = self._call
        if call is None:
            return
        self._origin = self._origin.next()
        back = offer(self._origin, audio_line(self._rtp_port, self._trunk.payload_types))
        self._tally.details.append("T.38 came after phase B")
        self._command(lambda: self._endpoint.agent.reinvite(call, back, self._endpoint.now))

    def _on_ended(self, event: Ended) -> None:
        self._sip_over = True
        self._timers.stop("bye", "farewell", "ring", "t38")
        self._tally.add_causes(event.causes)
        if event.by is not By.LOCAL:
            self._tally.details.append(f"SIP: {event.why} by {event.by.value}")
            self._tally.remote_ended = self._tally.phase_e is None
        if not self._media_over:
            self._end_media()

    # The worker

    def _on_message(self, message: control.Message) -> None:
        match message:
            case control.Heard():
                self._on_tone(message.tone)
            case control.PhaseB():
                self._on_phase_b(message)
            case control.Confirmed():
                self._show_page(message)
                self._commits.put_nowait(("confirmed", message.fax, message.page, {}))
            case control.Trace():
                self._tally.add_frames(message.frames)
            case control.PhaseE():
                self._on_phase_e(message)

    def _on_tone(self, tone: Tone) -> None:
        self._tally.heard.add(tone)
        if self._proposed or self._t38 or self._tally.phase_b or not self._trunk.settings.t38:
            return
        if tone is Tone.V21:
            self._propose_t38()
        elif tone is Tone.CED and not self._timers.running("t38"):
            self._timers.start("t38", self._endpoint.now + self._t38_wait)

    def _on_phase_b(self, message: control.PhaseB) -> None:
        self._tally.phase_b = True
        self._tally.remote_ident = message.remote_ident
        self._timers.stop("t38")
        self._show("phase_b")
        meaning = t30_frames.capabilities(message.frame)
        if self._plan.sub_address and meaning is not None and not meaning.sub_address:
            self._tally.details.append("the far end takes no sub-address: none was sent")
        wish = ("exposed", message.fax, message.page)
        if message.fax and wish not in self._asked:  # without a fax nothing of this call can be sent
            self._asked.add(wish)
            self._commits.put_nowait((*wish, {}))

    def _on_phase_e(self, message: control.PhaseE) -> None:
        self._tally.phase_e = message
        self._media_over = True
        self._timers.stop("phase_e", "t38")
        self._show("closing")
        if not self._sip_over and not self._timers.running("farewell"):
            self._timers.start("bye", self._endpoint.now + BYE_DELAY)

    def _on_worker_gone(self, gone: WorkerGone) -> None:
        if self._media_over:
            return  # its part was done
        self._tally.worker_gone = gone.text
        self._tally.worker_died = not gone.our_doing
        self._media_over = True
        self._end_sip()

    # Marks

    def _on_marked(self, mark: _Marked) -> None:
        if not mark.durable:
            self._tally.force(Cause.LINE_FAULT, f"the mark {mark.kind} was not committed")
            self._end_media()
            self._end_sip()
        elif mark.kind == "answered":
            self._start_media()
        else:
            self._count(mark)
            if self._place is not None and not self._media_over:
                self._place.send(control.Ack(self._place.number, Gate(mark.kind), mark.fax, mark.page))
            self._show("page", mark.page + (mark.kind == "confirmed"))

    def _count(self, mark: _Marked) -> None:
        if mark.kind == "exposed":
            self._tally.exposed = True
        elif mark.kind == "confirmed":
            self._tally.confirmed.add((mark.fax, mark.page))

    def _drain(self) -> None:
        """After the end: marks that came back last, and frames still in the inbox."""
        while not self._inbox.empty():
            item = self._inbox.get_nowait()
            if isinstance(item, _Marked) and item.durable:
                self._count(item)
            elif isinstance(item, Received):
                if isinstance(item.message, control.Trace):
                    self._tally.add_frames(item.message.frames)
                for descriptor in item.descriptors:
                    os.close(descriptor)

    async def _commit_for_ever(self) -> None:
        """Write the marks in their order; each answer comes back through the inbox."""
        while (item := await self._commits.get()) is not None:
            kind, fax, page, _dialog = item
            try:
                durable = await self._commit(*item)
            except Exception:
                log.exception("mark failed", extra={"event": "call.mark_failed", "attempt": self._plan.attempt})
                durable = False
            self._inbox.put_nowait(_Marked(kind, fax, page, durable))

    async def _commit(self, kind: str, fax: str, page: int, dialog: dict[str, object]) -> bool:
        if kind == "answered":
            return await self._marks.answered(dialog)
        if kind == "exposed":
            return await self._marks.exposed(fax, page)
        return await self._marks.confirmed(fax, page)

    # The end

    def _on_hang_up(self, wish: HangUp) -> None:
        if wish.cause is Cause.CANCELLED:
            self._tally.cancelled = True
        self._tally.force(wish.cause, wish.detail)
        self._end_media()
        self._end_sip()

    def _on_timer(self, name: str) -> None:
        if name == "ring":
            self._tally.force(Cause.NO_ANSWER, f"not answered in {self._trunk.settings.ring_time}")
            self._end_sip()
        elif name == "t38":
            self._propose_t38()
        elif name == "bye":
            self._say_bye()
        elif name == "phase_e":
            self._tally.details.append("the call worker did not end the fax in time")
            self._media_over = True
        elif name == "farewell":
            self._sip_over = True

    def _end_media(self) -> None:
        """Tell the worker to hang up; its phase E is awaited for PHASE_E_WITHIN."""
        if not self._media_over and self._place is not None and not self._timers.running("phase_e"):
            self._place.send(control.Hangup(self._place.number))
            self._timers.start("phase_e", self._endpoint.now + PHASE_E_WITHIN)

    def _end_sip(self) -> None:
        """CANCEL or BYE, whichever fits."""
        if self._sip_over:
            return
        if self._tally.answered_at is not None:
            self._say_bye()
        elif not self._timers.running("farewell"):
            call = self._call
            self._timers.stop("ring")
            self._timers.start("farewell", self._endpoint.now + FAREWELL_WITHIN)
            if call is not None:
                self._command(lambda: self._endpoint.agent.cancel(call, self._endpoint.now))

    def _say_bye(self) -> None:
        call = self._call
        if call is None or self._sip_over or self._timers.running("farewell"):
            return
        self._timers.stop("bye")
        self._timers.start("farewell", self._endpoint.now + FAREWELL_WITHIN)
        self._command(lambda: self._endpoint.agent.bye(call, self._endpoint.now))

    def _command(self, command: Callable[[], None]) -> None:
        """Give the agent a command; one that crosses the far end's own doing is void."""
        try:
            command()
        except LocalProtocolError as exc:
            log.info("command crossed", extra={"event": "call.crossed", "call_id": self._call, "why": str(exc)})
        self._endpoint.pump()

    def _release(self) -> None:
        """Give back whatever is left, also when we are cancelled in the middle."""
        if self._place is not None:
            if not self._media_over:
                self._place.send(control.Hangup(self._place.number))
            self._place.release()
        if not self._sip_over:
            self._end_sip()
        self._close_sockets()
        if self._call is not None:
            self._endpoint.forget(self._call)

    def _close_sockets(self) -> None:
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    def _show_page(self, confirmed: control.Confirmed) -> None:
        stats = confirmed.statistics
        self._marks.progress(
            CallProgress(
                "page",
                confirmed.page,
                self._tally.remote_ident,
                transport=stats.transport,
                bit_rate=stats.bit_rate,
                ecm=stats.ecm,
                encoding=stats.encoding,
            )
        )

    def _show(self, phase: str, page: int = 0) -> None:
        self._marks.progress(CallProgress(phase, page, self._tally.remote_ident))


def t38_media(sdp: SessionDescription) -> control.T38Media | None:
    """What the peer's T.38 line asks of us; None without a usable one."""
    line = sdp.t38
    if line is None:
        return None
    parameters = T38Parameters.parse(line)
    try:
        remote = sdp.address_of(line)
    except RemoteProtocolError:
        return None
    return control.T38Media(remote, parameters.max_datagram, parameters.error_correction.value, parameters.max_bit_rate)


def modems(max_bit_rate: int) -> int:
    """The mask of modems that keeps to a bit rate (docs/transport.md F.2): V.17 cannot be held below 14400."""
    if max_bit_rate >= 14_400:
        return 7
    return 3 if max_bit_rate >= 7_200 else 1
