"""PDF files around fax strips: our own container, its writer and its strict reader. Pure Python, no converter.

One picture a page, its ITU-T T.6 data as they were received (CCITTFaxDecode, ISO 32000-1 section 7.4.6), drawn over
the whole of a page that has exactly the picture's physical size: 204 × 98 comes out as square as it lay on the paper.
On it, where wanted, lies invisible text (`pdf_text`), around it what PDF/A wants (`pdf_archive`). The
reader accepts this layout only; it finds out whether a file is whole before anybody sends it.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from faxgw.document import pdf_archive, pdf_text
from faxgw.fax.reading import Word

POINTS_PER_METRE = 72 / 0.0254
"""PDF's unit of length (ISO 32000-1 section 8.3.2.3)."""
MAX_PAGES = 10_000
"""Pages of a file that the reader counts."""
_MARK = b"\n%\xe2\xe3\xcf\xd3\n"
_HEAD = b"%PDF-1.4" + _MARK
_HEADS = (_HEAD, pdf_archive.VERSION + _MARK)
_PER_PAGE = 3
_FIRST = 4
"""Number of the first object that not every file has; pages follow these."""
_MOST = pdf_archive.OBJECTS + pdf_text.OBJECTS
_MAX_TAIL = 64 + 20 * (_FIRST + _MOST + _PER_PAGE * MAX_PAGES) + 512
_TRAILER = re.compile(
    rb"trailer\n<< /Size (\d+) /Root 1 0 R /Info 3 0 R /ID \[<\w+> <\w+>\] >>\nstartxref\n(\d+)\n%%EOF\n"
)
_PAGE = re.compile(
    rb"(\d+) 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\] "
    rb"(?:/Rotate (?:90|180|270) )?/Resources << (?:/Font << /T \d+ 0 R >> )?/XObject << /Im (\d+) 0 R >> >> "
    rb"/Contents \d+ 0 R >>\nendobj\n"
)
_PAGES = re.compile(rb"2 0 obj\n<< /Type /Pages /Count (\d+) /Kids \[(\d+) 0 R")
_IMAGE = re.compile(
    rb"(\d+) 0 obj\n<< /Type /XObject /Subtype /Image /Width (\d+) /Height (\d+) /ColorSpace /DeviceGray "
    rb"/BitsPerComponent 1 /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns \d+ /Rows \d+ "
    rb"/BlackIs1 (?:true|false) >> /Length (\d+) >>\nstream\n"
)


class BadPdf(Exception):
    """The file is not one of ours, or it is damaged."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One page's picture."""

    data: bytes
    """ITU-T T.6, most significant bit first, 1728 or so pixels a row."""
    width: int
    """Pixels."""
    rows: int
    x_resolution: float
    """Pixels per metre."""
    y_resolution: float
    """Pixels per metre."""
    inverted: bool = False
    """True when the data were coded with black and white exchanged (TIFF's min-is-black)."""

    @property
    def points(self) -> tuple[float, float]:
        """Width and height on paper, in points, as the file says them."""
        across, down = self.width / self.x_resolution, self.rows / self.y_resolution
        return round(across * POINTS_PER_METRE, 2), round(down * POINTS_PER_METRE, 2)


