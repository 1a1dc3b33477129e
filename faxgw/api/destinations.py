"""The operator's socket, for destinations: what is known of them, what the next call will do, and forgetting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any  # Any: JSON

from aiohttp import web

from faxgw.fax.destination import Measure, measures
from faxgw.fax.number import dialled_forms
from faxgw.store import destinations
from faxgw.store.destinations import Known

if TYPE_CHECKING:
    from faxgw.api.control import Operations

MAX_DESTINATIONS = 1000
"""Destinations in one answer at most."""


class DestinationRoutes:
    """Routes of the control socket.

    Args:
        operations: What it offers.
    """

    def __init__(self, operations: Operations) -> None:
        self._do = operations

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        return [
            web.get("/explain", self._explain),
            web.get("/destinations", self._list),
            web.delete("/destinations", self._forget),
        ]

    async def _explain(self, request: web.Request) -> web.Response:
        if self._do.explain is None:
            raise web.HTTPNotFound(text="This gateway places no calls.")
        query = request.query
        answer = await self._do.explain(query.get("number", ""), query.get("customer", ""), query.get("sender", ""))
        return web.json_response(answer)

    async def _list(self, request: web.Request) -> web.Response:
        """Those called last, or the one that `number` means."""
        now = self._do.clock()
        if typed := request.query.get("number", ""):
            e164 = await self._find(typed)
            calls = await self._do.store.read(lambda conn: destinations.calls_to(conn, e164))
            found: Sequence[Known] = [Known(e164, calls, calls[-1].at)]
            return web.json_response({"count": 1, "destinations": [_shown(known, now) for known in found]})
        limit = max(1, min(int(request.query.get("limit", "50")), MAX_DESTINATIONS))
        found, count = await self._do.store.read(lambda conn: destinations.overview(conn, limit=limit))
        return web.json_response({"count": count, "destinations": [_shown(known, now) for known in found]})

    async def _forget(self, request: web.Request) -> web.Response:
        e164, who, now = await self._find(request.query.get("number", "")), request.query.get("who", "operator"), 0.0
        now = self._do.clock()
        await self._do.store.run(lambda conn: destinations.forget(conn, e164, who=who, now=now))
        return web.json_response({"forgotten": e164})

    async def _find(self, typed: str) -> str:
        """The destination that a number means, as it may be typed.

        Raises:
            web.HTTPNotFound: If nothing is known of it.
        """
        country = str(self._do.system.get("country", "FR"))
        for form in dialled_forms(typed, country):
            if await self._do.store.read(_knows(form)):
                return form
        raise web.HTTPNotFound(text=f"Nothing is known of {typed}.")


def _knows(e164: str) -> Callable[[Any], bool]:
    return lambda conn: bool(destinations.calls_to(conn, e164))


def _shown(known: Known, now: float) -> dict[str, Any]:
    """As JSON, with what its calls on the trunk of the last one depart in."""
    trunk = known.calls[-1].trunk if known.calls else ""
    taken = measures(known.calls, trunk=trunk, now=now)
    return {
        "e164": known.e164,
        "called_at": known.called_at,
        "calls": [call.to_json() for call in known.calls],
        "measures": [_measure(measure) for measure in taken],
    }


def _measure(measure: Measure) -> dict[str, Any]:
    return asdict(measure)
