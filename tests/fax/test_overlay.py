"""The eight modes of the vendor: which pages bear a letterhead."""

from __future__ import annotations

import pytest

from faxgw.fax.overlay import OverlayMode, bears, overlay_name, unknown


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


@pytest.mark.parametrize(
    "name, mode, wanted",
    [
        ("", "all_pages", ""),
        ("head", "all_pages", "head"),
        (" head ", "last_page", "head"),
        ("None", "all_pages", ""),
        ("head", "no_overlay", ""),
    ],
)
def test_a_name_may_be_taken_away_by_itself_or_by_the_mode(name: str, mode: str, wanted: str) -> None:
    assert overlay_name({"overlay": name, "overlay_mode": mode}) == wanted


def test_the_sender_is_told_in_his_language() -> None:
    texts = {unknown("head", language) for language in ("en", "fr", "de")}
    assert len(texts) == 3 and all("head" in text for text in texts)
    assert unknown("head", "it") == unknown("head", "en")
