"""Pages of the links that release a fax set aside as junk: GET asks, POST releases (docs/junk.md).

The link is the credential, so there is no login. Whatever is wrong with one, it is answered like one that never was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aiohttp import web

from faxgw.api.http import Ground, client_address
from faxgw.fax.limits import Buckets, client_of
from faxgw.fax.release_link import PATH
from faxgw.formats import junk_page
from faxgw.formats.junk_page import Fax, Shown
from faxgw.store import junk_links
from faxgw.store.junk_links import Linked

ASKED_PER_SECOND = 0.5
"""Requests of one client in the long run."""
ASKED_AT_ONCE = 30
"""Requests of one client at once: an owner who looks through a day's list."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}


class JunkLinks:
    """Serves the links.

    Args:
        ground: What interfaces stand on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._buckets = Buckets(ASKED_PER_SECOND, ASKED_AT_ONCE)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is served."""
        where = f"{PATH}/{{reception}}/{{token}}"
        return (web.get(where, self._ask), web.post(where, self._release))

    async def _ask(self, request: web.Request) -> web.Response:
        """GET: what it is, and a button; nothing is done."""
        self._admit(request)
        reception, token = request.match_info["reception"], request.match_info["token"]
        unit = partial(junk_links.look, reception=reception, token=token, now=self._ground.clock())
        found = await self._ground.store.read(unit)
        return _answer(found, Shown.ASKED)

    async def _release(self, request: web.Request) -> web.Response:
        """POST: release it; once more is no harm. A body is not read."""
        self._admit(request)
        if reason := self._ground.maintenance.reason:
            raise web.HTTPServiceUnavailable(text=reason)
        reception, token = request.match_info["reception"], request.match_info["token"]
        unit = partial(junk_links.release, reception=reception, token=token, now=self._ground.clock())
        found = await self._ground.store.run(unit)
        return _answer(found, Shown.RELEASED)

    def _admit(self, request: web.Request) -> None:
        client = client_of(client_address(request, self._ground.proxies))
        if wait := self._buckets.take(client, self._ground.ticks()):
            raise web.HTTPTooManyRequests(headers={"Retry-After": str(max(1, round(wait)))})


def _answer(found: Linked | None, shown: Shown) -> web.Response:
    if found is None:
        return web.Response(status=404, text=junk_page.no_link(), content_type="text/html", headers=HEADERS)
    fax = Fax(found.number, found.caller, found.ident, found.at, found.pages, found.language, found.time_zone)
    text = junk_page.page(shown if found.waits else Shown.OVER, fax)
    return web.Response(text=text, content_type="text/html", headers=HEADERS)
