"""Requests to the page processes about received faxes: reading a page, making the documents (part of `PageClient`)."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from faxgw.document import pdf_out, protocol
from faxgw.document.faults import PagesDamaged, PagesUnavailable
from faxgw.document.places import Places
from faxgw.document.types import (
    Composed,
    Merged,
    PageSettings,
    PdfMade,
    PdfOptions,
    Progress,
    ReadOptions,
    Refused,
    Rendered,
    Signed,
    Sliced,
    TiffMade,
    TiffOptions,
    TiffPart,
    Walked,
    WriteOptions,
    Written,
)
from faxgw.fax.reading import PageReading, bounded, to_json

T = TypeVar("T", Walked, Rendered, Composed, PdfMade, Merged, Sliced, Signed, PageReading, TiffMade, Written)


class ReceivedRequests(abc.ABC):
    """What is asked about received faxes."""

    settings: PageSettings
    _compositions: Places
    _readings: Places

    @abc.abstractmethod
    async def _request(
        self,
        fields: protocol.Message,
        descriptors: Sequence[int],
        seconds: float,
        expected: type[T],
        progress: Callable[[Progress], None] | None,
    ) -> T | Refused:
        """One request and its answer."""

    async def pdf(
        self,
        pages: Sequence[int],
        title: str,
        created: datetime,
        *,
        thumbnail_px: int = 0,
        archival: bool = False,
        searchable: bool = False,
        upright: bool = False,
        readings: Sequence[PageReading] = (),
    ) -> PdfMade:
        """Make the PDF of a received fax.

        Args:
            pages: A TIFF file a page, in order, readable from the start; stay the caller's.
            title: Title of the document.
            created: Its date, with a time zone.
            thumbnail_px: Width of a PNG of page 1; 0: none.
            archival: A PDF/A-2b.
            searchable: With the text that was read.
            upright: Viewers turn pages that lie the wrong way round.
            readings: What was read, for text and turns.

        Raises:
            PagesDamaged: If a page cannot be read, or all of them are too large.
            PagesUnavailable: Try again later.
        """
        limits = self.settings.limits
        async with self._compositions.one():
            whole, parts = await asyncio.to_thread(_joined, pages, limits.output)
            opened = [whole]
            try:
                options = PdfOptions(parts, title, created, thumbnail_px, archival, searchable, upright)
                if readings:
                    opened.append(await asyncio.to_thread(_as_file, readings))
                fields: protocol.Message = {"type": "pdf", "options": protocol.plain(options)}
                made = await self._request(fields, opened, limits.compose_seconds, PdfMade, None)
            finally:
                _close(opened)
        if isinstance(made, Refused):
            raise PagesDamaged(made.public)
        await asyncio.to_thread(_check_pdf, made, len(pages))
        return made

    async def tiff(
        self, pages: Sequence[int], *, recode: bool = False, separate: bool = False, turns: Sequence[int] = ()
    ) -> TiffMade:
        """Make the TIFF of a received fax, or one for each page.

        Args:
            pages: A TIFF file a page, in order, readable from the start; stay the caller's.
            recode: Other codings than G4 are coded again.
            separate: A file for each page.
            turns: Degrees clockwise by which each page is turned; empty: none.

        Raises:
            PagesDamaged: If a page cannot be read, or all of them are too large.
            PagesUnavailable: Try again later.
        """
        limits = self.settings.limits
        async with self._compositions.one():
            whole, parts = await asyncio.to_thread(_joined, pages, limits.output)
            try:
                options = TiffOptions(parts, recode, separate, tuple(turns))
                fields: protocol.Message = {"type": "tiff", "options": protocol.plain(options)}
                made = await self._request(fields, (whole,), limits.compose_seconds, TiffMade, None)
            finally:
                os.close(whole)
        if isinstance(made, Refused):
            raise PagesDamaged(made.public)
        if len(made.parts) != (len(pages) if separate else 1) or not await asyncio.to_thread(_are_tiffs, made):
            made.close()
            raise PagesUnavailable("the page process made TIFF files that differ from their facts")
        return made

    async def write(self, readings: Sequence[PageReading], options: WriteOptions) -> Written:
        """Write a file of what was read.

        Args:
            readings: What was read.
            options: Format, and facts of the fax.

        Raises:
            PagesDamaged: If there is no such format.
            PagesUnavailable: Try again later.
        """
        async with self._compositions.one():
            source = await asyncio.to_thread(_as_file, readings)
            try:
                fields: protocol.Message = {"type": "write", "options": protocol.plain(options)}
                made = await self._request(fields, (source,), self.settings.limits.compose_seconds, Written, None)
            finally:
                os.close(source)
        if isinstance(made, Refused):
            raise PagesDamaged(made.public)
        return made

    async def read(self, page_fd: int, options: ReadOptions) -> PageReading | Refused:
        """Read a received page.

        Args:
            page_fd: Its TIFF file, readable from the start; stays the caller's.
            options: What is to be read.

        Returns:
            What was read, bounded; Refused when the page cannot be read, or takes too much.

        Raises:
            PagesUnavailable: Try again later.
        """
        fields: protocol.Message = {"type": "read", "options": protocol.plain(options)}
        async with self._readings.one():
            found = await self._request(fields, (page_fd,), self.settings.limits.read_seconds, PageReading, None)
        if isinstance(found, PageReading):
            if found.page != options.page:
                raise PagesUnavailable("the page process read another page")
            found = bounded(found)  # a page process's word is not taken for it
        return found


def _joined(pages: Sequence[int], limit: int) -> tuple[int, tuple[TiffPart, ...]]:
    """Files one behind the other in memory, at most `limit` octets; blocking.

    Raises:
        PagesDamaged: If they are none or too large.
        PagesUnavailable: If there is no memory.
    """
    if not pages or sum(os.fstat(page).st_size for page in pages) > limit:
        raise PagesDamaged("no pages, or too large for one document")
    whole, parts, position = os.memfd_create("received", os.MFD_CLOEXEC), [], 0
    try:
        for page in pages:
            size, done = os.fstat(page).st_size, 0
            while done < size and (sent := os.sendfile(whole, page, done, size - done)):
                done += sent
            parts.append(TiffPart(position, done))
            position += done
    except OSError as exc:
        os.close(whole)
        raise PagesUnavailable(f"no memory for the pages: {exc}") from exc
    return whole, tuple(parts)


def _as_file(readings: Sequence[PageReading]) -> int:
    """What was read as JSON in memory; blocking.

    Raises:
        PagesUnavailable: If there is no memory.
    """
    octets = json.dumps([to_json(each) for each in readings]).encode()
    file = os.memfd_create("readings", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(file), "wb") as out:
            out.write(octets)
    except OSError as exc:
        os.close(file)
        raise PagesUnavailable(f"no memory for what was read: {exc}") from exc
    return file


def _are_tiffs(made: TiffMade) -> bool:
    """Whether each part lies in the file and begins like a TIFF; blocking."""
    size = os.fstat(made.fd).st_size
    return all(
        0 <= part.offset < part.offset + part.octets <= size and os.pread(made.fd, 4, part.offset) == b"II*\0"
        for part in made.parts
    )


def _check_pdf(made: PdfMade, pages: int) -> None:
    """Read a PDF's frame: a converter's word is not taken for it.

    Raises:
        PagesUnavailable: If it is not what the facts say.
    """
    try:
        found = [(*page.points, page.width, page.rows, page.octets) for page in pdf_out.read(made.fd)]
    except pdf_out.BadPdf as exc:
        made.close()
        raise PagesUnavailable(f"the page process made a bad PDF: {exc}") from exc
    if len(found) != pages or found != [(p.width_pt, p.height_pt, p.width, p.rows, p.octets) for p in made.pages]:
        made.close()
        raise PagesUnavailable("the page process made a PDF that differs from its facts")


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
