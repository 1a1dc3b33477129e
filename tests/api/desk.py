"""A web server on a house, with credentials made for the test; for the tests of every HTTP interface."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any  # columns

import aiohttp
from aiohttp import web
from argon2 import PasswordHasher
from sqlalchemy import insert

from faxgw.api.access import Access
from faxgw.api.http import Ground
from faxgw.fax.access import USER_SCOPES
from faxgw.metrics import Metrics
from faxgw.settings import Listener
from faxgw.store import schema as t
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark
from faxgw.webserver import Health, WebServer, WebSettings
from tests.house import House

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""A hasher with the least work, for tests that hash often."""
ROOMY = Watermark(0, render_budget=0, percent=0)
"""Never full."""


def basic(name: str, password: str) -> dict[str, str]:
    """Header fields with Basic credentials."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@dataclass
class Ticks:
    """Monotonic seconds, moved by the test."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    """A house's HTTP side."""

    house: House
    ground: Ground
    ticks: Ticks
    client: aiohttp.ClientSession
    serial: Any = field(default_factory=lambda: itertools.count(1))

    async def login(self, name: str, password: str = "secret", **values: Any) -> dict[str, str]:
        """Header fields with a login of acme as a whole, unless the columns say otherwise."""
        given = {"customer": "acme", "user": None, "scopes": list(USER_SCOPES), "allow": [], "state": "active"} | values
        await self.house.change(insert(t.logins).values(name=name, password=CHEAP.hash(password), **given))
        return basic(name, password)

    async def token(self, **values: Any) -> dict[str, str]:
        """Header fields with a token of acme as a whole, unless the columns say otherwise."""
        number = next(self.serial)
        secret = f"fxt_secret{number}"
        given = {
            "id": f"tok_{number}",
            "customer": "acme",
            "user": None,
            "name": "test",
            "hash": hashlib.sha256(secret.encode()).hexdigest(),
            "scopes": list(USER_SCOPES),
            "allow": [],
            "state": "active",
            "created_at": 0.0,
            "created_by": "test",
        }
        await self.house.change(insert(t.tokens).values(**given | values))
        return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def desk(
    house: House,
    tables: Callable[[Ground], Iterable[Sequence[web.AbstractRouteDef]]],
    *,
    watermark: Watermark = ROOMY,
    system: dict[str, object] | None = None,
    **more: Any,
) -> AsyncIterator[Desk]:
    """Serve some tables of routes on a port of their own.

    Args:
        house: Store and files.
        tables: Makes the route tables of what they stand on.
        watermark: Least free space.
        system: Settings of the system level.
        more: Further fields of `Ground`.
    """
    ticks = Ticks()
    checker = Passwords(ticks, CHEAP)
    access = Access(house.store, checker, house.clock, ticks, system or {})
    ground = Ground(house.store, house.files, access, watermark, house.clock, ticks, **more)
    server = WebServer(WebSettings(listen=Listener("127.0.0.1", 0)), Metrics(), Health())
    for table in tables(ground):
        server.mount(table)
    address = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            yield Desk(house, ground, ticks, client)
    finally:
        await server.stop(0.5)
        checker.close()
