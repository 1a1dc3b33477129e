"""SIP over UDP: one socket, ICMP errors included (RFC 3261 section 18.1.1).

It carries octets and knows nothing of SIP but how large a message may be.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Final, cast

from faxgw.foip.transaction import Address
from faxgw.settings import Listener

log = logging.getLogger(__name__)

LARGE: Final = 1300
"""Octets beyond which a request belongs on a stream when the path's MTU is unknown (RFC 3261 section 18.1.1)."""

_RECVERR: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
"""IP_RECVERR of ip(7), IPV6_RECVERR of ipv6(7): ICMP errors come to an unconnected socket; not in the socket module."""
_MSG_ERRQUEUE: Final = 0x2000
"""recvmsg(2)."""
_LASTING: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.EINVAL, errno.EAFNOSUPPORT}
)
"""Errors of sendto(2) that a repetition does not heal, as ENOBUFS does."""
_ERRNO: Final = struct.Struct("=I")
"""The first member of struct sock_extended_err, ip(7)."""
_MAX_ERRORS: Final = 64
"""ICMP errors read at a time."""
_MAX_WARNED: Final = 256
"""Destinations that a warning of large messages is remembered for."""


class Datagrams(asyncio.DatagramProtocol):
    """The UDP socket of one listener.

    Args:
        listener: Where to listen.
        receive: Told of each datagram and its source.
        unreachable: Told of destinations that nothing reaches.
    """

    def __init__(
        self, listener: Listener, receive: Callable[[bytes, Address], None], unreachable: Callable[[Address], None]
    ) -> None:
        self._listener = listener
        self._receive = receive
        self._unreachable = unreachable
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._sending: Address | None = None
        self._warned: set[str] = set()

    async def start(self) -> int:
        """Bind; the port.

        Raises:
            OSError: If the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in self._listener.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((self._listener.host, self._listener.port))
            level, option = _RECVERR[family]
            sock.setsockopt(level, option, 1)
        except OSError:
            sock.close()
            raise
        self._socket = sock
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)
        return int(sock.getsockname()[1])

    async def stop(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)  # asyncio closes the socket in the next turn

    def cut_off(self) -> None:
        """Close the socket without a word."""
        if self._transport is not None:
            self._transport.abort()

    def renew(self, context: ssl.SSLContext) -> None:
        """Nothing to do: there are no certificates."""

    async def reach(self, destination: Address) -> None:
        """Nothing to do: there are no connections."""

    def send(self, data: bytes, destination: Address) -> None:
        """Send a message."""
        if self._transport is None or self._transport.is_closing():
            return
        if len(data) > LARGE:
            self._warn(len(data), destination)
        self._sending = destination
        self._transport.sendto(data, destination)
        self._sending = None

    def dismiss(self, source: Address) -> None:
        """Nothing to do: there are no connections."""

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's class says so only by its methods

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A datagram came."""
        self._receive(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """A destination cannot be reached, by ICMP or because the system sends nothing there: its requests fail now."""
        failed = self._failed_destinations()
        if not failed and self._sending is not None and _is_lasting(exc):
            failed = {self._sending}
        for destination in failed:
            log.info("SIP destination unreachable", extra={"event": "sip.unreachable", "why": str(exc)})
            self._unreachable(destination)

    def _failed_destinations(self) -> set[Address]:
        found: set[Address] = set()
        for _ in range(_MAX_ERRORS):
            try:
                _data, ancillary, _flags, address = self._socket.recvmsg(0, 512, _MSG_ERRQUEUE)  # type: ignore[union-attr]
            except OSError:
                break
            errors = {_ERRNO.unpack_from(data)[0] for _level, _kind, data in ancillary if len(data) >= _ERRNO.size}
            if address and errors != {errno.EMSGSIZE}:  # a router wants it in fragments: the repetition will be
                found.add((address[0], address[1]))
        return found

    def _warn(self, octets: int, destination: Address) -> None:
        """Say once of a destination that its messages may be fragmented; many firewalls drop fragments."""
        if destination[0] in self._warned or len(self._warned) >= _MAX_WARNED:
            return
        self._warned.add(destination[0])
        log.warning(
            "SIP message too large for one packet",
            extra={"event": "sip.large", "octets": octets, "destination": destination[0], "limit": LARGE},
        )


def _is_lasting(exc: Exception) -> bool:
    """Whether the system will send nothing to that destination: no route, forbidden, another address family."""
    return isinstance(exc, socket.gaierror) or (isinstance(exc, OSError) and exc.errno in _LASTING)
