"""The audit's chain: every way to tamper with it is found, and named (features H5)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from faxgw.store import audit, journal
from faxgw.store import schema as t
from faxgw.store.audit import Anchor, Broken, Verifier
from tests.house import NOON, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECORDS = 12


async def fill(house: House, count: int = RECORDS) -> None:
    for number in range(1, count + 1):
        await house.do(
            audit.write,
            "document.read",
            f"rcv_{number:032x}",
            who="alice@example.org",
            way="api",
            now=NOON + number,
            customer="acme",
            data={"page": number, "name": "Ünïcode"},
        )


async def verify(house: House, *anchors: Anchor) -> Broken | int:
    """What is broken, else how many records were checked."""
    verifier = Verifier(anchors)
    while (found := await house.ask(verifier.look)) is True:
        pass
    return found if isinstance(found, Broken) else verifier.checked


async def test_a_chain_that_nobody_touched_holds(house: House) -> None:
    assert await verify(house) == 0
    await fill(house)
    assert await verify(house, await house.ask(audit.anchor)) == RECORDS


async def test_a_chain_longer_than_a_page_is_checked_to_its_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 4)
    await fill(house)
    assert await verify(house) == RECORDS
    await house.change(delete(t.audit).where(t.audit.c.serial == 11))
    assert await verify(house) == Broken(11, "is missing")


@pytest.mark.parametrize(
    "column, value",
    [
        ("at", NOON - 1),
        ("who", "bob@example.org"),
        ("way", "cli"),
        ("what", "document.preview"),
        ("entity", "rcv_other"),
        ("customer", "beta"),
        ("data", "{}"),
        ("hash", "f" * 64),
    ],
)
async def test_every_changed_column_is_named_by_its_record(house: House, column: str, value: Any) -> None:
    await fill(house)
    await house.change(update(t.audit).where(t.audit.c.serial == 5).values({column: value}))
    broken = await verify(house)
    assert isinstance(broken, Broken) and broken.serial == 5


@pytest.mark.parametrize("serial", [1, 5, RECORDS])
async def test_a_deleted_record_is_named(house: House, serial: int) -> None:
    await fill(house)
    await house.change(delete(t.audit).where(t.audit.c.serial == serial))
    broken = await verify(house)
    assert isinstance(broken, Broken) and broken.serial == serial


async def test_a_deleted_record_with_the_later_ones_moved_up_is_found(house: House) -> None:
    await fill(house)
    await house.change(delete(t.audit).where(t.audit.c.serial == 5))
    for serial in range(6, RECORDS + 1):
        await house.change(update(t.audit).where(t.audit.c.serial == serial).values(serial=serial - 1))
    broken = await verify(house)
    assert isinstance(broken, Broken) and broken.serial == 5


async def test_two_records_that_changed_places_are_found(house: House) -> None:
    await fill(house)
    for old, new in ((5, 99), (6, 5), (99, 6)):
        await house.change(update(t.audit).where(t.audit.c.serial == old).values(serial=new))
    broken = await verify(house)
    assert isinstance(broken, Broken) and broken.serial == 5


async def test_a_record_put_in_at_the_end_is_found(house: House) -> None:
    await fill(house)
    row = (await house.rows(select(t.audit).where(t.audit.c.serial == RECORDS)))[0]
    await house.change(insert(t.audit).values(**{**row._mapping, "serial": RECORDS + 1}))
    broken = await verify(house)
    assert isinstance(broken, Broken) and broken.serial == RECORDS + 1


async def test_a_cut_tail_is_found_by_the_end_of_the_chain(house: House) -> None:
    await fill(house)
    await house.change(delete(t.audit).where(t.audit.c.serial > 9))
    broken = await verify(house)
    assert isinstance(broken, Broken) and broken.serial == 10


async def test_a_cut_tail_with_its_end_moved_is_found_by_an_anchor_alone(house: House) -> None:
    """What the chain cannot show: the anchor that was printed elsewhere shows it."""
    await fill(house)
    kept = await house.ask(audit.anchor)
    await house.change(delete(t.audit).where(t.audit.c.serial > 9))
    last = (await house.rows(select(t.audit.c.hash).where(t.audit.c.serial == 9)))[0].hash
    await house.change(update(t.audit_ends).where(t.audit_ends.c.name == "head").values(serial=9, hash=last))
    assert await verify(house) == 9
    broken = await verify(house, kept)
    assert isinstance(broken, Broken) and broken.serial == 10


async def test_a_tail_that_was_written_anew_is_found_by_an_anchor(house: House) -> None:
    await fill(house)
    kept = await house.ask(audit.anchor)
    await house.change(delete(t.audit).where(t.audit.c.serial > 9))
    last = (await house.rows(select(t.audit.c.hash).where(t.audit.c.serial == 9)))[0].hash
    await house.change(update(t.audit_ends).where(t.audit_ends.c.name == "head").values(serial=9, hash=last))
    await fill(house, 5)
    assert await verify(house) == 14
    assert await verify(house, kept) == Broken(RECORDS, "is not the one that was anchored")


async def test_records_of_a_unit_that_failed_do_not_exist(house: House) -> None:
    await fill(house, 2)

    def failing(conn: Any) -> None:
        audit.write(conn, "document.read", "rcv_1", who="x", way="api", now=NOON)
        raise ValueError

    with pytest.raises(ValueError):
        await house.do(failing)
    await fill(house, 1)
    assert await verify(house) == 3


async def test_what_somebody_did_is_a_record_and_what_the_gateway_did_is_none(house: House) -> None:
    """Changes are records in the transaction of the journal's entry."""
    await house.do(journal.note, "FNAAAAAAAAAAAAAAAAAAAA", "fax.sent", now=NOON)
    await house.do(journal.note, "FAAAAAAAAAAAAAAAAAAAAA", "job.accepted", now=NOON, who="alice@example.org")
    assert await house.ask(audit.listed) == []
    data = {"customer": "acme", "key": "bert"}
    await house.do(journal.note, "acme", "account.user.changed", now=NOON, who="operator", data=data)
    await house.do(journal.note, "+33199000001", "number.trusted", now=NOON, who="operator", job="FJOB")
    changed, trusted = await house.ask(audit.listed)
    assert (changed.what, changed.who, changed.customer, changed.facts()) == (
        "account.user.changed", "operator", "acme", data,
    )  # fmt: skip
    assert trusted.entity == "FJOB" and "+33199000001" not in str(trusted)
    assert await verify(house) == 2


