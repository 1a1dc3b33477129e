"""TIFF-F files: our own container around CCITT strips, its writer and its strict reader. Pure Python, no converter.

One strip per page, min-is-white, MSB first, 204 x 98, 204 x 196 or 204 x 391 dots per inch, the tags of TIFF class F
(RFC 2306).
The reader accepts exactly this layout and checks that every strip lies in the file: libspandsp reports success for a
truncated file, so a file is read back before anybody trusts it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from faxgw.document.limits import MAX_IFD
from faxgw.document.types import Resolution

WIDTH = 1728
"""Pixels of a row: 215 mm at 204 dots per inch (ITU-T T.4 table 1, ISO A4)."""
DPI_X = 204
"""Dots per inch across."""
DPI_Y = {Resolution.STANDARD: 98, Resolution.FINE: 196, Resolution.SUPERFINE: 391}
"""Rows per inch."""
MAX_ROWS = 20_000
"""Rows of one page; libspandsp was seen to send that many."""

_BYTE_ORDER = b"II*\0"
_LONG, _SHORT, _RATIONAL, _ASCII = 4, 3, 5, 2
_SOFTWARE = b"faxgw\0"
_T6 = 4  # Compression: CCITT T.6
_ENTRIES = 19


class BadTiff(Exception):
    """The file is not one of ours, or it is damaged."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One coded page."""

    data: bytes
    """ITU-T T.6 (MMR), MSB first, 1 = black."""
    rows: int
    """Rows; each WIDTH pixels."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a file as its directory tells it."""

    width: int
    rows: int
    resolution: Resolution
    offset: int
    """Of the strip in the file."""
    octets: int
    """Of the strip."""


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def write(sink: _Sink, strips: Iterable[Strip], resolution: Resolution, total: int) -> None:
    """Write a file, page by page.

    Args:
        sink: Written in sequence from its start.
        strips: The pages.
        resolution: Of all of them.
        total: How many there will be; the last one's directory ends the chain.

    Raises:
        ValueError: If `strips` yields another number of pages.
    """
    writer = Writer(sink, resolution, total)
    for strip in strips:
        writer.add(strip)
    writer.finish()


class Writer:
    """Writes a file as its pages come; each page is its directory followed by its strip."""

    def __init__(self, sink: _Sink, resolution: Resolution, total: int) -> None:
        self._sink = sink
        self._resolution = resolution
        self._total = total
        self._done = 0
        sink.write(_BYTE_ORDER + struct.pack("<I", 8))
        self._position = 8

    def add(self, strip: Strip) -> None:
        """Append one page."""
        if self._done == self._total:
            raise ValueError(f"more than {self._total} pages")
        head = _directory(strip, self._resolution, self._position, self._done, self._total)
        padding = b"\0" * (len(strip.data) % 2)
        self._sink.write(head + strip.data + padding)
        self._position += len(head) + len(strip.data) + len(padding)
        self._done += 1

    def finish(self) -> None:
        """Check that all pages came."""
        if self._done != self._total:
            raise ValueError(f"{self._done} pages instead of {self._total}")


def read(fd: int) -> list[Page]:
    """Read the directories of a file that `write` made.

    Raises:
        BadTiff: If anything differs from what `write` makes, or a strip does not lie within the file.
    """
    size = os.fstat(fd).st_size
    head = os.pread(fd, 8, 0)
    if len(head) != 8 or head[:4] != _BYTE_ORDER:
        raise BadTiff("no TIFF header")
    (offset,) = struct.unpack_from("<I", head, 4)
    pages: list[Page] = []
    while offset:
        if len(pages) == MAX_IFD:
            raise BadTiff("too many directories")
        page, following = _read_page(fd, offset, size)
        if following and following <= offset:
            raise BadTiff("directories do not follow one another")
        pages.append(page)
        offset = following
    return pages


