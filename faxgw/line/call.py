"""What calls in both directions have in common: one inbox, changes of the session, and an end in any case.

Everything that happens to a call goes through its inbox and is handled one by one; what must be durable is asked for
beside it (`line.commits`). Every phase has a bound: ringing, the mark `answered`, the fax, phase E and the goodbye.

- What the far end proposes is taken before phase B, our own proposal of T.38 is made before phase B as well; a refusal
  leaves the call in audio, and only one that crossed the far end's own change is made again (docs/transport.md D.3).
- T.38 that was agreed when phase B had begun in audio is of no use: we offer audio again, and end the call if the far
  end does not go back there. A far end that leaves T.38 by itself has LEFT_T38_WITHIN to hang up.
- Once the call is to end, nothing of it begins any more, whatever was under way.
- After phase E the call says BYE; after the far end's BYE the worker has PHASE_E_WITHIN for its phase E.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.foip import control, recording
from faxgw.foip.agent import UserAgent
from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.events import By, CallId, Ended, MediaMoved, ReofferAnswered, Reoffered, ReofferRefused
from faxgw.foip.sdp import SessionDescription
from faxgw.foip.transaction import Timers
from faxgw.line.commits import Commits, Committed
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.facts import Facts
from faxgw.line.media import MediaLeg
from faxgw.line.ports import NoMediaPorts, PortRange
from faxgw.line.recordings import Tape, literal
from faxgw.line.signalling import Signalling
from faxgw.line.trunk import Trunk
from faxgw.line.watch import Watch
from faxgw.line.workers import CallWorkers, Inbox, NoWorker, Received, WorkerGone

log = logging.getLogger(__name__)

PHASE_E_WITHIN: Final = 2.0
"""Seconds the worker may take to its phase E after it was told to hang up."""
FAREWELL_WITHIN: Final = 4.0
"""Seconds we wait for the answer to BYE or CANCEL; the agent goes on repeating it without us."""
ANSWERED_WITHIN: Final = 20.0
"""Seconds the mark `answered` may take; the far end hears silence meanwhile."""
CALL_WITHIN: Final = control.Limits().call + 60.0
"""Seconds a call worker may have a call; it ends each call earlier by itself."""
PROPOSE_AGAIN: Final = 0.5
"""Seconds until we propose T.38 again while a change of the far end's is still under way."""
MAX_PROPOSALS: Final = 3
"""Our proposals of T.38 in one call; each but the last was overtaken by the far end's own change."""
RETURN_WITHIN: Final = 5.0
"""Seconds in which we must be able to offer audio again after T.38 came to nothing."""
LEFT_T38_WITHIN: Final = 10.0
"""Seconds a far end that went back to audio, or closed its media, has to hang up; the fax cannot go on there."""
REQUEST_PENDING: Final = 491
"""SIP status (RFC 3261 section 14.1)."""
SIP_PORT: Final = 5060
"""Of a trunk that names none (RFC 3261 section 19.1.2); only recordings need it."""
NOT_ACCEPTABLE: Final = 488
"""SIP status (RFC 3261 section 21.4.26)."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """Somebody wants the call ended."""

    cause: Cause
    detail: str


class FaxCall(ABC):
    """One call; base of `OutgoingFaxCall` and `IncomingFaxCall`.

    Args:
        facts: What is known of it.
        trunk: Its trunk.
        endpoint: The SIP listener.
        workers: Where the media live.
        ports: Media ports.
        name: The attempt's or reception's id, for the log.
        isolated: In a call worker of its own.
    """

    group: str
    """`out` or `in`: calls of the two directions share no worker."""
    bye_after: float
    """Seconds from phase E to our BYE."""

    def __init__(
        self,
        facts: Facts,
        trunk: Trunk,
        endpoint: SipEndpoint,
        workers: CallWorkers,
        ports: PortRange,
        name: str,
        *,
        isolated: bool = False,
    ) -> None:
        self._facts = facts
        self._trunk = trunk
        self._endpoint = endpoint
        self._inbox: Inbox = asyncio.Queue()
        self._timers = Timers()
        self._signalling = Signalling(lambda: endpoint.now)
        self._watch = Watch(sending=False)
        self._invited_at = endpoint.now
        self._call_ident = ""
        self._tape: Tape | None = None
        self._caller_at: tuple[str, int] | None = None
        """Of a call to us: where its INVITE came from."""
        self._media = MediaLeg(trunk, endpoint, workers, ports, self._inbox, isolated=isolated, group=self.group)
        self._commits = Commits(self._inbox, name)
        self._call: CallId | None = None
        self._wish: HangUp | None = None
        self._sip_over = False
        self._closing = False
        """BYE or CANCEL was said: nothing begins any more."""
        self._ready = False
        """The mark `answered` is durable."""
        self._proposals = 0
        self._t38_refused = False
        """The far end will have none of our T.38; its own it may still offer."""
        self._asked_for = ""
        """What our open re-INVITE offers: `t38`, `audio` or nothing."""
        self._return_by: float | None = None
        """Until when audio must have been offered again; None: it need not."""

    def hang_up(self, cause: Cause, detail: str) -> None:
        """End the call; `run` then returns."""
        self._wish = self._wish or HangUp(cause, detail)
        self._inbox.put_nowait(HangUp(cause, detail))

    # What a direction fills in

    @abstractmethod
    def _start_media(self) -> None:
        """The mark `answered` is durable and a worker waits: begin, unless the call is to end."""

    @abstractmethod
    def _on_own_event(self, event: object) -> None:
        """An event of the agent that only this direction has."""

    @abstractmethod
    def _on_received(self, received: Received) -> None:
        """The worker said something; its descriptors are ours."""

    @abstractmethod
    def _on_committed(self, committed: Committed) -> None:
        """A promise came back."""

    @abstractmethod
    def _on_own_timer(self, name: str) -> None:
        """A timer that only this direction has."""

    @abstractmethod
    def _on_late(self, item: object) -> None:
        """Something that came after the end."""

    @abstractmethod
    def _refuse(self) -> None:
        """End the signalling of a call that is not answered: CANCEL, or a final response."""

    @abstractmethod
    def _tell_progress(self) -> None:
        """Hand on what the watch shows."""

    # What is seen of it

    def _show(self, phase: str, page: int = 0) -> None:
        """Something to show; page 0: still the same."""
        self._watch.phase = phase
        self._watch.page = page or self._watch.page
        self._watch.remote_ident = self._facts.remote_ident or self._watch.remote_ident
        self._tell_progress()

    def record(self, tape: Tape) -> None:
        """Record the call from here on; the tape stays the caller's."""
        self._tape = tape

    @property
    def messages(self) -> Sequence[tuple[float, bool, bytes]]:
        """The SIP messages of the call: time, whether ours, octets."""
        return self._signalling.messages

    def header(self, call: str, number: str, caller: str) -> recording.Header | None:
        """What a recording says of the call; None when there is none, or its media never began."""
        tape = self._tape
        start = tape.start if tape is not None else None
        if tape is None or start is None:
            return None
        host, (rtp, udptl) = self._endpoint.media_address, self._media.ports
        peer = self._caller_at or (start.signalling, self._trunk.settings.port or SIP_PORT)
        return recording.Header(
            call=call,
            began=self._invited_at,
            wall=self._facts.started_at,
            media_began=tape.began,
            sending=start.role is control.Role.SEND,
            number=number,
            caller=caller,
            trunk=self._trunk.name,
            station_id=start.station_id,
            payload_type=start.payload_type,
            sip=(literal((host, self._endpoint.port)), literal(peer)),
            rtp=(literal((host, rtp)), literal(start.rtp_remote)),
            udptl=(literal((host, udptl)), literal(tape.t38.remote if tape.t38 is not None else None)),
            pages=sum(document.last - document.first + 1 for document in start.documents),
            ecm=start.ecm,
            modems=start.modems,
        )

    def _tap(self, call_id: str) -> None:
        """The INVITE leaves or has come: from here on times count, and SIP messages are seen."""
        self._invited_at = self._endpoint.now
        self._call_ident = call_id
        self._endpoint.tap(call_id, self._signalling.see)

    def _note(self, words: str) -> None:
        """Note something for the trace."""
        self._facts.note(self._endpoint.now - self._invited_at, words)

    def _on_trace(self, message: control.Trace) -> None:
        self._facts.add_frames(message.frames)
        self._watch.see(message.frames)
        self._watch.losses(message.packets_lost, message.packets_recovered)
        self._tell_progress()

    # The inbox

    async def _serve(self) -> None:
        """Until both the signalling and the media are over."""
        while not self._sip_over or self._media.running:
            item = await self._next()
            if item is None:
                for name in self._timers.due(self._endpoint.now):
                    self._on_timer(name)
            elif isinstance(item, WorkerGone) and not self._media.begun:
                await self._find_other_worker(item)
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
            case Received(control.SwitchRefused()):
                self._on_switch_refused()
            case Received():
                self._on_received(item)
            case WorkerGone():
                self._on_worker_gone(item)
            case Committed():
                self._on_committed(item)
            case HangUp():
                self._on_hang_up(item)
            case Reoffered():
                self._on_reoffered(item.offer)
            case ReofferAnswered():
                self._on_reoffer_answered(item.sdp)
            case ReofferRefused():
                self._on_reoffer_refused(item.status)
            case MediaMoved():
                self._on_media_moved(item.sdp)
            case Ended():
                self._on_ended(item)
            case _:
                self._on_own_event(item)

    def _on_hang_up(self, wish: HangUp) -> None:
        self._facts.force(wish.cause, wish.detail)
        self._end_all()

    def _on_timer(self, name: str) -> None:
        match name:
            case "t38":
                self._propose_t38()
            case "audio":
                self._offer_audio_again()
            case "left":
                self._lose_media("the far end left T.38 and did not hang up")
            case "bye":
                self._say_bye()
            case "answered":
                self._fail("the mark answered was not committed in time")
            case "call":
                self._fail("the call worker did not end the call")
            case "phase_e":
                self._facts.details.append("the call worker did not end the fax in time")
                self._media.ended()
            case "farewell":
                self._sip_over = True
            case _:
                self._on_own_timer(name)

    async def _finish(self) -> None:
        """After the end: what the far end has confirmed is written down before we tell the result."""
        self._media.close()
        self._drain()
        await self._commits.finish()
        self._drain()
        self._facts.messages = self._signalling.since(self._invited_at)

    def _drain(self) -> None:
        while not self._inbox.empty():
            self._on_late(self._inbox.get_nowait())

    async def _release(self) -> None:
        """Give back whatever is left, also when we are cancelled in the middle."""
        self._media.close()
        self._end_sip()
        if self._call is not None:
            self._endpoint.forget(self._call)
        self._endpoint.untap(self._call_ident)
        await self._commits.close()
        self._drain()

    # The session

    def _on_reoffered(self, offered: SessionDescription) -> None:
        """The far end changes the session (docs/transport.md D.3 rules 1, 2 and 4)."""
        made, t38 = self._media.answer_change(offered, phase_b=self._facts.phase_b)
        if made is None:
            self._command(lambda agent, call, now: agent.refuse_reinvite(call, NOT_ACCEPTABLE, now))
            return
        agreed = made
        if not self._command(lambda agent, call, now: agent.answer_reinvite(call, agreed, now)):
            return
        if t38 is not None:
            self._facts.far = replace(self._facts.far, t38=self._facts.far.t38 or "theirs")
            self._switch(t38)
            return
        self._media.move_audio(offered)
        if made.t38 is None and self._media.t38 and self._facts.phase_e is None:
            self._timers.start("left", self._endpoint.now + LEFT_T38_WITHIN)

    def _on_reoffer_answered(self, sdp: SessionDescription) -> None:
        asked, self._asked_for = self._asked_for, ""
        if asked == "audio":
            if not self._media.move_audio(sdp):
                self._lose_media("the far end has neither T.38 nor audio")
        elif asked == "t38":
            t38 = self._media.t38_of(sdp)
            if t38 is None:
                self._facts.far = replace(self._facts.far, t38="useless")
                self._return_to_audio("T.38 accepted with no media")
            elif self._facts.phase_b:
                self._return_to_audio("phase B came before T.38")
            else:
                self._facts.far = replace(self._facts.far, t38="ours")
                self._switch(t38)

    def _on_reoffer_refused(self, status: int) -> None:
        """The session is as it was: in audio it goes on; without any media it is of no use."""
        asked, self._asked_for = self._asked_for, ""
        if asked == "audio":
            self._lose_media(f"audio refused with {status} after T.38 came to nothing")
        elif asked == "t38" and status == REQUEST_PENDING and self._proposals < MAX_PROPOSALS:
            self._timers.start("t38", self._endpoint.now + PROPOSE_AGAIN)
        elif asked == "t38":
            self._t38_refused = True
            if status != REQUEST_PENDING:
                self._facts.far = replace(self._facts.far, t38="refused")
            self._facts.details.append(f"T.38 refused with {status}")
            self._note(f"T.38 refused with {status}: the fax goes on in audio")

    def _on_media_moved(self, sdp: SessionDescription) -> None:
        """A refresh was answered with other addresses: the medium stays as it is."""
        t38 = self._media.t38_of(sdp)
        if t38 is None:
            self._media.move_audio(sdp)
        elif self._media.t38:
            self._switch(t38)

    def _on_switch_refused(self) -> None:
        """The worker had begun phase B in audio when T.38 was agreed."""
        self._media.switch_refused()
        self._return_to_audio("phase B came before T.38")

    def _switch(self, t38: control.T38Media) -> None:
        self._timers.stop("t38", "left")
        self._media.switch(t38)
        self._watch.transport = "t38"
        if self._tape is not None:
            self._tape.t38 = t38
        self._note(f"T.38 to {t38.remote[0]} port {t38.remote[1]}, {t38.error_correction}")
        self._show("t38")

    def _propose_t38(self) -> None:
        """Our own re-INVITE, before phase B; later when the far end's is still under way."""
        if not self._may_propose or self._facts.phase_b or self._closing or self._sip_over:
            return
        proposal = self._media.offer_t38()
        self._timers.stop("t38")
        if self._command(lambda agent, call, now: agent.reinvite(call, proposal, now)):
            self._proposals += 1
            self._asked_for = "t38"
        else:
            self._timers.start("t38", self._endpoint.now + PROPOSE_AGAIN)

    @property
    def _may_propose(self) -> bool:
        """Whether T.38 is still ours to propose: not agreed, not asked for, not refused."""
        return self._trunk.settings.t38 and not (self._media.t38 or self._asked_for or self._t38_refused)

    def _return_to_audio(self, why: str) -> None:
        """What was agreed is of no use: the fax is in audio, or shall be. Once: a far end may go on like that."""
        self._facts.details.append(why)
        self._t38_refused = True
        if self._return_by is None:
            self._return_by = self._endpoint.now + RETURN_WITHIN
            self._offer_audio_again()

    def _offer_audio_again(self) -> None:
        """Our re-INVITE back to audio, as soon as none is under way."""
        if self._closing or self._sip_over or self._return_by is None:
            return
        back = self._media.offer_audio()
        if self._command(lambda agent, call, now: agent.reinvite(call, back, now)):
            self._asked_for = "audio"
        elif self._endpoint.now < self._return_by:
            self._timers.start("audio", self._endpoint.now + PROPOSE_AGAIN)
        else:
            self._lose_media("no way back to audio after T.38 came to nothing")

    def _lose_media(self, detail: str) -> None:
        """The far end left us without a medium the fax could go on in: another call may do better."""
        self._facts.force(Cause.MEDIA_LOST, detail)
        self._end_all()

    def _on_ended(self, event: Ended) -> None:
        self._sip_over = True
        self._timers.stop("bye", "farewell", "ring", "t38", "answered", "audio", "left", "parting")
        self._facts.add_causes(event.causes)
        if event.by is not By.LOCAL:
            self._facts.details.append(f"SIP: {event.why} by {event.by.value}")
            self._facts.remote_ended = self._facts.phase_e is None
        self._on_sip_ended()

    def _on_sip_ended(self) -> None:
        self._end_media()

    # The worker

    async def _find_other_worker(self, gone: WorkerGone) -> None:
        """The worker died before this call had begun in it: no harm was done."""
        if self._closing or self._sip_over:
            return
        try:
            await self._media.find_worker()
        except NoWorker as exc:
            self._fail(f"{exc}; the last one: {gone.text}")
            return
        if self._ready:
            self._start_media()

    def _on_answer_committed(self) -> None:
        self._ready = True
        self._timers.stop("answered")
        self._start_media()

    def _begin(self, make: Callable[[int], control.Start], documents: tuple[int, ...] = ()) -> bool:
        """Give the call to its worker. False when that failed: the call ends."""
        tape = self._tape
        if tape is not None:
            make, documents = tape.wrap(make, self._endpoint.now), (*documents, tape.descriptor)
        try:
            self._media.begin(make, documents)
            self._facts.media_after = self._endpoint.now - self._invited_at
        except NoMediaPorts as exc:
            self._fail(str(exc))
            return False
        self._timers.start("call", self._endpoint.now + CALL_WITHIN)
        return True

    @property
    def _may_begin(self) -> bool:
        """Whether the media may begin now; a worker that has just died is replaced first."""
        return self._ready and not (self._closing or self._sip_over or self._media.begun) and self._media.alive

    def _on_phase_e(self, message: control.PhaseE) -> None:
        self._facts.phase_e = message
        self._media.ended()
        self._note(f"the fax part is over: {message.text}")
        self._timers.stop("phase_e", "t38", "linger", "call", "audio", "left", "parting")
        self._show("closing")
        if not self._sip_over and not self._closing:
            self._timers.start("bye", self._endpoint.now + self.bye_after)

    def _on_worker_gone(self, gone: WorkerGone) -> None:
        if not self._media.running:
            return  # its part was done
        self._facts.worker_gone = gone.text
        self._facts.worker_died = not gone.our_doing
        self._media.lost()
        self._end_sip()

    # The end

    def _fail(self, detail: str) -> None:
        """The gateway cannot go on with the call."""
        self._facts.force(Cause.LINE_FAULT, detail)
        self._end_all()

    def _end_all(self) -> None:
        """Nothing more is confirmed or exposed, and the far end is told."""
        self._end_media()
        self._end_sip()

    def _end_media(self) -> None:
        """Tell the worker to hang up; its phase E is awaited for PHASE_E_WITHIN."""
        self._timers.stop("t38", "linger", "audio", "left")
        if self._media.hang_up():
            self._timers.start("phase_e", self._endpoint.now + PHASE_E_WITHIN)

    def _end_sip(self) -> None:
        """BYE, or what ends a call that is not answered; once."""
        if self._sip_over or self._closing:
            return
        if self._facts.answered_at is not None:
            self._say_bye()
        else:
            self._refuse()

    def _say_bye(self) -> None:
        if self._sip_over or self._closing:
            return
        self._close_signalling()
        self._command(UserAgent.bye)

    def _close_signalling(self) -> None:
        """From here on we only wait, FAREWELL_WITHIN at most."""
        self._closing = True
        self._timers.stop("bye", "ring", "t38", "answered", "audio", "left")
        self._timers.start("farewell", self._endpoint.now + FAREWELL_WITHIN)

    def _command(self, command: Callable[[UserAgent, CallId, float], None]) -> bool:
        """Give the agent a command. False: it crosses the far end's own doing and is void."""
        if self._call is None:
            return False
        try:
            command(self._endpoint.agent, self._call, self._endpoint.now)
        except LocalProtocolError as exc:
            log.info("command crossed", extra={"event": "call.crossed", "call_id": self._call, "why": str(exc)})
            return False
        finally:
            self._endpoint.pump()
        return True
