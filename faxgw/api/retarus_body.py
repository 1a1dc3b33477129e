"""The body of a job request: JSON with documents in it, of any size, in bounded memory.

A small body is read at once. Of a larger one the long strings go to the spool while they come (`formats.json_body`).
Documents that no row can name yet are removed unless they were handed over.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self  # Any: parsed JSON

from aiohttp import web

from faxgw.api.answers import Refusal
from faxgw.api.http import read_body, too_large
from faxgw.fax.ports import StoredFile
from faxgw.formats.json_body import BadJson, Blob, JsonBody, parse_json
from faxgw.formats.retarus_rest import MAX_DOCUMENTS
from faxgw.store.files import Files, Kind, SpoolFile

SMALL = 262_144
"""Octets of a body that is read and parsed at once, some 2 ms of work."""
_CHUNK = 131_072
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_TYPES = frozenset({"application/octet-stream", "text/plain", "text/json"})
"""Types beside …/json and …+json that clients send JSON as; aiohttp says the first where none was given."""

Upload = StoredFile | None
"""A durable document; None for one that is to be fetched."""


class JobBody:
    """One request's body; an asynchronous context, which removes what was not handed over.

    Args:
        files: The spool.
        limit: Octets at most.
    """

    def __init__(self, files: Files, limit: int) -> None:
        self._files = files
        self._limit = limit
        self._json: JsonBody | None = None
        self._spools: list[SpoolFile] = []
        self._kept: list[StoredFile] = []
        self._stack = AsyncExitStack()
        self.sha256 = ""
        """Of the body as it came, hexadecimal, once it was read."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for stored in self._kept:
            await self._files.remove(stored.key)

    def blob_of(self, value: object) -> Blob | None:
        """The long string that a value of the JSON stands for."""
        return None if self._json is None else self._json.blob_of(value)

    async def read(self, request: web.Request) -> Any:
        """The parsed JSON.

        Raises:
            Refusal: If it is too large, of another type, or no JSON.
        """
        _check_type(request)
        length = request.content_length
        try:
            if length is not None and length <= SMALL and "Content-Encoding" not in request.headers:
                body = await read_body(request, min(SMALL, self._limit))
                self.sha256 = hashlib.sha256(body).hexdigest()
                return parse_json(body)
            return await self._read_large(request)
        except BadJson as exc:
            raise Refusal(400, exc.public, code="bad_json") from exc

    async def keep(self, documents: Sequence[bytes | Blob | None]) -> list[Upload]:
        """Make documents durable, in their order; None stays None.

        Raises:
            StoreError: If that is not possible.
        """
        found: list[Upload] = []
        for document in documents:
            if document is None:
                found.append(None)
                continue
            if isinstance(document, Blob):
                stored = await self._spools[document.number].commit()
            else:
                stored = await self._files.keep(document)
            self._kept.append(stored)
            found.append(stored)
        return found

    def take(self, stored: StoredFile) -> None:
        """A durable document that came another way."""
        self._kept.append(stored)

    async def copies(self, files: Sequence[StoredFile]) -> list[StoredFile]:
        """Make copies of stored documents.

        Raises:
            StoreError: If one cannot be read, is not what it was, or cannot be written.
        """
        found = []
        for file in files:
            descriptor = await self._files.open_read(file)
            try:
                copy = await self._files.adopt_fd(descriptor, Kind.OBJECT)
            finally:
                os.close(descriptor)
            self._kept.append(copy)
            found.append(copy)
        return found

    def hand_over(self) -> None:
        """The durable documents belong to somebody else from here on."""
        self._kept.clear()

    async def _read_large(self, request: web.Request) -> Any:
        digest, size = hashlib.sha256(), 0
        text = self._json = JsonBody(secrets.token_hex(8))
        async for chunk in request.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > self._limit:
                raise too_large(self._limit)
            digest.update(chunk)
            for number, octets in text.feed(chunk):
                if number >= MAX_DOCUMENTS:
                    raise BadJson("too many long strings", public=f"A job has at most {MAX_DOCUMENTS} documents.")
                while len(self._spools) <= number:
                    self._spools.append(await self._open())
                await self._spools[number].write(octets)
        self.sha256 = digest.hexdigest()
        return text.finish()

    async def _open(self) -> SpoolFile:
        return await self._stack.enter_async_context(await self._files.open_temp(Kind.OBJECT, self._limit))


def _check_type(request: web.Request) -> None:
    kind = request.content_type
    if kind not in _TYPES and not kind.endswith(("/json", "+json")):
        raise Refusal(415, "The body must be JSON: Content-Type application/json.", code="unsupported_type")
    charset = request.charset
    if charset is not None and charset.lower() not in _CHARSETS:
        raise Refusal(415, "JSON is UTF-8 (RFC 8259 section 8.1).", code="unsupported_charset")
