"""Reading received pages in the page process: text with its places, barcodes, pages that lie otherwise, garbage."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import zxingcpp
from PIL import Image, ImageDraw, ImageFont

from faxgw.document import barcode, ocr, read
from faxgw.document.client import PageClient
from faxgw.document.types import ReadOptions, Reason, Refused
from faxgw.fax.reading import PageReading, Symbology
from faxgw.t30 import tiff as cutter

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Any  # conftest's class; tests import nothing from one another
FINE, STANDARD = (8031, 7700), (8031, 3850)
FONT = "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"
LINES = ("Invoice 4711 of the Example Company", "Please pay the amount of 128 dollars", "before the end of November")


def letter(height: int = 900) -> Image.Image:
    """Three lines on a page of a fine fax."""
    page = Image.new("L", (1728, height), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(FONT, 40)
    for at, line in enumerate(LINES):
        draw.text((200, 150 + 80 * at), line, font=font, fill=0)
    return page


def with_codes() -> Image.Image:
    page = letter()
    for kind, text, at in (("Code128", "ACME-0815", (200, 450)), ("QRCode", "id=4711", (1000, 450))):
        symbol = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
        page.paste(Image.fromarray(np.asarray(symbol.to_image(scale=6, add_quiet_zones=True))), at)
    return page


def file(make: Make, image: Image.Image, resolution: tuple[int, int] = FINE, coding: str = "group4") -> int:
    """A page as the call worker cuts it out."""
    black = image.convert("1", dither=Image.Dither.NONE)
    if resolution == STANDARD:
        black = Image.fromarray(np.asarray(black)[::2])
    source = make.fd(make.image(black, "TIFF", compression=coding, tiffinfo={278: black.height}))
    return int(make.fd(cutter.cut_page(source, 1, black.height, *resolution).octets))


async def text_of(client: PageClient, page: int, **options: Any) -> PageReading:
    found = await client.read(page, ReadOptions(3, ("eng",), **options))
    assert isinstance(found, PageReading), found
    return found


@pytest.mark.parametrize("resolution", [FINE, STANDARD])
@pytest.mark.parametrize("coding", ["group4", "group3"])
async def test_the_text_and_where_it_stands(
    client: PageClient, make: Make, resolution: tuple[int, int], coding: str
) -> None:
    found = await text_of(client, file(make, letter(), resolution, coding))
    assert found.text.split("\n")[:1] == [LINES[0]]
    assert " ".join(found.text.split()) == " ".join(LINES)
    assert (found.page, found.language, found.turned, found.problem, found.barcodes) == (3, "eng", 0, "", ())
    each = 1 if resolution == FINE else 2
    assert found.rows == 900 // each
    first = found.words[0]
    assert first.text == "Invoice" and first.confidence > 80 and (first.line, first.block) == (0, 0)
    assert abs(first.box.left - 200) < 12
    assert 150 <= first.box.top * each <= 175 and 180 <= first.box.bottom * each <= 205
    assert [word.line for word in found.words if word.text in ("Please", "before")] == [1, 2]


@pytest.mark.parametrize("turn", [90, 180, 270])
async def test_a_page_that_lies_otherwise_is_read_all_the_same(client: PageClient, make: Make, turn: int) -> None:
    """`turned` says how far it must be turned; the boxes are those of the page as it came."""
    lying = letter(1728).transpose(
        {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}[turn]
    )
    found = await text_of(client, file(make, lying))
    assert "Invoice 4711 of the Example Company" in found.text
    assert found.turned == turn
    box = next(word.box for word in found.words if word.text == "Invoice")
    ink = 255 - np.asarray(lying)[box.top : box.bottom, box.left : box.right]
    assert ink.mean() > 25  # there is a word where the box says


async def test_barcodes_beside_text(client: PageClient, make: Make) -> None:
    found = await text_of(client, file(make, with_codes()), barcodes=True)
    assert {(code.kind, code.text) for code in found.barcodes} == {
        (Symbology.CODE128, "ACME-0815"),
        (Symbology.QR, "id=4711"),
    }
    assert " ".join(LINES) in " ".join(found.text.split())
    qr = next(code.box for code in found.barcodes if code.kind is Symbology.QR)
    assert 1000 <= qr.left < qr.right <= 1300 and 450 <= qr.top < qr.bottom <= 750


async def test_barcodes_alone_read_no_text(client: PageClient, make: Make) -> None:
    found = await client.read(file(make, with_codes()), ReadOptions(1, barcodes=True))
    assert isinstance(found, PageReading)
    assert len(found.barcodes) == 2 and (found.text, found.words, found.language) == ("", (), "")


async def test_a_language_that_is_not_installed_is_said_and_costs_no_barcode(client: PageClient, make: Make) -> None:
    found = await client.read(file(make, with_codes()), ReadOptions(1, ("xxx",), True))
    assert isinstance(found, PageReading)
    assert found.problem == "text: no language data for xxx" and len(found.barcodes) == 2


@pytest.mark.parametrize("rows", [1, 7, 900])
async def test_an_empty_page_has_no_text(client: PageClient, make: Make, rows: int) -> None:
    found = await text_of(client, file(make, Image.new("L", (1728, rows), 255)), barcodes=True)
    assert (found.text, found.words, found.barcodes, found.problem) == ("", (), (), "")


@pytest.mark.parametrize("octets", [b"", b"II*\0", b"no TIFF at all", os.urandom(5000)])
async def test_what_is_no_page_is_refused(client: PageClient, make: Make, octets: bytes) -> None:
    found = await client.read(make.fd(octets), ReadOptions(1, ("eng",), True))
    assert isinstance(found, Refused) and found.reason is Reason.DAMAGED


async def test_garbage_on_a_page_ends_in_time(client: PageClient, make: Make) -> None:
    """A page of noise may be read as anything or nothing; the next page is read as ever."""
    noise = Image.fromarray(np.random.default_rng(1).random((1100, 1728)) < 0.5).convert("L")
    found = await client.read(file(make, noise), ReadOptions(1, ("eng",), True))
    assert isinstance(found, PageReading | Refused)
    assert "Invoice" in (await text_of(client, file(make, letter()))).text


async def test_specks_are_taken_off_and_strokes_stay() -> None:
    page = np.zeros((20, 20), np.bool_)
    page[3, 3] = page[0, 0] = True
    page[10, 5:9] = True
    page[15, 15] = page[16, 16] = True
    clean = read.despeckled(page)
    assert clean.sum() == 6 and not clean[3, 3] and not clean[0, 0]


@pytest.mark.parametrize("y_resolution, rows, each", [(7700, 100, 1.0), (3850, 200, 2.0), (15_400, 50, 0.5)])
async def test_every_resolution_comes_to_square_pixels(y_resolution: int, rows: int, each: float) -> None:
    page = read.prepare(np.zeros((100, 64), np.bool_), 8031, y_resolution)
    assert page.crisp.shape == page.smooth.shape == (rows, 64)
    assert page.rows_each == each and page.crisp.min() == 255


async def test_the_same_code_seen_by_both_readers_counts_once() -> None:
    picture = np.asarray(with_codes())
    both = barcode.read(picture)
    assert sorted(seen.text for seen in both) == ["ACME-0815", "id=4711"]
    assert [seen.text for seen in barcode.read(picture, zxing=False)] == ["ACME-0815"]  # ZBar's part is linear codes
    assert [seen.top for seen in both] == sorted(seen.top for seen in both)


async def test_the_languages_of_the_set_up_are_there() -> None:
    assert {"eng", "fra", "deu", "osd"} <= ocr.installed()
