"""A T.30 terminal over T.38: UDPTL in, UDPTL out, the guard between them (ITU-T T.38), all of it in Python.

`native` does the same in C where it could be built.
"""

from __future__ import annotations

from typing import Any, Final  # cffi objects have no types

from faxgw.foip import ifp, udptl
from faxgw.foip.control import Statistics
from faxgw.foip.errors import RemoteProtocolError
from faxgw.t30.binding import LibraryFault, ffi
from faxgw.t30.callback import callback
from faxgw.t30.guard import Guard
from faxgw.t30.terminal import TICK_SAMPLES, Profile, Terminal, modems_for_rate

REORDER: Final = 0.06
"""Seconds an IFP packet waits for an earlier one that redundancy does not bring (two chunks of 30 ms)."""


class T38Terminal(Terminal):
    """A T.38 terminal: UDPTL in, UDPTL out."""

    transport = "t38"

    def __init__(self, profile: Profile, max_datagram: int, error_correction: str, max_bit_rate: int) -> None:
        """Begin a session.

        Args:
            profile: What we are.
            max_datagram: The peer's T38FaxMaxDatagram, octets.
            error_correction: `redundancy`, `fec` or `none`.
            max_bit_rate: T38MaxBitRate, bit/s; clamps the modems.
        """
        super().__init__(profile)
        self.garbage = 0
        """Datagrams that could not be read."""
        self._packets: list[tuple[bytes, int]] = []
        self._budget = self.packet_budget
        self._sender = udptl.Sender(max_datagram, error_correction)
        self._receiver = udptl.Receiver(REORDER)
        self._trim = error_correction == "fec"
        self._guard = Guard()
        lib = self._lib
        self._state = lib.t38_terminal_init(ffi.NULL, int(profile.calling_party), _tx_handler, self._handle)
        if self._state == ffi.NULL:
            raise LibraryFault("no T.38 terminal")
        self._core = lib.t38_terminal_get_t38_core_state(self._state)
        lib.t38_set_t38_version(self._core, 0)
        self._configure(lib.t38_terminal_get_t30_state(self._state))
        lib.t30_set_supported_modems(self._t30, modems_for_rate(profile.modems, max_bit_rate))

    def receive(self, datagram: bytes, now: float) -> None:
        """Feed one UDPTL datagram, through the guard."""
        self._now = now
        try:
            packets = self._receiver.receive(datagram, now)
        except RemoteProtocolError:
            self.garbage += 1
            return
        self._feed(packets, now)

    def _feed(self, packets: list[tuple[int, bytes]], now: float) -> None:
        for sequence, packet in packets:
            octets = self._guard.filter(self._trimmed(packet) if self._trim else packet, now)
            self._lib.t38_core_rx_ifp_packet(self._core, octets, len(octets), sequence)
            self._after()

    @property
    def sequence(self) -> int:
        """As the sender counts it."""
        return self._sender.sequence

    @sequence.setter
    def sequence(self, value: int) -> None:
        self._sender.sequence = value

    def is_media(self, datagram: bytes) -> bool:
        """Whether it is UDPTL with an IFP packet in it."""
        return is_udptl(datagram)

    @staticmethod
    def _trimmed(packet: bytes) -> bytes:
        """Without the zeros a packet rebuilt from parity may end with; the library refuses them."""
        try:
            return packet[: ifp.decode_prefix(packet)[1]]
        except RemoteProtocolError:
            return packet

    def tick(self, now: float) -> list[tuple[bytes, int]]:
        """Advance the T.38 clock by 20 ms, unless frozen."""
        held = self._receiver.release(now)
        if held:
            self._now = now
            self._feed(held, now)
        if self.frozen:
            return []
        self._now = now
        self._lib.t38_terminal_send_timeout(self._state, TICK_SAMPLES)
        self._after()
        self._budget = self.packet_budget
        if not self._packets:
            return []
        packets, self._packets = self._packets, []
        return [(self._sender.send(packet), count) for packet, count in packets]

    def on_packet(self, packet: bytes, count: int) -> int:
        """The library sends an IFP packet `count` times; -1 breaks its loop."""
        self._budget -= 1
        if self._budget < 0:
            self.over_budget = True
            return -1
        self._packets.append((packet, max(1, count)))
        return 0

    @property
    def losses(self) -> tuple[int, int]:
        """As the receiver of UDPTL counts them."""
        return self._receiver.lost, self._receiver.recovered

    def statistics(self) -> Statistics:
        """What has been counted so far."""
        return self._fill(*self.losses)

    def _free(self) -> None:
        self._lib.t38_terminal_release(self._state)
        self._lib.t38_terminal_free(self._state)


def is_udptl(datagram: bytes) -> bool:
    """Whether a datagram is UDPTL with an IFP packet in it."""
    try:
        ifp.decode(udptl.decode(datagram).primary)
    except RemoteProtocolError:
        return False
    return True


@callback("tx_packet_handler_t", error=-1)
def _tx_handler(_core: Any, user_data: Any, octets: Any, length: int, count: int) -> int:
    result: int = ffi.from_handle(user_data).on_packet(bytes(ffi.buffer(octets, length)), count)
    return result
