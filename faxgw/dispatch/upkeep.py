"""What keeps the house in order: recovery at start, leases, expiry, the sweep (docs/spine.md sections 5 and 9)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

from faxgw.dispatch.seat import Seat
from faxgw.fax.ports import CallIdentity, Line
from faxgw.store import ledger, messages, node, queue, sweep
from faxgw.store.errors import FenceLost, StoreError

log = logging.getLogger(__name__)

EXPIRY_EVERY = 10.0
"""Seconds between looks for faxes whose latest time has passed."""
KEYS_EVERY = 3600.0
"""Seconds between removals of idempotency keys that are too old to matter."""


async def recover(seat: Seat, line: Line) -> int:
    """Close every attempt of earlier incarnations by its marks, ending its call if it still stands.

    Idempotent: a second run, or a kill in the middle, finds what is left. Returns how many there were.
    """
    strangers = await seat.store.read(lambda conn: ledger.open_strangers(conn, fence=seat.fence))
    for row in strangers:
        identity = CallIdentity(row.call_id, row.from_tag, row.branch, row.cseq)
        await line.end_stranger(row.trunk, identity, row.number, row.dialog or {})
        attempt = row.id
        await seat.persist(partial(ledger.recover, attempt=attempt, now=seat.clock()))
        log.warning("interrupted call closed", extra={"event": "attempt.recovered", "attempt": attempt})
    return len(strangers)


async def sweep_files(seat: Seat) -> None:
    """Remove spool files of earlier incarnations that no row names: their 250 was never given."""

    async def known(keys: Sequence[str]) -> Collection[str]:
        return await seat.store.read(lambda conn: sweep.known_keys(conn, keys))

    swept = await seat.files.sweep(known)
    if swept.temporary or swept.orphans:
        log.warning(
            "orphans removed",
            extra={"event": "files.swept", "temporary": swept.temporary, "orphans": swept.orphans},
        )


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


async def keep_order(seat: Seat) -> None:
    """Expire faxes and forget old keys, for ever."""
    forget_at = 0.0
    while True:
        now = seat.clock()
        try:
            expired = await seat.store.run(partial(queue.expire, now=now))
            if expired:
                log.info("faxes expired", extra={"event": "fax.expired", "faxes": expired})
            if now >= forget_at:
                forget_at = now + KEYS_EVERY
                await seat.store.run(partial(messages.forget_old_keys, now=now))
        except StoreError as exc:
            log.error("upkeep failed", extra={"event": "upkeep.failed", "why": str(exc)})
        await asyncio.sleep(EXPIRY_EVERY)
