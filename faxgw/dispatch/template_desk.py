"""The desk for templates: taken in when they are good, shown as the very pages that a fax would have, removed.

A template is read, filled with example values and rendered before it is kept: what is wrong with it is told to the
one who brings it, not to senders. A name that nobody gives a value is refused unless it is said to be a recipient's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from faxgw.dispatch.covers import SHIPPED, shipped
from faxgw.dispatch.letterheads import Letterheads
from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax import cover
from faxgw.fax.errors import Refused
from faxgw.fax.header import HeaderContext
from faxgw.formats import covers, mail_examples, mail_template
from faxgw.formats.cover_values import CoverFacts, known, sample, values
from faxgw.formats.mail_letter import MAX_THUMBNAIL
from faxgw.store import directory, letterheads, templates
from faxgw.store.templates import EVERYBODY, Kind, Template, UnknownTemplate

SHIPPED_BY = "faxgw"
"""Who made the designs that come with a release."""
PLAIN_MAIL = "default"
"""Name of the mails' shipped designs; no template may bear it."""
THUMBNAIL_PX = 300
"""Width of page 1 in an example mail."""
BODY_PAGES = 3
"""Pages that follow the cover in an example."""
_STARTS: Mapping[bytes, str] = {
    b"%PDF": "pdf",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpeg",
    b"PK\x03\x04": "package",
    b"{\\rtf": "rtf",
}
"""What an overlay is, by its first octets; for lists only."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A template as its owner is told of it."""

    template: Template
    """Without its content."""
    needs: tuple[str, ...] = ()
    """Names that recipients, jobs or settings have to give a value."""
    pages: int = 0
    """Pages of an example; 0: not looked at."""


@dataclass(frozen=True, slots=True)
class Example:
    """What an example page shall show."""

    language: str = "en"
    paper: str = "A4"
    resolution: str = "fine"
    values: Mapping[str, str] = field(default_factory=dict)
    """Beside the usual ones."""


