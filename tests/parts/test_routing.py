"""Rules and targets over HTTP while the settings file is read again and the gateway starts again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.web import AbstractRouteDef
from sqlalchemy import insert

from faxgw.fax.errors import Refused
from faxgw.metrics import Metrics
from faxgw.parts import routing
from faxgw.parts.house import House as Gateway
from faxgw.settings import Listener, Settings, load
from faxgw.store import schema as t
from faxgw.webserver import Health, WebServer, WebSettings
from tests.api.desk import Desk, desk
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = "/api/v1/admin/customers/acme/rules"
TARGETS = "/api/v1/admin/customers/acme/targets"
NUMBER = "+33199000099"
TABLES = {"target": routing.PART.sections["target"], "rule": routing.PART.sections["rule"]}
ARCHIVE = """
[[target]]
name = "archive"
customer = "acme"
kind = "mail"
address = "archive@example.org"
"""
ALL = """
[[rule]]
name = "all"
customer = "acme"
position = 50
stop = false
then = { deliver = ["archive"] }
"""
OTHERWISE = ALL.replace('"all"', '"otherwise"').replace("50", "60")
MINE = {"name": "mine", "position": 10, "stop": False, "then": {"deliver": ["clerk"]}}
CLERK = {"name": "clerk", "kind": "mail", "address": "clerk@acme.example"}


def settings_of(folder: Path, text: str) -> Settings:
    path = folder / "faxgw.toml"
    path.write_text(text)
    return load(path, TABLES, environ={})


@dataclass
class Running:
    """A gateway with its part `routing`, as one process runs it."""

    gateway: Gateway
    client: aiohttp.ClientSession
    auth: dict[str, str]

    async def reload(self, settings: Settings) -> None:
        for take_on in self.gateway.reloads:
            await take_on(settings)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.client.request(method, path, json=body, headers=self.auth) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def rules(self) -> dict[str, bool]:
        """Names, in the order in which they are asked, and whether they stand in the settings file."""
        _status, found = await self.ask("GET", RULES)
        return {rule["name"]: rule["in_settings_file"] for rule in found["rules"]}

    async def deliveries(self) -> list[str]:
        """Where a fax would go."""
        status, found = await self.ask("POST", "/api/v1/admin/routing/try", {"number": NUMBER})
        assert status == 200, found
        return [one["address"] for one in found["deliveries"]]


@asynccontextmanager
async def running(house: House, settings: Settings, door: Desk, auth: dict[str, str]) -> AsyncIterator[Running]:
    nothing: Any = SimpleNamespace()
    mounted: list[AbstractRouteDef] = []
    gateway = Gateway(
        settings=settings, seat=house.seat(), gate=nothing, jobs=nothing, pages=nothing, line=nothing,
        watermark=nothing, passwords=nothing, ground=door.ground, metrics=nothing, health=nothing, system={},
        mount=mounted.extend, ways={}, hostname="gw.example", closing=contextlib.AsyncExitStack(),
    )  # fmt: skip
    await routing.PART.start(gateway)
    server = WebServer(WebSettings(listen=Listener("127.0.0.1", 0)), Metrics(), Health())
    server.mount(mounted)
    address = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            yield Running(gateway, client, auth)
    finally:
        await server.stop(0.5)
        for task in gateway.tasks:
            task.cancel()
        await asyncio.gather(*gateway.tasks, return_exceptions=True)


@asynccontextmanager
async def admin(house: House) -> AsyncIterator[tuple[Desk, dict[str, str]]]:
    number = {"e164": NUMBER, "customer": "acme", "state": "active", "inbound": True, "settings": {}}
    await house.change(insert(t.numbers).values(**number))
    async with desk(house, lambda _ground: []) as door:
        yield door, await door.token(scopes=["admin"])


async def test_what_http_made_outlives_reload_and_restart_and_the_files_rules_come_and_go(
    house: House, tmp_path: Path
) -> None:
    async with admin(house) as who:
        async with running(house, settings_of(tmp_path, ARCHIVE + ALL), *who) as first:
            assert (await first.ask("POST", TARGETS, CLERK))[0] == 201
            assert (await first.ask("POST", RULES, MINE))[0] == 201
            assert await first.rules() == {"mine": False, "all": True}
            assert await first.deliveries() == ["clerk@acme.example", "archive@example.org"]
            await first.reload(settings_of(tmp_path, ARCHIVE + OTHERWISE))
            assert await first.rules() == {"mine": False, "otherwise": True}
            await first.reload(settings_of(tmp_path, ""))
            assert await first.rules() == {"mine": False}
            assert await first.deliveries() == ["clerk@acme.example"]
        async with running(house, settings_of(tmp_path, ARCHIVE + ALL), *who) as second:
            assert await second.rules() == {"mine": False, "all": True}
            assert await second.deliveries() == ["clerk@acme.example", "archive@example.org"]


async def test_a_rule_that_http_changed_stays_so(house: House, tmp_path: Path) -> None:
    async with admin(house) as who:
        async with running(house, settings_of(tmp_path, ARCHIVE + ALL), *who) as first:
            await first.ask("POST", TARGETS, CLERK)
            _status, made = await first.ask("POST", RULES, MINE)
            status, changed = await first.ask("PUT", f"{RULES}/{made['id']}", {"position": 90, "active": True})
            assert (status, changed["position"]) == (200, 90)
            await first.reload(settings_of(tmp_path, ARCHIVE + ALL))
            assert list(await first.rules()) == ["all", "mine"]
        async with running(house, settings_of(tmp_path, ARCHIVE + ALL), *who) as second:
            assert list(await second.rules()) == ["all", "mine"]


async def test_what_stands_in_the_settings_file_is_changed_there_alone(house: House, tmp_path: Path) -> None:
    """Else a reload would take back, without a word, what an administrator did."""
    async with admin(house) as who, running(house, settings_of(tmp_path, ARCHIVE + ALL), *who) as first:
        _status, listed = await first.ask("GET", RULES)
        rule = f"{RULES}/{listed['rules'][0]['id']}"
        for method, path, body in (
            ("PUT", rule, {"position": 1}),
            ("DELETE", rule, None),
            ("PATCH", f"{TARGETS}/archive", {"address": "eve@example.org"}),
            ("DELETE", f"{TARGETS}/archive", None),
        ):
            status, refused = await first.ask(method, path, body)
            assert (status, refused["code"]) == (409, "conflict"), (method, path)
        assert await first.deliveries() == ["archive@example.org"]
        await first.reload(settings_of(tmp_path, ARCHIVE))
        assert (await first.ask("DELETE", rule))[0] == 404, "it went with the file"


async def test_a_settings_file_that_cannot_be_laid_changes_nothing(house: House, tmp_path: Path) -> None:
    """A rule that names a target which is not there: the rules in force stay, in one piece."""
    broken = OTHERWISE.replace('"archive"', '"nowhere"')
    async with admin(house) as who, running(house, settings_of(tmp_path, ARCHIVE + ALL), *who) as first:
        with pytest.raises(Refused) as refused:
            await first.reload(settings_of(tmp_path, ARCHIVE + broken))
        assert "nowhere" in refused.value.public
        assert await first.rules() == {"all": True}
        assert await first.deliveries() == ["archive@example.org"]
