"""Previews on the operator's socket: what a fax of the queue looks like and will take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from aiohttp import web

from faxgw.fax.preview import Preview, Previews
from faxgw.store import lookup
from faxgw.store.engine import Store

WITHIN = 60.0
"""Seconds in which a preview is made, or given up."""


class PreviewRoutes:
    """Serves `faxgw preview FAX`.

    Args:
        store: Knows what an id means.
        previews: Makes them.
    """

    def __init__(self, store: Store, previews: Previews) -> None:
        self._store = store
        self._previews = previews

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is served."""
        return (
            web.get("/preview/{ident}", self._preview),
            web.get(r"/preview/{ident}/{page:[1-9][0-9]{0,4}}", self._page),
        )

    async def _preview(self, request: web.Request) -> web.Response:
        """GET /preview/{ident}: the pages of a fax, or of a job's first, without pictures."""
        fax, count = await self._fax(request)
        found = await self._made(self._previews.preview(fax, pictures=False))
        return web.json_response({**found.to_json(), "faxes": count})

    async def _page(self, request: web.Request) -> web.Response:
        """GET /preview/{ident}/{page}: one page as PNG."""
        fax, _count = await self._fax(request)
        found = await self._made(self._previews.preview(fax, int(request.match_info["page"])))
        said = {"X-Attempt": found.attempt, "Cache-Control": "private, no-cache"}
        return web.Response(body=found.pages[0].png, content_type="image/png", headers=said)

    async def _made(self, work: Awaitable[Preview]) -> Preview:
        try:
            async with asyncio.timeout(WITHIN):
                return await work
        except TimeoutError as exc:
            raise web.HTTPServiceUnavailable(text="The preview was not made in time.") from exc

    async def _fax(self, request: web.Request) -> tuple[str, int]:
        """The fax that is meant, and how many faxes its id means."""
        ident = request.match_info["ident"]
        faxes = await self._store.read(lambda conn: lookup.fax_ids(conn, ident))
        if not faxes:
            raise web.HTTPNotFound(text=f"There is no fax or job {ident}.")
        return faxes[0], len(faxes)
