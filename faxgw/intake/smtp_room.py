"""Where SMTP sessions take place: in this process, behind a door that has counted them.

A connection comes as a socket nothing was read of; TLS from the first octet is begun here. Whoever counts connections
is told once when one is gone.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from faxgw.fax.ports import Submissions
from faxgw.intake.smtp_link import LINGER, Desk
from faxgw.intake.smtp_logins import Logins
from faxgw.intake.smtp_mail import Counters, Mailroom, SpoolFiles
from faxgw.intake.smtp_session import SmtpSession
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.intake.smtp_stream import Patience
from faxgw.intake.smtp_tls import Pair, context_of
from faxgw.settings import Tls

log = logging.getLogger(__name__)


class Room(Protocol):
    """What the server needs of a room, here or in a process of its own."""

    @property
    def ready(self) -> bool:
        """Whether connections may be sent in."""
        ...

    @property
    def most(self) -> int:
        """Connections at a time that it has room for; meant while it is ready."""
        ...

    async def start(self) -> None:
        """Make ready. Raises OSError."""
        ...

    def enter(self, sock: socket.socket, listener: SmtpListener, peer: str, gone: Callable[[], None]) -> None:
        """Begin a session.

        Args:
            sock: Connected, not blocking; the room's from here on.
            listener: Where it came in.
            peer: IP address of the client.
            gone: Called once, when the connection is gone.
        """
        ...

    def stress(self, begun: bool) -> None:
        """Stress has begun, or is over."""
        ...

    def reload_tls(self, tls: Tls) -> None:
        """Read certificate and key anew, for connections that come from now on. Raises OSError."""
        ...

    async def stop(self, grace: float) -> None:
        """421 to who is idle; mails that are begun may end within `grace` seconds. Commits are never cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class _Entering:
    """A connection on its way to its session."""

    sock: socket.socket
    session: SmtpSession
    context: ssl.SSLContext | None
    """For TLS from the first octet."""
    patience: Patience = field(default_factory=Patience)
    """Waits for the handshake."""


class SessionRoom:
    """Sessions in this process.

    Args:
        settings: Checked.
        submissions: The funnel.
        logins: Checks logins.
        files: The spool.
        counters: Where to count.
        now: Unix time in seconds.
        dsn: Announce RFC 3461.
        pair: Certificate and key to begin with; None: those of the settings.
    """

    ready = True

    def __init__(
        self,
        settings: SmtpSettings,
        submissions: Submissions,
        logins: Logins,
        files: SpoolFiles,
        counters: Counters,
        now: Callable[[], float] = time.time,
        *,
        dsn: bool = False,
        pair: Pair | None = None,
    ) -> None:
        self._settings = settings
        self._pair = pair
        self._context: ssl.SSLContext | None = None
        self._entering: dict[asyncio.Task[None], _Entering] = {}
        self._desk = Desk(
            settings=settings,
            hostname=settings.hostname or socket.gethostname(),
            submissions=submissions,
            logins=logins,
            mailroom=Mailroom(settings, submissions, files, counters, now),
            counters=counters,
            dsn=dsn,
        )

    @property
    def most(self) -> int:
        """Connections at a time: as the settings say."""
        return self._settings.connection_limit

    async def start(self) -> None:
        """Read the certificate. Raises OSError."""
        if self._pair is not None:
            self.use(self._pair)
        elif self._settings.tls is not None:
            self.reload_tls(self._settings.tls)

    def enter(self, sock: socket.socket, listener: SmtpListener, peer: str, gone: Callable[[], None]) -> None:
        """Begin a session."""
        context = self._context if listener.security == "tls" else None
        entering = _Entering(sock, SmtpSession(self._desk, listener, peer, self._context, gone), context)
        task = asyncio.create_task(self._begin(entering), name="smtp begins")
        self._entering[task] = entering
        task.add_done_callback(self._entered)

    def stress(self, begun: bool) -> None:
        """Stress has begun: deadlines shrink, those that run as well; or it is over."""
        self._desk.stressed = begun
        if begun:
            for session in self._desk.sessions:
                session.hurry(self._desk.deadline())
            for entering in self._entering.values():
                entering.patience.shorten(self._desk.deadline())

    def reload_tls(self, tls: Tls) -> None:
        """Read certificate and key anew. Raises OSError; then the old ones stay."""
        self._context = context_of(tls)

    def use(self, pair: Pair) -> None:
        """Take this certificate and key from now on. Raises OSError; then the old ones stay."""
        self._context = pair.context()

    async def stop(self, grace: float) -> None:
        """End what is idle, wait for mails that are begun, cancel the rest, wait for commits."""
        self._desk.stopping = True
        entering = tuple(self._entering)
        for task in entering:
            task.cancel()
        await _all_done(entering, LINGER)
        for session in tuple(self._desk.sessions):
            session.drain_session()
        await _all_done([session.running() for session in self._desk.sessions], grace)
        for session in tuple(self._desk.sessions):
            session.running().cancel()
        await _all_done([session.running() for session in self._desk.sessions], 2 * LINGER)
        await self._desk.mailroom.finish(self._settings.commit_deadline)

    async def _begin(self, entering: _Entering) -> None:
        connect = asyncio.get_running_loop().connect_accepted_socket
        try:
            if entering.context is None:
                await connect(lambda: entering.session, entering.sock)
            else:
                handshake = connect(
                    lambda: entering.session,
                    entering.sock,
                    ssl=entering.context,
                    ssl_handshake_timeout=self._settings.command_deadline,
                )
                await entering.patience.wait(handshake, self._desk.deadline())
        except OSError as error:  # TLS alerts, resets and the deadline
            log.debug(
                "smtp not begun",
                extra={"event": "smtp_tls_failed", "peer": entering.session.peer, "reason": str(error)},
            )

    def _entered(self, task: asyncio.Task[None]) -> None:
        """The session has begun, or never will; a task may have been cancelled before its first step."""
        entering = self._entering.pop(task)
        entering.patience.end()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("smtp session not begun", extra={"event": "smtp_session_failed"}, exc_info=error)
        if not entering.session.begun:
            entering.sock.close()
            self._desk.counters.session("tls_failed" if entering.context is not None else "lost")
            entering.session.gone()


async def _all_done(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
