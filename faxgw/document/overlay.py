"""Letterheads laid over fax pages (page process only): which pages bear one, and how it gets there.

The eight modes are the vendor's. A letterhead is one page of black and white; black wins, so nothing of the page is
covered up. A cover page counts as first page; for FIRST_FILE it belongs to no file.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from faxgw.document import bitmap
from faxgw.document.bitmap import Bits
from faxgw.document.types import Resolution


class OverlayMode(StrEnum):
    """Pages that bear the letterhead."""

    ALL_PAGES = "all_pages"
    NO_OVERLAY = "no_overlay"
    FIRST_PAGE = "first_page"
    LAST_PAGE = "last_page"
    ALL_BUT_FIRST_PAGE = "all_but_first_page"
    ALL_BUT_LAST_PAGE = "all_but_last_page"
    ALL_BUT_FIRST_AND_LAST_PAGE = "all_but_first_and_last_page"
    FIRST_FILE = "first_file"


def bears(mode: OverlayMode, page: int, pages: int, *, cover: int = 0, first_file: int = 0) -> bool:
    """Whether a page bears the letterhead.

    Args:
        mode: The mode.
        page: The page, from 1.
        pages: Pages of the fax, those of the cover counted.
        cover: Pages of the cover, before the documents.
        first_file: Pages of the first document.
    """
    match mode:
        case OverlayMode.ALL_PAGES:
            return True
        case OverlayMode.NO_OVERLAY:
            return False
        case OverlayMode.FIRST_PAGE:
            return page == 1
        case OverlayMode.LAST_PAGE:
            return page == pages
        case OverlayMode.ALL_BUT_FIRST_PAGE:
            return page != 1
        case OverlayMode.ALL_BUT_LAST_PAGE:
            return page != pages
        case OverlayMode.ALL_BUT_FIRST_AND_LAST_PAGE:
            return page not in (1, pages)
        case OverlayMode.FIRST_FILE:
            return cover < page <= cover + first_file


def lay(page: Bits, letterhead: Bits, resolution: Resolution, drawn_for: Resolution) -> Bits:
    """Lay a letterhead over a page; the page keeps its length, what hangs over is cut off.

    Args:
        page: The page; not changed.
        letterhead: The letterhead.
        resolution: Of the page.
        drawn_for: Of the letterhead.
    """
    if drawn_for is not resolution:
        halve = resolution is Resolution.STANDARD
        letterhead = bitmap.halve_rows(letterhead) if halve else bitmap.double_rows(letterhead)
    rows = min(len(page), len(letterhead))
    return np.concatenate((page[:rows] | letterhead[:rows], page[rows:]))
