"""All interfaces of the administration on a house, with something of gamma's for each name in a path."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from sqlalchemy import insert

from faxgw.api.admin import AdminRoutes
from faxgw.api.administration import PREFIX, Office, description
from faxgw.api.http import Ground
from faxgw.api.keeping import KeepingRoutes
from faxgw.api.papers import PaperRoutes
from faxgw.api.routing import RoutingRoutes
from faxgw.api.templates import TemplateRoutes
from faxgw.dispatch.archive_export import ArchiveExport
from faxgw.dispatch.purging import Purger
from faxgw.fax.limits import Failures
from faxgw.fax.target import Target
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.store import schema as t
from faxgw.store.passwords import Passwords
from tests.api.desk import CHEAP, Desk, desk
from tests.api.test_templates import Shelf
from tests.house import House

NUMBER = "+33199000500"
RECEPTION = f"rcv_{77:032x}"
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(32)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICyEithmTuZR5IlsE6hKiaKWSspet3qLiB5g3tXIG06d erp@gamma"


class Tests:
    """Sends nothing."""

    async def test(self, target: Target) -> Mapping[str, Any]:
        return {"delivered": True, "detail": target.address}


@dataclass
class Offices:
    """The interfaces, as served."""

    desk: Desk
    offices: Sequence[Office]
    auth: Mapping[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    """Something of gamma's for each name in a path."""

    @property
    def house(self) -> House:
        return self.desk.house

    async def call(
        self, auth: Mapping[str, str], method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> tuple[int, Any, str]:
        """Status, JSON if it is some, and media type."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = self.desk.client.request(method, PREFIX + path, data=data, params=query, headers=dict(auth))
        async with sent as answer:
            octets = await answer.read()
            is_json = "json" in answer.content_type
            return answer.status, json.loads(octets) if is_json else octets, answer.content_type

    async def make(self, method: str, path: str, body: Any, status: int = 201, **query: str) -> Any:
        """The JSON of what must be made."""
        got, answer, _media = await self.call(self.auth, method, path, body, query or None)
        assert got == status, (method, path, answer)
        return answer


@asynccontextmanager
async def offices(house: House) -> AsyncIterator[Offices]:
    """Served, with an operator's token."""
    passwords = Passwords(house.clock, CHEAP)
    made: list[Office] = []

    def tables(ground: Ground) -> list[Sequence[web.AbstractRouteDef]]:
        seat = house.seat()
        people = [DirectorySettings(name="people", customer="gamma")]
        made.extend(
            [
                AdminRoutes(ground, passwords, {}, DirectoryImports(house.store, people, house.clock, {})),
                RoutingRoutes(ground, {}, Tests()),
                PaperRoutes(ground),
                TemplateRoutes(ground, Shelf()),
                KeepingRoutes(ground, Purger(seat, lambda: True), ArchiveExport(seat)),
            ]
        )
        return [*(office.routes() for office in made), description(ground, made)]

    async with desk(house, tables) as served:
        access = served.ground.access
        access._clients = access._logins = access._pairs = Failures(10**9, 600)  # that many wrong tokens are the test
        yield Offices(served, made, await served.token(customer=None, scopes=["operator"]))
    passwords.close()


async def furnish(one: Offices) -> None:
    """Give gamma one of everything."""
    of = "/customers/gamma"
    await one.make("POST", "/customers", {"id": "gamma", "name": "Gamma"})
    await one.make("POST", f"{of}/profiles", {"name": "office"})
    await one.make("POST", f"{of}/users", {"name": "dora"})
    await one.make("POST", f"{of}/numbers", {"e164": NUMBER})
    await one.make("POST", f"{of}/domains", {"name": "fax.gamma.example"})
    await one.make("POST", f"{of}/logins", {"name": "gamma-erp"})
    await one.make("POST", f"{of}/keys", {"login": "gamma-erp", "key": KEY})
    token = await one.make("POST", f"{of}/tokens", {"name": "t", "scopes": ["faxes:read"]})
    await one.make("POST", f"{of}/targets", {"name": "archive", "kind": "mail", "address": "a@gamma.example"})
    rule = await one.make("POST", f"{of}/rules", {"name": "all", "then": {"tags": ["kept"]}})
    paper = await one.make("POST", f"{of}/numbers/{NUMBER}/papers", PNG, kind="consent", name="a.png")
    hold = await one.make("POST", "/holds", {"customer": "gamma", "reason": "a lawsuit"})
    await one.house.change(
        insert(t.receptions).values(
            id=RECEPTION, state="delivered", since=0.0, customer="gamma", number=NUMBER, entry=NUMBER, dialled=NUMBER,
            caller="", display="", trunk="t", call_id="c", dialog={}, node="n1", fence=1, settings={}, started_at=0.0,
        )
    )  # fmt: skip
    one.known = {
        "customer": "gamma", "profile": "office", "user": "dora", "e164": NUMBER, "domain": "fax.gamma.example",
        "login": "gamma-erp", "token": token["id"], "target": "archive", "rule": rule["id"], "paper": paper["id"],
        "hold": hold["id"], "directory": "people", "reception": RECEPTION, "verdict": "good", "name": "letter",
    }  # fmt: skip
