"""One call's media: audio first, T.38 when it is agreed, the gates and bounds of docs/spine.md section 5.

A `MediaCall` turns control messages, datagrams and ticks into control messages, datagrams and one `PhaseE`. It joins
the pieces that each know one thing: the sockets and the engine (`medium`), the gates (`gates`), the bounds
(`bounds`), pages that are too fine (`coarser`). It owns the files of its documents; time is an argument, so two calls
can run back to back in memory.

Rules kept here: the audio engine runs from the start and is replaced by T.38 only before phase B; a gate that is
not acknowledged within its budget ends the call, never opens it late; a confirmation that may be a late one ends the
call after its page; the pages acknowledged, never the library's result, are what was transferred.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from faxgw.foip.control import (
    Ack,
    Cfr,
    Confirmed,
    Documents,
    Gate,
    Hangup,
    Heard,
    Media,
    Message,
    PageReceived,
    PhaseB,
    PhaseE,
    Role,
    Start,
    Statistics,
    SwitchRefused,
    SwitchT38,
    T38Media,
    TooFine,
    Trace,
)
from faxgw.t30 import binding, gates, memory, pages, terminal, tiff
from faxgw.t30.bounds import Bounds, Excess, rows_excess
from faxgw.t30.coarser import Coarser
from faxgw.t30.gates import Gates
from faxgw.t30.medium import Medium
from faxgw.t30.native import NativeTerminal
from faxgw.t30.remote import DatagramSocket
from faxgw.t30.terminal import Profile

TRACE_AFTER: Final = 0.5
"""Seconds T.30 frames wait at most until the daemon gets them."""
LINGER: Final = 0.4
"""Seconds the engine still runs after the library ended the session, so that the last packets leave."""
_BAD_RESOLUTION: Final = 11
"""Completion code: the far end cannot receive at the resolution of the image."""
_UNEXPECTED: Final = 13
"""Completion code: the far end said what it should not."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the daemon, with the descriptor that goes with it."""

    message: Message
    descriptor: int | None = None
    """Owned by whoever takes the message; close it after sending."""


_NOTHING: Final[tuple[Outgoing, ...]] = ()


