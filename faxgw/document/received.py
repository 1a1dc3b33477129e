"""A received fax as PDF (page process only): its own G4 strips lifted out of the TIFF pages and wrapped.

Each page is a TIFF file of one strip, as the call worker cut it out (docs/transport.md J.1). G4 data go through as
they are; another coding is decoded and coded again, because a damaged G3 stream within a PDF is at the viewer's mercy.
The result is read back twice before it leaves: by our strict reader, and by PDFium.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from types import MappingProxyType

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from faxgw.document import likeness, pdf_out, refusal, strips, tiff
from faxgw.document.limits import MAX_THUMBNAIL, Limits
from faxgw.document.pdf_out import BadPdf, Picture
from faxgw.document.refusal import DocumentRefused
from faxgw.document.render import memory_file
from faxgw.document.types import PdfMade, PdfOptions, PdfPage, Reason, TiffPart
from faxgw.fax.reading import PageReading

MAX_PRINTS = 20
"""Pages of a fax that are compared with others."""
SHADES = 16
"""Greys of page 1's picture; a level each, for choosing them by the page takes longer than all the rest."""
_SHADE_OF = bytes((value * (SHADES - 1) + 127) // 255 for value in range(256))
_SHADES = bytes(shade * 255 // (SHADES - 1) for shade in range(SHADES) for _channel in "RGB")
_TOLERANCE = 0.02
"""Points by which PDFium's page size may differ: it computes in 32-bit floats."""


def make(
    fd: int, options: PdfOptions, limits: Limits, readings: Mapping[int, PageReading] = MappingProxyType({})
) -> PdfMade:
    """Make the PDF in a new memory file.

    Args:
        fd: The pages' TIFF files, one behind the other.
        options: Where each begins, and what the file is called.
        limits: Pixels of a page.
        readings: What was read, by page.

    Raises:
        DocumentRefused: If a page is no such file, or the result does not read back as it was meant.
    """
    facts: list[PdfPage] = []
    thumbnail: bytes | None = None
    out = os.memfd_create("pdf", os.MFD_CLOEXEC)
    with tiff.open_sink(out) as sink:
        writer = pdf_out.Writer(
            sink, options.title, options.created, archival=options.archival, text=options.searchable
        )
        for number, part in enumerate(options.parts, 1):
            data = os.pread(fd, part.octets, part.offset)
            picture, passed = _picture(data, part, number, limits)
            reading = readings.get(number)
            words, turned = ((), 0) if reading is None else (reading.words, reading.turned)
            writer.add(picture, words, turned, turn=options.upright)
            size = writer.size(picture)
            grey = _grey(data) if options.thumbnail_px and number <= MAX_PRINTS else None
            looks = (-1.0, b"") if grey is None else _looks(grey, *size)
            facts.append(PdfPage(picture.width, picture.rows, *size, len(picture.data), passed, *looks))
            if number == 1 and grey is not None:
                thumbnail = _thumbnail(grey, picture, min(options.thumbnail_px, MAX_THUMBNAIL))
        writer.finish()
    _read_back(out, facts)
    return PdfMade(out, tuple(facts), memory_file(thumbnail))


def _grey(data: bytes) -> Image.Image | None:
    """The page to look at, decoded once; None when it cannot be: the fax goes without its picture."""
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            return image.convert("L")
    except (OSError, ValueError):
        return None


def _looks(grey: Image.Image, width_pt: float, height_pt: float) -> tuple[float, bytes]:
    """Ink and print of a page, by which copies are found."""
    return likeness.of_page(grey, width_pt * 25.4 / 72, height_pt * 25.4 / 72)


def _picture(data: bytes, part: TiffPart, number: int, limits: Limits) -> tuple[Picture, bool]:
    """The page's picture, and whether its data went through as they were."""
    try:
        if len(data) != part.octets:
            raise ValueError("cut off")
        facts = strips.facts(data, limits.pixels)
        size = facts.width, facts.rows, facts.x_resolution, facts.y_resolution
        if facts.coding == strips.T6:
            return Picture(strips.as_is(data, facts), *size, inverted=strips.inverted(facts)), True
        return Picture(strips.coded_again(data), *size), False
    except (ValueError, KeyError, OSError) as exc:
        raise refusal.damaged("the received fax", number) from exc


def _thumbnail(grey: Image.Image, picture: Picture, width_px: int) -> bytes:
    """A PNG of the page in SHADES greys with square pixels, at most three times as high as wide."""
    across, down = picture.points
    height = max(1, round(width_px * down / across))
    if height > 3 * width_px:
        grey = grey.crop((0, 0, grey.width, max(1, grey.height * 3 * width_px // height)))
        height = 3 * width_px
    small = grey.resize((width_px, height), Image.Resampling.BOX)
    shaded = Image.frombytes("P", small.size, small.tobytes().translate(_SHADE_OF))
    shaded.putpalette(_SHADES)
    out = io.BytesIO()
    shaded.save(out, "PNG", bits=4)
    return out.getvalue()


def _read_back(fd: int, facts: list[PdfPage]) -> None:
    """Compare the file with what was meant.

    Raises:
        DocumentRefused: If it differs.
    """
    try:
        ours = [(*page.points, page.width, page.rows) for page in pdf_out.read(fd)]
    except BadPdf as exc:
        raise _unsound(str(exc)) from exc
    if ours != [(page.width_pt, page.height_pt, page.width, page.rows) for page in facts]:
        raise _unsound("pages other than meant")
    document = pypdfium2.PdfDocument(os.pread(fd, os.fstat(fd).st_size, 0))
    try:
        if len(document) != len(facts):
            raise _unsound("PDFium counts other pages")
        for index, page in enumerate(facts):
            _compare(document[index], page, index + 1)
    except pypdfium2.PdfiumError as exc:
        raise _unsound(str(exc)) from exc
    finally:
        document.close()


def _compare(page: pypdfium2.PdfPage, meant: PdfPage, number: int) -> None:
    """One page as PDFium sees it: its size, and one picture of the right pixels."""
    left, bottom, right, top = page.get_mediabox()  # its size as it stands, however it is to be turned
    width, height = right - left, top - bottom
    pictures = list(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]))
    sizes = [picture.get_px_size() for picture in pictures]
    page.close()
    if abs(width - meant.width_pt) > _TOLERANCE or abs(height - meant.height_pt) > _TOLERANCE:
        raise _unsound(f"page {number} has another size")
    if sizes != [(meant.width, meant.rows)]:
        raise _unsound(f"page {number} shows another picture")


def _unsound(why: str) -> DocumentRefused:
    return refusal.mail(Reason.DAMAGED, f"The PDF of the received fax does not read back: {why}.")
