"""Where a call's media go and whose are taken: the address of the SDP, or the one they really come from.

A far end behind a NAT states an address that cannot be reached, and its packets come from another: media are sent
back to where they come from (symmetric RTP, RFC 4961; the same for UDPTL). A stranger must not take a call over, so

- an address is latched onto only while nothing has come from the stated one, and then never again until the SDP
  states another;
- only if it is the stated host with another port, the host of the signalling, a public one where a private one was
  stated, any where the stated one cannot be reached, or any when the trunk says `nat`;
- only after `LATCH_AFTER` packets in a row from there that are what was agreed on (RTP with G.711, UDPTL).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final, Protocol

from faxgw.foip.control import Address

LATCH_AFTER: Final = 3
"""Valid packets in a row from one other address before it is believed."""


class DatagramSocket(Protocol):
    """A non-blocking UDP socket, real or in memory."""

    def recvfrom(self, size: int, /) -> tuple[bytes, Address]:
        """The next datagram; raises BlockingIOError when there is none."""
        ...

    def sendto(self, octets: bytes, address: Address, /) -> int:
        """Send one datagram; raises OSError when the system refuses it."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Remote:
    """The far end's address of one medium.

    Args:
        stated: As the SDP says; None while unknown.
        signalling: IP address the signalling comes from; empty when unknown.
        nat: Any address may be latched onto.
    """

    def __init__(self, stated: Address | None, signalling: str = "", nat: bool = False) -> None:
        self.address = stated
        """Where our packets go."""
        self.foreign = 0
        """Packets from other addresses, dropped."""
        self._stated = stated
        self._signalling = signalling
        self._nat = nat
        self._settled = False
        self._unreachable = False
        self._candidate: Address | None = None
        self._seen = 0

    @property
    def settled(self) -> bool:
        """Whether media came from `address`: nobody else can take its place any more."""
        return self._settled

    def move(self, stated: Address | None) -> None:
        """The SDP states an address. The same one as before changes nothing."""
        if stated != self._stated:
            self.address = self._stated = stated
            self._settled = self._unreachable = False
            self._candidate, self._seen = None, 0

    def settle(self) -> None:
        """Media came from `address`."""
        self._settled = True

    def unreachable(self) -> None:
        """The system knows no way to `address`."""
        self._unreachable = True

    def admits(self, source: Address, valid: Callable[[], bool]) -> bool:
        """Whether a packet from `source` is taken; it may make `source` the address.

        Args:
            source: Where the packet came from.
            valid: Tells whether it is one of the medium; asked only when that decides.
        """
        address = self.address
        if address is not None and source[1] == address[1] and source[0] == address[0]:
            self._settled = self._settled or valid()
            return True
        same_host = address is not None and source[0] == address[0]
        if not self._settled and self._may_latch(source[0]) and valid():
            self._seen = self._seen + 1 if self._candidate == source else 1
            self._candidate = source
            if self._seen >= LATCH_AFTER:
                self.address, self._settled = source, True
                return True
        if not same_host:
            self.foreign += 1
        return same_host

    def _may_latch(self, host: str) -> bool:
        if self._nat or host == self._signalling or self._unreachable:
            return True
        if self._stated is None:
            return False
        if host == self._stated[0]:
            return True
        return _is_private(self._stated[0]) and not _is_private(host)


def _is_private(host: str) -> bool:
    """Whether an address has no meaning in the internet: private, loopback, link-local, none."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
