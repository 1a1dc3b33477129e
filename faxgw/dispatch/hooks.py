"""Spreads the journal to the webhooks, as long as the gateway runs."""

from __future__ import annotations

import asyncio
import logging

from faxgw.dispatch.seat import Seat
from faxgw.store import event_feed, webhook_feed
from faxgw.store.errors import StoreError

LOOK_EVERY_S = 1.0
"""Seconds between looks at the journal."""
FAULT_PAUSE_S = 60.0
"""Seconds after a fault of ours, which is in the log then."""

log = logging.getLogger(__name__)


async def spread_for_ever(seat: Seat) -> None:
    """Write outbox items for what happens; entries that came while the gateway was down are told first."""
    seen = -1
    while True:
        try:
            newest = await seat.store.read(event_feed.newest)
            if newest != seen:
                more = await seat.store.run(lambda conn: webhook_feed.spread(conn, now=seat.clock()))
                if more:
                    continue
                seen = -1 if await seat.store.read(webhook_feed.is_behind) else newest
        except StoreError as exc:
            log.error("webhooks not told", extra={"event": "webhooks.spread_failed", "why": str(exc)})
        except Exception:  # owner of the task: it may be over once the entry's owner has mended it
            log.exception("webhooks not told", extra={"event": "webhooks.spread_failed"})
            await asyncio.sleep(FAULT_PAUSE_S)
        await asyncio.sleep(LOOK_EVERY_S)
