"""Who is in a file server at this moment, and whether they may stay: asked every second, for all of them at once.

Somebody who was shut out (a login that is closed or suspended, a key that is removed, a password that is changed, an
address that is allowed no longer, fewer scopes) would else go on with an open session for as long as he likes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from faxgw.fax.access import Caller, Interface, Logins
from faxgw.fax.errors import FaxError

RECHECK_S = 1.0
"""Seconds after which it is asked again whether the logins of open sessions hold."""

log = logging.getLogger(__name__)


class Visitors:
    """The open sessions of one server.

    Args:
        logins: Who may do what.
        interface: The server's.
    """

    def __init__(self, logins: Logins, interface: Interface) -> None:
        self._logins = logins
        self._interface = interface
        self._inside: dict[object, tuple[Caller, Callable[[], None]]] = {}

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, session: object, caller: Caller, end: Callable[[], None]) -> None:
        """Somebody has logged in; one who logs in anew takes the place of who was there.

        Args:
            session: Stands for the session; hashable.
            caller: As whom.
            end: Ends the session at once.
        """
        self._inside[session] = (caller, end)

    def leave(self, session: object) -> None:
        """A session is over, whether or not somebody had logged in."""
        self._inside.pop(session, None)

    async def watch(self) -> None:
        """End sessions whose logins hold no longer, or for less; for ever."""
        while True:
            await asyncio.sleep(RECHECK_S)
            try:
                await self.look()
            except FaxError as exc:  # nobody can tell: it is asked again
                log.warning("logins not asked", extra={"event": f"{self._interface}.recheck", "why": str(exc)})

    async def look(self) -> None:
        """Ask once. Raises FaxError when nobody can tell."""
        inside = list(self._inside.items())
        if not inside:
            return
        held = await self._logins.holds([caller for _, (caller, _end) in inside], self._interface)
        for (session, entry), holds in zip(inside, held, strict=True):
            if not holds and self._inside.get(session) is entry:
                caller, end = entry
                log.info("login holds no longer", extra={"event": f"{self._interface}.shut_out", "login": caller.login})
                self.leave(session)
                end()
