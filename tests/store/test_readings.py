"""Pages to be read on a real store: asked for with the page, leased, done, given up; and files made of a fax."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select

from faxgw.fax.ports import EnclosedFile, Ringing
from faxgw.fax.reading import PageReading, ReadingState, Wanted
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.store import directory, made, readings, receptions, sweep
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000099"
ALL = {"ocr": True, "ocr_languages": ["deu", "eng"], "barcodes": True}
serial = itertools.count(1)


async def received(house: House, pages: int, settings: dict[str, Any] | None = None) -> str:
    """A reception with pages, still open."""
    own = {"deliver_to": ["a@example.org"], **(ALL if settings is None else settings)}
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(NumberSeed(NUMBER, settings=own),))])
    reception = f"rcv_{next(serial):032x}"
    ringing = Ringing("t1", "c1", "0199000099", "+4989", "", {})
    given: dict[str, Any] = {"system": {}, "node": NODE, "fence": house.fence, "now": house.now}
    await house.do(receptions.admit, reception, ringing, forms=(NUMBER,), **given)
    await house.do(receptions.answered, reception, fence=house.fence, now=house.now)
    for number in range(1, pages + 1):
        file = await house.keep(b"II*\0 %d" % number)
        facts = ReceivedPage(number, 2200, 1728, 8031, 7700, 0, "MMR", PageEnd.MPS)
        await house.do(receptions.page, reception, facts, file, fence=house.fence, now=house.now)
        house.clock.now += 1
    return reception


async def leased(house: House, limit: int = 10) -> list[readings.Unread]:
    return list(await house.do(readings.lease, fence=house.fence, now=house.now, limit=limit))


async def done(house: House, item: readings.Unread, text: str = "") -> bool:
    found = PageReading(item.page, 1728, 2200, text=text)
    return bool(await house.do(readings.done, item.reception, found, fence=house.fence, now=house.now))


async def test_a_page_is_leased_once_while_its_call_runs(house: House) -> None:
    reception = await received(house, 2)
    first, second = await leased(house)
    assert [(item.reception, item.page, item.tries) for item in (first, second)] == [
        (reception, 1, 1),
        (reception, 2, 1),
    ]
    assert first.wanted == Wanted(("deu", "eng"), True)
    assert await leased(house) == []
    assert await done(house, first, "one\n") and not await done(house, first, "again\n")
    known = await house.ask(readings.of, reception)
    assert known.waiting == (2,) and known.text == "one\n"
    assert await house.ask(readings.waits, reception)
    assert await done(house, second)
    assert not await house.ask(readings.waits, reception)
    assert (await house.ask(receptions.row_of, reception)).state == "receiving"


async def test_first_pages_are_read_first(house: House) -> None:
    one, other = await received(house, 3), await received(house, 1)
    order = [(item.reception, item.page) for item in await leased(house)]
    assert order == [(one, 1), (other, 1), (one, 2), (one, 3)]


async def test_a_number_that_reads_nothing_has_no_rows(house: House) -> None:
    reception = await received(house, 1, {})
    assert await leased(house) == []
    assert (await house.ask(readings.of, reception)).pages == ()
    assert not await house.ask(readings.waits, reception)


async def test_a_page_is_read_again_later_and_then_given_up(house: House) -> None:
    reception = await received(house, 1)
    (item,) = await leased(house)
    await house.do(readings.put_back, reception, 1, fence=house.fence, now=house.now)
    assert await leased(house) == []
    assert await house.ask(readings.next_due) == house.now + readings.PAUSE
    house.clock.now += readings.PAUSE
    (item,) = await leased(house)
    assert item.tries == 2
    assert await house.do(readings.failed, reception, 1, fence=house.fence, now=house.now, why="too slow")
    (page,) = (await house.ask(readings.of, reception)).pages
    assert (page.state, page.why, page.reading) == (ReadingState.FAILED, "too slow", None)


async def test_a_lost_lease_is_taken_over_and_its_holder_too_late(house: House) -> None:
    await received(house, 1)
    (item,) = await leased(house)
    house.clock.now += readings.LEASE + 1
    (again,) = await leased(house)
    assert (again.page, again.tries) == (item.page, 2)
    stranger = house.fence + 1
    found = PageReading(1, 1728, 2200)
    assert not await house.do(readings.done, item.reception, found, fence=stranger, now=house.now)


async def test_no_page_waits_for_ever(house: House) -> None:
    """Reading never holds a fax back: after PATIENCE it goes without its text."""
    reception = await received(house, 1)
    assert await house.ask(readings.backlog) == (1, house.now - 1)
    house.clock.now += readings.PATIENCE + 1
    assert await leased(house) == []
    (page,) = (await house.ask(readings.of, reception)).pages
    assert (page.state, page.why) == (ReadingState.FAILED, "too late")
    assert (await house.ask(readings.backlog))[0] == 0
    events = await house.rows(select(t.events.c.what).where(t.events.c.entity == reception))
    assert "reception.not_read" in [row.what for row in events]


async def test_files_of_a_fax_are_named_once(house: House) -> None:
    reception = await received(house, 2)
    files = [await house.keep(b"one"), await house.keep(b"other")]
    mine = (EnclosedFile("fax.pdf", "application/pdf", files[0]),)
    theirs = (EnclosedFile("fax.pdf", "application/pdf", files[1]),)
    assert await house.ask(made.files, reception, "pdfa") == ()
    assert await house.do(made.keep, reception, "pdfa", mine, now=house.now) == mine
    assert await house.do(made.keep, reception, "pdfa", theirs, now=house.now) == mine
    assert await house.ask(made.files, reception, "pdfa") == mine
    assert await house.ask(sweep.known_keys, [file.key for file in files]) == {files[0].key}
    source = await house.ask(made.source, reception)
    assert (len(source.pages), source.complete, source.number, source.time_zone) == (2, False, NUMBER, "UTC")
    assert await house.do(made.forget, reception) == (files[0].key,)
    assert await house.ask(made.files, reception, "pdfa") == ()
