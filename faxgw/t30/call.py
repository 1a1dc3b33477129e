"""One call's media: audio first, T.38 when it is agreed, the gates and bounds of docs/spine.md section 5.

A `MediaCall` turns control messages, datagrams and ticks into control messages, datagrams and one `PhaseE`. It owns
its two sockets and the files of its documents; time is an argument, so two calls can run back to back in memory.

Rules kept here: the audio engine runs from the start and is replaced by T.38 only before phase B; a gate that is
not acknowledged within its budget ends the call, never opens it late; a confirmation that may be a late one ends the
call after its page; the pages acknowledged, never the library's result, are what was transferred.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from faxgw.foip import t30_frames
from faxgw.foip.control import (
    Ack,
    Address,
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
from faxgw.t30 import binding, memory, native, pages, terminal, tiff
from faxgw.t30.native import NativeTerminal
from faxgw.t30.remote import DatagramSocket, Remote
from faxgw.t30.terminal import Profile, Terminal

MAX_DATAGRAMS: Final = 64
"""Datagrams read from a socket per tick; a flood beyond waits in the kernel and is dropped there."""
TRACE_AFTER: Final = 0.5
"""Seconds T.30 frames wait at most until the daemon gets them."""
LINGER: Final = 0.4
"""Seconds the engine still runs after the library ended the session, so that the last packets leave."""
_BAD_RESOLUTION: Final = 11
"""Completion code: the far end cannot receive at the resolution of the image."""
_UNEXPECTED: Final = 13
"""Completion code: the far end said what it should not."""
MAX_BAD_PAGES: Final = 8
"""Times in a row that we refuse a page to be received; a machine that repeats noise must not hold the line for ever."""
MAX_PAGE_ROWS: Final = 65_536
"""Rows of one received page at most: 4 m of paper at the finest, 8 m at 204 x 196. A row may be a single bit on the
line and hundreds of octets in the library: seen, half a million rows and 113 MB for each block of 64 KB."""
ROWS_EVERY: Final = 0.5
"""Seconds between two looks at the rows of a page that comes in; each costs some 20 µs in every call."""
MAX_REFUSALS: Final = 2
"""RTN or PIN for one page: it is sent once more, at a lower rate; each copy may have been printed all the same."""
_RECEIVE_SIZE: Final = 2048
_NO_WAY: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
"""What sendto says of an address that cannot be reached from here."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the daemon, with the descriptor that goes with it."""

    message: Message
    descriptor: int | None = None
    """Owned by whoever takes the message; close it after sending."""


_NOTHING: Final[tuple[Outgoing, ...]] = ()


