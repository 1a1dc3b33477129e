"""Cover pages: which template a name means, whether it can be filled, and the pages of a slice of recipients.

A name means the customer's own template, else the operator's, else one that is shipped (`document/covers`). Templates
are read here and filled with values; pages are made of them by the page processes, like of any document. What is the
same for several recipients is made once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from sqlalchemy import Connection

from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax import cover
from faxgw.fax.account import Effective
from faxgw.fax.errors import FaxError
from faxgw.formats import covers
from faxgw.formats.cover_template import TemplateRefused
from faxgw.formats.cover_values import CoverFacts, known, values
from faxgw.formats.covers import CoverTemplate
from faxgw.formats.status_view import international
from faxgw.store import rendering, renditions, templates
from faxgw.store.files import Kind
from faxgw.store.rendering import AT_ONCE, About, LeasedJob, Recipient
from faxgw.store.renditions import Kind as RenditionKind
from faxgw.store.renditions import Rendition

log = logging.getLogger(__name__)

SHIPPED = cover.SHIPPED
MAX_READ = 64
"""Templates kept as they were read; the longest unused is read again."""
USUAL_PAGES = 1
"""Pages that a cover is expected to have when it says how many the fax has; another number is put right."""

THUMBNAIL_PX = 360
"""Width of a cover's picture in the status mail."""

_ALWAYS = known({})


class NoCover(FaxError):
    """The cover page cannot be made: its template is unknown or wrong."""

    default_public = "The cover page of this fax cannot be made."
    default_temporary = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """The template of a job's covers."""

    name: str
    """As it was asked for."""
    format: str
    template: CoverTemplate
    required: frozenset[str]
    """Values that somebody has to give: without those that are always there."""
    sha256: str
    """Of its content, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Made:
    """The covers of some recipients."""

    covers: tuple[Rendition, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Faxes whose cover cannot be made, and why."""
    thumbnail: bytes = b""
    """PNG of the first cover's first page."""

    @property
    def keys(self) -> frozenset[str]:
        """The objects in which they lie."""
        return frozenset(one.file.key for one in self.covers)


@dataclass(slots=True)
class _Filling:
    """One document, and the faxes that get it."""

    octets: bytes
    recipients: list[Recipient]


