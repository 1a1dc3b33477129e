"""Callers that were on the line when a call worker died: their next calls have a worker of their own.

Which of a worker's calls sent what killed it cannot be told from outside (docs/transport.md, "Guard"), so all of them
are suspected for a while. A caller who does it again ends that call and no other; an innocent one notices nothing.
Bounded: the longest known go first.
"""

from __future__ import annotations

from typing import Final

SUSPECTED_FOR: Final = 6 * 3600.0
"""Seconds after a worker's death in which its callers are kept apart."""
MAX_SUSPECTS: Final = 2_000
"""Callers remembered at most."""


class Suspects:
    """Who is kept apart, by the number that the trunk gives; callers who withhold theirs are one."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def suspect(self, caller: str, now: float) -> None:
        """A worker died while this caller had a call in it.

        Args:
            caller: The caller's number as the trunk gives it; empty: withheld.
            now: Seconds on any steady clock.
        """
        self._until.pop(caller, None)
        self._until[caller] = now + SUSPECTED_FOR
        while len(self._until) > MAX_SUSPECTS:
            del self._until[next(iter(self._until))]

    def has(self, caller: str, now: float) -> bool:
        """Whether a call of this caller is to have a worker of its own."""
        return self._until.get(caller, 0.0) > now
