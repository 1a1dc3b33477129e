"""Rows per length of a fax page, and which of them a far end takes (ITU-T T.30 Table 2, ITU-T T.4 section 2.2). Pure.

All three have 204 dots per inch across. What a machine takes is named as in a DIS: `204x98`, `204x196`, `204x391`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Resolution(StrEnum):
    """Rows per length of a fax page; 204 dots per inch across in all of them."""

    STANDARD = "standard"
    FINE = "fine"
    SUPERFINE = "superfine"

    @property
    def dots(self) -> str:
        """As a DIS names it, dots per inch across and down."""
        return DOTS[self]

    @property
    def multiple(self) -> int:
        """Rows for each row of standard."""
        return MULTIPLES[self]


DOTS = {Resolution.STANDARD: "204x98", Resolution.FINE: "204x196", Resolution.SUPERFINE: "204x391"}
"""3.85, 7.7 and 15.4 rows per millimetre; DIS bits 15 and 41 offer the second and the third."""
MULTIPLES = {Resolution.STANDARD: 1, Resolution.FINE: 2, Resolution.SUPERFINE: 4}
"""Rows for each row of standard."""


def finest(wanted: Resolution, taken: Sequence[str]) -> Resolution:
    """The finest resolution that a far end takes, none finer than wanted; standard every machine takes.

    Args:
        wanted: What the fax should have.
        taken: Of a DIS; empty: nothing is known, so the wanted one is tried.
    """
    if not taken:
        return wanted
    fits = (each for each in Resolution if each.multiple <= wanted.multiple and each.dots in taken)
    return max(fits, key=lambda each: each.multiple, default=Resolution.STANDARD)


def coarser(one: Resolution, other: Resolution) -> Resolution:
    """The coarser of two."""
    return min(one, other, key=lambda each: each.multiple)
