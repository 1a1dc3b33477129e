"""The pages that go with a status mail: as TIFF and as PDF, and the mail that leaves without them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pypdfium2
import pytest
import pytest_asyncio
from PIL import Image

from faxgw.dispatch import report_pages
from faxgw.dispatch.report_pages import MAX_TRIES, ReportPages
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax.errors import FaxError
from faxgw.fax.header import HeaderContext
from faxgw.fax.ports import EnclosedFile, Parcel, StoredFile
from faxgw.fax.report import FaxPages, JobReport, PagesTold
from faxgw.formats.report_payload import pages_from_payload, report_to_payload
from tests.formats import samples
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPORT: JobReport = samples.job([samples.DELIVERED])


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def client() -> AsyncIterator[PageClient]:
    made = PageClient()
    await made.start()
    yield made
    await made.close()


async def fax_of(client: PageClient, count: int) -> bytes:
    """The TIFF file of a call, header line and all."""
    source = os.memfd_create("text")
    text = "\f".join(f"Page {n} of the contract" for n in range(1, count + 1)).encode()
    os.write(source, text)
    document = pages.Document(source, "a.txt", pages.Kind.TEXT, "utf-8", pages.Origin.BODY, len(text))
    rendered = await client.render([document], pages.RenderOptions())
    assert isinstance(rendered, pages.Rendered)
    context = HeaderContext(datetime(2026, 11, 21, tzinfo=UTC), number="+33199000001")
    composed = await client.compose(rendered.fd, pages.ComposeOptions(context, header="%d.%m.%Y To: %#"))
    try:
        return os.pread(composed.fd, 10_000_000, 0)
    finally:
        os.close(source)
        rendered.close()
        composed.close()


def parcel(file: StoredFile, told: FaxPages, tries: int = 1) -> Parcel:
    enclosed = [EnclosedFile("FN1.tif", "image/tiff", file)]
    return Parcel("out_1", "status_mail", "a@example.org", report_to_payload(REPORT, enclosed, told), 0.0, tries)


async def test_a_tiff_goes_as_it_was_sent(house: House, client: PageClient) -> None:
    octets = await fax_of(client, 2)
    file = await house.keep(octets)
    told = FaxPages(PagesTold.SENT, "tiff", "+33199000001", 2)
    async with ReportPages(house.seat(), client).enclosed(parcel(file, told)) as found:
        (one,) = found.enclosures
        assert os.pread(one.descriptor, one.size, 0) == octets
        assert pages_from_payload(found.payload) == told
    with Image.open(io.BytesIO(octets)) as picture:
        assert picture.n_frames == 2  # type: ignore[attr-defined]  # of TIFF files


async def test_a_pdf_has_the_very_pages(house: House, client: PageClient) -> None:
    octets = await fax_of(client, 3)
    told = FaxPages(PagesTold.SENT, "pdf", "+33199000001", 3)
    work = ReportPages(house.seat(), client)
    before = len(os.listdir("/proc/self/fd"))
    async with work.enclosed(parcel(await house.keep(octets), told)) as found:
        (one,) = found.enclosures
        pdf = os.pread(one.descriptor, one.size, 0)
        assert (one.name, one.content_type) == ("FN1.pdf", "application/pdf")
        assert hashlib.sha256(pdf).hexdigest() == one.sha256
        assert pages_from_payload(found.payload) == told
    assert len(os.listdir("/proc/self/fd")) == before
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 3
    shown = document[1].render(scale=2).to_pil().convert("L").resize((172, 220))
    with Image.open(io.BytesIO(octets)) as picture:
        picture.seek(1)
        meant = picture.convert("L").resize((172, 220))
    different = sum(abs(a - b) > 120 for a, b in zip(shown.tobytes(), meant.tobytes(), strict=True))
    assert different < 0.01 * 172 * 220
    document.close()


async def test_a_pdf_that_can_be_searched_has_the_words(house: House, client: PageClient) -> None:
    told = FaxPages(PagesTold.SENT, "pdf_ocr", "+33199000001", 2)
    file = await house.keep(await fax_of(client, 2))
    async with ReportPages(house.seat(), client).enclosed(parcel(file, told)) as found:
        (one,) = found.enclosures
        pdf = os.pread(one.descriptor, one.size, 0)
        assert pages_from_payload(found.payload) == told
    document = pypdfium2.PdfDocument(pdf)
    words = [page.get_textpage().get_text_range() for page in document]
    assert len(words) == 2
    assert "contract" in words[0] and "contract" in words[1]
    document.close()


async def test_the_text_of_a_long_fax_is_not_read_and_the_mail_says_so(
    house: House, client: PageClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pages, "MAX_PAGES_READ", 1)
    told = FaxPages(PagesTold.SENT, "pdf_ocr", "+33199000001", 2)
    file = await house.keep(await fax_of(client, 2))
    async with ReportPages(house.seat(), client).enclosed(parcel(file, told)) as found:
        assert [one.name for one in found.enclosures] == ["FN1.pdf"]
        assert pages_from_payload(found.payload) == replace(told, format="pdf", wanted="pdf_ocr")


async def test_lost_pages_keep_no_mail_back(house: House, client: PageClient) -> None:
    file = await house.keep(b"II*\0 pages")
    (house.folder / file.key).write_bytes(b"II*\0 other")
    told = FaxPages(PagesTold.SENT, "pdf", "+33199000001", 2)
    async with ReportPages(house.seat(), client).enclosed(parcel(file, told)) as found:
        assert found.enclosures == ()
        assert pages_from_payload(found.payload).told is PagesTold.GONE
    os.unlink(house.folder / file.key)
    async with ReportPages(house.seat(), client).enclosed(parcel(file, told)) as found:
        assert found.enclosures == ()


async def test_what_no_pdf_can_be_made_of_goes_as_tiff_and_the_mail_says_so(house: House, client: PageClient) -> None:
    file = await house.keep(b"II*\0 no fax")
    told = FaxPages(PagesTold.SENT, "pdf", "+33199000001", 2)
    async with ReportPages(house.seat(), client).enclosed(parcel(file, told)) as found:
        assert [one.name for one in found.enclosures] == ["FN1.tif"]
        assert pages_from_payload(found.payload) == replace(told, format="tiff", wanted="pdf")


async def test_a_pdf_is_waited_for_but_not_for_ever(house: House) -> None:
    class Busy:
        async def compose(self, *_: object) -> None:
            raise PagesUnavailable("no page process")

    file = await house.keep(b"II*\0 pages")
    told = FaxPages(PagesTold.SENT, "pdf", "+33199000001", 2)
    work = ReportPages(house.seat(), Busy())  # type: ignore[arg-type]  # a client that has nobody
    with pytest.raises(FaxError):
        async with work.enclosed(parcel(file, told, tries=MAX_TRIES - 1)):
            pass
    async with work.enclosed(parcel(file, told, tries=MAX_TRIES)) as found:
        assert [one.name for one in found.enclosures] == ["FN1.tif"]


async def test_a_cancelled_try_leaves_nothing_open(house: House) -> None:
    begun = asyncio.Event()

    class Slow:
        async def compose(self, *_: object) -> None:
            begun.set()
            await asyncio.Event().wait()

    file = await house.keep(b"II*\0 pages")
    work = ReportPages(house.seat(), Slow())  # type: ignore[arg-type]  # a client that never answers
    before = len(os.listdir("/proc/self/fd"))

    async def enter() -> None:
        async with work.enclosed(parcel(file, FaxPages(PagesTold.SENT, "pdf", "", 2))):
            pass

    task = asyncio.create_task(enter())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(os.listdir("/proc/self/fd")) == before
