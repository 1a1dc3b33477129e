"""Received faxes as PDF/A, with text, turned, as TIFF and as files of what was read, all through the page process."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pypdf
import pypdfium2
import pytest
from PIL import Image, ImageCms

from faxgw.document import pdf_archive, pdf_out, pdf_text
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.document.types import WriteOptions
from faxgw.fax.reading import Barcode, Box, PageReading, Symbology, Word
from faxgw.fax.received_document import FACTS, WRITTEN, Format
from faxgw.t30 import tiff as cutter

pytestmark = pytest.mark.asyncio(loop_scope="module")

Make = Any  # conftest's class; tests import nothing from one another
WHEN = datetime(2026, 11, 22, 4, 5, 6, tzinfo=UTC)
FINE, STANDARD = (8031, 7700), (8031, 3850)
TITLE = "Fax <Müller> & Söhne > +33"


def page_file(make: Make, image: Image.Image, resolution: tuple[int, int] = FINE, coding: str = "group4") -> bytes:
    source = make.fd(make.image(image, "TIFF", compression=coding, tiffinfo={278: image.height}))
    return cutter.cut_page(source, 1, image.height, *resolution).octets


def contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def reading(page: int, turned: int = 0) -> PageReading:
    boxes = {
        90: (Box(300, 300, 340, 480), Box(300, 160, 340, 260)),  # runs up
        270: (Box(300, 160, 340, 340), Box(300, 380, 340, 480)),  # runs down
        180: (Box(540, 200, 740, 240), Box(300, 200, 500, 240)),
    }.get(turned, (Box(300, 200, 500, 240), Box(540, 200, 640, 240)))
    words = (
        Word("Grüße", boxes[0], 95, 0, 0),
        Word("4711", boxes[1], 95, 0, 0),
        Word("\U0001f600\ufffe", Box(300, 400, 360, 440), 40, 1, 1),
    )
    codes = (Barcode(Symbology.QR, "id=1", Box(1, 2, 3, 4)),)
    return PageReading(page, 1728, 600, "Grüße 4711\n\n?\n", words, codes, "deu", turned)


async def made(client: PageClient, make: Make, *files: bytes, **options: Any) -> bytes:
    result = await client.pdf([make.fd(file) for file in files], TITLE, WHEN, **options)
    assert all(page.passed for page in result.pages)
    octets = contents(result.fd)
    pages = pdf_out.read(result.fd)
    result.close()
    assert len(pages) == len(files)
    return octets


def judged(octets: bytes, folder: Path) -> None:
    """Independent judges, those that are installed."""
    file = folder / "fax.pdf"
    file.write_bytes(octets)
    for command in (["qpdf", "--check"], ["mutool", "info"], ["pdfinfo"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
            assert (done.returncode, re.findall("(?i)warn|error:", done.stderr)) == (0, []), done.stderr


async def test_a_pdf_a_says_what_it_is_and_keeps_the_faxs_data(client: PageClient, make: Make, tmp_path: Path) -> None:
    """ISO 19005-2: version, XMP in step with the information dictionary, output intent, identity, nothing forbidden."""
    image = make.pattern(1728, 600)
    file = page_file(make, image)
    octets = await made(client, make, file, archival=True, searchable=True, readings=[reading(1)])
    judged(octets, tmp_path)
    reader = pypdf.PdfReader(io.BytesIO(octets))
    assert octets.startswith(b"%PDF-1.7\n%") and all(octet > 127 for octet in octets[10:14])
    root, information = reader.root_object, reader.metadata
    assert information is not None and information.title == TITLE
    assert "/ID" in reader.trailer and "/Encrypt" not in reader.trailer
    xmp = ET.fromstring(root["/Metadata"].get_data())  # type: ignore[attr-defined]
    said = {element.tag.rpartition("}")[2]: element.text for element in xmp.iter()}
    assert (said["part"], said["conformance"], said["li"]) == ("2", "B", TITLE)
    assert said["Producer"] == information.producer
    assert datetime.fromisoformat(str(said["CreateDate"])) == information.creation_date == WHEN
    assert datetime.fromisoformat(str(said["ModifyDate"])) == information.modification_date == WHEN
    intents: Any = root["/OutputIntents"]
    (intent,) = intents
    assert intent["/S"] == "/GTS_PDFA1" and intent["/DestOutputProfile"]["/N"] == 1
    profile = ImageCms.ImageCmsProfile(io.BytesIO(intent["/DestOutputProfile"].get_data())).profile
    assert (profile.xcolor_space.strip(), profile.device_class, profile.version) == ("GRAY", "mntr", 2.1)
    assert not re.search(
        rb"/(JavaScript|JS|AA|Launch|EmbeddedFiles|SMask|LZWDecode|F)\b(?!\w)", octets.split(b"xref")[0]
    )
    shown = reader.pages[0].images[0].image
    assert shown is not None and shown.convert("1").tobytes() == image.tobytes()


async def test_the_font_of_the_text_is_embedded_and_its_widths_agree(client: PageClient, make: Make) -> None:
    octets = await made(client, make, page_file(make, make.pattern(1728, 600)), searchable=True, readings=[reading(1)])
    reader = pypdf.PdfReader(io.BytesIO(octets))
    font: Any = reader.pages[0]["/Resources"]["/Font"]["/T"]  # type: ignore[index]
    assert font["/Encoding"] == "/Identity-H" and font["/BaseFont"] == "/" + pdf_text.NAME.decode()
    (descendant,) = (each.get_object() for each in font["/DescendantFonts"])
    assert descendant["/FontDescriptor"]["/FontFile2"].get_data() == pdf_text.font_file()
    gids = descendant["/CIDToGIDMap"].get_data()
    assert len(gids) == 131_072 and set(gids[1::2]) == {1}
    from fontTools.ttLib import TTFont

    file = TTFont(io.BytesIO(pdf_text.font_file()))
    assert descendant["/DW"] * file["head"].unitsPerEm / 1000 == file["hmtx"]["box"][0] == pdf_text.WIDTH


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("resolution", [FINE, STANDARD])
async def test_the_text_lies_where_it_was_read(
    client: PageClient, make: Make, turned: int, resolution: tuple[int, int]
) -> None:
    """PDFium, another reader, finds the words within their boxes, whichever way the page lies."""
    file = page_file(make, make.pattern(1728, 600), resolution)
    octets = await made(client, make, file, searchable=True, readings=[reading(1, turned)])
    document = pypdfium2.PdfDocument(octets)
    page = document[0]
    width, height = page.get_size()
    across, down = width / 1728, height / 600
    text = page.get_textpage()
    said = text.get_text_range().split()
    assert sorted(said[:2]) == ["4711", "Grüße"]
    box = reading(1, turned).words[0].box
    bounds = (box.left * across, height - box.bottom * down, box.right * across, height - box.top * down)
    index = text.get_text_range().index("G")
    for at in range(index, index + 5):
        left, bottom, right, top = text.get_charbox(at, loose=True)
        assert left >= bounds[0] - 2 and bottom >= bounds[1] - 2 and right <= bounds[2] + 2 and top <= bounds[3] + 2
    document.close()


async def test_no_ink_comes_with_the_text(client: PageClient, make: Make) -> None:
    file = page_file(make, Image.new("1", (1728, 600), 1))
    octets = await made(client, make, file, searchable=True, readings=[reading(1)])
    document = pypdfium2.PdfDocument(octets)
    assert document[0].render(scale=1).to_pil().convert("L").getextrema() == (255, 255)
    document.close()


async def test_upright_is_a_word_to_the_viewer_alone(client: PageClient, make: Make) -> None:
    image = make.pattern(1728, 600)
    options = {"readings": [reading(1, 180)]}
    turned = await made(client, make, page_file(make, image), upright=True, **options)
    plain = await made(client, make, page_file(make, image), **options)
    pages = [pypdf.PdfReader(io.BytesIO(octets)).pages[0] for octets in (turned, plain)]
    assert [page.rotation for page in pages] == [180, 0]
    streams = [page["/Resources"]["/XObject"]["/Im"]._data for page in pages]  # type: ignore[index]
    assert streams[0] == streams[1]


async def test_pages_of_a_pdf_a_have_sizes_that_it_allows() -> None:
    assert pdf_archive.clamped((610.0, 0.5)) == (610.0, 3.0)
    assert pdf_archive.clamped((610.0, 20_000.0)) == (610.0, 14_400.0)


@pytest.mark.parametrize("coding, compression", [("group4", 4), ("group3", 3)])
async def test_a_native_tiff_has_the_pages_as_they_came(
    client: PageClient, make: Make, coding: str, compression: int
) -> None:
    images = [make.pattern(1728, 300), make.pattern(1728, 200)]
    files = [page_file(make, images[0], FINE, coding), page_file(make, images[1], STANDARD, coding)]
    result = await client.tiff([make.fd(file) for file in files])
    octets = contents(result.fd)
    result.close()
    with Image.open(io.BytesIO(octets)) as read:
        assert getattr(read, "n_frames", 1) == 2
        for at, (image, file) in enumerate(zip(images, files, strict=True)):
            read.seek(at)
            tags = read.tag_v2  # type: ignore[attr-defined]
            assert (tags[259], tags[297], tags[296]) == (compression, (at, 2), 3)
            with Image.open(io.BytesIO(file)) as page:
                own = page.tag_v2  # type: ignore[attr-defined]
                assert octets[tags[273][0] :][: tags[279][0]] == file[own[273][0] :][: own[279][0]]
                assert tags[283] == own[283]
            assert read.convert("1").tobytes() == image.tobytes()


async def test_a_g4_tiff_is_g4_and_one_each_is_one_each(client: PageClient, make: Make) -> None:
    images = [make.pattern(1728, 300), make.pattern(1728, 200)]
    pages = [make.fd(page_file(make, image, FINE, "group3")) for image in images]
    result = await client.tiff(pages, recode=True, separate=True, turns=(0, 90))
    octets = contents(result.fd)
    result.close()
    assert len(result.parts) == 2
    for part, image, turned in zip(result.parts, images, (None, Image.Transpose.ROTATE_270), strict=True):
        with Image.open(io.BytesIO(octets[part.offset : part.offset + part.octets])) as read:
            tags = read.tag_v2  # type: ignore[attr-defined]
            assert (tags[259], getattr(read, "n_frames", 1)) == (4, 1)
            meant = image if turned is None else image.transpose(turned)
            assert (read.size, read.convert("1").tobytes()) == (meant.size, meant.tobytes())
            across, down = float(tags[282]), float(tags[283])
            assert (round(across, 1), round(down, 1)) == ((80.3, 77.0) if turned is None else (77.0, 80.3))


async def test_a_damaged_page_makes_no_tiff(client: PageClient, make: Make) -> None:
    with pytest.raises(PagesDamaged):
        await client.tiff([make.fd(b"II*\0 no page")])


@pytest.mark.parametrize("form", sorted(WRITTEN))
async def test_every_file_of_what_was_read_is_written(client: PageClient, form: Format) -> None:
    options = WriteOptions(form, "rcv_1", TITLE, "+33199", "+4989", "Müller", WHEN, 2, True)
    written = await client.write([reading(1), reading(2, 180)], options)
    octets = contents(written.fd)
    written.close()
    begins = {Format.XLSX: b"PK\x03\x04", Format.XLS: b"\xd0\xcf\x11\xe0", Format.RTF: b"{\\rtf1", Format.XML: b"<?xml"}
    assert octets.startswith(begins.get(form, b""))
    if form in (Format.TEXT, Format.HTML, Format.XML):
        assert "Grüße" in octets.decode()
    if form is Format.BARCODES:
        assert octets == b"1\tqr\tid=1\n2\tqr\tid=1\n"
    assert FACTS[form].extension


async def test_a_picture_is_no_file_of_what_was_read(client: PageClient) -> None:
    with pytest.raises(PagesDamaged):
        await client.write([], WriteOptions(Format.PDF, "rcv_1", "", "", "", "", WHEN, 1, True))


async def test_json_of_readings_is_what_is_sent() -> None:
    from faxgw.document import written
    from faxgw.fax.reading import to_json

    fd = os.memfd_create("readings")
    os.write(fd, json.dumps([to_json(reading(2))]).encode())
    assert written.load(fd) == {2: reading(2)}
    os.close(fd)
