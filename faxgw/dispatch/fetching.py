"""The station that fetches documents which jobs name by their URL (docs/rest-retarus.md)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing

from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.egress import Egress, Unfetched
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import StoredFile
from faxgw.store import references, submission
from faxgw.store.errors import ObjectTooLarge
from faxgw.store.files import Kind
from faxgw.store.references import LeasedReference

PLACES = 8
"""Documents fetched at the same time."""
WITHIN = 120.0
"""Seconds for one document."""

log = logging.getLogger(__name__)


class Fetcher:
    """Fetches documents.

    Args:
        seat: The node.
        egress: Whom it may ask.
        limit: Octets of one document at most.
    """

    def __init__(self, seat: Seat, egress: Egress, limit: int) -> None:
        self._seat = seat
        self._egress = egress
        self._limit = limit
        self.fetching: Station[LeasedReference] = Station(
            "fetch",
            places=PLACES,
            wake=seat.store.listen(submission.FETCH_TOPIC),
            take=self._take,
            work=self._work,
            next_due=lambda: seat.store.read(references.next_due),
            clock=seat.clock,
        )

    async def _take(self, limit: int) -> Sequence[LeasedReference]:
        seat = self._seat
        return await seat.store.run(
            lambda conn: references.lease(conn, fence=seat.fence, now=seat.clock(), limit=limit)
        )

    async def _work(self, reference: LeasedReference) -> None:
        seat = self._seat
        try:
            file = await self._fetch(reference)
        except FaxError as exc:
            temporary = exc.temporary
            log.warning(
                "document not fetched",
                extra={"event": "document.unfetched", "job": reference.job, "why": str(exc), "again": temporary},
            )
            text, now = exc.public, seat.clock()
            if temporary:
                await seat.store.run(lambda c: references.put_off(c, reference, fence=seat.fence, now=now, why=text))
            else:
                await seat.store.run(lambda c: references.give_up(c, reference, fence=seat.fence, now=now, reason=text))
            return
        now = seat.clock()
        kept = await seat.store.run(
            lambda conn: references.fetched(conn, reference, file=file, fence=seat.fence, now=now)
        )
        if not kept:
            await seat.files.remove(file.key)
            return
        log.info("document fetched", extra={"event": "document.fetched", "job": reference.job, "octets": file.size})

    async def _fetch(self, reference: LeasedReference) -> StoredFile:
        async with await self._seat.files.open_temp(Kind.OBJECT, self._limit) as spool:
            try:
                async with aclosing(self._egress.fetch(reference.url, limit=self._limit, within=WITHIN)) as pieces:
                    async for piece in pieces:
                        await spool.write(piece)
            except ObjectTooLarge as exc:
                raise Unfetched(str(exc), public=exc.public, temporary=False) from exc
            if not spool.size:
                raise Unfetched("empty", public="The document is empty.", temporary=False)
            return await spool.commit()
