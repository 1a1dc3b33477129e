"""Documents of received faxes, made when a delivery wants them and kept for the next (implements
`fax.received_document.ReceivedDocuments`).

The page processes make them of the stored pages and of what was read; each file is durable and named by a row before
anybody hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from weakref import WeakValueDictionary
from zoneinfo import ZoneInfo

from faxgw.dispatch.seat import Seat
from faxgw.document.client import PageClient
from faxgw.document.types import TiffMade, WriteOptions
from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.received_document import ARCHIVAL, FACTS, PDFS, SEARCHABLE, DocumentOptions, Format, variant
from faxgw.store import made
from faxgw.store.errors import CommitUncertain, StoreError
from faxgw.store.files import Kind
from faxgw.store.made import Source

log = logging.getLogger(__name__)

_PLAIN = DocumentOptions()


class Documents:
    """Makes documents.

    Args:
        seat: The node.
        client: The page processes.
    """

    def __init__(self, seat: Seat, client: PageClient) -> None:
        self._seat = seat
        self._client = client
        self._making: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def make(self, reception: str, form: Format, options: DocumentOptions = _PLAIN) -> tuple[EnclosedFile, ...]:
        """See the port."""
        name = variant(form, options)
        lock = self._making.setdefault((reception, name), asyncio.Lock())
        async with lock:
            kept = await self._seat.store.read(lambda conn: made.files(conn, reception, name))
            if kept:
                return kept
            source = await self._seat.store.read(lambda conn: made.source(conn, reception))
            turns = _turns(source) if options.upright else ()
            if form is Format.TIFF_PAGES and not any(turns):
                return _named(source, form, source.pages)
            return await self._keep(source, form, name, await self._stored(source, form, options, turns))

    async def _stored(
        self, source: Source, form: Format, options: DocumentOptions, turns: Sequence[int]
    ) -> tuple[StoredFile, ...]:
        """Make the files and store them; no row names them yet."""
        if form not in PDFS and not FACTS[form].content_type.startswith("image/"):
            written = await self._client.write(source.readings.read, _facts(source, form))
            try:
                return (await self._seat.files.adopt_fd(written.fd, Kind.OBJECT),)
            finally:
                written.close()
        opened: list[int] = []
        try:
            for page in source.pages:
                opened.append(await self._seat.files.open_read(page))
            if form in PDFS:
                return (await self._pdf(source, form, options, opened),)
            separate = form is Format.TIFF_PAGES
            tiff = await self._client.tiff(opened, recode=form is Format.TIFF_G4, separate=separate, turns=turns)
            try:
                return await self._parts(tiff)
            finally:
                tiff.close()
        finally:
            for descriptor in opened:
                os.close(descriptor)

    async def _pdf(self, source: Source, form: Format, options: DocumentOptions, opened: Sequence[int]) -> StoredFile:
        pdf = await self._client.pdf(
            opened,
            _title(source),
            datetime.fromtimestamp(source.started_at, ZoneInfo(source.time_zone)),
            archival=form in ARCHIVAL,
            searchable=form in SEARCHABLE,
            upright=options.upright,
            readings=source.readings.read if form in SEARCHABLE or options.upright else (),
        )
        try:
            return await self._seat.files.adopt_fd(pdf.fd, Kind.OBJECT)
        finally:
            pdf.close()

    async def _parts(self, tiff: TiffMade) -> tuple[StoredFile, ...]:
        stored = []
        for part in tiff.parts:
            one = await asyncio.to_thread(_cut, tiff.fd, part.offset, part.octets)
            try:
                stored.append(await self._seat.files.adopt_fd(one, Kind.OBJECT))
            finally:
                os.close(one)
        return tuple(stored)

    async def _keep(
        self, source: Source, form: Format, name: str, stored: tuple[StoredFile, ...]
    ) -> tuple[EnclosedFile, ...]:
        """Name the files by rows; what somebody else named first is what counts."""
        seat, files = self._seat, _named(source, form, stored)
        try:
            kept = await seat.store.run(lambda conn: made.keep(conn, source.reception, name, files, now=seat.clock()))
        except CommitUncertain:  # rows may name the files: they stay, or the sweep takes them
            raise
        except StoreError:
            await self._drop(stored)
            raise
        if kept != files:
            await self._drop(stored)
        log.info(
            "document made",
            extra={
                "event": "reception.document",
                "reception": source.reception,
                "variant": name,
                "files": len(kept),
                "octets": sum(one.file.size for one in kept),
            },
        )
        return kept

    async def _drop(self, stored: Sequence[StoredFile]) -> None:
        for file in stored:
            with contextlib.suppress(StoreError, OSError):  # what stays is swept at the next start
                await self._seat.files.remove(file.key)


def stem(source: Source) -> str:
    """`fax-20261121-211000-from-498955500`: when, and from whom, as far as it is a number."""
    when = datetime.fromtimestamp(source.started_at, ZoneInfo(source.time_zone))
    digits = "".join(c for c in (source.caller or source.ident) if c.isascii() and c.isdigit())[:20]
    return f"fax-{when:%Y%m%d-%H%M%S}" + (f"-from-{digits}" if digits else "")


def _named(source: Source, form: Format, stored: Sequence[StoredFile]) -> tuple[EnclosedFile, ...]:
    facts, name = FACTS[form], stem(source)
    if not facts.many:
        return tuple(EnclosedFile(f"{name}{facts.extension}", facts.content_type, file) for file in stored)
    return tuple(
        EnclosedFile(f"{name}-{page}{facts.extension}", facts.content_type, file) for page, file in enumerate(stored, 1)
    )


def _turns(source: Source) -> tuple[int, ...]:
    turned = {reading.page: reading.turned for reading in source.readings.read}
    return tuple(turned.get(page, 0) for page in range(1, len(source.pages) + 1))


def _title(source: Source) -> str:
    return f"Fax {source.ident or source.caller or ''} > {source.number}"


def _facts(source: Source, form: Format) -> WriteOptions:
    return WriteOptions(
        form=form,
        reception=source.reception,
        title=_title(source),
        number=source.number,
        caller=source.caller,
        ident=source.ident,
        received_at=datetime.fromtimestamp(source.received_at, UTC).astimezone(ZoneInfo(source.time_zone)),
        pages=len(source.pages),
        complete=source.complete,
    )


def _cut(fd: int, offset: int, octets: int) -> int:
    """A part of a file as a file in memory; blocking."""
    part = os.memfd_create("part", os.MFD_CLOEXEC)
    done = 0
    while done < octets and (sent := os.sendfile(part, fd, offset + done, octets - done)):
        done += sent
    return part
