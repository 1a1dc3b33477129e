"""What is remembered of the directory: asked once, forgotten with every change made here, never of who is refused."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, update

from faxgw.dispatch import known
from faxgw.dispatch.known import Known
from faxgw.store import directory
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Names:
    """Names of customers, and how often they were read."""

    def __init__(self, house: House) -> None:
        self.reads = 0
        self.known = Known(house.store, self._read, keep=lambda name: name != "")

    def _read(self, conn: Connection, customer: str) -> str:
        self.reads += 1
        return conn.execute(t.customers.select().where(t.customers.c.id == customer)).one().name if customer else ""


async def test_a_burst_asks_once(house: House) -> None:
    names = Names(house)
    assert [await names.known.ask("acme") for _ in range(5)] == ["Acme"] * 5
    assert names.reads == 1
    many = await asyncio.gather(*(names.known.ask("beta") for _ in range(20)))
    assert set(many) == {"Beta"}
    assert names.reads <= 3  # one that ran, one for who came meanwhile


async def test_a_change_made_here_is_seen_by_the_next_question(house: House) -> None:
    names = Names(house)
    await names.known.ask("acme")
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(name="Acme Ltd"))
    assert await names.known.ask("acme") == "Acme Ltd"
    await house.do(directory.seed, [CustomerSeed("acme", "Acme once more")])
    assert await names.known.ask("acme") == "Acme once more"


async def test_a_change_during_the_read_is_seen_by_the_next_question(house: House) -> None:
    names = Names(house)
    asking = asyncio.create_task(names.known.ask("acme"))
    await asyncio.sleep(0)
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(name="Acme Ltd"))
    assert await asking in ("Acme", "Acme Ltd")
    assert await names.known.ask("acme") == "Acme Ltd"


async def test_what_is_changed_past_us_is_seen_in_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(house)
    statement = update(t.customers).where(t.customers.c.id == "acme")
    await names.known.ask("acme")
    await house.store.run(lambda conn: conn.execute(statement.values(name="Acme Ltd")).close())
    assert await names.known.ask("acme") == "Acme"
    monkeypatch.setattr(known, "REMEMBERED_S", 0.0)
    names = Names(house)
    await names.known.ask("acme")
    await house.store.run(lambda conn: conn.execute(statement.values(name="Acme plc")).close())
    assert await names.known.ask("acme") == "Acme plc"


async def test_strangers_leave_nothing_in_memory(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(house)
    assert [await names.known.ask("") for _ in range(3)] == [""] * 3
    assert names.reads == 3
    monkeypatch.setattr(known, "MAX_KNOWN", 1)
    for customer in ("acme", "beta", "acme"):
        await names.known.ask(customer)
    assert names.reads == 6
