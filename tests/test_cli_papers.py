"""`faxgw paper` and `faxgw maintenance` against the operator's socket of a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from sqlalchemy import insert, select

from faxgw.api.control import ControlServer, Operations
from faxgw.api.maintenance import MaintenanceRoutes
from faxgw.api.papers import PaperRoutes
from faxgw.cli import main
from faxgw.fax.access import OPERATOR
from faxgw.store import schema as t
from tests.api.desk import desk
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]
pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000500"
PNG = b"\x89PNG\r\n a consent"
Faxgw = Callable[..., "asyncio.Future[Result]"]


@pytest_asyncio.fixture(loop_scope="session")
async def faxgw(house: House) -> AsyncIterator[Faxgw]:
    values = {"e164": NUMBER, "customer": "acme", "state": "active", "inbound": True, "settings": {}}
    await house.change(insert(t.numbers).values(**values))
    async with desk(house, lambda ground: []) as made:
        switch = MaintenanceRoutes(made.ground.maintenance, house.folder)
        routes = [*PaperRoutes(made.ground).control_routes(OPERATOR), *switch.control_routes()]
        operations = Operations(house.store, house.files, None, house.seat(), house.clock, dict, accounts=routes)  # type: ignore[arg-type]
        server = ControlServer(house.folder, operations)
        await server.start()

        def run(*words: object) -> asyncio.Future[Result]:
            arguments = ["--data", str(house.folder), *map(str, words)]
            return asyncio.ensure_future(asyncio.to_thread(CliRunner().invoke, main, arguments))

        yield run
        await server.stop()


async def output(result: asyncio.Future[Result]) -> str:
    found = await result
    assert found.exit_code == 0, found.output
    return found.output.strip()


async def test_a_consent_is_kept_listed_fetched_and_removed(faxgw: Faxgw, house: House, tmp_path: Path) -> None:
    file, copy = tmp_path / "consent.png", tmp_path / "copy.png"
    file.write_bytes(PNG)
    said = await output(faxgw("paper", "add", "acme", NUMBER, file, "--kind", "consent", "--until", "2030-01-31"))
    ident = said.partition(":")[0]
    assert said == f"{ident}: consent of {NUMBER}"
    line = await output(faxgw("paper", "list", "acme", NUMBER))
    assert line == f"{ident}  acme {NUMBER}  consent, until 2030-01-31  consent.png"
    assert await output(faxgw("paper", "fetch", "acme", NUMBER, ident, copy)) == f"{copy}: {len(PNG)} octets"
    assert copy.read_bytes() == PNG
    (row,) = await house.rows(select(t.numbers.c.clip).where(t.numbers.c.e164 == NUMBER))
    assert row.clip, "a consent opens the number as caller number"
    assert await output(faxgw("paper", "remove", "acme", NUMBER, ident)) == f"{ident} is removed"
    (row,) = await house.rows(select(t.numbers.c.clip).where(t.numbers.c.e164 == NUMBER))
    assert not row.clip, "and with the last one it is closed"


async def test_papers_that_end_soon_are_told_and_no_others(faxgw: Faxgw, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    await output(faxgw("paper", "add", "acme", NUMBER, file, "--kind", "authority", "--until", "2026-12-01"))
    await output(faxgw("paper", "add", "acme", NUMBER, file, "--kind", "authority"))
    assert "until 2026-12-01" in await output(faxgw("paper", "ending", "--days", "30"))
    assert await output(faxgw("paper", "ending", "--days", "1")) == ""


@pytest.mark.parametrize(
    "words",
    [
        ("list", "none", NUMBER),
        ("list", "acme", "+33199000999"),
        ("remove", "acme", NUMBER, "pap_none"),
        ("ending", "--days", "4000"),
    ],
    ids=["no such customer", "no such number", "no such paper", "too many days"],
)
async def test_what_cannot_be_done_is_one_line_and_a_status(faxgw: Faxgw, words: tuple[str, ...]) -> None:
    found = await faxgw("paper", *words)
    assert found.exit_code != 0 and "Traceback" not in found.output and found.output.strip()


async def test_maintenance_is_set_looked_at_and_ended(faxgw: Faxgw) -> None:
    assert await output(faxgw("maintenance")) == "open"
    assert await output(faxgw("maintenance", "Moving house.")) == "maintenance: Moving house."
    assert await output(faxgw("maintenance")) == "maintenance: Moving house."
    assert await output(faxgw("maintenance", "--over")) == "open"
