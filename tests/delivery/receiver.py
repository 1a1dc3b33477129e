"""A program of a customer's that is told things: a real HTTP server that notes what comes and answers as told."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from faxgw.egress import Egress

LOOPBACK = Egress([ipaddress.ip_network("127.0.0.0/8")])
"""A way out that may lead to this machine."""


@dataclass
class Receiver:
    """What came, and what is answered."""

    url: str = ""
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    """None: 204."""
    seen: list[tuple[web.Request, bytes]] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request, await request.read()))
        return web.Response(status=204) if self.answer is None else await self.answer(request)

    def says(self, status: int, text: str = "", **headers: str) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=text, headers=headers)

        self.answer = answer


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


def digest_is_right(field_value: str, user: str, password: str, nonce: str, method: str = "POST") -> bool:
    """Whether an Authorization field proves the password (RFC 7616, MD5 with qop=auth)."""
    values = dict(re.findall(r'(\w+)="?([^",]+)"?', field_value.removeprefix("Digest ")))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    first, second = md5(f"{user}:{values['realm']}:{password}"), md5(f"{method}:{values['uri']}")
    joined = ":".join((first, nonce, values["nc"], values["cnonce"], values["qop"], second))
    return (values["nonce"], values["response"]) == (nonce, md5(joined))
