"""Calls to us: who is admitted, pages kept before their MCF, and the way of a received fax into the outbox.

Implements `fax.ports.InboundCalls` (docs/spine.md section 4 and 5, "MCF for a received page"): the page's file is
durable, then its row, then it is acknowledged, all within the budget; whatever fails, the sender keeps the
responsibility. The station `route` makes the document of a fax whose pages are whole and writes its deliveries; it
does not wait for the call's goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any  # tasks of any result
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.dispatch.trace import trace_rows
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.fax.account import SETTINGS
from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.number import dialled_forms
from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, CallIdentity, CallProgress, EnclosedFile, Line, Ringing, StoredFile
from faxgw.fax.reception import ReceivedPage
from faxgw.fax.routing_rule import Decision, decide
from faxgw.store import choosing, junk, receptions, routing
from faxgw.store.choosing import Question
from faxgw.store.errors import CommitUncertain, ObjectDamaged, StoreError
from faxgw.store.files import Kind
from faxgw.store.junk import Print
from faxgw.store.receptions import Kept, Refusal
from faxgw.store.routing import Unrouted
from faxgw.store.space import Watermark

log = logging.getLogger(__name__)

BUDGET = 2.0
"""Seconds from a page's arrival to its acknowledgement (spine section 5); beyond it a release is worse than none."""
ADMIT_WITHIN = 4.0
"""Seconds for the decision over an INVITE; a carrier goes elsewhere soon after."""
MAX_PAGE = 64 * 1024 * 1024
"""Octets of one page's file; the call worker cuts none that is larger."""
MAX_PRINT = 40_000
"""Octets of how a page looks; what a page process says is not believed beyond it."""
PLACES = 4
"""Receptions whose document is made at the same time."""
THUMBNAIL = 280
"""Pixels of page 1's picture: twice its width in the mail."""
END_SECONDS = 10.0
"""Seconds spent on ending one call of an earlier incarnation."""
_UNAVAILABLE = 503
"""SIP status: no room, or the store is away (RFC 3261 section 21.5.4)."""

Finished = Callable[[str, Outcome, int], None]
"""Told of every call that ended: trunk, outcome, pages kept."""


@dataclass(slots=True)
class Arriving:
    """A call to us in progress, for the live view."""

    reception: str
    number: str
    caller: str
    trunk: str
    started_at: float
    pages: int
    progress: CallProgress


