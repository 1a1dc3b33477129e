"""IFP packets into UDPTL datagrams, well or badly (ITU-T T.38 section 9.1): what the network side of a machine does."""

from __future__ import annotations

from collections import deque
from typing import Final

from faxgw.foip import udptl
from faxgw.foip.udptl import Datagram
from faxgw.simulator.script import Wire

LATE_START: Final = 65_000
"""First number of a machine that does not begin with 0; the numbers wrap in the call."""
JUMP: Final = 4
_NOISE: Final = bytes((0xD0, 0x02, 0x80, 0x00, 0x02, 0xFF, 0xC0, 0x60, 0x20))
"""As an earlier packet: the FCD of three octets that crashes an unguarded libspandsp 0.0.6."""
_MODULO: Final = 65_536


class WireSender:
    """Numbers packets and adds what the machine calls error recovery."""

    def __init__(self, wire: Wire, max_datagram: int) -> None:
        """Begin.

        Args:
            wire: How.
            max_datagram: The gateway's T38FaxMaxDatagram, octets.
        """
        self._wire = wire
        self._honest = udptl.Sender(max_datagram, {Wire.FEC: "fec", Wire.BARE: "none"}.get(wire, "redundancy"))
        self._sequence = LATE_START if wire is Wire.LATE_NUMBERS else 0
        self._earlier: deque[bytes] = deque(maxlen=udptl.REDUNDANCY_DEPTH)
        self._held: bytes | None = None

    def send(self, ifp: bytes) -> list[bytes]:
        """The datagrams to be sent now for one packet."""
        match self._wire:
            case Wire.LATE_NUMBERS:
                return [self._encode(ifp, tuple(self._earlier))]
            case Wire.JUMPING:
                return [self._encode(ifp, (), JUMP)]
            case Wire.GARBAGE:
                return [self._encode(ifp, (_NOISE, b"\xff" * 7, b""))]
            case Wire.TWICE:
                return [self._honest.send(ifp)] * 2
            case Wire.BACKWARDS:
                return self._in_pairs(self._honest.send(ifp))
            case _:
                return [self._honest.send(ifp)]

    def flush(self) -> list[bytes]:
        """What is still held back."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _encode(self, ifp: bytes, secondary: tuple[bytes, ...], step: int = 1) -> bytes:
        octets = udptl.encode(Datagram(self._sequence, ifp, secondary))
        self._sequence = (self._sequence + step) % _MODULO
        self._earlier.appendleft(ifp)
        return octets

    def _in_pairs(self, datagram: bytes) -> list[bytes]:
        if self._held is None:
            self._held = datagram
            return []
        return [datagram, *self.flush()]
