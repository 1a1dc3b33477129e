"""TIFF files of received pages: their own strips behind one another under new directories, as they came over the line
or as G4 (page process only).

Classic TIFF 6.0, one strip a page, the resolution as it was. Another coding than G4 is read by most programs but not
by all, and a damaged G3 page by none alike: `recode` makes one that everything reads.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from faxgw.document import refusal, strips, tiff
from faxgw.document.limits import Limits
from faxgw.document.types import TiffMade, TiffOptions, TiffPart

_SHORT, _LONG, _RATIONAL = 3, 4, 5
_T4_OPTIONS, _T6_OPTIONS = 292, 293


@dataclass(frozen=True, slots=True)
class _Page:
    """A page to be written."""

    strip: bytes
    width: int
    rows: int
    x_resolution: float
    y_resolution: float
    coding: int
    inverted: bool
    fill: int
    options: int


def make(fd: int, options: TiffOptions, limits: Limits) -> TiffMade:
    """Make the file, or one for each page behind one another.

    Args:
        fd: The pages' TIFF files, one behind the other.
        options: Where each begins, and what is wanted.
        limits: Pixels of a page.

    Raises:
        DocumentRefused: If a page is no such file.
    """
    out = os.memfd_create("tiff", os.MFD_CLOEXEC)
    parts: list[TiffPart] = []
    link, position = 0, 0
    with tiff.open_sink(out) as sink:
        turns = options.turns or (0,) * len(options.parts)
        for number, (part, turn) in enumerate(zip(options.parts, turns, strict=True), 1):
            data = os.pread(fd, part.octets, part.offset)
            page = _page(data, part, number, turn, options.recode, limits)
            begin = position
            if options.separate or number == 1:
                link = position + 4
                sink.write(b"II*\0\0\0\0\0")
                position += 8
            base = begin if options.separate else 0
            body, directory, next_link = _written(page, position - base, number, len(options.parts), options.separate)
            sink.write(body)
            os.pwrite(out, struct.pack("<I", directory), _flushed(sink, link))
            position += len(body)
            link = base + next_link
            if options.separate:
                parts.append(TiffPart(begin, position - begin))
    if not options.separate:
        parts = [TiffPart(0, position)]
    return TiffMade(out, tuple(parts))


def _flushed(sink: BinaryIO, link: int) -> int:
    """Where to write a link, once everything before it lies in the file."""
    sink.flush()
    return link


def _page(data: bytes, part: TiffPart, number: int, turn: int, recode: bool, limits: Limits) -> _Page:
    try:
        if len(data) != part.octets:
            raise ValueError("cut off")
        facts = strips.facts(data, limits.pixels)
        width, rows, across, down = facts.width, facts.rows, facts.x_resolution, facts.y_resolution
        if turn or (recode and facts.coding != strips.T6):
            if turn in (90, 270):
                width, rows, across, down = rows, width, down, across
            return _Page(strips.coded_again(data, turn), width, rows, across, down, strips.T6, False, 1, 0)
        tags = facts.tags
        options = tags.get(_T6_OPTIONS if facts.coding == strips.T6 else _T4_OPTIONS, 0)
        strip, fill = strips.as_is(data, facts, keep_order=not recode), 1 if recode else tags.get(266, 1)
        return _Page(strip, width, rows, across, down, facts.coding, strips.inverted(facts), fill, options)
    except (ValueError, KeyError, OSError) as exc:
        raise refusal.damaged("the received fax", number) from exc


def _written(page: _Page, position: int, number: int, pages: int, alone: bool) -> tuple[bytes, int, int]:
    """A strip with its directory behind it, where the directory lies, and where the link to the next one does.

    Args:
        page: The page.
        position: Where this begins in its file.
        number: Of the page.
        pages: Of the fax.
        alone: It has a file for itself.
    """
    padding = b"\0" * (len(page.strip) % 2)
    rationals = position + len(page.strip) + len(padding)
    directory = rationals + 16
    entries = (
        (254, _LONG, 0 if alone else 2),  # NewSubfileType: one page of several
        (256, _LONG, page.width),
        (257, _LONG, page.rows),
        (258, _SHORT, 1),
        (259, _SHORT, page.coding),
        (262, _SHORT, int(page.inverted)),
        (266, _SHORT, page.fill),
        (273, _LONG, position),
        (277, _SHORT, 1),
        (278, _LONG, page.rows),
        (279, _LONG, len(page.strip)),
        (282, _RATIONAL, rationals),
        (283, _RATIONAL, rationals + 8),
        (_T6_OPTIONS if page.coding == strips.T6 else _T4_OPTIONS, _LONG, page.options),
        (296, _SHORT, 3),
        (297, _SHORT, number - 1 | pages << 16),  # PageNumber: two values
    )
    table = b"".join(struct.pack("<HHII", tag, kind, 2 if tag == 297 else 1, value) for tag, kind, value in entries)
    resolution = struct.pack("<4I", round(page.x_resolution), 100, round(page.y_resolution), 100)
    body = page.strip + padding + resolution + struct.pack("<H", len(entries)) + table + b"\0\0\0\0"
    return body, directory, position + len(body) - 4
