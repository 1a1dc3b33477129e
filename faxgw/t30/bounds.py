"""How long a call may take, and how much of it: the wall-clock bounds of `foip.control.Limits`, rows and refusals.

The library's own timers (ITU-T T.30 section 5.2) bound each exchange, not their number: a far end that always asks
once more would hold a line for ever. Nothing here ends a call; `exceeded` says why it must end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from faxgw.foip.control import Limits

MAX_BAD_PAGES: Final = 8
"""Times in a row that we refuse a page to be received; a machine that repeats noise must not hold the line for ever."""
MAX_PAGE_ROWS: Final = 65_536
"""Rows of one received page at most: 4 m of paper at the finest, 8 m at 204 x 196. A row may be a single bit on the
line and hundreds of octets in the library: seen, half a million rows and 113 MB for each block of 64 KB. The guard in
the decoder keeps it while the page comes in (`decoder.harm_in`), `rows_excess` when it is there."""
MAX_REFUSALS: Final = 2
"""RTN or PIN for one page: it is sent once more, at a lower rate; each copy may have been printed all the same."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a call must end."""

    reason: str
    """As in PhaseE."""
    text: str


def rows_excess(rows: int) -> Excess | None:
    """What is wrong with a received page of so many rows."""
    return Excess("limit", f"a page of more than {MAX_PAGE_ROWS} rows") if rows > MAX_PAGE_ROWS else None


class Bounds:
    """The clocks and counts of one call."""

    def __init__(self, limits: Limits, now: float) -> None:
        """Begin with the call; `now` in seconds on a steady clock."""
        self._limits = limits
        self._began = now
        self._t38_began = now
        self._listening_since = now
        self._progress = now
        self.refusals = 0
        """Times in a row that the page under way was refused, by either side."""

    def since_start(self, at: float) -> float:
        """Seconds of the call at a moment."""
        return at - self._began

    def switched(self, now: float) -> None:
        """T.38 has begun: the far end's first packet is waited for."""
        self._t38_began = now

    def listening(self, now: float) -> None:
        """A new engine waits for the far end's next DIS."""
        self._listening_since = now

    def advanced(self, now: float) -> None:
        """Something was said about a page."""
        self._progress = now

    def exceeded(self, phase_b: bool, silence: str, now: float) -> Excess | None:
        """The bound that is exceeded.

        Args:
            phase_b: Whether the far end has said DIS or DCS.
            silence: What is to be said of T.38 that was agreed and has not come; empty: it came, or was not agreed.
            now: As in `__init__`.
        """
        limits = self._limits
        if silence and now - self._t38_began > limits.t38_silence:
            return Excess("silent", silence)
        if not phase_b and now - self._listening_since > limits.answer_to_phase_b:
            return Excess("limit", "no fax machine answered in time")
        if phase_b and now - self._progress > limits.page:
            return Excess("limit", "a page took too long")
        if now - self._began > limits.call:
            return Excess("limit", "the call took too long")
        return None

    def refused_sending(self) -> Excess | None:
        """RTN or PIN came: the library sends the page again at the next lower rate, down to the lowest."""
        self.refusals += 1
        if self.refusals >= MAX_REFUSALS:
            return Excess("refused", f"a page was refused {self.refusals} times")
        return None

    def refused_receiving(self, page: int) -> Excess | None:
        """We said RTN, or asked for a page again; `page` from 1."""
        self.refusals += 1
        if self.refusals >= MAX_BAD_PAGES:
            return Excess("limit", f"page {page} came badly {self.refusals} times")
        return None
