"""faxgw.store.rules: rules kept at their places, found for a number, seeded from the settings file; both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import insert

from faxgw.fax.account import Level
from faxgw.fax.errors import Refused
from faxgw.fax.routing_rule import Actions, Conditions, Extraction, Rule, in_order
from faxgw.fax.target import Target, TargetKind
from faxgw.store import rules, targets, templates
from faxgw.store import schema as t
from faxgw.store.accounts import Author, Conflict, NotFound
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", 1000.0)
NUMBER, RANGE = "+331990010", "+331990020"


async def enter(house: House) -> None:
    """A number with a profile, and a range."""
    profile = {"id": "acme/sales", "customer": "acme", "name": "sales", "settings": dict[str, object]()}
    await house.change(insert(t.profiles).values(**profile))
    for e164, last, of in ((NUMBER, None, "acme/sales"), (RANGE, "+331990029", None)):
        values: dict[str, object] = {
            "e164": e164,
            "last": last,
            "customer": "acme",
            "profile": of,
            "state": "active",
            "settings": {},
        }
        await house.change(insert(t.numbers).values(**values))


def rule(name: str, level: Level = Level.CUSTOMER, scope: str = "", **more: object) -> Rule:
    customer = "" if level is Level.SYSTEM else "acme"
    made = Rule(f"rul_{name}", name, customer, level, scope, actions=Actions(deliver=("owner",)))
    return replace(made, **more)  # type: ignore[arg-type]


async def test_a_number_is_asked_its_own_rules_its_profiles_its_customers_and_the_gateways(house: House) -> None:
    await enter(house)
    for one in (
        rule("gateway", Level.SYSTEM),
        rule("customer"),
        rule("profile", Level.PROFILE, "sales"),
        rule("number", Level.NUMBER, NUMBER),
        rule("range", Level.NUMBER, RANGE),
        rule("off", active=False),
    ):
        await house.do(rules.create, one, by=BY)
    found = in_order(await house.ask(rules.applying, "acme", NUMBER))
    assert [one.name for one in found] == ["number", "profile", "customer", "gateway"]
    found = in_order(await house.ask(rules.applying, "acme", "+331990024"))
    assert [one.name for one in found] == ["range", "customer", "gateway"]
    assert [one.name for one in await house.ask(rules.applying, "beta", NUMBER)] == ["gateway"]


async def test_a_rule_comes_back_as_it_was_stored(house: House) -> None:
    await enter(house)
    extraction = Extraction("order", r"/(?P<no>\d+)/", every=True)
    whole = rule(
        "whole",
        Level.NUMBER,
        NUMBER,
        position=7,
        conditions=Conditions(csid=("ACME*",), pages_min=2),
        actions=Actions(deliver=("a@example.org",), tags=("x",), language="de", extract=(extraction,)),
        stop=False,
    )
    await house.do(rules.create, whole, by=BY)
    assert await house.ask(rules.get, "acme", whole.id) == whole
    await house.do(rules.change, replace(whole, id="ignored", position=8, active=False), by=BY)
    assert await house.ask(rules.get, "acme", whole.id) == replace(whole, position=8, active=False)
    with pytest.raises(NotFound):
        await house.ask(rules.get, "beta", whole.id)


async def test_what_a_rule_names_must_be_there(house: House) -> None:
    await enter(house)
    with pytest.raises(Refused, match="no target crm"):
        await house.do(rules.create, rule("a", actions=Actions(deliver=("crm",))), by=BY)
    await house.do(targets.create, Target("tgt_1", "acme", "crm", TargetKind.PULL, "crm"), {}, by=BY)
    await house.do(rules.create, rule("a", actions=Actions(deliver=("crm",))), by=BY)
    with pytest.raises(Refused, match="no target crm"):  # it is acme's, not the gateway's
        await house.do(rules.create, rule("b", Level.SYSTEM, actions=Actions(deliver=("crm",))), by=BY)
    with pytest.raises(NotFound):
        await house.do(rules.create, rule("c", Level.NUMBER, "+331990011"), by=BY)
    with pytest.raises(NotFound):
        await house.do(rules.create, rule("c", Level.PROFILE, "none"), by=BY)
    with pytest.raises(Refused, match="no customer"):
        await house.do(rules.create, replace(rule("c", Level.SYSTEM), customer="acme"), by=BY)
    with pytest.raises(Conflict):
        await house.do(rules.create, rule("a"), by=BY)


async def test_the_settings_file_decides_its_rules_and_takes_them_away(house: House) -> None:
    await enter(house)
    await house.do(rules.seed, [rule("a"), rule("b", Level.NUMBER, NUMBER)], now=1.0)
    kept = await house.ask(rules.every, "acme")
    assert [one.name for one in kept] == ["b", "a"]
    assert await house.ask(rules.managed, "acme") == {one.id for one in kept}
    with pytest.raises(Conflict, match="settings file"):
        await house.do(rules.remove, "acme", kept[0].id, by=BY)
    await house.do(rules.create, rule("own"), by=BY)
    await house.do(rules.seed, [rule("a", position=5)], now=2.0)
    after = await house.ask(rules.every, "acme")
    assert [(one.name, one.position) for one in after] == [("a", 5), ("own", 100)]
    assert after[0].id == kept[1].id
    await house.do(rules.remove, "acme", after[1].id, by=BY)


async def test_a_reply_with_a_cover_page_that_is_not_there_is_refused(house: House) -> None:
    wrong = rule("thanks", actions=Actions(reply="thanks"))
    with pytest.raises(Refused, match="there is no cover page “thanks”; there are form, letter, plain"):
        await house.do(rules.create, wrong, by=BY)
    with pytest.raises(Refused, match="there is no cover page “thanks”"):
        await house.do(rules.seed, [wrong], now=house.now)
    for reply in ("none", "plain", ""):
        await house.do(rules.create, rule(f"r{reply}", actions=Actions(reply=reply)), by=BY)
    kept = templates.Kind.COVER
    await house.do(templates.keep, "acme", kept, "thanks", format="html", content=b"x", who="test", now=house.now)
    await house.do(rules.seed, [wrong], now=house.now)
    await house.do(templates.remove, "acme", kept, "thanks", who="test", now=house.now)
    await house.do(rules.seed, [wrong], now=house.now)  # a gateway starts though somebody removed it
