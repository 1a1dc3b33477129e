"""What a fax consists of: the documents as they were handed in, its pages as they go over the line or came from it.

Pages of a fax that is sent are those of its newest call, header line and all; what a received page looks like is its
own data. A picture is one bit a pixel, square pixels.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Literal, Protocol  # Any: rows
from urllib.parse import quote

from aiohttp import web

from faxgw.api import accesses
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground
from faxgw.api.v1.faxes import READ, find
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import Answer, Moment, Query, shown
from faxgw.document.types import Composed, ComposeOptions, PdfMade
from faxgw.fax.access import Scope
from faxgw.fax.errors import Refused
from faxgw.fax.header import HeaderContext
from faxgw.fax.ports import StoredFile
from faxgw.fax.preview import Preview, Previews
from faxgw.store import fax_book, sources
from faxgw.store.fax_book import BookedFax

PICTURE_PX = 600
"""Width of the picture of a received page."""
PREVIEW_WITHIN_S = 60.0
"""Seconds in which a preview is made, or given up."""
_CHUNK = 262_144
"""Octets of a file that are read at once."""
_TYPES = {"png": "image/png", "tiff": "image/tiff", "pdf": "application/pdf"}
_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


class PageTools(Protocol):
    """What is needed of the page processes (`document.client.PageClient`)."""

    async def compose(self, body_fd: int, options: ComposeOptions) -> Composed:
        """A range of pages of a file."""
        ...

    async def pdf(self, pages: Sequence[int], title: str, created: datetime, *, thumbnail_px: int = 0) -> PdfMade:
        """Pages as PDF."""
        ...


class RepairedPage(Answer):
    """A page of a document that was faxed although some rows of it could not be read."""

    page: int
    rows: int
    """Damaged rows that were repaired; more than one in a hundred, and the document is refused."""


class DocumentLine(Answer):
    """A document as it was handed in."""

    position: int
    name: str
    size: int
    """Octets."""
    sha256: str
    kind: str | None
    """What it is, where that is known."""
    repaired: list[RepairedPage]
    """Pages with damaged rows, once the pages are made."""


class Documents(Answer):
    """The documents of a fax."""

    documents: list[DocumentLine]
    pending: int
    """Documents that are still being fetched."""


class PageLine(Answer):
    """A page."""

    page: int
    confirmed: bool
    """The far end has confirmed it, or we have."""
    rows: int | None
    width: int | None
    octets: int | None


class Pages(Answer):
    """The pages of a fax."""

    pages: list[PageLine]


class ExpectedCost(Answer):
    """What a call is expected to take."""

    pages: int
    octets: int
    rate: int
    """bit/s."""
    seconds: float
    billed_pages: int
    billed_units: int
    known: str
    """What the rate rests on."""


class PreviewPage(Answer):
    """A page of a preview."""

    page: int
    rows: int
    octets: int
    """As coded."""
    seconds: float
    """On the line, at the expected rate."""


class PreviewShown(Answer):
    """What a fax looks like and will take; pictures: `GET /faxes/{fax}/pages/{page}`."""

    attempt: str | None
    """The call that these pages went out with; null: it is how they would go out now."""
    composed_at: Moment
    """The time that header lines print."""
    resolution: Literal["standard", "fine", "superfine"]
    first_page: int
    """First page that the call sends; those before it are confirmed."""
    expected: ExpectedCost
    pages: list[PreviewPage]
    """At most 50."""


class PageQuery(Query):
    """How a page is wanted."""

    format: Literal["png", "tiff", "pdf"] = "png"


class FileQuery(Query):
    """How a whole fax is wanted."""

    format: Literal["pdf", "tiff"] = "pdf"


class Contents:
    """Serves documents and pages.

    Args:
        ground: Store and files.
        pages: The page processes.
        previews: Shows faxes that were not called yet, too.
    """

    def __init__(self, ground: Ground, pages: PageTools, previews: Previews) -> None:
        self._ground = ground
        self._previews = previews
        self._pages = pages

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        media = tuple(_TYPES.values())
        return (
            Operation(
                "listDocuments", "GET", "/faxes/{fax}/documents", "Faxes", "The documents as they were handed in",
                self.documents, (Scope.FAXES_READ,), (Outcome(200, "The documents, in order.", Documents),),
                problems=("not_outbound",),
            ),
            Operation(
                "getDocument", "GET", "/faxes/{fax}/documents/{position}", "Faxes", "Fetch a document",
                self.document, (Scope.FAXES_READ,),
                (Outcome(200, "Its octets, as they came.", media=("application/octet-stream",)),),
                problems=("not_outbound",),
            ),
            Operation(
                "listPages", "GET", "/faxes/{fax}/pages", "Faxes", "The pages of a fax", self.list, READ,
                (Outcome(200, "Its pages.", Pages),),
            ),
            Operation(
                "previewFax", "GET", "/faxes/{fax}/preview", "Faxes", "What a fax looks like and will take",
                self.preview, (Scope.FAXES_READ,), (Outcome(200, "The preview.", PreviewShown),),
                doc="Of a fax that was called, what went over the line; of another what would go out now, header "
                "line, cover and letterhead included.",
                problems=("not_ready", "not_outbound"),
            ),
            Operation(
                "getPage", "GET", "/faxes/{fax}/pages/{page}", "Faxes", "A page as picture, TIFF or PDF", self.page,
                READ, (Outcome(200, "The page, as it went over the line.", media=media),),
                query=PageQuery, problems=("not_ready",),
            ),
            Operation(
                "getFile", "GET", "/faxes/{fax}/file", "Faxes", "The whole fax as PDF or TIFF", self.file, READ,
                (Outcome(200, "All its pages.", media=("application/pdf", "image/tiff")),),
                query=FileQuery, problems=("not_ready",),
            ),
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------- documents

    async def documents(self, call: Call) -> Reply:
        """GET /faxes/{fax}/documents."""
        rows, pending = await self._documents(call)
        job = rows[0].job if rows else ""
        damaged = await self._ground.store.read(lambda conn: sources.damaged_pages(conn, job))
        lines = [
            DocumentLine(
                position=row.position,
                name=row.name,
                size=row.size,
                sha256=row.sha256,
                kind=row.kind,
                repaired=[RepairedPage(page=page, rows=bad) for at, page, bad in damaged if at == index],
            )
            for index, row in enumerate(rows)
        ]
        return Reply(Documents(documents=lines, pending=pending))

    async def document(self, call: Call) -> web.StreamResponse:
        """GET /faxes/{fax}/documents/{position}."""
        rows, _pending = await self._documents(call)
        wanted = int(call.path["position"])
        row = next((row for row in rows if row.position == wanted), None)
        if row is None:
            raise Refusal.missing()
        descriptor = await self._ground.files.open_read(StoredFile(row.key, row.sha256, row.size))
        with ExitStack() as stack:
            stack.callback(os.close, descriptor)
            await self._record(call, accesses.DOCUMENT, await find(self._ground, call), position=wanted)
            return await _sent(call, descriptor, "application/octet-stream", row.name, attached=True)

    async def _documents(self, call: Call) -> tuple[Sequence[Any], int]:
        fax = await find(self._ground, call)
        if fax.received:
            raise of_code("not_outbound", "A received fax has pages and no documents.")
        read = self._ground.store.read
        return (
            await read(lambda conn: fax_book.documents(conn, fax.job)),
            await read(lambda conn: fax_book.pending_documents(conn, fax.job)),
        )

    # -------------------------------------------------------------------------------------------------------- pages

    async def list(self, call: Call) -> Reply:
        """GET /faxes/{fax}/pages."""
        fax = await find(self._ground, call)
        if fax.received:
            rows = await self._ground.store.read(lambda conn: fax_book.received_pages(conn, fax.id))
            return Reply(
                Pages(
                    pages=[
                        PageLine(page=r.page, confirmed=r.confirmed, rows=r.rows, width=r.width, octets=r.size)
                        for r in rows
                    ]
                )
            )
        return Reply(
            Pages(
                pages=[
                    PageLine(page=page, confirmed=page <= fax.confirmed, rows=None, width=None, octets=None)
                    for page in range(1, fax.pages + 1)
                ]
            )
        )

    async def page(self, call: Call) -> web.StreamResponse:
        """GET /faxes/{fax}/pages/{page}."""
        fax, page = await find(self._ground, call), int(call.path["page"])
        query: PageQuery = call.query
        if page > fax.pages:
            raise Refusal.missing()
        await self._record(call, accesses.PAGES, fax, page=page)
        if query.format == "png" and not fax.received:
            found = await self._preview(fax, page)
            return web.Response(
                body=found.pages[0].png, content_type="image/png", headers=_fields(f"{fax.id}-{page}.png")
            )
        with ExitStack() as stack:
            descriptor, title = await self._one_page(stack, fax, page), f"{fax.id} page {page}"
            if query.format == "tiff":
                return await _sent(call, descriptor, "image/tiff", f"{fax.id}-{page}.tif")
            created = datetime.fromtimestamp(fax.created_at, UTC)
            if query.format == "pdf":
                made = await self._pages.pdf([descriptor], title, created)
                stack.callback(made.close)
                return await _sent(call, made.fd, "application/pdf", f"{fax.id}-{page}.pdf")
            made = await self._pages.pdf([descriptor], fax.id, created, thumbnail_px=PICTURE_PX)
            stack.callback(made.close)
            assert made.thumbnail_fd is not None  # asked for
            return await _sent(call, made.thumbnail_fd, "image/png", f"{fax.id}-{page}.png")

    async def preview(self, call: Call) -> Reply:
        """GET /faxes/{fax}/preview."""
        fax = await find(self._ground, call)
        if fax.received:
            raise of_code("not_outbound", "A received fax has nothing to preview.")
        found = await self._preview(fax, None)
        expected = found.expected
        cost = ExpectedCost(
            pages=expected.pages,
            octets=expected.octets,
            rate=expected.rate,
            seconds=round(expected.seconds, 1),
            billed_pages=expected.billed_pages,
            billed_units=expected.billed_units,
            known=found.known,
        )
        return Reply(
            PreviewShown(
                attempt=found.attempt or None,
                composed_at=shown(found.composed_at),
                resolution=found.resolution.value,
                first_page=found.first,
                expected=cost,
                pages=[
                    PreviewPage(page=p.page, rows=p.rows, octets=p.octets, seconds=round(p.seconds, 1))
                    for p in found.pages
                ],
            )
        )

    async def _record(self, call: Call, what: str, fax: BookedFax, **data: object) -> None:
        """Write down who reads what, before it leaves."""
        who, ground = call.caller, self._ground
        await accesses.record(
            ground.store,
            what,
            fax.id,
            who=who.name,
            way="api",
            now=ground.clock(),
            customer=who.customer,
            data=data,
        )

    async def _preview(self, fax: BookedFax, page: int | None) -> Preview:
        """A page with its picture, or what is known of all of them."""
        try:
            async with asyncio.timeout(PREVIEW_WITHIN_S):
                return await self._previews.preview(fax.id, page, pictures=page is not None)
        except Refused as exc:
            raise _not_ready(exc.public) from exc
        except TimeoutError as exc:
            raise _not_ready("The preview was not made in time.") from exc

    async def file(self, call: Call) -> web.StreamResponse:
        """GET /faxes/{fax}/file."""
        fax = await find(self._ground, call)
        query: FileQuery = call.query
        if not fax.pages:
            raise _not_ready("The fax has no pages yet.")
        await self._record(call, accesses.DOCUMENT, fax)
        with ExitStack() as stack:
            if query.format == "tiff":
                descriptor = await self._whole(stack, fax)
                return await _sent(call, descriptor, "image/tiff", f"{fax.id}.tif")
            if fax.received:
                row = await self._ground.store.read(lambda conn: fax_book.reception(conn, fax.id))
                if row.document_key is not None:
                    kept = StoredFile(row.document_key, row.document_sha256, row.document_size)
                    descriptor = await self._ground.files.open_read(kept)
                    stack.callback(os.close, descriptor)
                    return await _sent(call, descriptor, "application/pdf", f"{fax.id}.pdf")
            parts = [await self._one_page(stack, fax, page) for page in range(1, fax.pages + 1)]
            made = await self._pages.pdf(parts, fax.id, datetime.fromtimestamp(fax.created_at, UTC))
            stack.callback(made.close)
            return await _sent(call, made.fd, "application/pdf", f"{fax.id}.pdf")

    async def _one_page(self, stack: ExitStack, fax: BookedFax, page: int) -> int:
        """A TIFF file of one page; closed by the stack."""
        if fax.received:
            rows = await self._ground.store.read(lambda conn: fax_book.received_pages(conn, fax.id))
            row = next((row for row in rows if row.page == page), None)
            if row is None:
                raise Refusal.missing()
            descriptor = await self._ground.files.open_read(StoredFile(row.key, row.sha256, row.size))
            stack.callback(os.close, descriptor)
            return descriptor
        whole = await self._composed(stack, fax, page)
        context = _plain(datetime.fromtimestamp(fax.created_at, UTC))
        composed = await self._pages.compose(whole, ComposeOptions(context, first_page=page, last_page=page))
        stack.callback(composed.close)
        return composed.fd

    async def _whole(self, stack: ExitStack, fax: BookedFax) -> int:
        """A TIFF file of all pages; closed by the stack."""
        if fax.received:
            raise _not_ready("A received fax as one TIFF file is not kept; its pages are, and the PDF.")
        found = await self._ground.store.read(lambda conn: fax_book.composed_files(conn, fax.id))
        if not found:
            raise _not_ready("The pages of this fax are composed when it is called.")
        descriptor = await self._ground.files.open_read(found[0][0])
        stack.callback(os.close, descriptor)
        return descriptor

    async def _composed(self, stack: ExitStack, fax: BookedFax, page: int) -> int:
        """The file of the newest call that was to send a page; like that of every call it has all pages of the fax."""
        found = await self._ground.store.read(lambda conn: fax_book.composed_files(conn, fax.id))
        for file, first, last in found:
            if first <= page <= last:
                descriptor = await self._ground.files.open_read(file)
                stack.callback(os.close, descriptor)
                return descriptor
        raise _not_ready("The pages of this fax are composed when it is called.")


def _not_ready(text: str) -> Refusal:
    return of_code("not_ready", text, headers={"Retry-After": "10"})


def _plain(when: datetime) -> HeaderContext:
    """Of a composition without a header line: the file has it already."""
    return HeaderContext(when)


def _fields(name: str, *, attached: bool = False) -> dict[str, str]:
    """Header fields of a file: nothing that a browser may run."""
    how = "attachment" if attached else "inline"
    return {
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": _POLICY,
        "Cache-Control": "private, no-cache",
    }


async def _sent(call: Call, descriptor: int, media: str, name: str, *, attached: bool = False) -> web.StreamResponse:
    """A file as answer, in bounded memory."""
    size = os.fstat(descriptor).st_size
    headers = {"Content-Type": media, "Content-Length": str(size), **_fields(name, attached=attached)}
    if call.request.method == "HEAD":
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    await response.prepare(call.request)
    for start in range(0, size, _CHUNK):
        await response.write(await asyncio.to_thread(os.pread, descriptor, _CHUNK, start))
    await response.write_eof()
    return response
