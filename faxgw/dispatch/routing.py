"""The way of a received fax into the outbox: judged, asked about, made into a document, its deliveries written.

The station `route` takes faxes whose pages are whole (docs/spine.md section 4) and does not wait for their call's
goodbye: the first delivery may be over before the sender hangs up. Somebody waits for each of these steps, so what can
be done at once is: the document is made while the rules are asked, and one unit judges and writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.routing_rule import Decision, decide
from faxgw.store import choosing, junk, receptions, routing
from faxgw.store.choosing import Question
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.files import Kind
from faxgw.store.junk import Looks, Print
from faxgw.store.routing import Unrouted

log = logging.getLogger(__name__)

MAX_PRINT = 40_000
"""Octets of how a page looks; what a page process says is not believed beyond it."""
PLACES = 4
"""Receptions whose document is made at the same time."""
THUMBNAIL = 280
"""Pixels of page 1's picture: twice its width in the mail."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of the pages."""

    document: StoredFile | None = None
    """The PDF, durable; None when none can be made: the pages go as they are."""
    thumbnail: bytes = b""
    prints: Sequence[Print] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the rules said, and to what."""

    question: Question
    decision: Decision


class Routing:
    """Routes the faxes that the store says are to be routed.

    Args:
        seat: The node.
        client: The page processes, for the documents.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client
        self.station: Station[Unrouted] = Station(
            "route",
            places=PLACES,
            wake=seat.store.listen(receptions.ROUTE_TOPIC),
            take=self._take,
            work=self._route,
            next_due=lambda: seat.store.read(routing.next_due),
            clock=seat.clock,
        )

    async def _take(self, limit: int) -> Sequence[Unrouted]:
        seat = self._seat

        def unit(conn: Connection) -> Sequence[Unrouted]:
            now = seat.clock()
            routing.release(conn, now=now)
            return routing.lease(conn, fence=seat.fence, now=now, limit=limit)

        return await seat.store.run(unit)

    async def _route(self, item: Unrouted) -> None:
        """Ask the rules, make the document, write the deliveries; after MAX_TRIES the pages go as they are."""
        try:
            asked, made = await (self._in_turn(item) if item.waited else self._at_once(item))
            if asked is not None and made is not None:
                await self._send(item, asked, made)
        except StoreError as exc:  # too much waits for the database
            log.error("not routed yet", extra={"event": "reception.put_back", "reception": item.id, "why": str(exc)})
            await self._put_back(item, str(exc))
        except Exception as exc:  # owner of the step: a fault of ours must leave no fax without an owner
            log.exception("fax not routed", extra={"event": "reception.fault", "reception": item.id})
            if item.tries < routing.MAX_TRIES:
                await self._put_back(item, type(exc).__name__)
            else:
                await self._send_plainly(item)

    async def _in_turn(self, item: Unrouted) -> tuple[_Asked | None, _Made | None]:
        """First the rules, which have waited for reading and may do so again: no document is made in vain."""
        await self._judge(item)
        asked = await self._ask(item)
        return asked, None if asked is None else await self._make(item)

    async def _at_once(self, item: Unrouted) -> tuple[_Asked | None, _Made | None]:
        """The document, and the rules meanwhile; when these wait, it is not wanted yet."""
        making = asyncio.create_task(self._make(item), name=f"document {item.id}")
        asked: _Asked | None = None
        try:
            await self._judge(item)
            asked = await self._ask(item)
            return asked, None if asked is None else await making
        finally:
            if asked is None:
                making.cancel()
                (left,) = await asyncio.gather(making, return_exceptions=True)
                if isinstance(left, _Made):
                    await self._drop(left)

    # ---------------------------------------------------------------------------------------------------- the rules

    async def _ask(self, item: Unrouted) -> _Asked | None:
        """What the rules say; None when they wait for more to be read. No rule keeps a fax from its owner."""
        seat = self._seat
        try:
            asked = await seat.store.read(lambda conn: choosing.question(conn, item.id))
        except Refused as exc:  # a rule that this release cannot read
            log.error("rules not asked", extra={"event": "reception.rules", "reception": item.id, "why": str(exc)})
            asked = await seat.store.read(lambda conn: choosing.question(conn, item.id, with_rules=False))
        patient = seat.clock() < asked.wait_until
        decision = await asyncio.to_thread(decide, asked.rules, asked.facts, patient=patient)
        if not decision.waits:
            return _Asked(asked, decision)
        waiting = [decision.steps[-1].rule.name]
        await seat.persist(
            lambda conn: routing.await_reading(
                conn,
                item.id,
                read_pages=asked.read_pages,
                until=asked.wait_until,
                rules=waiting,
                fence=seat.fence,
                now=seat.clock(),
            )
        )
        log.info("rules wait", extra={"event": "reception.awaits_reading", "reception": item.id, "rules": waiting})
        return None

    async def _judge(self, item: Unrouted) -> None:
        """Judge it by all but its looks, which are not known yet; the rules may ask for the score."""
        try:
            _score, why = await self._seat.store.run(lambda conn: self._judged(conn, item.id, (), None))
        except StoreError as exc:
            why = str(exc)
        self._complain(item, why)

    def _judged(
        self, conn: Connection, reception: str, prints: Sequence[Print], looks: Looks | None
    ) -> tuple[int, str]:
        """Its junk score, by what is known of it now, within a unit; 0, and why, when that could not be found out: it
        holds nothing back.
        """
        try:
            with conn.begin_nested():
                return junk.judge(conn, reception, now=self._seat.clock(), prints=prints, looks=looks).score, ""
        except FaxError as exc:
            return 0, str(exc) or type(exc).__name__

    def _complain(self, item: Unrouted, why: str) -> None:
        if why:
            log.error("fax not judged", extra={"event": "reception.junk", "reception": item.id, "why": why})

    # ------------------------------------------------------------------------------------------------- the document

    async def _make(self, item: Unrouted) -> _Made | None:
        """The document; None when it could not be made now: the fax is put back."""
        try:
            return await self._document(item)
        except FaxError as exc:
            lasting = isinstance(exc, PagesDamaged | ObjectDamaged) or item.tries >= routing.MAX_TRIES
            log.error("no document", extra={"event": "reception.document", "reception": item.id, "why": str(exc)})
            if lasting:
                return _Made()
            why = str(exc)
        await self._put_back(item, why)
        return None

    async def _put_back(self, item: Unrouted, why: str) -> None:
        seat = self._seat
        await seat.persist(lambda conn: routing.put_back(conn, item.id, fence=seat.fence, now=seat.clock(), why=why))

    async def _document(self, item: Unrouted) -> _Made:
        """The PDF, durable, page 1's picture, and how the pages look."""
        seat, opened = self._seat, list[int]()
        try:
            for page in item.pages:
                opened.append(await seat.files.open_read(page))
            title = f"Fax {item.ident or item.caller or ''} > {item.number}"
            created = datetime.fromtimestamp(item.started_at, ZoneInfo(item.time_zone))
            made = await self._client.pdf(opened, title, created, thumbnail_px=THUMBNAIL)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        try:
            picture = b"" if made.thumbnail_fd is None else await asyncio.to_thread(_content, made.thumbnail_fd)
            prints = [
                Print(number, page.ink, page.print)
                for number, page in enumerate(made.pages, 1)
                if page.ink >= 0.0 and len(page.print) <= MAX_PRINT
            ]
            return _Made(await seat.files.adopt_fd(made.fd, Kind.OBJECT), picture, prints)
        finally:
            made.close()

    async def _drop(self, made: _Made) -> None:
        if made.document is not None:
            with contextlib.suppress(StoreError, OSError):  # what stays is swept at the next start
                await self._seat.files.remove(made.document.key)

    # ----------------------------------------------------------------------------------------------- the deliveries

    async def _send(self, item: Unrouted, asked: _Asked, made: _Made) -> None:
        """Write the deliveries; when the pages' looks change its score, the rules are asked again first."""
        looks = await self._looks(item, made.prints)
        routed = await self._write(item, asked, made, looks, judging=True)
        if routed is None:
            again = await self._ask(item)
            routed = again is not None and await self._write(item, again, made, looks, judging=False)
        if not routed:
            await self._drop(made)
        log.info("fax routed", extra={"event": "reception.routed", "reception": item.id, "routed": routed})

    async def _send_plainly(self, item: Unrouted) -> None:
        """The simple way, and the pages as they came: what else there is to do has failed MAX_TRIES times."""
        question = await self._seat.store.read(lambda conn: choosing.question(conn, item.id, with_rules=False))
        asked = _Asked(question, Decision(()))
        routed = await self._write(item, asked, _Made(), None, judging=False)
        log.error("fax routed plainly", extra={"event": "reception.routed", "reception": item.id, "routed": routed})

    async def _looks(self, item: Unrouted, prints: Sequence[Print]) -> Looks | None:
        """What its pages look like; None when that is not known. Read apart: it may take a second."""
        seat = self._seat
        try:
            return await seat.store.read(lambda conn: junk.look(conn, item.id, prints, now=seat.clock()))
        except FaxError as exc:
            self._complain(item, str(exc))
            return None

    async def _write(
        self, item: Unrouted, asked: _Asked, made: _Made, looks: Looks | None, *, judging: bool
    ) -> bool | None:
        """Judge it by its looks, too, and write its deliveries; None when its score is not what the rules knew."""
        seat, stem, document = self._seat, _file_name(item), made.document
        if document is not None:
            enclosed = [EnclosedFile(f"{stem}.pdf", "application/pdf", document)]
        else:
            enclosed = [EnclosedFile(f"{stem}-{k}.tiff", "image/tiff", page) for k, page in enumerate(item.pages, 1)]
        problem = "" if document is not None else "tiff"

        def unit(conn: Connection) -> tuple[bool | None, str]:
            why = ""
            if judging:
                score, why = self._judged(conn, item.id, made.prints, looks)
                if score != asked.question.facts.junk:
                    return None, why
            found = choosing.answer(conn, asked.question, asked.decision)
            routed = routing.route(
                conn,
                item.id,
                document=document,
                enclosed=enclosed,
                thumbnail=made.thumbnail,
                problem=problem,
                fence=seat.fence,
                now=seat.clock(),
                onward=found.onward,
                told=choosing.told(asked.question, asked.decision, found),
            )
            return routed, why

        routed, why = await seat.persist(unit)
        self._complain(item, why)
        return routed


def _file_name(item: Unrouted) -> str:
    """`fax-20261121-211000-from-498955500`: when, and from whom, as far as it is a number."""
    when = datetime.fromtimestamp(item.started_at, ZoneInfo(item.time_zone))
    digits = "".join(c for c in (item.caller or item.ident) if c.isascii() and c.isdigit())[:20]
    return f"fax-{when:%Y%m%d-%H%M%S}" + (f"-from-{digits}" if digits else "")


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
