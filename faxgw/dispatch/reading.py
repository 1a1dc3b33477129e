"""Reading received pages while their call still runs: the station `read` (features G4, docs/spine.md section 4).

Each page is read by itself as soon as it is kept, by a page process that gives way to everything else. Reading never
holds a fax back for ever: a page that cannot be read, or not in time, is marked, and goes as a picture alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.document.types import ReadOptions, Refused
from faxgw.fax.reading import PageReading, Readings, ReadingState
from faxgw.store import readings
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.readings import Unread

log = logging.getLogger(__name__)

Told = Callable[[str, float], None]
"""Told of every page that is over: `read`, `partly`, `failed`, `again`; and the seconds on the clock since it was
asked for."""


class Reading:
    """Reads the pages that the store says are to be read.

    Args:
        seat: The node.
        client: The page processes.
        places: Pages in work at the same time.
        told: Told of every end (metrics); must not raise.
    """

    def __init__(
        self, seat: Seat, client: PageClient, places: int = 1, told: Told = lambda result, seconds: None
    ) -> None:
        self._seat = seat
        self._client = client
        self._told = told
        self.station: Station[Unread] = Station(
            "read",
            places=places,
            wake=seat.store.listen(readings.TOPIC),
            take=self._take,
            work=self._read,
            next_due=lambda: seat.store.read(readings.next_due),
            clock=seat.clock,
        )

    async def wait(self, reception: str, page: int, seconds: float) -> PageReading | None:
        """Wait until a page was read or given up; None when it was given up, is not to be read, or time is up."""
        until, ended = time.monotonic() + seconds, self._seat.store.listen(readings.READ_TOPIC)
        while True:
            ended.clear()
            found = await self._seat.store.read(lambda conn: readings.of(conn, reception))
            state, reading = _page(found, page)
            if state is not ReadingState.WAITING or time.monotonic() >= until:
                return reading
            try:
                await asyncio.wait_for(ended.wait(), until - time.monotonic())
            except TimeoutError:
                return None

    async def _take(self, limit: int) -> Sequence[Unread]:
        seat = self._seat
        return await seat.store.run(lambda conn: readings.lease(conn, fence=seat.fence, now=seat.clock(), limit=limit))

    async def _read(self, item: Unread) -> None:
        try:
            found = await self._found(item)
        except (PagesUnavailable, StoreError, OSError) as exc:
            lasting = isinstance(exc, ObjectDamaged) or item.tries >= readings.MAX_TRIES
            await (self._fail(item, str(exc)) if lasting else self._again(item, str(exc)))
            return
        if isinstance(found, str):
            await self._fail(item, found)
            return
        seat = self._seat
        kept = await seat.persist(
            lambda conn: readings.done(conn, item.reception, found, fence=seat.fence, now=seat.clock())
        )
        log.info(
            "page read",
            extra={
                "event": "reception.read",
                "reception": item.reception,
                "page": item.page,
                "kept": kept,
                "words": len(found.words),
                "barcodes": len(found.barcodes),
                "confidence": round(found.confidence),
                "seconds": round(found.seconds, 2),
                "problem": found.problem,
            },
        )
        self._tell("partly" if found.problem else "read", item)

    async def _found(self, item: Unread) -> PageReading | str:
        """What was read, or why nothing was. A page whose text is too much is read for its barcodes alone."""
        descriptor = await self._seat.files.open_read(item.file)
        try:
            options = ReadOptions(item.page, item.wanted.languages, item.wanted.barcodes)
            found = await self._client.read(descriptor, options)
            if isinstance(found, Refused) and options.languages and options.barcodes:
                why = found.reason.value
                found = await self._client.read(descriptor, replace(options, languages=()))
                if not isinstance(found, Refused):
                    found = replace(found, problem=f"text: {why}")
        finally:
            os.close(descriptor)
        return found.reason.value if isinstance(found, Refused) else found

    async def _again(self, item: Unread, why: str) -> None:
        seat = self._seat
        log.warning("page not read yet", extra={"event": "reception.read_again", "page": item.id, "why": why})
        await seat.persist(
            lambda conn: readings.put_back(conn, item.reception, item.page, fence=seat.fence, now=seat.clock())
        )
        self._tell("again", item)

    async def _fail(self, item: Unread, why: str) -> None:
        seat = self._seat
        log.error("page not read", extra={"event": "reception.not_read", "page": item.id, "why": why})
        await seat.persist(
            lambda conn: readings.failed(conn, item.reception, item.page, fence=seat.fence, now=seat.clock(), why=why)
        )
        self._tell("failed", item)

    def _tell(self, result: str, item: Unread) -> None:
        self._told(result, max(0.0, self._seat.clock() - item.asked_at))


def _page(found: Readings, page: int) -> tuple[ReadingState | None, PageReading | None]:
    for one in found.pages:
        if one.page == page:
            return one.state, one.reading
    return None, None
