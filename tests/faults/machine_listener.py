"""A program that is told: takes status pushes and webhooks, and is as unreliable as its owner's network.

What it answered with 200 was delivered; what it answered with 500, or not at all, has to come again, under the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from dataclasses import dataclass

from aiohttp import web

FAILS = 0.15
"""How often it answers 500."""
SILENT = 0.1
"""How often it breaks the connection after it has read everything, and keeps what it read."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One request."""

    path: str
    ident: str
    """What says that it is the same one again: `webhook-id`, `X-Faxgw-Delivery`."""
    body: bytes
    signed: bool
    """Its signature is right; those of pushes are none."""
    answered: bool
    """It was answered with 200, as far as the listener knows."""


class Listener:
    """Listens on a port of its own, as long as the world lasts.

    Args:
        random_: Of its moods.
    """

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._runner: web.AppRunner | None = None
        self.heard: list[Heard] = []
        self.secrets: dict[str, str] = {}
        """Path of a webhook → its secret."""
        self.well = True
        """It answers everything."""
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._hear)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        mood = 1.0 if self.well else self._random.random()
        ident = request.headers.get("webhook-id", "") or request.headers.get("X-Faxgw-Delivery", "")
        self.heard.append(Heard(request.path, ident, body, self._is_signed(request, ident, body), mood >= FAILS))
        if mood < SILENT and request.transport is not None:
            request.transport.close()
        return web.Response(status=500 if mood < FAILS else 200)

    def _is_signed(self, request: web.Request, ident: str, body: bytes) -> bool:
        """As docs/webhooks.md says to check it."""
        secret = self.secrets.get(request.path)
        if secret is None:
            return False
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = f"{ident}.{request.headers.get('webhook-timestamp', '')}.".encode() + body
        good = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(good, one) for one in request.headers.get("webhook-signature", "").split())
