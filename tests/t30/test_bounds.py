"""The wall-clock bounds and counts of one call, at their very edges."""

from __future__ import annotations

import pytest

from faxgw.foip.control import Limits
from faxgw.t30.bounds import MAX_BAD_PAGES, MAX_PAGE_ROWS, MAX_REFUSALS, Bounds, Excess, rows_excess

LIMITS = Limits(answer_to_phase_b=60.0, t38_silence=30.0, page=600.0, call=1000.0)
BEGAN = 500.0


@pytest.fixture
def bounds() -> Bounds:
    return Bounds(LIMITS, BEGAN)


@pytest.mark.parametrize(
    ("phase_b", "silence", "seconds", "text"),
    [
        (False, "silence", 30.0, "silence"),
        (False, "", 60.0, "no fax machine answered in time"),
        (True, "", 600.0, "a page took too long"),
    ],
)
def test_each_bound_holds_to_its_second(bounds: Bounds, phase_b: bool, silence: str, seconds: float, text: str) -> None:
    assert bounds.exceeded(phase_b, silence, BEGAN + seconds) is None
    excess = bounds.exceeded(phase_b, silence, BEGAN + seconds + 0.1)
    assert excess is not None and excess.text == text
    assert excess.reason == ("silent" if silence else "limit")


def test_pages_that_go_on_are_bounded_by_the_call(bounds: Bounds) -> None:
    bounds.advanced(BEGAN + 590.0)
    bounds.advanced(BEGAN + 990.0)
    assert bounds.exceeded(True, "", BEGAN + 1000.0) is None
    assert bounds.exceeded(True, "", BEGAN + 1000.1) == Excess("limit", "the call took too long")


def test_t38_silence_counts_from_the_switch(bounds: Bounds) -> None:
    bounds.switched(BEGAN + 20.0)
    assert bounds.exceeded(True, "silence", BEGAN + 50.0) is None
    assert bounds.exceeded(True, "silence", BEGAN + 50.1) == Excess("silent", "silence")


def test_a_new_engine_has_the_whole_time_to_be_answered(bounds: Bounds) -> None:
    bounds.listening(BEGAN + 40.0)
    assert bounds.exceeded(False, "", BEGAN + 100.0) is None
    assert bounds.exceeded(False, "", BEGAN + 100.1) == Excess("limit", "no fax machine answered in time")


def test_a_page_may_be_as_long_as_the_bound_and_no_longer() -> None:
    assert rows_excess(MAX_PAGE_ROWS) is None
    assert rows_excess(MAX_PAGE_ROWS + 1) == Excess("limit", f"a page of more than {MAX_PAGE_ROWS} rows")


def test_a_page_is_sent_once_more_and_no_oftener(bounds: Bounds) -> None:
    """Each copy of a page that was refused may have been printed."""
    said = [bounds.refused_sending() for _ in range(MAX_REFUSALS)]
    assert said == [None] * (MAX_REFUSALS - 1) + [Excess("refused", f"a page was refused {MAX_REFUSALS} times")]


def test_noise_is_refused_so_often_and_no_oftener(bounds: Bounds) -> None:
    said = [bounds.refused_receiving(3) for _ in range(MAX_BAD_PAGES)]
    assert said == [None] * (MAX_BAD_PAGES - 1) + [Excess("limit", f"page 3 came badly {MAX_BAD_PAGES} times")]


def test_a_good_page_begins_the_count_anew(bounds: Bounds) -> None:
    for _ in range(3):
        bounds.refusals = 0
        assert bounds.refused_sending() is None


def test_frames_are_timed_from_the_start_of_the_call(bounds: Bounds) -> None:
    assert bounds.since_start(BEGAN + 1.5) == 1.5
