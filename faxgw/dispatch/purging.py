"""The keeper of what may no longer be kept: purges faxes whose days are over, in small steps, for ever.

It rests while the clock is in doubt, in two ways: the clock watch says so (docs/spine.md section 9), or the journal
has an entry from later than now. It rests while a restored backup waits for its release. Each step is a unit of its
own with a pause behind it, so that calls and mails go first; stopped anywhere, the next run goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import Field

from faxgw.dispatch.seat import Seat
from faxgw.fax.errors import FaxError
from faxgw.settings import Section
from faxgw.store import audit, journal, junk, purge, queue
from faxgw.store.errors import StoreError
from faxgw.store.scrub import scrub

log = logging.getLogger(__name__)

EVERY = 900.0
"""Seconds between two runs."""
PAUSE = 0.02
"""Seconds after each step; a step takes some milliseconds, so that purging has a third of the writer at most."""
BACKWARDS = 300.0
"""Seconds by which the newest entry of the journal may lie after now (spine section 9)."""
ANCHOR_EVERY = 86_400.0
"""Seconds between two anchors of the audit."""


class AuditSettings(Section):
    """`[audit]`: the record of who changed and who read what (docs/audit.md)."""

    anchors: Path | None = Field(default=None, examples=["/srv/elsewhere/faxgw-anchors"])
    """File that number and hash of the newest record are appended to every day; none: they go to the log alone."""
    days: Annotated[int, Field(ge=30, le=36_500)] = 3660
    """Days that records are kept; ten years unless set otherwise."""


class ClockInDoubt(FaxError):
    """Nothing is purged while nobody knows what time it is, or a restored backup waits."""

    default_public = "The clock is in doubt; nothing is purged. See: faxgw clock"


@dataclass(slots=True)
class Counts:
    """What has been purged since the start, for metrics."""

    documents: int = 0
    """Faxes whose documents went, or what of them was not archived."""
    faxes: int = 0
    """Faxes whose rows went."""
    files: int = 0
    rows: int = 0
    held: int = 0
    """Times that a hold, or something still to be delivered, kept a fax that was due."""
    last_at: float = 0.0
    """End of the last run, Unix seconds."""


@dataclass(slots=True)
class Purger:
    """Purges.

    Args:
        seat: The node.
        clock_is_right: Whether the wall clock can be trusted.
        database: SQLite's file, whose log is cut after each run; None on PostgreSQL.
        anchors: File that the audit's anchors are appended to; None: they go to the log alone.
        audit_days: Days that records of the audit are kept.
    """

    seat: Seat
    clock_is_right: Callable[[], bool]
    database: Path | None = None
    anchors: Path | None = None
    audit_days: int = 3660
    counts: Counts = field(default_factory=Counts)

    async def run_for_ever(self) -> None:
        """Purge every quarter of an hour; anchor the audit every day."""
        anchor_at = 0.0
        while True:
            try:
                now = self.seat.clock()
                if now >= anchor_at:
                    await self.anchor()
                    anchor_at = now + ANCHOR_EVERY
                await self.run()
                await self._release_junk()
            except ClockInDoubt as exc:
                log.warning("no purge", extra={"event": "purge.rests", "why": str(exc)})
            except (StoreError, OSError, sqlite3.Error) as exc:
                log.error("purge failed", extra={"event": "purge.failed", "why": str(exc)})
            except Exception:  # owner of the task
                log.exception("purge failed", extra={"event": "purge.failed"})
            await asyncio.sleep(EVERY)

    async def run(self, pause: float = PAUSE) -> Counts:
        """Purge all that is due; what this run did.

        Raises:
            ClockInDoubt: If the clock cannot be trusted, at the beginning or on the way.
            StoreError: If the database fails; what was done is done.
        """
        seat, done = self.seat, Counts()
        await self._require_clock()
        while True:
            if not await seat.store.run(purge.reckon):
                break
            await asyncio.sleep(pause)
        after = purge.START
        while True:
            await self._require_clock()
            step = await seat.store.run(partial(purge.step, now=seat.clock(), after=after))
            if not step.entity:
                break
            after = step.after
            for key in step.keys:
                await seat.files.remove(key)
            for counts in (done, self.counts):
                _count(counts, step)
            if step.gone or step.done is not None:
                facts = {"event": "fax.purged", "entity": step.entity, "files": len(step.keys), "rows": step.rows}
                log.info("fax purged", extra=facts)
            await asyncio.sleep(pause)
        await self._forget_verdicts()
        await self._forget_audit()
        if (done.rows or done.files or done.documents) and self.database is not None:
            done_all = await asyncio.to_thread(scrub, self.database)
            log.info("log of the database cut", extra={"event": "purge.scrubbed", "whole": done_all})
        self.counts.last_at = done.last_at = seat.clock()
        return done

    async def _require_clock(self) -> None:
        if not self.clock_is_right():
            raise ClockInDoubt("the clock has jumped")
        now = self.seat.clock()
        newest = await self.seat.store.read(journal.newest)
        if newest is not None and newest > now + BACKWARDS:
            raise ClockInDoubt(f"the journal has an entry {newest - now:.0f} s after now")
        if await self.seat.store.read(queue.restored) is not None:
            raise ClockInDoubt(
                "a restored backup waits", public="A restored backup waits for its release; nothing is purged."
            )

    async def _release_junk(self) -> None:
        """Let received faxes go that were set aside for so many hours."""
        while True:
            found = await self.seat.store.run(partial(junk.release_due, now=self.seat.clock()))
            if not found:
                return
            log.info("junk released", extra={"event": "reception.released", "faxes": len(found)})
            await asyncio.sleep(PAUSE)

    async def _forget_verdicts(self) -> None:
        """Remove what was said of senders of junk once it is too old to count."""
        last: str | None = ""
        while last is not None:
            unit = partial(junk.forget, system=self.seat.system, after=last, now=self.seat.clock())
            last = await self.seat.store.run(unit) or None
            await asyncio.sleep(PAUSE)

    async def _forget_audit(self) -> None:
        now = self.seat.clock()
        before = now - self.audit_days * 86_400.0
        while True:
            if not await self.seat.store.run(partial(audit.drop_old, before=before, now=now)):
                return
            await asyncio.sleep(PAUSE)

    async def anchor(self) -> audit.Anchor:
        """Say to the log, and to a file, where the audit ends now.

        Raises:
            OSError: If the file cannot be written.
        """
        found = await self.seat.store.read(audit.anchor)
        log.info("audit anchored", extra={"event": "audit.anchor", "serial": found.serial, "hash": found.hash})
        if self.anchors is not None and found.serial:
            await asyncio.to_thread(_append, self.anchors, f"{int(self.seat.clock())} {found}\n")
        return found


def _count(counts: Counts, step: purge.Step) -> None:
    counts.files += len(step.keys)
    counts.rows += step.rows
    counts.held += bool(step.held)
    counts.documents += step.done is not None
    counts.faxes += step.gone


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line)
