"""Letterheads: the eight modes of the vendor, and black that wins."""

from __future__ import annotations

import numpy as np
import pytest

from faxgw.document import bitmap
from faxgw.document.overlay import OverlayMode, bears, lay
from faxgw.document.types import Resolution

FINE, STANDARD = Resolution.FINE, Resolution.STANDARD


@pytest.mark.parametrize(
    "mode, borne",
    [
        (OverlayMode.ALL_PAGES, [1, 2, 3, 4, 5]),
        (OverlayMode.NO_OVERLAY, []),
        (OverlayMode.FIRST_PAGE, [1]),
        (OverlayMode.LAST_PAGE, [5]),
        (OverlayMode.ALL_BUT_FIRST_PAGE, [2, 3, 4, 5]),
        (OverlayMode.ALL_BUT_LAST_PAGE, [1, 2, 3, 4]),
        (OverlayMode.ALL_BUT_FIRST_AND_LAST_PAGE, [2, 3, 4]),
        (OverlayMode.FIRST_FILE, [2, 3]),
    ],
)
def test_a_mode_says_which_pages_bear_the_letterhead(mode: OverlayMode, borne: list[int]) -> None:
    """A fax of a cover page, a file of two pages and one of two more."""
    assert [page for page in range(1, 6) if bears(mode, page, 5, cover=1, first_file=2)] == borne


def test_every_mode_is_decided_for_a_fax_of_one_page() -> None:
    borne = {mode for mode in OverlayMode if bears(mode, 1, 1, first_file=1)}
    assert borne == {OverlayMode.ALL_PAGES, OverlayMode.FIRST_PAGE, OverlayMode.LAST_PAGE, OverlayMode.FIRST_FILE}


def sheet(rows: int, *black: tuple[int, int]) -> bitmap.Bits:
    bits = bitmap.white(rows)
    for row, octet in black:
        bits[row, octet] = 0xF0
    return bits


def test_black_wins_and_neither_is_changed() -> None:
    page, head = sheet(4, (0, 0), (3, 3)), sheet(4, (0, 1), (1, 0))
    laid = lay(page, head, FINE, FINE)
    assert np.array_equal(laid, sheet(4, (0, 0), (3, 3), (0, 1), (1, 0)))
    assert np.array_equal(page, sheet(4, (0, 0), (3, 3)))


@pytest.mark.parametrize("rows", [2, 6])
def test_the_page_keeps_its_length(rows: int) -> None:
    assert len(lay(sheet(4), sheet(rows, (1, 0)), FINE, FINE)) == 4


def test_a_letterhead_of_the_other_resolution_is_rescaled() -> None:
    assert np.array_equal(lay(sheet(2), sheet(4, (3, 0)), STANDARD, FINE), sheet(2, (1, 0)))
    assert np.array_equal(lay(sheet(4), sheet(2, (1, 0)), FINE, STANDARD), sheet(4, (2, 0), (3, 0)))
