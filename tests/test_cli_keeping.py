"""`faxgw purge`, `holds`, `audit` and `junk` against the operator's socket of a gateway."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from sqlalchemy import update

from faxgw.api.control import ControlServer, Operations
from faxgw.api.keeping import KeepingRoutes
from faxgw.cli import main
from faxgw.dispatch.archive_export import ArchiveExport
from faxgw.dispatch.purging import Purger
from faxgw.fax.access import OPERATOR
from faxgw.store import audit
from faxgw.store import schema as t
from tests.api.desk import desk
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

Faxgw = Callable[..., "asyncio.Future[Result]"]


@pytest_asyncio.fixture(loop_scope="session")
async def faxgw(house: House) -> AsyncIterator[Faxgw]:
    async with desk(house, lambda ground: []) as made:
        purger = Purger(house.seat(), lambda: True)
        routes = KeepingRoutes(made.ground, purger, ArchiveExport(house.seat())).control_routes(OPERATOR)
        operations = Operations(house.store, house.files, None, house.seat(), house.clock, dict, accounts=routes)  # type: ignore[arg-type]
        server = ControlServer(house.folder, operations)
        await server.start()

        def run(*words: object) -> asyncio.Future[Result]:
            arguments = ["--data", str(house.folder), *map(str, words)]
            return asyncio.ensure_future(asyncio.to_thread(CliRunner().invoke, main, arguments))

        yield run
        await server.stop()


async def output(result: asyncio.Future[Result], status: int = 0) -> str:
    found = await result
    assert found.exit_code == status, found.output
    return found.output.strip()


async def read(house: House, entity: str) -> None:
    await house.do(audit.write, "document.read", entity, who="login:erp", way="api", now=house.now, customer="acme")


async def test_a_purge_says_what_it_would_do_and_what_it_did(faxgw: Faxgw) -> None:
    assert await output(faxgw("purge", "--dry-run")) == "0 faxes are due."
    assert (await output(faxgw("purge"))).startswith("Documents of 0 faxes and 0 faxes were purged")
    assert json.loads(await output(faxgw("purge", "--dry-run", "--json")))["due"] == []


async def test_records_are_listed_by_fax_and_by_who(faxgw: Faxgw, house: House) -> None:
    for entity in ("FN1", "FN2"):
        await read(house, entity)
    listed = await output(faxgw("audit", "list", "--fax", "FN2"))
    assert "FN2" in listed and "FN1" not in listed and "login:erp" in listed
    assert await output(faxgw("audit", "list", "--who", "login:nobody")) == ""


async def test_an_anchor_shows_that_the_chain_was_changed_behind_it(faxgw: Faxgw, house: House, tmp_path: Path) -> None:
    """docs/audit.md: whoever can write to the database can write it anew; anchors lie elsewhere."""
    await read(house, "FN1")
    anchors = tmp_path / "anchors"
    anchors.write_text(await output(faxgw("audit", "anchor")) + "\n")
    await output(faxgw("audit", "verify", "--anchors", anchors))
    await house.change(update(t.audit).values(who="login:other"))
    found = await faxgw("audit", "verify", "--anchors", anchors)
    assert found.exit_code != 0 and "1" in found.output


async def test_a_hold_is_set_with_a_reason_listed_and_lifted(faxgw: Faxgw) -> None:
    found = await faxgw("holds", "set", "--customer", "acme")
    assert found.exit_code != 0, "a hold needs a reason"
    said = await output(faxgw("holds", "set", "a lawsuit", "--customer", "acme"))
    ident = next(word.strip(":.,") for word in said.split() if word.startswith("hld_"))
    listed = await output(faxgw("holds", "list"))
    assert ident in listed and "a lawsuit" in listed
    await output(faxgw("holds", "lift", ident, "settled"))
    assert ident not in await output(faxgw("holds", "list"))


async def test_who_does_it_is_the_user_of_this_machine(faxgw: Faxgw) -> None:
    await output(faxgw("holds", "set", "a lawsuit", "--customer", "acme"))
    assert f"user:{getpass.getuser()}" in await output(faxgw("audit", "list"))


async def test_nothing_is_set_aside(faxgw: Faxgw) -> None:
    found = await faxgw("junk", "good", "rcv_none")
    assert found.exit_code != 0 and "There is no such received fax." in found.output