@dataclass(frozen=True, slots=True)
class _Closed:
    """A gate that waits for its acknowledgement."""

    gate: Gate
    fax: str
    page: int
    deadline: float


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
        self._start = start
        self._rtp = rtp
        self._udptl = udptl
        self._resolutions = resolutions
        self._audio_remote = Remote(start.rtp_remote, start.signalling, start.nat)
        self._remote = self._audio_remote
        self._payload_type = start.payload_type
        self._t38: T38Media | None = None
        self._began = now
        self._clock = now
        self._t38_began = now
        self._refusals = 0
        self._rows_at = now
        self._progress = now
        self._out: list[Outgoing] = []
        self._files: list[int] = []
        self._gate: _Closed | None = None
        self._exposed: set[str] = set()
        self._result: PhaseE | None = None
        self._linger_until = 0.0
        self._ident = ""
        self._finest = 0.0
        self._too_fine = False
        self._listening_since = now
        self._coarser_by: float | None = None
        """Until when the engine waits for coarser pages; None: it does not."""
        self._asked_for_coarser = False
        self._unsaid: list[tuple[float, str, bytes]] = []
        """Frames that the engine has queued and that must not leave while it waits."""
        self.rearranged = False
        """True: `pumped` has changed in a tick; its owner takes note and clears it."""
        self._plan = [(d.fax, page) for d in start.documents for page in range(d.first, d.last + 1)]
        self._pages_done = 0
        self._terminal: Terminal | None = None
        self._pumped: NativeTerminal | None = None
        try:
            self._profile = self._build_profile(start, documents, self._files)
            if start.t38 is not None:
                self._begin_t38(start.t38)
            else:
                self._terminal = native.audio_terminal(self._profile, start.payload_type)
                self._attach()
        except BaseException:
            self.close()
            raise

    def _build_profile(self, start: Start, documents: Sequence[int], files: list[int]) -> Profile:
        ranges, self._finest = pages.load(start, documents, files)
        return pages.profile(start, ranges, "" if ranges else pages.receiving(files), self._resolutions)

    @property
    def may_switch(self) -> bool:
        """Whether `SwitchT38` would be followed: the call is still in audio, before phase B."""
        return self._t38 is None and self._terminal is not None and not self._terminal.phase_b

    @property
    def foreign(self) -> int:
        """Datagrams from other addresses than the far end's, dropped."""
        if self._remote is self._audio_remote:
            return self._remote.foreign
        return self._audio_remote.foreign + self._remote.foreign

    @property
    def on_t38(self) -> bool:
        """Whether T.38 has been agreed."""
        return self._t38 is not None

    # What the owner calls.

    def receive(self, message: Message, now: float) -> None:
        """Take a message of the daemon for this call."""
        if self._result is not None:
            return
        match message:
            case Ack():
                self._acknowledge(message, now)
            case SwitchT38():
                self._t38_began = now if self._t38 is None else self._t38_began
                self._switch(message.t38)
            case Media():
                self._keep_settled()
                self._audio_remote.move(message.remote)
                self._attach()
                self._payload_type = message.payload_type
                if self._terminal is not None:
                    self._terminal.change_payload_type(message.payload_type)
            case Hangup():
                self._hang_up(now)
            case _:
                raise ValueError(f"{type(message).__name__} is no message for a call")

    def begin_again(self, message: Documents, descriptors: Sequence[int], now: float) -> None:
        """Coarser pages have come: a new engine begins with the far end's next DIS. The descriptors are left alone.

        Without pages, or with others than those of the plan, the engine goes on where it waits: it says goodbye.
        """
        if self._coarser_by is None or self._result is not None or self._terminal is None:
            return
        files: list[int] = []
        before = self._finest
        try:
            plan = [(d.fax, page) for d in message.documents for page in range(d.first, d.last + 1)]
            if plan != self._plan or len(descriptors) != len(message.documents):
                raise ValueError("not the pages of the call")
            profile = self._build_profile(replace(self._start, documents=message.documents), descriptors, files)
            if self._finest >= before:
                raise ValueError("no coarser than before")
        except (OSError, ValueError, tiff.PageFault):
            for file in files:
                os.close(file)
            self._finest = before
            self._go_on(now)
            return
        self._flush_trace()
        self._coarser_by, self._too_fine, self._listening_since = None, False, now
        self._unsaid.clear()
        self._profile = profile
        self._renew_engine()
        for file in self._files:
            os.close(file)
        self._files = files

    def tick(self, now: float) -> None:
        """Let 20 ms pass: read what came, run the engine, send, look at the bounds."""
        if self.ended or self._terminal is None:
            return
        if self._coarser_by is not None:
            self._wait(now)
        elif self._pumped is not None:
            if self._pumped.pump(now):
                self.look(now)
        else:
            self._read(now)
            if self.ended:
                return
            for octets, count in self._terminal.tick(now):
                for _ in range(count):
                    self._send(octets)
            self._look(now)
        self.check(now)

    @property
    def pumped(self) -> NativeTerminal | None:
        """The engine, if it reads and writes its socket itself: `native.Crowd` ticks it, then `look` if it wants."""
        return self._pumped

    def look(self, now: float) -> None:
        """A pumped engine wants attention: turn what happened into messages, and let it go on with its tick."""
        engine = self._pumped
        while engine is not None and not self.ended:
            if engine.media.unreachable:
                engine.media.unreachable = 0
                self._remote.unreachable()
            engine.media.attention = 0
            self._look(now)
            if self.ended or self._coarser_by is not None or not engine.unfinished:
                return
            engine.resume()
            if not engine.media.attention:
                return

    def check(self, now: float) -> None:
        """Look at the clock: bounds, gates, and the end after the last packets."""
        if self.ended or self._terminal is None:
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
        engine = self._terminal
        if engine is None or not engine.frames:
            pass
        elif self._out or self.ended or self._clock - engine.frames[0][0] >= TRACE_AFTER:
            self._flush_trace()
        if not self._out:
            return _NOTHING
        out, self._out = self._out, []
        return out

    def stop(self, reason: str, text: str, now: float, code: int = -1) -> None:
        """End the call on our own account: nothing more is confirmed or exposed. `reason` and `code` as in PhaseE."""
        if self._result is None and self._terminal is not None:
            self._terminal.terminate(now)
            self._look(now, conclude=False)
            self._conclude(code, text, reason, now)
            self.ended = True

    def close(self) -> None:
        """Free the engine, close sockets and files, and drop messages nobody took."""
        self.ended = True
        self._pumped = None
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None
        for outgoing in self._out:
            if outgoing.descriptor is not None:
                os.close(outgoing.descriptor)
        self._out.clear()
        for file in self._files:
            os.close(file)
        self._files.clear()
        self._rtp.close()
        self._udptl.close()

    # Sockets.

    def _attach(self) -> None:
        """Give a native engine the real socket of its medium, and the address to send to."""
        engine, sock = self._terminal, self._udptl if self._t38 is not None else self._rtp
        if isinstance(engine, NativeTerminal) and isinstance(sock, socket.socket):
            self._pumped = engine
            engine.attach(sock.fileno(), self._remote.address, self._judge)
        else:
            self._pumped = None

    def _keep_settled(self) -> None:
        """What a pumped engine knows of the remote address."""
        if self._pumped is not None and self._pumped.media.settled:
            self._remote.settle()

    def _judge(self, source: Address, octets: bytes) -> bool:
        """Whether a pumped engine takes a datagram from another address than the one it sends to."""
        engine = self._pumped
        if engine is None:
            return False
        self._keep_settled()
        before = self._remote.address
        taken = self._remote.admits(source, partial(engine.is_media, octets))
        if self._remote.address != before:
            self._attach()
        return taken

    def _read(self, now: float) -> None:
        assert self._terminal is not None
        sock = self._udptl if self._t38 is not None else self._rtp
        remote, is_media = self._remote, self._terminal.is_media
        for _ in range(MAX_DATAGRAMS):
            try:
                octets, address = sock.recvfrom(_RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an ICMP error of an earlier packet; the next read tells more
            if remote.admits((address[0], address[1]), partial(is_media, octets)):
                self._terminal.receive(octets, now)
                self._look(now)

    def _send(self, octets: bytes) -> None:
        address = self._remote.address
        if address is None:
            return
        try:
            (self._udptl if self._t38 is not None else self._rtp).sendto(octets, address)
        except OSError as exc:  # lost on the way like any other datagram
            if exc.errno in _NO_WAY:
                self._remote.unreachable()

    # T.38.

    def _begin_t38(self, media: T38Media) -> None:
        self._t38 = media
        self._remote = Remote(media.remote, self._start.signalling, self._start.nat)
        self._terminal = native.t38_terminal(
            self._profile, media.max_datagram, media.error_correction, media.max_bit_rate
        )
        self._attach()

    def _switch(self, media: T38Media) -> None:
        """Replace the audio engine by T.38, or move a T.38 session to another address (a repeated re-INVITE)."""
        if self._t38 is not None:
            self._keep_settled()
            self._remote.move(media.remote)
            self._attach()
        elif self._terminal is not None and not self._terminal.phase_b:
            self._flush_trace()
            self._terminal.close()
            self._begin_t38(media)
        else:
            self._put(SwitchRefused(self.number))

    # Coarser pages.

    def _ask_for_coarser(self, taken: tuple[str, ...], now: float) -> None:
        """Hold the engine, which would say goodbye, and ask for the pages in another resolution.

        The far end hears nothing (over G.711 silence) and repeats its DIS; nobody listens until the pages come.
        """
        engine = self._terminal
        assert engine is not None
        self._asked_for_coarser = True
        self._coarser_by = now + self._start.limits.coarser
        self._unsaid = [one for one in engine.frames if one[1] == ">" and t30_frames.fcf(one[2]) == t30_frames.DCN]
        engine.frames = [one for one in engine.frames if one not in self._unsaid]
        engine.frozen = True
        self._keep_settled()
        self._pumped = None
        self.rearranged = True
        self._put(TooFine(self.number, taken))

    def _wait(self, now: float) -> None:
        """20 ms of a held engine: what comes is dropped; over G.711 it says silence."""
        assert self._terminal is not None
        sock = self._udptl if self._t38 is not None else self._rtp
        for _ in range(MAX_DATAGRAMS):
            try:
                sock.recvfrom(_RECEIVE_SIZE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error of an earlier packet
        for octets, count in self._terminal.tick(now):
            for _ in range(count):
                self._send(octets)
        self._terminal.events.clear()

    def _go_on(self, now: float) -> None:
        """No coarser pages: the held engine says its goodbye."""
        engine = self._terminal
        assert engine is not None
        self._coarser_by = None
        engine.frames += [(now, way, frame) for _at, way, frame in self._unsaid]
        self._unsaid.clear()
        engine.release()
        self._attach()
        self.rearranged = True

    def _renew_engine(self) -> None:
        """Another engine of the same medium in the place of this one."""
        old, t38 = self._terminal, self._t38
        assert old is not None
        sequence = old.sequence
        self._pumped = None
        old.close()
        if t38 is not None:
            self._terminal = native.t38_terminal(
                self._profile, t38.max_datagram, t38.error_correction, t38.max_bit_rate
            )
            self._terminal.sequence = sequence
        else:
            self._terminal = native.audio_terminal(self._profile, self._payload_type)
        self._attach()
        self.rearranged = True

    # What the engine did.

    def _look(self, now: float, conclude: bool = True) -> None:
        """Turn the terminal's events into messages."""
        engine = self._terminal
        assert engine is not None
        if engine.events:
            events, engine.events = engine.events, []
            for event in events:
                self._on_event(event, now)
        if not conclude or self._result is not None or self._coarser_by is not None:
            return
        if engine.over_budget:
            self.stop("budget", "packet storm in the fax engine", now)
        elif engine.completion is not None and self._is_t38_silent:
            self._conclude(engine.completion, self._silence, "silent", now)
        elif engine.completion is not None:
            reason = "resolution" if self._too_fine and engine.completion == _BAD_RESOLUTION else ""
            self._conclude(engine.completion, binding.completion_text(engine.completion), reason, now)

    def _on_event(self, event: terminal.Event, now: float) -> None:
        if self._result is not None:
            return
        match event:
            case terminal.Heard():
                self._put(Heard(self.number, event.tone))
            case terminal.PhaseB():
                self._on_phase_b(event, now)
            case terminal.CfrHeld() if self._terminal is not None and not self._terminal.phase_b:
                self.stop("limit", "the far end said CFR before any DIS", now, _UNEXPECTED)
            case terminal.CfrHeld() if self._too_fine:
                self.stop("resolution", "the far end does not take the pages' resolution", now, _BAD_RESOLUTION)
            case terminal.CfrHeld():
                fax, page = self._next_page()
                self._close_gate(Gate.EXPOSED, fax, page, now)
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
        self._progress = now
        self._ident = event.remote_ident
        if self._start.role is Role.RECEIVE:
            self._put(PhaseB(self.number, event.remote_ident, event.frame, sub_address=event.sub_address))
            return
        offered = t30_frames.capabilities(event.frame)
        self._too_fine = offered is not None and pages.needed(self._finest) not in offered.resolutions
        if self._too_fine:  # nothing is exposed: the library ends the session with DCN, or we do at CFR
            self._put(PhaseB(self.number, event.remote_ident, event.frame))
            if offered is not None and self._start.limits.coarser > 0 and not self._asked_for_coarser:
                self._ask_for_coarser(offered.resolutions, now)
            return
        fax, page = self._next_page()
        if fax not in self._exposed:
            self._put(PhaseB(self.number, event.remote_ident, event.frame, fax, page))

    def _next_page(self) -> tuple[str, int]:
        return self._plan[min(self._pages_done, len(self._plan) - 1)]

    def _on_refused(self, now: float) -> None:
        """RTN or PIN: the library sends the page again at the next lower rate, and would go on down to the lowest."""
        self._progress = now
        self._refusals += 1
        if self._start.role is Role.SEND and self._refusals >= MAX_REFUSALS:
            self.stop("refused", f"a page was refused {self._refusals} times", now)
        elif self._start.role is Role.RECEIVE and self.statistics().ecm:  # seen: a sender that commanded JBIG
            self.stop("limit", "a page cannot be kept, and the library would confirm it", now, _UNEXPECTED)
        elif self._refusals >= MAX_BAD_PAGES:
            self.stop("limit", f"page {self._pages_done + 1} came badly {self._refusals} times", now)

    def _on_confirmed(self, event: terminal.Confirmed, now: float) -> None:
        self._progress = now
        self._refusals = 0
        self._pages_done = event.count
        if event.count > len(self._plan):
            self.stop("limit", "more pages confirmed than there are", now)
            return
        fax, page = self._plan[event.count - 1]
        self._put(Confirmed(self.number, fax, page, self.statistics()))
        if event.late:
            self.stop("guard", "an answer came too late to trust the next one", now)
        else:
            self._close_gate(Gate.CONFIRMED, fax, page, now)

    def _on_page(self, event: terminal.Received, now: float) -> None:
        self._progress = now
        self._check_rows(event.rows, now)
        if self._result is not None:
            return
        try:
            page = tiff.cut_page(self._files[0], event.count, event.rows, event.x_resolution, event.y_resolution)
            descriptor = memory.file_of(page.octets)
        except (tiff.PageFault, OSError) as exc:
            self.stop("page", f"received page not stored: {exc}", now)
            return
        self._pages_done = event.count
        self._refusals = 0
        self._close_gate(Gate.PAGE, "", event.count, now)
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

    def _close_gate(self, gate: Gate, fax: str, page: int, now: float) -> None:
        limits = self._start.limits
        budget = limits.between_pages if gate is Gate.CONFIRMED else limits.gate
        self._gate = _Closed(gate, fax, page, now + budget)

    def _acknowledge(self, ack: Ack, now: float) -> None:
        if self._terminal is None:
            return
        if ack.gate is Gate.EXPOSED:
            self._exposed.add(ack.fax)
            self._terminal.cleared = self._cleared()
        closed = self._gate
        if closed is None or closed.gate is not ack.gate or closed.fax != ack.fax:
            return
        if ack.gate is not Gate.EXPOSED and closed.page != ack.page:
            return
        if now > closed.deadline:
            return  # too late: the next tick ends the call, a late release would be worse than none
        self._gate = None
        self._terminal.release()

    def _cleared(self) -> int:
        """How many pages from the start of the plan may be sent."""
        for index, (fax, _page) in enumerate(self._plan):
            if fax not in self._exposed:
                return index
        return len(self._plan)

    def _check_bounds(self, now: float) -> None:
        engine, limits = self._terminal, self._start.limits
        assert engine is not None
        if self._coarser_by is not None:
            if now > self._coarser_by:
                self._go_on(now)
        elif self._gate is not None and now > self._gate.deadline:
            self.stop("gate", f"no acknowledgement ({self._gate.gate}) in time", now)
        elif self._is_t38_silent and now - self._t38_began > limits.t38_silence:
            self.stop("silent", self._silence, now)
        elif not engine.phase_b and now - self._listening_since > limits.answer_to_phase_b:
            self.stop("limit", "no fax machine answered in time", now)
        elif engine.phase_b and now - self._progress > limits.page:
            self.stop("limit", "a page took too long", now)
        elif now - self._began > limits.call:
            self.stop("limit", "the call took too long", now)
        elif engine.phase_b and self._start.role is Role.RECEIVE and now >= self._rows_at:
            self._rows_at = now + ROWS_EVERY
            self._check_rows(self.statistics().page_rows, now)

    def _check_rows(self, rows: int, now: float) -> None:
        if rows > MAX_PAGE_ROWS:
            self.stop("limit", f"a page of more than {MAX_PAGE_ROWS} rows", now)

    @property
    def _is_t38_silent(self) -> bool:
        """Whether T.38 was agreed and the far end has not sent any; in mid-fax a receiver is silent for minutes."""
        self._keep_settled()
        return self._t38 is not None and not self._remote.settled and not (self._terminal and self._terminal.phase_b)

    @property
    def _silence(self) -> str:
        host, port = self._remote.address or ("nowhere", 0)
        return f"no T.38 packets came from {host} port {port}"

    def _hang_up(self, now: float) -> None:
        if self._terminal is None:
            return
        code = self._terminal.terminate(now)
        self._look(now, conclude=False)
        self._conclude(code, binding.completion_text(code), "hangup", now)
        self.ended = True

    # The end.

    def _conclude(self, code: int, text: str, reason: str, now: float) -> None:
        """Say PhaseE, once."""
        if self._result is not None:
            return
        self._flush_trace()
        self._gate = None
        self._linger_until = now + LINGER
        self._result = PhaseE(self.number, code, text, self._ident, self.statistics(), reason)
        self._put(self._result)

    def statistics(self) -> Statistics:
        """What has been counted so far; pages as confirmed or handed over here."""
        if self._terminal is None:
            return Statistics()
        return replace(self._terminal.statistics(), pages_in_call=self._pages_done)

    def _put(self, message: Message, descriptor: int | None = None) -> None:
        self._out.append(Outgoing(message, descriptor))

    def _flush_trace(self) -> None:
        engine = self._terminal
        if engine is None or not engine.frames:
            return
        frames = tuple((round(at - self._began, 3), direction, frame) for at, direction, frame in engine.frames)
        engine.frames.clear()
        self._put(Trace(self.number, frames, *engine.losses))