def read_strip(fd: int, page: Page) -> Strip:
    """Read one page's coded data."""
    data = os.pread(fd, page.octets, page.offset)
    if len(data) != page.octets:
        raise BadTiff("strip cut off")
    return Strip(data, page.rows)


def open_sink(fd: int) -> BinaryIO:
    """A buffered file around a descriptor that stays open."""
    return os.fdopen(os.dup(fd), "wb", buffering=256 * 1024)


def _directory(strip: Strip, resolution: Resolution, position: int, index: int, total: int) -> bytes:
    """The directory of a page with its out-of-line values; the strip follows it directly."""
    start = position + 2 + _ENTRIES * 12 + 4
    software = start + 16
    strip_at = software + len(_SOFTWARE) + len(_SOFTWARE) % 2
    following = 0 if index == total - 1 else strip_at + len(strip.data) + len(strip.data) % 2
    entries = [
        (254, _LONG, 1, 2),  # NewSubfileType: one page of many
        (256, _LONG, 1, WIDTH),
        (257, _LONG, 1, strip.rows),
        (258, _SHORT, 1, 1),  # BitsPerSample
        (259, _SHORT, 1, _T6),
        (262, _SHORT, 1, 0),  # PhotometricInterpretation: min is white
        (266, _SHORT, 1, 1),  # FillOrder: MSB first
        (273, _LONG, 1, strip_at),
        (274, _SHORT, 1, 1),  # Orientation
        (277, _SHORT, 1, 1),  # SamplesPerPixel
        (278, _LONG, 1, strip.rows),  # RowsPerStrip
        (279, _LONG, 1, len(strip.data)),
        (282, _RATIONAL, 1, start),
        (283, _RATIONAL, 1, start + 8),
        (284, _SHORT, 1, 1),  # PlanarConfiguration
        (293, _LONG, 1, 0),  # T6Options
        (296, _SHORT, 1, 2),  # ResolutionUnit: inch
        (297, _SHORT, 2, (index & 0xFFFF) | (total & 0xFFFF) << 16),  # PageNumber, from 0
        (305, _ASCII, len(_SOFTWARE), software),
    ]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    values = struct.pack("<IIII", DPI_X, 1, DPI_Y[resolution], 1)
    out = struct.pack("<H", len(entries)) + packed + struct.pack("<I", following) + values + _SOFTWARE
    return out + b"\0" * (len(out) % 2)


def _read_page(fd: int, offset: int, size: int) -> tuple[Page, int]:
    """One directory and the offset of the next."""
    length = 2 + _ENTRIES * 12 + 4
    raw = os.pread(fd, length, offset)
    if len(raw) != length or struct.unpack_from("<H", raw)[0] != _ENTRIES:
        raise BadTiff("damaged directory")
    tags = {tag: found for tag, _kind, _count, found in struct.iter_unpack("<HHII", raw[2:-4])}
    rows, at, octets = tags.get(257, 0), tags.get(273, 0), tags.get(279, 0)
    fixed = {256: WIDTH, 258: 1, 259: _T6, 262: 0, 266: 1, 277: 1, 278: rows, 296: 2}
    if any(tags.get(tag) != wanted for tag, wanted in fixed.items()) or not 0 < rows <= MAX_ROWS:
        raise BadTiff("not a fax page of ours")
    if not octets or at + octets > size:
        raise BadTiff("strip outside the file")
    vertical = struct.unpack("<II", _exactly(fd, 8, tags.get(283, 0)))
    resolution = next((name for name, dpi in DPI_Y.items() if vertical == (dpi, 1)), None)
    if resolution is None:
        raise BadTiff("unknown resolution")
    return Page(WIDTH, rows, resolution, at, octets), struct.unpack_from("<I", raw, length - 4)[0]


def _exactly(fd: int, length: int, offset: int) -> bytes:
    data = os.pread(fd, length, offset)
    if len(data) != length:
        raise BadTiff("file cut off")
    return data
