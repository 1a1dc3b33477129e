"""Drawing header lines and marks onto a page (page process only). What they say is `fax.header`'s business.

The band stands at the top of the page. If the page's own first rows are blank it takes their place, so the page keeps
its length; otherwise it is put above. The body's pixels below it are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import ImageFont

from faxgw.document import bitmap, fonts
from faxgw.document.bitmap import ROW_OCTETS, Bits
from faxgw.document.tiff import WIDTH
from faxgw.document.types import Resolution
from faxgw.fax.header import HeaderLine

SIDE_PX = 48
"""Blank pixels left and right, 6 mm: many machines do not print nearer to the edge."""
GAP_PX = 24
"""Blank pixels between two parts of a line."""
SIZES_PX = (24, 22, 20)
"""Font sizes tried, largest first: 8.5 to 7 points."""
LINE_ROWS = 32
"""Rows of one header line at 196 rows per inch."""
MARK_PX = 30
"""Font size of a mark."""
MARK_ROWS = 48
"""Rows of a mark with its frame at 196 rows per inch."""
MAX_MARK = 60
"""Characters of a mark; the rest is cut off."""


def stamp(bits: Bits, lines: Sequence[HeaderLine], mark: str, resolution: Resolution) -> Bits:
    """Put header lines and a mark on top of a page.

    Args:
        bits: The page; not changed.
        lines: Header lines; may be empty.
        mark: Framed text below them; may be empty.
        resolution: Of the page.

    Returns:
        The page, longer by the band if its first rows were not blank.
    """
    over = band(lines, mark, resolution)
    height = len(over)
    if len(bits) >= height and not bits[:height].any():
        return np.concatenate((over, bits[height:]))
    return np.concatenate((over, bits))


def band(lines: Sequence[HeaderLine], mark: str, resolution: Resolution = Resolution.FINE) -> Bits:
    """The band by itself; no rows if there is nothing to say.

    It is drawn with square pixels, 204 to the inch for fine. For the others there are twice as many: superfine takes
    two columns together, standard takes four rows of two and is black where half of them is, so that dots stand apart.
    """
    rows = LINE_ROWS * len(lines) + (MARK_ROWS if mark else 0)
    if not rows:
        return np.zeros((0, ROW_OCTETS), np.uint8)
    scale = 1 if resolution is Resolution.FINE else 2
    canvas = fonts.Canvas(WIDTH * scale, rows * scale)
    for index, line in enumerate(lines):
        _write(canvas, index * LINE_ROWS, line, scale)
    if mark:
        _write_mark(canvas, LINE_ROWS * len(lines), mark[:MAX_MARK], scale)
    match resolution:
        case Resolution.FINE:
            return canvas.bits()
        case Resolution.SUPERFINE:
            return bitmap.halve_columns(canvas.bits())
    black = np.unpackbits(canvas.bits(), axis=1).reshape(rows // 2, 4, WIDTH, 2)
    return bitmap.pack(black.sum(axis=(1, 3)) >= 4)


def _write(canvas: fonts.Canvas, top: int, line: HeaderLine, scale: int) -> None:
    """Write a line; it is measured as for fine, so that the same is cut off at every resolution."""
    for size in SIZES_PX:
        font = fonts.load(fonts.PROPORTIONAL, size)
        if _spare(line, font) >= 0:
            break
    line = _shortened(line, font)
    drawn = fonts.load(fonts.PROPORTIONAL, size * scale)
    y = top * scale + (LINE_ROWS * scale - sum(drawn.getmetrics())) // 2
    right = WIDTH - SIDE_PX - _width(line.right, font)
    canvas.write(SIDE_PX * scale, y, line.left, drawn)
    canvas.write((WIDTH - SIDE_PX) * scale - _width(line.right, drawn), y, line.right, drawn)
    if line.centre:
        width = _width(line.centre, font)
        after_left = SIDE_PX + _width(line.left, font) + (GAP_PX if line.left else 0)
        before_right = right - width - (GAP_PX if line.right else 0)
        canvas.write(max(after_left, min((WIDTH - width) // 2, before_right)) * scale, y, line.centre, drawn)


def _write_mark(canvas: fonts.Canvas, top: int, mark: str, scale: int) -> None:
    font = fonts.load(fonts.BOLD, MARK_PX)
    width = min(_width(mark, font), WIDTH - 2 * SIDE_PX)
    left = (WIDTH - width) // 2
    high = top + (MARK_ROWS - MARK_PX) // 2 - 3
    canvas.write(left * scale, high * scale, mark, fonts.load(fonts.BOLD, MARK_PX * scale))
    box = (left - GAP_PX, top + 2, left + width + GAP_PX, top + MARK_ROWS - 5)
    for inner in range(0, 2 * scale, 2):  # its lines are two pixels wide
        left, high, right, low = (edge * scale for edge in box)
        canvas.box(left + inner, high + inner, right - inner, low - inner)


def _width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return int(font.getlength(text) + 0.999) if text else 0


def _spare(line: HeaderLine, font: ImageFont.FreeTypeFont) -> int:
    """Pixels left over; negative if the parts do not stand side by side."""
    parts = [part for part in (line.left, line.centre, line.right) if part]
    return WIDTH - 2 * SIDE_PX - GAP_PX * max(0, len(parts) - 1) - sum(_width(part, font) for part in parts)


def _shortened(line: HeaderLine, font: ImageFont.FreeTypeFont) -> HeaderLine:
    """Cut what does not fit: the left part first, then the centre; page numbers usually stand right."""
    left, centre, right = line.left, line.centre, line.right
    while _spare(HeaderLine(left, centre, right), font) < 0:
        if len(left) > 1:
            left = left.removesuffix("…")[:-1] + "…"
        elif len(centre) > 1:
            centre = centre.removesuffix("…")[:-1] + "…"
        elif len(right) > 1:
            right = right.removesuffix("…")[:-1] + "…"
        else:
            break
    return HeaderLine(left, centre, right)
