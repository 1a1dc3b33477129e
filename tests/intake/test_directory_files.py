"""Directories dropped over SFTP: who may, what is imported, what is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select

from faxgw.fax.access import Scope
from faxgw.formats.directory_csv import OUTBOUND
from faxgw.intake.area import Inbox
from faxgw.intake.collector import Collector
from faxgw.intake.directory_files import DirectoryFiles
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.intake.file_accounts import FileAccounts
from faxgw.intake.taking import Take
from faxgw.intake.tree import Opening
from faxgw.store import schema as t
from tests.house import House, house, house_store
from tests.intake.files_world import FilesWorld, files_world

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")
CSV = (",".join(["anna@acme.example", *[""] * (len(OUTBOUND) - 1)]) + "\n").encode()


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


@pytest_asyncio.fixture(loop_scope="session")
async def world(house: House, tmp_path: Path) -> AsyncIterator[FilesWorld]:
    async with files_world(house, tmp_path) as made:
        imports = DirectoryImports(house.store, [DirectorySettings(name="people", customer="acme")], house.clock, {})
        handlers = {Take.DIRECTORY: DirectoryFiles(imports, made.threads)}
        made.collector = Collector(handlers, made.ticks, made.threads)
        made.accounts = FileAccounts(made.areas, made.access, made.collector, 14, imports.owned)
        await made.login("boss", scopes=[Scope.ADMIN, Scope.FAXES_WRITE])
        await made.login("clerk")
        yield made


async def upload(world: FilesWorld, login: str, name: str, octets: bytes) -> None:
    places = {place.name: place for place in await world.accounts.places(await world.caller(login))}
    file = await places["directory"].open(name, Opening(write=True, create=True))
    await file.write(0, octets)
    await file.close(complete=True)


async def settle(world: FilesWorld, login: str) -> dict[str, bytes]:
    area = await world.areas.area("acme", login)
    drop, _inbox = world.accounts._directory(area)
    await world.collector.work(drop)
    shelf = area.shelf("out")
    return {entry.name: shelf.read(entry.name, 10**6) for entry in shelf.entries()}


@pytest.mark.parametrize("name", ["people.csv", "export-2026.CSV"])
async def test_a_csv_becomes_the_customers_users(world: FilesWorld, name: str) -> None:
    await upload(world, "boss", name, CSV)
    told = json.loads((await settle(world, "boss"))["directory-people.result.json"])
    assert (told["created"], told["refused"]) == (1, "")
    users = await world.house.rows(select(t.users.c.name).where(t.users.c.managed == "directory"))
    assert len(users) == 1


async def test_a_csv_that_is_none_is_refused(world: FilesWorld) -> None:
    await upload(world, "boss", "people.csv", b"a,b\n")
    told = json.loads((await settle(world, "boss"))["directory-people.result.json"])
    assert told["refused"] and told["created"] == 0


async def test_only_who_administrates_sees_the_folder(world: FilesWorld) -> None:
    def names(places: object) -> list[str]:
        return [place.name for place in places]  # type: ignore[attr-defined]

    assert "directory" in names(await world.accounts.places(await world.caller("boss")))
    assert names(await world.accounts.places(await world.caller("clerk"))) == ["in", "out"]
    places = await world.accounts.places(await world.caller("boss"))
    assert sum(isinstance(place, Inbox) for place in places) == 2
