"""Documents of received faxes: made once, of what was stored, and named before they are told of."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import pytest
from sqlalchemy import select

from faxgw.dispatch.documents import Documents, stem
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.document.types import PdfMade, TiffMade, TiffPart, WriteOptions, Written
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import EnclosedFile, Ringing
from faxgw.fax.received_document import DocumentOptions, Format
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.store import directory, made, receptions
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.errors import StoreBusy
from tests.dispatch.doubles import memory
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER, RECEPTION = "+33199000099", "rcv_1"


@dataclass
class Client:
    """Page processes that write down what they were asked, and make a file that says what it is."""

    asked: list[tuple[str, list[bytes], dict[str, Any]]] = field(default_factory=list)
    fault: Exception | None = None

    def _note(self, what: str, descriptors: Any, named: dict[str, Any]) -> None:
        self.asked.append((what, [os.pread(fd, 100, 0) for fd in descriptors], named))
        if self.fault is not None:
            raise self.fault

    async def pdf(self, opened: Any, title: str, created: datetime, **named: Any) -> PdfMade:
        self._note("pdf", opened, named | {"title": title, "created": created})
        return PdfMade(memory(b"%PDF of pages"), ())

    async def tiff(self, opened: Any, **named: Any) -> TiffMade:
        self._note("tiff", opened, named)
        return TiffMade(memory(b"firstsecond"), (TiffPart(0, 5), TiffPart(5, 6))[: 2 if named["separate"] else 1])

    async def write(self, readings: Any, options: WriteOptions) -> Written:
        self._note("write", (), {"options": options})
        return Written(memory(b"<fax/>"))


async def received(house: House, pages: int = 2) -> None:
    own = {"csid": NUMBER, "deliver_to": ["alice@example.org"], "time_zone": "Europe/Berlin"}
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(NumberSeed(NUMBER, settings=own),))])
    ringing = Ringing("t1", "c1@peer", "0199000099", "+4989555", "Peer", {"call_id": "c1@peer"})
    now, fence = house.now, house.fence
    await house.do(receptions.admit, RECEPTION, ringing, forms=(NUMBER,), system={}, node=NODE, fence=fence, now=now)
    await house.do(receptions.answered, RECEPTION, fence=fence, now=now)
    for number in range(1, pages + 1):
        end = PageEnd.EOP if number == pages else PageEnd.MPS
        page = ReceivedPage(number, 2200, 1728, 8031, 7700, 0, "MMR", end, ident="PEER")
        file = await house.keep(b"page %d" % number)
        await house.do(receptions.page, RECEPTION, page, file, fence=fence, now=now)
    outcome = Outcome(Cause.OK, transport="t38")
    await house.do(receptions.ended, RECEPTION, outcome, acknowledged=9, farewell=True, fence=fence, now=now)


def documents(house: House, client: Client) -> Documents:
    return Documents(house.seat(), cast(PageClient, client))


async def content(house: House, file: EnclosedFile) -> bytes:
    fd = await house.files.open_read(file.file)
    try:
        return os.pread(fd, 100, 0)
    finally:
        os.close(fd)


async def test_a_pdf_is_made_of_the_stored_pages_and_kept(house: House) -> None:
    await received(house)
    client = Client()
    (file,) = await documents(house, client).make(RECEPTION, Format.PDF)
    assert (file.content_type, await content(house, file)) == ("application/pdf", b"%PDF of pages")
    ((what, pages, named),) = client.asked
    assert (what, pages) == ("pdf", [b"page 1", b"page 2"])
    assert (named["title"], named["archival"], named["searchable"]) == (f"Fax PEER > {NUMBER}", False, False)
    assert await house.ask(made.files, RECEPTION, "pdf") == (file,)


async def test_it_is_made_once_however_many_deliveries_want_it_at_once(house: House) -> None:
    await received(house)
    client = Client()
    maker = documents(house, client)
    found = await asyncio.gather(*(maker.make(RECEPTION, Format.PDF) for _ in range(5)))
    assert len(client.asked) == 1 and len(set(found)) == 1
    assert await documents(house, client).make(RECEPTION, Format.PDF) == found[0]
    assert len(client.asked) == 1


async def test_what_two_nodes_make_at_once_is_the_first_ones_and_the_others_file_goes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await received(house)
    one, two = Client(), Client()
    monkeypatch.setattr(made, "files", lambda conn, reception, name: ())  # neither has seen the other's row
    first = await documents(house, one).make(RECEPTION, Format.PDF)
    monkeypatch.undo()
    there = {path.name for path in (house.folder / "objects").rglob("*") if path.is_file()}
    unseen = made.files
    looks = iter([()])
    monkeypatch.setattr(made, "files", lambda *given: next(looks, None) or unseen(*given))
    second = await documents(house, two).make(RECEPTION, Format.PDF)
    assert second == first
    assert {path.name for path in (house.folder / "objects").rglob("*") if path.is_file()} == there


async def test_pages_as_they_came_are_the_stored_ones_themselves(house: House) -> None:
    """Nothing is made and nothing is written: each page of the fax is a file already."""
    await received(house)
    client = Client()
    files = await documents(house, client).make(RECEPTION, Format.TIFF_PAGES)
    assert [await content(house, file) for file in files] == [b"page 1", b"page 2"]
    assert [file.name.rpartition("-")[2] for file in files] == ["1.tif", "2.tif"]
    assert client.asked == []
    assert await house.rows(select(t.reception_documents)) == []


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (Format.TIFF, {"recode": False, "separate": False, "turns": ()}),
        (Format.TIFF_G4, {"recode": True, "separate": False, "turns": ()}),
    ],
)
async def test_a_tiff_is_cut_out_of_what_was_made(house: House, form: Format, named: dict[str, Any]) -> None:
    await received(house)
    client = Client()
    (file,) = await documents(house, client).make(RECEPTION, form)
    assert (client.asked[0][0], client.asked[0][2]) == ("tiff", named)
    assert await content(house, file) == b"first"


async def test_options_make_another_document(house: House) -> None:
    await received(house)
    client = Client()
    maker = documents(house, client)
    await maker.make(RECEPTION, Format.PDF)
    await maker.make(RECEPTION, Format.PDF, DocumentOptions(upright=True))
    assert [named["upright"] for _what, _pages, named in client.asked] == [False, True]


async def test_what_was_read_is_written_without_the_pages(house: House) -> None:
    await received(house)
    client = Client()
    (file,) = await documents(house, client).make(RECEPTION, Format.XML)
    assert await content(house, file) == b"<fax/>"
    options = client.asked[0][2]["options"]
    assert (options.number, options.caller, options.ident, options.pages) == (NUMBER, "+4989555", "PEER", 2)
    assert options.complete and str(options.received_at.tzinfo) == "Europe/Berlin"


async def test_a_document_that_cannot_be_made_leaves_nothing_behind(house: House) -> None:
    await received(house)
    before = sorted((house.folder / "objects").rglob("*"))
    with pytest.raises(PagesDamaged):
        await documents(house, Client(fault=PagesDamaged("x"))).make(RECEPTION, Format.PDF)
    assert sorted((house.folder / "objects").rglob("*")) == before


async def test_a_file_that_no_row_names_is_removed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database did not take it: the next try makes it anew."""
    await received(house)
    before = {path for path in (house.folder / "objects").rglob("*") if path.is_file()}

    async def refuse(*_given: object) -> None:
        raise StoreBusy("no")

    monkeypatch.setattr(house.store, "run", refuse)
    with pytest.raises(StoreBusy):
        await documents(house, Client()).make(RECEPTION, Format.PDF)
    assert {path for path in (house.folder / "objects").rglob("*") if path.is_file()} == before


async def test_a_name_says_when_and_from_whom_in_the_numbers_own_time(house: House) -> None:
    await received(house)
    source = await house.ask(made.source, RECEPTION)
    named = stem(source)
    assert named.endswith("-from-4989555")
    assert stem(
        type(source)(**{f: getattr(source, f) for f in source.__slots__} | {"caller": "", "ident": "no digits"})
    ) == (named.removesuffix("-from-4989555"))
