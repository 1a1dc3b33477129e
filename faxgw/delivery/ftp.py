"""Received faxes to a customer's FTP server: with TLS (RFC 4217), implicit TLS, or in the clear where a target says so.

The standard library's client in threads of its own: its data connections carry on the TLS session of the control
connection, which many servers demand (`require_ssl_reuse`), and asyncio's streams cannot. Passive mode alone, always
to the address of the control connection, whatever the server's answer to PASV names. The certificate is checked
against the name of the target. Each file is stored under another name, checked by SIZE, and renamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import posixpath
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from faxgw.delivery.received import Consignment, Undelivered, lay
from faxgw.delivery.sftp import CONNECT_S, PART, host_and_port
from faxgw.egress import Egress

T = TypeVar("T")

PORT, IMPLICIT_PORT = 21, 990
STEP_S = 60.0
"""Seconds without an octet, in either direction."""
WITHIN_S = 600.0
"""Seconds for one file."""
PIECE = 64 * 1024
"""Octets that are sent at once."""
PLACES = 8
"""Conversations at a time, as many as the outbox has deliveries."""


class FtpWay:
    """Stores files.

    Args:
        egress: Who may be reached.
        context: How servers are checked; None: by the machine's authorities.
    """

    def __init__(self, egress: Egress, context: ssl.SSLContext | None = None) -> None:
        self._egress = egress
        self._context = context or ssl.create_default_context()
        self._threads = ThreadPoolExecutor(PLACES, thread_name_prefix="ftp")

    def close(self) -> None:
        """End the threads; those at work end with their connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        target, password = consignment.target, consignment.secrets.get("password", "")
        tls, user = target.params.get("tls", "explicit"), target.params.get("user", "")
        host, port = host_and_port(target.address, IMPLICIT_PORT if tls == "implicit" else PORT)
        connected = await self._egress.connect(host, port, within=CONNECT_S)
        client = _Client(self._context, host, connected)
        try:
            await self._run(lambda: client.begin(tls, user, password))
            told = await lay(_Folder(self, client, target.params.get("folder", ""), consignment.item), consignment)
            with contextlib.suppress(OSError, EOFError, ftplib.Error):  # the files are there, whatever follows
                await self._run(client.quit)
            return told
        except ssl.SSLCertVerificationError as exc:
            raise Undelivered(f"the server's certificate is not good: {exc.verify_message}") from exc
        except (ftplib.error_perm, ftplib.error_temp) as exc:
            raise Undelivered(f"the server refuses: {exc}") from exc
        except (ftplib.Error, EOFError, UnicodeError) as exc:
            raise Undelivered(f"the server does not answer as FTP does: {exc}") from exc
        finally:
            client.abandon()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class _Client(ftplib.FTP_TLS):
    """One conversation; blocking."""

    def __init__(self, context: ssl.SSLContext, host: str, connected: socket.socket) -> None:
        super().__init__(context=context, timeout=STEP_S, encoding="utf-8")
        self.host = host
        self.sock: socket.socket = connected
        self._data: socket.socket | None = None
        self._data_tls = False

    def begin(self, tls: str, user: str, password: str) -> None:
        """Take over the connection, encrypt it as the target says, log in."""
        self.sock.settimeout(STEP_S)
        self.af = self.sock.family
        if tls == "implicit":
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        if tls == "explicit":
            self.auth()
        ftplib.FTP.login(self, user, password)
        if tls != "none":
            self.prot_p()
            self._data_tls = True
        self.voidcmd("TYPE I")

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """A data connection, under the TLS session of the control connection."""
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        self._data = data
        if self._data_tls:
            session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
            data = self._data = self.context.wrap_socket(data, server_hostname=self.host, session=session)
        return data, size

    def store(self, path: str, octets: bytes) -> None:
        """Store a file."""
        end, view = time.monotonic() + WITHIN_S, memoryview(octets)
        data = self.transfercmd(f"STOR {path}")
        with data:
            for begin in range(0, len(octets), PIECE):
                data.sendall(view[begin : begin + PIECE])
                if time.monotonic() > end:
                    raise TimeoutError("the server takes the file too slowly")
            if isinstance(data, ssl.SSLSocket):
                with contextlib.suppress(OSError):  # some close without a word; their reply says what they have
                    data.unwrap()
        self.voidresp()

    def fetch(self, path: str, size: int) -> bytes:
        """A file's octets, not more than it should have."""
        data, found = self.transfercmd(f"RETR {path}"), bytearray()
        with data:
            while len(found) <= size and (piece := data.recv(PIECE)):
                found += piece
        self.voidresp()
        return bytes(found)

    def size_of(self, path: str) -> int | None:
        """SIZE (RFC 3659 section 4); None when there is no such file, or the server has no such command."""
        try:
            return self.size(path)
        except ftplib.error_perm:
            return None

    def take_place(self, partial: str, path: str) -> None:
        """Rename; a server that does not overwrite is asked to remove what has the name."""
        try:
            self.rename(partial, path)
        except ftplib.error_perm:
            with contextlib.suppress(ftplib.error_perm):
                self.delete(path)
            self.rename(partial, path)

    def abandon(self) -> None:
        """Close everything, from any thread: who waits for an answer is woken."""
        for opened in (self._data, self.sock):
            if opened is not None:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
        self.close()


class _Folder:
    """A folder of the server's."""

    def __init__(self, way: FtpWay, client: _Client, folder: str, item: str) -> None:
        self._way = way
        self._client = client
        self._folder = folder
        self._mark = item[-8:]

    async def size(self, name: str) -> int | None:
        """See `received.Folder`."""
        return await self._way._run(partial(self._client.size_of, self._path(name)))

    async def read(self, name: str, size: int) -> bytes:
        """See `received.Folder`. A server that lets nobody read has another file there, for all that is known."""
        try:
            return await self._way._run(partial(self._client.fetch, self._path(name), size))
        except ftplib.error_perm:
            return b""

    async def put(self, name: str, octets: bytes) -> None:
        """See `received.Folder`."""
        half = self._path(f"{name}.{self._mark}{PART}")
        await self._way._run(partial(self._client.store, half, octets))
        size = await self._way._run(partial(self._client.size_of, half))
        if size is not None and size != len(octets):
            raise Undelivered(f"the server kept {size} of {len(octets)} octets")
        await self._way._run(partial(self._client.take_place, half, self._path(name)))

    def _path(self, name: str) -> str:
        return posixpath.join(self._folder, name) if self._folder else name
