"""What a fax will take before it is sent: pages, octets, seconds on the line, billed units. Pure.

A page on the line is its coded data at the modem's rate plus the pauses of T.30 around it; a call has its
establishment and its end (ITU-T T.30 sections 5.2 and 5.3.6, figures below). It is an expectation, not a promise: error
correction that repeats frames, or a far end that trains down, takes longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RATE = 14_400
"""bit/s where nothing is known of the far end (ITU-T V.17)."""
RATES = (2_400, 4_800, 7_200, 9_600, 12_000, 14_400)
"""bit/s of V.27 ter, V.29 and V.17."""
SETUP_SECONDS = 14.0
"""CED 3 s, DIS about 1.5 s with its preamble, DCS 1.5 s, TCF 1.5 s, CFR 1.2 s and the silences between; rounded up."""
PAGE_SECONDS = 4.0
"""Between two pages: post-page command, its answer, each with 1 s of preamble, and training again."""
END_SECONDS = 3.0
"""Last answer and DCN."""
ECM_SHARE = 0.06
"""HDLC frames of 256 octets with address, control, number, FCS, flags and stuffed bits (ITU-T T.4 annex A)."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """How a carrier bills."""

    unit_seconds: float = 60.0
    """Seconds of a unit; a begun one counts."""
    page_seconds: float = 0.0
    """Seconds of line that count as one page, those before it included; 0: pages are counted as they are."""


PER_PAGE = Tariff(page_seconds=60.0)
"""As the service companies bill: a page more for each begun minute beyond the first of a page, by a clock that starts
when the call is answered."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one fax will take."""

    pages: int
    octets: int
    """Coded pages."""
    rate: int
    """bit/s."""
    seconds: float
    """From the answer to the end of the call."""
    page_seconds: tuple[float, ...]
    """Of each page's data."""
    billed_pages: int
    billed_units: int


def predict(octets: Sequence[int], rate: int = RATE, *, ecm: bool = True, tariff: Tariff | None = None) -> Prediction:
    """Say what a fax will take.

    Args:
        octets: Of each page as coded.
        rate: bit/s expected; taken down to one that modems have.
        ecm: With error correction.
        tariff: How it is billed; none: by the minute and the page.

    Raises:
        ValueError: If there is no page, or a page has a negative size.
    """
    if not octets or min(octets) < 0:
        raise ValueError("a fax has at least one page, and a page no negative size")
    tariff = tariff or Tariff()
    rate = max((known for known in RATES if known <= rate), default=RATES[0])
    each = tuple(8 * size * (1 + ECM_SHARE if ecm else 1) / rate for size in octets)
    seconds = SETUP_SECONDS + sum(each) + PAGE_SECONDS * (len(each) - 1) + END_SECONDS
    billed = len(each)
    if tariff.page_seconds:
        clock = [each[0] + SETUP_SECONDS, *(page + PAGE_SECONDS for page in each[1:])]
        billed = max(billed, sum(max(1, math.ceil(page / tariff.page_seconds)) for page in clock))
    units = math.ceil(seconds / tariff.unit_seconds)
    return Prediction(len(each), sum(octets), rate, seconds, each, billed, units)
