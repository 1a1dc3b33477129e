"""UDPTL: the datagrams that carry T.38's IFP packets over UDP (ITU-T T.38 section 9.1, Annex A for the ASN.1).

A datagram is `sequence (2 octets) | primary IFP packet | error recovery`, in aligned PER. Error recovery repeats
earlier packets (redundancy) or carries their parity (FEC). The module counts sequence numbers and rebuilds what was
lost; it knows neither sockets nor time nor what an IFP packet means.

Deviation: T.38 allows fragmented lengths (16 KiB and more); they are refused, no fax packet comes near.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError

MAX_IFP: Final = 1400
"""Octets of one IFP packet at most, both ways; an Ethernet datagram holds no more."""
MAX_ENTRIES: Final = 32
"""Earlier packets, or parity entries, accepted in one datagram."""
REDUNDANCY_DEPTH: Final = 3
"""Earlier packets repeated in each datagram; with less, 5 % loss already ends calls."""
SLOW_DEPTH: Final = 5
"""The same while the datagram stays small and within one signal: the frames that a call hangs on are repeated oftener
than image data, and a confirmation that was lost does not come back with the answer to the next question.
With 30 % lost, 200 of 200 pages arrive where some 9 of 10 did (bench.loss)."""
SMALL: Final = 128
"""Octets of a small datagram."""
_NO_SIGNAL: Final = b"\x01\x00"
"""The field of the indicator that stands between two signals (T.38 section 7.2.1)."""
FEC_SPAN: Final = 3
"""Packets one parity entry of ours covers (fec-npackets)."""
FEC_ENTRIES: Final = 3
"""Parity entries in each datagram of ours: repairs bursts of three."""
RESYNC_AFTER: Final = 16
"""Datagrams in a row with old numbers after which the peer is believed to have started anew."""
_HISTORY: Final = 64
"""Received packets kept to rebuild others from parity."""
_MODULO: Final = 65536


@dataclass(frozen=True, slots=True)
class Parity:
    """The parity of earlier primary packets (fec-info)."""

    span: int
    """Packets covered by each entry (fec-npackets)."""
    entries: tuple[bytes, ...]
    """Entry m of M is the exclusive or of the packets numbered `sequence + m - i·M`, i from 1 to `span`."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDPTL datagram."""

    sequence: int
    """0 to 65535."""
    primary: bytes
    """The new IFP packet; may be empty."""
    secondary: tuple[bytes, ...] = ()
    """Earlier IFP packets, newest first; empty entries stand for packets that are not repeated."""
    parity: Parity | None = None
    """Set when the peer uses FEC; `secondary` is empty then."""


def encode(datagram: Datagram) -> bytes:
    """Build one datagram (T.38 section 9.1.4).

    Raises:
        LocalProtocolError: If a packet is longer than MAX_IFP or there are more than MAX_ENTRIES entries.
    """
    parity = datagram.parity
    entries = datagram.secondary if parity is None else parity.entries
    if len(entries) > MAX_ENTRIES:
        raise LocalProtocolError(f"{len(entries)} entries in a UDPTL datagram")
    parts = [datagram.sequence.to_bytes(2, "big"), _open_type(datagram.primary)]
    if parity is None:
        parts.append(bytes((0, len(entries))))
    else:
        parts.append(bytes((0x80, 1, parity.span, len(entries))))
    parts.extend(_open_type(entry) for entry in entries)
    return b"".join(parts)


def _open_type(octets: bytes) -> bytes:
    size = len(octets)
    if size < 0x80:
        return bytes((size,)) + octets
    if size > MAX_IFP:
        raise LocalProtocolError(f"IFP packet of {size} octets")
    return (0x8000 | size).to_bytes(2, "big") + octets


def decode(octets: bytes) -> Datagram:
    """Read one datagram. Octets after its end are ignored: some peers pad.

    Raises:
        RemoteProtocolError: If it is cut off, too long, or uses fragmented lengths.
    """
    if len(octets) < 3:
        raise RemoteProtocolError("UDPTL datagram is too short")
    sequence = octets[0] << 8 | octets[1]
    primary, at = _read_open_type(octets, 2)
    if at >= len(octets):
        raise RemoteProtocolError("UDPTL datagram has no error recovery")
    parity_follows = octets[at] & 0x80
    at += 1
    if parity_follows:
        return Datagram(sequence, primary, (), _read_parity(octets, at))
    count, at = _read_length(octets, at)
    return Datagram(sequence, primary, _read_entries(octets, at, count))


def _read_parity(octets: bytes, at: int) -> Parity:
    if octets[at : at + 1] != b"\x01" or at + 1 >= len(octets):
        raise RemoteProtocolError("fec-npackets is no small integer")
    span = octets[at + 1]
    count, at = _read_length(octets, at + 2)
    return Parity(span, _read_entries(octets, at, count))


def _read_entries(octets: bytes, at: int, count: int) -> tuple[bytes, ...]:
    if count > MAX_ENTRIES:
        raise RemoteProtocolError(f"{count} entries in a UDPTL datagram")
    entries = []
    for _ in range(count):
        entry, at = _read_open_type(octets, at)
        entries.append(entry)
    return tuple(entries)


