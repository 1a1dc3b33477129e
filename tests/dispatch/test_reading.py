"""The station that reads pages, and the documents of received faxes: with real page processes, store and files."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any, cast

import pypdf
import pytest
import pytest_asyncio
from PIL import Image, ImageDraw, ImageFont

from faxgw.dispatch.documents import Documents
from faxgw.dispatch.reading import Reading
from faxgw.document.client import PageClient, PagesDamaged, PagesUnavailable
from faxgw.document.types import ReadOptions, Reason, Refused
from faxgw.fax.ports import EnclosedFile, Ringing
from faxgw.fax.reading import Barcode, Box, PageReading, ReadingState, Symbology
from faxgw.fax.received_document import DocumentOptions, Format
from faxgw.fax.reception import PageEnd, ReceivedPage
from faxgw.store import directory, readings, receptions
from faxgw.store.directory import CustomerSeed, NumberSeed
from faxgw.store.errors import FileFailed
from faxgw.t30 import tiff as cutter
from tests.dispatch.doubles import until
from tests.house import NODE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000099"
FONT = "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"
ALL = {"ocr": True, "barcodes": True, "time_zone": "Europe/Paris"}
serial = itertools.count(1)


def page(text: str, coding: str = "group4", turned: bool = False) -> bytes:
    """A page as the call worker cuts it out."""
    image = Image.new("L", (1728, 600), 255)
    ImageDraw.Draw(image).text((200, 150), text, font=ImageFont.truetype(FONT, 48), fill=0)
    if turned:
        image = image.rotate(180)
    descriptor = os.memfd_create("source")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            image.convert("1").save(file, "TIFF", compression=coding, tiffinfo={278: 600})
        return cutter.cut_page(descriptor, 1, 600, 8031, 7700).octets
    finally:
        os.close(descriptor)


async def receiving(house: House, *pages: bytes, settings: dict[str, Any] | None = None) -> str:
    """A call that has brought pages and goes on."""
    own = {"deliver_to": ["a@example.org"], **(ALL if settings is None else settings)}
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", numbers=(NumberSeed(NUMBER, settings=own),))])
    reception = f"rcv_{next(serial):032x}"
    given: dict[str, Any] = {"system": {}, "node": NODE, "fence": house.fence, "now": house.now}
    ringing = Ringing("t1", "c1", "0199000099", "+498955", "", {})
    await house.do(receptions.admit, reception, ringing, forms=(NUMBER,), **given)
    await house.do(receptions.answered, reception, fence=house.fence, now=house.now)
    for number, octets in enumerate(pages, 1):
        facts = ReceivedPage(number, 600, 1728, 8031, 7700, 0, "MMR", PageEnd.MPS, "+49 89 55")
        file = await house.keep(octets)
        await house.do(receptions.page, reception, facts, file, fence=house.fence, now=house.now)
    return reception


class Scripted:
    """Page processes that answer as they are told."""

    def __init__(self, *answers: PageReading | Refused | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[ReadOptions] = []

    async def read(self, page_fd: int, options: ReadOptions) -> PageReading | Refused:
        self.asked.append(options)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.asynccontextmanager
async def working(house: House, client: object) -> AsyncIterator[tuple[Reading, list[str]]]:
    told: list[str] = []
    reading = Reading(house.seat(), cast(PageClient, client), told=lambda result, _seconds: told.append(result))
    running = asyncio.create_task(reading.station.run())
    try:
        yield reading, told
    finally:
        await reading.station.stop(1.0)
        await running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client() -> AsyncIterator[PageClient]:
    made = PageClient()
    await made.start()
    yield made
    await made.close()


async def known(house: House, reception: str, number: int = 1) -> Any:
    return (await house.ask(readings.of, reception)).pages[number - 1]


async def test_a_page_is_read_while_its_call_goes_on(house: House, client: PageClient) -> None:
    """Issue: page 1's text arrives before the call ends."""
    async with working(house, client) as (reading, told):
        reception = await receiving(house, page("Alarm in building seven"))
        found = await reading.wait(reception, 1, 60)
        assert found is not None and found.text == "Alarm in building seven\n"
        assert (await house.ask(receptions.row_of, reception)).state == "receiving"
        await until(lambda: told == ["read"])


async def test_waiting_for_a_page_that_nobody_reads_ends(house: House) -> None:
    async with working(house, Scripted()) as (reading, _told):
        reception = await receiving(house, page("x"), settings={})
        assert await reading.wait(reception, 1, 60) is None
    reception = await receiving(house, page("x"))
    assert await reading.wait(reception, 1, 0.05) is None


