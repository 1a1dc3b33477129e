"""The gates of one call: where it holds its breath until the daemon has written down what comes next.

A gate closes before the first page of a fax is exposed, after each confirmed page and before each received page is
confirmed (docs/spine.md section 5). Only the acknowledgement of just that gate opens it, and only in time: one that
comes later is worse than none, for the far end may have gone on without us. Time is an argument; the engine is the
caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faxgw.foip.control import Ack, Document, Gate, Limits

Plan = tuple[tuple[str, int], ...]
"""The pages of a call in order: fax and page."""


@dataclass(frozen=True, slots=True)
class _Closed:
    """A gate that waits for its acknowledgement."""

    gate: Gate
    fax: str
    page: int
    deadline: float


def plan(documents: Sequence[Document]) -> Plan:
    """Every page of the documents' ranges, in the order in which they are sent."""
    return tuple((one.fax, page) for one in documents for page in range(one.first, one.last + 1))


class Gates:
    """What may be sent or confirmed, and which gate is closed; at most one is.

    Args:
        pages: What is to be sent; empty: the call receives.
        limits: How long a gate may stay closed.
    """

    def __init__(self, pages: Plan, limits: Limits) -> None:
        self.pages = pages
        self._limits = limits
        self._exposed: set[str] = set()
        self._closed: _Closed | None = None

    def next_page(self, done: int) -> tuple[str, int]:
        """Fax and page that follow `done` confirmed pages; the last one when there is none."""
        return self.pages[min(done, len(self.pages) - 1)]

    def is_exposed(self, fax: str) -> bool:
        """Whether the daemon knows that this fax's pages may be on their way."""
        return fax in self._exposed

    @property
    def cleared(self) -> int:
        """How many pages from the start of the plan may be sent."""
        for index, (fax, _page) in enumerate(self.pages):
            if fax not in self._exposed:
                return index
        return len(self.pages)

    def close(self, gate: Gate, fax: str, page: int, now: float) -> None:
        """Close a gate; the engine is frozen meanwhile."""
        budget = self._limits.between_pages if gate is Gate.CONFIRMED else self._limits.gate
        self._closed = _Closed(gate, fax, page, now + budget)

    def acknowledge(self, ack: Ack, now: float) -> bool:
        """Take the daemon's word; True: the closed gate has opened.

        A fax acknowledged as exposed is so whether a gate waits for it or not: the daemon may know before CFR.
        """
        if ack.gate is Gate.EXPOSED:
            self._exposed.add(ack.fax)
        closed = self._closed
        if closed is None or closed.gate is not ack.gate or closed.fax != ack.fax:
            return False
        if ack.gate is not Gate.EXPOSED and closed.page != ack.page:
            return False
        if now > closed.deadline:
            return False  # the next look at the clock ends the call
        self._closed = None
        return True

    def overdue(self, now: float) -> Gate | None:
        """The closed gate whose acknowledgement has not come in time."""
        closed = self._closed
        return closed.gate if closed is not None and now > closed.deadline else None

    def forget(self) -> None:
        """The call is over: no gate is waited for."""
        self._closed = None
