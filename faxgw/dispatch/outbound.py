"""One call: composed, planned, placed, and its result written down (docs/spine.md sections 3 and 5).

The order is the promise: pages composed, durable and open → `planned` → INVITE → `answered` → ACK → `exposed` → data →
`confirmed` → next page → `done`. A mark that cannot be committed answers False, and the line ends the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from faxgw.dispatch.composing import Composer
from faxgw.dispatch.routes import Routes, named
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.trace import trace_rows
from faxgw.document.client import PageClient, PagesDamaged
from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.destination import Manner, manner, measures, resolutions_taken
from faxgw.fax.errors import FaxError
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallDocument, CallPlan, CallProgress, Line, StoredFile
from faxgw.fax.resolution import Resolution, finest
from faxgw.store import ledger, planning, queue
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.planning import NotPlanned, Prepared, Then

log = logging.getLogger(__name__)

INVITE_WITHIN = 2.0
"""Seconds from the commit of `planned` in which the INVITE leaves, or not at all (spine section 5)."""
REST = 5.0
"""Seconds before a fax that could not be planned, or whose pages could not be composed, is looked at again."""

OBSTACLE_PAUSE = 10.0
"""Seconds for which a fax waits whose trunk is full or whose number has a call."""
WISH_PAUSE = 1.0
"""Seconds before a wish is looked at again that could not be obeyed yet."""

RENDER_WITHIN = 4.5
"""Seconds for rendering pages again while the far end repeats its DIS; beyond them they are rescaled."""
RECOMPOSE_WITHIN = 7.0
"""Seconds until they are composed and stored."""
COARSER_WITHIN = 8.0
"""Seconds that the call worker waits for them: the far end's DIS comes a third and a fourth time (T.30 timers T4 and
T1: every 3 s for 35 s)."""

Finished = Callable[[str, Outcome], None]
PageConfirmed = Callable[[bool, float], None]
"""Told of each confirmed page: with error correction, and the seconds since it was exposed."""
Coarser = Callable[[tuple[str, ...]], Awaitable[Sequence[CallDocument]]]
"""The pages of a call in another resolution (`fax.ports.CallMarks.coarser`)."""


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


@dataclass(frozen=True, slots=True)
class Choice:
    """On which trunk a call goes out, and how it is made."""

    trunk: str
    channels: int
    """Of the trunk, as calls to us leave them."""
    manner: Manner
    offered: tuple[str, ...]
    """Trunks that may carry the number."""

    def to_json(self) -> dict[str, object]:
        """Kept with the attempt."""
        return {**self.manner.to_json(), "offered": list(self.offered)}


def wanted(settings: Effective, taken: Sequence[str] = (), *, refused: bool = False) -> Manner:
    """How an account wants its calls made.

    Args:
        settings: Of the account.
        taken: Resolutions that the far end takes, as far as is known.
        refused: The far end did not take the pages' resolution in an earlier call of the fax.
    """
    own = Resolution(settings["resolution"])
    resolution = finest(own, taken)
    if refused and resolution is own:
        resolution = Resolution.STANDARD
    return Manner(ecm=settings["ecm"], max_bit_rate=settings["max_bit_rate"], resolution=resolution)


class Outbound:
    """Carries out calls.

    Args:
        seat: The node.
        client: The page processes (for composing).
        line: The telephony adapter.
        finished: Told of every outcome (metrics).
        describe: A T.30 frame in words, for the trace.
        page_confirmed: Told of every confirmed page (metrics).
        routes: Which trunk carries which fax; none: the trunks in their order.
        composer: Makes the pages of attempts; none: one of its own.
    """

    def __init__(
        self,
        seat: Seat,
        client: PageClient,
        line: Line,
        finished: Finished = lambda trunk, outcome: None,
        describe: Callable[[bytes], str] = bytes.hex,
        page_confirmed: PageConfirmed = lambda ecm, seconds: None,
        routes: Routes | None = None,
        composer: Composer | None = None,
    ) -> None:
        self._seat = seat
        self._composer = composer or Composer(seat, client)
        self._line = line
        self._routes = routes or Routes(line)
        self._finished = finished
        self._describe = describe
        self._page_confirmed = page_confirmed
        self.live: dict[str, Live] = {}
        """Calls in progress by attempt."""
        self._chosen: dict[str, str] = {}
        """Trunks of faxes that are about to be planned."""

    async def call(self, fax: str) -> float:
        """See one call of a fax through. Returns seconds for which the fax shall rest (0: its row says when)."""
        prepared = await self._seat.store.read(lambda conn: planning.prepare(conn, fax))
        if prepared is None:
            return 0.0
        settings = from_snapshot(prepared.settings)
        try:
            return await self._see_through(prepared, settings)
        finally:
            self._chosen.pop(fax, None)

    async def _see_through(self, prepared: Prepared, settings: Effective) -> float:
        """Choose, compose, plan and place."""
        fax, choice = prepared.fax, await self._choose(prepared, settings)
        if isinstance(choice, NotPlanned):
            return await self._set_aside(fax, choice)
        against = await self._obstacle(prepared, choice)
        if against is not None:
            return await self._set_aside(fax, against)
        try:
            tiff = await self._composer.attempt(prepared, settings, choice.manner.resolution)
            descriptor = await self._seat.files.open_read(tiff)
        except (ObjectDamaged, PagesDamaged) as exc:
            log.error("stored pages damaged", extra={"event": "fax.damaged", "fax": fax, "why": str(exc)})
            return await self._set_aside(
                fax, NotPlanned("stored pages damaged", Then.FAIL, Cause.DOCUMENT_DAMAGED, exc.public)
            )
        except FaxError as exc:
            log.warning("not composed", extra={"event": "fax.not_composed", "fax": fax, "why": str(exc)})
            return REST
        try:
            return await self._call(prepared, settings, choice, tiff, descriptor)
        finally:
            os.close(descriptor)

    async def _choose(self, prepared: Prepared, settings: Effective) -> Choice | NotPlanned:
        """The trunk of a call, and how it is made there."""
        now, number = self._seat.clock(), prepared.number["e164"]
        found = self._routes.of(number, settings["trunk"], prepared.customer)
        if not found:
            unknown = named(settings["trunk"])
            carried = "no trunk carries this number" if self._line.trunks() else "no trunk"
            return NotPlanned(f"no trunk {', '.join(unknown)}" if unknown else carried, Then.WAIT)
        channels = self._line.trunks()
        busy = Counter(await self._seat.store.read(planning.busy_trunks))
        busy.update(self._chosen.values())
        free = {trunk: limit - busy[trunk] for trunk, limit in channels.items()}
        trunk = self._routes.in_turn(found, free, tried=prepared.tried, now=now)[0].trunk
        self._chosen[prepared.fax] = trunk
        taken = measures(prepared.calls, trunk=trunk, now=now, kills=prepared.kills)
        offered = resolutions_taken(prepared.calls, now)
        made = manner(wanted(settings, offered, refused=prepared.coarse), taken)
        return Choice(trunk, channels[trunk], made, tuple(way.trunk for way in found))

    async def _obstacle(self, prepared: Prepared, choice: Choice) -> NotPlanned | None:
        """What stands against the call, before pages are composed for nothing."""
        seat, now = self._seat, self._seat.clock()
        return await seat.store.read(
            lambda conn: planning.obstacle(
                conn,
                prepared,
                trunk=choice.trunk,
                channels=choice.channels,
                node=seat.node,
                fence=seat.fence,
                now=now,
            )
        )

    async def _call(
        self, prepared: Prepared, settings: Effective, choice: Choice, tiff: StoredFile, descriptor: int
    ) -> float:
        """Plan and place."""
        seat, trunk, made = self._seat, choice.trunk, choice.manner
        identity, attempt, now = self._line.new_identity(trunk), seat.id("att"), seat.clock()
        asked_at = asyncio.get_running_loop().time()
        planned = await seat.store.run(
            lambda conn: planning.plan(
                conn,
                attempt=attempt,
                prepared=prepared,
                tiff=tiff,
                trunk=trunk,
                channels=choice.channels,
                identity=identity,
                node=seat.node,
                fence=seat.fence,
                now=now,
                manner=choice.to_json(),
            )
        )
        self._chosen.pop(prepared.fax, None)
        if isinstance(planned, NotPlanned):
            await seat.files.remove(tiff.key)
            return await self._set_aside(prepared.fax, planned)
        plan = CallPlan(
            attempt=attempt,
            identity=identity,
            trunk=trunk,
            number=prepared.number["e164"],
            sub_address=prepared.number.get("sub", ""),
            caller=settings["clip"],
            station_id=settings["csid"],
            documents=(CallDocument(prepared.fax, descriptor, prepared.pages, prepared.first, prepared.pages),),
            ecm=made.ecm,
            max_bit_rate=made.max_bit_rate,
            isolated=made.isolated,
            t38=made.t38,
            patience=made.patience,
            coarser_within=0.0 if made.resolution is Resolution.STANDARD else COARSER_WITHIN,
            caller_name=settings["caller_name"],
            withheld=settings["withhold_number"],
            not_after=asked_at + INVITE_WITHIN,
        )
        await self._place(plan, prepared, partial(self._coarser, attempt, prepared, settings, made.resolution))
        return 0.0

    async def _coarser(
        self, attempt: str, prepared: Prepared, settings: Effective, own: Resolution, taken: tuple[str, ...]
    ) -> Sequence[CallDocument]:
        """The pages of an attempt anew, in a resolution that its far end has just said to take; empty: not in time."""
        seat, resolution = self._seat, finest(own, taken)
        if resolution is own:
            return ()
        try:
            async with asyncio.timeout(RECOMPOSE_WITHIN):
                tiff = await self._composer.attempt(prepared, settings, resolution, patience=RENDER_WITHIN)
                descriptor = await seat.files.open_read(tiff)
        except (TimeoutError, FaxError) as exc:
            log.warning("not recomposed", extra={"event": "attempt.recompose", "attempt": attempt, "why": str(exc)})
            return ()
        fax, now = prepared.fax, seat.clock()
        try:
            needless = await seat.store.run(
                lambda conn: ledger.recomposed(conn, attempt, fax=fax, tiff=tiff, fence=seat.fence, now=now)
            )
        except StoreError as exc:
            log.error("not recomposed", extra={"event": "attempt.recompose", "attempt": attempt, "why": str(exc)})
            os.close(descriptor)
            return ()
        if needless is None:
            os.close(descriptor)
            await seat.files.remove(tiff.key)
            return ()
        if needless:
            await seat.files.remove(needless)
        return (CallDocument(fax, descriptor, prepared.pages, prepared.first, prepared.pages),)

    async def _set_aside(self, fax: str, against: NotPlanned) -> float:
        """Write down what an obstacle means for the fax; returns seconds to rest."""
        log.info("not planned", extra={"event": "fax.not_planned", "fax": fax, "why": against.why})
        if against.then is Then.LATER:
            return REST
        now = self._seat.clock()
        await self._seat.store.run(
            lambda conn: planning.set_aside(conn, fax, against, until=now + OBSTACLE_PAUSE, now=now)
        )
        return 0.0

    async def _place(self, plan: CallPlan, prepared: Prepared, coarser: Coarser) -> None:
        """Hand the call to the line, and write down what it came to, after every mark it made."""
        seat, attempt = self._seat, plan.attempt
        live = Live(
            attempt,
            prepared.fax,
            prepared.job,
            plan.number,
            plan.trunk,
            seat.clock(),
            prepared.pages,
            CallProgress("planned"),
        )
        marks = Marks(seat, attempt, live, self._page_confirmed, coarser)
        self.live[attempt] = live
        try:
            outcome = await self._line.call(plan, marks)
        except Exception:  # the task's owner: the line promised not to raise, and nobody saw the call end
            log.exception("call failed", extra={"event": "call.fault", "attempt": attempt, "fax": prepared.fax})
            await marks.written()
            await seat.persist(lambda conn: ledger.recover(conn, attempt, now=seat.clock()))
            return
        finally:
            self.live.pop(attempt, None)
        await marks.written()
        ladder = trace_rows(outcome, self._describe)
        await seat.persist(
            lambda conn: ledger.done(conn, attempt, outcome=outcome, fence=seat.fence, now=seat.clock(), ladder=ladder)
        )
        self._routes.ended(plan.trunk, outcome, seat.clock())
        self._finished(plan.trunk, outcome)
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

    async def close(self) -> None:
        """Give up what is being made for calls; to be called when none is left."""
        await self._composer.close()

    async def watch_wishes(self) -> None:
        """End the calls whose fax its owner has cancelled."""
        wake = self._seat.store.listen(queue.WISH_TOPIC)
        told: set[str] = set()
        while True:
            missed = await self._obey(told)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), WISH_PAUSE if missed else None)
            wake.clear()

    async def _obey(self, told: set[str]) -> bool:
        """Hang up what is to be cancelled. True when something is to be looked at again soon."""
        try:
            cancelled = await self._seat.store.read(ledger.cancelled_calls)
        except StoreError as exc:
            log.warning("wishes not read", extra={"event": "store.away", "why": str(exc)})
            return True
        told &= set(cancelled)
        for attempt in cancelled:
            if attempt in self.live and attempt not in told:
                try:
                    await self._line.hangup(attempt)
                except FaxError as exc:
                    log.warning("not hung up", extra={"event": "call.hangup", "attempt": attempt, "why": str(exc)})
                else:
                    told.add(attempt)
        return not told.issuperset(cancelled)


class Marks:
    """The marks of one attempt, committed (implements `fax.ports.CallMarks`).

    What the far end confirmed is written down even when its gate has given up waiting; `written` waits for that, so
    that the result of the call never comes before a page of it.
    """

    def __init__(
        self,
        seat: Seat,
        attempt: str,
        live: Live,
        page_confirmed: PageConfirmed = lambda ecm, seconds: None,
        coarser: Coarser | None = None,
    ) -> None:
        self._seat = seat
        self._attempt = attempt
        self._live = live
        self._page_confirmed = page_confirmed
        self._coarser = coarser
        self._page_began = 0.0
        self._confirming = asyncio.Lock()
        self._pending: set[asyncio.Task[bool]] = set()

    async def answered(self, dialog: Mapping[str, object]) -> bool:
        """See the port."""
        seat, now = self._seat, self._seat.clock()
        return await self._mark(
            lambda conn: ledger.answered(conn, self._attempt, dialog=dialog, fence=seat.fence, now=now)
        )

    async def exposed(self, fax: str, page: int) -> bool:
        """See the port."""
        seat, now = self._seat, self._seat.clock()
        self._page_began = time.monotonic()
        return await self._mark(
            lambda conn: ledger.exposed(conn, self._attempt, fax=fax, page=page, fence=seat.fence, now=now)
        )

    async def confirmed(self, fax: str, page: int) -> bool:
        """See the port."""
        task = asyncio.create_task(self._confirm(fax, page), name=f"confirmed {self._attempt} {page}")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        return await asyncio.shield(task)

    async def _confirm(self, fax: str, page: int) -> bool:
        seat, now, seen = self._seat, self._seat.clock(), self._live.progress
        facts = {
            "remote_ident": seen.remote_ident,
            "transport": seen.transport,
            "bit_rate": seen.bit_rate,
            "ecm": seen.ecm,
            "encoding": seen.encoding,
        }
        at = time.monotonic()
        async with self._confirming:  # in the order of the pages, however long the store is away
            durable = await seat.persist(
                lambda conn: ledger.confirmed(
                    conn, self._attempt, fax=fax, page=page, fence=seat.fence, now=now, facts=facts
                )
            )
            if durable:
                self._page_confirmed(seen.ecm, at - self._page_began)
            self._page_began = at
            return durable

    async def coarser(self, taken: tuple[str, ...]) -> Sequence[CallDocument]:
        """See the port."""
        return () if self._coarser is None else await self._coarser(taken)

    async def written(self) -> None:
        """Wait until every confirmation is durable."""
        while self._pending:
            await asyncio.wait(set(self._pending))

    def progress(self, what: CallProgress) -> None:
        """See the port."""
        self._live.progress = what

    async def _mark(self, unit: Callable[[Connection], bool]) -> bool:
        try:
            return await self._seat.store.run(unit)
        except StoreError as exc:
            log.error("mark not committed", extra={"event": "mark.failed", "attempt": self._attempt, "why": str(exc)})
            return False
