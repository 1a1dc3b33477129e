"""Resolutions by name, and what of them a far end takes (ITU-T T.30 Table 2, bits 15 and 41)."""

from __future__ import annotations

import pytest

from faxgw.fax.resolution import Resolution, coarser, finest

STANDARD, FINE, SUPERFINE = Resolution


@pytest.mark.parametrize(
    ("wanted", "taken", "found"),
    [
        (SUPERFINE, ("204x98", "204x196", "204x391"), SUPERFINE),
        (SUPERFINE, ("204x98", "204x196"), FINE),
        (SUPERFINE, ("204x98",), STANDARD),
        (SUPERFINE, ("204x98", "204x391"), SUPERFINE),
        (FINE, ("204x98", "204x196", "204x391"), FINE),
        (FINE, ("204x98", "204x391"), STANDARD),
        (FINE, ("300x300",), STANDARD),
        (STANDARD, ("204x98", "204x196"), STANDARD),
        (SUPERFINE, (), SUPERFINE),
        (FINE, (), FINE),
    ],
)
def test_the_finest_that_the_far_end_takes_and_none_finer_than_wanted(
    wanted: Resolution, taken: tuple[str, ...], found: Resolution
) -> None:
    assert finest(wanted, taken) is found


def test_the_coarser_of_two() -> None:
    assert coarser(SUPERFINE, FINE) is coarser(FINE, SUPERFINE) is FINE
    assert coarser(STANDARD, SUPERFINE) is STANDARD


def test_rows_are_multiples_of_standard() -> None:
    """ITU-T T.4 section 2.2: 3.85, 7.7 and 15.4 rows per millimetre."""
    assert [each.multiple * 3.85 for each in Resolution] == [3.85, 7.7, 15.4]
    assert [each.dots for each in Resolution] == ["204x98", "204x196", "204x391"]
