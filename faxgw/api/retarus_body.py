"""The body of a job request: JSON with documents in it, of any size, in bounded memory.

A small body is read at once. Of a larger one the long strings go to the spool while they come (`formats.json_body`).
Documents that no row can name yet are removed unless they were handed over.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any  # Any: parsed JSON

from aiohttp import web

from faxgw.api.answers import Refusal
from faxgw.api.http import read_body, too_large
from faxgw.api.uploads import Uploads
from faxgw.formats.json_body import BadJson, Blob, JsonBody, parse_json
from faxgw.formats.retarus_rest import MAX_DOCUMENTS
from faxgw.store.files import Files

SMALL = 262_144
"""Octets of a body that is read and parsed at once, some 2 ms of work."""
_CHUNK = 131_072
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_TYPES = frozenset({"application/octet-stream", "text/plain", "text/json"})
"""Types beside …/json and …+json that clients send JSON as; aiohttp says the first where none was given."""


class JobBody(Uploads):
    """One request's body.

    Args:
        files: The spool.
        limit: Octets at most.
    """

    def __init__(self, files: Files, limit: int) -> None:
        super().__init__(files, limit)
        self._json: JsonBody | None = None
        self.sha256 = ""
        """Of the body as it came, hexadecimal, once it was read."""

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
                await self._spool(number, octets)
        self.sha256 = digest.hexdigest()
        return text.finish()


def _check_type(request: web.Request) -> None:
    kind = request.content_type
    if kind not in _TYPES and not kind.endswith(("/json", "+json")):
        raise Refusal(415, "The body must be JSON: Content-Type application/json.", code="unsupported_type")
    charset = request.charset
    if charset is not None and charset.lower() not in _CHARSETS:
        raise Refusal(415, "JSON is UTF-8 (RFC 8259 section 8.1).", code="unsupported_charset")
