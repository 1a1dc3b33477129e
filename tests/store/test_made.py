"""Files made of received faxes: named by rows, made once, forgotten with their fax."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from faxgw.fax.errors import Stale
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import EnclosedFile, Ringing, StoredFile
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.store import directory, made, receptions
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER, RECEPTION = "+33199000099", "rcv_1"
PDF = EnclosedFile("fax.pdf", "application/pdf", StoredFile("objects/00/a", "1" * 64, 7))
OTHER = EnclosedFile("fax.pdf", "application/pdf", StoredFile("objects/00/b", "2" * 64, 8))


async def received(house: House, *ends: PageEnd, **settings: object) -> list[StoredFile]:
    """A fax of as many pages, five seconds between them; their files."""
    own = {"csid": NUMBER, "deliver_to": ["alice@example.org"], **settings}
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(NumberSeed(NUMBER, settings=own),))])
    ringing = Ringing("t1", "c1@peer", "0199000099", "+4989555", "Peer", {"call_id": "c1@peer"})
    await house.do(
        receptions.admit, RECEPTION, ringing, forms=(NUMBER,), system={}, node=NODE, fence=house.fence, now=house.now
    )
    await house.do(receptions.answered, RECEPTION, fence=house.fence, now=house.now)
    files = []
    for number, end in enumerate(ends, 1):
        house.clock.now += 5
        files.append(await house.keep(b"II*\0 page %d" % number))
        page = ReceivedPage(number, 2200, 1728, 8031, 7700, 0, "MMR", end, ident="PEER")
        await house.do(receptions.page, RECEPTION, page, files[-1], fence=house.fence, now=house.now)
    return files


async def end(house: House) -> None:
    outcome = Outcome(Cause.OK, transport="t38")
    await house.do(
        receptions.ended, RECEPTION, outcome, acknowledged=9, farewell=True, fence=house.fence, now=house.now
    )


async def test_a_source_is_the_pages_in_order_with_what_is_known_of_the_call(house: House) -> None:
    began = house.now
    files = await received(house, PageEnd.MPS, PageEnd.EOP, time_zone="Europe/Berlin")
    source = await house.ask(made.source, RECEPTION)
    assert source.pages == tuple(files)
    assert (source.number, source.caller, source.ident) == (NUMBER, "+4989555", "PEER")
    assert (source.started_at, source.received_at) == (began, began + 10)
    assert (source.time_zone, source.complete) == ("Europe/Berlin", True)
    assert source.readings.read == ()


async def test_a_fax_that_broke_off_is_not_complete(house: House) -> None:
    await received(house, PageEnd.MPS)
    await end(house)
    source = await house.ask(made.source, RECEPTION)
    assert len(source.pages) == 1 and not source.complete


async def test_pages_that_were_purged_are_left_out(house: House) -> None:
    """Their rows stay, for the record; their key is empty."""
    files = await received(house, PageEnd.MPS, PageEnd.EOP)
    await house.change(update(t.reception_pages).where(t.reception_pages.c.page == 1).values(key=""))
    source = await house.ask(made.source, RECEPTION)
    assert source.pages == tuple(files[1:])


async def test_there_is_no_source_of_what_was_never_received(house: House) -> None:
    with pytest.raises(Stale):
        await house.ask(made.source, "rcv_none")


async def test_what_was_made_first_counts(house: House) -> None:
    """Two deliveries make the same document at the same moment: the second one's file is named by nothing."""
    await received(house, PageEnd.EOP)
    assert await house.ask(made.files, RECEPTION, "pdf") == ()
    assert await house.do(made.keep, RECEPTION, "pdf", [PDF], now=house.now) == (PDF,)
    assert await house.do(made.keep, RECEPTION, "pdf", [OTHER], now=house.now) == (PDF,)
    assert await house.ask(made.files, RECEPTION, "pdf") == (PDF,)
    assert await house.ask(made.files, RECEPTION, "pdfa") == ()


async def test_files_of_a_variant_keep_their_order_and_go_together(house: House) -> None:
    await received(house, PageEnd.EOP)
    await house.do(made.keep, RECEPTION, "tiff_pages", [OTHER, PDF], now=house.now)
    await house.do(made.keep, RECEPTION, "pdf", [PDF], now=house.now)
    assert await house.ask(made.files, RECEPTION, "tiff_pages") == (OTHER, PDF)
    keys = await house.do(made.forget, RECEPTION)
    assert sorted(keys) == sorted([OTHER.file.key, PDF.file.key, PDF.file.key])
    assert await house.ask(made.files, RECEPTION, "tiff_pages") == ()
    assert await house.do(made.forget, RECEPTION) == ()
