"""The file of one attempt: cover, body, letterhead, header lines and marks, in the resolution that the far end takes.

A body or a cover made for a finer resolution is rendered again (dispatch.renditions, dispatch.covers); where that is
not possible, or takes longer than the call can wait, it is rescaled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from faxgw.dispatch.covers import Covers
from faxgw.dispatch.letterheads import Letterheads
from faxgw.dispatch.renditions import Renditions
from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient, charged_to
from faxgw.fax.account import Effective
from faxgw.fax.errors import FaxError
from faxgw.fax.header import HeaderContext
from faxgw.fax.ports import StoredFile
from faxgw.fax.resolution import Resolution
from faxgw.store.files import Kind
from faxgw.store.planning import Prepared

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a call which has not begun waits for a body to be rendered again."""


@dataclass(frozen=True, slots=True)
class Part:
    """What of the fax is composed, and how it is shown."""

    first: int = 1
    """First page."""
    last: int | None = None
    """Last page; None: the fax's last."""
    pictures: bool = False
    """With each page as PNG."""


class Composer:
    """Makes the files of attempts.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client
        self._letterheads = Letterheads(seat, client)
        self._renditions = Renditions(seat, client)
        self._covers = Covers(seat, client)

    async def attempt(
        self, prepared: Prepared, settings: Effective, resolution: Resolution, *, patience: float = PATIENCE
    ) -> StoredFile:
        """All n pages of an attempt, stored; the call starts at the first unconfirmed one.

        Args:
            prepared: The fax.
            settings: Of its job.
            resolution: Of the pages; none finer than the job's.
            patience: Seconds that may pass until the body is there in another resolution than the job's.

        Raises:
            ObjectDamaged: If what is stored is damaged.
            FaxError: If it cannot be made now.
        """
        composed = await self.compose(prepared, settings, resolution, Part(), patience=patience)
        try:
            return await self._seat.files.adopt_fd(composed.fd, Kind.OBJECT)
        finally:
            composed.close()

    async def compose(
        self, prepared: Prepared, settings: Effective, resolution: Resolution, part: Part, *, patience: float = PATIENCE
    ) -> pages.Composed:
        """Pages of an attempt as they would go out now; the caller closes them. Arguments and errors as `attempt`."""
        with charged_to(prepared.customer):
            return await self._compose(prepared, settings, resolution, part, patience)

    async def _compose(
        self, prepared: Prepared, settings: Effective, resolution: Resolution, part: Part, patience: float
    ) -> pages.Composed:
        async with (
            self._body(prepared, settings, resolution, patience) as body,
            self._letterheads.opened(prepared.job, settings, resolution) as overlay,
            self._cover(prepared, settings, resolution, patience) as cover,
        ):
            return await self._client.compose(
                body,
                pages.ComposeOptions(
                    context=HeaderContext(
                        when=datetime.fromtimestamp(self._seat.clock(), UTC),
                        number=prepared.number["e164"],
                        csid=settings["csid"],
                        personal=prepared.personal,
                        zone=settings["time_zone"],
                        language=settings["language"],
                    ),
                    header=settings["header"],
                    first_page=part.first,
                    last_page=part.last,
                    marked=prepared.marked,
                    resolution=resolution,
                    pictures=part.pictures,
                    overlay=overlay,
                    cover=cover,
                ),
            )

    async def close(self) -> None:
        """Give up what is being rendered again."""
        await self._renditions.close()

    @contextlib.asynccontextmanager
    async def _body(
        self, prepared: Prepared, settings: Effective, resolution: Resolution, patience: float
    ) -> AsyncIterator[int]:
        """The body, open until the end of the context; in this resolution where that can be had in time."""
        files = self._seat.files
        fd: int | None = None
        if prepared.body.size and resolution is not Resolution(settings["resolution"]):
            try:
                async with asyncio.timeout(patience):
                    again = await self._renditions.body(prepared.job, resolution)
                fd = None if again is None else await files.open_read(again)
            except (TimeoutError, FaxError) as exc:
                why = "not in time" if isinstance(exc, TimeoutError) else str(exc)
                log.warning("rescaled instead of rendered again", extra={"event": "fax.rescaled", "why": why})
        fd = await files.open_read(prepared.body) if fd is None else fd
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.asynccontextmanager
    async def _cover(
        self, prepared: Prepared, settings: Effective, resolution: Resolution, patience: float
    ) -> AsyncIterator[pages.Cover | None]:
        """The fax's cover, open until the end of the context, as `_body`; None: it has none."""
        cover = prepared.cover
        if cover is None:
            yield None
            return
        if cover.resolution != resolution.value:
            try:
                async with asyncio.timeout(patience):
                    again = await self._covers.again(prepared.job, prepared.fax, settings, cover, resolution)
                cover = again or cover
            except (TimeoutError, FaxError) as exc:
                why = "not in time" if isinstance(exc, TimeoutError) else str(exc)
                log.warning("cover rescaled", extra={"event": "fax.cover_rescaled", "why": why})
        fd = await self._seat.files.open_read(cover.file)
        try:
            yield pages.Cover(fd, cover.first, cover.pages)
        finally:
            os.close(fd)
