"""Templates that settings name: an unknown name is refused where it is set, at every level, in clear words."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.fax import cover
from faxgw.store import accounts, named_templates, seed, templates
from faxgw.store import schema as t
from faxgw.store.accounts import NUMBER, PROFILE, USER, Author, Kind
from faxgw.store.named_templates import UnknownName
from faxgw.store.seed import CustomerSection
from tests.house import NOON, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", NOON)
NAMES = {"cover": "house", "fax_reply": "house", "overlay": "letterhead", "mail_template": "brand"}


async def put(house: House, customer: str, kind: str, name: str) -> None:
    await house.do(
        templates.keep, customer, templates.Kind(kind), name, format="html", content=b"x", who="test", now=NOON
    )


async def put_all(house: House, customer: str = "acme") -> None:
    for kind, name in (("cover", "house"), ("overlay", "letterhead"), ("mail", "brand")):
        await put(house, customer, kind, name)


@pytest.mark.parametrize(("key", "name"), NAMES.items())
async def test_an_unknown_name_is_refused_and_those_that_there_are_are_told(house: House, key: str, name: str) -> None:
    told = "; ".join(await house.ask(named_templates.faults, "acme", {key: name}))
    assert told.startswith(f"{key}: there is no {named_templates.KINDS[key][1]} “{name}”; there ")
    await put_all(house, "beta")
    assert await house.ask(named_templates.faults, "acme", {key: name}), "another customer's is none"
    assert name not in told.partition(";")[2]
    await put_all(house)
    assert await house.ask(named_templates.faults, "acme", {key: name}) == []
    assert await house.ask(named_templates.faults, "", {key: name}), "the system means what everybody has"
    await put_all(house, "")
    assert await house.ask(named_templates.faults, "", {key: name}) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"cover": ""}, {"cover": "none"}, {"cover": " None "}, {"fax_reply": "none"}, {"fax_reply": "plain"},
        {"overlay": ""}, {"overlay": "none"},
        {"mail_template": ""}, {"mail_template": "default"}, {"language": "fr"}, {},
        *({"cover": name} for name in (*cover.SHIPPED, *cover.ALIASES, "Letter.ftl.html")),
    ],
)  # fmt: skip
async def test_none_and_what_is_shipped_are_known(house: House, settings: dict[str, Any]) -> None:
    assert await house.ask(named_templates.faults, "acme", settings) == []


async def test_customers_profiles_users_and_numbers_are_looked_at_when_they_are_made_and_changed(house: House) -> None:
    with pytest.raises(UnknownName, match="cover: there is no cover page “house”; there are form, letter, plain"):
        await house.do(accounts.create_customer, "gamma", name="Gamma", settings={"cover": "house"}, by=BY)
    await house.do(accounts.create_customer, "gamma", name="Gamma", settings={"cover": "form"}, by=BY)
    with pytest.raises(UnknownName, match="overlay: there is no overlay “letterhead”; there is none yet"):
        await house.do(accounts.change_customer, "gamma", name=None, settings={"overlay": "letterhead"}, by=BY)
    things: list[tuple[Kind, str, dict[str, Any]]] = [
        (PROFILE, "office", {}),
        (USER, "bob", {}),
        (NUMBER, "+33199000077", {}),
    ]
    for kind, key, values in things:
        with pytest.raises(UnknownName, match="mail template “brand”; there are default"):
            await house.do(
                accounts.create, "gamma", kind, key, {**values, "settings": {"mail_template": "brand"}}, by=BY
            )
        await house.do(accounts.create, "gamma", kind, key, {**values, "settings": {}}, by=BY)
        with pytest.raises(UnknownName, match="mail template “brand”"):
            await house.do(accounts.change, "gamma", kind, key, {"settings": {"mail_template": "brand"}}, by=BY)
    await put_all(house, "gamma")
    await house.do(accounts.change_customer, "gamma", name=None, settings=NAMES, by=BY)
    for kind, key, _values in things:
        await house.do(accounts.change, "gamma", kind, key, {"settings": NAMES}, by=BY)


async def test_what_was_set_before_does_not_stand_in_the_way_of_other_changes(house: House) -> None:
    await house.do(accounts.create_customer, "gamma", name="Gamma", settings={}, by=BY)
    old = {"cover": "gone", "language": "fr"}
    await house.change(update(t.customers).where(t.customers.c.id == "gamma").values(settings=old))
    await house.do(accounts.change_customer, "gamma", name=None, settings={"language": "de"}, by=BY)
    with pytest.raises(UnknownName):
        await house.do(accounts.change_customer, "gamma", name=None, settings={"cover": "gone2"}, by=BY)


async def test_the_settings_file_is_refused_with_every_unknown_name_and_nothing_of_it_is_laid(house: House) -> None:
    file = {
        "id": "delta",
        "settings": {"cover": "house"},
        "profile": {"office": {"overlay": "letterhead"}},
        "user": [{"name": "dora", "settings": {"mail_template": "brand"}}],
        "number": [{"e164": "+33199000078", "settings": {"mail_template": "brand2"}}],
    }
    seeds, _clear = seed.to_seed([CustomerSection.model_validate(file)])
    with pytest.raises(UnknownName) as refused:
        await house.do(seed.lay, seeds, {}, {"cover": "system"})
    for words in (
        "settings: cover: there is no cover page “system”",
        "customer delta: cover: there is no cover page “house”",
        "profile delta/office: overlay: there is no overlay “letterhead”",
        "user delta/dora: mail_template: there is no mail template “brand”",
        "number +33199000078: mail_template: there is no mail template “brand2”",
    ):
        assert words in refused.value.public
    assert await house.rows(select(t.customers.c.id).where(t.customers.c.id == "delta")) == []


async def test_a_template_that_was_removed_keeps_no_gateway_from_starting(house: House) -> None:
    """Its jobs are refused, with the reason; everybody else's go on."""
    await put(house, "delta", "cover", "house")
    seeds, _clear = seed.to_seed([CustomerSection.model_validate({"id": "delta", "settings": {"cover": "house"}})])
    await house.do(seed.lay, seeds, {})
    await house.do(templates.remove, "delta", templates.Kind.COVER, "house", who="test", now=NOON)
    await house.do(seed.lay, seeds, {})
    (row,) = await house.rows(select(t.customers.c.settings).where(t.customers.c.id == "delta"))
    assert row.settings == {"cover": "house"}
