"""The step from a job to its pages: the body once, a cover for each recipient (docs/spine.md section 2).

A job is rendered in two stations: `rendering` makes its body and the covers of its first recipients; `slicing` makes
the others', a slice at a time and one job after the other, so that a broadcast holds up nobody's single fax.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence

from faxgw.dispatch.covers import Chosen, Covers, Made, NoCover
from faxgw.dispatch.letterheads import Letterheads
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import Station
from faxgw.document import types as pages
from faxgw.document.client import PageClient, charged_to
from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.errors import FaxError
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import StoredFile
from faxgw.fax.refusal_texts import in_words
from faxgw.formats.mail_letter import MAX_THUMBNAIL
from faxgw.store import queue, rendering
from faxgw.store.errors import ObjectDamaged, StoreError
from faxgw.store.files import Kind

log = logging.getLogger(__name__)

RENDERINGS = 2
"""Jobs rendered at the same time."""
SLICES = 1
"""Slices of large jobs in work at the same time: the page processes have places for more."""
THUMBNAIL_PX = 360
"""Width of page 1's picture in the status mail."""


class Renderer:
    """Renders jobs.

    Args:
        seat: The node.
        client: The page processes.
        covers: Makes cover pages.
        made: Told of every job rendered: the kind of its document, `several` for more, and the seconds (metrics).
    """

    def __init__(self, seat: Seat, client: PageClient, covers: Covers, made: Callable[[str, float], None]) -> None:
        self._seat = seat
        self._client = client
        self._covers = covers
        self._letterheads = Letterheads(seat, client)
        self._made = made
        self.rendering: Station[rendering.LeasedJob] = Station(
            "render",
            places=RENDERINGS,
            wake=seat.store.listen(queue.RENDER_TOPIC),
            take=self.take,
            work=self.render,
            next_due=self._no_due,
            clock=seat.clock,
        )
        self.slicing: Station[rendering.LeasedJob] = Station(
            "slice",
            places=SLICES,
            wake=seat.store.listen(queue.READY_TOPIC),
            take=self.take_slice,
            work=self.slice,
            next_due=lambda: seat.store.read(rendering.next_slice),
            clock=seat.clock,
        )

    async def _no_due(self) -> float | None:
        return self._seat.clock() + 5.0 if await self._seat.store.read(rendering.waits) else None

    async def take(self, limit: int) -> Sequence[rendering.LeasedJob]:
        """Lease jobs whose body is to be made."""
        seat = self._seat
        return await seat.store.run(lambda conn: rendering.lease(conn, fence=seat.fence, now=seat.clock(), limit=limit))

    async def take_slice(self, limit: int) -> Sequence[rendering.LeasedJob]:
        """Lease a slice of a large job; never more than one at a time."""
        seat = self._seat
        found = await seat.store.run(lambda conn: rendering.lease_slice(conn, fence=seat.fence, now=seat.clock()))
        return [found][:limit] if found is not None else []

    # ------------------------------------------------------------------------------------------------------- body

    async def render(self, job: rendering.LeasedJob) -> None:
        """Make a job's body, and the covers of its first recipients."""
        with charged_to(job.about.customer):
            await self._render(job)

    async def _render(self, job: rendering.LeasedJob) -> None:
        settings = from_snapshot(job.settings)
        try:
            begun = time.monotonic()
            chosen = await self._covers.choose(job.about.customer, settings)
            await self._letterheads.keep_for(job.id, job.about.customer, settings)
            if not job.documents:
                await self._without_body(job, settings, chosen)
                return
            body = await self._body(job, settings)
            kinds = {str(document["kind"] or "unknown") for document in job.documents}
            self._made(kinds.pop() if len(kinds) == 1 else "several", time.monotonic() - begun)
            if isinstance(body, pages.Refused):
                empty = body.reason is pages.Reason.EMPTY
                cause = Cause.NOTHING_TO_SEND if empty else Cause.RENDERING_FAILED
                await self._failed(job, body.told(settings["language"]), temporary=False, cause=cause)
                return
            try:
                if (too_many := _too_many(len(body.pages), settings)) is not None:
                    await self._failed(job, too_many, temporary=False)
                    return
                await self._with_body(job, settings, chosen, body)
            finally:
                body.close()
        except ObjectDamaged as exc:
            await self._failed(job, exc.public, temporary=False, cause=Cause.DOCUMENT_DAMAGED)
        except FaxError as exc:
            log.warning("rendering failed", extra={"event": "job.render_failed", "job": job.id, "why": str(exc)})
            if _ours(exc):
                await self._later(job, exc.public)
            else:
                await self._failed(job, exc.public, temporary=exc.temporary)

    async def _body(self, job: rendering.LeasedJob, settings: Effective) -> pages.Rendered | pages.Refused:
        with contextlib.ExitStack() as opened:
            documents = []
            for d in job.documents:
                fd = await self._seat.files.open_read(StoredFile(d["key"], d["sha256"], d["size"]))
                opened.callback(os.close, fd)
                documents.append(
                    pages.Document(
                        fd=fd,
                        name=d["name"],
                        kind=pages.Kind(d["kind"]) if d["kind"] else None,
                        charset=d["charset"],
                        origin=pages.Origin(d["origin"]),
                        size=d["size"],
                    )
                )
            return await self._client.render(
                documents,
                pages.RenderOptions(
                    resolution=pages.Resolution(settings["resolution"]),
                    paper=pages.Paper(settings["paper"]),
                    mode=pages.Mode(settings["mode"]),
                    suppress_blank=settings["suppress_blank"],
                    thumbnail_px=THUMBNAIL_PX,
                ),
            )

    async def _with_body(
        self, job: rendering.LeasedJob, settings: Effective, chosen: Chosen | None, rendered: pages.Rendered
    ) -> None:
        made = await self._made_covers(job, settings, chosen, len(rendered.pages))
        try:
            body = await self._seat.files.adopt_fd(rendered.fd, Kind.OBJECT)
        except BaseException:
            await self._covers.forget(made.keys)
            raise
        facts = [_facts(page) for page in rendered.pages]
        thumbnail = b"" if rendered.thumbnail_fd is None else await asyncio.to_thread(_picture, rendered.thumbnail_fd)
        if made.thumbnail and len(job.recipients) == 1:
            thumbnail = made.thumbnail
        await self._keep(job, body, facts, thumbnail, made)

    async def _without_body(self, job: rendering.LeasedJob, settings: Effective, chosen: Chosen | None) -> None:
        """The cover is all there is; the body is an object without octets."""
        if chosen is None:
            await self._failed(job, "There is nothing to fax.", temporary=False, cause=Cause.NOTHING_TO_SEND)
            return
        made = await self._made_covers(job, settings, chosen, 0)
        try:
            body = await self._seat.files.keep(b"")
        except BaseException:
            await self._covers.forget(made.keys)
            raise
        await self._keep(job, body, (), made.thumbnail, made)

    async def _made_covers(
        self, job: rendering.LeasedJob, settings: Effective, chosen: Chosen | None, body_pages: int
    ) -> Made:
        """The covers of the leased recipients; those with which a fax gets too long are refused."""
        if chosen is None:
            return Made()
        made = await self._covers.make(job, chosen, settings, body_pages)
        long = {
            one.fax: too_many
            for one in made.covers
            if (too_many := _too_many(body_pages + one.pages, settings)) is not None
        }
        if not long:
            return made
        kept = Made(tuple(one for one in made.covers if one.fax not in long), {**made.refused, **long}, made.thumbnail)
        await self._covers.forget(made.keys - kept.keys)
        return kept

    async def _keep(
        self,
        job: rendering.LeasedJob,
        body: StoredFile,
        facts: Sequence[dict[str, int]],
        thumbnail: bytes,
        made: Made,
    ) -> None:
        seat, now = self._seat, self._seat.clock()
        kept = await seat.store.run(
            lambda conn: rendering.rendered(
                conn,
                job.id,
                fence=seat.fence,
                body=body,
                pages=len(facts),
                facts=facts,
                thumbnail=thumbnail,
                now=now,
                covers=made.covers,
                refused=made.refused,
            )
        )
        if not kept:
            await self._covers.forget({body.key, *made.keys})
            return
        log.info("pages ready", extra={"event": "job.ready", "job": job.id, "pages": len(facts)})

    async def _later(self, job: rendering.LeasedJob, why: str) -> None:
        seat, now = self._seat, self._seat.clock()
        await seat.store.run(lambda conn: rendering.put_back(conn, job.id, fence=seat.fence, now=now, why=why))

    async def _failed(
        self, job: rendering.LeasedJob, reason: str, *, temporary: bool, cause: Cause = Cause.RENDERING_FAILED
    ) -> None:
        seat, now = self._seat, self._seat.clock()
        await seat.store.run(
            lambda conn: rendering.failed(
                conn, job.id, fence=seat.fence, now=now, cause=cause, reason=reason, temporary=temporary
            )
        )
        log.info("no pages", extra={"event": "job.no_pages", "job": job.id, "why": reason, "temporary": temporary})

    # ------------------------------------------------------------------------------------------------------ slices

    async def slice(self, job: rendering.LeasedJob) -> None:
        """Make a slice of a large job ready."""
        with charged_to(job.about.customer):
            await self._slice(job)

    async def _slice(self, job: rendering.LeasedJob) -> None:
        seat, settings = self._seat, from_snapshot(job.settings)
        try:
            chosen = await self._covers.choose(job.about.customer, settings)
            made = await self._made_covers(job, settings, chosen, job.pages)
        except NoCover as exc:
            made = Made(refused=dict.fromkeys(job.faxes, exc.public))
        except FaxError as exc:
            log.warning("slice failed", extra={"event": "job.slice_failed", "job": job.id, "why": str(exc)})
            why, counted, now = exc.public, not _ours(exc), seat.clock()
            await seat.store.run(
                lambda conn: rendering.slice_put_back(conn, job.id, fence=seat.fence, now=now, why=why, counted=counted)
            )
            return
        now = seat.clock()
        kept = await seat.store.run(
            lambda conn: rendering.sliced(
                conn, job.id, fence=seat.fence, now=now, covers=made.covers, refused=made.refused
            )
        )
        if not kept:
            await self._covers.forget(made.keys)
            return
        log.info("slice ready", extra={"event": "job.slice_ready", "job": job.id, "faxes": len(job.recipients)})


def _facts(page: pages.PageFacts) -> dict[str, int]:
    """What is kept of a page."""
    found = {"rows": page.rows, "octets": page.octets, "document": page.document, "page": page.page}
    return found | ({"repaired": page.repaired} if page.repaired else {})


def _too_many(count: int, settings: Effective) -> str | None:
    limit = settings["max_pages"]
    if count <= limit:
        return None
    values = (("count", str(count)), ("limit", str(limit)))
    return in_words("The fax has {count} pages; at most {limit} are allowed.", values, settings["language"])


def _ours(error: FaxError) -> bool:
    """True when store or disk could not take part: says nothing about the document, so no try is counted."""
    return isinstance(error, StoreError) and error.temporary


def _picture(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0) if size <= MAX_THUMBNAIL else b""