class Covers:
    """Finds templates and makes covers.

    Args:
        seat: The node.
        client: The page processes; None where templates are only looked for.
    """

    def __init__(self, seat: Seat, client: PageClient | None = None) -> None:
        self._seat = seat
        self._client = client
        self._read: OrderedDict[tuple[str, str], CoverTemplate] = OrderedDict()

    async def choose(self, customer: str, settings: Effective) -> Chosen | None:
        """The template of the covers that the settings want; None: no covers.

        Raises:
            NoCover: If there is no such template, or it cannot be read.
        """
        name = cover.cover_name(settings["cover"])
        if not name:
            return None
        found = await self._seat.store.read(
            lambda conn: templates.find(conn, customer, templates.Kind.COVER, name[: templates.MAX_NAME])
        )
        form, content = ("html", shipped(name)) if found is None else (found.format, found.content)
        if content is None:
            raise NoCover(f"no template {name}", public=cover.unknown(name, settings["language"]))
        try:
            sha256 = hashlib.sha256(content).hexdigest()
            template = self._template(form, sha256, content)
        except TemplateRefused as exc:
            raise NoCover(str(exc), public=exc.public) from exc
        needed = template.required() - _ALWAYS - cover.given(settings["cover_values"]).keys()
        return Chosen(name, form, template, needed, sha256)

    async def refusal(self, customer: str, settings: Effective) -> str:
        """Why mails with these settings cannot have their cover, in the sender's words; empty: they can, or want none.

        A mail says nothing of its recipients: the template has to do with what the account gives.
        """
        try:
            chosen = await self.choose(customer, settings)
        except NoCover as exc:
            return exc.public
        if chosen is None or not chosen.required:
            return ""
        return cover.missing(chosen.name, chosen.required, settings["language"])

    def _template(self, form: str, sha256: str, content: bytes) -> CoverTemplate:
        key = (form, sha256)
        template = self._read.pop(key, None) or covers.read(form, content)
        self._read[key] = template
        while len(self._read) > MAX_READ:
            self._read.popitem(last=False)
        return template

    async def make(self, job: LeasedJob, chosen: Chosen, settings: Effective, body_pages: int) -> Made:
        """The covers of a job's leased recipients; their files are durable, no row names them yet.

        Args:
            job: The job.
            chosen: Its template.
            settings: Its settings.
            body_pages: Pages that follow.

        Raises:
            FaxError: If page processes or store cannot do it now.
        """
        resolution, usual = pages.Resolution(settings["resolution"]), dict.fromkeys(job.faxes, USUAL_PAGES)
        made = await self._made(job, chosen, settings, body_pages, usual, job.recipients, resolution)
        wrong = {one.fax: one.pages for one in made.covers if one.pages != USUAL_PAGES}
        if not wrong:
            return made
        again = [recipient for recipient in job.recipients if recipient.fax in wrong]
        better = await self._made(job, chosen, settings, body_pages, wrong, again, resolution)
        kept = {one.fax: one for one in made.covers} | {one.fax: one for one in better.covers}
        found = Made(
            tuple(kept[fax] for fax in job.faxes if fax in kept and fax not in better.refused),
            {**made.refused, **better.refused},
            better.thumbnail if job.faxes[0] in wrong else made.thumbnail,
        )
        await self.forget((made.keys | better.keys) - found.keys)
        return found

    async def again(
        self, job: str, fax: str, settings: Effective, first: Rendition, resolution: pages.Resolution
    ) -> Rendition | None:
        """A fax's cover at another resolution than that it was made ready with: rendered again, once, and kept.

        Args:
            job: The job.
            fax: The fax.
            settings: Of the job.
            first: The cover that it has.
            resolution: What is wanted.

        Returns:
            None where that would not be the same cover: the template has changed, or the pages would be others.

        Raises:
            FaxError: If store or page processes fail.
        """
        store = self._seat.store
        if (kept := await store.read(lambda conn: _at(conn, job, fax, resolution))) is not None:
            return kept
        source = await store.read(lambda conn: rendering.of_fax(conn, job, fax))
        chosen = await self.choose(source.about.customer, settings)
        if chosen is None or not first.facts or first.facts[0].get("template") != chosen.sha256:
            return None
        own = {fax: first.pages}
        made = await self._made(source, chosen, settings, source.pages, own, source.recipients, resolution)
        if [one.pages for one in made.covers] != [first.pages]:
            await self.forget(made.keys)
            return None
        await store.run(lambda conn: renditions.keep(conn, job, made.covers))
        kept = await store.read(lambda conn: _at(conn, job, fax, resolution))
        if kept is not None and kept.file.key not in made.keys:  # somebody else was quicker
            await self.forget(made.keys)
        return kept

    async def forget(self, keys: Iterable[str]) -> None:
        """Remove objects that no row will name."""
        for key in keys:
            await self._seat.files.remove(key)

    async def _made(
        self,
        job: LeasedJob,
        chosen: Chosen,
        settings: Effective,
        body_pages: int,
        own: Mapping[str, int],
        recipients: Sequence[Recipient],
        resolution: pages.Resolution,
    ) -> Made:
        """Fill and render; `own` says how many pages each fax's cover is taken to have."""
        filled, refused = await asyncio.to_thread(_fill, job, chosen, settings, body_pages, own, recipients)
        made: list[Rendition] = []
        thumbnail = b""
        batches = [filled[at : at + AT_ONCE] for at in range(0, len(filled), AT_ONCE)]
        try:
            while batches:
                some = batches.pop(0)
                answer = await self._rendered(some, chosen, settings, resolution)
                if isinstance(answer, pages.Refused):
                    guilty, innocent = _told_apart(answer, some)
                    refused |= {recipient.fax: answer.public for one in guilty for recipient in one.recipients}
                    batches[:0] = innocent
                    continue
                try:
                    made += await self._kept(answer, some, chosen.sha256)
                    if not thumbnail and answer.thumbnail_fd is not None:
                        thumbnail = await asyncio.to_thread(_whole, answer.thumbnail_fd)
                finally:
                    answer.close()
        except BaseException:
            await self.forget({one.file.key for one in made})
            raise
        return Made(tuple(made), refused, thumbnail)

    async def _rendered(
        self, filled: Sequence[_Filling], chosen: Chosen, settings: Effective, resolution: pages.Resolution
    ) -> pages.Rendered | pages.Refused:
        assert self._client is not None  # it was given by whoever makes covers
        with contextlib.ExitStack() as opened:
            documents = []
            for number, one in enumerate(filled, 1):
                fd = os.memfd_create("cover", os.MFD_CLOEXEC)
                opened.callback(os.close, fd)
                with os.fdopen(os.dup(fd), "wb") as file:
                    file.write(one.octets)
                charset = "utf-8" if chosen.format == "html" else None
                documents.append(
                    pages.Document(
                        fd,
                        _document_name(number),
                        pages.Kind(chosen.format),
                        charset,
                        pages.Origin.BODY,
                        len(one.octets),
                    )
                )
            options = pages.RenderOptions(
                resolution=resolution,
                paper=pages.Paper(settings["paper"]),
                thumbnail_px=THUMBNAIL_PX,
            )
            return await self._client.render(documents, options)

    async def _kept(self, rendered: pages.Rendered, filled: Sequence[_Filling], sha256: str) -> list[Rendition]:
        """Make a file of covers durable; each recipient's run of pages in it."""
        file = await self._seat.files.adopt_fd(rendered.fd, Kind.OBJECT)
        found = []
        for index, one in enumerate(filled):
            places = [place for place, page in enumerate(rendered.pages, 1) if page.document == index]
            facts = tuple(
                {"rows": p.rows, "octets": p.octets, "template": sha256} for p in rendered.pages if p.document == index
            )
            for recipient in one.recipients:
                found.append(
                    Rendition(
                        RenditionKind.COVER,
                        rendered.resolution.value,
                        file,
                        places[0],
                        len(places),
                        recipient.fax,
                        facts,
                    )
                )
        return found