class Inbound:
    """Decides over calls to us, and keeps what they bring.

    Args:
        seat: The node.
        client: The page processes, for the documents.
        watermark: Below it no call is admitted.
        finished: Told of every end (metrics).
        describe: A T.30 frame in words, for the trace.
    """

    def __init__(
        self,
        seat: Seat,
        client: PageClient,
        watermark: Watermark,
        finished: Finished = lambda trunk, outcome, pages: None,
        describe: Callable[[bytes], str] = bytes.hex,
    ) -> None:
        self._seat = seat
        self._client = client
        self._watermark = watermark
        self._finished = finished
        self._describe = describe
        self._keeping: dict[str, set[asyncio.Task[bool]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.live: dict[str, Arriving] = {}
        """Calls in progress by reception."""
        self.routing: Station[Unrouted] = Station(
            "route",
            places=PLACES,
            wake=seat.store.listen(receptions.ROUTE_TOPIC),
            take=self._take,
            work=self._route,
            next_due=lambda: seat.store.read(routing.next_due),
            clock=seat.clock,
        )

    # ---------------------------------------------------------------------------------------------------- the call

    async def admit(self, ringing: Ringing) -> Admission | int:
        """See the port."""
        reception = self._seat.id("rcv")
        try:
            async with asyncio.timeout(ADMIT_WITHIN):
                await self._seat.files.require_room(self._watermark)
                decided = await self._decide(reception, ringing)
        except (StoreError, OSError) as exc:  # a TimeoutError is an OSError
            log.error("call not admitted", extra={"event": "reception.refused", "status": 503, "why": str(exc)})
            self._own(asyncio.create_task(self._abandon(reception), name=f"abandon {reception}"))
            return _UNAVAILABLE
        if isinstance(decided, Refusal):
            extra = {"event": "reception.refused", "status": decided.status, "why": decided.why}
            log.info("call refused", extra={**extra, "trunk": ringing.trunk, "dialled": ringing.dialled})
            return decided.status
        progress, now = CallProgress("ringing"), self._seat.clock()
        self.live[reception] = Arriving(reception, ringing.dialled, ringing.caller, ringing.trunk, now, 0, progress)
        return decided

    async def _decide(self, reception: str, ringing: Ringing) -> Admission | Refusal:
        seat, now = self._seat, self._seat.clock()
        country = str(seat.system.get("country", SETTINGS["country"].default))
        forms = dialled_forms(ringing.dialled, country)
        callers = dialled_forms(ringing.caller, country)
        return await seat.store.run(
            lambda conn: receptions.admit(
                conn,
                reception,
                ringing,
                forms=forms,
                callers=callers,
                system=seat.system,
                node=seat.node,
                fence=seat.fence,
                now=now,
            )
        )

    async def _abandon(self, reception: str) -> None:
        """The call was refused, but its row may be there, or still come: close it."""
        seat = self._seat
        await seat.persist(lambda conn: receptions.abandon(conn, reception, now=seat.clock()))

    def _own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def answered(self, reception: str) -> bool:
        """See the port."""
        seat, now = self._seat, self._seat.clock()
        try:
            return await seat.store.run(lambda conn: receptions.answered(conn, reception, fence=seat.fence, now=now))
        except StoreError as exc:
            log.error("answer not committed", extra={"event": "reception.mark", "why": str(exc)})
            return False

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        """See the port. What is not durable within BUDGET is not acknowledged, but kept if it becomes so."""
        own = os.dup(descriptor)
        task = asyncio.create_task(self._keep_and_close(reception, page, own), name=f"page {reception} {page.page}")
        self._own(task)
        self._keeping.setdefault(reception, set()).add(task)
        try:
            async with asyncio.timeout(BUDGET):
                return await asyncio.shield(task)
        except TimeoutError:
            log.error("page too late", extra={"event": "reception.page_late", "reception": reception})
            return False

    async def _keep_and_close(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        try:
            return await self._keep(reception, page, descriptor)
        finally:
            os.close(descriptor)

    async def _keep(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        """File, row, acknowledgement. True only when all of it is durable."""
        seat, now = self._seat, self._seat.clock()
        try:
            file = await seat.files.adopt_fd(descriptor, Kind.OBJECT, MAX_PAGE)
        except StoreError as exc:
            log.error("page not kept", extra={"event": "reception.page_lost", "reception": reception, "why": str(exc)})
            return False
        try:
            kept = await seat.store.run(
                lambda conn: receptions.page(conn, reception, page, file, fence=seat.fence, now=now)
            )
        except CommitUncertain as exc:  # a row may name the file: it stays, or the sweep takes it
            log.error("page uncertain", extra={"event": "reception.page_lost", "reception": reception, "why": str(exc)})
            return False
        except FaxError as exc:
            log.error("page not kept", extra={"event": "reception.page_lost", "reception": reception, "why": str(exc)})
            await self._drop(file)
            return False
        if kept in (Kept.KNOWN, Kept.REFUSED):
            await self._drop(file)
        if reception in self.live and kept is Kept.ADDED:
            self.live[reception].pages = page.page
        log.info(
            "page kept",
            extra={"event": "reception.page", "reception": reception, "page": page.page, "kept": kept.value},
        )
        return kept in (Kept.ADDED, Kept.KNOWN)

    async def _drop(self, file: StoredFile) -> None:
        with contextlib.suppress(StoreError, OSError):  # what stays is swept at the next start
            await self._seat.files.remove(file.key)

    def progress(self, reception: str, what: CallProgress) -> None:
        """See the port."""
        if reception in self.live:
            self.live[reception].progress = what

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        """See the port."""
        seat = self._seat
        if keeping := self._keeping.pop(reception, None):
            await asyncio.wait(keeping, timeout=BUDGET)
        live = self.live.pop(reception, None)
        ladder = trace_rows(outcome, self._describe)
        state = await seat.persist(
            lambda conn: receptions.ended(
                conn,
                reception,
                outcome,
                acknowledged=acknowledged,
                farewell=farewell,
                fence=seat.fence,
                now=seat.clock(),
                ladder=ladder,
            )
        )
        if live is not None:
            self._finished(live.trunk, outcome, live.pages)
        log.info(
            "call ended",
            extra={
                "event": "reception.ended",
                "reception": reception,
                "state": None if state is None else state.value,
                "cause": outcome.cause.value,
                "seconds": round(outcome.duration, 1),
                "transport": outcome.transport,
                "pages": 0 if live is None else live.pages,
                "farewell": farewell,
                "detail": outcome.detail,
            },
        )

    # ------------------------------------------------------------------------------------------------- the document

    async def _take(self, limit: int) -> Sequence[Unrouted]:
        seat = self._seat

        def unit(conn: Connection) -> Sequence[Unrouted]:
            now = seat.clock()
            routing.release(conn, now=now)
            return routing.lease(conn, fence=seat.fence, now=now, limit=limit)

        return await seat.store.run(unit)

    async def _route(self, item: Unrouted) -> None:
        """Ask the rules, make the document, write the deliveries; after MAX_TRIES the pages go as they are."""
        score = await self._judge(item.id, ())
        if (asked := await self._ask(item)) is None:
            return
        made: tuple[StoredFile | None, bytes, Sequence[Print]]
        try:
            made = await self._document(item)
        except FaxError as exc:
            lasting = isinstance(exc, PagesDamaged | ObjectDamaged) or item.tries >= routing.MAX_TRIES
            log.error("no document", extra={"event": "reception.document", "reception": item.id, "why": str(exc)})
            if not lasting:
                seat, why = self._seat, str(exc)
                await seat.persist(
                    lambda conn: routing.put_back(conn, item.id, fence=seat.fence, now=seat.clock(), why=why)
                )
                return
            made = (None, b"", ())
        document, thumbnail, prints = made
        if await self._judge(item.id, prints) != score and (asked := await self._ask(item)) is None:
            if document is not None:
                await self._drop(document)
            return
        question, decision = asked
        await self._write(item, document, thumbnail, question, decision)

    async def _judge(self, reception: str, prints: Sequence[Print]) -> int:
        """Its junk score, by what is known of it now; 0 when that could not be found out: it holds nothing back."""
        seat = self._seat
        try:
            looks = None
            if prints:
                looks = await seat.store.read(lambda conn: junk.look(conn, reception, prints, now=seat.clock()))
            judged = await seat.store.run(
                lambda conn: junk.judge(conn, reception, now=seat.clock(), prints=prints, looks=looks)
            )
        except FaxError as exc:
            log.error("fax not judged", extra={"event": "reception.junk", "reception": reception, "why": str(exc)})
            return 0
        return judged.score

    async def _ask(self, item: Unrouted) -> tuple[Question, Decision] | None:
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
            return asked, decision
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

    async def _document(self, item: Unrouted) -> tuple[StoredFile, bytes, Sequence[Print]]:
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
            return await seat.files.adopt_fd(made.fd, Kind.OBJECT), picture, prints
        finally:
            made.close()

    async def _write(
        self, item: Unrouted, document: StoredFile | None, thumbnail: bytes, asked: Question, decision: Decision
    ) -> None:
        seat, stem = self._seat, _file_name(item)
        if document is not None:
            enclosed = [EnclosedFile(f"{stem}.pdf", "application/pdf", document)]
        else:
            enclosed = [EnclosedFile(f"{stem}-{k}.tiff", "image/tiff", page) for k, page in enumerate(item.pages, 1)]
        problem = "" if document is not None else "tiff"

        def unit(conn: Connection) -> bool:
            found = choosing.answer(conn, asked, decision)
            return routing.route(
                conn,
                item.id,
                document=document,
                enclosed=enclosed,
                thumbnail=thumbnail,
                problem=problem,
                fence=seat.fence,
                now=seat.clock(),
                onward=found.onward,
                told=choosing.told(asked, decision, found),
            )

        routed = await seat.persist(unit)
        if not routed and document is not None:
            await self._drop(document)
        log.info("fax routed", extra={"event": "reception.routed", "reception": item.id, "routed": routed})


def _file_name(item: Unrouted) -> str:
    """`fax-20261121-211000-from-498955500`: when, and from whom, as far as it is a number."""
    when = datetime.fromtimestamp(item.started_at, ZoneInfo(item.time_zone))
    digits = "".join(c for c in (item.caller or item.ident) if c.isascii() and c.isdigit())[:20]
    return f"fax-{when:%Y%m%d-%H%M%S}" + (f"-from-{digits}" if digits else "")


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


async def recover(seat: Seat, line: Line) -> int:
    """Close the receptions that an earlier incarnation left open by their pages, and say BYE for their calls.

    Idempotent; the station routes what is to be routed. Returns how many there were.
    """
    strangers = await seat.store.read(receptions.open_strangers)
    for row in strangers:
        identity = CallIdentity(row.call_id, "", "", 0)
        try:
            async with asyncio.timeout(END_SECONDS):
                await line.end_stranger(row.trunk, identity, row.number, row.dialog)
        except (OSError, FaxError) as exc:
            log.error("interrupted call not ended", extra={"event": "reception.not_ended", "why": str(exc)})
        state = await seat.persist(partial(receptions.recover, reception=row.id, now=seat.clock()))
        log.warning(
            "interrupted reception closed",
            extra={"event": "reception.recovered", "reception": row.id, "state": state.value},
        )
    return len(strangers)