class MediaCall:
    """The media of one call."""

    def __init__(
        self,
        start: Start,
        rtp: DatagramSocket,
        udptl: DatagramSocket,
        documents: Sequence[int],
        now: float,
        resolutions: int = terminal.RESOLUTIONS_ALL,
    ) -> None:
        """Begin.

        Args:
            start: What to do.
            rtp: Socket for audio; closed with the call.
            udptl: Socket for T.38; closed with the call. Packets may wait in it before T.38 is agreed.
            documents: A descriptor per document of `start`; copied, the caller's are left alone.
            now: Seconds on a steady clock.
            resolutions: Mask of what is offered (terminal.RESOLUTIONS_ALL or fewer).

        Raises:
            OSError: If a document cannot be read.
            ValueError: If documents and descriptors do not match, a range is empty or beyond the file, or the
                station identification is none.
            tiff.PageFault: If a document is no TIFF.
            binding.LibraryFault: If the library refuses.
        """
        if len(documents) != len(start.documents) or (start.role is Role.SEND) != bool(documents):
            raise ValueError("documents do not match the role")
        self.number = start.call
        self.ended = False
        """True once PhaseE has been sent and the last packets are out: close the call."""
        self.rearranged = False
        """True: `pumped` has changed in a tick; its owner takes note and clears it."""
        self._start = start
        self._resolutions = resolutions
        self._clock = now
        self._medium = Medium(start, rtp, udptl)
        self._gates = Gates(gates.plan(start.documents), start.limits)
        self._bounds = Bounds(start.limits, now)
        self._coarser = Coarser(start.limits.coarser)
        self._out: list[Outgoing] = []
        self._files: list[int] = []
        self._result: PhaseE | None = None
        self._linger_until = 0.0
        self._ident = ""
        self._pages_done = 0
        try:
            self._profile = self._build_profile(start, documents, self._files)
            self._medium.begin(self._profile, start.t38)
        except BaseException:
            self.close()
            raise

    def _build_profile(self, start: Start, documents: Sequence[int], files: list[int]) -> Profile:
        ranges, self._coarser.finest = pages.load(start, documents, files)
        return pages.profile(start, ranges, "" if ranges else pages.receiving(files), self._resolutions)

    @property
    def may_switch(self) -> bool:
        """Whether `SwitchT38` would be followed: the call is still in audio, before phase B."""
        return self._medium.may_switch

    @property
    def foreign(self) -> int:
        """Datagrams from other addresses than the far end's, dropped."""
        return self._medium.foreign

    @property
    def on_t38(self) -> bool:
        """Whether T.38 has been agreed."""
        return self._medium.t38 is not None

    # What the owner calls.

    def receive(self, message: Message, now: float) -> None:
        """Take a message of the daemon for this call."""
        if self._result is not None:
            return
        match message:
            case Ack():
                self._acknowledge(message, now)
            case SwitchT38():
                if self._medium.t38 is None:
                    self._bounds.switched(now)
                self._switch(message.t38)
            case Media():
                self._medium.move_audio(message)
            case Hangup():
                self._hang_up(now)
            case _:
                raise ValueError(f"{type(message).__name__} is no message for a call")

    def begin_again(self, message: Documents, descriptors: Sequence[int], now: float) -> None:
        """Coarser pages have come: a new engine begins with the far end's next DIS. The descriptors are left alone.

        Without pages, or with others than those of the plan, the engine goes on where it waits: it says goodbye.
        """
        if not self._coarser.waits or self._result is not None or self._medium.engine is None:
            return
        files: list[int] = []
        before = self._coarser.finest
        try:
            if gates.plan(message.documents) != self._gates.pages or len(descriptors) != len(message.documents):
                raise ValueError("not the pages of the call")
            profile = self._build_profile(replace(self._start, documents=message.documents), descriptors, files)
            if self._coarser.finest >= before:
                raise ValueError("no coarser than before")
        except (OSError, ValueError, tiff.PageFault):
            for file in files:
                os.close(file)
            self._coarser.finest = before
            self._go_on(now)
            return
        self._flush_trace()
        self._coarser.begin_again()
        self._bounds.listening(now)
        self._profile = profile
        self._medium.renew(profile)
        self.rearranged = True
        for file in self._files:
            os.close(file)
        self._files = files

    def tick(self, now: float) -> None:
        """Let 20 ms pass: read what came, run the engine, send, look at the bounds."""
        engine, medium = self._medium.engine, self._medium
        if self.ended or engine is None:
            return
        if self._coarser.waits:
            medium.drop_arrived()
            medium.speak(now)
            engine.events.clear()
        elif medium.pumped is not None:
            if medium.pumped.pump(now):
                self.look(now)
        else:
            for octets in medium.arrived():
                engine.receive(octets, now)
                self._look(now)
            if self.ended:
                return
            medium.speak(now)
            self._look(now)
        self.check(now)

    @property
    def pumped(self) -> NativeTerminal | None:
        """The engine, if it reads and writes its socket itself: `native.Crowd` ticks it, then `look` if it wants."""
        return self._medium.pumped

    def look(self, now: float) -> None:
        """A pumped engine wants attention: turn what happened into messages, and let it go on with its tick."""
        engine = self._medium.pumped
        while engine is not None and not self.ended:
            self._medium.look_at_way()
            engine.media.attention = 0
            self._look(now)
            if self.ended or self._coarser.waits or not engine.unfinished:
                return
            engine.resume()
            if not engine.media.attention:
                return

    def check(self, now: float) -> None:
        """Look at the clock: bounds, gates, and the end after the last packets."""
        if self.ended or self._medium.engine is None:
            return
        self._clock = now
        if self._result is not None:
            if now >= self._linger_until:
                self.ended = True
            return
        self._check_bounds(now)

    def take(self) -> Sequence[Outgoing]:
        """The messages for the daemon since the last look, oldest first.

        Frames go with other messages, or once the oldest has waited for TRACE_AFTER.
        """
        frames = self._medium.engine.frames if self._medium.engine is not None else ()
        if frames and (self._out or self.ended or self._clock - frames[0][0] >= TRACE_AFTER):
            self._flush_trace()
        if not self._out:
            return _NOTHING
        out, self._out = self._out, []
        return out

    def stop(self, reason: str, text: str, now: float, code: int = -1) -> None:
        """End the call on our own account: nothing more is confirmed or exposed. `reason` and `code` as in PhaseE."""
        if self._result is None and self._medium.engine is not None:
            self._medium.engine.terminate(now)
            self._look(now, conclude=False)
            self._conclude(code, text, reason, now)
            self.ended = True

    def close(self) -> None:
        """Free the engine, close sockets and files, and drop messages nobody took."""
        self.ended = True
        self._medium.close()
        for outgoing in self._out:
            if outgoing.descriptor is not None:
                os.close(outgoing.descriptor)
        self._out.clear()
        for file in self._files:
            os.close(file)
        self._files.clear()

    # Media.

    def _switch(self, media: T38Media) -> None:
        """Replace the audio engine by T.38, or move a T.38 session to another address (a repeated re-INVITE)."""
        if self._medium.t38 is not None:
            self._medium.move_t38(media)
        elif self._medium.may_switch:
            self._flush_trace()
            self._medium.switch(self._profile, media)
        else:
            self._put(SwitchRefused(self.number))

    def _go_on(self, now: float) -> None:
        """No coarser pages: the held engine says its goodbye."""
        assert self._medium.engine is not None
        self._coarser.go_on(self._medium.engine, now)
        self._medium.attach()
        self.rearranged = True

    # What the engine did.

    def _look(self, now: float, conclude: bool = True) -> None:
        """Turn the terminal's events into messages."""
        engine = self._medium.engine
        assert engine is not None
        if engine.events:
            events, engine.events = engine.events, []
            for event in events:
                self._on_event(event, now)
        if not conclude or self._result is not None or self._coarser.waits:
            return
        if harm := engine.harm:
            self.stop("limit", harm.text, now)
        elif engine.over_budget:
            self.stop("budget", "packet storm in the fax engine", now)
        elif engine.completion is not None and self._silence:
            self._conclude(engine.completion, self._silence, "silent", now)
        elif engine.completion is not None:
            reason = "resolution" if self._coarser.too_fine and engine.completion == _BAD_RESOLUTION else ""
            self._conclude(engine.completion, binding.completion_text(engine.completion), reason, now)

    def _on_event(self, event: terminal.Event, now: float) -> None:
        if self._result is not None:
            return
        match event:
            case terminal.Heard():
                self._put(Heard(self.number, event.tone))
            case terminal.PhaseB():
                self._on_phase_b(event, now)
            case terminal.CfrHeld() if self._medium.engine is not None and not self._medium.engine.phase_b:
                self.stop("limit", "the far end said CFR before any DIS", now, _UNEXPECTED)
            case terminal.CfrHeld() if self._coarser.too_fine:
                self.stop("resolution", "the far end does not take the pages' resolution", now, _BAD_RESOLUTION)
            case terminal.CfrHeld():
                fax, page = self._gates.next_page(self._pages_done)
                self._gates.close(Gate.EXPOSED, fax, page, now)
                self._put(Cfr(self.number, fax))
            case terminal.Confirmed():
                self._on_confirmed(event, now)
            case terminal.StalePartial():
                self.stop("guard", "an answer came too late to be trusted", now)
            case terminal.Received():
                self._on_page(event, now)
            case terminal.Unkept():
                self.stop("limit", "a page was lost whole, and the library would confirm it", now)
            case terminal.Refused():
                self._on_refused(now)

    def _on_phase_b(self, event: terminal.PhaseB, now: float) -> None:
        self._bounds.advanced(now)
        self._ident = event.remote_ident
        if self._start.role is Role.RECEIVE:
            self._put(PhaseB(self.number, event.remote_ident, event.frame, sub_address=event.sub_address))
            return
        taken = self._coarser.look(event.frame)
        if self._coarser.too_fine:  # nothing is exposed: the library ends the session with DCN, or we do at CFR
            self._put(PhaseB(self.number, event.remote_ident, event.frame))
            if taken:
                self._ask_for_coarser(taken, now)
            return
        fax, page = self._gates.next_page(self._pages_done)
        if not self._gates.is_exposed(fax):
            self._put(PhaseB(self.number, event.remote_ident, event.frame, fax, page))

    def _ask_for_coarser(self, taken: tuple[str, ...], now: float) -> None:
        """Hold the engine, which would say goodbye, and ask for the pages in another resolution."""
        assert self._medium.engine is not None
        self._coarser.hold(self._medium.engine, now)
        self._medium.detach()
        self.rearranged = True
        self._put(TooFine(self.number, taken))

    def _on_refused(self, now: float) -> None:
        """RTN or PIN."""
        self._bounds.advanced(now)
        if self._start.role is Role.SEND:
            self._stop_at(self._bounds.refused_sending(), now)
        elif self.statistics().ecm:  # seen: a sender that commanded JBIG
            self.stop("limit", "a page cannot be kept, and the library would confirm it", now, _UNEXPECTED)
        else:
            self._stop_at(self._bounds.refused_receiving(self._pages_done + 1), now)

    def _on_confirmed(self, event: terminal.Confirmed, now: float) -> None:
        self._bounds.advanced(now)
        self._bounds.refusals = 0
        self._pages_done = event.count
        if event.count > len(self._gates.pages):
            self.stop("limit", "more pages confirmed than there are", now)
            return
        fax, page = self._gates.pages[event.count - 1]
        self._put(Confirmed(self.number, fax, page, self.statistics()))
        if event.late:
            self.stop("guard", "an answer came too late to trust the next one", now)
        else:
            self._gates.close(Gate.CONFIRMED, fax, page, now)

    def _on_page(self, event: terminal.Received, now: float) -> None:
        self._bounds.advanced(now)
        self._stop_at(rows_excess(event.rows), now)
        if self._result is not None:
            return
        try:
            page = tiff.cut_page(self._files[0], event.count, event.rows, event.x_resolution, event.y_resolution)
            descriptor = memory.file_of(page.octets)
        except (tiff.PageFault, OSError) as exc:
            self.stop("page", f"received page not stored: {exc}", now)
            return
        self._pages_done = event.count
        self._bounds.refusals = 0
        self._gates.close(Gate.PAGE, "", event.count, now)
        message = PageReceived(
            call=self.number,
            page=event.count,
            rows=page.rows,
            width=page.width,
            x_resolution=event.x_resolution,
            y_resolution=event.y_resolution,
            bad_rows=event.bad_rows,
            encoding=event.encoding,
            last=event.last,
            document_end=event.document_end,
        )
        self._put(message, descriptor)

    # Gates and bounds.

    def _acknowledge(self, ack: Ack, now: float) -> None:
        engine = self._medium.engine
        if engine is None:
            return
        opened = self._gates.acknowledge(ack, now)
        engine.cleared = self._gates.cleared
        if opened:
            engine.release()

    def _check_bounds(self, now: float) -> None:
        engine = self._medium.engine
        assert engine is not None
        if self._coarser.waits:
            if self._coarser.is_over(now):
                self._go_on(now)
        elif (overdue := self._gates.overdue(now)) is not None:
            self.stop("gate", f"no acknowledgement ({overdue}) in time", now)
        elif (excess := self._bounds.exceeded(engine.phase_b, self._silence, now)) is not None:
            self._stop_at(excess, now)

    def _stop_at(self, excess: Excess | None, now: float) -> None:
        if excess is not None:
            self.stop(excess.reason, excess.text, now)

    @property
    def _silence(self) -> str:
        """What is to be said of T.38 that was agreed and has not come; in mid-fax a receiver is silent for minutes."""
        medium = self._medium
        if medium.t38 is None or medium.settled or (medium.engine is not None and medium.engine.phase_b):
            return ""
        host, port = medium.address or ("nowhere", 0)
        return f"no T.38 packets came from {host} port {port}"

    def _hang_up(self, now: float) -> None:
        if self._medium.engine is None:
            return
        code = self._medium.engine.terminate(now)
        self._look(now, conclude=False)
        self._conclude(code, binding.completion_text(code), "hangup", now)
        self.ended = True

    # The end.

    def _conclude(self, code: int, text: str, reason: str, now: float) -> None:
        """Say PhaseE, once."""
        if self._result is not None:
            return
        self._flush_trace()
        self._gates.forget()
        self._linger_until = now + LINGER
        self._result = PhaseE(self.number, code, text, self._ident, self.statistics(), reason)
        self._put(self._result)

    def statistics(self) -> Statistics:
        """What has been counted so far; pages as confirmed or handed over here."""
        if self._medium.engine is None:
            return Statistics()
        return replace(self._medium.engine.statistics(), pages_in_call=self._pages_done)

    def _put(self, message: Message, descriptor: int | None = None) -> None:
        self._out.append(Outgoing(message, descriptor))

    def _flush_trace(self) -> None:
        engine = self._medium.engine
        if engine is None or not engine.frames:
            return
        frames = tuple(
            (round(self._bounds.since_start(at), 3), direction, frame) for at, direction, frame in engine.frames
        )
        engine.frames.clear()
        self._put(Trace(self.number, frames, *engine.losses))
