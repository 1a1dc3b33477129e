"""Calls to us: who is admitted, and pages kept before their MCF.

Implements `fax.ports.InboundCalls` (docs/spine.md section 4 and 5, "MCF for a received page"): the page's file is
durable, then its row, then it is acknowledged, all within the budget; whatever fails, the sender keeps the
responsibility. What becomes of a fax whose pages are whole is the business of `dispatch.routing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any  # tasks of any result

from faxgw.dispatch.routing import Routing
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.dispatch.trace import trace_rows
from faxgw.document.client import PageClient
from faxgw.fax.account import SETTINGS
from faxgw.fax.errors import FaxError
from faxgw.fax.number import dialled_forms
from faxgw.fax.outcome import Outcome
from faxgw.fax.ports import Admission, CallIdentity, CallProgress, Line, Ringing, StoredFile
from faxgw.fax.reception import ReceivedPage
from faxgw.store import receptions
from faxgw.store.errors import CommitUncertain, StoreError
from faxgw.store.files import Kind
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
        self._watermark = watermark
        self._finished = finished
        self._describe = describe
        self._keeping: dict[str, set[asyncio.Task[bool]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.live: dict[str, Arriving] = {}
        """Calls in progress by reception."""
        self.routing: Station[Unrouted] = Routing(seat, client).station
        """Takes the faxes whose pages are whole."""

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
