"""Tells owners once a day which faxes were set aside as junk (features G8).

What is told when, and that it is told once, is the business of `store.junk_mail`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial

from faxgw.dispatch.seat import Seat
from faxgw.fax import release_link
from faxgw.store import junk_mail, link_keys
from faxgw.store.errors import StoreError

log = logging.getLogger(__name__)

EVERY = 300.0
"""Seconds between two looks; a mail leaves up to so much after its hour."""


class JunkMail:
    """Writes the daily mails into the outbox.

    Args:
        seat: The node.
        origin: What addresses of the web server begin with, `https://fax.example.org`; empty: the mails have no links.
    """

    def __init__(self, seat: Seat, origin: str = "") -> None:
        self._seat = seat
        self._origin = origin

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
            link = await self._links() if found.mails else None
            written += await store.run(partial(junk_mail.tell, found=found, now=now, link=link))
        if written:
            log.info("junk told", extra={"event": "junk_mail.written", "mails": written})
        return written

    async def _links(self) -> junk_mail.Link | None:
        """What makes the links of the mails; None: they have none."""
        if not self._origin:
            return None
        drawn, now = secrets.token_bytes(link_keys.KEY_OCTETS), self._seat.clock()
        key = await self._seat.store.run(partial(link_keys.obtain, name=link_keys.JUNK, drawn=drawn, now=now))

        def link(reception: str, address: str, until: float) -> str:
            return self._origin + release_link.path(key, reception, address, until)

        return link
