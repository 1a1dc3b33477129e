"""Junk and copies on a real store: judged, set aside, never dropped, released, learned (features G8)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from faxgw.fax import likeness
from faxgw.fax.errors import Refused
from faxgw.fax.junk import Signal
from faxgw.fax.ports import Ringing
from faxgw.fax.reception import PageEnd
from faxgw.formats.report_payload import received_from_payload
from faxgw.store import directory, junk, outbox, receptions, routing
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.junk import Print, State, Verdict
from tests.house import NODE, House
from tests.store.test_receptions import items, keep

pytestmark = pytest.mark.asyncio(loop_scope="session")

OURS, OTHER = "+33199000099", "+33199000098"
SENDER = "+4989555123"
DAY = 86_400.0


async def numbers(house: House, **settings: Any) -> None:
    own = {"deliver_to": ["alice@example.org"], **settings}
    seeds = tuple(NumberSeed(number, settings=own) for number in (OURS, OTHER))
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=seeds)])


async def came(house: House, caller: str = SENDER, number: str = OURS, pages: int = 1) -> str:
    """A fax whose pages are whole."""
    house.clock.now += 60
    reception = f"rcv_{next(house.serial):032x}"
    await house.do(
        receptions.admit,
        reception,
        Ringing("t1", reception, number, caller, "", {}),
        forms=(number,),
        system={},
        node=NODE,
        fence=house.fence,
        now=house.now,
    )
    await house.do(receptions.answered, reception, fence=house.fence, now=house.now)
    for page in range(1, pages + 1):
        await keep(house, reception, page, PageEnd.EOP if page == pages else PageEnd.MPS)
    return reception


def drawn(seed: int) -> Print:
    """A page of its own, of lines of words."""
    rng = random.Random(seed)
    rows = []
    for _line in range(46):
        line = [0] * likeness.WIDTH
        at = 6
        while at < 96 and rng.random() < 0.97:
            length = rng.randint(2, 9)
            line[at : at + length] = [rng.randint(15, 40)] * length
            at += length + rng.randint(1, 3)
        rows += [bytes(line[: likeness.WIDTH]), bytes(likeness.WIDTH), bytes(likeness.WIDTH)]
    return Print(1, 0.05, likeness.packed(b"".join(rows)))


async def judged(house: House, reception: str, *prints: Print) -> Any:
    looks = await house.ask(junk.look, reception, prints, now=house.now)
    return await house.do(junk.judge, reception, now=house.now, prints=prints, looks=looks)


async def routed(house: House, reception: str, *prints: Print) -> str:
    """Judged and routed; the state of its junk row."""
    await judged(house, reception, *prints)
    leased = await house.do(routing.lease, fence=house.fence, now=house.now, limit=50)
    assert reception in [one.id for one in leased]
    assert await house.do(
        routing.route, reception, document=None, enclosed=(), thumbnail=b"", problem="tiff",
        fence=house.fence, now=house.now,
    )  # fmt: skip
    return str((await row(house, reception)).state)


async def row(house: House, reception: str) -> Any:
    return (await house.rows(select(t.junk).where(t.junk.c.reception == reception)))[0]


async def due(house: House) -> list[str]:
    found = await house.do(outbox.lease, fence=house.fence, now=house.now, limit=50)
    return [received_from_payload(parcel.payload).reception for parcel, _job in found]


async def test_a_fax_below_its_numbers_score_goes_at_once_with_its_reasons_written_down(house: House) -> None:
    await numbers(house, junk_score=90)
    reception = await came(house, caller="")
    assert await routed(house, reception) == State.CLEAR
    found = await row(house, reception)
    assert found.score > 0 and Signal.WITHHELD in [Signal(one[0]) for one in found.reasons]
    assert await due(house) == [reception]


async def test_without_a_score_nothing_is_set_aside(house: House) -> None:
    await numbers(house)
    reception = await came(house, caller="")
    await house.do(junk.judge, reception, now=house.now)
    await house.change(update(t.junk).values(score=100))
    leased = await routed(house, reception)
    assert leased == State.CLEAR and await due(house) == [reception]


async def test_what_is_set_aside_is_written_seen_and_delivered_when_its_owner_says_so(house: House) -> None:
    """Never a silent drop: the deliveries are rows from the first moment."""
    await numbers(house, junk_score=20)
    reception = await came(house, caller="")
    assert await routed(house, reception) == State.ASIDE
    assert len(await items(house, reception)) == 1 and await due(house) == []
    house.clock.now += 400 * DAY
    assert await due(house) == [] and await house.do(junk.release_due, now=house.now) == []
    listed = await house.ask(junk.listed, customer="acme", everything=False, limit=10)
    assert [one["reception"] for one in listed] == [reception]
    assert await house.ask(junk.listed, customer="beta", everything=False, limit=10) == []
    state = await house.do(
        junk.settle, reception=reception, verdict=Verdict.GOOD, customer="acme", who="login:alice", now=house.now
    )
    assert state == State.RELEASED and await due(house) == [reception]


async def test_its_hours_release_it_by_themselves(house: House) -> None:
    await numbers(house, junk_score=20, junk_hours=48)
    reception = await came(house, caller="")
    assert await routed(house, reception) == State.ASIDE
    house.clock.now += 48 * 3600 - 1
    assert await house.do(junk.release_due, now=house.now) == []
    house.clock.now += 1
    assert await house.do(junk.release_due, now=house.now) == [reception]
    assert await due(house) == [reception]


async def test_junk_is_kept_undelivered_and_can_be_had_back(house: House) -> None:
    await numbers(house, junk_score=20)
    reception = await came(house, caller="")
    await routed(house, reception)
    call: dict[str, Any] = {"reception": reception, "customer": "", "who": "operator", "now": house.now}
    assert await house.do(junk.settle, verdict=Verdict.JUNK, **call) == State.JUNK
    assert (await house.ask(receptions.row_of, reception)).state == "retained"
    assert [item.state for item in await items(house, reception)] == ["dead"] and await due(house) == []
    assert await house.do(junk.settle, verdict=Verdict.GOOD, **call) == State.RELEASED
    assert await due(house) == [reception]


async def test_a_verdict_is_learned_for_the_sender_at_this_number_alone(house: House) -> None:
    await numbers(house, junk_score=60)
    first = await came(house)
    assert await routed(house, first) == State.CLEAR
    call: dict[str, Any] = {"reception": first, "customer": "", "who": "operator", "now": house.now}
    assert await house.do(junk.settle, verdict=Verdict.JUNK, **call) == State.CLEAR  # it was delivered: it stays so
    assert await routed(house, await came(house)) == State.ASIDE
    assert await routed(house, await came(house, caller="+4989555999")) == State.CLEAR
    assert await routed(house, await came(house, number=OTHER)) == State.CLEAR
    await house.do(junk.settle, verdict=Verdict.GOOD, **call)
    assert await routed(house, await came(house)) == State.CLEAR


async def test_a_customer_cannot_judge_anothers_fax(house: House) -> None:
    await numbers(house, junk_score=20)
    reception = await came(house, caller="")
    await routed(house, reception)
    with pytest.raises(Refused, match="no reception"):
        await house.do(junk.settle, reception=reception, verdict=Verdict.GOOD, customer="beta", who="x", now=house.now)
    assert await due(house) == []


async def test_a_correspondent_is_known_by_what_was_sent_to_it_and_came_from_it(house: House) -> None:
    await numbers(house)
    stranger = await judged(house, await came(house))
    for _ in range(2):
        await routed(house, await came(house))
    known = await judged(house, await came(house))
    assert known.score < stranger.score
    assert Signal.CORRESPONDENT in [why.signal for why in known.reasons]


async def test_the_same_page_again_is_flagged_as_a_copy_and_still_delivered(house: House) -> None:
    await numbers(house)
    first = await came(house)
    await routed(house, first, drawn(1))
    copy = await came(house, caller="+4989555999")
    assert await routed(house, copy, drawn(1)) == State.CLEAR
    assert (await row(house, copy)).duplicate_of == first and copy in await due(house)
    other = await came(house)
    await routed(house, other, drawn(2))
    assert (await row(house, other)).duplicate_of == ""
    (item,) = await items(house, copy)
    assert received_from_payload(item.payload).again_of == first


async def test_a_copy_is_one_page_by_page_within_the_days_and_at_its_number(house: House) -> None:
    await numbers(house, duplicate_days=3)

    async def copied(*prints: Print, pages: int = 1, number: str = OURS) -> str:
        reception = await came(house, pages=pages, number=number)
        await routed(house, reception, *prints)
        return str((await row(house, reception)).duplicate_of)

    second, third = (Print(2, 0.05, drawn(seed).print) for seed in (12, 13))
    await copied(drawn(11), second, pages=2)
    assert await copied(drawn(11), third, pages=2) == ""
    assert await copied(drawn(11), pages=1) == ""
    assert await copied(drawn(11), second, pages=2, number=OTHER) == ""
    assert await copied(drawn(11), second, pages=2) != ""
    house.clock.now += 3 * DAY + 10
    assert await copied(drawn(11), second, pages=2) == ""


async def test_the_same_page_at_many_numbers_is_a_flood_and_like_junk_is_known(house: House) -> None:
    await numbers(house)
    first = await came(house, number=OTHER)
    await routed(house, first, drawn(3))
    flooded = await judged(house, await came(house), drawn(3))
    assert Signal.FLOOD in [why.signal for why in flooded.reasons]
    own = await came(house)
    await routed(house, own, drawn(4))
    call: dict[str, Any] = {"customer": "", "who": "operator", "now": house.now}
    await house.do(junk.settle, reception=own, verdict=Verdict.JUNK, **call)
    alike = await judged(house, await came(house, caller="+4989555777"), drawn(4))
    assert Signal.KNOWN_JUNK in [why.signal for why in alike.reasons]


async def test_blank_pages_are_no_copies_of_one_another(house: House) -> None:
    await numbers(house)
    blank = Print(1, 0.0, likeness.packed(bytes(likeness.WIDTH * 140)))
    await routed(house, await came(house), blank)
    second = await came(house)
    await routed(house, second, blank)
    assert (await row(house, second)).duplicate_of == ""


async def test_a_print_that_is_damaged_is_like_nothing(house: House) -> None:
    await numbers(house)
    await routed(house, await came(house), Print(1, 0.05, b"no print"))
    second = await came(house)
    await routed(house, second, drawn(5))
    assert (await row(house, second)).duplicate_of == ""


async def test_what_was_said_of_a_sender_counts_for_its_days_and_is_then_forgotten(house: House) -> None:
    """junk_memory_days: it stops counting at once, and its rows go with the next purge."""
    await numbers(house, junk_memory_days=30)
    first = await came(house)
    await routed(house, first, drawn(1))
    await house.do(junk.settle, reception=first, verdict=Verdict.JUNK, customer="acme", who="a", now=house.now)
    house.clock.now += 29 * DAY
    soon = await came(house)
    assert Signal.DENIED in [why.signal for why in (await judged(house, soon, drawn(1))).reasons]
    assert await house.do(junk.forget, {}, after="", now=house.now) == OURS
    assert len(await house.rows(select(t.junk_verdicts))) == 2
    house.clock.now += 2 * DAY
    late = await came(house)
    signals = [why.signal for why in (await judged(house, late, drawn(1))).reasons]
    assert Signal.DENIED not in signals and Signal.KNOWN_JUNK not in signals
    assert await house.do(junk.forget, {}, after="", now=house.now) == OURS
    assert await house.rows(select(t.junk_verdicts)) == []
    assert await house.do(junk.forget, {}, after=OURS, now=house.now) == ""


async def test_what_was_said_at_a_number_that_is_gone_is_forgotten_after_the_gateways_days(house: House) -> None:
    gone = {"number": "+33199000001", "kind": "caller", "value": SENDER, "verdict": "junk", "at": house.now, "by": ""}
    await house.change(insert(t.junk_verdicts).values(**gone))
    await house.do(junk.forget, {"junk_memory_days": 10}, after="", now=house.now + 9 * DAY)
    assert len(await house.rows(select(t.junk_verdicts))) == 1
    await house.do(junk.forget, {"junk_memory_days": 10}, after="", now=house.now + 11 * DAY)
    assert await house.rows(select(t.junk_verdicts)) == []