async def test_records_are_found_by_fax_person_customer_and_time(house: House) -> None:
    await fill(house, 4)
    await house.do(audit.write, "document.read", "rcv_x", who="carol", way="cli", now=NOON + 100, customer="beta")
    ask = house.ask
    assert [r.serial for r in await ask(audit.listed, who="carol")] == [5]
    assert [r.serial for r in await ask(audit.listed, customer="acme", newest=True, limit=2)] == [3, 4]
    assert [r.serial for r in await ask(audit.listed, entity=f"rcv_{2:032x}")] == [2]
    assert [r.serial for r in await ask(audit.listed, since=NOON + 2, until=NOON + 4)] == [2, 3]
    assert [r.serial for r in await ask(audit.listed, after=3)] == [4, 5]


async def test_old_records_are_dropped_by_a_record_and_the_rest_still_holds(house: House) -> None:
    await fill(house)
    kept = await house.ask(audit.anchor)
    assert await house.do(audit.drop_old, before=NOON + 6, now=NOON + 50) == 5
    assert await house.do(audit.drop_old, before=NOON + 6, now=NOON + 50) == 0
    assert await verify(house, Anchor(3, "0" * 64), kept) == RECORDS - 5 + 1
    (last,) = await house.ask(audit.listed, after=RECORDS)
    assert (last.what, last.facts()["last"]) == (audit.SHORTENED, 5)
    await house.change(delete(t.audit).where(t.audit.c.serial == 6))
    assert await verify(house) == Broken(6, "is missing")


async def test_facts_too_long_are_kept_as_their_hash(house: House) -> None:
    await house.do(audit.write, "x", "y", who="z", way="api", now=NOON, data={"list": "n" * 5_000})
    (record,) = await house.ask(audit.listed)
    assert set(record.facts()) == {"sha256"} and await verify(house) == 1
