"""The SMTP server: listeners, the door where connections are counted, the rooms they are sent to, start and stop.

A connection is counted when it is accepted, before any handshake, and until it is gone, wherever its session takes
place: in processes of their own (`smtp_processes`) or in this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from faxgw.fax.ports import Submissions
from faxgw.intake.smtp_door import Bound, Door
from faxgw.intake.smtp_limits import Admission, Connections, client_of, is_within
from faxgw.intake.smtp_logins import CountedLogins
from faxgw.intake.smtp_mail import Counters, SpoolFiles
from faxgw.intake.smtp_pipe import Opening
from faxgw.intake.smtp_processes import ProcessRoom
from faxgw.intake.smtp_remains import Remains
from faxgw.intake.smtp_room import Room, SessionRoom
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.logs import Manner
from faxgw.settings import Tls
from faxgw.store.files import Known

REFUSALS_LOGGED_EVERY = 10.0
"""Seconds between two log lines about connections that were not let in."""

log = logging.getLogger(__name__)


class SmtpServer:
    """Takes mail on the listeners of its settings.

    Args:
        settings: Checked.
        submissions: The funnel.
        files: The spool.
        counters: Where to count.
        now: Unix time in seconds, for sessions in this process.
        dsn: Announce RFC 3461; only when the reports it promises are sent.
        known: Says which of some spool objects a row names, so that what a process left behind that was killed can be
            removed; None: it stays until the gateway starts again.
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
        known: Known | None = None,
    ) -> None:
        self._settings = settings
        self._counters = counters or Counters()
        self._connections = Connections(settings.connection_limit, settings.client_connection_limit)
        self._stressed = False
        self._prepared = False
        self._stopping = False
        self._refusals = 0
        self._refusals_logged = float("-inf")
        self._door = Door(self._accepted)
        self._here: Counter[Room] = Counter()
        logins = CountedLogins(settings, submissions)
        self._rooms: list[Room]
        if settings.processes:
            opening = Opening(settings, files.place, dsn, Manner.now())
            remains = None if known is None else Remains(files, known)
            self._rooms = [
                ProcessRoom(opening, submissions, logins, self._counters, self._look, remains)
                for _ in range(settings.processes)
            ]
        else:
            self._rooms = [SessionRoom(settings, submissions, logins, files, self._counters, now, dsn=dsn)]

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._connections.open

    @property
    def ready(self) -> bool:
        """Whether somebody would be let in."""
        return self._prepared and not self._stopping and any(room.ready for room in self._rooms)

    async def prepare(self) -> None:
        """Start what takes time: the processes, if there are any.

        Raises:
            OSError: If the certificate cannot be read or a process not be started; then none runs.
        """
        async with contextlib.AsyncExitStack() as undone:
            for room in self._rooms:
                undone.push_async_callback(room.stop, 0.0)
            await asyncio.gather(*(room.start() for room in self._rooms))
            undone.pop_all()
        self._prepared = True

    async def start(self) -> list[Bound]:
        """Listen; prepared or not.

        Returns:
            Every socket, in the order of the settings; a port 0 replaced by what the system chose.

        Raises:
            OSError: As `prepare`, or if a port cannot be had; then nothing listens.
        """
        bound: list[Bound] = []
        async with contextlib.AsyncExitStack() as undone:
            undone.push_async_callback(self.stop, 0.0)
            for listener in self._settings.listeners:
                bound += await self._door.bind(listener)
            if not self._prepared:
                await self.prepare()
            undone.pop_all()
        self._look()
        for place in bound:
            log.info("smtp listens", extra={"event": "smtp_listens", "listener": place.name, "port": place.port})
        return bound

    async def stop(self, grace: float) -> None:
        """Stop: no new connection, 421 to who is idle; mails that are begun may end within `grace` seconds.

        Commits that run are waited for beyond it; none is cancelled.
        """
        self._stopping = True
        self._door.close()
        await asyncio.gather(*(room.stop(grace) for room in self._rooms))

    def reload_tls(self, tls: Tls | None = None) -> None:
        """Read certificate and key anew, for connections that come from now on.

        Args:
            tls: Where they lie now; None: where they lay.

        Raises:
            OSError: If they cannot be used; the old ones stay.
        """
        if self._settings.tls is not None:
            for room in self._rooms:
                room.reload_tls(tls or self._settings.tls)

    def _look(self) -> None:
        """Accept connections while there is a room for them, and no more than the rooms hold."""
        most = sum(room.most for room in self._rooms if room.ready)
        self._connections.total = min(most, self._settings.connection_limit)
        self._note_stress()
        if self.ready:
            self._door.open()
        else:
            self._door.shut()

    def _accepted(self, sock: socket.socket, peer: str, listener: SmtpListener) -> None:
        """Send a connection to a room and count it, or tell it why not."""
        client = client_of(peer)
        refusal = self._refusal(client, peer, listener)
        if refusal is None:
            room = min(self._free(), key=self._here.__getitem__)
            self._here[room] += 1
            self._note_stress()
            room.enter(sock, listener, peer, partial(self._gone, client, room))
            return
        result, reply = refusal
        self._counters.session(result)
        self._log_refusal(result)
        with sock, contextlib.suppress(OSError):
            if listener.security != "tls":
                sock.send(reply)

    def _gone(self, client: str, room: Room) -> None:
        self._connections.leave(client)
        self._here[room] -= 1
        self._note_stress()

    def _free(self) -> list[Room]:
        """Rooms that one more may be sent into."""
        return [room for room in self._rooms if room.ready and self._here[room] < room.most]

    def _refusal(self, client: str, peer: str, listener: SmtpListener) -> tuple[str, bytes] | None:
        if listener.allow and not is_within(peer, listener.allow):
            return "refused_network", b"554 5.7.1 Your network may not use this server\r\n"
        full = "refused_full", b"421 4.3.2 Too many connections; please try again later\r\n"
        if not self._free():
            return full
        match self._connections.admit(client):
            case Admission.SERVER_FULL:
                return full
            case Admission.CLIENT_FULL:
                return "refused_client", b"421 4.7.0 Too many connections from your address\r\n"
            case Admission.WELCOME:
                return None

    def _note_stress(self) -> None:
        stressed = self._connections.stressed
        if stressed == self._stressed:
            return
        self._stressed = stressed
        if stressed:
            log.warning("smtp under stress", extra={"event": "smtp_stress", "connections": self.connections})
        for room in self._rooms:
            room.stress(stressed)

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
