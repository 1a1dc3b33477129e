"""Sockets that listen for SMTP clients, and what is accepted of them.

Connections are accepted here rather than by an asyncio server because they may be handed to another process as they
are, before anything was read of them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from faxgw.intake.smtp_settings import SmtpListener

BACKLOG = 1_024
"""Connections the system keeps for us while we are busy."""
ACCEPTS_IN_A_ROW = 32
"""Connections accepted before others get their turn: some 3 ms."""
PAUSE = 1.0
"""Seconds without accepting after the system had no descriptor or memory for a connection."""
_SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that listens."""

    name: str
    """The listener's."""
    host: str
    port: int


class Door:
    """Listens, and hands over what it accepts.

    Args:
        accepted: Gets each connection, not blocking, with the peer's address and the listener; never raises.
    """

    def __init__(self, accepted: Callable[[socket.socket, str, SmtpListener], None]) -> None:
        self._accepted = accepted
        self._sockets: list[tuple[socket.socket, SmtpListener]] = []
        self._open = False
        self._retry: asyncio.TimerHandle | None = None

    async def bind(self, listener: SmtpListener) -> list[Bound]:
        """Take a listener's port, on every address of its host. Connections wait until `open`.

        Raises:
            OSError: If it cannot be had.
        """
        host, port = listener.listen.host, listener.listen.port
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        bound: list[Bound] = []
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            try:
                sock = _listening(family, address)
            except OSError as error:
                raise OSError(error.errno, f"cannot listen on {address[0]} port {port}: {error.strerror}") from error
            self._sockets.append((sock, listener))
            bound.append(Bound(listener.name, *sock.getsockname()[:2]))
        return bound

    def open(self) -> None:
        """Accept connections from now on."""
        if not self._open:
            self._open = True
            self._watch()

    def shut(self) -> None:
        """Accept nothing until `open`; who connects meanwhile waits with the system."""
        if self._open:
            self._open = False
            self._ignore()

    def close(self) -> None:
        """Give the ports back."""
        self.shut()
        while self._sockets:
            self._sockets.pop()[0].close()

    def _watch(self) -> None:
        self._retry = None
        for sock, listener in self._sockets:
            asyncio.get_running_loop().add_reader(sock.fileno(), partial(self._accept, sock, listener))

    def _ignore(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for sock, _listener in self._sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())

    def _accept(self, sock: socket.socket, listener: SmtpListener) -> None:
        for _ in range(ACCEPTS_IN_A_ROW):
            if not self._open:
                return
            try:
                connection, address = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("smtp cannot accept", extra={"event": "smtp_accept_failed", "reason": str(error)})
                if error.errno in _SHORT_OF:
                    self._ignore()
                    self._retry = asyncio.get_running_loop().call_later(PAUSE, self._watch)
                return
            connection.setblocking(False)
            self._accepted(connection, str(address[0]), listener)


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
