"""One call: composed, planned, placed, and its result written down (docs/spine.md sections 3 and 5).

The order is the promise: pages composed and durable → `planned` → INVITE → `answered` → ACK → `exposed` → data →
`confirmed` → next page → `done`. A mark that cannot be committed answers False, and the line ends the call.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.errors import FaxError
from faxgw.fax.header import HeaderContext
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallDocument, CallIdentity, CallPlan, CallProgress, Line, StoredFile
from faxgw.store import ledger, queue
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.files import Kind

log = logging.getLogger(__name__)

INVITE_WITHIN = 2.0
"""Seconds from the commit of `planned` in which the INVITE leaves, or not at all (spine section 5)."""
REST = 5.0
"""Seconds before a fax that could not be planned, or whose pages could not be composed, is looked at again."""

Finished = Callable[[str, Outcome], None]


@dataclass(slots=True)
class Live:
    """A call in progress, for the live view."""

    attempt: str
    fax: str
    job: str
    number: str
    trunk: str
    started_at: float
    pages: int
    progress: CallProgress


class Outbound:
    """Carries out calls.

    Args:
        seat: The node.
        client: The page processes (for composing).
        line: The telephony adapter.
        finished: Told of every outcome (metrics).
        describe: A T.30 frame in words, for the trace.
    """

    def __init__(
        self,
        seat: Seat,
        client: PageClient,
        line: Line,
        finished: Finished = lambda trunk, outcome: None,
        describe: Callable[[bytes], str] = bytes.hex,
    ) -> None:
        self._seat = seat
        self._client = client
        self._line = line
        self._finished = finished
        self._describe = describe
        self.live: dict[str, Live] = {}
        """Calls in progress by attempt."""
        self.killers: dict[str, int] = {}
        """Numbers that killed a call worker, and how often."""

    async def call(self, fax: str) -> float:
        """See one call of a fax through. Returns seconds for which the fax shall rest (0: its row says when)."""
        seat = self._seat
        prepared = await seat.store.read(lambda conn: ledger.prepare(conn, fax))
        if prepared is None:
            return 0.0
        settings = from_snapshot(prepared.settings)
        try:
            tiff = await self._compose(prepared, settings)
        except (ObjectDamaged, PagesDamaged) as exc:
            log.error("stored pages damaged", extra={"event": "fax.damaged", "fax": fax, "why": str(exc)})
            await self._move(fax, FaxState.FAILED, Cause.DOCUMENT_DAMAGED, exc.public)
            return REST
        except FaxError as exc:
            log.warning("not composed", extra={"event": "fax.not_composed", "fax": fax, "why": str(exc)})
            return REST
        planned, identity, trunk = await self._plan(prepared, settings, tiff)
        if isinstance(planned, ledger.NotPlanned):
            await seat.files.remove(tiff.key)
            return await self._not_planned(fax, planned)
        await self._place(prepared, settings, tiff, planned.attempt, identity, trunk)
        return 0.0

    async def _compose(self, prepared: ledger.Prepared, settings: Effective) -> StoredFile:
        """All n pages with their header lines; the call starts at the first unconfirmed one."""
        seat = self._seat
        marked = tuple(range(prepared.mark_from, prepared.mark_to + 1)) if prepared.mark_from else ()
        body = await seat.files.open_read(prepared.body)
        try:
            composed = await self._client.compose(
                body,
                pages.ComposeOptions(
                    context=HeaderContext(
                        when=datetime.fromtimestamp(seat.clock(), UTC),
                        number=prepared.number["e164"],
                        csid=settings["csid"],
                        zone=settings["time_zone"],
                        language=settings["language"],
                    ),
                    header=settings["header"],
                    marked=marked,
                ),
            )
        finally:
            os.close(body)
        try:
            return await seat.files.adopt_fd(composed.fd, Kind.OBJECT)
        finally:
            composed.close()

    async def _plan(
        self, prepared: ledger.Prepared, settings: Effective, tiff: StoredFile
    ) -> tuple[ledger.Planned | ledger.NotPlanned, CallIdentity, str]:
        seat, trunks = self._seat, self._line.trunks()
        trunk = settings["trunk"] or next(iter(trunks), "")
        if trunk not in trunks:
            return ledger.NotPlanned("no trunk", ledger.Then.HOLD), CallIdentity("", "", "", 0), trunk
        identity = self._line.new_identity(trunk)
        attempt = seat.id("att")
        now = seat.clock()
        planned = await seat.store.run(
            lambda conn: ledger.plan(
                conn,
                attempt=attempt,
                prepared=prepared,
                tiff=tiff,
                trunk=trunk,
                channels=trunks[trunk],
                identity=identity,
                node=seat.node,
                fence=seat.fence,
                now=now,
            )
        )
        return planned, identity, trunk

    async def _not_planned(self, fax: str, planned: ledger.NotPlanned) -> float:
        log.info("not planned", extra={"event": "fax.not_planned", "fax": fax, "why": planned.why})
        if planned.then is ledger.Then.HOLD:
            await self._move(fax, FaxState.HELD, None, planned.why)
        elif planned.then is ledger.Then.FAIL:
            await self._move(fax, FaxState.FAILED, Cause.CEILING, "")
        return REST

    async def _move(self, fax: str, to: FaxState, cause: Cause | None, reason: str) -> None:
        now = self._seat.clock()

        def unit(conn: Connection) -> None:
            row = queue.fax_row(conn, fax)
            if row.state in (FaxState.READY, FaxState.WAITING):
                queue.move(conn, fax, to, now=now, cause=cause, reason=reason)

        await self._seat.store.run(unit)

    async def _place(
        self,
        prepared: ledger.Prepared,
        settings: Effective,
        tiff: StoredFile,
        attempt: str,
        identity: CallIdentity,
        trunk: str,
    ) -> None:
        seat, number = self._seat, prepared.number["e164"]
        planned_at = asyncio.get_running_loop().time()
        live = Live(
            attempt, prepared.fax, prepared.job, number, trunk, seat.clock(), prepared.pages, CallProgress("planned")
        )
        self.live[attempt] = live
        try:
            outcome = await self._dial(prepared, settings, tiff, attempt, identity, trunk, planned_at, live)
        finally:
            self.live.pop(attempt, None)
        if outcome.worker_died:
            self.killers[number] = self.killers.get(number, 0) + 1
        await seat.persist(lambda conn: ledger.done(conn, attempt, outcome=outcome, fence=seat.fence, now=seat.clock()))
        self._finished(trunk, outcome)
        log.info(
            "call ended",
            extra={
                "event": "call.ended",
                "attempt": attempt,
                "fax": prepared.fax,
                "cause": outcome.cause.value,
                "seconds": round(outcome.duration, 1),
                "transport": outcome.transport,
                "detail": outcome.detail,
            },
        )

    async def _dial(
        self,
        prepared: ledger.Prepared,
        settings: Effective,
        tiff: StoredFile,
        attempt: str,
        identity: CallIdentity,
        trunk: str,
        planned_at: float,
        live: Live,
    ) -> Outcome:
        seat, started = self._seat, self._seat.clock()
        try:
            descriptor = await seat.files.open_read(tiff)
        except ObjectDamaged as exc:
            return Outcome(Cause.DOCUMENT_DAMAGED, started_at=started, ended_at=seat.clock(), detail=str(exc))
        try:
            plan = CallPlan(
                attempt=attempt,
                identity=identity,
                trunk=trunk,
                number=prepared.number["e164"],
                sub_address=prepared.number.get("sub", ""),
                caller=settings["clip"],
                station_id=settings["csid"],
                documents=(CallDocument(prepared.fax, descriptor, prepared.pages, prepared.first, prepared.pages),),
                ecm=settings["ecm"],
                max_bit_rate=settings["max_bit_rate"],
                fine=settings["resolution"] == "fine",
                isolated=self.killers.get(prepared.number["e164"], 0) >= 2,
                not_after=planned_at + INVITE_WITHIN,
            )
            return await self._line.call(plan, Marks(seat, attempt, live))
        finally:
            os.close(descriptor)

    async def watch_wishes(self) -> None:
        """End the calls whose fax its owner has cancelled."""
        seat = self._seat
        wake = seat.store.listen("wish")
        while True:
            await wake.wait()
            wake.clear()
            try:
                for attempt in await seat.store.read(ledger.cancelled_calls):
                    if attempt in self.live:
                        await self._line.hangup(attempt)
            except StoreError as exc:
                log.warning("wishes not read", extra={"event": "store.away", "why": str(exc)})


class Marks:
    """The marks of one attempt, committed (implements `fax.ports.CallMarks`)."""

    def __init__(self, seat: Seat, attempt: str, live: Live) -> None:
        self._seat = seat
        self._attempt = attempt
        self._live = live

    async def answered(self, dialog: Mapping[str, object]) -> bool:
        """See the port."""
        seat, now = self._seat, self._seat.clock()
        return await self._mark(
            lambda conn: ledger.answered(conn, self._attempt, dialog=dialog, fence=seat.fence, now=now)
        )

    async def exposed(self, fax: str, page: int) -> bool:
        """See the port."""
        seat, now = self._seat, self._seat.clock()
        return await self._mark(
            lambda conn: ledger.exposed(conn, self._attempt, fax=fax, page=page, fence=seat.fence, now=now)
        )

    async def confirmed(self, fax: str, page: int) -> bool:
        """See the port. What the far end confirmed is written down even when the gate has given up waiting."""
        seat, now = self._seat, self._seat.clock()
        return await seat.persist(
            lambda conn: ledger.confirmed(conn, self._attempt, fax=fax, page=page, fence=seat.fence, now=now)
        )

    def progress(self, what: CallProgress) -> None:
        """See the port."""
        self._live.progress = what

    async def _mark(self, unit: Callable[[Connection], bool]) -> bool:
        try:
            return await self._seat.store.run(unit)
        except StoreError as exc:
            log.error("mark not committed", extra={"event": "mark.failed", "attempt": self._attempt, "why": str(exc)})
            return False