@dataclass(frozen=True, slots=True)
class Page:
    """A page as the reader found it."""

    points: tuple[float, float]
    """Width and height."""
    width: int
    rows: int
    octets: int
    """Of the picture's data."""


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Writer:
    """Writes a file page by page; memory holds one page.

    Args:
        sink: Written in sequence from its start.
        title: Shown by viewers.
        created: With its time zone.
        archival: Make a PDF/A-2b.
        text: Pages have text.
    """

    def __init__(
        self, sink: _Sink, title: str, created: datetime, *, archival: bool = False, text: bool = False
    ) -> None:
        self._sink = sink
        self._position = 0
        self._offsets: dict[int, int] = {}
        self._pages = 0
        self._hash = hashlib.sha256(title.encode())
        self._archival = archival
        self._font = _FIRST + pdf_archive.OBJECTS * archival if text else 0
        extra = [
            *(pdf_archive.objects(title, created) if archival else []),
            *(pdf_text.objects(self._font) if text else []),
        ]
        self._first_page = _FIRST + len(extra)
        self._put(_HEADS[archival])
        stamp = created.strftime("D:%Y%m%d%H%M%S%z")
        date = f"{stamp[:-5]}{stamp[-5:-2]}'{stamp[-2:]}'".encode()
        self._object(
            3,
            b"<< /Title %s /Producer (faxgw) /CreationDate (%s)%s >>"
            % (_text(title), date, b" /ModDate (%s)" % date if archival else b""),
        )
        for number, body in enumerate(extra, _FIRST):
            self._object(number, body)

    def size(self, picture: Picture) -> tuple[float, float]:
        """Width and height that a picture's page will have, in points."""
        return pdf_archive.clamped(picture.points) if self._archival else picture.points

    def add(self, picture: Picture, words: Sequence[Word] = (), turned: int = 0, *, turn: bool = False) -> None:
        """Append a page.

        Args:
            picture: What it shows.
            words: Its text, in a file that was begun with `text`.
            turned: Degrees clockwise by which it must be turned to be read.
            turn: Have the viewer turn it so.
        """
        number = self._first_page + _PER_PAGE * self._pages
        self._pages += 1
        width, height = self.size(picture)
        draw = b"q %s 0 0 %s 0 0 cm /Im Do Q" % (_real(width), _real(height))
        packed = b""
        if self._font:
            sheet = pdf_text.Sheet(picture.width, picture.rows, (width, height), turned)
            draw, packed = zlib.compress(draw + b"\n" + pdf_text.layer(words, sheet)), b" /Filter /FlateDecode"
        self._object(
            number,
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] %s/Resources << %s/XObject << /Im %d 0 R >> >> "
            b"/Contents %d 0 R >>"
            % (
                _real(width),
                _real(height),
                b"/Rotate %d " % turned if turn and turned else b"",
                b"/Font << /T %d 0 R >> " % self._font if self._font else b"",
                number + 2,
                number + 1,
            ),
        )
        self._object(number + 1, b"<< /Length %d%s >>\nstream\n%s\nendstream" % (len(draw), packed, draw))
        head = (
            b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 1 "
            b"/Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns %d /Rows %d /BlackIs1 %s >> /Length %d >>"
            % (
                picture.width,
                picture.rows,
                picture.width,
                picture.rows,
                b"true" if picture.inverted else b"false",
                len(picture.data),
            )
        )
        self._object(number + 2, head + b"\nstream\n" + picture.data + b"\nendstream")
        self._hash.update(picture.data)

    def finish(self) -> None:
        """Write catalogue, page tree, cross-reference table and trailer.

        Raises:
            ValueError: If no page was added.
        """
        if not self._pages:
            raise ValueError("a PDF without pages")
        kids = b" ".join(b"%d 0 R" % (self._first_page + _PER_PAGE * index) for index in range(self._pages))
        self._object(2, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (self._pages, kids))
        more = pdf_archive.catalogue(_FIRST) if self._archival else b""
        self._object(1, b"<< /Type /Catalog /Pages 2 0 R%s >>" % more)
        table, size = self._position, len(self._offsets) + 1
        self._put(b"xref\n0 %d\n0000000000 65535 f \n" % size)
        self._put(b"".join(b"%010d 00000 n \n" % self._offsets[number] for number in range(1, size)))
        identity = self._hash.hexdigest()[:32].encode()
        self._put(
            b"trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R /ID [<%s> <%s>] >>\nstartxref\n%d\n%%%%EOF\n"
            % (size, identity, identity, table)
        )

    def _object(self, number: int, body: bytes) -> None:
        self._offsets[number] = self._position
        self._put(b"%d 0 obj\n%s\nendobj\n" % (number, body))

    def _put(self, data: bytes) -> None:
        self._sink.write(data)
        self._position += len(data)


def read(fd: int) -> list[Page]:
    """The pages of a file that `Writer` made, each of its objects looked at in its place.

    Raises:
        BadPdf: If anything differs from what `Writer` makes.
    """
    size = os.fstat(fd).st_size
    tail = os.pread(fd, min(size, _MAX_TAIL), max(0, size - _MAX_TAIL))
    match = _TRAILER.search(tail, max(0, len(tail) - 512))
    if os.pread(fd, len(_HEAD), 0) not in _HEADS or match is None or match.end() != len(tail):
        raise BadPdf("no PDF of ours, or cut off")
    objects, table = int(match[1]), int(match[2])
    if not 1 < objects <= _FIRST + _MOST + _PER_PAGE * MAX_PAGES:
        raise BadPdf("wrong number of objects")
    head = b"xref\n0 %d\n" % objects
    raw = os.pread(fd, len(head) + 20 * objects, table)
    if not raw.startswith(head) or len(raw) != len(head) + 20 * objects:
        raise BadPdf("no cross-reference table")
    offsets = [_offset(raw[len(head) + 20 * number :][:20]) for number in range(1, objects)]
    tree = _PAGES.match(os.pread(fd, 400, offsets[1]))
    pages, first = (0, 0) if tree is None else (int(tree[1]), int(tree[2]))
    if not _FIRST <= first <= _FIRST + _MOST or pages < 1 or objects != first + _PER_PAGE * pages:
        raise BadPdf("wrong number of objects")
    return [_read_page(fd, first + _PER_PAGE * index, offsets, size) for index in range(pages)]


def _offset(entry: bytes) -> int:
    if not re.fullmatch(rb"\d{10} 00000 n \n", entry):
        raise BadPdf("damaged cross-reference table")
    return int(entry[:10])


def _read_page(fd: int, number: int, offsets: list[int], size: int) -> Page:
    page = _PAGE.match(os.pread(fd, 400, offsets[number - 1]))
    at = offsets[number + 1]
    image = _IMAGE.match(os.pread(fd, 400, at))
    if page is None or image is None or (int(page[1]), int(page[4]), int(image[1])) != (number, number + 2, number + 2):
        raise BadPdf(f"damaged page object {number}")
    octets = int(image[4])
    end = b"\nendstream\nendobj\n"
    after = at + image.end() + octets
    if not octets or after + len(end) > size or os.pread(fd, len(end), after) != end:
        raise BadPdf(f"picture of page object {number} is cut off")
    return Page((float(page[2]), float(page[3])), int(image[2]), int(image[3]), octets)


def _real(value: float) -> bytes:
    return f"{value:.2f}".encode()


def _text(text: str) -> bytes:
    """A text string as hexadecimal UTF-16 (ISO 32000-1 section 7.9.2.2)."""
    return b"<" + (b"\xfe\xff" + text.encode("utf-16-be", "replace")).hex().encode() + b">"
