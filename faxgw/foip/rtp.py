"""RTP packets with G.711 and the small buffer that puts them in order (RFC 3550 section 5.1, RFC 3551).

A fax modem in the audio bears delay well and silence not at all: the buffer tells a lost packet from an early look,
and the caller fills a loss by `fax_rx_fillin`, never by silence. No sockets, no time: one look per 20 ms.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from faxgw.foip.errors import RemoteProtocolError

PCMU: Final = 0
"""Payload type of G.711 µ-law (RFC 3551 section 6)."""
PCMA: Final = 8
"""Payload type of G.711 A-law."""
FRAME_SAMPLES: Final = 160
"""Samples of 20 ms at 8 kHz, our packet time."""
MAX_PAYLOAD: Final = 1600
"""Octets of audio accepted in one packet (200 ms)."""
_HEADER: Final = struct.Struct("!BBHII")
_MODULO: Final = 65536


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False


def encode(packet: Packet) -> bytes:
    """The packet's octets: version 2, no padding, no extension, no contributing sources."""
    marker = 0x80 if packet.marker else 0
    head = _HEADER.pack(0x80, marker | packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc)
    return head + packet.payload


def decode(octets: bytes) -> Packet:
    """Read one packet (RFC 3550 section 5.1; the rules of appendix A.1 that need no state).

    Raises:
        RemoteProtocolError: If it is no RTP packet, or cut off.
    """
    if len(octets) < _HEADER.size:
        raise RemoteProtocolError("RTP packet is too short")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(octets)
    if first >> 6 != 2:
        raise RemoteProtocolError("RTP version is not 2")
    start = _HEADER.size + 4 * (first & 0x0F)
    end = len(octets)
    if first & 0x10:
        if start + 4 > end:
            raise RemoteProtocolError("RTP extension is cut off")
        start += 4 + 4 * (octets[start + 2] << 8 | octets[start + 3])
    if first & 0x20:
        if octets[-1] == 0:
            raise RemoteProtocolError("RTP padding of no octets")
        end -= octets[-1]
    if start > end or end - start > MAX_PAYLOAD:
        raise RemoteProtocolError("RTP packet is cut off or too long")
    return Packet(second & 0x7F, sequence, timestamp, ssrc, octets[start:end], bool(second & 0x80))


class Sender:
    """Numbers and stamps our audio packets."""

    def __init__(self, payload_type: int, ssrc: int, sequence: int, timestamp: int) -> None:
        """Begin a stream; RFC 3550 wants the last three drawn at random."""
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._sequence = sequence % _MODULO
        self._timestamp = timestamp % (1 << 32)
        self._marker = True

    def send(self, payload: bytes) -> bytes:
        """The packet of the next samples, one octet each; the first has the marker bit."""
        octets = encode(Packet(self._payload_type, self._sequence, self._timestamp, self._ssrc, payload, self._marker))
        self._marker = False
        self._sequence = (self._sequence + 1) % _MODULO
        self._timestamp = (self._timestamp + len(payload)) % (1 << 32)
        return octets

    def change_payload_type(self, payload_type: int) -> None:
        """Go on with another G.711 law."""
        self._payload_type = payload_type


class JitterBuffer:
    """Received audio in order of sequence, with losses told apart from waiting.

    The first packets wait until `depth` are there, and so they do after the buffer ran dry: that is what absorbs
    jitter and puts packets in order, and a sender whose clock is slower than ours. Above `MAX_DEPTH` the oldest are
    skipped (a faster clock); the owner may skip earlier, where it costs nothing.

    A stream that begins anew, under another SSRC or far away in the sequence, is followed once its packets come in a
    row; single strays are dropped.
    """

    MAX_DEPTH: Final = 50
    """Packets waiting at most, 1 s at 20 ms each: so much may come at once after a stall, ours or the network's."""
    WINDOW: Final = 100
    """Packets ahead of the one that is due that are taken at most."""
    RESET_AFTER: Final = 8
    """Packets in a row out of the window after which the stream is taken as a new one."""
    FOLLOW_AFTER: Final = 2
    """Packets in a row of another SSRC after which it is followed."""

    def __init__(self, depth: int = 2) -> None:
        """Wait for `depth` packets before the first is played (20 ms each)."""
        self.lost = 0
        """Packets that never came, or too late."""
        self._depth = depth
        self._packets: dict[int, Packet] = {}
        self._next: int | None = None
        self._filling = True
        self._ssrc: int | None = None
        self._strange = 0
        self._played = 0
        self._others: list[Packet] = []

    @property
    def waiting(self) -> int:
        """Packets that have come and were not looked at yet."""
        return len(self._packets)

    def put(self, packet: Packet) -> None:
        """Take one packet; duplicates and packets whose turn has passed are dropped."""
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None and not self._follows(packet):
                return
            others, self._others = self._others, []
            self._restart(packet.ssrc)
            for other in others:
                self._place(other)
        elif self._others:
            self._others = []
        self._place(packet)

    def _follows(self, packet: Packet) -> bool:
        """Whether a packet of another SSRC is one too many to be a stray."""
        if self._others and self._others[0].ssrc != packet.ssrc:
            self._others = []
        self._others.append(packet)
        if len(self._others) < self.FOLLOW_AFTER:
            return False
        self._others.pop()
        return True

    def _place(self, packet: Packet) -> None:
        if self._next is None or (self._played == 0 and 0 < (self._next - packet.sequence) % _MODULO <= self._depth):
            self._next = packet.sequence  # the first, or one that overtook the first
        elif (packet.sequence - self._next) % _MODULO >= self.WINDOW:
            self._strange += 1
            if self._strange < self.RESET_AFTER:
                return
            self._restart(packet.ssrc)
            self._next = packet.sequence
        self._strange = 0
        self._packets[packet.sequence] = packet

    def skip(self, packet: Packet) -> None:
        """A packet of the stream that is no audio: when its turn comes there is nothing, and nothing is lost."""
        if self._next is None or packet.ssrc != self._ssrc or self._strange:
            return
        if (packet.sequence - self._next) % _MODULO < self.WINDOW:
            self._packets[packet.sequence] = replace(packet, payload=b"")

    def _restart(self, ssrc: int) -> None:
        self._packets.clear()
        self._next, self._filling, self._ssrc, self._strange, self._played = None, True, ssrc, 0, 0

    def get(self) -> Packet | None:
        """The next packet, or None where there is nothing: lost, no audio, late, or not yet begun."""
        if self._next is None:
            return None
        if self._filling and len(self._packets) < self._depth:
            return None
        if not self._packets:
            self._filling = True
            return None
        self._filling = False
        while len(self._packets) > self.MAX_DEPTH:
            self._packets.pop(self._next, None)
            self._next = (self._next + 1) % _MODULO
        packet = self._packets.pop(self._next, None)
        self._next = (self._next + 1) % _MODULO
        self._played += 1
        if packet is None:
            self.lost += 1
            return None
        return packet if packet.payload else None
