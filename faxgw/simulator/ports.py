"""Pairs of UDP sockets for the media of a call."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from faxgw.simulator.impairment import ImpairedSocket


class NoPorts(Exception):
    """The range of media ports is used up."""


@dataclass(frozen=True, slots=True)
class MediaSockets:
    """RTP and UDPTL of one call, bound and non-blocking."""

    rtp: socket.socket | ImpairedSocket
    udptl: socket.socket | ImpairedSocket
    said_udptl_port: int = 0
    """Port that session descriptions name for T.38; 0: that of the socket."""

    @property
    def rtp_port(self) -> int:
        """The RTP port."""
        return int(self.rtp.getsockname()[1])

    @property
    def udptl_port(self) -> int:
        """The UDPTL port, as session descriptions name it."""
        return self.said_udptl_port or int(self.udptl.getsockname()[1])

    def close(self) -> None:
        """Close both."""
        self.rtp.close()
        self.udptl.close()


class MediaPorts:
    """Binds the sockets of calls, from a range or wherever the system likes."""

    def __init__(self, host: str, ports: tuple[int, int] | None) -> None:
        """Use `ports` (first, last); None leaves the choice to the system."""
        self._host = host
        self._ports = ports
        self._next = ports[0] if ports else 0

    def bind(self) -> MediaSockets:
        """Two bound sockets.

        Raises:
            NoPorts: If no two neighbouring ports of the range are free.
        """
        if self._ports is None:
            return MediaSockets(self._bound(0), self._bound(0))
        first, last = self._ports
        for _ in range((last - first + 1) // 2):
            port = self._next
            self._next = port + 2 if port + 3 <= last else first
            try:
                rtp = self._bound(port)
            except OSError:
                continue
            try:
                return MediaSockets(rtp, self._bound(port + 1))
            except OSError:
                rtp.close()
        raise NoPorts(f"no free media port from {first} to {last}")

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((self._host, port))
        except BaseException:
            sock.close()
            raise
        return sock
