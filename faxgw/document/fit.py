"""Where a document's page lies on a fax page: scale, rotation, margins, splitting.

A fax page is 1728 pixels for 215 mm across and 3.85, 7.7 or 15.4 rows per millimetre down (ITU-T T.4 section 2.2).
Pages keep their natural size unless they are too large; a page is turned by 90° when it comes out larger that way; one
that is much longer than the paper is cut into several instead of shrunk until nobody can read it, between two lines of
text where there is room between them near the cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from faxgw.document.limits import Limits
from faxgw.document.tiff import WIDTH
from faxgw.document.types import Mode, Paper, Resolution

WIDTH_MM = 215.0
"""Length of a row (ITU-T T.4 table 1)."""
ROWS_PER_MM = {Resolution.STANDARD: 3.85, Resolution.FINE: 7.7, Resolution.SUPERFINE: 15.4}
"""ITU-T T.4 section 2.2."""
PAPER_MM = {Paper.A4: (210.0, 297.0), Paper.LETTER: (215.9, 279.4), Paper.LEGAL: (215.9, 355.6)}
"""Width and height of a sheet (ISO 216, ANSI/ASME Y14.1)."""
SPLIT_ABOVE = 1.5
"""A page longer than this many sheets, at full width, is cut instead of shrunk."""
WIDE_BELOW = 0.2
"""A page much wider than high that would come out smaller than this is turned and cut: 10 point would be 2."""
WIDE_ABOVE = 3.0
"""How many times as wide as high such a page is."""
TURN_ABOVE = 1.02
"""A page is turned when it gets this much larger."""
SMALL = 0.75
"""Content lower than this part of the sheet gets a margin on top."""
MARGIN_MM = 10.0
"""That margin."""
CUT_MM = 20.0
"""A sheet of a long page may end this much earlier, so that no line of text is cut in two."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the pages are made for, and whom to ask before each."""

    resolution: Resolution = Resolution.FINE
    paper: Paper = Paper.A4
    mode: Mode = Mode.AUTO
    limits: Limits = field(default_factory=Limits)
    begin: Callable[[int, int], None] = lambda page, pages: None
    """Called with a page's number and the document's pages before the page is made; raises DocumentRefused when the
    fax gets too long."""
    repaired: Callable[[int, int], None] = lambda page, rows: None
    """Called with the number of a page that has damaged rows, few enough to be let pass, and how many."""

    @property
    def rows(self) -> int:
        """Rows of a sheet: A4 fine 2286, what real machines print without cutting."""
        return sheet_rows(self.paper, self.resolution)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a page lies. All in pixels and rows of the target."""

    turned: bool
    """Turned by 90° clockwise."""
    left: int
    """Pixels left of it."""
    top: int
    """Rows above it on the first sheet."""
    width: int
    """Its width after turning and scaling."""
    height: int
    """Its height after turning and scaling, over all sheets."""
    sheets: int
    """Sheets it is cut into, usually 1."""


def sheet_rows(paper: Paper, resolution: Resolution) -> int:
    """Rows of a sheet: a multiple of those at standard, so that two rows make one of the next coarser resolution."""
    return int(PAPER_MM[paper][1] * ROWS_PER_MM[Resolution.STANDARD]) * resolution.multiple


def place(width_mm: float, height_mm: float, target: Target, margin: bool = False) -> Placement:
    """Fit a page.

    Args:
        width_mm: Natural width, positive and finite.
        height_mm: Natural height, positive and finite.
        target: Paper and resolution.
        margin: Low content does not stand at the very top of the sheet.
    """
    sheet_mm = PAPER_MM[target.paper][1]
    across = min(1.0, WIDTH_MM / width_mm)
    if height_mm * across > SPLIT_ABOVE * sheet_mm:
        return _long(width_mm * across, height_mm * across, target)
    upright = min(across, sheet_mm / height_mm)
    turned = min(1.0, WIDTH_MM / height_mm, sheet_mm / width_mm)
    if turned < WIDE_BELOW and width_mm > WIDE_ABOVE * height_mm:
        down = min(1.0, WIDTH_MM / height_mm)
        return _long(height_mm * down, width_mm * down, target, turned=True)
    if turned > upright * TURN_ABOVE:
        return _short(height_mm * turned, width_mm * turned, target, True, margin)
    return _short(width_mm * upright, height_mm * upright, target, False, margin)


def cuts(white: npt.NDArray[np.bool_], target: Target) -> list[int]:
    """Where the sheets of a long page begin, and where the last ends: each row is on exactly one.

    Args:
        white: For each row of the page whether nothing is on it.
        target: Paper and resolution.

    A sheet ends within the broadest white gap of its last CUT_MM, the lowest of equals; where there is none, when full.
    """
    near = round(CUT_MM * ROWS_PER_MM[target.resolution])
    edges = [0]
    while len(white) - edges[-1] > target.rows:
        full = edges[-1] + target.rows
        gap, best, run = full, 0, 0
        for row in range(full - near, full):
            run = run + 1 if white[row] else 0
            if run >= max(1, best):
                gap, best = row + 1 - run // 2, run
        edges.append(gap)
    return [*edges, len(white)]


def _short(width_mm: float, height_mm: float, target: Target, turned: bool, margin: bool) -> Placement:
    rows_per_mm = ROWS_PER_MM[target.resolution]
    width = _columns(width_mm)
    height = max(1, min(target.rows, round(height_mm * rows_per_mm)))
    top = 0
    if margin and height < SMALL * target.rows:
        top = min(round(MARGIN_MM * rows_per_mm), target.rows - height)
    return Placement(turned, (WIDTH - width) // 2, top, width, height, 1)


def _long(width_mm: float, height_mm: float, target: Target, turned: bool = False) -> Placement:
    width = _columns(width_mm)
    height = round(height_mm * ROWS_PER_MM[target.resolution])
    return Placement(turned, (WIDTH - width) // 2, 0, width, height, math.ceil(height / target.rows))


def _columns(width_mm: float) -> int:
    return max(1, min(WIDTH, round(width_mm * WIDTH / WIDTH_MM)))
