"""Callers who send too much, at the inside: five hundred pages in one call, and one fax a hundred times."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from faxgw.fax.reception import PageEnd
from faxgw.formats.report_payload import received_from_payload
from faxgw.store import schema as t
from tests.dispatch.doubles import until
from tests.dispatch.test_inbound import Documents, Mailbox, world
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = 500
TIMES = 100
AT_ONCE = 10
WITHIN = 60.0
"""Seconds for all of it, on a machine that has much else to do."""


async def test_a_fax_of_five_hundred_pages_is_one_mail_with_all_of_them(house: House) -> None:
    documents, mailbox = Documents(), Mailbox()
    async with world(house, documents, mailbox) as w:
        reception = await w.receiving()
        for number in range(1, PAGES + 1):
            assert await w.page(reception, number, PageEnd.EOP if number == PAGES else PageEnd.MPS)
        await w.ended(reception, PAGES)
        await until(lambda: len(mailbox.got) == 1, WITHIN)
    ((pages, _title),) = documents.made
    assert pages == [b"II*\0 page %d" % number for number in range(1, PAGES + 1)]


async def test_one_fax_a_hundred_times_is_a_hundred_faxes(house: House) -> None:
    """Nothing is dropped because it came before: a copy is told, not swallowed."""
    mailbox = Mailbox()
    async with world(house, Documents(), mailbox) as w:
        places = asyncio.Semaphore(AT_ONCE)

        async def one() -> str:
            async with places:
                reception = await w.receiving()
                assert await w.page(reception, 1, PageEnd.EOP, b"II*\0 the same page")
                await w.ended(reception, 1)
                return reception

        receptions = await asyncio.gather(*(one() for _ in range(TIMES)))
        await until(lambda: len(mailbox.got) == TIMES, WITHIN)
    assert len(set(receptions)) == TIMES
    assert {received_from_payload(parcel.payload).reception for parcel, _octets in mailbox.got} == set(receptions)
    rows = await house.rows(select(t.receptions.c.state))
    assert [row.state for row in rows] == ["delivered"] * TIMES
