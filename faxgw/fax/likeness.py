"""How alike two received pages look: a print of each, compared cell by cell after laying one over the other (G8).

A print is the page in cells of 2 × 2 mm, each with the share of it that is black in 16 steps. The uppermost 12 mm do
not count: there stands the header line with the time, which differs when the same page is sent again. A page that was
scanned again lies some millimetres elsewhere, so the prints are moved over one another by up to MAX_SHIFT cells first.
Then blocks are compared: pages of the same form with other entries agree in most of them, the same page in all.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CELL_MM = 2.0
"""Side of a cell."""
WIDTH = 108
"""Cells across: 216 mm, a fax page of 1728 pixels."""
MAX_HEIGHT = 300
"""Cells down at most: 600 mm; what is below is not compared."""
HEADER = 6
"""Cells at the top that do not count: 12 mm."""
STEPS = 15
"""The blackest cell."""
MAX_SHIFT = 4
"""Cells by which a page may lie elsewhere, across and down: 8 mm."""
BLOCK = 9
"""Cells of a block's side: 18 mm, some five words in four lines."""
INKY = 12.0
"""Ink of a block, in full cells of STEPS × CELLS, from which it has something to say."""
AGREES = 0.55
"""Correlation from which two blocks show the same."""
ALIKE = 0.95
"""Share of blocks that must agree."""
LIKE = 0.80
"""Correlation of the whole pages from which on they are the same."""
INK_WITHIN = 0.35
"""Difference of the ink of two pages, as a share of the larger, up to which they are compared at all."""

Cells = NDArray[np.float32]


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
    """Cells of a print, rows × WIDTH; bounded, whatever it holds."""
    cells = zlib.decompressobj().decompress(stored, WIDTH * MAX_HEIGHT)
    rows = len(cells) // WIDTH
    return np.frombuffer(cells, np.uint8, rows * WIDTH).reshape(rows, WIDTH).astype(np.float32)


def comparable(one: float, other: float) -> bool:
    """Whether two pages can be the same by their ink, shares of black; blank pages are all the same and none."""
    return min(one, other) > 0.0 and abs(one - other) <= INK_WITHIN * max(one, other)


def compare(one: Cells, other: Cells) -> Likeness:
    """How alike two pages are."""
    a, b = _blurred(one[HEADER:]), _blurred(other[HEADER:])
    rows = min(len(a), len(b))
    if rows < BLOCK or abs(len(a) - len(b)) > rows // 4:
        return NOTHING_ALIKE
    a, b = _overlaid(a[:rows], b[:rows])
    if not a.any() or not b.any():
        return NOTHING_ALIKE
    whole = _correlation(a, b)
    return Likeness(whole, _agreement(a, b) if whole >= LIKE else 0.0)


def _blurred(cells: Cells) -> Cells:
    """Each cell as the mean of it and its neighbours: half a cell of shift changes little then."""
    padded = np.pad(cells, 1)
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across: Cells = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 16
    return across


def _overlaid(a: Cells, b: Cells) -> tuple[Cells, Cells]:
    """What two pages have in common when one is moved over the other so that they fit best."""
    down = _lag(a.sum(axis=1), b.sum(axis=1))
    a, b = _moved(a, b, down)
    across = _lag(a.sum(axis=0), b.sum(axis=0))
    left, right = _moved(a.T, b.T, across)
    return left.T, right.T


def _moved(a: Cells, b: Cells, lag: int) -> tuple[Cells, Cells]:
    if lag > 0:
        return a[lag:], b[:-lag]
    return (a[:lag], b[-lag:]) if lag < 0 else (a, b)


def _lag(a: Cells, b: Cells) -> int:
    """By how many cells the first profile lies behind the second."""
    lags = sorted(range(-MAX_SHIFT, MAX_SHIFT + 1), key=abs)
    return max(lags, key=lambda lag: _correlation(*_moved(a, b, lag)))


def _correlation(a: Cells, b: Cells) -> float:
    x, y = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm else 0.0


def _agreement(a: Cells, b: Cells) -> float:
    """Share of the blocks with ink that agree."""
    agree = count = 0
    for top in range(0, a.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, a.shape[1] - BLOCK + 1, BLOCK):
            x, y = a[top : top + BLOCK, left : left + BLOCK], b[top : top + BLOCK, left : left + BLOCK]
            if max(float(x.sum()), float(y.sum())) < INKY:
                continue
            count += 1
            agree += _fits(a, b, top, left) >= AGREES
    return agree / count if count else 1.0


def _fits(a: Cells, b: Cells, top: int, left: int) -> float:
    """Best correlation of a block with the place of the other page, a cell to every side: pages turn a little."""
    x = a[top : top + BLOCK, left : left + BLOCK]
    best = -1.0
    for down in (0, -1, 1):
        for across in (0, -1, 1):
            y = b[max(0, top + down) : top + down + BLOCK, max(0, left + across) : left + across + BLOCK]
            if y.shape == x.shape:
                best = max(best, _correlation(x, y))
        if best >= AGREES:
            break
    return best
