"""The outbox: `due → leased → done | dead` (docs/spine.md section 1)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from faxgw.store import outbox
from faxgw.store import schema as t
from tests.house import ALICE, House

HOOK = "https://app.example/"

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def put(house: House, item: str = "out_1", payload: str = "a") -> None:
    await house.do(outbox.put, item, "status_mail", ALICE, customer="acme", payload={"text": payload}, now=house.now)


async def lease(house: House, limit: int = 10) -> Any:
    return [parcel for parcel, _job in await house.do(outbox.lease, fence=house.fence, now=house.now, limit=limit)]


async def state(house: House) -> list[str]:
    return [row.state for row in await house.rows(select(t.outbox.c.state).order_by(t.outbox.c.id))]


async def test_the_same_id_twice_is_one_item(house: House) -> None:
    await put(house, payload="first")
    await put(house, payload="second")
    (parcel,) = await lease(house)
    assert (parcel.item, parcel.kind, parcel.target, dict(parcel.payload), parcel.tries) == (
        "out_1", "status_mail", ALICE, {"text": "first"}, 1,
    )  # fmt: skip
    assert await house.events("out_1") == ["outbox.due"]


async def test_a_leased_item_comes_back_after_its_lease_or_with_the_next_life(house: House) -> None:
    await put(house)
    assert len(await lease(house)) == 1
    assert await lease(house) == []
    house.clock.now += outbox.LEASE + 1
    assert [p.tries for p in await lease(house)] == [2]
    await house.next_life()
    assert [p.tries for p in await lease(house)] == [3]


async def test_done_and_failed_count_only_under_the_lease(house: House) -> None:
    await put(house)
    await lease(house)
    old = house.fence
    await house.next_life()
    await lease(house)
    await house.do(outbox.done, "out_1", fence=old, now=house.now)
    assert not await house.do(outbox.failed, "out_1", fence=old, now=house.now, permanent=True, detail="x")
    assert await state(house) == ["leased"]
    await house.do(outbox.done, "out_1", fence=house.fence, now=house.now, detail="250")
    assert await state(house) == ["done"]
    assert (await house.events("out_1"))[-1] == "outbox.done"


async def test_pauses_grow_and_the_last_repeats(house: House) -> None:
    await put(house)
    waits = []
    for _ in range(len(outbox.PAUSES) + 2):
        assert len(await lease(house)) == 1
        assert not await house.do(
            outbox.failed, "out_1", fence=house.fence, now=house.now, permanent=False, detail="down"
        )
        due = await house.ask(outbox.next_due)
        assert due is not None
        waits.append(due - house.now)
        house.clock.now = due
    assert waits == [*outbox.PAUSES, outbox.PAUSES[-1], outbox.PAUSES[-1]]


@pytest.mark.parametrize("permanent, age", [(True, 0.0), (False, outbox.LIFETIME + 1)])
async def test_an_item_dies_for_good_or_of_age(house: House, permanent: bool, age: float) -> None:
    await put(house)
    house.clock.now += age
    await lease(house)
    assert await house.do(outbox.failed, "out_1", fence=house.fence, now=house.now, permanent=permanent, detail="550")
    assert await state(house) == ["dead"]
    assert (await house.ask(outbox.next_due), await house.ask(outbox.oldest_open)) == (None, None)
    assert await lease(house) == []


async def test_the_oldest_goes_first_and_is_known(house: House) -> None:
    first = house.now
    await put(house, "out_b")
    house.clock.now += 1
    await put(house, "out_a")
    assert [p.item for p in await lease(house, 1)] == ["out_b"]
    assert await house.ask(outbox.oldest_open) == first


async def due(house: House, item: str, kind: str, target: str, customer: str = "acme") -> None:
    await house.do(outbox.put, item, kind, target, customer=customer, payload={}, now=house.now)
    house.clock.now += 0.001


async def share(house: House, busy: Any = (), limit: int = 16) -> tuple[list[str], bool]:
    found = await house.do(outbox.share, fence=house.fence, now=house.now, limit=limit, busy=busy)
    return [parcel.item for parcel, _job, _work in found.items], found.withheld


async def test_a_receiver_that_is_slow_takes_no_place_from_others(house: House) -> None:
    """A webhook that answers nobody has a thousand events; a mail that falls due after them leaves at once."""
    for count in range(100):
        await due(house, f"out_{count:03}", "webhook", "https://slow.example/")
    await due(house, "out_other", "webhook", "https://good.example/", "beta")
    await due(house, "out_mail", "received_mail", ALICE)
    assert await share(house) == (["out_000", "out_001", "out_other", "out_mail"], True)


async def test_a_customer_with_many_slow_receivers_leaves_places_to_the_others(house: House) -> None:
    for count in range(20):
        await due(house, f"out_{count:03}", "received_sftp", f"host{count}.example")
    await due(house, "out_beta", "received_sftp", "host.beta.example", "beta")
    found, withheld = await share(house)
    assert (len(found), found[-1], withheld) == (outbox.PER_CUSTOMER + 1, "out_beta", True)


async def test_what_is_in_work_takes_its_place(house: House) -> None:
    busy = [outbox.InWork("webhook", f"https://{count}.example/", f"c{count}") for count in range(outbox.PER_KIND)]
    await due(house, "out_1", "webhook", "https://good.example/")
    assert await share(house, busy) == ([], True)
    assert await share(house, busy[1:]) == (["out_1"], False)
    mails = [outbox.InWork("status_mail", ALICE, "acme")] * outbox.PER_KIND
    await due(house, "out_2", "status_mail", ALICE)
    assert await share(house, mails) == ([], True)


async def test_many_of_one_mailbox_leave_together_and_in_their_order(house: House) -> None:
    for count in range(10):
        await due(house, f"out_{count}", "status_mail", ALICE)
    assert await share(house) == ([f"out_{count}" for count in range(outbox.PER_KIND)], True)
    assert await share(house, limit=1) == (["out_8"], False)


async def test_the_next_item_due_after_those_that_wait_for_a_place(house: House) -> None:
    await due(house, "out_1", "webhook", "https://slow.example/")
    at = house.now
    house.clock.now += 60
    await due(house, "out_2", "webhook", "https://slow.example/")
    assert (await house.do(outbox.next_due) or at) < at
    assert await house.do(outbox.next_due, at) == at + 60


async def told(house: House, serial: int, fax: str = "FN1", hook: str = "whk_1", target: str = HOOK) -> str:
    """An event for a webhook, whose id says nothing of its place."""
    item = f"out_{97 * serial % 101:03}_{fax}_{hook}"
    payload = {"webhook": hook, "event": {"serial": serial, "type": "fax.ready", "fax": fax, "job": "F1"}}
    await house.do(
        outbox.put, item, "webhook", target, customer="acme", payload=payload, now=house.now,
        due_at=house.now - (100 - serial) * 1e-6,
    )  # fmt: skip
    return item


async def after(house: House, item: str, *, good: bool) -> None:
    """The end of a try, and the time after which it comes again."""
    if good:
        await house.do(outbox.done, item, fence=house.fence, now=house.now)
    else:
        await house.do(outbox.failed, item, fence=house.fence, now=house.now, permanent=False, detail="500")
        house.clock.now += outbox.HELD_S + 1


async def test_events_of_a_fax_reach_an_address_in_their_order(house: House) -> None:
    """One after the other; those of other faxes, and other webhooks, do not wait for them."""
    one, two, three = [await told(house, serial) for serial in (1, 2, 3)]
    other = await told(house, 4, fax="FN2", target="https://elsewhere.example/")
    hook = await told(house, 5, hook="whk_2")
    assert await share(house) == ([one, other, hook], True)
    assert await share(house) == ([], True), "the lease alone tells that it is on its way"
    await after(house, one, good=True)
    assert await share(house) == ([two], True)
    await after(house, two, good=True)
    assert await share(house) == ([three], False)


async def test_an_event_that_is_tried_again_is_waited_for_but_not_for_ever(house: House) -> None:
    first, second, another = await told(house, 1), await told(house, 2), await told(house, 3, fax="FN2")
    assert await share(house) == ([first, another], True)
    for _try in range(outbox.HELD_TRIES):
        await after(house, first, good=False)
        assert await share(house) == ([first], True)
    await after(house, first, good=False)
    assert await share(house) == ([second, first], False), "the address may like the second"


async def test_an_event_that_dies_is_waited_for_no_more(house: House) -> None:
    first, second = await told(house, 1), await told(house, 2)
    assert (await share(house))[0] == [first]
    await house.do(outbox.failed, first, fence=house.fence, now=house.now, permanent=True, detail="410")
    assert await share(house) == ([second], False)


async def test_an_old_event_that_is_sent_again_waits_for_nothing(house: House) -> None:
    first, second = await told(house, 1), await told(house, 2)
    for item in (first, second):
        assert (await share(house))[0] == [item]
        await after(house, item, good=True)
    await told(house, 3)
    await share(house)
    await house.do(outbox.again, first, now=house.now, who="test")
    assert (await share(house))[0] == [first]


async def test_many_events_of_one_fax_keep_no_other_way_waiting(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LOOK", 5)
    for serial in range(1, 9):
        await told(house, serial)
    for serial, target in enumerate(("https://a.example/", "https://b.example/"), 9):
        await told(house, serial, fax=f"FN{serial}", target=target)
    await due(house, "out_mail", "status_mail", ALICE)
    expected = ["out_097_FN1_whk_1", "out_065_FN9_whk_1", "out_061_FN10_whk_1", "out_mail"]
    assert await share(house) == (expected, True)
    monkeypatch.setattr(outbox, "MAX_HELD", 3)
    await due(house, "out_letter", "status_mail", ALICE)
    assert await share(house) == (["out_letter"], True)


async def test_the_oldest_open_delivery_is_one_of_ours(house: House) -> None:
    """What a customer's program does not fetch or answers to nobody is no alarm."""
    for kind in ("webhook", "push", "received_pull"):
        await due(house, f"out_{kind}", kind, "there")
    assert await house.ask(outbox.oldest_open) is None
    at = house.now
    await due(house, "out_mail", "status_mail", ALICE)
    assert await house.ask(outbox.oldest_open) == at
