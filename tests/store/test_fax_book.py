"""What the native API tells of faxes of both directions: filters, order, and nobody else's (features A9, B2)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, update

from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import Ringing
from faxgw.fax.reception import PageEnd, ReceivedPage, ReceptionState
from faxgw.store import directory, fax_book, receptions
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.fax_book import View, Wanted
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER, FAR = "+33199000099", "+33199000001"
ALL = View()


async def receive(house: House, ident: str, caller: str = "+4989555") -> str:
    """A fax of one page, its call still going on."""
    own = {"csid": NUMBER, "deliver_to": ["alice@example.org"]}
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(NumberSeed(NUMBER, settings=own),))])
    ringing = Ringing("t1", f"{ident}@peer", "0199000099", caller, "Peer", {"call_id": ident})
    now, fence = house.now, house.fence
    await house.do(receptions.admit, ident, ringing, forms=(NUMBER,), system={}, node=NODE, fence=fence, now=now)
    await house.do(receptions.answered, ident, fence=fence, now=now)
    page = ReceivedPage(1, 2200, 1728, 8031, 7700, 0, "MMR", PageEnd.EOP, ident="PEER")
    await house.do(receptions.page, ident, page, await house.keep(b"II*\0"), fence=fence, now=now)
    return ident


async def listed(
    house: House, wanted: Wanted | None = None, view: View = ALL, customer: str = "acme", **more: Any
) -> list[str]:
    given = {"after": None, "limit": 100} | more
    return [fax.id for fax in await house.ask(fax_book.listed, customer, view, wanted or Wanted(), **given)]


async def test_both_directions_are_told_newest_first(house: House) -> None:
    first = await house.ready_fax(FAR)
    house.clock.now += 1
    got = await receive(house, "rcv_1")
    house.clock.now += 1
    last = await house.ready_fax(FAR)
    assert await listed(house) == [last, got, first]
    assert await listed(house, Wanted(direction="out")) == [last, first]
    assert await listed(house, Wanted(direction="in")) == [got]
    assert await listed(house, view=View(received=False)) == [last, first]
    assert await listed(house, view=View(sent=False)) == [got]
    assert await listed(house, customer="beta") == []


async def test_pages_of_the_list_neither_repeat_nor_leave_out(house: House) -> None:
    """Faxes of the same moment too: the cursor is time and id."""
    everything = {*[await house.ready_fax(f"+3319900000{n}") for n in range(4)], await receive(house, "rcv_1")}
    told: list[str] = []
    after: tuple[float, str] | None = None
    while found := await house.ask(fax_book.listed, "acme", ALL, Wanted(), after=after, limit=2):
        told += [fax.id for fax in found]
        after = (found[-1].created_at, found[-1].id)
    assert len(told) == 5 and set(told) == everything


async def test_filters_let_through_what_they_name(house: House) -> None:
    await house.change(insert(t.users).values(id="acme/ann", customer="acme", name="ann", state="active", settings={}))
    anns = await house.ready_fax("+33199000007", user="acme/ann", billing_code="K7")
    house.clock.now += 10
    other = await house.ready_fax(FAR)
    got = await receive(house, "rcv_1")
    job = (await house.fax(other)).job
    await house.change(update(t.jobs).where(t.jobs.c.id == job).values(reference="order 5"))
    await house.wish(other, Wish.CANCEL)
    for wanted, expected in (
        (Wanted(user="acme/ann"), [anns]),
        (Wanted(cost_centre="K7"), [anns]),
        (Wanted(reference="order 5"), [other]),
        (Wanted(job=job), [other]),
        (Wanted(states=frozenset({"cancelled"})), [other]),
        (Wanted(states=frozenset({"receiving", "complete"})), [got]),
        (Wanted(states=frozenset({"ready", "receiving", "complete"})), [got, anns]),
        (Wanted(number="+33199000007"), [anns]),
        (Wanted(number="+4989555"), [got]),
        (Wanted(own_number=NUMBER), [got]),
        (Wanted(since=house.now - 5, direction="out"), [other]),
        (Wanted(until=house.now - 5), [anns]),
        (Wanted(reference="none"), []),
    ):
        assert await listed(house, wanted) == expected, wanted
    assert await listed(house, view=View(user="acme/ann", received=False)) == [anns]


async def test_a_fax_is_found_by_who_may_see_it(house: House) -> None:
    fax, got = await house.ready_fax(FAR), await receive(house, "rcv_1")
    sent = await house.ask(fax_book.find, "acme", ALL, fax)
    assert sent is not None and not sent.received and not sent.final
    assert (sent.number, sent.number_typed, sent.state, sent.priority) == (FAR, FAR, FaxState.READY, "normal")
    received = await house.ask(fax_book.find, "acme", ALL, got)
    assert received is not None and received.received
    assert (received.number, received.own_number, received.ident) == ("+4989555", NUMBER, "PEER")
    assert isinstance(received.state, ReceptionState)
    for customer, view, ident in (
        ("beta", ALL, fax),
        ("beta", ALL, got),
        ("acme", View(user="acme/ann"), fax),
        ("acme", View(sent=False), fax),
        ("acme", View(received=False), got),
        ("acme", ALL, "FNNONE"),
        ("acme", ALL, "rcv_none"),
    ):
        assert await house.ask(fax_book.find, customer, view, ident) is None, (customer, view, ident)


async def test_a_fax_says_what_its_calls_came_to(house: House) -> None:
    fax = await house.ready_fax(FAR)
    await house.call(fax, Cause.REMOTE_HUNG_UP, confirmed=1)
    booked = await house.ask(fax_book.find, "acme", ALL, fax)
    assert booked is not None
    assert (booked.dials, booked.confirmed, booked.pages, booked.cause) == (1, 1, 2, Cause.REMOTE_HUNG_UP)
    (call,) = await house.ask(fax_book.attempts, fax)
    assert (call.number, call.first_page, call.last_page, call.confirmed) == (FAR, 1, 2, 1)
    ((file, first, last),) = await house.ask(fax_book.composed_files, fax)
    assert (file.size, first, last) == (8, 1, 2)


async def test_a_job_is_summed_up(house: House) -> None:
    job, faxes = await house.job((FAR, "+33199000002"), "+33199000003")
    await house.wish(faxes[0], Wish.CANCEL)
    found = await house.ask(fax_book.find_job, "acme", ALL, job)
    assert found is not None
    assert (found.states, found.finished_at) == ({"cancelled": 1, "ready": 1}, None)
    count, first = await house.ask(fax_book.first_faxes, job, limit=1)
    assert (count, [row.id for row in first]) == (2, faxes[:1])
    assert await house.ask(fax_book.numbers_typed, faxes[0]) == (FAR, "+33199000002")
    assert [row.name for row in await house.ask(fax_book.documents, job)] == ["a.pdf"]
    assert await house.ask(fax_book.pending_documents, job) == 0
    assert (await house.ask(fax_book.job_row, job)).id == job
    assert await house.ask(fax_book.find_job, "beta", ALL, job) is None
    assert await house.ask(fax_book.find_job, "acme", View(sent=False), job) is None
    assert await house.ask(fax_book.find_job, "acme", View(user="acme/ann"), job) is None


async def test_a_withheld_number_is_told_as_none(house: House) -> None:
    got = await receive(house, "rcv_1", caller="")
    found = await house.ask(fax_book.find, "acme", ALL, got)
    assert found is not None and found.number == ""


async def test_pages_of_a_received_fax_that_were_purged_are_not_told(house: House) -> None:
    got = await receive(house, "rcv_1")
    assert [page.page for page in await house.ask(fax_book.received_pages, got)] == [1]
    assert (await house.ask(fax_book.reception, got)).number == NUMBER
    await house.change(update(t.reception_pages).values(key=""))
    assert await house.ask(fax_book.received_pages, got) == []
