"""Entries that others may not overtake: what is told of the journal, and when."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import Connection, create_engine, insert

from faxgw.store import event_feed
from faxgw.store import schema as t
from faxgw.store.engine import open_store
from faxgw.store.errors import StoreError
from faxgw.store.fax_book import View
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_on_postgresql_an_entry_is_told_when_no_lower_one_can_come(house: House, house_engine: str) -> None:
    """Serials are drawn before their commit: a lower one may be committed later, by as long as a unit lasts."""
    start = await house.ask(event_feed.settled, now=house.now)
    await house.job()
    newest = await house.ask(event_feed.newest)
    at_once = await house.ask(event_feed.settled, now=house.now)
    later = await house.ask(event_feed.settled, now=house.now + event_feed.SETTLE_S + 0.1)
    assert later == newest
    assert at_once == (newest if house_engine == "sqlite" else start)


async def test_nothing_overtakes_a_unit_that_lasts(postgres_url: str, fatal: list[StoreError]) -> None:
    """However long ago it drew its serial: what it commits in the end is told as well."""

    def entry(conn: Connection, entity: str) -> None:
        conn.execute(insert(t.events).values(at=0.0, entity=entity, what="fax.ready", who="test", data={}))

    store = open_store(postgres_url, fatal.append)
    await store.start()
    slow = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with slow.connect() as unit:
            start = await store.read(event_feed.newest)
            entry(unit, "F1")
            await store.run(partial(entry, entity="F2"))
            settled = partial(event_feed.settled, now=1000.0)
            assert (await store.read(event_feed.newest), await store.read(settled)) == (start + 2, start)
            unit.commit()
        assert await store.read(settled) == start + 2
    finally:
        slow.dispose()
        await store.close()
    assert fatal == []


async def test_where_to_go_on_follows_what_is_passed_over(house: House) -> None:
    await house.job(customer="beta", ready=False)
    now = house.now + 10
    found, serial = await house.ask(event_feed.after, "acme", View(), 0, now=now, limit=10)
    assert not found and serial == await house.ask(event_feed.newest)
    assert await house.ask(event_feed.after, "acme", View(), serial, now=now, limit=10) == ([], serial)


async def test_a_full_answer_goes_on_after_its_last_entry(house: House) -> None:
    job, faxes = await house.job("+33199000001", "+33199000002", ready=False)
    now = house.now + 10
    first, serial = await house.ask(event_feed.after, "acme", View(), 0, now=now, limit=2)
    rest, _ = await house.ask(event_feed.after, "acme", View(), serial, now=now, limit=10)
    assert [event.entity for event in (*first, *rest)] == [job, *faxes]
    assert not any(event_feed.is_received(event) for event in first)
