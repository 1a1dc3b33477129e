"""A JSON text that arrives in pieces, its long strings taken out on the way: documents need no memory.

A request may hold documents of many megabytes as base64 strings. `JsonBody` keeps the JSON text with each string
longer than LONG_STRING replaced by a short mark, and hands out what those strings decode to, piece by piece. So a
body costs as much memory as its text without documents, and no piece blocks anybody for long.

Followed: RFC 8259 (JSON), RFC 4648 sections 4 and 5 (base64).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn  # Any: parsed JSON

from faxgw.fax.errors import Refused

LONG_STRING = 65_536
"""Octets from which a string is taken out of the text."""
MAX_TEXT = 16 * 2**20
"""Octets of the text without its long strings at most: 10,000 recipients with a kilobyte each, and room."""

_IN_STRING = re.compile(rb'["\\]')
_WHOLE_STRING = re.compile(rb'[^"]*"[^"\\]{0,1000}(?:\\.[^"\\]{0,100}){0,100}"', re.DOTALL)
"""A string that ends in this piece and is not near LONG_STRING, with what is before it; a broadcast has 40,000."""
_ESCAPE = re.compile(rb"\\(?:u([0-9A-Fa-f]{4})|([^u]))", re.DOTALL)
_BLANKS = b" \t\r\n"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class BadJson(Refused):
    """The text is no JSON, or not one that can be taken."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A long string, by its number in the order of the text."""

    number: int


