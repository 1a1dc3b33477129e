"""The operator's socket, for a restored gateway: what it holds, and the release or cancellation of it all.

docs/spine.md section 9 and `store.restore`. A release goes on in slices; interrupted, it is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aiohttp import web
from sqlalchemy import Connection

from faxgw.store import restore

if TYPE_CHECKING:
    from faxgw.api.control import Operations


class RestoredRoutes:
    """Routes of the control socket.

    Args:
        operations: What it offers.
    """

    def __init__(self, operations: Operations) -> None:
        self._do = operations

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        return [
            web.get("/restored", self._show),
            web.post("/restored/release", self._release),
            web.post("/restored/cancel", self._cancel),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        pending = await self._do.store.read(restore.pending)
        if pending is None:
            return web.json_response({"pending": False})
        backup = dict(pending.backup)
        facts = {"since": pending.since, "backup": backup, "held": pending.held, "asleep": pending.asleep}
        return web.json_response({"pending": True, **facts})

    async def _release(self, request: web.Request) -> web.Response:
        who, now = request.query.get("who", "operator"), self._do.clock()
        reports_too = request.query.get("reports", "1") == "1"
        faxes = await self._all(lambda conn: restore.release_next(conn, who=who, now=now))
        items = await self._do.store.run(lambda conn: restore.finish(conn, who=who, now=now, reports_too=reports_too))
        return web.json_response({"faxes": faxes, "items": items})

    async def _cancel(self, request: web.Request) -> web.Response:
        who, now = request.query.get("who", "operator"), self._do.clock()
        faxes = await self._all(lambda conn: restore.cancel_next(conn, who=who, now=now))
        return web.json_response({"faxes": faxes})

    async def _all(self, unit: Callable[[Connection], int]) -> int:
        """Run a unit until there is nothing left to do; how many faxes it was."""
        faxes = 0
        while done := await self._do.store.run(unit):
            faxes += done
        return faxes
