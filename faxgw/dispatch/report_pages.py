"""The pages that go with a status mail, made what the account wants them to be (docs/status-mails.md).

They lie in the spool as the TIFF file of the newest call. A PDF is made of it page by page, by the page processes, when
the mail leaves. Whatever becomes of the pages, the mail leaves: without them, or as TIFF, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from faxgw.dispatch.seat import Seat
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.errors import FaxError
from faxgw.fax.header import HeaderContext
from faxgw.fax.ports import EnclosedFile, Enclosure, Parcel
from faxgw.fax.reading import PageReading
from faxgw.fax.report import FaxPages, PagesTold
from faxgw.formats.report_payload import enclosed_in, pages_from_payload, report_from_payload, with_pages
from faxgw.store.errors import ObjectDamaged

log = logging.getLogger(__name__)

MAX_TRIES = 3
"""Tries of a mail in which a PDF is waited for; from then on the pages go as TIFF."""
MAX_PDF_PAGES = 500
"""Pages of which a PDF is made: the most that a fax may have."""
MAX_PAGES_READ = 30
"""Pages of a fax whose text is read, a second or two of a processor each; of a longer one the PDF has no text."""
_TESSERACT = {"en": "eng", "fr": "fra", "de": "deu"}
"""Tesseract's names of the languages that reports are in."""


class ReportPages:
    """Opens and converts the pages of status mails.

    Args:
        seat: The node.
        client: The page processes; None: pages go as TIFF.
    """

    def __init__(self, seat: Seat, client: PageClient | None = None) -> None:
        self._seat = seat
        self._client = client

    @contextlib.asynccontextmanager
    async def enclosed(self, parcel: Parcel) -> AsyncIterator[Parcel]:
        """A status mail's parcel with its pages, open until the end of the context.

        Raises:
            FaxError: If no PDF can be made now; the parcel is to come again.
        """
        told, found = pages_from_payload(parcel.payload), enclosed_in(parcel.payload)
        opened: list[Enclosure] = []
        language = report_from_payload(parcel.payload).language if found else ""
        try:
            for document in found:
                enclosure, told = await self._one(document, told, language, last=parcel.tries >= MAX_TRIES)
                opened += [] if enclosure is None else [enclosure]
            yield replace(parcel, payload=with_pages(parcel.payload, told), enclosures=tuple(opened))
        finally:
            for enclosure in opened:
                os.close(enclosure.descriptor)

    async def _one(
        self, document: EnclosedFile, told: FaxPages, language: str, *, last: bool
    ) -> tuple[Enclosure | None, FaxPages]:
        file = document.file
        try:
            descriptor = await self._seat.files.open_read(file)
        except ObjectDamaged as exc:
            log.error("pages of a report lost", extra={"event": "report.pages", "file": document.name, "why": str(exc)})
            return None, replace(told, told=PagesTold.GONE)
        as_it_is = Enclosure(document.name, document.content_type, descriptor, file.sha256, file.size)
        if told.format == "tiff":
            return as_it_is, told
        try:
            made, format_made = await self._pdf(descriptor, told, document.name, language)
        except FaxError as exc:
            if exc.temporary and not last:
                os.close(descriptor)
                raise
            log.warning("no PDF of a report's pages", extra={"event": "report.pdf", "why": str(exc)})
            return as_it_is, replace(told, format="tiff", wanted=told.format)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        wanted = "" if format_made == told.format else told.format
        return made, replace(told, format=format_made, wanted=wanted)

    async def _pdf(self, descriptor: int, told: FaxPages, name: str, language: str) -> tuple[Enclosure, str]:
        """The pages as PDF, and which kind of PDF it has become."""
        if self._client is None or not 0 < told.count <= MAX_PDF_PAGES:
            raise FaxError("no page process for a PDF", temporary=False)
        now = datetime.fromtimestamp(self._seat.clock(), UTC)
        single: list[pages.Composed] = []
        try:
            for page in range(1, told.count + 1):
                options = pages.ComposeOptions(HeaderContext(now), first_page=page, last_page=page)
                single.append(await self._client.compose(descriptor, options))
            read = await self._read(self._client, single, language) if told.format == "pdf_ocr" else ()
            made = await self._client.pdf(
                [each.fd for each in single],
                name.rpartition(".")[0],
                now,
                searchable=bool(read),
                readings=read,
            )
        finally:
            for each in single:
                each.close()
        try:
            size, digest = await asyncio.to_thread(_measured, made.fd)
            kept = os.dup(made.fd)
        finally:
            made.close()
        enclosure = Enclosure(name.rpartition(".")[0] + ".pdf", "application/pdf", kept, digest, size)
        return enclosure, "pdf_ocr" if read else "pdf"

    async def _read(self, client: PageClient, single: Sequence[pages.Composed], language: str) -> Sequence[PageReading]:
        """What stands on every page; nothing where one cannot be read: half a text is found by nobody who needs it."""
        if len(single) > MAX_PAGES_READ:
            return ()
        readings = []
        for number, each in enumerate(single, 1):
            found = await client.read(each.fd, pages.ReadOptions(number, (_TESSERACT.get(language, "eng"),)))
            if isinstance(found, pages.Refused):
                log.warning("a report's page was not read", extra={"event": "report.read", "why": found.reason.value})
                return ()
            readings.append(found)
        return readings


def _measured(descriptor: int) -> tuple[int, str]:
    size = os.fstat(descriptor).st_size
    return size, hashlib.sha256(os.pread(descriptor, size, 0)).hexdigest()
