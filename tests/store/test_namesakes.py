"""Names that differ only in case: a second one is not made, two that are there already stay and work."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select

from faxgw.fax.directory import Wanted
from faxgw.fax.errors import Refused
from faxgw.store import accounts, credentials, directory, seed, synchronise
from faxgw.store import schema as t
from faxgw.store.accounts import DOMAIN, LOGIN, PROFILE, USER, Author, Conflict
from faxgw.store.directory import CustomerSeed, UserSeed
from faxgw.store.namesakes import namesake
from tests.house import NOON, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", NOON)
CREDENTIAL = {"password": "$argon2id$x", "scopes": ["faxes:read"], "allow": []}


async def customer(house: House, ident: str) -> None:
    await house.do(accounts.create_customer, ident, name="Gamma", settings={}, by=BY)


@pytest.mark.parametrize(("given", "other"), [("erp", "ERP"), ("Zoë", "ZOË"), ("zoe", None), ("straße", None)])
async def test_a_namesake_differs_only_in_case(house: House, given: str, other: str | None) -> None:
    for name in ("ERP", given, "ZOË", "STRASSE"):
        row = {"name": name, "customer": "acme", "user": None, "state": "active", **CREDENTIAL}
        await house.change(insert(t.logins).values(**row))
    assert await house.ask(namesake, t.logins.c.name, given) == other


async def test_a_second_customer_that_differs_only_in_case_is_not_made(house: House) -> None:
    await customer(house, "Gamma")
    with pytest.raises(Conflict, match="There is a customer Gamma already; ids must differ in more than case"):
        await customer(house, "gAMMA")
    await customer(house, "gamma2")


@pytest.mark.parametrize("kind, more", [(PROFILE, {"settings": {}}), (USER, {"settings": {}}), (LOGIN, CREDENTIAL)])
async def test_nor_is_a_second_of_what_a_customer_has(house: House, kind: accounts.Kind, more: Any) -> None:
    await customer(house, "gamma")
    await customer(house, "delta")
    await house.do(accounts.create, "gamma", kind, "Office", more, by=BY)
    with pytest.raises(Conflict, match="is taken; names must differ in more than case"):
        await house.do(accounts.create, "gamma", kind, "office", more, by=BY)
    if kind.path:  # within a customer
        await house.do(accounts.create, "delta", kind, "office", more, by=BY)
    else:
        with pytest.raises(Conflict, match="login office is taken") as refused:
            await house.do(accounts.create, "delta", kind, "office", more, by=BY)
        assert "Office" not in str(refused.value.public), "what another customer has is told to nobody"


async def test_fax_domains_have_no_case(house: House) -> None:
    """RFC 1035 section 2.3.3."""
    await customer(house, "gamma")
    await house.do(accounts.create, "gamma", DOMAIN, "fax.gamma.example", {"settings": {}}, by=BY)
    with pytest.raises(Conflict, match="is taken"):
        await house.do(accounts.create, "gamma", DOMAIN, "FAX.gamma.example", {"settings": {}}, by=BY)


async def both(house: House) -> None:
    """As an earlier version let them be made."""
    for ident in ("gamma", "GAMMA"):
        await house.change(insert(t.customers).values(id=ident, name=ident, settings={"csid": ""}, state="active"))
        for name in ("bob", "Bob"):
            own = {"id": f"{ident}/{name}", "name": name}
            await house.change(insert(t.users).values(customer=ident, state="active", settings={}, **own))
        login = {"name": f"{ident}-erp", "customer": ident, "user": f"{ident}/Bob", "state": "active"}
        await house.change(insert(t.logins).values(**login, **CREDENTIAL))


async def test_two_that_are_there_already_work_side_by_side(house: House) -> None:
    await both(house)
    for ident in ("gamma", "GAMMA"):
        change = accounts.change_customer
        await house.do(change, ident, name=f"{ident}!", settings={"csid": "+33 1"}, by=BY)
        assert (await house.ask(accounts.customer_row, ident))["name"] == f"{ident}!"
        assert [row["name"] for row in await house.ask(accounts.rows, ident, USER)] == ["Bob", "bob"]
        await house.do(accounts.change, ident, USER, "bob", {"settings": {"paper": "A4"}}, by=BY)
        assert (await house.ask(accounts.row, ident, USER, "Bob"))["settings"] == {}
        found = await house.ask(credentials.find_login, {}, f"{ident}-erp")
        assert found is not None and (found.customer, found.user) == (ident, f"{ident}/Bob")
    with pytest.raises(Conflict):
        await customer(house, "Gamma")


async def test_the_settings_file_may_go_on_naming_two_and_names_no_new_one(house: House) -> None:
    await both(house)
    old = [CustomerSeed(ident, ident, users=(UserSeed("bob"), UserSeed("Bob"))) for ident in ("gamma", "GAMMA")]
    await house.do(seed.lay, old, {})
    for new, words in (
        ([*old, CustomerSeed("Gamma", "")], "customer Gamma and "),
        ([CustomerSeed("delta", ""), CustomerSeed("Delta", "")], "customer Delta and delta"),
        ([CustomerSeed("gamma", "", users=(UserSeed("BOB"),))], "user BOB and "),
        ([CustomerSeed("echo", "", profiles={"a": {}, "A": {}})], "profile A and a of customer echo"),
        ([CustomerSeed("echo", "", users=(UserSeed("x", "GAMMA-ERP", "h"),))], "login GAMMA-ERP and "),
    ):
        with pytest.raises(Refused) as refused:
            await house.do(seed.lay, new, {})
        assert refused.value.public.startswith("In the settings file names differ only in case: ")
        assert words in refused.value.public
    assert {row.id for row in await house.rows(select(t.customers.c.id))} >= {"gamma", "GAMMA"}
    assert not {row.id for row in await house.rows(select(t.customers.c.id))} & {"Gamma", "delta", "Delta", "echo"}


async def test_a_directory_makes_no_namesake_of_a_user(house: House) -> None:
    await customer(house, "gamma")
    await house.do(accounts.create, "gamma", USER, "Anna@x.example", {"settings": {}}, by=BY)
    wanted = [Wanted("anna@x.example", "anna@x.example")]
    with pytest.raises(Refused, match="differs only in case from the user Anna@x"):
        await house.ask(synchronise.plan, "gamma", USER, wanted)
    assert (await house.ask(directory.sender, "anna@x.example", "")) is None