async def test_a_page_whose_text_is_too_much_is_read_for_its_barcodes(house: House) -> None:
    codes = (Barcode(Symbology.QR, "1", Box(0, 0, 1, 1)),)
    scripted = Scripted(Refused(Reason.TOO_SLOW, "Too slow."), PageReading(1, 1728, 600, barcodes=codes))
    async with working(house, scripted) as (_reading, told):
        reception = await receiving(house, page("x"))
        await until(lambda: told == ["partly"])
    assert scripted.asked == [ReadOptions(1, ("eng",), True), ReadOptions(1, (), True)]
    found = (await known(house, reception)).reading
    assert (found.barcodes, found.problem) == (codes, "text: too slow")
    assert (await house.ask(readings.of, reception)).missing == (1,)


async def test_a_page_that_cannot_be_read_is_given_up_at_once(house: House) -> None:
    refused = Refused(Reason.DAMAGED, "Damaged.")
    async with working(house, Scripted(refused, refused)) as (_reading, told):
        reception = await receiving(house, page("x"))
        await until(lambda: told == ["failed"])
    one = await known(house, reception)
    assert (one.state, one.why) == (ReadingState.FAILED, "damaged")


@pytest.mark.parametrize("fault", [PagesUnavailable("away"), FileFailed("slow disk")])
async def test_our_own_faults_are_tried_again_and_end(house: House, fault: Exception) -> None:
    async with working(house, Scripted(*[fault] * readings.MAX_TRIES)) as (reading, told):
        reception = await receiving(house, page("x"))
        for count in range(1, readings.MAX_TRIES):
            await until(lambda count=count: told == ["again"] * count)  # type: ignore[misc]
            house.clock.now += readings.PAUSE
            reading.station.wake()
        await until(lambda: told[-1:] == ["failed"])
    assert (await known(house, reception)).state is ReadingState.FAILED


# ------------------------------------------------------------------------------------------------------ documents


async def content(house: House, one: EnclosedFile) -> bytes:
    fd = await house.seat().files.open_read(one.file)
    try:
        return os.pread(fd, one.file.size, 0)
    finally:
        os.close(fd)


async def read_fax(house: House, client: PageClient) -> str:
    """Two pages, the second upside down and in an old coding, both read."""
    async with working(house, client) as (reading, _told):
        first, second = page("Alarm in building seven"), page("Please call the office now", "group3", turned=True)
        reception = await receiving(house, first, second)
        assert await reading.wait(reception, 1, 60) and await reading.wait(reception, 2, 60)
    return reception


async def test_documents_are_made_once_and_named_by_rows(house: House, client: PageClient) -> None:
    documents, reception = Documents(house.seat(), client), await read_fax(house, client)
    one, other = await asyncio.gather(
        documents.make(reception, Format.PDFA_TEXT), documents.make(reception, Format.PDFA_TEXT)
    )
    assert one == other and len(one) == 1
    assert one[0].name.startswith("fax-2026") and one[0].name.endswith("-from-498955.pdf")
    assert one[0].content_type == "application/pdf"
    reader = pypdf.PdfReader(io.BytesIO(await content(house, one[0])))
    assert "Alarm in building seven" in reader.pages[0].extract_text()
    assert [pdf.rotation for pdf in reader.pages] == [0, 0]
    assert await documents.make(reception, Format.PDFA_TEXT) == one
    (upright,) = await documents.make(reception, Format.PDFA_TEXT, DocumentOptions(upright=True))
    assert [pdf.rotation for pdf in pypdf.PdfReader(io.BytesIO(await content(house, upright))).pages] == [0, 180]


async def test_every_format_is_made(house: House, client: PageClient) -> None:
    documents, reception = Documents(house.seat(), client), await read_fax(house, client)
    for form in Format:
        made = await documents.make(reception, form)
        assert len(made) == (2 if form is Format.TIFF_PAGES else 1), form
        assert all([len(await content(house, one)) == one.file.size for one in made])
    (text,) = await documents.make(reception, Format.TEXT)
    assert await content(house, text) == b"Alarm in building seven\n\fPlease call the office now\n"


async def test_single_pages_are_the_files_that_came(house: House, client: PageClient) -> None:
    documents, reception = Documents(house.seat(), client), await read_fax(house, client)
    first, second = await documents.make(reception, Format.TIFF_PAGES)
    assert (first.name[-6:], second.name[-6:]) == ("-1.tif", "-2.tif")
    assert await content(house, first) == page("Alarm in building seven")
    turned = (await documents.make(reception, Format.TIFF_PAGES, DocumentOptions(upright=True)))[1]
    with Image.open(io.BytesIO(await content(house, turned))) as image:
        upright = image.convert("1").tobytes()
    with Image.open(io.BytesIO(await content(house, second))) as image:
        assert image.convert("1").rotate(180).tobytes() == upright
    assert await content(house, second) == page("Please call the office now", "group3", turned=True)


async def test_a_damaged_page_makes_no_document_and_leaves_no_file(house: House, client: PageClient) -> None:
    documents, reception = Documents(house.seat(), client), await receiving(house, b"II*\0 no page")
    before = sorted((house.folder / "objects").glob("??/*"))
    with pytest.raises(PagesDamaged):
        await documents.make(reception, Format.PDFA)
    assert sorted((house.folder / "objects").glob("??/*")) == before
