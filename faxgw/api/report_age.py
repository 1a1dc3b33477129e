"""Reports whose time is over are hidden, and keys of submissions that hold no more are forgotten; all day long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from faxgw.store import report_book, submission
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError

FORGET_EVERY = 600.0
"""Seconds between two looks."""
DAY_S = 86_400.0

log = logging.getLogger(__name__)


async def forget_for_ever(store: Store, clock: Callable[[], float], days: int) -> None:
    """Hide old reports and forget old keys.

    Args:
        store: Where they are.
        clock: Unix seconds.
        days: For so many days the report of a finished job can be asked for.
    """
    while True:
        now = clock()
        limit = now - days * DAY_S
        old_reports = partial(report_book.forget_old, accepted_before=limit, finished_before=limit, now=now)
        old_keys = partial(submission.forget_old_keys, now=now)
        try:
            while number := await store.run(old_reports):
                log.info("reports hidden", extra={"event": "report.old", "reports": number})
            while await store.run(old_keys):
                pass
        except StoreError as exc:
            log.error("reports not pruned", extra={"event": "report.prune_failed", "why": str(exc)})
        await asyncio.sleep(FORGET_EVERY)
