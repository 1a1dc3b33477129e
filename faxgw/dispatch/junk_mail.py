"""Tells owners once a day which faxes were set aside as junk (features G8).

What is told when, and that it is told once, is the business of `store.junk_mail`.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from faxgw.dispatch.seat import Seat
from faxgw.store import junk_mail
from faxgw.store.errors import StoreError

log = logging.getLogger(__name__)

EVERY = 300.0
"""Seconds between two looks; a mail leaves up to so much after its hour."""


class JunkMail:
    """Writes the daily mails into the outbox.

    Args:
        seat: The node.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def run_for_ever(self) -> None:
        """Look every few minutes."""
        while True:
            try:
                await self.run()
            except StoreError as exc:
                log.error("junk not told", extra={"event": "junk_mail.failed", "why": str(exc)})
            except Exception:  # owner of the task
                log.exception("junk not told", extra={"event": "junk_mail.failed"})
            await asyncio.sleep(EVERY)

    async def run(self) -> int:
        """Tell what is due; how many mails.

        Raises:
            StoreError: If the database is away; what was told stays told.
        """
        store, now, written = self._seat.store, self._seat.clock(), 0
        for found in await store.read(partial(junk_mail.due, now=now)):
            written += await store.run(partial(junk_mail.tell, found=found, now=now))
        if written:
            log.info("junk told", extra={"event": "junk_mail.written", "mails": written})
        return written
