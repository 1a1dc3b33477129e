"""Webhooks: made, changed, rotated, removed; their log."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import select, update

from faxgw.api.v1.webhooks import EVENT_NAMES, EventName
from faxgw.store import outbox, webhooks
from faxgw.store import schema as t
from faxgw.store.webhooks import Try
from tests.api.v1.world import Native

pytestmark = pytest.mark.asyncio(loop_scope="session")
NEW = {"url": "https://app.example.org/fax", "events": ["fax.*"], "description": "erp"}


async def test_the_names_are_those_of_the_events() -> None:
    assert set(EventName.__args__) == set(EVENT_NAMES)  # type: ignore[attr-defined]


async def test_the_secret_is_told_once(api: Native) -> None:
    made = await api.post("/webhooks", NEW, 201)
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == webhooks.SECRET_OCTETS
    seen = await api.get(f"/webhooks/{made['id']}")
    assert seen == {key: value for key, value in made.items() if key != "secret"}
    assert (await api.get("/webhooks"))["webhooks"] == [seen]


async def test_a_former_secret_signs_for_a_day(api: Native) -> None:
    made = await api.post("/webhooks", NEW, 201)
    rotated = await api.post(f"/webhooks/{made['id']}/rotate")
    assert rotated["secret"] != made["secret"] and rotated["former_secret_until"] == "2026-11-19T11:06:40.000Z"
    kept = await api.house.ask(webhooks.find, "acme", "", made["id"])
    assert kept is not None and kept.former_secret == made["secret"]
    api.house.clock.now += 86_401
    assert (await api.get(f"/webhooks/{made['id']}"))["former_secret_until"] is None


async def test_what_is_sent_is_changed_and_no_more(api: Native) -> None:
    path = "/webhooks/" + (await api.post("/webhooks", NEW, 201))["id"]
    got = await api.call("PATCH", path, {"active": False})
    assert (got.body["active"], got.body["events"], got.body["description"]) == (False, ["fax.*"], "erp")
    assert not await api.house.ask(webhooks.wanting, "acme", "fax.sent")
    await api.call("PATCH", path, {"active": True, "events": ["job.finished"]})
    assert await api.house.ask(webhooks.wanting, "acme", "job.finished")
    assert not await api.house.ask(webhooks.wanting, "acme", "fax.sent")
    assert (await api.call("DELETE", path)).status == 204
    await api.get(path, 404)


async def test_a_user_sees_its_own(api: Native) -> None:
    bert = api.by(await api.desk.token(user="acme/bert"))
    theirs, mine = await api.post("/webhooks", NEW, 201), await bert.post("/webhooks", NEW, 201)
    assert [one["id"] for one in (await bert.get("/webhooks"))["webhooks"]] == [mine["id"]]
    assert mine["user"] == "bert"
    await bert.get(f"/webhooks/{theirs['id']}", 404)
    assert len((await api.get("/webhooks"))["webhooks"]) == 2


async def test_the_log_is_told_newest_first_and_bounded(api: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_TRIES_KEPT", 4)
    ident = (await api.post("/webhooks", NEW, 201))["id"]
    for number in range(1, 7):
        done = Try("out_1", "fax.sent", "FN1", api.house.now, number, 503 if number < 6 else 0, 12, "why", False)
        await api.house.do(webhooks.record, ident, done)
    first = await api.get(f"/webhooks/{ident}/deliveries", limit=3)
    rest = await api.get(f"/webhooks/{ident}/deliveries", limit=3, cursor=first["next"])
    assert [one["number"] for one in first["deliveries"] + rest["deliveries"]] == [6, 5, 4, 3]
    assert (first["deliveries"][0]["status"], rest["next"]) == (None, None)
    await api.house.do(webhooks.record, "whk_gone", done)


async def test_a_message_is_sent_once_more_when_it_is_over(api: Native) -> None:
    ident, item = (await api.post("/webhooks", NEW, 201))["id"], "out_" + "0" * 32
    path = f"/webhooks/{ident}/deliveries/{item}/again"
    assert (await api.call("POST", path)).status == 404
    await api.house.do(
        outbox.put,
        item,
        "webhook",
        "https://app.example.org/",
        customer="acme",
        payload={"webhook": ident},
        now=api.house.now,
    )
    await api.house.do(webhooks.record, ident, Try(item, "fax.sent", "FN1", api.house.now, 1, 503, 12, "why", False))
    got = await api.call("POST", path)
    assert (got.status, got.body["code"]) == (409, "on_its_way")
    await api.house.change(update(t.outbox).where(t.outbox.c.id == item).values(state="dead"))
    assert (await api.call("POST", path)).status == 204
    ((state,),) = await api.house.rows(select(t.outbox.c.state).where(t.outbox.c.id == item))
    assert state == "due"
    other = (await api.post("/webhooks", NEW, 201))["id"]
    assert (await api.call("POST", path.replace(ident, other))).status == 404


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://erp.example.org:10443/fax", 201),
        ("https://erp.example.org:65535", 201),
        (f"https://a{'-b' * 31}.Example.org/?key=1", 201),
        ("https://a.b.c.d.e.f.example.org/", 201),
        ("https://erp.example.org:65536/", 422),
        ("https://xn--e1afmkfd.xn--p1ai/hook", 201),  # пример.рф
        ("https://xn--80akhbyknj4f.xn--vermgensberatung-pwb", 201),
        ("http://erp:8080/fax", 201),
        ("https://8.8.8.8/fax", 201),
        ("https://192.0.2.1/", 403),
        ("https://127.0.0.1:8080/", 403),
        ("https://10.1.2.3/", 403),
        ("https://256.1.1.1/", 422),
        ("https://2130706433/", 422),
        ("https://0x7f.0.0.1/", 422),
        ("https://127.1/", 422),
        ("https://[::1]/", 422),
        ("https://xn--.example.org/", 422),
        ("https://пример.рф/", 422),
        ("https://user@erp.example.org/", 422),
        ("https://-erp.example.org/", 422),
        ("ftp://erp.example.org/", 422),
    ],
)
async def test_every_address_that_a_program_can_have_is_taken(api: Native, url: str, status: int) -> None:
    await api.post("/webhooks", NEW | {"url": url}, status)
