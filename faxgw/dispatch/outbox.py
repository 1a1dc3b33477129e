"""The outbox at work: each item to its way out, again until it is done or dead (docs/spine.md section 1)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from faxgw.dispatch.consigning import consigned
from faxgw.dispatch.job_reports import JobReports
from faxgw.dispatch.mail_styles import MailStyles
from faxgw.dispatch.report_pages import ReportPages
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import Delivery, DeliveryResult, Enclosure, Parcel
from faxgw.fax.received_document import ReceivedDocuments
from faxgw.fax.reception import Why
from faxgw.formats.dsn import MAX_HEADER, MAX_MAIL, Original
from faxgw.formats.report_payload import (
    PayloadDefect,
    dsn_from_payload,
    enclosed_in,
    received_from_payload,
    with_original,
)
from faxgw.store import outbox, pushes, reports, routing
from faxgw.store.envelope import original_of
from faxgw.store.errors import ObjectDamaged
from faxgw.store.outbox import InWork

log = logging.getLogger(__name__)

PLACES = 2 * outbox.PER_KIND
"""Deliveries at the same time; who has how many of them is the store's business (`outbox.share`)."""
TRY_SECONDS = outbox.LEASE - 60.0
"""Seconds one try may last."""


@dataclass(frozen=True, slots=True)
class _Item:
    id: str
    parcel: Parcel
    job: str | None
    place: InWork


