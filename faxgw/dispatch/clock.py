"""The wall clock, watched (docs/spine.md section 9): a jump must not expire, purge or hold up a fax.

Wall time is compared with monotonic time every few seconds, and at start with the newest event of the journal. After
a jump of more than five minutes the waiting times move with it and an alarm is raised; expiry and purge rest until the
kernel says that the clock is synchronised, or the operator says that it is right. Calling goes on.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import time
from collections.abc import Callable
from functools import partial

from faxgw.dispatch.seat import Seat
from faxgw.store import journal, queue
from faxgw.store.errors import StoreError

log = logging.getLogger(__name__)

JUMP = 300.0
"""Seconds from which a difference is a jump (spine section 9)."""
LOOK_EVERY = 10.0
"""Seconds between two comparisons."""
_TIMEX_OCTETS = 256
"""Room for the kernel's struct timex (208 octets on x86-64)."""
_TIME_ERROR = 5
"""What adjtimex(2) answers while the clock is not synchronised."""


def synchronised() -> bool:
    """Whether the kernel's clock is disciplined by NTP (adjtimex(2)); False when that cannot be known."""
    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_OCTETS))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR


class ClockWatch:
    """Knows whether the wall clock can be trusted.

    Args:
        seat: The node; its clock is the one watched.
        monotonic: Seconds that never jump.
        disciplined: Whether the wall clock is synchronised now.
    """

    def __init__(
        self,
        seat: Seat,
        monotonic: Callable[[], float] = time.monotonic,
        disciplined: Callable[[], bool] = synchronised,
    ) -> None:
        self._seat = seat
        self._monotonic = monotonic
        self._disciplined = disciplined
        self._offset = seat.clock() - monotonic()
        self.trusted = True
        """False after a jump: nothing may expire or be purged by this clock."""

    async def look_at_journal(self) -> None:
        """At start: events from the future mean that the clock has gone back while nobody watched."""
        newest = await self._seat.store.read(journal.newest)
        if newest is not None and newest - self._seat.clock() > JUMP:
            self._doubt(self._seat.clock() - newest)

    async def look(self) -> None:
        """Compare once; move the waiting times when the clock has jumped."""
        offset = self._seat.clock() - self._monotonic()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) > JUMP:
            self._doubt(jump)
            await self._seat.persist(
                partial(queue.move_times, jump=self._seat.id("clk"), by=jump, now=self._seat.clock())
            )
        if not self.trusted and self._disciplined():
            self.confirm("synchronised")

    def confirm(self, who: str) -> None:
        """The clock is right: expiry and purge go on."""
        self.trusted = True
        log.warning("clock confirmed", extra={"event": "clock.confirmed", "who": who})

    def _doubt(self, jump: float) -> None:
        self.trusted = False
        log.critical("clock jumped", extra={"event": "clock.jumped", "seconds": round(jump)})

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except StoreError as exc:
                log.error("clock not looked after", extra={"event": "store.away", "why": str(exc)})
