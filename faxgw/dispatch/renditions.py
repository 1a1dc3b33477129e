"""Bodies of jobs at other resolutions than their own: rendered again from the documents, once, and kept.

A page made for fine and squashed to standard loses its smallest letters; one rendered for standard keeps them. Page k
stays page k (docs/spine.md section 2): a rendition counts only if each of its pages comes from the same page of the
same document as the body's; with a page that was cut into several, where the cuts depend on the rows, there is none.
Without a rendition the body is rescaled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import OrderedDict

from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.ports import StoredFile
from faxgw.fax.resolution import Resolution
from faxgw.store import renditions, sources
from faxgw.store.files import Kind
from faxgw.store.renditions import Rendition
from faxgw.store.sources import Sources

log = logging.getLogger(__name__)

MAX_REMEMBERED = 1000
"""Jobs of which it is remembered that a resolution cannot be had; the oldest is tried again."""


class Renditions:
    """Finds renditions, and makes those that are missing.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client
        self._making: dict[tuple[str, Resolution], asyncio.Task[StoredFile | None]] = {}
        self._impossible: OrderedDict[tuple[str, Resolution], None] = OrderedDict()

    async def body(self, job: str, resolution: Resolution) -> StoredFile | None:
        """The body of a job at a resolution that is not its own; None: there is none, for the document's reasons.

        Whoever gives up waiting leaves the work to go on: the next call finds it done.

        Raises:
            FaxError: If store or page processes fail.
        """
        what = (job, resolution)
        if what in self._impossible:
            return None
        if (kept := await self._kept(job, resolution)) is not None:
            return kept
        task = self._making.get(what)
        if task is None:
            task = asyncio.create_task(self._make(job, resolution), name=f"rendition {job} {resolution}")
            self._making[what] = task
            task.add_done_callback(lambda done: self._made(what, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being made."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _kept(self, job: str, resolution: Resolution) -> StoredFile | None:
        found = await self._seat.store.read(lambda conn: renditions.find(conn, job, renditions.Kind.BODY))
        return next((one.file for one in found if one.resolution == resolution), None)

    def _made(self, what: tuple[str, Resolution], task: asyncio.Task[StoredFile | None]) -> None:
        self._making.pop(what, None)
        if not task.cancelled() and (fault := task.exception()) is not None:  # whoever waits is told by the task
            log.warning("not rendered again", extra={"event": "job.rendition", "job": what[0], "why": str(fault)})

    async def _make(self, job: str, resolution: Resolution) -> StoredFile | None:
        seat = self._seat
        found = await seat.store.read(lambda conn: sources.of_job(conn, job))
        rendered = await self._render(found, resolution)
        if isinstance(rendered, pages.Refused):
            self._cannot(job, resolution, rendered.public)
            return None
        try:
            if not comparable(found, rendered):
                self._cannot(job, resolution, "its pages do not begin where those of the body do")
                return None
            file = await seat.files.adopt_fd(rendered.fd, Kind.OBJECT)
        finally:
            rendered.close()
        facts = tuple({"rows": page.rows, "octets": page.octets} for page in rendered.pages)
        made = Rendition(renditions.Kind.BODY, resolution.value, file, 1, len(rendered.pages), "", facts)
        await seat.store.run(lambda conn: renditions.keep(conn, job, (made,)))
        kept = await self._kept(job, resolution)
        if kept is not None and kept.key != file.key:  # another node was quicker
            await seat.files.remove(file.key)
            return kept
        log.info("rendered again", extra={"event": "job.rendered_again", "job": job, "resolution": resolution.value})
        return file

    def _cannot(self, job: str, resolution: Resolution, why: str) -> None:
        log.info("not rendered again", extra={"event": "job.rendition", "job": job, "why": why})
        self._impossible[(job, resolution)] = None
        while len(self._impossible) > MAX_REMEMBERED:
            self._impossible.popitem(last=False)

    async def _render(self, found: Sources, resolution: Resolution) -> pages.Rendered | pages.Refused:
        with contextlib.ExitStack() as opened:
            documents = []
            for one in found.documents:
                fd = await self._seat.files.open_read(one.file)
                opened.callback(os.close, fd)
                kind = pages.Kind(one.kind) if one.kind else None
                origin = pages.Origin(one.origin)
                documents.append(pages.Document(fd, one.name, kind, one.charset, origin, one.file.size))
            return await self._client.render(documents, render_options(from_snapshot(found.settings), resolution))


def render_options(settings: Effective, resolution: Resolution, thumbnail_px: int = 0) -> pages.RenderOptions:
    """How an account's documents become pages."""
    return pages.RenderOptions(
        resolution=resolution,
        paper=pages.Paper(settings["paper"]),
        mode=pages.Mode(settings["mode"]),
        suppress_blank=settings["suppress_blank"],
        thumbnail_px=thumbnail_px,
    )


def comparable(found: Sources, rendered: pages.Rendered) -> bool:
    """Whether page k of a rendition shows what page k of the body shows."""
    places = tuple((page.document, page.page) for page in rendered.pages)
    return places == found.places and len(set(places)) == len(places)
