"""Webhooks of a customer: made, changed, rotated, removed by who may; the log of their tries is bounded."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from sqlalchemy import insert, update

from faxgw.store import outbox, webhooks
from faxgw.store import schema as t
from faxgw.store.webhooks import FORMER_FOR_S, TooMany, Try, Webhook
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def hook(name: str = "wh_1", *events: str, user: str = "", active: bool = True) -> Webhook:
    return Webhook(
        name, "acme", user, "https://a.example.org/", "whsec_one", "", 0.0, events or ("*",), "ours", active, 0.0, "op"
    )  # fmt: skip


async def make(house: House, made: Webhook, customer: str = "acme") -> None:
    await house.do(webhooks.create, customer, made, now=house.now)
    house.clock.now += 1


async def user(house: House, ident: str) -> None:
    name = ident.partition("/")[2]
    await house.change(insert(t.users).values(id=ident, customer="acme", name=name, state="active", settings={}))


@pytest.mark.parametrize(
    ("events", "event", "told"),
    [
        (("*",), "fax.sent", True),
        (("fax.*",), "fax.sent", True),
        (("fax.*",), "faxes.sent", False),
        (("fax.sent",), "fax.sent", True),
        (("fax.sent",), "fax.sent.late", False),
        (("job.*", "fax.failed"), "fax.failed", True),
        ((), "fax.sent", False),
    ],
)
async def test_a_webhook_wants_what_it_names(events: tuple[str, ...], event: str, told: bool) -> None:
    assert replace(hook(), events=events).wants(event) is told
    assert not replace(hook(), events=events, active=False).wants(event)


async def test_a_secret_is_written_as_standard_webhooks_wants_it() -> None:
    secret = webhooks.secret_of(bytes(range(24)))
    mark, _, rest = secret.partition("_")
    assert mark == "whsec" and base64.b64decode(rest) == bytes(range(24))


async def test_one_is_made_once_and_found_by_its_owner(house: House) -> None:
    await make(house, hook())
    await make(house, replace(hook(), url="https://changed.example.org/"))
    found = await house.ask(webhooks.find, "acme", "", "wh_1")
    assert found == replace(hook(), created_at=house.now - 2)
    assert await house.ask(webhooks.of_id, "wh_1") == found
    assert await house.ask(webhooks.find, "beta", "", "wh_1") is None
    assert await house.ask(webhooks.of_id, "wh_2") is None
    assert await house.events("wh_1") == ["webhook.created"]


async def test_a_user_sees_its_own_and_the_customer_all(house: House) -> None:
    await user(house, "acme/ann")
    await make(house, hook("wh_1", user="acme/ann"))
    await make(house, hook("wh_2"))
    assert [one.id for one in await house.ask(webhooks.every, "acme", "")] == ["wh_1", "wh_2"]
    assert [one.id for one in await house.ask(webhooks.every, "acme", "acme/ann")] == ["wh_1"]
    assert await house.ask(webhooks.find, "acme", "acme/ann", "wh_2") is None
    assert not await house.do(webhooks.remove, "acme", "acme/ann", "wh_2", who="ann", now=house.now)


async def test_those_that_want_an_event_are_named(house: House) -> None:
    await make(house, hook("wh_1", "fax.*"))
    await make(house, hook("wh_2", "job.*"))
    await make(house, hook("wh_3", active=False))
    assert [one.id for one in await house.ask(webhooks.wanting, "acme", "fax.sent")] == ["wh_1"]
    assert await house.ask(webhooks.wanting, "beta", "fax.sent") == []


async def test_a_customer_has_a_bounded_number_of_them(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_WEBHOOKS", 2)
    await make(house, hook("wh_1"))
    await make(house, hook("wh_2"))
    with pytest.raises(TooMany):
        await make(house, hook("wh_3"))
    await make(house, hook("wh_3"), customer="beta")


async def test_a_change_changes_what_it_names_and_is_noted_without_values(house: House) -> None:
    await make(house, hook())
    values = {"url": "https://new.example.org/?key=secret", "active": False}
    changed = await house.do(webhooks.change, "acme", "", "wh_1", values, who="ann", now=house.now)
    assert changed is not None and (changed.url, changed.active, changed.description) == (values["url"], False, "ours")
    assert await house.do(webhooks.change, "beta", "", "wh_1", values, who="eve", now=house.now) is None
    assert await house.events("wh_1") == ["webhook.created", "webhook.changed"]
    said = await house.rows(t.events.select().where(t.events.c.what == "webhook.changed"))
    assert said[0].data == {"customer": "acme", "what": ["active", "url"]}


async def test_the_former_secret_signs_for_a_day(house: House) -> None:
    await make(house, hook())
    turned = await house.do(webhooks.rotate, "acme", "", "wh_1", "whsec_two", who="ann", now=house.now)
    assert turned is not None
    assert (turned.secret, turned.former_secret) == ("whsec_two", "whsec_one")
    assert turned.former_until == house.now + FORMER_FOR_S
    again = await house.do(webhooks.rotate, "acme", "", "wh_1", "whsec_two", who="ann", now=house.now + 9)
    assert again == turned
    assert await house.do(webhooks.rotate, "beta", "", "wh_1", "whsec_x", who="eve", now=house.now) is None


async def test_one_that_is_removed_takes_the_words_of_its_messages_along(house: House) -> None:
    """What was to be told, and what was told, names faxes: no purge would find it any more."""
    for name in ("wh_1", "wh_2"):
        await make(house, hook(name))
        for state in ("due", "leased", "done"):
            payload = {"webhook": name, "event": {"data": {"number": "+33199000001"}}}
            item = f"out_{name}_{state}"
            await house.do(outbox.put, item, "webhook", "https://a/", customer="acme", payload=payload, now=house.now)
            await house.change(update(t.outbox).where(t.outbox.c.id == item).values(state=state))
    assert await house.do(webhooks.remove, "acme", "", "wh_1", who="ann", now=house.now)
    found = {row.id: row for row in await house.outbox()}
    for state in ("due", "leased", "done"):
        gone, kept = found[f"out_wh_1_{state}"], found[f"out_wh_2_{state}"]
        assert (gone.payload, gone.state) == ({}, "done" if state == "done" else "dead")
        assert kept.payload["webhook"] == "wh_2" and kept.state == state


async def test_one_that_is_removed_takes_its_log_along(house: House) -> None:
    await make(house, hook())
    await house.do(webhooks.record, "wh_1", tried(1))
    assert await house.do(webhooks.remove, "acme", "", "wh_1", who="ann", now=house.now)
    assert not await house.do(webhooks.remove, "acme", "", "wh_1", who="ann", now=house.now)
    assert await house.ask(webhooks.tries, "wh_1", before=0, limit=10) == []
    await house.do(webhooks.record, "wh_1", tried(2))
    assert await house.ask(webhooks.tries, "wh_1", before=0, limit=10) == []


def tried(number: int, item: str = "out_1") -> Try:
    return Try(item, "fax.sent", "FN1", 100.0 + number, number, 500, 12, "x" * 500, False)


async def test_tries_are_told_newest_first_and_the_oldest_give_way(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_TRIES_KEPT", 3)
    await make(house, hook())
    for number in range(1, 6):
        await house.do(webhooks.record, "wh_1", tried(number))
    found = await house.ask(webhooks.tries, "wh_1", before=0, limit=10)
    assert [one.number for one in found] == [5, 4, 3]
    assert len(found[0].detail) == 400
    older = await house.ask(webhooks.tries, "wh_1", before=found[0].serial, limit=1)
    assert [one.number for one in older] == [4]


async def test_a_message_is_sent_again_when_it_is_over_and_was_this_webhooks(house: House) -> None:
    await make(house, hook())
    await house.do(outbox.put, "out_1", "webhook", "https://a/", customer="acme", payload={"event": {}}, now=house.now)
    assert await house.do(webhooks.again, "wh_1", "out_1", who="ann", now=house.now) is None
    await house.do(webhooks.record, "wh_1", tried(1))
    assert await house.do(webhooks.again, "wh_1", "out_1", who="ann", now=house.now) is False
    await house.change(update(t.outbox).values(state="dead"))
    assert await house.do(webhooks.again, "wh_1", "out_1", who="ann", now=house.now) is True
    (item,) = await house.outbox()
    assert item.state == "due"
