"""Letterheads laid over fax pages (page process only). Which pages bear one is `fax.overlay`'s business.

A letterhead is one page of black and white, rendered like any other; black wins, so nothing of the page is covered up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faxgw.document import bitmap, tiff
from faxgw.document.bitmap import Bits
from faxgw.document.types import Overlay, Resolution
from faxgw.fax.overlay import bears


@dataclass(frozen=True, slots=True)
class Letterhead:
    """A letterhead that was read."""

    bits: Bits
    drawn_for: Resolution
    where: Overlay

    def over(self, page: Bits, resolution: Resolution, number: int, pages: int, *, cover: int = 0) -> Bits:
        """The page, with the letterhead where its mode says so.

        Args:
            page: The page; not changed.
            resolution: Of the page.
            number: Which page of the fax it is, from 1.
            pages: Pages of the fax, those of the cover counted.
            cover: Pages of the cover.
        """
        if not bears(self.where.mode, number, pages, cover=cover, first_file=self.where.first_file):
            return page
        return lay(page, self.bits, resolution, self.drawn_for)


def read(overlay: Overlay) -> Letterhead:
    """The first page of a rendered letterhead.

    Raises:
        BadTiff: If it is none.
    """
    pages = tiff.read(overlay.fd)
    if not pages:
        raise tiff.BadTiff("no page")
    bits = bitmap.decode(tiff.read_strip(overlay.fd, pages[0]), pages[0].resolution)
    return Letterhead(bits, pages[0].resolution, overlay)


def lay(page: Bits, letterhead: Bits, resolution: Resolution, drawn_for: Resolution) -> Bits:
    """Lay a letterhead over a page; the page keeps its length, what hangs over is cut off.

    Args:
        page: The page; not changed.
        letterhead: The letterhead.
        resolution: Of the page.
        drawn_for: Of the letterhead.
    """
    if drawn_for is not resolution:
        letterhead = bitmap.rescale(letterhead, drawn_for, resolution)
    rows = min(len(page), len(letterhead))
    return np.concatenate((page[:rows] | letterhead[:rows], page[rows:]))
