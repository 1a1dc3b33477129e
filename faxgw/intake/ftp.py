"""The FTP server: listeners, TLS, how many may connect (docs/sftp.md). Off unless `[ftp]` stands in the settings."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from faxgw.fax.access import Interface, Logins
from faxgw.fax.limits import client_of
from faxgw.intake.ftp_data import PassivePorts
from faxgw.intake.ftp_session import LINE, LOGIN_S, FtpSession
from faxgw.intake.ftp_settings import FtpListener, FtpSettings
from faxgw.intake.tree import PlaceMaker
from faxgw.intake.visitors import Visitors
from faxgw.settings import Tls

log = logging.getLogger(__name__)


class FtpServer:
    """Listens, and knows every connection.

    Args:
        settings: `[ftp]`.
        logins: Who somebody is.
        places: Makes what a visitor sees.
        ticks: Monotonic seconds.
    """

    def __init__(
        self, settings: FtpSettings, logins: Logins, places: PlaceMaker, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self.ports = PassivePorts(settings.ports, ticks)
        self._settings = settings
        self._logins = logins
        self._places = places
        self._context: ssl.SSLContext | None = None
        self._servers: list[asyncio.Server] = []
        self._sessions: set[asyncio.Task[None]] = set()
        self._clients: Counter[str] = Counter()
        self._visitors = Visitors(logins, Interface.FTP)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> list[tuple[str, int]]:
        """Listen; where, as bound. Raises OSError."""
        if self._settings.tls is not None:
            self._context = await asyncio.to_thread(self._settings.tls.server_context)
            # A client that only sends would never read them, and its close would be a reset instead of an end (lftp).
            self._context.num_tickets = 0
        bound = []
        for listener in self._settings.listeners:
            implicit = listener.security == "implicit"
            server = await asyncio.start_server(
                partial(self._connected, listener),
                listener.listen.host,
                listener.listen.port,
                limit=LINE,
                ssl=self._context if implicit else None,
                ssl_handshake_timeout=LOGIN_S if implicit else None,
            )
            self._servers.append(server)
            bound += [(place.getsockname()[0], place.getsockname()[1]) for place in server.sockets]
        self._watching = asyncio.create_task(self._visitors.watch(), name="ftp visitors")
        return bound

    def reload_tls(self, tls: Tls | None) -> None:
        """Read the certificate anew, for connections that come from now on. Raises OSError."""
        if tls is not None and self._context is not None:
            tls.server_context()  # refuses what does not belong together, before anything is changed
            self._context.load_cert_chain(tls.certificate, tls.key, password="")

    async def stop(self, grace: float) -> None:
        """Take no connection any more; end those that are open after the grace."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        for server in self._servers:
            server.close()
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=grace)
        for session in list(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _connected(
        self, listener: FtpListener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # streams run this in one
        client = client_of(str(writer.get_extra_info("peername")[0]))
        settings = self._settings
        full = len(self._sessions) >= settings.connection_limit
        if full or self._clients[client] >= settings.client_connection_limit:
            log.warning("too many connections", extra={"event": "ftp.limit", "peer": client})
            writer.write(b"421 There are too many connections.\r\n")
            writer.close()
            return
        self._sessions.add(task)
        self._clients[client] += 1
        try:
            secure = listener.security == "implicit"
            session = FtpSession(
                settings, self._logins, self._places, self._context, reader, writer, self._visitors, self.ports,
                secure=secure,
            )  # fmt: skip
            await session.run()
        except Exception:  # owner of the connection
            log.exception("session failed", extra={"event": "ftp.failed"})
        finally:
            self._sessions.discard(task)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
