"""The daily mail about junk on a real store: when, to whom, once, and never again (features G8)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from faxgw.store import directory, junk, junk_mail
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.junk import State, Verdict
from tests.house import House
from tests.store.test_junk import DAY, OTHER, OURS, came, routed, row

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALICE, BOB = "alice@example.org", "bob@example.org"


async def numbers(house: House, ours: dict[str, Any], other: dict[str, Any] | None = None) -> None:
    both = {"junk_score": 10, "time_zone": "Europe/Berlin", "language": "de"}
    seeds = (NumberSeed(OURS, settings={**both, **ours}), NumberSeed(OTHER, settings={**both, **(other or ours)}))
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=seeds)])


async def aside(house: House, number: str = OURS) -> str:
    reception = await came(house, caller="", number=number)
    assert await routed(house, reception) == State.ASIDE
    return reception


async def tell(house: House) -> int:
    """What a look writes."""
    found = await house.ask(junk_mail.due, now=house.now)
    return sum([await house.do(junk_mail.tell, found=one, now=house.now) for one in found])


async def mails(house: House) -> list[tuple[str, list[str]]]:
    """Who was told of which faxes, in order."""
    found = await house.rows(select(t.outbox).where(t.outbox.c.kind == junk_mail.KIND).order_by(t.outbox.c.created_at))
    return [(one.target, [fax["reception"] for fax in one.payload["faxes"]]) for one in found]


def at(day: int, hour: int, minute: int = 0) -> float:
    """November 2026, UTC; Berlin is an hour ahead."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp()


async def test_an_owner_is_told_at_the_local_hour_once_a_day_and_of_each_fax_once(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE], "junk_mail_hour": 9})
    house.clock.now = at(20, 10)
    first, second = await aside(house), await aside(house, OTHER)
    assert await tell(house) == 0  # came after today's hour
    house.clock.now = at(21, 7, 59)
    assert await tell(house) == 0
    house.clock.now = at(21, 8, 1)
    assert await tell(house) == 1
    assert await mails(house) == [(ALICE, [first, second])]
    assert (await row(house, first)).told_at == house.now
    third = await aside(house)
    assert await tell(house) == 0
    house.clock.now = at(22, 8, 1)
    assert await tell(house) == 1
    house.clock.now = at(23, 8, 1)
    assert await tell(house) == 0  # nothing new
    assert await mails(house) == [(ALICE, [first, second]), (ALICE, [third])]


async def test_a_gateway_that_was_down_at_the_hour_tells_when_it_is_up_and_once(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE], "junk_mail_hour": 9})
    house.clock.now = at(20, 10)
    reception = await aside(house)
    house.clock.now = at(24, 20)
    found = await house.ask(junk_mail.due, now=house.now)
    assert [await house.do(junk_mail.tell, found=one, now=house.now) for one in found] == [1]
    # the same look again, as of a node that did not know
    assert [await house.do(junk_mail.tell, found=one, now=house.now) for one in found] == [0]
    assert await mails(house) == [(ALICE, [reception])]


async def test_each_owner_has_a_mail_of_its_own_with_all_its_numbers(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE, BOB]}, {"deliver_to": [BOB]})
    house.clock.now = at(20, 10)
    ours, other = await aside(house), await aside(house, OTHER)
    house.clock.now += DAY
    assert await tell(house) == 2
    assert sorted(await mails(house)) == [(ALICE, [ours]), (BOB, [ours, other])]


async def test_a_number_without_a_mailbox_has_the_fallback_mailbox(house: House) -> None:
    await numbers(house, {"fallback_mailbox": "desk@example.org"})
    house.clock.now = at(20, 10)
    reception = await aside(house)
    house.clock.now += DAY
    assert await tell(house) == 1 and await mails(house) == [("desk@example.org", [reception])]


async def test_who_wants_no_mail_gets_none_and_not_later_either(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE], "junk_mail_hour": -1})
    house.clock.now = at(20, 10)
    reception = await aside(house)
    house.clock.now += DAY
    assert await tell(house) == 0 and await mails(house) == []
    assert (await row(house, reception)).told_at == house.now


async def test_what_was_decided_in_the_meantime_is_not_told(house: House) -> None:
    await numbers(house, {"deliver_to": [ALICE]})
    house.clock.now = at(20, 10)
    kept, good = await aside(house), await aside(house)
    house.clock.now += DAY
    found = await house.ask(junk_mail.due, now=house.now)
    await house.do(junk.settle, reception=good, verdict=Verdict.GOOD, customer="acme", who="login:alice", now=house.now)
    assert [await house.do(junk_mail.tell, found=one, now=house.now) for one in found] == [1]
    assert await mails(house) == [(ALICE, [kept])]


async def test_a_mail_is_bounded_and_says_how_many_there_are(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk_mail, "MAX_LISTED", 2)
    await numbers(house, {"deliver_to": [ALICE]})
    house.clock.now = at(20, 10)
    for _ in range(3):
        await aside(house)
    house.clock.now += DAY
    assert await tell(house) == 1 and await tell(house) == 0
    (mail,) = await house.rows(select(t.outbox).where(t.outbox.c.kind == junk_mail.KIND))
    assert (len(mail.payload["faxes"]), mail.payload["count"]) == (2, 3)
    assert (mail.payload["language"], mail.payload["time_zone"]) == ("de", "Europe/Berlin")


async def test_a_flood_is_told_in_days_and_each_day_in_one_mail(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junk_mail, "MAX_FAXES", 2)
    await numbers(house, {"deliver_to": [ALICE]})
    house.clock.now = at(20, 10)
    flood = [await aside(house) for _ in range(3)]
    house.clock.now += DAY
    assert await tell(house) == 1 and await tell(house) == 0
    house.clock.now += DAY
    assert await tell(house) == 1
    assert await mails(house) == [(ALICE, flood[:2]), (ALICE, flood[2:])]


@pytest.mark.parametrize(
    "now, hour, day",
    [
        (at(20, 6, 30), 7, "2026-11-20"),
        (at(20, 5, 59), 7, "2026-11-19"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC).timestamp(), 2, "2026-10-25"),
    ],
)
async def test_the_day_is_the_owners(now: float, hour: int, day: str) -> None:
    """The last one in the night in which clocks go back."""
    assert f"{junk_mail._last(now, 'Europe/Berlin', hour):%Y-%m-%d}" == day


async def test_what_is_purged_is_told_no_more(house: House) -> None:
    """A mail that has not gone yet names no sender whose fax is gone; one that would name nobody does not go."""
    await numbers(house, {"deliver_to": [ALICE], "junk_mail_hour": 9})
    house.clock.now = at(20, 10)
    first, second = await aside(house), await aside(house, OTHER)
    house.clock.now = at(21, 8, 1)
    assert await tell(house) == 1
    for reception, left, state in ((first, [second], "due"), (second, [], "dead")):
        (fax,) = await house.rows(select(t.receptions).where(t.receptions.c.id == reception))
        await house.do(junk_mail.forget, fax, now=house.now)
        (item,) = await house.rows(select(t.outbox).where(t.outbox.c.kind == junk_mail.KIND))
        assert [one["reception"] for one in item.payload["faxes"]] == left
        assert (item.payload["count"], item.state) == (len(left), state)
