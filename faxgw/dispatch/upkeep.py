"""What keeps the house in order: recovery at start, leases, expiry, the sweep (docs/spine.md sections 5 and 9)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any  # rows

from sqlalchemy import Row

from faxgw.dispatch import broadcast
from faxgw.dispatch.seat import Seat
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import CallIdentity, Line
from faxgw.store import destinations, job_cancels, late, ledger, messages, node, queue, restore, staging, sweep
from faxgw.store.errors import FenceLost, StoreError

log = logging.getLogger(__name__)

END_SECONDS = 10.0
"""Seconds spent on ending one call of an earlier incarnation."""
ENDED_AT_ONCE = 50
"""Such calls ended at the same time."""
EXPIRY_EVERY = 10.0
"""Seconds between looks for faxes whose latest time has passed."""
LATE_EVERY = 60.0
"""Seconds between looks for faxes that are late."""
RESTORE_EVERY = 86_400.0
"""Seconds between two alarms while a restored backup waits for its release (docs/spine.md section 2)."""
KEYS_EVERY = 3600.0
"""Seconds between removals of idempotency keys that are too old to matter."""


async def recover(seat: Seat, line: Line) -> int:
    """Close every attempt of earlier incarnations by its marks, ending its call if it still stands.

    Idempotent: a second run, or a kill in the middle, finds what is left. A call that cannot be ended is closed
    nevertheless: its sender is told within 60 s (spine section 5). Returns how many there were.
    """
    strangers = await seat.store.read(lambda conn: ledger.open_strangers(conn, fence=seat.fence))
    places = asyncio.Semaphore(ENDED_AT_ONCE)

    async def close(row: Row[Any]) -> None:
        async with places:
            await _end(line, row)
        await seat.persist(partial(ledger.recover, attempt=row.id, now=seat.clock()))
        log.warning("interrupted call closed", extra={"event": "attempt.recovered", "attempt": row.id})

    async with asyncio.TaskGroup() as group:
        for row in strangers:
            group.create_task(close(row), name=f"recover {row.id}")
    return len(strangers)


async def _end(line: Line, row: Row[Any]) -> None:
    """CANCEL or BYE, as far as the line can."""
    identity = CallIdentity(row.call_id, row.from_tag, row.branch, row.cseq)
    try:
        async with asyncio.timeout(END_SECONDS):
            await line.end_stranger(row.trunk, identity, row.number, row.dialog or {})
    except (TimeoutError, OSError, FaxError) as exc:
        log.error(
            "interrupted call not ended", extra={"event": "attempt.not_ended", "attempt": row.id, "why": str(exc)}
        )


async def sweep_files(seat: Seat) -> None:
    """Remove spool files of earlier incarnations that no row names: their 250 was never given.

    Not while a restored backup waits for its release: files saved from the lost disk may lie there.
    """
    if await seat.store.read(queue.restored) is not None:
        log.warning("no sweep before the release of a restore", extra={"event": "files.not_swept"})
        return

    swept = await seat.files.sweep(partial(named_keys, seat))
    if swept.temporary or swept.orphans:
        log.warning(
            "orphans removed",
            extra={"event": "files.swept", "temporary": swept.temporary, "orphans": swept.orphans},
        )


async def named_keys(seat: Seat, keys: Sequence[str]) -> Collection[str]:
    """Those of some spool objects that a row names."""
    return await seat.store.read(lambda conn: sweep.known_keys(conn, keys))


async def keep_lease(seat: Seat, lease: node.Lease, lost: Callable[[], None]) -> None:
    """Renew the node's lease for ever; call `lost` when another incarnation has taken over."""
    while True:
        await asyncio.sleep(node.RENEW_S)
        try:
            lease = await seat.store.run(partial(node.renew, lease=lease, now=seat.clock()))
        except FenceLost:
            log.critical("another incarnation runs", extra={"event": "node.fence_lost"})
            lost()
            return
        except StoreError as exc:
            log.error("lease not renewed", extra={"event": "node.lease", "why": str(exc)})


async def keep_order(seat: Seat, clock_is_right: Callable[[], bool] = lambda: True) -> None:
    """Expire faxes, tell of late ones and forget old keys, for ever.

    Args:
        seat: The node.
        clock_is_right: While it is not, nothing expires and nothing is purged (docs/spine.md section 9).
    """
    forget_at = late_at = restore_at = 0.0
    while True:
        now = seat.clock()
        try:
            while clock_is_right() and (expired := await seat.store.run(partial(queue.expire, now=now))):
                log.info("faxes expired", extra={"event": "fax.expired", "faxes": expired})
            for job in await seat.store.read(job_cancels.standing):
                await _cancel(seat, job, now)
            if now >= late_at and clock_is_right() and not await _tell_late(seat, now):
                late_at = now + LATE_EVERY
            if now >= restore_at:
                restore_at = now + RESTORE_EVERY
                await _tell_restored(seat)
            if now >= forget_at and clock_is_right():
                forget_at = now + KEYS_EVERY
                await seat.store.run(partial(messages.forget_old_keys, now=now))
                for job in await seat.store.read(partial(staging.old_jobs, now=now)):
                    await broadcast.clear(seat.store, job)
                while await seat.store.run(partial(destinations.forget_old, now=now)):
                    log.info("destinations forgotten", extra={"event": "destination.old"})
        except StoreError as exc:
            log.error("upkeep failed", extra={"event": "upkeep.failed", "why": str(exc)})
        await asyncio.sleep(EXPIRY_EVERY)


async def _cancel(seat: Seat, job: str, now: float) -> None:
    """Go on with the cancel of a job whose gateway died, or whose database was away, in the middle of it."""
    while not (await seat.store.run(partial(job_cancels.obey, job=job, now=now))).over:
        pass
    log.info("job cancelled", extra={"event": "job.cancelled", "job": job})


async def _tell_restored(seat: Seat) -> None:
    """Alarm while a restored backup waits: what it holds neither expires nor is reported."""
    waiting = await seat.store.read(restore.pending)
    if waiting is not None:
        log.error(
            "a restored backup waits for its release",
            extra={"event": "restore.pending", "faxes": waiting.held, "reports": waiting.asleep},
        )


async def _tell_late(seat: Seat, now: float) -> int:
    """Tell of some jobs that are late; how many."""
    jobs = await seat.store.read(partial(late.late_jobs, now=now))
    if jobs:
        await seat.store.run(partial(late.tell, jobs=jobs, now=now))
        log.info("late faxes told", extra={"event": "job.late", "jobs": len(jobs)})
    return len(jobs)
