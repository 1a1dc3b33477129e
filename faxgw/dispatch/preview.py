"""Previews of faxes of the queue (implements `fax.preview.Previews`).

What is shown is made by the same composition as the file of a call; one preview is made at a time, so that somebody
who leafs through long faxes takes no place from calls, and the newest are kept for a minute.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from faxgw.dispatch.composing import Composer, Part
from faxgw.dispatch.outbound import wanted
from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.account import from_snapshot
from faxgw.fax.destination import FACT_HOLD, CallRecord, Manner, manner, measures, resolutions_taken
from faxgw.fax.errors import Refused
from faxgw.fax.header import HeaderContext
from faxgw.fax.ports import StoredFile
from faxgw.fax.prediction import PER_PAGE, RATE, predict
from faxgw.fax.preview import MAX_PAGES, Preview, PreviewedPage
from faxgw.store import previewing
from faxgw.store.previewing import Shown

AT_ONCE = 1
"""Previews in work."""
MAX_KEPT = 32
"""Previews kept; with pictures of 50 pages each at some 60 kB they are 100 MB at the very most."""
KEPT_FOR = 60.0
"""Seconds for which one is shown again: the header line prints minutes."""
PATIENCE = 20.0
"""Seconds that a preview waits for a body to be rendered again; beyond, it shows it rescaled."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for, and what it depends on."""

    fax: str
    attempt: str
    """Of the newest call."""
    file: str
    """Its file."""
    resolution: str
    marked: tuple[int, ...]
    first: int
    last: int
    pictures: bool


_Made = tuple[float, pages.Resolution, tuple[PreviewedPage, ...]]
"""When pages were composed, in which resolution, and the pages."""


class Previewer:
    """Makes previews.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client
        self._composer = Composer(seat, client)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._kept: OrderedDict[_Wanted, _Made] = OrderedDict()

    async def preview(self, fax: str, page: int | None = None, *, pictures: bool = True) -> Preview:
        """See the port."""
        shown = await self._seat.store.read(lambda conn: previewing.look(conn, fax))
        if shown is None:
            raise Refused("no pages yet", public="This fax has no pages yet.")
        prepared = shown.prepared
        if page is not None and not 1 <= page <= prepared.pages:
            raise Refused("no such page", public=f"This fax has {prepared.pages} pages, and no page {page}.")
        now = self._seat.clock()
        made = _manner(shown, now)
        first, last = (page, page) if page else (1, min(prepared.pages, MAX_PAGES))
        asked = _Wanted(
            fax,
            shown.attempt,
            shown.file.key if shown.file is not None else "",
            made.resolution.value,
            prepared.marked,
            first,
            last,
            pictures,
        )
        at, resolution, composed = await self._composed(asked, shown, made, now)
        rate, known = _rate(prepared.calls, made, now)
        octets = list(shown.octets)
        for one in composed:
            octets[one.page - 1] = one.octets
        expected = predict(octets[shown.first - 1 :], rate, ecm=made.ecm, tariff=PER_PAGE)
        each = predict([one.octets for one in composed], rate, ecm=made.ecm).page_seconds
        return Preview(
            fax=fax,
            state=shown.state,
            attempt=shown.attempt,
            composed_at=shown.composed_at or at,
            resolution=resolution,
            first=shown.first,
            expected=expected,
            known="this far end" if known else "nothing",
            pages=tuple(
                PreviewedPage(one.page, one.rows, one.octets, seconds, one.png)
                for one, seconds in zip(composed, each, strict=True)
            ),
        )

    async def close(self) -> None:
        """Give up what is being made."""
        await self._composer.close()

    async def _composed(self, asked: _Wanted, shown: Shown, made: Manner, now: float) -> _Made:
        """The pages; from what is kept, where that is fresh."""
        async with self._places:
            kept = self._kept.get(asked)
            if kept is not None and (shown.file is not None or 0 <= now - kept[0] < KEPT_FOR):
                self._kept.move_to_end(asked)
                return kept
            part = Part(asked.first, asked.last, asked.pictures)
            if shown.file is not None:
                composed = await self._of_file(shown.file, part)
            else:
                settings = from_snapshot(shown.prepared.settings)
                composed = await self._composer.compose(
                    shown.prepared, settings, made.resolution, part, patience=PATIENCE
                )
            try:
                found = (now, composed.resolution, await asyncio.to_thread(_pages, composed, asked))
            finally:
                composed.close()
            self._kept[asked] = found
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            return found

    async def _of_file(self, file: StoredFile, part: Part) -> pages.Composed:
        """Pages of a call's file as they are: it has all pages of the fax, with their header lines."""
        plain = HeaderContext(datetime.fromtimestamp(self._seat.clock(), UTC))
        fd = await self._seat.files.open_read(file)
        try:
            options = pages.ComposeOptions(plain, "", part.first, part.last, pictures=part.pictures)
            return await self._client.compose(fd, options)
        finally:
            os.close(fd)


def _pages(composed: pages.Composed, asked: _Wanted) -> tuple[PreviewedPage, ...]:
    return tuple(
        PreviewedPage(asked.first + at, facts.rows, facts.octets, 0.0, composed.picture(at) if asked.pictures else b"")
        for at, facts in enumerate(composed.pages)
    )


def _manner(shown: Shown, now: float) -> Manner:
    """How the fax would be called now, as far as it does not depend on the trunk."""
    prepared = shown.prepared
    asked = wanted(from_snapshot(prepared.settings), resolutions_taken(prepared.calls, now), refused=prepared.coarse)
    return manner(asked, measures(prepared.calls, trunk="", now=now, kills=prepared.kills))


def _rate(calls: Sequence[CallRecord], made: Manner, now: float) -> tuple[int, bool]:
    """The rate to be expected, bit/s, and whether the far end taught it."""
    most = min(made.max_bit_rate, RATE)
    learned = next((call.bit_rate for call in reversed(calls) if call.sent and call.bit_rate), 0)
    fresh = any(call.sent and now < call.at + FACT_HOLD for call in calls)
    return (min(learned, most), True) if learned and fresh else (most, False)
