"""How alike two received pages look: a print of each, compared cell by cell after laying one over the other (G8).

A print is the page in cells of 2 × 2 mm, a little blurred, each with the share of it that is black in 64 steps. The
uppermost 12 mm do not count: there stands the header line with the time, which differs when the same page is sent
again. A page that was scanned again lies some millimetres elsewhere, so the prints are moved over one another by up to
MAX_SHIFT cells first.
Then blocks are compared: pages of the same form with other entries agree in most of them, the same page in all.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import TypeVar

S = TypeVar("S", bytes, Sequence[int], Sequence[bytes])

CELL_MM = 2.0
"""Side of a cell."""
WIDTH = 108
"""Cells across: 216 mm, a fax page of 1728 pixels."""
MAX_HEIGHT = 300
"""Cells down at most: 600 mm; what is below is not compared."""
HEADER = 6
"""Cells at the top that do not count: 12 mm."""
STEPS = 63
"""The blackest cell."""
MAX_SHIFT = 4
"""Cells by which a page may lie elsewhere, across and down: 8 mm."""
BLOCK = 9
"""Cells of a block's side: 18 mm, some five words in four lines."""
INKY = 150
"""Ink of a block, in steps, from which it has something to say: some two black cells of its 81."""
AGREES = 0.55
"""Correlation from which two blocks show the same."""
ALIKE = 0.95
"""Share of blocks that must agree."""
LIKE = 0.80
"""Correlation of the whole pages from which on they are the same."""
INK_WITHIN = 0.35
"""Difference of the ink of two pages, as a share of the larger, up to which they are compared at all."""

PROFILE = 0.5
"""Correlation of the pages' rows, summed up, below which they are not looked at any closer."""

Cells = Sequence[bytes]
"""Rows of a page, each of WIDTH cells."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two pages are."""

    whole: float
    """Correlation of the pages, -1 to 1."""
    blocks: float
    """Share of the blocks with ink in them that agree, 0 to 1; 0 when the whole pages do not."""

    @property
    def same(self) -> bool:
        """Whether they are the same page."""
        return self.whole >= LIKE and self.blocks >= ALIKE


NOTHING_ALIKE = Likeness(0.0, 0.0)


def packed(cells: bytes) -> bytes:
    """The print of a page from its cells, row by row, 0 white to STEPS black."""
    return zlib.compress(cells[: WIDTH * MAX_HEIGHT], 9)


def unpacked(stored: bytes) -> Cells:
    """Cells of a print, bounded, whatever it holds; none when it is damaged."""
    try:
        cells = zlib.decompressobj().decompress(stored, WIDTH * MAX_HEIGHT)
    except zlib.error:
        return []
    return [cells[start : start + WIDTH] for start in range(0, len(cells) - WIDTH + 1, WIDTH)]


def comparable(one: float, other: float) -> bool:
    """Whether two pages can be the same by their ink, shares of black; blank pages are all the same and none."""
    return min(one, other) > 0.0 and abs(one - other) <= INK_WITHIN * max(one, other)


def compare(one: Cells, other: Cells) -> Likeness:
    """How alike two pages are: some 2 ms for pages that differ, 10 ms for pages that do not."""
    rows = min(len(one), len(other)) - HEADER
    if rows < 2 * BLOCK or abs(len(one) - len(other)) > rows // 4:
        return NOTHING_ALIKE
    a, b = one[HEADER : HEADER + rows], other[HEADER : HEADER + rows]
    down, fit = _lag([sum(row) for row in a], [sum(row) for row in b])
    if fit < PROFILE:
        return NOTHING_ALIKE
    a, b = _moved(a, b, down)
    across, fit = _lag(
        [sum(column) for column in zip(*a, strict=True)], [sum(column) for column in zip(*b, strict=True)]
    )
    if fit < PROFILE:
        return NOTHING_ALIKE
    pairs = [_moved(x, y, across) for x, y in zip(a, b, strict=True)]
    a, b = [x for x, _y in pairs], [y for _x, y in pairs]
    whole = _correlation(b"".join(a), b"".join(b))
    return Likeness(whole, _agreement(a, b) if whole >= LIKE else 0.0)


def _moved(a: S, b: S, lag: int) -> tuple[S, S]:
    if lag > 0:
        return a[lag:], b[:-lag]
    return (a[:lag], b[-lag:]) if lag < 0 else (a, b)


def _lag(a: Sequence[int], b: Sequence[int]) -> tuple[int, float]:
    """By how many cells the first profile lies behind the second, and how well they fit then."""
    fits = [(_correlation(*_moved(a, b, lag)), -abs(lag), lag) for lag in range(-MAX_SHIFT, MAX_SHIFT + 1)]
    fit, _nearest, lag = max(fits)
    return lag, fit


def _correlation(a: Sequence[int], b: Sequence[int]) -> float:
    """Pearson's, of whole numbers; 0 where one of the two is all the same."""
    count, x, y = len(a), sum(a), sum(b)
    above = count * sum(map(mul, a, b)) - x * y
    below = (count * sum(map(mul, a, a)) - x * x) * (count * sum(map(mul, b, b)) - y * y)
    return above / math.sqrt(below) if below > 0 else 0.0


def _agreement(a: Cells, b: Cells) -> float:
    """Share of the blocks with ink that agree."""
    agree = count = 0
    for top in range(0, len(a) - BLOCK + 1, BLOCK):
        for left in range(0, len(a[0]) - BLOCK + 1, BLOCK):
            x = _block(a, top, left)
            if max(sum(x), sum(_block(b, top, left))) < INKY:
                continue
            count += 1
            agree += _fits(x, b, top, left)
    return agree / count if count else 1.0


def _fits(x: bytes, b: Cells, top: int, left: int) -> bool:
    """Whether a block is at its place on the other page, or a cell beside it: pages turn a little."""
    for down, across in _NEAR:
        y = _block(b, top + down, left + across)
        if len(y) == len(x) and _correlation(x, y) >= AGREES:
            return True
    return False


_NEAR = sorted(((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)), key=lambda near: sum(map(abs, near)))


def _block(cells: Cells, top: int, left: int) -> bytes:
    if top < 0 or left < 0:
        return b""
    return b"".join(row[left : left + BLOCK] for row in cells[top : top + BLOCK])
