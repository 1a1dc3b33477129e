"""Where pages lie on the fax page."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.document.fit import CUT_MM, ROWS_PER_MM, Target, cuts, place, sheet_rows
from faxgw.document.types import Paper, Resolution

FINE = Target()


@pytest.mark.parametrize(("paper", "rows"), [(Paper.A4, 2286), (Paper.LETTER, 2150), (Paper.LEGAL, 2738)])
def test_sheets_have_even_rows_at_fine_and_half_at_standard(paper: Paper, rows: int) -> None:
    assert sheet_rows(paper, Resolution.FINE) == rows
    assert sheet_rows(paper, Resolution.STANDARD) * 2 == rows


def test_a_page_of_the_papers_size_fills_it() -> None:
    placement = place(210, 297, FINE)
    assert (placement.width, placement.height, placement.sheets, placement.turned) == (1688, 2286, 1, False)
    assert placement.left == 20


def test_a_landscape_page_is_turned_and_as_large_as_upright() -> None:
    upright, turned = place(210, 297, FINE), place(297, 210, FINE)
    assert turned.turned
    assert (turned.width, turned.height) == (upright.width, upright.height)


def test_a_small_landscape_page_that_fits_is_not_turned() -> None:
    placement = place(210, 148, FINE)
    assert not placement.turned
    assert placement.height == 1140


def test_a_large_page_is_made_smaller_in_both_directions_alike() -> None:
    placement = place(420, 594, FINE)
    assert placement.width / 1728 * 215 / (placement.height / 7.7) == pytest.approx(420 / 594, rel=0.01)
    assert placement.height <= FINE.rows


def test_a_small_page_keeps_its_size() -> None:
    placement = place(85, 55, FINE)
    assert placement.width == pytest.approx(85 * 1728 / 215, abs=1)


def test_a_long_page_is_cut_into_sheets() -> None:
    placement = place(80, 2000, FINE)
    assert placement.sheets == -(-15_400 // 2286)
    assert placement.width == pytest.approx(80 * 1728 / 215, abs=1)
    assert place(210, 297 * 1.4, FINE).sheets == 1


@pytest.mark.parametrize(
    ("name", "size_mm", "turned", "sheets", "scale"),
    [
        ("A4", (210, 297), False, 1, 1.0),
        ("A4 landscape", (297, 210), True, 1, 1.0),
        ("A3", (297, 420), False, 1, 0.707),
        ("A3 landscape", (420, 297), True, 1, 0.707),
        ("A5", (148, 210), False, 1, 1.0),
        ("A5 landscape", (210, 148), False, 1, 1.0),
        ("A0", (841, 1189), False, 1, 0.25),
        ("A0 landscape", (1189, 841), True, 1, 0.25),
        ("Letter", (215.9, 279.4), False, 1, 0.996),
        ("Legal", (215.9, 355.6), False, 1, 0.835),
        ("business card", (85, 55), False, 1, 1.0),
        ("receipt of 1 m", (80, 1000), False, 4, 1.0),
        ("narrow receipt", (58, 600), False, 3, 1.0),
        ("panorama", (800, 260), True, 1, 0.371),
        ("banner of 10 m", (1000, 10_000), False, 8, 0.215),
        ("banner of 10 m, lying", (10_000, 1000), True, 8, 0.215),
        ("stamp", (5, 5), False, 1, 1.0),
    ],
)
@pytest.mark.parametrize("resolution", [Resolution.STANDARD, Resolution.FINE])
def test_every_format_has_its_place(
    name: str, size_mm: tuple[float, float], turned: bool, sheets: int, scale: float, resolution: Resolution
) -> None:
    """C1: natural size where it fits, shrunk in both directions alike, turned or cut before it gets unreadable."""
    placement = place(*size_mm, Target(resolution))
    assert (placement.turned, placement.sheets) == (turned, sheets), name
    width, height = reversed(size_mm) if turned else size_mm
    assert placement.width * 215 / 1728 / width == pytest.approx(scale, abs=0.02 if width > 20 else 0.05)
    assert placement.height / ROWS_PER_MM[resolution] / height == pytest.approx(
        scale, abs=0.02 if height > 20 else 0.05
    )


def test_low_content_gets_a_margin_only_on_request() -> None:
    assert place(100, 50, FINE).top == 0
    assert place(100, 50, FINE, margin=True).top == 77
    assert place(210, 297, FINE, margin=True).top == 0


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6), st.sampled_from(list(Paper)), st.sampled_from(list(Resolution)))
def test_every_page_lies_within_its_sheets(width: float, height: float, paper: Paper, resolution: Resolution) -> None:
    target = Target(resolution, paper)
    placement = place(width, height, target, margin=True)
    assert 1 <= placement.width <= 1728 and 0 <= placement.left <= 1728 - placement.width
    assert placement.height >= 1
    assert placement.top + placement.height <= placement.sheets * target.rows
    assert (placement.sheets - 1) * target.rows < placement.height


@given(st.integers(0, 2**32), st.integers(1, 9_000), st.floats(0, 1), st.sampled_from(list(Resolution)))
def test_the_sheets_of_a_long_page_have_each_row_once(
    seed: int, rows: int, part: float, resolution: Resolution
) -> None:
    target = Target(resolution)
    white = np.random.default_rng(seed).random(rows) < part
    edges = cuts(white, target)
    assert edges[0] == 0 and edges[-1] == rows
    heights = np.diff(edges)
    assert (heights > 0).all() and (heights <= target.rows).all()
    assert (heights[:-1] >= target.rows - round(CUT_MM * ROWS_PER_MM[resolution])).all()


def test_a_cut_goes_through_the_broadest_gap_near_it() -> None:
    white = np.zeros(5_000, np.bool_)
    white[2_200:2_203] = white[2_210:2_230] = white[2_250:2_260] = True
    white[1_000:1_500] = True  # too far away
    edges = cuts(white, FINE)
    assert edges[:2] == [0, 2_220]
    assert edges[2] == 2_220 + FINE.rows  # no gap there: the sheet is full
