"""The page just received, cut out of the TIFF file libspandsp is writing, and pages counted in a TIFF to be sent.

At phase D the library has written and linked the page's directory and its one strip (docs/transport.md, "Received
pages"), but it would go on and confirm the page even if its file could not be written. So the page counts only if
the directories are as many as the pages, the strip lies inside the file and the heights agree. The strip is copied
as it is, not decoded. Classic TIFF 6.0 only, either byte order.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from itertools import islice
from typing import Final

MAX_PAGES: Final = 10_000
"""Directories walked at most."""
MAX_STRIP: Final = 64 * 1024 * 1024
"""Octets of one page at most."""
_WIDTH: Final = 256
_LENGTH: Final = 257
_COMPRESSION: Final = 259
_PHOTOMETRIC: Final = 262
_FILL_ORDER: Final = 266
_STRIP_OFFSETS: Final = 273
_STRIP_COUNTS: Final = 279
_Y_RESOLUTION: Final = 283
_T4_OPTIONS: Final = 292
_T6_OPTIONS: Final = 293
_RESOLUTION_UNIT: Final = 296
_UNITS_PER_METRE: Final = {2: 1 / 0.0254, 3: 100.0}
_SHORT: Final = 3
_LONG: Final = 4
_RATIONAL: Final = 5


class PageFault(Exception):
    """The file does not hold the page it should, or is no TIFF."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page as a TIFF file of its own."""

    octets: bytes
    """The file."""
    rows: int
    width: int


@dataclass(frozen=True, slots=True)
class _Directory:
    order: str
    """`<` or `>`, for struct."""
    values: dict[int, tuple[int, int]]
    """Tag → count and first value (or the offset of the values)."""

    def value(self, tag: int, default: int | None = None) -> int:
        if tag in self.values:
            return self.values[tag][1]
        if default is None:
            raise PageFault(f"tag {tag} is missing")
        return default


def count_pages(fd: int) -> int:
    """Directories in the file.

    Raises:
        PageFault: If it is no TIFF, or its chain of directories is broken.
    """
    return len(_offsets(fd))


def finest_rows(fd: int, first: int, last: int) -> float:
    """The highest vertical resolution among pages `first` to `last`, in rows per metre; 0 if none says.

    Raises:
        PageFault: If it is no TIFF, or its chain of directories is broken.
    """
    return max((_rows_per_metre(fd, offset) for offset in islice(_offsets(fd), first - 1, last)), default=0.0)


def _rows_per_metre(fd: int, offset: int) -> float:
    directory = _directory(fd, offset)
    rational = os.pread(fd, 8, directory.value(_Y_RESOLUTION, 0))
    unit = _UNITS_PER_METRE.get(directory.value(_RESOLUTION_UNIT, 2), 0.0)
    if _Y_RESOLUTION not in directory.values or len(rational) != 8:
        return 0.0
    numerator, denominator = struct.unpack(f"{directory.order}II", rational)
    return float(numerator / denominator * unit) if denominator else 0.0


def cut_page(fd: int, number: int, rows: int, x_resolution: int, y_resolution: int) -> Page:
    """The last page of the file as a one-page TIFF.

    Args:
        fd: The file the library writes; read with pread, its offset stays.
        number: Pages the library says it has received; the directories must be as many.
        rows: Height the library's statistics say; ImageLength must be the same.
        x_resolution: Pixels per metre.
        y_resolution: Pixels per metre.

    Raises:
        PageFault: If anything does not agree: the page must not be confirmed then.
    """
    offsets = _offsets(fd)
    if len(offsets) != number:
        raise PageFault(f"{len(offsets)} directories for {number} pages")
    directory = _directory(fd, offsets[-1])
    count, start = directory.values.get(_STRIP_OFFSETS, (0, 0))
    size = directory.value(_STRIP_COUNTS)
    if count != 1 or size == 0 or size > MAX_STRIP:
        raise PageFault(f"{count} strips of {size} octets")
    if start + size > os.fstat(fd).st_size:
        raise PageFault("strip reaches beyond the file")
    if directory.value(_LENGTH) != rows:
        raise PageFault(f"{directory.value(_LENGTH)} rows in the file, {rows} counted")
    strip = os.pread(fd, size, start)
    if len(strip) != size:
        raise PageFault("strip cannot be read")
    width = directory.value(_WIDTH)
    return Page(_one_page(directory, strip, width, rows, x_resolution, y_resolution), rows, width)


def _offsets(fd: int) -> list[int]:
    head = os.pread(fd, 8, 0)
    if len(head) != 8 or head[:4] not in (b"II*\0", b"MM\0*"):
        raise PageFault("no TIFF file")
    order = "<" if head[0] == 0x49 else ">"
    (offset,) = struct.unpack(f"{order}I", head[4:])
    offsets: list[int] = []
    seen: set[int] = set()
    while offset:
        if offset in seen or len(offsets) >= MAX_PAGES:
            raise PageFault("directories form a loop")
        seen.add(offset)
        offsets.append(offset)
        count = os.pread(fd, 2, offset)
        if len(count) != 2:
            raise PageFault("directory lies beyond the file")
        link = os.pread(fd, 4, offset + 2 + 12 * struct.unpack(f"{order}H", count)[0])
        if len(link) != 4:
            raise PageFault("directory is cut off")
        (offset,) = struct.unpack(f"{order}I", link)
    return offsets


def _directory(fd: int, offset: int) -> _Directory:
    order = "<" if os.pread(fd, 1, 0) == b"I" else ">"
    (count,) = struct.unpack(f"{order}H", os.pread(fd, 2, offset))
    raw = os.pread(fd, 12 * count, offset + 2)
    values = {}
    for at in range(0, len(raw) - 11, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", raw, at)
        (value,) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'I'}", raw, at + 8)
        values[tag] = (number, value)
    return _Directory(order, values)


def _one_page(source: _Directory, strip: bytes, width: int, rows: int, x_resolution: int, y_resolution: int) -> bytes:
    """A little-endian TIFF: header, strip, two rationals, directory."""
    data_at = 8
    rationals_at = data_at + len(strip) + len(strip) % 2
    directory_at = rationals_at + 16
    compression = source.value(_COMPRESSION)
    options = _T6_OPTIONS if compression == 4 else _T4_OPTIONS
    entries = [
        (_WIDTH, _LONG, width),
        (_LENGTH, _LONG, rows),
        (258, _SHORT, 1),  # BitsPerSample
        (_COMPRESSION, _SHORT, compression),
        (_PHOTOMETRIC, _SHORT, source.value(_PHOTOMETRIC, 0)),
        (_FILL_ORDER, _SHORT, source.value(_FILL_ORDER, 1)),
        (_STRIP_OFFSETS, _LONG, data_at),
        (277, _SHORT, 1),  # SamplesPerPixel
        (278, _LONG, rows),  # RowsPerStrip
        (_STRIP_COUNTS, _LONG, len(strip)),
        (282, _RATIONAL, rationals_at),  # XResolution
        (283, _RATIONAL, rationals_at + 8),  # YResolution
        (options, _LONG, source.value(options, 0)),
        (296, _SHORT, 3),  # ResolutionUnit: centimetre
    ]
    parts = [struct.pack("<2sHI", b"II", 42, directory_at), strip, b"\0" * (len(strip) % 2)]
    parts.append(struct.pack("<4I", x_resolution, 100, y_resolution, 100))
    parts.append(struct.pack("<H", len(entries)))
    parts.extend(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    parts.append(struct.pack("<I", 0))
    return b"".join(parts)