class Base64Stream:
    """Decodes base64 that comes in pieces: both alphabets, white space anywhere, padding or none."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        """The octets that are complete now.

        Raises:
            BadJson: If it is no base64.
        """
        text = self._rest + piece.translate(_URL_SAFE, _BLANKS)
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        return self._decode(text[:whole]) if whole else b""

    def finish(self) -> bytes:
        """The last octets. Raises as `feed`."""
        rest, self._rest = self._rest, b""
        return self._decode(rest + b"=" * (-len(rest) % 4)) if rest else b""

    def _decode(self, text: bytes) -> bytes:
        if self._ended:
            raise BadJson("base64 after its end", public="A document's data is not base64.")
        self._ended = text.endswith(b"=")
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as exc:
            raise BadJson(f"base64: {exc}", public="A document's data is not base64.") from exc


def decode_base64(text: str) -> bytes:
    """Decode a whole base64 string.

    Raises:
        BadJson: If it is none.
    """
    try:
        octets = text.encode("ascii")
    except UnicodeEncodeError as exc:
        raise BadJson("base64 with other characters", public="A document's data is not base64.") from exc
    stream = Base64Stream()
    return stream.feed(octets) + stream.finish()


def parse_json(text: bytes) -> Any:
    """Parse a JSON text in UTF-8, with or without a byte order mark.

    Raises:
        BadJson: If it is none, or holds numbers that JSON does not know.
    """
    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise BadJson(f"not UTF-8: {exc}", public="The body is not UTF-8 (RFC 8259 section 8.1).") from exc
    except (ValueError, RecursionError) as exc:
        where = f" (line {exc.lineno}, column {exc.colno})" if isinstance(exc, json.JSONDecodeError) else ""
        raise BadJson(f"not JSON: {exc}", public=f"The body is not JSON{where}.") from exc


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class JsonBody:
    """A body while it comes.

    Args:
        nonce: Characters that nobody outside can guess, for the marks.
    """

    def __init__(self, nonce: str) -> None:
        self._mark = f"\u0001blob {nonce} "
        self._text = bytearray()
        self._string = -1
        """Where the open string begins in the text; -1 outside of strings."""
        self._escaped = False
        self._blob: Base64Stream | None = None
        self._held = b""
        """The beginning of an escape that goes on in the next piece of a long string."""
        self.blobs = 0
        """Long strings so far."""

    def feed(self, piece: bytes) -> list[tuple[int, bytes]]:
        """Take a piece of the body.

        Returns:
            What long strings decode to: number of the string, octets.

        Raises:
            BadJson: If a long string is no base64, or the text without them is too large.
        """
        found: list[tuple[int, bytes]] = []
        at = 0
        while at < len(piece):
            if self._string < 0:
                at = self._outside(piece, self._strings(piece, at))
            elif self._blob is None:
                at = self._inside(piece, at)
                if self._string >= 0 and len(self._text) - self._string > LONG_STRING and not self._escaped:
                    found += self._take_out()
            else:
                at = self._long(piece, at, found)
            if len(self._text) > MAX_TEXT:
                raise BadJson("text too large", public=f"The body has more than {MAX_TEXT} octets besides documents.")
        return found

    def finish(self) -> Any:
        """The parsed JSON; long strings are `Blob`s to `blob_of`.

        Raises:
            BadJson: If it is none.
        """
        return parse_json(bytes(self._text))

    def blob_of(self, value: object) -> Blob | None:
        """The long string that a value of the parsed JSON stands for; None when it stands for itself."""
        if isinstance(value, str) and value.startswith(self._mark):
            return Blob(int(value[len(self._mark) :]))
        return None

    def _strings(self, piece: bytes, at: int) -> int:
        """Pass the whole strings that come next; where what follows them begins."""
        end = at
        while match := _WHOLE_STRING.match(piece, end):
            end = match.end()
        self._text += piece[at:end]
        return end

    def _outside(self, piece: bytes, at: int) -> int:
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote + 1
        self._text += piece[at:end]
        if quote >= 0:
            self._string = len(self._text)
        return end

    def _inside(self, piece: bytes, at: int) -> int:
        """Up to the end of a string, of the piece, or of what a short string may have."""
        if self._escaped:
            self._escaped = False
            self._text += piece[at : at + 1]
            return at + 1
        limit = min(len(piece), at + LONG_STRING + 1)
        match = _IN_STRING.search(piece, at, limit)
        end = limit if match is None else match.end()
        self._text += piece[at:end]
        if match is not None:
            self._escaped = match.group() == b"\\"
            if not self._escaped:
                self._string = -1
        return end

    def _take_out(self) -> list[tuple[int, bytes]]:
        content = bytes(self._text[self._string :])
        del self._text[self._string :]
        self._text += json.dumps(f"{self._mark}{self.blobs}")[1:-1].encode()
        self.blobs += 1
        self._blob = Base64Stream()
        self._held = b""
        return self._decoded(content)

    def _long(self, piece: bytes, at: int, found: list[tuple[int, bytes]]) -> int:
        """Content of a long string up to its end or the piece's."""
        quote = piece.find(b'"', at)
        end = len(piece) if quote < 0 else quote
        found += self._decoded(piece[at:end])
        if quote < 0:
            return end
        if self._held:
            raise BadJson("escape in base64", public="A document's data is not base64.")
        blob, self._blob = self._blob, None
        if blob is not None:
            found.append((self.blobs - 1, blob.finish()))
        self._text += b'"'
        self._string = -1
        return quote + 1

    def _decoded(self, content: bytes) -> list[tuple[int, bytes]]:
        content = self._held + content
        self._held = b""
        backslash = content.rfind(b"\\", -6)
        if backslash >= 0 and not _ESCAPE.match(content, backslash):
            content, self._held = content[:backslash], content[backslash:]
        if b"\\" in content:
            content = _ESCAPE.sub(_unescaped, content)
        octets = self._blob.feed(content) if self._blob is not None else b""
        return [(self.blobs - 1, octets)] if octets else []


def _unescaped(match: re.Match[bytes]) -> bytes:
    """What an escape within base64 may stand for: a slash, white space, or an ASCII character by its code."""
    code, short = match.groups()
    if code is not None:
        value = int(code, 16)
        return bytes([value]) if value < 128 else b"?"
    return {b"/": b"/", b"n": b"", b"r": b"", b"t": b""}.get(short, b"?")
