"""The SMTP server: listeners, the door where connections are counted, TLS from the first octet, start and stop.

A connection is counted when it is accepted, before any handshake, and until its transport is gone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from faxgw.fax.ports import Submissions
from faxgw.intake.smtp_limits import Admission, Connections, Failures, client_of, is_within
from faxgw.intake.smtp_link import LINGER, Desk, SmtpLink
from faxgw.intake.smtp_mail import Counters, Mailroom, SpoolFiles
from faxgw.intake.smtp_session import SmtpSession
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.settings import Tls

ADDRESS_FAILURES = 5
"""Failed logins of an address under any name, as a multiple of those under one name."""
BACKLOG = 1_024
"""Connections the system keeps for us while we are busy."""
EARLY_OCTETS = 16_384
"""Octets a client may send between its TLS handshake and our greeting."""
REFUSALS_LOGGED_EVERY = 10.0
"""Seconds between two log lines about connections that were not let in."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that listens."""

    name: str
    """The listener's."""
    host: str
    port: int


class SmtpServer:
    """Takes mail on the listeners of its settings.

    Args:
        settings: Checked.
        submissions: The funnel.
        files: The spool.
        counters: Where to count.
        now: Unix time in seconds.
        dsn: Announce RFC 3461; only when the reports it promises are sent.
    """

    def __init__(
        self,
        settings: SmtpSettings,
        submissions: Submissions,
        files: SpoolFiles,
        counters: Counters | None = None,
        now: Callable[[], float] = time.time,
        *,
        dsn: bool = False,
    ) -> None:
        self._settings = settings
        self._counters = counters or Counters()
        self._context: ssl.SSLContext | None = None
        self._servers: list[asyncio.Server] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._refusals = 0
        self._refusals_logged = float("-inf")
        self._mailroom = Mailroom(settings, submissions, files, self._counters, now)
        self._desk = Desk(
            settings=settings,
            hostname=settings.hostname or socket.gethostname(),
            submissions=submissions,
            mailroom=self._mailroom,
            counters=self._counters,
            connections=Connections(settings.connection_limit, settings.client_connection_limit),
            failures=Failures(settings.auth_failures, settings.auth_window),
            address_failures=Failures(ADDRESS_FAILURES * settings.auth_failures, settings.auth_window),
            dsn=dsn,
        )

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._desk.connections.open

    async def start(self) -> list[Bound]:
        """Listen.

        Returns:
            Every socket, in the order of the settings; a port 0 replaced by what the system chose.

        Raises:
            OSError: If a port cannot be had or the certificate not be read; then nothing listens.
        """
        self.reload_tls()
        bound: list[Bound] = []
        try:
            for listener in self._settings.listeners:
                bound += await self._listen(listener)
        except OSError:
            self._stop_listening()
            raise
        for place in bound:
            log.info("smtp listens", extra={"event": "smtp_listens", "listener": place.name, "port": place.port})
        return bound

    async def stop(self, grace: float) -> None:
        """Stop: no new connection, 421 to who is idle; mails that are begun may end within `grace` seconds.

        Commits that run are waited for beyond it; none is cancelled.
        """
        self._desk.stopping = True
        self._stop_listening()
        for task in tuple(self._handshakes):
            task.cancel()
        for session in tuple(self._desk.sessions):
            session.drain_session()
        await _all_done([session.running() for session in self._desk.sessions], grace)
        for session in tuple(self._desk.sessions):
            session.running().cancel()
        await _all_done([session.running() for session in self._desk.sessions], 2 * LINGER)
        await self._mailroom.finish(self._settings.commit_deadline)
        for server in self._servers:
            await server.wait_closed()

    def reload_tls(self, tls: Tls | None = None) -> None:
        """Read certificate and key anew, for connections that come from now on.

        Args:
            tls: Where they lie now; None: where they lay.

        Raises:
            OSError: If they cannot be used; the old ones stay.
        """
        if self._settings.tls is not None:
            context = (tls or self._settings.tls).server_context()
            context.options |= ssl.OP_NO_RENEGOTIATION
            self._context = context

    async def _listen(self, listener: SmtpListener) -> list[Bound]:
        server = await asyncio.get_running_loop().create_server(
            lambda: _Door(self, listener), listener.listen.host, listener.listen.port, backlog=BACKLOG
        )
        self._servers.append(server)
        return [Bound(listener.name, *sock.getsockname()[:2]) for sock in server.sockets]

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    # -------------------------------------------------------------------------------------- what the door asks

    def admit(self, transport: asyncio.Transport, listener: SmtpListener) -> str | None:
        """Let a connection in and count it, or tell it why not.

        Returns:
            The peer's address, or None.
        """
        name = transport.get_extra_info("peername")
        peer = str(name[0]) if name else ""
        client = client_of(peer)
        if not client:
            transport.abort()  # gone before it was looked at
            return None
        was_stressed = self._desk.connections.stressed
        refusal = self._refusal(client, peer, listener)
        if refusal is None:
            if self._desk.connections.stressed and not was_stressed:
                self._begin_stress()
            return peer
        result, reply = refusal
        self._counters.session(result)
        self._log_refusal(result)
        if listener.security != "tls":
            transport.write(reply)
        transport.close()
        return None

    def welcome(self, transport: asyncio.Transport, listener: SmtpListener, peer: str) -> SmtpSession:
        """Begin the session of a connection that was let in."""
        session = SmtpSession(self._desk, listener, peer, self._context, self._ended)
        self._desk.sessions.add(session)
        transport.set_protocol(session)
        session.connection_made(transport)
        return session

    def encrypt(self, transport: asyncio.Transport, listener: SmtpListener, peer: str, door: _Door) -> None:
        """Begin the TLS handshake, then the session."""
        task = asyncio.create_task(self._handshake(transport, listener, peer, door), name="smtp handshake")
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, transport: asyncio.Transport, listener: SmtpListener, peer: str, door: _Door) -> None:
        encrypted: asyncio.Transport | None = None
        try:
            assert self._context is not None
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, door, self._context, server_side=True, ssl_handshake_timeout=self._desk.deadline()
            )
        except OSError as error:  # TLS alerts, resets and the deadline
            log.debug("tls handshake failed", extra={"event": "smtp_tls_failed", "peer": peer, "reason": str(error)})
        finally:
            if encrypted is None or door.lost:
                self._desk.connections.leave(client_of(peer))
                self._counters.session("tls_failed")
        if encrypted is not None and not door.lost:
            session = self.welcome(encrypted, listener, peer)
            if door.early:
                session.data_received(bytes(door.early))

    def _refusal(self, client: str, peer: str, listener: SmtpListener) -> tuple[str, bytes] | None:
        if listener.allow and not is_within(peer, listener.allow):
            return "refused_network", b"554 5.7.1 Your network may not use this server\r\n"
        if self._desk.stopping:
            return "stopped", b"421 4.3.2 The server is stopping\r\n"
        match self._desk.connections.admit(client):
            case Admission.SERVER_FULL:
                return "refused_full", b"421 4.3.2 Too many connections; please try again later\r\n"
            case Admission.CLIENT_FULL:
                return "refused_client", b"421 4.7.0 Too many connections from your address\r\n"
            case Admission.WELCOME:
                return None

    def _begin_stress(self) -> None:
        log.warning("smtp under stress", extra={"event": "smtp_stress", "connections": self.connections})
        for session in self._desk.sessions:
            session.hurry(self._desk.deadline())

    def _ended(self, session: SmtpLink) -> None:
        self._desk.sessions.discard(session)
        self._desk.connections.leave(client_of(session.peer))

    def _log_refusal(self, result: str) -> None:
        """One line for many: a flood of connections is no flood of log lines."""
        self._refusals += 1
        now = asyncio.get_running_loop().time()
        if now - self._refusals_logged >= REFUSALS_LOGGED_EVERY:
            log.warning(
                "smtp connections refused",
                extra={"event": "smtp_refused", "count": self._refusals, "last": result},
            )
            self._refusals, self._refusals_logged = 0, now


class _Door(asyncio.Protocol):
    """A connection before its session: counted, or turned away at the price of a few hundred octets."""

    def __init__(self, server: SmtpServer, listener: SmtpListener) -> None:
        self._server = server
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self.early = bytearray()
        """Octets that came encrypted before the session began."""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = self._server.admit(transport, self._listener)
        if peer is None:
            return
        if self._listener.security == "tls":
            self._server.encrypt(transport, self._listener, peer, self)
        else:
            self._server.welcome(transport, self._listener, peer)

    def data_received(self, data: bytes) -> None:
        """Somebody could not wait for the greeting, or was turned away."""
        self.early += data
        if len(self.early) > EARLY_OCTETS and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody is there any more."""
        self.lost = True


async def _all_done(tasks: list[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
