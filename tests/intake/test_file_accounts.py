"""What a login sees of its folders, and whether what it left there still counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from faxgw.fax.access import Caller, Interface, Scope
from faxgw.intake.collector import Turned
from faxgw.intake.file_accounts import FileAccounts
from faxgw.store import schema as t
from tests.house import House, house, house_store
from tests.intake.files_world import FilesWorld, files_world

__all__ = ["house", "house_store"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


def caller(*scopes: Scope) -> Caller:
    return Caller("acme", "", "erp", "", frozenset(scopes), "192.0.2.1")


async def seen(accounts: FileAccounts, *scopes: Scope) -> list[str]:
    return [place.name for place in await accounts.places(caller(*scopes))]


async def test_folders_are_there_for_what_a_login_may(house: House, tmp_path: Path) -> None:
    async with files_world(house, tmp_path) as world:
        accounts = FileAccounts(
            world.areas, world.access, world.collector, 14, lambda customer: ["people"] if customer == "acme" else []
        )
        assert await seen(accounts) == []
        assert await seen(accounts, Scope.FAXES_READ) == ["out"]
        assert await seen(accounts, Scope.FAXES_WRITE) == ["in", "out"]
        assert await seen(accounts, Scope.ADMIN) == ["out", "directory"], "the result lies in out"
        assert await seen(world.accounts, Scope.ADMIN) == [], "this customer has no directory"


async def sender(world: FilesWorld) -> tuple[str, Interface]:
    drop = await world.accounts.find("login:erp", "acme")
    assert drop is not None
    found = await drop.sender()
    return found.owner, found.interface


async def test_what_was_left_is_sent_as_the_login_stands_now(house: House, tmp_path: Path) -> None:
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        assert await sender(world) == ("login:erp", Interface.SFTP)
        for values, code in (
            ({"state": "suspended"}, "account_suspended"),
            ({"state": "ended"}, "account_inactive"),
            ({"state": "active", "scopes": ["faxes:read"]}, "scope_missing"),
        ):
            await house.change(update(t.logins).where(t.logins.c.name == "erp").values(**values))
            with pytest.raises(Turned) as turned:
                await sender(world)
            assert turned.value.code == code


async def test_a_customer_with_ftp_alone_sends_by_ftp(house: House, tmp_path: Path) -> None:
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        booked = {"interfaces": ["ftp"]}
        await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings=booked))
        assert await sender(world) == ("login:erp", Interface.FTP)
        await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings={"interfaces": []}))
        with pytest.raises(Turned) as turned:
            await sender(world)
        assert turned.value.code == "interface_not_booked"


async def test_names_that_are_no_logins_lead_nowhere(house: House, tmp_path: Path) -> None:
    async with files_world(house, tmp_path) as world:
        assert await world.accounts.find("folder:erp", "acme") is None
        first = await world.accounts.find("login:erp", "acme")
        assert first is await world.accounts.find("login:erp", "acme"), "one drop, which knows who writes what"
        assert first is not await world.accounts.find("login:erp", "beta")
