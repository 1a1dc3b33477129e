"""`faxgw pages`: the page server as a service of its own, listening on a Unix socket (systemd/faxgw-pages.service).

The service manager shuts it off; it opens no sandbox of its own. It gets its listening socket from the manager
(sd_listen_fds(3)) or makes one, lets in the gateway's user and nobody else (SO_PEERCRED), and serves each connection
as `document.server` serves the pipe of a daemon that started it. A connection that ends takes its requests with it;
the service outlives its gateways.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import pwd
import resource
import signal
import socket
import stat
import struct
import sys
from collections.abc import Collection, MutableMapping
from pathlib import Path

from faxgw import logs, pipe
from faxgw.document import fonts, protocol, seccomp
from faxgw.document.office_pool import NoOffice, OfficePool
from faxgw.document.server import PageServer, add_arguments, offices, preload, printers
from faxgw.document.types import Kind
from faxgw.sdnotify import Notifier

MAX_CONNECTIONS = 8
"""Gateways served at the same time; one is the rule, two while one takes over from another."""
BACKLOG = 16
"""Connections the system keeps for us while we are busy."""
FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START."""
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

log = logging.getLogger(__name__)


class NoSocket(Exception):
    """There is nothing to listen on."""


class PageService:
    """Accepts gateways and serves them.

    Args:
        listener: Listening Unix stream socket; this object owns it.
        users: User ids that may connect.
        notifier: The service manager.
        offices: LibreOffices for all gateways together; 0: none.
        languages: Printer languages that are converted.
    """

    def __init__(
        self,
        listener: socket.socket,
        users: Collection[int],
        notifier: Notifier,
        offices: int = 0,
        languages: frozenset[Kind] = frozenset(),
    ) -> None:
        self._listener = listener
        self._users = frozenset(users)
        self._notifier = notifier
        self._office = OfficePool(offices) if offices else None
        self._languages = languages
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`; what is being converted then is given up: its gateway asks again."""
        loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        accepting = asyncio.create_task(self._accept_for_ever(), name="accept")
        watching = asyncio.create_task(self._tell_for_ever(), name="watchdog")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._notifier.ready("waiting for a gateway")
        log.info("page service listens", extra={"event": "pages.listening"})
        try:
            done, _pending = await asyncio.wait((accepting, watching, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._notifier.stopping(5.0)
            tasks = (accepting, watching, stopping, *self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._office is not None:
                await self._office.close()
            self._listener.close()
        for task in done:
            task.result()  # raises what ended us without being asked

    def stop(self) -> None:
        """Make `run` return."""
        self._stop.set()

    async def _accept_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _address = await loop.sock_accept(self._listener)
            user = peer(sock)
            if user not in self._users or len(self._tasks) >= MAX_CONNECTIONS:
                log.warning("connection refused", extra={"event": "pages.refused", "uid": user})
                sock.close()
                continue
            task = asyncio.create_task(self._serve(sock), name="gateway")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        log.info("gateway connected", extra={"event": "pages.connected"})
        channel = pipe.Pipe(sock)
        try:
            await PageServer(channel, self._office, self._languages).serve()
        except (pipe.PipeClosed, protocol.BadMessage) as exc:
            log.error("gateway broke the protocol", extra={"event": "pages.mad", "why": str(exc)})
        except Exception:  # owner of the connection
            log.exception("connection failed", extra={"event": "pages.failed"})
        finally:
            channel.close()
        log.info("gateway gone", extra={"event": "pages.disconnected"})

    async def _tell_for_ever(self) -> None:
        """Feed the watchdog: as long as this loop turns, the service is alive."""
        while self._notifier.watchdog:
            self._notifier.alive(f"{len(self._tasks)} gateways connected")
            await asyncio.sleep(self._notifier.watchdog / 3)
        await asyncio.Event().wait()


def peer(sock: socket.socket) -> int:
    """User id of the process at the other end (unix(7), SO_PEERCRED)."""
    octets = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(octets)
    return int(user)


def handed_over(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The socket that the service manager listens on for us; None if it does not.

    Raises:
        NoSocket: If what it handed over is no listening Unix stream socket.
    """
    count, owner = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if owner != str(os.getpid()) or not count.isdecimal() or int(count) == 0:
        return None
    sock = socket.socket(fileno=FIRST_DESCRIPTOR)
    sock.set_inheritable(False)
    if sock.family is not socket.AF_UNIX or sock.type is not socket.SOCK_STREAM or not _listens(sock):
        raise NoSocket("the service manager handed over something else than a listening Unix stream socket")
    return sock


def _listens(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def listen(path: Path) -> socket.socket:
    """Listen on a path, mode 0600, in place of a socket that nobody serves any more.

    Raises:
        NoSocket: If somebody serves it, something else lies there, or it cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _is_served(path):
            path.unlink()
        sock.bind(str(path))
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise NoSocket(f"{path}: {exc.strerror}") from exc
    finally:
        os.umask(mask)
    return sock


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def main() -> int:
    """Entry point: `python -m faxgw.document.service`."""
    parser = argparse.ArgumentParser(prog="faxgw pages", description="Convert documents for a gateway.")
    parser.add_argument("--listen", type=Path, help="socket to make, unless the service manager hands one over")
    parser.add_argument("--peer", default="", help="user of the gateway (default: the one this runs as)")
    add_arguments(parser)
    arguments = parser.parse_args()
    logs.configure(level="INFO", form="auto")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        user = pwd.getpwnam(arguments.peer).pw_uid if arguments.peer else os.geteuid()
        listener = handed_over(os.environ)
        made = arguments.listen if listener is None else None
        if listener is None:
            if arguments.listen is None:
                raise NoSocket("no socket was handed over; name one with --listen")
            listener = listen(arguments.listen)
        preload()
        outside, languages = offices(arguments), printers(arguments)
    except (NoSocket, NoOffice, KeyError, fonts.NoFont, seccomp.NoSeccomp) as exc:
        sys.exit(f"faxgw pages: {exc}")
    try:
        asyncio.run(_main(listener, user, outside, languages))
    finally:
        if made is not None:
            with contextlib.suppress(OSError):
                made.unlink()
    return 0


async def _main(listener: socket.socket, user: int, outside: int, languages: frozenset[Kind]) -> None:
    await PageService(listener, {user}, Notifier(), outside, languages).run()


if __name__ == "__main__":
    sys.exit(main())