def _at(conn: Connection, job: str, fax: str, resolution: pages.Resolution) -> Rendition | None:
    found = renditions.find(conn, job, RenditionKind.COVER, fax=fax)
    return next((one for one in found if one.resolution == resolution.value), None)


def lacking(chosen: Chosen, properties: Mapping[str, str]) -> frozenset[str]:
    """The values that the template needs and a recipient with these properties does not give."""
    return chosen.required - properties.keys()


@cache
def shipped(name: str) -> bytes | None:
    """A design of ours; None if there is none of that name. The ending of a file's name may be there."""
    design = cover.design(name)
    if not design:
        return None
    return (resources.files("faxgw.document") / "covers" / f"{design}.html").read_bytes()


def _fill(
    job: LeasedJob,
    chosen: Chosen,
    settings: Effective,
    body_pages: int,
    own: Mapping[str, int],
    recipients: Sequence[Recipient],
) -> tuple[list[_Filling], dict[str, str]]:
    """The documents of some recipients, equal ones once; faxes for which it cannot be made, and why."""
    filled: dict[bytes, _Filling] = {}
    refused: dict[str, str] = {}
    shared = cover.given(settings["cover_values"])
    for recipient in recipients:
        facts = CoverFacts(
            number=international(recipient.e164) if recipient.e164 else recipient.typed,
            sender=_sender(job.about),
            subject=job.about.subject,
            pages=body_pages + own[recipient.fax],
            when=datetime.fromtimestamp(job.about.accepted_at, UTC),
            zone=settings["time_zone"],
            language=settings["language"],
            paper=settings["paper"],
            company=job.about.company,
            csid=settings["csid"],
            comment=job.about.text,
            reference=job.about.reference,
            job=job.id,
            properties={**shared, **dict(recipient.properties)},
        )
        try:
            octets = chosen.template.fill(values(facts))
        except TemplateRefused as exc:
            refused[recipient.fax] = exc.public
            continue
        filled.setdefault(octets, _Filling(octets, [])).recipients.append(recipient)
    return list(filled.values()), refused


def _sender(about: About) -> str:
    """Who sends, as people call him: a mail address, else the customer; a login says nothing to a recipient."""
    name = about.owner.partition(":")[2] or about.owner
    return name if "@" in name else about.company or name


def _told_apart(answer: pages.Refused, some: Sequence[_Filling]) -> tuple[Sequence[_Filling], Sequence[list[_Filling]]]:
    """(the document at fault, where it is known; what is to be tried again, together)."""
    if len(some) == 1:
        return some, ()
    for number, one in enumerate(some, 1):
        if answer.document == _document_name(number):
            return (one,), ([other for other in some if other is not one],)
    half = len(some) // 2
    return (), (list(some[:half]), list(some[half:]))


def _document_name(number: int) -> str:
    return f"cover page {number}"


def _whole(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
