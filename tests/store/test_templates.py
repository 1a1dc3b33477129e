"""Templates: whose they are, which one a name means, what is refused."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from faxgw.fax.errors import Refused
from faxgw.store import accounts, templates
from faxgw.store import schema as t
from faxgw.store.templates import EVERYBODY, Kind
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def keep(house: House, customer: str, name: str, content: bytes, kind: Kind = Kind.COVER) -> None:
    await house.do(templates.keep, customer, kind, name, format="html", content=content, who="operator", now=house.now)


async def test_a_customers_own_template_outranks_everybodys(house: House) -> None:
    await keep(house, EVERYBODY, "letter", b"all")
    await keep(house, "acme", "letter", b"own")
    mine = await house.ask(templates.find, "acme", Kind.COVER, "letter")
    theirs = await house.ask(templates.find, "beta", Kind.COVER, "letter")
    assert mine is not None and theirs is not None
    assert (mine.content, theirs.content) == (b"own", b"all")
    assert await house.ask(templates.find, "acme", Kind.OVERLAY, "letter") is None
    assert await house.ask(templates.find, "acme", Kind.COVER, "nothing") is None


async def test_a_template_of_another_customer_does_not_exist(house: House) -> None:
    await keep(house, "acme", "secret", b"own")
    assert await house.ask(templates.find, "beta", Kind.COVER, "secret") is None
    assert not await house.ask(templates.every, "beta", Kind.COVER)
    assert not await house.do(templates.remove, "beta", Kind.COVER, "secret", who="carol", now=house.now)
    assert await house.ask(templates.find, "acme", Kind.COVER, "secret") is not None


async def test_keeping_a_template_again_replaces_it_and_is_in_the_journal(house: House) -> None:
    await keep(house, "acme", "letter", b"first")
    await keep(house, "acme", "letter", b"second")
    found = await house.ask(templates.find, "acme", Kind.COVER, "letter")
    assert found is not None
    assert (found.content, found.size, found.changed_by) == (b"second", 6, "operator")
    assert await house.do(templates.remove, "acme", Kind.COVER, "letter", who="operator", now=house.now)
    assert await house.ask(templates.find, "acme", Kind.COVER, "letter") is None
    audit = await house.ask(accounts.audit, "acme")
    assert [(event.what, event.data["key"]) for event in audit] == [
        ("account.template.removed", "letter"),
        ("account.template.kept", "letter"),
        ("account.template.kept", "letter"),
    ]
    await keep(house, EVERYBODY, "letter", b"all")
    rows = await house.rows(select(t.events.c.what).where(t.events.c.entity == "templates"))
    assert [row.what for row in rows] == ["account.template.kept"]


async def test_a_list_has_each_name_once_and_no_content(house: House) -> None:
    for customer, name in ((EVERYBODY, "b"), (EVERYBODY, "a"), ("acme", "a"), ("beta", "c")):
        await keep(house, customer, name, b"text")
    listed = await house.ask(templates.every, "acme", Kind.COVER)
    assert [(one.customer, one.name, one.content, one.size) for one in listed] == [
        ("acme", "a", b"", 4),
        (EVERYBODY, "b", b"", 4),
    ]


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\nb", "x" * 201])
async def test_a_name_that_cannot_be_one_is_refused(house: House, name: str) -> None:
    with pytest.raises(Refused, match="bad name"):
        await keep(house, "acme", name, b"text")


@pytest.mark.parametrize("size", [0, templates.MAX_CONTENT + 1])
async def test_an_empty_or_too_large_template_is_refused(house: House, size: int) -> None:
    with pytest.raises(Refused, match="bad size"):
        await keep(house, "acme", "letter", b"x" * size)


async def test_there_is_an_end_to_templates_but_those_there_may_be_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "MAX_TEMPLATES", 1)
    await keep(house, "acme", "one", b"text")
    with pytest.raises(Refused, match="too many"):
        await keep(house, "acme", "two", b"text")
    await keep(house, "acme", "one", b"other")
    await keep(house, "beta", "two", b"text")
    await keep(house, "acme", "two", b"text", Kind.OVERLAY)
