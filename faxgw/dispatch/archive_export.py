"""The archive as a ZIP file, streamed: documents, metadata as JSON lines and CSV, and a list of hashes (features H1).

    documents/<id>.pdf, documents/<id>.tif    each under the id of its fax
    metadata.jsonl, metadata.csv               one line per fax
    SHA256SUMS                                 as sha256sum(1) reads it

No more than a chunk of a document and a page of rows is in memory. Every fax in it is a record of the audit, committed
before its octets leave. A document that is missing or damaged is named in the metadata; the others are exported.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any  # JSON

from sqlalchemy import Connection

from faxgw.dispatch.seat import Seat
from faxgw.fax.ports import StoredFile
from faxgw.store import archive_book, audit
from faxgw.store.archive_book import Cursor, Found, Wanted
from faxgw.store.errors import ObjectDamaged

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
"""Octets of a document read and sent at a time."""
PAGE = 50
"""Faxes looked up, and recorded in the audit, at a time: some 40 ms."""
IN_MEMORY = 4 * 2**20
"""Octets of metadata in memory; the rest goes to a temporary file."""
COLUMNS = (
    *("id", "direction", "customer", "at", "number", "caller", "display", "ident", "state", "cause", "pages", "dials"),
    *("job", "user", "owner", "subject", "reference", "documents", "missing"),
)
"""Columns of metadata.csv."""
_DATE = (1980, 1, 1, 0, 0, 0)


class ArchiveExport:
    """Exports.

    Args:
        seat: The node.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def stream(self, wanted: Wanted, who: str, way: str) -> AsyncIterator[bytes]:
        """The file, in pieces.

        Args:
            wanted: What is exported.
            who: By whom, for the audit.
            way: By which interface.

        Raises:
            StoreError: If the database fails; what has left is no whole file then.
        """
        out = _Pieces()
        with (
            zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file,
            tempfile.SpooledTemporaryFile(IN_MEMORY) as lines,
            tempfile.SpooledTemporaryFile(IN_MEMORY) as table,
            tempfile.SpooledTemporaryFile(IN_MEMORY) as sums,
        ):
            table.write((",".join(COLUMNS) + "\r\n").encode())
            after: Cursor = (0.0, "")
            while found := await self._seat.store.run(partial(self._page, wanted, after, who, way)):
                for one in found:
                    names, missing = list[str](), list[str]()
                    for name, stored in one.documents:
                        digest = hashlib.sha256()
                        if (descriptor := await self._open(stored)) is None:
                            missing.append(name)
                            continue
                        with os.fdopen(descriptor, "rb") as source, file.open(_entry(f"documents/{name}"), "w") as into:
                            while data := await asyncio.to_thread(source.read, CHUNK):
                                into.write(data)
                                digest.update(data)
                                yield out.take()
                        names.append(name)
                        sums.write(f"{digest.hexdigest()}  documents/{name}\n".encode())
                    facts = _facts(one, names, missing)
                    lines.write(json.dumps(facts, ensure_ascii=False).encode() + b"\n")
                    table.write(_line(facts))
                after = archive_book.pages(found)
            for name, content in (("metadata.jsonl", lines), ("metadata.csv", table), ("SHA256SUMS", sums)):
                content.seek(0)
                digest = hashlib.sha256()
                with file.open(_entry(name), "w") as into:
                    while data := content.read(CHUNK):
                        into.write(data)
                        digest.update(data)
                        yield out.take()
                if content is not sums:
                    sums.seek(0, os.SEEK_END)
                    sums.write(f"{digest.hexdigest()}  {name}\n".encode())
        yield out.take()

    def _page(self, wanted: Wanted, after: Cursor, who: str, way: str, conn: Connection) -> Sequence[Found]:
        found = archive_book.search(conn, wanted, after=after, limit=PAGE)
        for one in found:
            audit.write(
                conn, "document.exported", one.id, who=who, way=way, now=self._seat.clock(), customer=one.customer
            )
        return found

    async def _open(self, stored: StoredFile) -> int | None:
        try:
            return await self._seat.files.open_read(stored)
        except ObjectDamaged as exc:
            log.error("archived document damaged", extra={"event": "archive.damaged", "why": str(exc)})
            return None


class _Pieces(io.RawIOBase):
    """Takes what the ZIP writer writes, until it is fetched; cannot seek, so the writer streams."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # Any: whatever has a buffer
        self._parts += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        found = bytes(self._parts)
        self._parts.clear()
        return found


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o600 << 16
    entry.flag_bits |= 0x800  # UTF-8 names
    return entry


def _facts(one: Found, names: Sequence[str], missing: Sequence[str]) -> dict[str, Any]:
    facts = {"id": one.id, "direction": one.direction, "customer": one.customer, **one.facts}
    for key in ("finished_at", "ended_at", "purge_at"):
        if facts.get(key):
            facts[key] = _time(facts[key])
    return {**facts, "at": _time(one.at), "documents": list(names), "missing": list(missing)}


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _line(facts: dict[str, Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow([_cell(facts.get(column, "")) for column in COLUMNS])
    return out.getvalue().encode()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula, whoever wrote it; numbers in international form are none."""
    text = " ".join(value) if isinstance(value, list) else str("" if value is None else value)
    harmless: Callable[[str], object] = re.compile(r"\+[0-9]{1,15}").fullmatch
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not harmless(text) else text