def _read_open_type(octets: bytes, at: int) -> tuple[bytes, int]:
    size, at = _read_length(octets, at)
    end = at + size
    if size > MAX_IFP or end > len(octets):
        raise RemoteProtocolError("UDPTL field is cut off or too long")
    return octets[at:end], end


def _read_length(octets: bytes, at: int) -> tuple[int, int]:
    """A length determinant of aligned PER (ITU-T X.691 section 10.9)."""
    try:
        first = octets[at]
        if first < 0x80:
            return first, at + 1
        if first < 0xC0:
            return (first & 0x3F) << 8 | octets[at + 1], at + 2
    except IndexError:
        raise RemoteProtocolError("UDPTL length is cut off") from None
    raise RemoteProtocolError("UDPTL length is fragmented")


class Sender:
    """Numbers our IFP packets and adds error recovery within the peer's limits."""

    def __init__(self, max_datagram: int, error_correction: str = "redundancy", depth: int = REDUNDANCY_DEPTH) -> None:
        """Start at sequence number 0.

        Args:
            max_datagram: The peer's T38FaxMaxDatagram in octets; redundancy is dropped before it is exceeded.
            error_correction: `redundancy`, `fec` or `none` (T38FaxUdpEC).
            depth: Earlier packets to repeat, SLOW_DEPTH of the same signal in small datagrams; with redundancy only.

        Raises:
            LocalProtocolError: If `error_correction` is none of the three.
        """
        if error_correction not in ("redundancy", "fec", "none"):
            raise LocalProtocolError(f"unknown error correction {error_correction}")
        self._max = max_datagram
        self._mode = error_correction
        self._sequence = 0
        self._depth = depth
        kept = max(depth, SLOW_DEPTH) if error_correction == "redundancy" and depth else 0
        self._fields: deque[bytes] = deque(maxlen=kept)
        self._previous: deque[bytes] = deque(maxlen=FEC_SPAN * FEC_ENTRIES)

    @property
    def sequence(self) -> int:
        """Number of the next datagram; may be set before the first, to go on where another sender ended."""
        return self._sequence

    @sequence.setter
    def sequence(self, value: int) -> None:
        self._sequence = value % _MODULO

    def send(self, ifp: bytes) -> bytes:
        """The datagram for the next IFP packet. To repeat it, send the same octets again.

        Raises:
            LocalProtocolError: If the packet is longer than MAX_IFP.
        """
        octets = self._build_parity(ifp) if self._mode == "fec" else self._build_redundancy(ifp)
        self._sequence = (self._sequence + 1) % _MODULO
        return octets

    def _build_redundancy(self, ifp: bytes) -> bytes:
        """As `encode` would, but with the earlier packets kept as fields: this is the hot path of a sending call."""
        field = _open_type(ifp)
        size = len(field) + 4
        secondary: list[bytes] = []
        deep = True
        for earlier in self._fields:
            size += len(earlier)
            if size > self._max or (len(secondary) >= self._depth and not (deep and size <= SMALL)):
                break
            secondary.append(earlier)
            deep = deep and earlier != _NO_SIGNAL
        self._fields.appendleft(field)
        return b"".join((self._sequence.to_bytes(2, "big"), field, bytes((0, len(secondary))), *secondary))

    def _build_parity(self, ifp: bytes) -> bytes:
        entries = tuple(
            _exclusive_or([self._previous[back - 1] for back in self._covered(m) if back <= len(self._previous)])
            for m in range(FEC_ENTRIES)
        )
        self._previous.appendleft(ifp)
        octets = encode(Datagram(self._sequence, ifp, (), Parity(FEC_SPAN, entries)))
        return octets if len(octets) <= self._max else encode(Datagram(self._sequence, ifp))

    @staticmethod
    def _covered(entry: int) -> range:
        """How far back the packets of parity entry `entry` lie."""
        return range(FEC_ENTRIES - entry, FEC_SPAN * FEC_ENTRIES + 1, FEC_ENTRIES)


def _exclusive_or(packets: Sequence[bytes]) -> bytes:
    """The packets combined, the shorter ones padded with zeros; empty for none."""
    size = max(map(len, packets), default=0)
    value = 0
    for packet in packets:
        value ^= int.from_bytes(packet, "big") << 8 * (size - len(packet))
    return value.to_bytes(size, "big")


