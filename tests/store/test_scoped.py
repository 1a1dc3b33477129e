"""A customer's view of the store."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select, update

from faxgw.store import schema as t
from faxgw.store.scoped import Scoped
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def name_of(conn: Connection, customer: str) -> str:
    return str(conn.execute(select(t.customers.c.name).where(t.customers.c.id == customer)).scalar())


def rename(conn: Connection, customer: str, *, name: str) -> str:
    conn.execute(update(t.customers).where(t.customers.c.id == customer).values(name=name))
    return customer


async def test_every_unit_is_given_the_customer(house: House) -> None:
    view = Scoped(house.store, "acme")
    assert await view.run(rename, name="New") == "acme"
    assert await view.read(name_of) == "New"
    assert await Scoped(house.store, "beta").read(name_of) == "Beta"


async def test_there_is_no_view_without_a_customer(house: House) -> None:
    with pytest.raises(ValueError, match="customer"):
        Scoped(house.store, "")
