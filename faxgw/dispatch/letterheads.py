"""Letterheads of jobs: rendered once, kept with the job before it is ready, laid over the pages at each attempt.

A letterhead is a template of one page (`store.templates`, kind overlay). It is rendered for each content, paper and
resolution once, whoever uses it (`store.letterheads`), and a job names what it was made ready with in its renditions:
a retry a day later bears the same letterhead, though the template was replaced in between.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection, exc, select

from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.account import Effective
from faxgw.fax.errors import Refused
from faxgw.fax.overlay import OverlayMode, overlay_name, unknown
from faxgw.fax.ports import StoredFile
from faxgw.store import letterheads, renditions, templates
from faxgw.store import schema as t
from faxgw.store.errors import ObjectDamaged
from faxgw.store.files import Kind
from faxgw.store.renditions import Rendition
from faxgw.store.templates import Template

log = logging.getLogger(__name__)


class LetterheadRefused(Refused):
    """A letterhead that is not there, or cannot be one; the public text says why."""


class Letterheads:
    """Makes letterheads and hands them out.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client

    async def keep_for(self, job: str, customer: str, settings: Effective) -> None:
        """Make a job's letterhead durable, if it has one; again, it is there already.

        Raises:
            LetterheadRefused: If there is none of that name any more, or it cannot be rendered.
            FaxError: If it cannot be made now.
        """
        name, store = overlay_name(settings.values), self._seat.store
        wanted = _resolutions(settings["resolution"])
        if not name:
            return
        have = await store.read(lambda conn: renditions.find(conn, job, renditions.Kind.OVERLAY))
        if set(wanted) <= {one.resolution for one in have}:
            return
        template = await store.read(lambda conn: templates.find(conn, customer, templates.Kind.OVERLAY, name))
        if template is None:
            raise LetterheadRefused(f"no overlay {name}", public=unknown(name, settings["language"]))
        files = await self.made(template, settings["paper"], wanted)
        made = [Rendition(renditions.Kind.OVERLAY, each, files[each], 1, 1) for each in wanted]
        await store.run(lambda conn: renditions.keep(conn, job, made))

    async def made(self, template: Template, paper: str, wanted: Collection[str]) -> Mapping[str, StoredFile]:
        """A letterhead's pages by resolution, rendered where they are not there yet.

        Raises:
            LetterheadRefused: If it cannot be rendered, or has not one page.
            FaxError: If it cannot be made now.
        """
        store, sha256 = self._seat.store, template.sha256
        have = await store.read(lambda conn: letterheads.find(conn, sha256, paper))
        if not await self._sound(have.values()):
            log.error("letterhead damaged", extra={"event": "letterhead.damaged", "template": template.name})
            await store.run(lambda conn: letterheads.forget(conn, sha256, paper))
            have = {}
        new: dict[str, StoredFile] = {}
        for resolution in (each for each in wanted if each not in have):
            rendered = await self.render(template.name, template.content, paper, resolution)
            try:
                new[resolution] = await self._seat.files.adopt_fd(rendered.fd, Kind.OBJECT)
            finally:
                rendered.close()
        if not new:
            return have
        unit = partial(_keep, sha256=sha256, paper=paper, made=new)
        try:
            kept = await store.run(unit)
        except exc.IntegrityError:  # made at the same moment on another node: now it is there to be found
            kept = await store.run(unit)
        for resolution, file in new.items():
            if kept[resolution] != file:
                await self._seat.files.remove(file.key)
        return kept

    async def render(self, name: str, content: bytes, paper: str, resolution: str) -> pages.Rendered:
        """Render a letterhead; the caller closes the result.

        Args:
            name: For refusals.
            content: The document.
            paper: The sheet.
            resolution: Of the page.

        Raises:
            LetterheadRefused: If it cannot be rendered, is blank, or has not one page.
            FaxError: If it cannot be made now.
        """
        source = os.memfd_create("letterhead", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(source), "wb") as file:
                file.write(content)
            options = pages.RenderOptions(pages.Resolution(resolution), pages.Paper(paper), suppress_blank=True)
            rendered = await self._client.render([pages.Document(source, name, size=len(content))], options)
        finally:
            os.close(source)
        if isinstance(rendered, pages.Refused):
            blank = rendered.reason is pages.Reason.EMPTY
            raise LetterheadRefused(rendered.reason, public="The overlay is blank." if blank else rendered.public)
        if len(rendered.pages) != 1:
            rendered.close()
            count = len(rendered.pages)
            raise LetterheadRefused(f"{count} pages", public=f"An overlay has one page; this one has {count}.")
        return rendered

    @contextlib.asynccontextmanager
    async def opened(
        self, job: str, settings: Effective, resolution: pages.Resolution
    ) -> AsyncIterator[pages.Overlay | None]:
        """A job's letterhead for an attempt, open until the end of the context; None: its pages bear none.

        Args:
            job: The job.
            settings: Of the job.
            resolution: Of the attempt's pages.

        Raises:
            ObjectDamaged: If it is not what was written, or not there at all: pages are never sent without it.
        """
        if not overlay_name(settings.values):
            yield None
            return
        found, first_file = await self._seat.store.read(lambda conn: _of_job(conn, job))
        if not found:
            raise ObjectDamaged(f"no letterhead of {job}")
        best = found.get(resolution) or found[max(found, key=lambda each: pages.Resolution(each).multiple)]
        fd = await self._seat.files.open_read(best)
        try:
            yield pages.Overlay(fd, OverlayMode(settings["overlay_mode"]), first_file)
        finally:
            os.close(fd)

    async def _sound(self, files: Collection[StoredFile]) -> bool:
        for file in files:
            try:
                os.close(await self._seat.files.open_read(file))
            except ObjectDamaged:
                return False
        return True


async def refusal(seat: Seat, customer: str, settings: Effective) -> str:
    """Why a job with these settings cannot have its letterhead; empty: it can, or wants none."""
    name = overlay_name(settings.values)
    if not name:
        return ""
    known = await seat.store.read(lambda conn: templates.exists(conn, customer, templates.Kind.OVERLAY, name))
    return "" if known else unknown(name, settings["language"])


def _keep(conn: Connection, *, sha256: str, paper: str, made: Mapping[str, StoredFile]) -> Mapping[str, StoredFile]:
    return letterheads.keep(conn, sha256, paper, made)


def _resolutions(finest: str) -> Sequence[str]:
    """The resolutions in which a far end may take a job: all of its letterheads are made beforehand."""
    most = pages.Resolution(finest).multiple
    return [each.value for each in pages.Resolution if each.multiple <= most]


def _of_job(conn: Connection, job: str) -> tuple[Mapping[str, StoredFile], int]:
    """A job's letterhead by resolution, and how many pages its first document has."""
    found = renditions.find(conn, job, renditions.Kind.OVERLAY)
    facts = conn.execute(select(t.jobs.c.page_facts).where(t.jobs.c.id == job)).scalar_one()
    first = sum(fact.get("document") == 0 for fact in facts)
    return {one.resolution: one.file for one in found}, first