class OutboxWorker:
    """Delivers what is due.

    Args:
        seat: The node.
        deliveries: Ways out by parcel kind.
        dead: Told of every item that is given up and that somebody must look at (alarm).
        delivered: Told of every item delivered, and of its age in seconds (metrics).
        styles: Finds customers' mail templates; None: without an alarm.
        pages: Makes the pages that go with status mails; None: as TIFF only.
        documents: Makes the documents that targets of received faxes want; None: plain PDF files alone are delivered.
    """

    def __init__(
        self,
        seat: Seat,
        deliveries: Mapping[str, Delivery],
        dead: Callable[[Parcel], None] = lambda parcel: None,
        delivered: Callable[[Parcel, float], None] = lambda parcel, seconds: None,
        styles: MailStyles | None = None,
        pages: ReportPages | None = None,
        documents: ReceivedDocuments | None = None,
    ) -> None:
        self._seat = seat
        self._own: Mapping[str, Delivery] = {reports.KIND: JobReports(seat)}
        self._deliveries = deliveries  # not a copy: parts that start later add their ways
        self._dead = dead
        self._delivered = delivered
        self._styles = styles or MailStyles(seat)
        self._pages = pages or ReportPages(seat)
        self._documents = documents
        self._busy: dict[str, InWork] = {}
        self._waits_after = 0.0
        """Items that were due by then and were not taken wait for a place, which the end of another one brings."""
        self.delivering: Station[_Item] = Station(
            "deliver",
            places=PLACES,
            wake=seat.store.listen(outbox.TOPIC),
            take=self._take,
            work=self._deliver,
            next_due=lambda: seat.store.read(lambda conn: outbox.next_due(conn, self._waits_after)),
            clock=seat.clock,
        )

    async def _take(self, limit: int) -> Sequence[_Item]:
        seat = self._seat
        now, busy = seat.clock(), list(self._busy.values())
        leased = await seat.store.run(
            lambda conn: outbox.share(conn, fence=seat.fence, now=now, limit=limit, busy=busy)
        )
        self._waits_after = now if leased.withheld else 0.0
        self._busy |= {parcel.item: place for parcel, _job, place in leased.items}
        return [_Item(parcel.item, parcel, job, place) for parcel, job, place in leased.items]

    async def _deliver(self, item: _Item) -> None:
        try:
            await self._try(item)
        finally:
            self._busy.pop(item.id, None)

    async def _try(self, item: _Item) -> None:
        seat, parcel = self._seat, item.parcel
        adapter = self._own.get(parcel.kind) or self._deliveries.get(parcel.kind)
        if adapter is None:
            result = DeliveryResult(False, detail=f"no way out for {parcel.kind}")
        else:
            result = await self._attempt(adapter, item)
        now = seat.clock()
        if result.delivered:
            await seat.persist(lambda conn: self._done(conn, parcel.item, result, now))
            self._delivered(parcel, max(0.0, now - parcel.created_at))
            log.info("delivered", extra={"event": "outbox.done", "item": parcel.item, "kind": parcel.kind})
            return
        dead = await seat.persist(lambda conn: self._failed(conn, parcel.item, result, now))
        event = "outbox.dead" if dead else "outbox.deferred"
        if dead and parcel.kind in outbox.EVENTS:
            event = "outbox.untold"
        log.log(
            logging.ERROR if event == "outbox.dead" else logging.WARNING,
            "not delivered",
            extra={"event": event, "item": parcel.item, "why": result.detail},
        )
        if event == "outbox.dead":
            self._dead(parcel)

    def _done(self, conn: Connection, item: str, result: DeliveryResult, now: float) -> None:
        outbox.done(conn, item, fence=self._seat.fence, now=now, detail=result.detail)
        routing.settle(conn, item, now=now)
        pushes.settle(conn, item)

    def _failed(self, conn: Connection, item: str, result: DeliveryResult, now: float) -> bool:
        dead = outbox.failed(
            conn, item, fence=self._seat.fence, now=now, permanent=result.permanent, detail=result.detail
        )
        routing.settle(conn, item, now=now)
        pushes.settle(conn, item)
        return dead

    async def _attempt(self, adapter: Delivery, item: _Item) -> DeliveryResult:
        """One try, over before its lease is: nobody else delivers the same item beside it."""
        try:
            enclose = self._pages.enclosed if item.parcel.kind == "status_mail" else self._enclosed
            async with asyncio.timeout(TRY_SECONDS), enclose(item.parcel) as parcel:
                whole = await self._completed(replace(item, parcel=parcel))
                return await adapter.deliver(await self._styles.styled(whole))
        except TimeoutError:
            return DeliveryResult(False, detail=f"no result after {TRY_SECONDS:.0f} s")
        except FaxError as exc:
            return DeliveryResult(False, permanent=not exc.temporary, detail=str(exc))
        except Exception as exc:  # owner of the try: a fault of ours counts as one, or it would come again for ever
            log.exception("delivery failed", extra={"event": "outbox.fault", "item": item.id})
            return DeliveryResult(False, detail=f"a fault of the gateway ({type(exc).__name__}); its log says more")

    @contextlib.asynccontextmanager
    async def _enclosed(self, parcel: Parcel) -> AsyncIterator[Parcel]:
        """The parcel with the stored documents that its payload names, opened, checked, and closed in the end.

        Raises:
            ObjectDamaged: If one is not what was stored: the item is dead, and somebody must look.
        """
        opened: list[Enclosure] = []
        try:
            parcel = await consigned(parcel, self._documents)
            for document in enclosed_in(parcel.payload):
                descriptor = await self._seat.files.open_read(document.file)
                file = document.file
                opened.append(Enclosure(document.name, document.content_type, descriptor, file.sha256, file.size))
            yield replace(parcel, enclosures=tuple(opened))
        finally:
            for enclosure in opened:
                os.close(enclosure.descriptor)

    async def _completed(self, item: _Item) -> Parcel:
        """The parcel with what the item's row does not carry."""
        if item.parcel.kind == "dsn":
            return await self._with_original(item.parcel)
        if item.parcel.kind == routing.KIND:
            return await self._with_first_page(item.parcel)
        return await self._with_picture(item)

    async def _with_original(self, parcel: Parcel) -> Parcel:
        """The parcel with the mail that its DSN speaks of, or its beginning; without, if the spool has lost it."""
        seat = self._seat
        try:
            dsn = dsn_from_payload(parcel.payload)
        except PayloadDefect:
            return parcel  # the adapter says so
        file = await seat.store.read(lambda conn: original_of(conn, dsn.message))
        if file is None:
            return parcel
        try:
            descriptor = await seat.files.open_read(file)
        except ObjectDamaged as exc:
            log.error("original lost", extra={"event": "outbox.original", "item": parcel.item, "why": str(exc)})
            return parcel
        whole = dsn.returns_all and file.size <= MAX_MAIL
        try:
            octets = await asyncio.to_thread(os.pread, descriptor, MAX_MAIL if whole else MAX_HEADER + 2, 0)
        finally:
            os.close(descriptor)
        original = Original(octets, complete=len(octets) == file.size)
        return replace(parcel, payload=with_original(parcel.payload, original))

    async def _with_first_page(self, parcel: Parcel) -> Parcel:
        """A received fax's parcel with page 1's picture."""
        try:
            report = received_from_payload(parcel.payload)
        except PayloadDefect:
            return parcel  # the adapter says so
        if report.why is Why.SEALED:
            return parcel
        reception = report.reception
        picture = await self._seat.store.read(lambda conn: routing.thumbnail_of(conn, reception))
        return replace(parcel, payload={**parcel.payload, "thumbnail": base64.b64encode(picture).decode()})

    async def _with_picture(self, item: _Item) -> Parcel:
        """The parcel with page 1's picture."""
        job = item.job
        if job is None or item.parcel.kind != "status_mail":
            return item.parcel
        picture = await self._seat.store.read(lambda conn: reports.thumbnail_of(conn, job))
        report = item.parcel.payload.get("job")
        if not picture or not isinstance(report, Mapping):
            return item.parcel
        shown = {**report, "thumbnail": base64.b64encode(picture).decode()}
        return replace(item.parcel, payload={**item.parcel.payload, "job": shown})
