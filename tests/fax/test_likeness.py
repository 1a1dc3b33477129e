"""Prints of pages compared: the same page again, another page, bad input (features G8)."""

from __future__ import annotations

import random
import zlib

import pytest

from faxgw.fax import likeness
from faxgw.fax.likeness import NOTHING_ALIKE, WIDTH, comparable, compare, packed, unpacked


def page(seed: int, rows: int = 140, down: int = 0, across: int = 0, noise: float = 0.0) -> likeness.Cells:
    """Lines of words in cells; moved and with noise."""
    rng = random.Random(seed)
    lines = {}
    for line in range(rows // 3):
        cells, at = [0] * WIDTH, 8
        while at < 94 and rng.random() < 0.97:
            length = rng.randint(2, 8)
            cells[at : at + length] = [rng.randint(15, 40)] * length
            at += length + rng.randint(1, 3)
        lines[line * 3] = cells[:WIDTH]
    salt = random.Random(seed + 99)
    found = []
    for row in range(rows):
        cells = lines.get(row - down, [0] * WIDTH)
        cells = [0] * across + cells[: WIDTH - across]
        found.append(bytes(63 if salt.random() < noise else cell for cell in cells))
    return found


def test_a_page_is_the_same_as_itself() -> None:
    assert compare(page(1), page(1)) == likeness.Likeness(pytest.approx(1.0), 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("down, across", [(0, 3), (4, 0), (2, 1), (3, 4)])
def test_the_same_page_elsewhere_is_the_same(down: int, across: int) -> None:
    assert compare(page(1), page(1, down=down, across=across)).same
    assert compare(page(1, down=down, across=across), page(1)).same


def test_the_same_page_with_specks_is_the_same() -> None:
    assert compare(page(2), page(2, noise=0.002)).same


def test_another_header_line_does_not_count() -> None:
    """The time stands there, which differs when a page is sent again."""
    other = [bytes([40] * WIDTH)] * likeness.HEADER + list(page(3))[likeness.HEADER :]
    assert compare(page(3), other).same


@pytest.mark.parametrize("seed", range(4, 14))
def test_other_pages_are_not_the_same(seed: int) -> None:
    assert not compare(page(1), page(seed)).same


def test_a_page_that_differs_in_a_tenth_of_its_blocks_is_another() -> None:
    """The same form with other entries."""
    one, other = list(page(20)), page(21)
    for row in range(60, 90):
        one[row] = other[row]
    found = compare(page(20), one)
    assert found.blocks < likeness.ALIKE and not found.same


def test_pages_too_short_too_different_in_length_or_blank_are_like_nothing() -> None:
    blank = [bytes(WIDTH)] * 140
    assert compare([], []) == compare(page(1)[:20], page(1)[:20]) == NOTHING_ALIKE
    assert compare(page(1), page(1, rows=220)) == NOTHING_ALIKE
    assert compare(blank, blank) == compare(blank, page(1)) == NOTHING_ALIKE


def test_prints_come_back_and_are_bounded() -> None:
    cells = b"".join(page(1))
    assert unpacked(packed(cells)) == list(page(1))
    assert unpacked(b"no print") == [] and unpacked(b"") == []
    bomb = unpacked(zlib.compress(bytes(50_000_000)))
    assert len(bomb) == likeness.MAX_HEIGHT
    assert len(unpacked(packed(cells[:-5]))) == 139


@pytest.mark.parametrize("one, other, may", [(0.05, 0.06, True), (0.05, 0.1, False), (0.0, 0.0, False)])
def test_ink_says_what_is_worth_comparing(one: float, other: float, may: bool) -> None:
    assert comparable(one, other) is comparable(other, one) is may
