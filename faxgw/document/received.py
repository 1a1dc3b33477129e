"""A received fax as PDF (page process only): its own G4 strips lifted out of the TIFF pages and wrapped.

Each page is a TIFF file of one strip, as the call worker cut it out (docs/transport.md J.1). G4 data go through as
they are; another coding is decoded and coded again, because a damaged G3 stream within a PDF is at the viewer's mercy.
The result is read back twice before it leaves: by our strict reader, and by PDFium.
"""

from __future__ import annotations

import io
import math
import os
import struct

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from faxgw.document import pdf_out, refusal, tiff
from faxgw.document.limits import MAX_THUMBNAIL, Limits
from faxgw.document.pdf_out import BadPdf, Picture
from faxgw.document.refusal import DocumentRefused
from faxgw.document.render import memory_file
from faxgw.document.types import PdfMade, PdfOptions, PdfPage, Reason, TiffPart

_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_T6 = 4
_CENTIMETRE, _INCH = 3, 2
_MAX_ENTRIES = 64
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_TOLERANCE = 0.02
"""Points by which PDFium's page size may differ: it computes in 32-bit floats."""


def make(fd: int, options: PdfOptions, limits: Limits) -> PdfMade:
    """Make the PDF in a new memory file.

    Args:
        fd: The pages' TIFF files, one behind the other.
        options: Where each begins, and what the file is called.
        limits: Pixels of a page.

    Raises:
        DocumentRefused: If a page is no such file, or the result does not read back as it was meant.
    """
    facts: list[PdfPage] = []
    thumbnail: bytes | None = None
    out = os.memfd_create("pdf", os.MFD_CLOEXEC)
    with tiff.open_sink(out) as sink:
        writer = pdf_out.Writer(sink, options.title, options.created)
        for number, part in enumerate(options.parts, 1):
            data = os.pread(fd, part.octets, part.offset)
            picture, passed = _picture(data, part, number, limits)
            writer.add(picture)
            facts.append(PdfPage(picture.width, picture.rows, *picture.points, len(picture.data), passed))
            if number == 1 and options.thumbnail_px:
                thumbnail = _thumbnail(data, picture, min(options.thumbnail_px, MAX_THUMBNAIL))
        writer.finish()
    _read_back(out, facts)
    return PdfMade(out, tuple(facts), memory_file(thumbnail))


def _picture(data: bytes, part: TiffPart, number: int, limits: Limits) -> tuple[Picture, bool]:
    """The page's picture, and whether its data went through as they were."""
    try:
        if len(data) != part.octets:
            raise ValueError("cut off")
        tags = _tags(data)
        width, rows = tags[256], tags[257]
        if not 0 < width * rows <= limits.pixels:
            raise ValueError("too large")
        across, down = _resolution(data, tags, 282), _resolution(data, tags, 283)
        if tags.get(259) == _T6:
            return _as_is(data, tags, width, rows, across, down), True
        return Picture(_coded_again(data), width, rows, across, down), False
    except (ValueError, KeyError, struct.error, OSError) as exc:
        raise refusal.damaged("the received fax", number) from exc


def _as_is(data: bytes, tags: dict[int, int], width: int, rows: int, across: float, down: float) -> Picture:
    start, size = tags[273], tags[279]
    strip = data[start : start + size]
    if not size or len(strip) != size or tags.get(278, rows) < rows:
        raise ValueError("strip outside the file")
    if tags.get(266, 1) == 2:
        strip = strip.translate(_REVERSED)
    return Picture(strip, width, rows, across, down, inverted=tags.get(262, 0) == 1)


def _coded_again(data: bytes) -> bytes:
    """Decode whatever it is, and code it as ITU-T T.6 with 1 = black."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        page = image.convert("1")
    turned = Image.frombytes("1", page.size, page.tobytes("raw", "1;I"), "raw", "1")
    out = io.BytesIO()
    turned.save(out, "TIFF", compression="group4", tiffinfo={278: page.height})
    with Image.open(out) as written:
        tags = getattr(written, "tag_v2")  # noqa: B009 - only TIFF images have it
        (offset,), (length,) = tags[273], tags[279]
    return out.getvalue()[offset : offset + length]


def _tags(data: bytes) -> dict[int, int]:
    """First values of the first directory; little-endian only, as the call worker writes."""
    if data[:4] != b"II*\0":
        raise ValueError("no TIFF file")
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    if not 0 < count <= _MAX_ENTRIES:
        raise ValueError("damaged directory")
    found = {}
    for index in range(count):
        tag, kind, items = struct.unpack_from("<HHI", data, at + 2 + 12 * index)
        if tag in (273, 279) and items != 1:
            raise ValueError("more than one strip")
        (value,) = struct.unpack_from("<H" if kind == _SHORT else "<I", data, at + 10 + 12 * index)
        if kind in (_SHORT, _LONG, _RATIONAL):
            found[tag] = value
    return found


def _resolution(data: bytes, tags: dict[int, int], tag: int) -> float:
    """Pixels per metre."""
    above, below = struct.unpack_from("<II", data, tags[tag])
    unit = {_CENTIMETRE: 100.0, _INCH: 1 / 0.0254}[tags.get(296, _INCH)]
    value = above / below * unit if below else math.nan
    if not 1_000 <= value <= 100_000:  # 25 to 2,540 dots per inch
        raise ValueError("no resolution")
    return value


def _thumbnail(data: bytes, picture: Picture, width_px: int) -> bytes:
    """A grey PNG of the page with square pixels, at most three times as high as wide."""
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        grey = image.convert("L")
    across, down = picture.points
    height = max(1, round(width_px * down / across))
    if height > 3 * width_px:
        grey = grey.crop((0, 0, grey.width, max(1, grey.height * 3 * width_px // height)))
        height = 3 * width_px
    small = grey.resize((width_px, height), Image.Resampling.BOX)
    out = io.BytesIO()
    small.quantize(16, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
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
    width, height = page.get_size()
    pictures = list(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]))
    sizes = [picture.get_px_size() for picture in pictures]
    page.close()
    if abs(width - meant.width_pt) > _TOLERANCE or abs(height - meant.height_pt) > _TOLERANCE:
        raise _unsound(f"page {number} has another size")
    if sizes != [(meant.width, meant.rows)]:
        raise _unsound(f"page {number} shows another picture")


def _unsound(why: str) -> DocumentRefused:
    return refusal.mail(Reason.DAMAGED, f"The PDF of the received fax does not read back: {why}.")