class TemplateDesk:
    """Takes templates in, shows and removes them.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client
        self._letterheads = Letterheads(seat, client)

    async def listed(self, customer: str) -> Sequence[Template]:
        """What a customer's jobs may name: its own, everybody's, and the designs of this release; without content."""
        read = self._seat.store.read
        found = [
            *await read(lambda conn: templates.every(conn, customer, Kind.COVER)),
            *await read(lambda conn: templates.every(conn, customer, Kind.OVERLAY)),
            *await read(lambda conn: templates.every(conn, customer, Kind.MAIL)),
        ]
        names = {one.name for one in found if one.kind is Kind.COVER}
        plain = Template(EVERYBODY, Kind.MAIL, PLAIN_MAIL, "toml", b"", "", 0, 0.0, SHIPPED_BY)
        return [*found, *(_shipped(name) for name in SHIPPED if name not in names), plain]

    async def find(self, customer: str, kind: Kind, name: str) -> Template:
        """A template with its content.

        Raises:
            UnknownTemplate: If there is none.
        """
        if (kind, name) == (Kind.MAIL, PLAIN_MAIL):
            return Template(EVERYBODY, kind, name, "toml", b"", "", 0, 0.0, SHIPPED_BY)
        found = await self._seat.store.read(lambda conn: templates.find(conn, customer, kind, name))
        content = shipped(name) if found is None and kind is Kind.COVER else None
        if found is None and content is None:
            raise UnknownTemplate(f"{kind} {name} of {customer}")
        return found or replace(_shipped(name), content=content or b"")

    async def keep(
        self, customer: str, kind: Kind, name: str, content: bytes, *, who: str, given: Sequence[str] = ()
    ) -> Shown:
        """Take a template in, in place of that of the same name.

        Args:
            customer: Whose; EVERYBODY for all.
            kind: What for.
            name: How jobs name it.
            content: All of it.
            who: For the journal.
            given: Names that recipients give values.

        Raises:
            Refused: If it is wrong, cannot be rendered, or needs a value that nobody gives.
            FaxError: If it cannot be looked at now.
        """
        if not 0 < len(content) <= templates.MAX_CONTENT:
            raise Refused(
                "bad size", public=f"A template has at most {templates.MAX_CONTENT:,} octets, and one at least."
            )
        match kind:
            case Kind.OVERLAY:
                form, needs, count = await self._letterhead(name, content)
            case Kind.COVER:
                form, needs, count = await self._checked(customer, content, given)
            case Kind.MAIL:
                form, needs, count = await _mail(name, content)
        now = self._seat.clock()

        def unit(conn: Connection) -> Template:
            kept = templates.keep(conn, customer, kind, name, format=form, content=content, who=who, now=now)
            letterheads.forget_unused(conn)
            return kept

        kept = await self._seat.store.run(unit)
        return Shown(replace(kept, content=b""), needs, count)

    async def show(self, customer: str, kind: Kind, name: str) -> Shown:
        """Facts of a template.

        Raises:
            Refused: If there is none, or it cannot be read.
        """
        found = await self.find(customer, kind, name)
        needs: tuple[str, ...] = ()
        if kind is Kind.COVER:
            template = await asyncio.to_thread(covers.read, found.format, found.content)
            needs = tuple(sorted(template.required() - known({})))
        return Shown(replace(found, content=b""), needs)

    async def remove(self, customer: str, kind: Kind, name: str, *, who: str) -> None:
        """Remove a template.

        Raises:
            UnknownTemplate: If the customer has none of that name: everybody's and the release's stay.
        """
        now = self._seat.clock()

        def unit(conn: Connection) -> bool:
            removed = templates.remove(conn, customer, kind, name, who=who, now=now)
            letterheads.forget_unused(conn)
            return removed

        if not await self._seat.store.run(unit):
            raise UnknownTemplate(f"{kind} {name} of {customer}")

    async def picture(
        self,
        customer: str,
        kind: Kind,
        name: str,
        page: int,
        *,
        language: str = "en",
        paper: str = "A4",
        resolution: str = "fine",
        values: Mapping[str, str] | None = None,
    ) -> tuple[bytes, int]:
        """A page of a template as PNG, the very pixels that a fax would have, and how many pages there are.

        Args:
            customer: Whose job it would be.
            kind: What for.
            name: Of the template.
            page: From 1.
            language: Of the example's words and dates.
            paper: The sheet.
            resolution: Of the pages.
            values: Beside the usual ones.

        Raises:
            Refused: If there is no such template or page, or it cannot be rendered.
            FaxError: If it cannot be rendered now.
        """
        found = await self.find(customer, kind, name)
        if kind is Kind.MAIL:
            raise Refused("no pages", public="A mail template has no pages; its preview is a mail.")
        if kind is Kind.OVERLAY:
            body = await self._letterheads.render(name, found.content, paper, resolution)
        else:
            needs = (await self.show(customer, kind, name)).needs
            given = {**{key: f"«{key}»" for key in needs}, **(values or {})}
            body = await self._cover(found.format, found.content, Example(language, paper, resolution, given))
        try:
            if not 1 <= page <= len(body.pages):
                raise UnknownTemplate(f"page {page}", public=f"It has {len(body.pages)} pages.")
            context = HeaderContext(datetime.fromtimestamp(self._seat.clock(), UTC))
            wanted = pages.ComposeOptions(context, first_page=page, last_page=page, pictures=True)
            composed = await self._client.compose(body.fd, wanted)
        finally:
            body.close()
        try:
            return await asyncio.to_thread(composed.picture, 0), len(body.pages)
        finally:
            composed.close()

    async def mail(self, customer: str, name: str, example: str, language: str) -> bytes:
        """An example mail of a template, octet for octet as it would leave.

        Args:
            customer: Whose mail it would be.
            name: Of the template; `default` is the shipped one.
            example: One of `mail_examples.EXAMPLES`.
            language: Of the mail.

        Raises:
            Refused: If there is no such template, or it cannot be filled in.
        """
        found = await self.find(customer, Kind.MAIL, name)
        picture = await self._first_page(language)

        def make() -> bytes:
            style = mail_template.read(found.content) if found.content else mail_template.MailTemplate()
            return mail_examples.mail_of(example, language, style, picture=picture)

        return await asyncio.to_thread(make)

    async def _first_page(self, language: str) -> bytes:
        """Page 1 of an example, as small as mails show it."""
        example = Example(language, "A4", "standard")
        made = await self._cover("html", shipped(SHIPPED[0]) or b"", example, thumbnail_px=THUMBNAIL_PX)
        try:
            return os.pread(made.thumbnail_fd, MAX_THUMBNAIL, 0) if made.thumbnail_fd is not None else b""
        finally:
            made.close()

    async def _letterhead(self, name: str, content: bytes) -> tuple[str, tuple[str, ...], int]:
        """What an overlay is, and that it has one page that can be rendered."""
        (await self._letterheads.render(name, content, "A4", "fine")).close()
        return next((form for start, form in _STARTS.items() if content.startswith(start)), "other"), (), 1

    async def _checked(self, customer: str, content: bytes, given: Sequence[str]) -> tuple[str, tuple[str, ...], int]:
        """What a cover is, the values that it needs, and its pages."""
        form = covers.format_by_content(content)
        needs = await self._needs(customer, form, content, given)
        made = await self._cover(form, content, Example(values={key: f"«{key}»" for key in needs}))
        made.close()
        return form, needs, len(made.pages)

    async def _needs(self, customer: str, form: str, content: bytes, given: Sequence[str]) -> tuple[str, ...]:
        """The names that somebody has to give a value; refused where nobody says that it is given."""
        template = await asyncio.to_thread(covers.read, form, content)
        needs = template.required() - known({})
        seat = self._seat
        settings = await seat.store.read(lambda conn: directory.effective(conn, seat.system, customer, ""))
        unknown = sorted(needs - set(given) - cover.given(settings["cover_values"]).keys())
        if unknown:
            named = ", ".join(unknown[: cover.MAX_NAMED]) + (", …" if len(unknown) > cover.MAX_NAMED else "")
            raise Refused(
                f"unknown {named}",
                public=f"Nobody gives a value for {named}. Say that recipients do, or mend the name.",
            )
        return tuple(sorted(needs))

    async def _cover(self, form: str, content: bytes, example: Example, *, thumbnail_px: int = 0) -> pages.Rendered:
        """A cover with example values, rendered; the caller closes it."""
        filled = await asyncio.to_thread(_filled, form, content, _facts(example))
        source = os.memfd_create("cover", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(source), "wb") as file:
                file.write(filled)
            charset = "utf-8" if form == "html" else None
            document = pages.Document(source, "cover page", pages.Kind(form), charset, pages.Origin.BODY, len(filled))
            options = pages.RenderOptions(
                pages.Resolution(example.resolution), pages.Paper(example.paper), thumbnail_px=thumbnail_px
            )
            rendered = await self._client.render([document], options)
        finally:
            os.close(source)
        if isinstance(rendered, pages.Refused):
            raise Refused(rendered.reason, public=rendered.public)
        return rendered


async def _mail(name: str, content: bytes) -> tuple[str, tuple[str, ...], int]:
    """What a mail template is, filled with every example."""
    if name == PLAIN_MAIL:
        raise Refused("reserved name", public=f"“{PLAIN_MAIL}” is the name of the shipped mails; choose another.")
    style = await asyncio.to_thread(mail_template.read, content)
    await asyncio.to_thread(mail_examples.try_out, style)
    return mail_template.format_of(content), (), 0


def _facts(example: Example) -> CoverFacts:
    facts = sample(example.language, example.paper, BODY_PAGES + 1)
    return replace(facts, properties={**facts.properties, **example.values})


def _filled(form: str, content: bytes, facts: CoverFacts) -> bytes:
    return covers.read(form, content).fill(values(facts))


def _shipped(name: str) -> Template:
    content = shipped(name) or b""
    return Template(EVERYBODY, Kind.COVER, name, "html", b"", "", len(content), 0.0, SHIPPED_BY)
