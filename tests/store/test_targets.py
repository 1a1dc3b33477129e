"""faxgw.store.targets: targets made, changed, removed and seeded, secrets that are never shown; both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from faxgw.fax.errors import Refused
from faxgw.fax.routing_rule import Actions, Rule
from faxgw.fax.target import Format, Target, TargetKind, from_snapshot, mailbox
from faxgw.store import journal, rules, targets
from faxgw.store import schema as t
from faxgw.store.accounts import Author, Conflict, NotFound
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", 1000.0)
CRM = Target(
    "tgt_1",
    "acme",
    "crm",
    TargetKind.SFTP,
    "files.example.org",
    {"user": "fax", "host_key": "SHA256:" + "A" * 43},
    (Format.TIFF, Format.XML),
)


async def test_a_target_is_kept_and_its_secrets_are_not_shown(house: House) -> None:
    await house.do(targets.create, CRM, {"password": "hush"}, by=BY)
    found = await house.ask(targets.find, "acme", "crm")
    assert found == replace(CRM, secrets=("password",))
    assert found is not None
    assert "hush" not in repr(found)
    assert "hush" not in str(targets.shown(found))
    assert "hush" not in str(await house.ask(lambda conn: [e.data for e in journal.of_entity(conn, "acme")]))
    assert await house.ask(targets.in_use, found) == (found, {"password": "hush"})


async def test_a_name_is_taken_once_and_no_good_target_is_stored(house: House) -> None:
    await house.do(targets.create, CRM, {}, by=BY)
    with pytest.raises(Conflict):
        await house.do(targets.create, replace(CRM, id="tgt_2"), {}, by=BY)
    with pytest.raises(Refused, match="host"):
        await house.do(targets.create, replace(CRM, id="tgt_2", name="b", address="a b"), {}, by=BY)
    with pytest.raises(Refused, match="no secret of that name"):
        await house.do(targets.create, replace(CRM, id="tgt_2", name="b"), {"pin": "1"}, by=BY)
    with pytest.raises(NotFound):
        await house.do(targets.create, replace(CRM, id="tgt_2", customer="nobody"), {}, by=BY)


async def test_a_customers_own_target_outranks_the_gateways(house: House) -> None:
    await house.do(targets.create, replace(CRM, id="tgt_0", customer=""), {}, by=BY)
    found = await house.ask(targets.find, "acme", "crm")
    assert found is not None
    assert found.id == "tgt_0"
    await house.do(targets.create, CRM, {}, by=BY)
    found = await house.ask(targets.find, "acme", "crm")
    assert found is not None
    assert found.id == "tgt_1"
    assert [one.id for one in await house.ask(targets.every, "acme")] == ["tgt_1"]
    assert await house.ask(targets.find, "beta", "none") is None


async def test_what_is_under_way_goes_to_the_mended_address_in_the_form_it_was_decided(house: House) -> None:
    made = await house.do(targets.create, CRM, {"password": "old"}, by=BY)
    told = from_snapshot(made.snapshot())
    changes = {"address": "new.example.org", "formats": (Format.PDF,)}
    await house.do(targets.change, "acme", "crm", changes, {"password": "new"}, by=BY)
    now, secrets = await house.ask(targets.in_use, told)
    assert (now.address, now.formats, secrets) == ("new.example.org", (Format.TIFF, Format.XML), {"password": "new"})


async def test_a_removed_target_and_a_plain_mailbox_are_as_told_without_secrets(house: House) -> None:
    made = await house.do(targets.create, CRM, {"password": "old"}, by=BY)
    await house.do(targets.remove, "acme", "crm", by=BY)
    assert await house.ask(targets.in_use, made) == (made, {})
    mail = mailbox("a@example.org")
    assert await house.ask(targets.in_use, mail) == (mail, {})


async def test_secrets_that_are_not_given_stay_and_empty_ones_go(house: House) -> None:
    made = await house.do(targets.create, CRM, {"password": "a", "passphrase": "b"}, by=BY)
    await house.do(targets.change, "acme", "crm", {"active": False}, {}, by=BY)
    assert (await house.ask(targets.in_use, made))[1] == {"password": "a", "passphrase": "b"}
    changed = await house.do(targets.change, "acme", "crm", {}, {"passphrase": ""}, by=BY)
    assert (changed.secrets, changed.active) == (("password",), False)


async def test_a_target_that_a_rule_names_is_not_removed(house: House) -> None:
    await house.do(targets.create, CRM, {}, by=BY)
    await house.do(rules.create, Rule("rul_1", "all", "acme", actions=Actions(deliver=("crm",))), by=BY)
    with pytest.raises(Conflict, match="rule all"):
        await house.do(targets.remove, "acme", "crm", by=BY)


async def test_the_settings_file_decides_what_it_names(house: House) -> None:
    await house.do(targets.seed, [(CRM, {"password": "a"})], now=1.0)
    with pytest.raises(Conflict, match="settings file"):
        await house.do(targets.change, "acme", "crm", {"active": False}, {}, by=BY)
    assert await house.ask(targets.managed, "acme") == {"crm"}
    first = await house.ask(targets.find, "acme", "crm")
    await house.do(targets.seed, [(replace(CRM, address="b.example.org"), {})], now=2.0)
    second = await house.ask(targets.find, "acme", "crm")
    assert first is not None
    assert second is not None
    assert (second.id, second.address, second.secrets) == (first.id, "b.example.org", ())
    await house.do(targets.seed, [], now=3.0)
    await house.do(targets.change, "acme", "crm", {"active": False}, {}, by=BY)


async def test_every_change_is_in_the_audit(house: House) -> None:
    ann = Author("ann", 2.0, "why")
    await house.do(targets.create, CRM, {}, by=BY)
    await house.do(targets.change, "acme", "crm", {"active": False}, {"password": "hush"}, by=ann)
    await house.do(targets.remove, "acme", "crm", by=BY)
    found = await house.rows(select(t.events).where(t.events.c.what.like("account.target%")))
    assert [row.what.rpartition(".")[2] for row in found] == ["created", "changed", "removed"]
    assert found[1].who == "ann"
    assert found[1].data["reason"] == "why"
    assert found[1].data["secrets"] == ["password"]
