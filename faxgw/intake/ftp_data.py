"""Data connections of FTP (RFC 959 section 3.2), passive alone: this server connects to nobody.

Only the client of the control connection may connect, and once; so a port that is guessed gives nobody a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import random
import socket
import ssl
from collections.abc import Callable

CONNECT_S = 30.0
"""Seconds for the client to connect, handshake included."""
STALL_S = 60.0
"""Seconds in which some octets must move."""
BLOCK = 64 * 1024
"""Octets that are moved at a time."""
SHUTDOWN_S = 5.0
"""Seconds for the client to answer the end of TLS; what it wanted to have, it has by then."""
TRIES = 500
"""Ports that are tried for one connection, besides those of other sessions: some milliseconds."""
UNUSED_S = 120.0
"""Seconds after which a port that was asked for and not used is closed."""
FAULT_S = 60.0
"""Seconds for which it is an alarm that no port was free, unless one is found; and between two lines of the log."""

log = logging.getLogger(__name__)


class NoData(Exception):
    """There is no data connection, or it broke; the text is for the client."""

    def __init__(self, text: str, code: int = 426) -> None:
        super().__init__(text)
        self.code = code
        """425: it could not be made; 426: it broke (RFC 959 section 4.2)."""


class PassivePorts:
    """The ports for data connections, of all sessions together: who has one, and that there is none left.

    Args:
        ports: From the settings; 0 alone lets the system choose.
        ticks: Monotonic seconds.
    """

    def __init__(self, ports: range, ticks: Callable[[], float]) -> None:
        self._ports = ports
        self._ticks = ticks
        self._held: set[int] = set()
        self._failed_at: float | None = None
        self._logged_at: float | None = None
        self.refused = 0
        """Times that none was free, since the start."""

    @property
    def held(self) -> int:
        """How many wait for their client now."""
        return len(self._held)

    @property
    def fault(self) -> str:
        """What is wrong, for an operator; empty: nothing."""
        if self._failed_at is None or self._ticks() - self._failed_at > FAULT_S:
            return ""
        return "no port was free for a data connection; passive_ports are too few, or another program has them"

    def take(self, host: str) -> socket.socket:
        """A socket that listens on a port that is free. Raises NoData."""
        free = [port for port in self._ports if port not in self._held]
        why = ""
        for port in random.sample(free, min(TRIES, len(free))):
            try:
                taken = _listening(host, port)
            except OSError as exc:
                why = os.strerror(exc.errno or 0)
                if exc.errno in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL):
                    break  # no other port is any better
            else:
                self._held.add(taken.getsockname()[1])
                self._failed_at = None
                return taken
        self._note(why or "all are held by sessions")
        raise NoData("No port for data connections is free at present; try again.", 425)

    def give_back(self, port: int) -> None:
        """It listens no longer."""
        self._held.discard(port)

    def _note(self, why: str) -> None:
        self.refused += 1
        now = self._failed_at = self._ticks()
        if self._logged_at is None or now - self._logged_at >= FAULT_S:
            self._logged_at = now
            facts = {"first": self._ports[0], "last": self._ports[-1], "held": self.held, "refused": self.refused}
            log.error("no free port for data connections", extra={"event": "ftp.no_port", "why": why, **facts})


def _listening(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setblocking(False)
        made.bind((host, port))
        made.listen(1)
    except OSError:
        made.close()
        raise
    return made


class Passive:
    """One port, for one connection.

    Args:
        peer: Address of the client, the only one who may connect.
        ports: Where the port comes from.
    """

    def __init__(self, peer: str, ports: PassivePorts) -> None:
        self._peer = peer
        self._ports = ports
        self._server: asyncio.Server | None = None
        self._came: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._came = asyncio.get_running_loop().create_future()
        self._unused: asyncio.TimerHandle | None = None
        self.port = 0

    async def open(self, host: str, context: ssl.SSLContext | None) -> None:
        """Listen. Raises NoData."""
        taken = self._ports.take(host)
        self.port = taken.getsockname()[1]
        try:
            self._server = await asyncio.start_server(
                self._connected, sock=taken, ssl=context, ssl_handshake_timeout=CONNECT_S if context else None,
                ssl_shutdown_timeout=SHUTDOWN_S if context else None, backlog=1, limit=BLOCK,
            )  # fmt: skip
        except BaseException:
            taken.close()
            self._ports.give_back(self.port)
            raise
        self._unused = asyncio.get_running_loop().call_later(UNUSED_S, self._stop_listening)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._came.done() or writer.get_extra_info("peername")[0] != self._peer:
            abort(writer)
            return
        self._came.set_result((reader, writer))
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._unused is not None:
            self._unused.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
            self._ports.give_back(self.port)  # once: it may be another session's by and by

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The client's connection. Raises NoData."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.shield(self._came)
        except TimeoutError as exc:
            raise NoData("Nobody connected.", 425) from exc

    def close(self) -> None:
        """Close the port, and the connection where there is one."""
        self._stop_listening()
        if self._came.done() and not self._came.cancelled():
            abort(self._came.result()[1])
        else:
            self._came.cancel()


async def read_block(reader: asyncio.StreamReader) -> bytes:
    """The next octets; empty at the end. Raises NoData."""
    try:
        async with asyncio.timeout(STALL_S):
            return await reader.read(BLOCK)
    except TimeoutError as exc:
        raise NoData("Nothing came any more.") from exc
    except (OSError, ssl.SSLError) as exc:
        raise NoData("The data connection broke.") from exc


async def write_block(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send octets. Raises NoData."""
    try:
        writer.write(data)
        async with asyncio.timeout(STALL_S):
            await writer.drain()
    except TimeoutError as exc:
        raise NoData("Nothing was taken any more.") from exc
    except (OSError, ssl.SSLError) as exc:
        raise NoData("The data connection broke.") from exc


async def finish(writer: asyncio.StreamWriter) -> None:
    """Close a connection that all was sent on."""
    writer.close()
    try:
        async with asyncio.timeout(STALL_S):
            await writer.wait_closed()
    except (TimeoutError, OSError, ssl.SSLError):
        abort(writer)


def abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once, whatever is on its way; one that is closed already is no error."""
    with contextlib.suppress(AttributeError):  # CPython 3.11: of a TLS transport that is closed
        writer.transport.abort()
