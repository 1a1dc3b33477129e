"""Received pages are read, text and barcodes, and made into documents (docs/reading.md)."""

from __future__ import annotations

from faxgw.dispatch.documents import Documents
from faxgw.dispatch.reading import Reading
from faxgw.parts.house import House, Part
from faxgw.store import readings


async def _start(house: House) -> None:
    metrics = house.metrics

    def told(result: str, seconds: float) -> None:
        metrics.pages_read.labels(result).inc()
        if result != "again":
            metrics.read_duration.observe(seconds)

    async def look() -> None:
        waiting, _oldest = await house.seat.store.read(readings.backlog)
        metrics.pages_unread.set(waiting)

    metrics.before_scrape(look)
    house.documents = Documents(house.seat, house.pages)
    house.station(Reading(house.seat, house.pages, house.pages.settings.readers, told).station)


PART = Part("reading", _start)
