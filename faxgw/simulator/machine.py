"""What fax machines that call and machines that answer have in common (ITU-T T.30, ITU-T T.38), sans-IO.

`receive` takes a UDPTL datagram, `tick` lets time pass and returns the datagrams to send; `now` is seconds on any
steady clock. `ladder` is what was said, frame by frame. `hung_up` is True once the machine wants its BYE; whoever
carries it says it. It runs in virtual time as it does in real time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from faxgw.foip import ifp, t30_frames, udptl
from faxgw.foip.errors import RemoteProtocolError
from faxgw.simulator import carrier
from faxgw.simulator.carrier import Ear, Signal, Transmission
from faxgw.simulator.coding import Row
from faxgw.simulator.script import Act, After, Script
from faxgw.simulator.wire import WireSender

TURNAROUND: Final = 0.1
"""Seconds between the other side's signal and ours (T.30 section 5.3.1: 75 ms at least)."""
FAREWELL: Final = 1.0
"""Seconds from DCN to the machine's BYE."""
MAX_LADDER: Final = 4000
"""Frames of the ladder that are kept."""
_PACKET_STEP: Final = 0.02
"""Seconds between two packets of an act."""


@dataclass(frozen=True, slots=True)
class MachinePage:
    """A page a machine has received."""

    rows: tuple[Row, ...]
    width: int
    """Pixels."""
    rows_per_inch: int
    """98, 196 (fine) or 391 (superfine)."""
    coding: str
    bad_rows: int


class Machine(ABC):
    """One call of one machine."""

    def __init__(self, script: Script, max_datagram: int = 400) -> None:
        self.script = script
        self.ladder: list[tuple[float, str, bytes]] = []
        """Seconds, `>` said or `<` heard, frame; image frames left out."""
        self.pages: list[MachinePage] = []
        """Pages this machine has received whole and confirmed."""
        self.confirmed = 0
        """Pages of this machine that the other side has confirmed."""
        self.remote_ident = ""
        self.hung_up = False
        """True: the machine wants the call to end."""
        self.silent = False
        """True: the machine says nothing any more."""
        self.garbage = 0
        """Datagrams and packets that could not be read."""
        self.complete = False
        """True when the procedure went to its end: DCN said or heard after the last confirmation."""
        self._heard = udptl.Receiver()
        self._wire = WireSender(script.wire, max_datagram)
        self._ear = Ear()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._free_at = 0.0
        self._hang_up_at: float | None = None
        self._times: Counter[str] = Counter()
        self._began: float | None = None
        self._clock = 0.0

    def receive(self, datagram: bytes, now: float) -> None:
        """Take one datagram of the gateway."""
        try:
            packets = self._heard.receive(datagram)
        except RemoteProtocolError:
            self.garbage += 1
            return
        for _sequence, octets in packets:
            try:
                packet = ifp.decode(octets)
            except RemoteProtocolError:
                self.garbage += 1
                continue
            beginning = self._ear.signal is None
            signal = self._ear.receive(packet)
            if beginning and self._ear.signal is not None:
                self._on_beginning(self._ear.signal, now)
            if signal is not None:
                self._hear(signal, now)

    def tick(self, now: float) -> list[bytes]:
        """Let time pass; returns the datagrams to send."""
        if self._began is None:
            self._began = now
            self._begin(now)
        self._clock = round(now - self._began, 3)
        if self._hang_up_at is not None and now >= self._hang_up_at:
            self.hung_up = True
        if not self.silent and not self.hung_up:
            self._on_time(now)
        out: list[bytes] = []
        while self._queue and self._queue[0][0] <= now:
            out += self._wire.send(self._queue.popleft()[1])
        if not self._queue:
            out += self._wire.flush()
        return out

    # What a direction fills in.

    @property
    @abstractmethod
    def mode(self) -> tuple[int, bool, str]:
        """Bit rate, error correction, coding; 0 and empty before they are known."""

    @abstractmethod
    def _begin(self, now: float) -> None:
        """The call stands."""

    @abstractmethod
    def _on_time(self, now: float) -> None:
        """Look at the timers."""

    @abstractmethod
    def _on_frames(self, frames: Sequence[bytes], now: float) -> None:
        """A V.21 signal with these good frames has ended."""

    @abstractmethod
    def _on_image(self, signal: Signal, now: float) -> None:
        """A high-speed signal has ended."""

    @abstractmethod
    def _on_beginning(self, signal: Signal, now: float) -> None:
        """A signal begins."""

    # Speaking.

    def _act(self, moment: str) -> Act:
        """What the script wants at this moment."""
        self._times[moment] += 1
        return self.script.act(moment, self._times[moment])

    def _say(self, moment: str, normal: Sequence[bytes], now: float) -> int:
        """Say the frames of a moment, or what the script has instead; returns the first one's code, 0 for silence."""
        return self._perform(self._act(moment), normal, now)

    def _perform(self, act: Act, normal: Sequence[bytes], now: float) -> int:
        frames = tuple(normal) if act.frames is None else act.frames
        self._send_raw(act, now)
        if frames and not act.skip:
            self._transmit(carrier.v21(frames, fcs_ok=act.fcs_ok, style=self.script.style), now, act.delay)
            self._note(">", frames)
        self._conclude(act, now)
        if not frames or not act.fcs_ok:
            return 0
        if t30_frames.fcf(frames[-1]) == t30_frames.DCN:
            self._part()
        return t30_frames.fcf(frames[0])

    def _send_raw(self, act: Act, now: float) -> None:
        at = max(now + TURNAROUND + act.delay, self._free_at)
        for packet in act.packets:
            self._queue.append((at, packet))
            at += _PACKET_STEP
        if act.packets:
            self._free_at = at

    def _transmit(self, what: Transmission, now: float, delay: float = 0.0) -> None:
        """Queue a transmission after whatever is under way."""
        start = max(now + TURNAROUND + delay, self._free_at)
        self._queue.extend((start + at, ifp.encode(packet)) for at, packet in what.packets)
        self._free_at = start + what.seconds

    def _conclude(self, act: Act, now: float) -> None:
        if act.after is After.SILENT:
            self.silent = True
        elif act.after is After.HANG_UP:
            self.silent = True
            self._hang_up_at = max(now, self._free_at) + TURNAROUND

    def _part(self) -> None:
        """DCN was said or heard: the call is over but for the BYE."""
        self.silent = True
        self._hang_up_at = self._free_at + FAREWELL

    def _note(self, direction: str, frames: Sequence[bytes]) -> None:
        self.ladder += [(self._clock, direction, frame) for frame in frames[: MAX_LADDER - len(self.ladder)]]

    # Hearing.

    def _hear(self, signal: Signal, now: float) -> None:
        if signal.image:
            if not self.silent:
                self._on_image(signal, now)
            return
        frames = [frame for frame, good in signal.frames if good and len(frame) > 2]
        if self._act("heard").skip:
            return
        self._note("<", frames)
        for frame in frames:
            code = t30_frames.fcf(frame)
            if code in (t30_frames.CSI, t30_frames.TSI):
                self.remote_ident = t30_frames.ident(frame)
            if code == t30_frames.DCN:
                self._free_at = max(self._free_at, now)
                self._part()
        if frames and not self.silent:
            self._on_frames(frames, now)
