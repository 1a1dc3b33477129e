"""Data connections of FTP (RFC 959 section 3.2), passive alone: this server connects to nobody.

Only the client of the control connection may connect, and once; so a port that is guessed gives nobody a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Sequence
from typing import Self

CONNECT_S = 30.0
"""Seconds for the client to connect, handshake included."""
STALL_S = 60.0
"""Seconds in which some octets must move."""
BLOCK = 64 * 1024
"""Octets that are moved at a time."""
SHUTDOWN_S = 5.0
"""Seconds for the client to answer the end of TLS; what it wanted to have, it has by then."""
TRIES = 20
"""Ports that are tried."""


class NoData(Exception):
    """There is no data connection, or it broke; the text is for the client."""


class Passive:
    """One port, for one connection."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._server: asyncio.Server | None = None
        self._came: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self._came = asyncio.get_running_loop().create_future()
        self.port = 0

    async def open(self, host: str, ports: Sequence[int], context: ssl.SSLContext | None) -> Self:
        """Listen on one of some ports. Raises NoData."""
        for port in random.sample(ports, min(TRIES, len(ports))):
            with contextlib.suppress(OSError):
                self._server = await asyncio.start_server(
                    self._connected, host, port, ssl=context, ssl_handshake_timeout=CONNECT_S if context else None,
                    ssl_shutdown_timeout=SHUTDOWN_S if context else None,
                    backlog=1, limit=BLOCK,
                )  # fmt: skip
                self.port = self._server.sockets[0].getsockname()[1]
                return self
        raise NoData("There is no free port at present.")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._came.done() or writer.get_extra_info("peername")[0] != self._peer:
            abort(writer)
            return
        self._came.set_result((reader, writer))
        if self._server is not None:
            self._server.close()

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The client's connection. Raises NoData."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.shield(self._came)
        except TimeoutError as exc:
            raise NoData("Nobody connected.") from exc

    def close(self) -> None:
        """Close the port, and the connection where there is one."""
        if self._server is not None:
            self._server.close()
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
