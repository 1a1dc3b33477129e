"""A part started on a house of the test's own, and what it has hung up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.web import AbstractRouteDef, RouteDef

from faxgw.dispatch.jobs import JobGate
from faxgw.document.client import PageClient
from faxgw.metrics import Metrics
from faxgw.parts.house import House as Gateway
from faxgw.parts.house import Part
from faxgw.settings import load
from faxgw.store.passwords import Passwords
from faxgw.tables import SECTIONS
from faxgw.webserver import Health
from tests.api.desk import CHEAP, ROOMY, Desk, desk
from tests.house import House


class Started:
    """A gateway in which some parts have started."""

    def __init__(self, gateway: Gateway, mounted: Iterable[AbstractRouteDef], door: Desk) -> None:
        self.gateway = gateway
        self.door = door
        self._mounted = mounted

    @property
    def paths(self) -> set[str]:
        """What is served to those with credentials."""
        return {route.path for route in self._mounted if isinstance(route, RouteDef)}

    @property
    def control(self) -> set[str]:
        """What is served on the operator's socket."""
        return {route.path for route in self.gateway.control if isinstance(route, RouteDef)}

    @property
    def tasks(self) -> set[str]:
        return {task.get_name() for task in self.gateway.tasks}

    @property
    def doors(self) -> list[str]:
        return [door.name for door in self.gateway.doors]


@asynccontextmanager
async def started(house: House, folder: Path, *parts: Part, text: str = "", gate: Any = None) -> AsyncIterator[Started]:
    """Start parts with these settings; what they run and open is ended."""
    path = folder / "faxgw.toml"
    path.write_text(text)
    mounted: list[AbstractRouteDef] = []
    nothing: Any = None
    async with desk(house, lambda _ground: []) as door:
        passwords = Passwords(house.clock, CHEAP)
        gateway = Gateway(
            settings=load(path, SECTIONS, environ={}), seat=house.seat(), gate=gate, jobs=JobGate(house.seat()),
            pages=PageClient(), line=nothing, watermark=ROOMY, passwords=passwords, ground=door.ground,
            metrics=Metrics(), health=Health(), system={}, mount=mounted.extend, ways={}, hostname="gw.example",
            closing=contextlib.AsyncExitStack(), data=folder,
        )  # fmt: skip
        try:
            for part in parts:
                await part.start(gateway)
            yield Started(gateway, mounted, door)
        finally:
            for task in gateway.tasks:
                task.cancel()
            await asyncio.gather(*gateway.tasks, return_exceptions=True)
            await gateway.closing.aclose()
            passwords.close()
