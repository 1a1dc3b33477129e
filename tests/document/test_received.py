"""Received pages to PDF through the page process: the fax's own data, the right size on paper, read back."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import Any

import pypdf
import pypdfium2
import pypdfium2.raw as pdfium
import pytest
from PIL import Image

from faxgw.document import pdf_out
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.document.pdf_out import BadPdf, Picture
from faxgw.document.types import PdfMade
from faxgw.t30 import tiff as cutter

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Any  # conftest's class; tests import nothing from one another
WHEN = datetime(2026, 11, 21, 20, 10, tzinfo=UTC)
FINE, STANDARD = (8031, 7700), (8031, 3850)
"""Pixels per metre (docs/transport.md F.2)."""


def page_file(make: Make, image: Image.Image, resolution: tuple[int, int] = FINE, coding: str = "group4") -> bytes:
    """A page as the call worker cuts it out."""
    source = make.fd(make.image(image, "TIFF", compression=coding, tiffinfo={278: image.height}))
    return cutter.cut_page(source, 1, image.height, *resolution).octets


def contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def strip(tiff: bytes) -> bytes:
    with Image.open(io.BytesIO(tiff)) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]
        return tiff[tags[273][0] : tags[273][0] + tags[279][0]]


async def made(client: PageClient, make: Make, *files: bytes, **options: Any) -> PdfMade:
    return await client.pdf([make.fd(file) for file in files], "Fax from +33 1 99", WHEN, **options)


async def test_the_faxs_own_data_go_through_untouched(client: PageClient, make: Make) -> None:
    """rendering 6.1: strips are lifted, not coded again; the pixels are those of the pages."""
    images = [make.pattern(1728, 300), make.pattern(1728, 1100)]
    files = [page_file(make, image) for image in images]
    result = await made(client, make, *files)
    octets = contents(result.fd)
    result.close()
    assert [page.passed for page in result.pages] == [True, True]
    reader = pypdf.PdfReader(io.BytesIO(octets))
    assert len(reader.pages) == 2
    for page, file, image in zip(reader.pages, files, images, strict=True):
        stream = page["/Resources"]["/XObject"]["/Im"]  # type: ignore[index]
        assert stream._data == strip(file)
        assert page.images[0].image.convert("1").tobytes() == image.tobytes()  # type: ignore[union-attr]
    assert reader.metadata is not None
    assert reader.metadata.title == "Fax from +33 1 99"
    assert reader.metadata.creation_date == WHEN


@pytest.mark.parametrize("resolution, rows", [(FINE, 2200), (STANDARD, 1100)])
async def test_a_page_has_its_physical_size(
    client: PageClient, make: Make, resolution: tuple[int, int], rows: int
) -> None:
    """users.md 15: standard pages are not stretched; 1728 pixels are 215 mm, 2200 fine rows 286 mm."""
    result = await made(client, make, page_file(make, make.pattern(1728, rows), resolution))
    width, height = result.pages[0].width_pt, result.pages[0].height_pt
    result.close()
    assert width == pytest.approx(1728 / 8031 / 0.0254 * 72, abs=0.01) == pytest.approx(609.9, abs=0.1)
    assert height == pytest.approx(809.9, abs=0.1)


async def test_pdfium_draws_the_same_pixels(client: PageClient, make: Make) -> None:
    image = make.pattern(1728, 500)
    result = await made(client, make, page_file(make, image))
    document = pypdfium2.PdfDocument(contents(result.fd))
    result.close()
    (found,) = document[0].get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE])
    drawn = found.get_bitmap().to_pil().convert("1")
    assert drawn.size == image.size
    assert drawn.tobytes() == image.tobytes()
    document.close()


@pytest.mark.parametrize("coding", ["group3", "tiff_lzw", "raw"])
async def test_another_coding_is_coded_again(client: PageClient, make: Make, coding: str) -> None:
    image = make.pattern(1728, 200)
    result = await made(client, make, page_file(make, image, coding=coding))
    reader = pypdf.PdfReader(io.BytesIO(contents(result.fd)))
    result.close()
    assert [page.passed for page in result.pages] == [False]
    assert reader.pages[0].images[0].image.convert("1").tobytes() == image.tobytes()  # type: ignore[union-attr]


async def test_a_wide_page_keeps_its_width(client: PageClient, make: Make) -> None:
    """users.md 16: never cropped."""
    result = await made(client, make, page_file(make, make.pattern(2432, 100)))
    result.close()
    assert (result.pages[0].width, round(result.pages[0].width_pt)) == (2432, 858)


async def test_a_thumbnail_has_square_pixels(client: PageClient, make: Make) -> None:
    result = await made(client, make, page_file(make, make.pattern(1728, 1144), STANDARD), thumbnail_px=100)
    assert result.thumbnail_fd is not None
    with Image.open(io.BytesIO(contents(result.thumbnail_fd))) as image:
        assert image.size == (100, 138)
    result.close()


@pytest.mark.parametrize("damage", [b"", b"junk", b"II*\0\x08\0\0\0\xff\xff", b"II*\0\xff\xff\xff\xff"])
async def test_a_damaged_page_is_said_to_be_damaged(client: PageClient, make: Make, damage: bytes) -> None:
    with pytest.raises(PagesDamaged, match="damaged"):
        await made(client, make, page_file(make, make.pattern(1728, 50)), damage)


async def test_a_page_whose_strip_is_cut_off_is_damaged(client: PageClient, make: Make) -> None:
    whole = page_file(make, make.pattern(1728, 300))
    at = whole.index(strip(whole))
    without = bytearray(whole)
    tag = whole.index(b"\x17\x01\x04\x00", at)  # StripByteCounts, LONG
    without[tag + 8 : tag + 12] = (10_000_000).to_bytes(4, "little")
    with pytest.raises(PagesDamaged):
        await made(client, make, bytes(without))


async def test_a_fax_without_pages_is_no_document(client: PageClient) -> None:
    with pytest.raises(PagesDamaged):
        await client.pdf([], "Nothing", WHEN)


def written(*pictures: Picture) -> bytes:
    out = io.BytesIO()
    writer = pdf_out.Writer(out, "Grüße – ☃", WHEN)
    for picture in pictures:
        writer.add(picture)
    writer.finish()
    return out.getvalue()


PICTURE = Picture(b"\x26\xa0\x01" * 20, 1728, 10, 8031, 7700)


async def test_the_reader_takes_what_the_writer_makes(make: Make) -> None:
    pages = pdf_out.read(make.fd(written(PICTURE, PICTURE)))
    assert [(page.width, page.rows, page.octets, page.points) for page in pages] == [(1728, 10, 60, PICTURE.points)] * 2


async def test_the_same_fax_gives_the_same_octets() -> None:
    assert written(PICTURE) == written(PICTURE) != written(PICTURE, PICTURE)


async def test_the_reader_refuses_cuts_and_changes(make: Make) -> None:
    """A file that is not whole is never taken for a fax."""
    whole = written(PICTURE, PICTURE)
    for length in range(0, len(whole), 13):
        with pytest.raises(BadPdf):
            pdf_out.read(make.fd(whole[:length]))
    for change in (b"/Width 1728", b"endstream", b"/Type /Page ", b"00000 n", b"%PDF-1.4", b"/Size"):
        with pytest.raises(BadPdf):
            pdf_out.read(make.fd(whole.replace(change, b"X" * len(change), 3)))


async def test_no_page_is_no_pdf() -> None:
    with pytest.raises(ValueError, match="without pages"):
        written()


async def test_black_and_white_exchanged_are_told_to_the_reader(client: PageClient, make: Make) -> None:
    """A TIFF whose photometric interpretation is min-is-black."""
    whole = bytearray(page_file(make, make.pattern(1728, 100)))
    tag = bytes(whole).index(b"\x06\x01\x03\x00\x01\x00\x00\x00")
    other = 1 - whole[tag + 8]
    whole[tag + 8] = other
    result = await made(client, make, bytes(whole))
    assert (b"/BlackIs1 true" if other else b"/BlackIs1 false") in contents(result.fd)
    result.close()