class Receiver:
    """Turns datagrams into each IFP packet once, in order, with what redundancy or parity can rebuild.

    A gap that cannot be rebuilt is waited for: up to `hold` seconds or `HELD` datagrams what follows it is held back,
    for a network may have swapped them; then the gap is a loss. Without `hold` nothing is held back: a packet that
    comes after a later one is dropped then, for redundancy has delivered it in most cases.
    """

    HELD: Final = 4
    """Datagrams held back behind a gap at most."""

    def __init__(self, hold: float = 0.0) -> None:
        """Wait `hold` seconds for a datagram that others overtook; the caller then asks `release` regularly."""
        self.lost = 0
        """Packets that never came."""
        self.recovered = 0
        """Packets rebuilt from redundancy or parity."""
        self.old = 0
        """Datagrams dropped as duplicate or late."""
        self._hold = hold
        self._held: dict[int, bytes] = {}
        self._held_since = 0.0
        self._expected: int | None = None
        self._old_in_a_row = 0
        self._history: OrderedDict[int, bytes] = OrderedDict()

    def receive(self, octets: bytes, now: float = 0.0) -> list[tuple[int, bytes]]:
        """The new IFP packets of a datagram with their sequence numbers, oldest first. May be empty.

        Args:
            octets: The datagram.
            now: Seconds on any steady clock; it matters with `hold` only.

        Raises:
            RemoteProtocolError: If the datagram cannot be read; the state is as before.
        """
        if self._expected is not None and len(octets) > 2:
            behind = (self._expected - (octets[0] << 8 | octets[1])) % _MODULO
            if 0 < behind < _MODULO // 2 and not self._restarted(behind):
                self.old += 1
                return []
        datagram = decode(octets)
        self._old_in_a_row = 0
        if self._hold and self._must_wait(datagram, octets, now):
            return self._flush() if len(self._held) > self.HELD else []
        packets = self._take(datagram)
        return packets + self._flush(whole=False) if self._held else packets

    def release(self, now: float) -> list[tuple[int, bytes]]:
        """What was held back long enough."""
        return self._flush() if self._held and now - self._held_since >= self._hold else []

    def _must_wait(self, datagram: Datagram, octets: bytes, now: float) -> bool:
        """Hold a datagram back if something before it is missing that neither it nor parity brings."""
        if self._expected is None:
            return False
        missing = (datagram.sequence - self._expected) % _MODULO
        if not 0 < missing <= MAX_ENTRIES or len(self._recover(datagram, missing)) == missing:
            return False
        if not self._held:
            self._held_since = now
        self._held.setdefault(datagram.sequence, octets)
        return True

    def _flush(self, whole: bool = True) -> list[tuple[int, bytes]]:
        """The datagrams held back, in order: all of them, or those before which nothing is missing any more."""
        packets: list[tuple[int, bytes]] = []
        while self._held and self._expected is not None:
            expected = self._expected
            sequence = min(self._held, key=lambda number: (number - expected) % _MODULO)
            datagram = decode(self._held[sequence])
            if (sequence - expected) % _MODULO >= _MODULO // 2:
                del self._held[sequence]  # rebuilt meanwhile
                continue
            missing = (sequence - expected) % _MODULO
            if not whole and len(self._recover(datagram, missing)) < missing:
                break
            del self._held[sequence]
            packets += self._take(datagram)
        return packets

    def _take(self, datagram: Datagram) -> list[tuple[int, bytes]]:
        sequence = datagram.sequence
        missing = 0 if self._expected is None else (sequence - self._expected) % _MODULO
        if self._expected is None:
            missing = len(datagram.secondary)
        packets = self._recover(datagram, missing) if missing else []
        self.recovered += len(packets)
        if self._expected is not None:
            self.lost += missing - len(packets)
        packets.append((sequence, datagram.primary))
        self._remember(packets)
        self._expected = (sequence + 1) % _MODULO
        return [(number, packet) for number, packet in packets if packet]

    def _restarted(self, behind: int) -> bool:
        """True when the old numbers are a new beginning: a peer that changed its stream counts from 0 again."""
        if behind <= MAX_ENTRIES:
            return False
        self._old_in_a_row += 1
        if self._old_in_a_row < RESYNC_AFTER:
            return False
        self._expected = None
        self._history.clear()
        self._held.clear()
        return True

    def _recover(self, datagram: Datagram, missing: int) -> list[tuple[int, bytes]]:
        if datagram.parity is not None:
            return self._from_parity(datagram.sequence, datagram.parity, missing)
        available = min(missing, len(datagram.secondary))
        return [
            ((datagram.sequence - back) % _MODULO, datagram.secondary[back - 1])
            for back in range(available, 0, -1)
            if datagram.secondary[back - 1]
        ]

    def _from_parity(self, sequence: int, parity: Parity, missing: int) -> list[tuple[int, bytes]]:
        """Packets of which a parity entry lacks exactly one. The rebuilt packet may end with zeros of padding."""
        entries = len(parity.entries)
        rebuilt: dict[int, bytes] = {}
        for m, octets in enumerate(parity.entries):
            numbers = [(sequence + m - i * entries) % _MODULO for i in range(1, parity.span + 1)]
            absent = [number for number in numbers if number not in self._history]
            if len(absent) == 1 and 0 < (sequence - absent[0]) % _MODULO <= missing:
                others = [self._history[number] for number in numbers if number != absent[0]]
                packet = _exclusive_or([octets, *others])
                if packet:
                    rebuilt[absent[0]] = packet
        return sorted(rebuilt.items(), key=lambda item: (item[0] - sequence) % _MODULO)

    def _remember(self, packets: Sequence[tuple[int, bytes]]) -> None:
        for number, packet in packets:
            self._history[number] = packet
        while len(self._history) > _HISTORY:
            self._history.popitem(last=False)
