"""faxgw.store.webhook_feed: each entry once to everyone whom it concerns and who wants it, whatever is interrupted."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from faxgw.store import event_feed, webhook_feed, webhooks
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.webhooks import Webhook
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def make(house: House, name: str, *events: str, customer: str = "acme", user: str = "") -> None:
    made = Webhook(
        name, customer, user, f"https://{name}.example.org/?key=1", "whsec_", "", 0.0, events, "", True,
        house.clock.now, "test",
    )  # fmt: skip
    await house.do(webhooks.create, customer, made, now=house.clock.now)
    house.clock.now += 1


async def spread(house: House) -> Counter[tuple[str, str]]:
    """All that is to be told: (webhook, event)."""
    house.clock.now += event_feed.SETTLE_S + 1  # PostgreSQL: so long until entries are told
    while await house.do(webhook_feed.spread, now=house.clock.now):
        pass
    rows = await house.rows(select(t.outbox.c.payload).where(t.outbox.c.kind == "webhook"))
    return Counter((row.payload["webhook"], row.payload["event"]["type"]) for row in rows)


async def test_what_was_before_the_first_look_is_not_told(house: House) -> None:
    await house.ready_fax()
    await make(house, "all", "*")
    assert await spread(house) == {}
    fax = await house.ready_fax()
    found = await spread(house)
    assert found["all", "fax.ready"] == 1
    kind = t.outbox.c.payload["event"]["type"].as_string()
    (row,) = await house.rows(select(t.outbox).where(t.outbox.c.kind == "webhook", kind == "fax.ready"))
    assert row.payload["event"]["fax"] == fax
    assert row.target == "https://all.example.org/"


async def test_what_one_unit_writes_falls_due_in_the_order_of_the_events(house: House) -> None:
    await spread(house)
    await make(house, "all", "*")
    for _ in range(5):
        await house.ready_fax()
    await spread(house)
    rows = await house.rows(select(t.outbox).where(t.outbox.c.kind == "webhook").order_by(t.outbox.c.due_at))
    serials = [row.payload["event"]["serial"] for row in rows]
    assert serials == sorted(serials) and len(set(serials)) == len(serials) >= 15
    assert all(row.created_at - 0.01 < row.due_at < row.created_at for row in rows)


async def test_each_is_told_what_it_wants_of_its_own_customer_and_user(house: House) -> None:
    await spread(house)
    await make(house, "faxes", "fax.*")
    await make(house, "jobs", "job.accepted")
    await make(house, "others", "*", customer="beta")
    await house.ready_fax()
    found = await spread(house)
    assert found["jobs", "job.accepted"] == 1
    assert {name for name, _ in found} == {"faxes", "jobs"}
    assert all(kind.startswith("fax.") for name, kind in found if name == "faxes")


async def test_nothing_is_told_twice_or_left_out_when_there_is_much(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_feed, "WINDOW", 7)
    await spread(house)
    await make(house, "all", "job.*")
    for _ in range(10):
        await house.ready_fax()
    assert (await spread(house))["all", "job.accepted"] == 10
    assert (await spread(house))["all", "job.accepted"] == 10
    assert not await house.ask(webhook_feed.is_behind)


async def test_one_made_later_is_not_told_of_what_was(house: House) -> None:
    await spread(house)
    await make(house, "early", "job.*")
    await house.ready_fax()
    house.clock.now += 1
    await make(house, "late", "job.*")
    assert {name for name, _ in await spread(house)} == {"early"}


async def test_without_webhooks_the_journal_is_passed_over_in_long_strides(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_feed, "UNREAD", 20)
    await house.do(note, "x", "node.started", now=house.clock.now)
    await spread(house)
    feed = select(t.feeds.c.serial).where(t.feeds.c.name == webhook_feed.NAME)
    (first,) = await house.rows(feed)
    for _ in range(10):
        await house.do(note, "x", "node.started", now=house.clock.now)
    await spread(house)
    assert await house.rows(feed) == [first]
    for _ in range(15):
        await house.do(note, "x", "node.started", now=house.clock.now)
    await spread(house)
    ((serial,),) = await house.rows(feed)
    assert serial >= first.serial + 25


async def test_a_unit_stays_short_however_many_webhooks_a_customer_has(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit delays every gate and MCF: it writes some items, and the next one goes on where it ended."""
    monkeypatch.setattr(webhook_feed, "MAX_PUT", 10)
    await spread(house)
    hooks = 7
    for number in range(hooks):
        await make(house, f"hook{number}", "fax.*", "job.*")
    for _ in range(4):
        await house.ready_fax()
    house.clock.now += event_feed.SETTLE_S + 1
    count, more = 0, True
    while more:
        more = await house.do(webhook_feed.spread, now=house.clock.now)
        items = len(await house.rows(select(t.outbox.c.id).where(t.outbox.c.kind == "webhook")))
        assert items - count < webhook_feed.MAX_PUT + hooks
        count = items
    found = await spread(house)
    assert {found[f"hook{number}", "job.accepted"] for number in range(hooks)} == {4}
    assert {found[f"hook{number}", "fax.ready"] for number in range(hooks)} == {4}
    assert sum(found.values()) == count
