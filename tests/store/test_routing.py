"""faxgw.store.routing and replies: waiting for reading, held deliveries, replies; the same on both databases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from faxgw.fax.account import resolve
from faxgw.fax.reception import PageEnd
from faxgw.fax.routing_rule import Actions, Conditions, Rule, decide
from faxgw.fax.target import Format, Target, TargetKind
from faxgw.store import choosing, receptions, replies, routing, rules, targets
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from tests.house import House
from tests.store.test_receptions import NUMBER, keep, receiving

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", 1.0)
CRM = Target("tgt_crm", "acme", "crm", TargetKind.PULL, "crm", formats=(Format.XML,))


async def unread(house: House, reception: str, page: int) -> None:
    wanted = {"languages": ["eng"], "barcodes": False}
    values = {"reception": reception, "page": page, "state": "waiting", "wanted": wanted, "asked_at": house.now}
    await house.change(insert(t.readings).values(**values))


async def over(house: House, reception: str, page: int) -> None:
    where = (t.readings.c.reception == reception, t.readings.c.page == page)
    await house.change(update(t.readings).where(*where).values(state="failed", why="test"))


async def lease(house: House) -> list[str]:
    found = await house.do(routing.lease, fence=house.fence, now=house.now, limit=10)
    return [one.id for one in found]


async def write(house: House, reception: str) -> bool:
    """Route by what the rules say now, without waiting."""

    def unit(conn: Any) -> bool:
        asked = choosing.question(conn, reception)
        decision = decide(asked.rules, asked.facts, patient=False)
        found = choosing.answer(conn, asked, decision)
        return routing.route(
            conn, reception, document=None, enclosed=(), thumbnail=b"", problem="", fence=house.fence, now=house.now,
            onward=found.onward, told=choosing.told(asked, decision, found),
        )  # fmt: skip

    return await house.do(unit)


async def test_a_fax_whose_rules_wait_is_leased_again_for_each_page_that_was_read(house: House) -> None:
    reception = await receiving(house)
    await keep(house, reception, 1)
    await keep(house, reception, 2, PageEnd.EOP)
    await unread(house, reception, 1)
    await unread(house, reception, 2)
    assert await lease(house) == [reception]
    until = house.now + 60

    async def wait(read_pages: int) -> None:
        await house.do(
            routing.await_reading, reception, read_pages=read_pages, until=until, rules=["r"], fence=house.fence,
            now=house.now,
        )  # fmt: skip

    await wait(0)
    assert await lease(house) == []
    await over(house, reception, 1)
    assert await lease(house) == [reception]
    await wait(1)
    assert await lease(house) == []
    assert await house.ask(routing.next_due) == until
    house.clock.now = until
    assert await lease(house) == [reception]
    row = await house.ask(receptions.row_of, reception)
    assert row.tries == 1
    assert (await house.events(reception)).count("reception.awaits_reading") == 1


async def test_a_delivery_with_text_is_held_until_nothing_is_left_to_be_read(house: House) -> None:
    reception = await receiving(house)
    await house.do(targets.create, CRM, {}, by=BY)
    await house.do(rules.create, Rule("rul_1", "crm", "acme", actions=Actions(deliver=("crm", "owner"))), by=BY)
    await keep(house, reception, 1, PageEnd.EOP)
    await unread(house, reception, 1)
    assert await lease(house) == [reception]
    assert await write(house, reception)
    assert not await write(house, reception)  # once
    await house.do(routing.release, now=house.now)
    items = {row.kind: row for row in await house.rows(select(t.outbox))}
    assert items["received_pull"].detail == routing.HELD
    assert items["received_pull"].due_at > house.now
    assert items["received_mail"].due_at == house.now
    await over(house, reception, 1)
    await house.do(routing.release, now=house.now)
    (held,) = await house.rows(select(t.outbox).where(t.outbox.c.kind == "received_pull"))
    assert (held.due_at, held.detail) == (house.now, "")


async def test_facts_of_a_stored_fax_and_of_an_assumed_one_are_asked_alike(house: House) -> None:
    reception = await receiving(house)
    await keep(house, reception, 1, PageEnd.EOP)
    await house.do(rules.create, Rule("rul_1", "x", "acme", actions=Actions(tags=("x",))), by=BY)
    stored = await house.ask(choosing.question, reception)
    assert (stored.facts.number, stored.facts.csid, stored.facts.pages) == (NUMBER, "+49 89 555", 1)
    assert [rule.name for rule in stored.rules] == ["x"]
    assumed = replace(stored.facts, number="", caller=())
    asked = await house.ask(choosing.hypothetical, {}, NUMBER, assumed, "0049 89 5550")
    assert asked is not None
    assert asked.facts.caller[0] == "+49895550"
    assert asked.rules == stored.rules
    assert await house.ask(choosing.hypothetical, {}, "+33199999999", assumed, "") is None


async def test_one_fax_has_one_reply_and_its_caller_is_left_in_peace_for_an_hour(house: House) -> None:
    reception = await receiving(house)
    row = await house.ask(receptions.row_of, reception)
    settings = resolve([])
    callers = ["+498955500"]
    for _ in range(2):
        await house.do(replies.ask, row, callers, "thanks", settings, now=house.now)
    (reply,) = await house.do(replies.due, now=house.now, limit=10)
    assert (reply.reception, reply.caller, reply.tries) == (reception, "+498955500", 1)
    assert await house.do(replies.due, now=house.now, limit=10) == []
    assert await house.ask(replies.next_due) == house.now + replies.PAUSE
    await house.do(replies.handed_in, reception, "F1", now=house.now)
    await house.do(replies.given_up, reception, "too late", now=house.now)
    found = await house.ask(replies.of, reception)
    assert found is not None
    assert (found["state"], found["job"], found["why"]) == ("sent", "F1", "")


async def test_a_reply_whose_hand_in_never_answers_is_given_up(house: House) -> None:
    """An exception in it, or a gateway that is killed in it each time."""
    reception = await receiving(house)
    row = await house.ask(receptions.row_of, reception)
    await house.do(replies.ask, row, ["+498955500"], "thanks", resolve([]), now=house.now)
    for tried in range(replies.MAX_TRIES):
        (reply,) = await house.do(replies.due, now=house.now + tried * replies.PAUSE, limit=10)
        assert reply.tries == tried + 1
    assert await house.do(replies.due, now=house.now + replies.MAX_TRIES * replies.PAUSE, limit=10) == []
    found = await house.ask(replies.of, reception)
    assert found is not None and found["state"] == "not" and "by our fault" in found["why"]
    assert await house.ask(replies.next_due) is None


async def test_rules_of_a_number_that_is_not_the_customers_any_more_are_not_asked(house: House) -> None:
    reception = await receiving(house)
    rule = Rule("rul_1", "x", "acme", conditions=Conditions(csid=("*",)), actions=Actions(tags=("x",)))
    await house.do(rules.create, rule, by=BY)
    await house.change(update(t.numbers).values(customer="beta"))
    assert [one.name for one in (await house.ask(choosing.question, reception)).rules] == ["x"]
    assert await house.ask(rules.applying, "beta", NUMBER) == []
