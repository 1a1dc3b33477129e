"""An HTML body and its pictures as one document: `multipart/related` (RFC 2387, RFC 2557; page process only).

A mail's body travels from the walk to the converter as one file. HTML that shows pictures of its mail becomes a small
MIME file with them, as browsers save pages (".mht"); HTML without pictures stays what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from faxgw.document import mime
from faxgw.document.limits import MAX_DOCUMENTS

MAX_PICTURES = MAX_DOCUMENTS
"""Pictures of one body; those beyond it are not shown."""
_START = b"MIME-Version: 1.0\r\nContent-Type: multipart/related"


@dataclass(frozen=True, slots=True)
class Page:
    """HTML with what it shows."""

    markup: bytes
    charset: str | None
    """As its mail declared it."""
    pictures: Mapping[str, bytes]
    """By content id, without the angle brackets."""


def pack(page: Page) -> bytes:
    """One file of a page; the markup itself where it has no pictures."""
    if not page.pictures:
        return page.markup
    parts = [_part(f"text/html; charset={_token(page.charset)}" if page.charset else "text/html", "", page.markup)]
    parts += [
        _part("application/octet-stream", identity, data)
        for identity, data in list(page.pictures.items())[:MAX_PICTURES]
    ]
    boundary = hashlib.sha256(b"".join(parts)).hexdigest().encode("ascii")
    head = _START + b'; type="text/html"; boundary="' + boundary + b'"\r\n\r\n'
    return head + b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def is_packed(data: bytes) -> bool:
    """True for what `pack` made of a page with pictures."""
    return data.startswith(_START)


def unpack(data: bytes, charset: str | None) -> Page:
    """The page of a file.

    Args:
        data: HTML, or what `pack` made.
        charset: Of plain HTML; a packed page knows its own.

    Raises:
        DocumentRefused: If a file that begins like a packed one is none.
    """
    if not is_packed(data):
        return Page(data, charset, {})
    root = mime.parse(data)
    first = root.children[0] if root.children else root
    pictures = {part.content_id: part.decoded() for part in root.children[1:] if part.content_id}
    return Page(first.decoded(), first.charset, pictures)


def _part(content_type: str, identity: str, data: bytes) -> bytes:
    lines = f"Content-Type: {content_type}\r\n"
    if identity:
        lines += f"Content-ID: <{_visible(identity)}>\r\n"
    return lines.encode("utf-8", "replace") + b"Content-Transfer-Encoding: binary\r\n\r\n" + data


def _token(value: str) -> str:
    return "".join(c for c in value if c.isalnum() or c in "-_.:")[:40]


def _visible(value: str) -> str:
    return "".join(c for c in value if c.isprintable() and c not in "<>")[:200]
