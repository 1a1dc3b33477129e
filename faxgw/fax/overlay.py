"""Which pages of a fax bear a letterhead: the eight modes of the vendor (spec/retarus-interfaces.md section 1.6). Pure.

A cover page counts as first page; for FIRST_FILE it belongs to no file. Drawing is `document.overlay`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any  # values of settings

NONE = "none"
"""In place of a letterhead's name: no letterhead, whatever the levels above say."""
_UNKNOWN: Mapping[str, str] = {
    "en": "There is no overlay “{name}”.",
    "fr": "Il n’y a pas de fond de page « {name} ».",
    "de": "Es gibt kein Overlay „{name}“.",
}


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


def overlay_name(settings: Mapping[str, Any]) -> str:
    """The letterhead that the settings `overlay` and `overlay_mode` name; empty: none."""
    name = str(settings["overlay"]).strip()
    off = name.lower() == NONE or settings["overlay_mode"] == OverlayMode.NO_OVERLAY
    return "" if off else name


def unknown(name: str, language: str) -> str:
    """There is no such letterhead, in the sender's words."""
    return _UNKNOWN.get(language, _UNKNOWN["en"]).format(name=name)
