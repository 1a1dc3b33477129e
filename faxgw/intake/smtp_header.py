"""The few header fields that matter at the final dot, read in linear time and bounded memory.

RFC 5322 section 2.2, RFC 2047, RFC 3834 section 5. Python's own mail parser is not used on hostile input here: it
takes seconds for a subject of 20,000 encoded words and unbounded recursion for comments (reliability finding 8).
The mail itself is walked later, in a page process.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from faxgw.fax import charsets

FIELD_OCTETS = 8_192
"""Octets of one field that are looked at."""
TEXT_CHARACTERS = 998
"""Characters of a decoded field that are kept (RFC 5322 section 2.1.1)."""
MESSAGE_ID_CHARACTERS = 255
"""Characters of a Message-ID that are kept."""
ENCODED_WORDS = 256
"""Encoded words of one field that are decoded; the rest stays as it is."""

_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{1,40})?\?([BbQq])\?([!->@-~]{0,512})\?=")
_Q_OCTET = re.compile(rb"=([0-9A-Fa-f]{2})")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Header:
    """What a mail's header says."""

    author: str = ""
    """`From`, decoded and bounded; never a reason to believe anybody."""
    subject: str = ""
    message_id: str = ""
    auto_submitted: str = "no"
    """The keyword of RFC 3834 in lower case; `no` when the field is absent."""
    hops: int = 0
    """`Received` fields."""


class HeaderTap:
    """Collects the header while the content passes by.

    Args:
        limit: Most octets of the header.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._octets = bytearray()
        self._searched = 0
        self._complete = False
        self.too_large = False
        """The header does not end within the limit."""

    def feed(self, content: bytes) -> None:
        """Take content, its transparency removed, in order."""
        if self._complete or self.too_large:
            return
        self._octets += content[: self._limit + 4 - len(self._octets)]
        end = 0 if self._octets.startswith(b"\r\n") else self._octets.find(b"\r\n\r\n", self._searched)
        self._searched = max(0, len(self._octets) - 3)
        if end >= 0:
            del self._octets[end + 2 :]
            self._complete = True
        elif len(self._octets) > self._limit:
            lines = bytes(self._octets).split(b"\r\n")[:-1]
            self._complete = any(not _belongs(line) for line in lines)
            self.too_large = not self._complete

    def header(self) -> Header:
        """Read the fields, once the mail has ended."""
        return parse_header(bytes(self._octets))


def parse_header(octets: bytes) -> Header:
    """Read the fields that matter from a header, which ends at the first line that is no field."""
    found: dict[str, bytes] = {}
    hops = 0
    for name, value in _fields(octets):
        hops += name == "received"
        if name in ("from", "subject", "message-id", "auto-submitted"):
            found.setdefault(name, value)
    return Header(
        author=decode_field(found.get("from", b"")),
        subject=decode_field(found.get("subject", b"")),
        message_id=_printable(_text(found.get("message-id", b"")))[:MESSAGE_ID_CHARACTERS],
        auto_submitted=_keyword(found.get("auto-submitted", b"no")),
        hops=hops,
    )


def decode_field(value: bytes) -> str:
    """The text of an unfolded field: encoded words decoded, control characters taken away, bounded."""
    text = _text(value[:FIELD_OCTETS])
    pieces: list[str] = []
    charset, run, end = "", b"", 0  # a run of adjacent words in one charset may split a character between them
    for count, match in enumerate(_ENCODED_WORD.finditer(text)):
        if count >= ENCODED_WORDS:
            break
        between = text[end : match.start()]
        decoded = _word(match)
        if decoded is None:
            continue
        if between.strip() or end == 0 or decoded[0] != charset:
            pieces.append(_flushed(charset, run))
            pieces.append(between if between.strip() or end == 0 else "")
            charset, run = decoded[0], b""
        run += decoded[1]
        end = match.end()
    pieces.append(_flushed(charset, run))
    pieces.append(text[end:])
    return _printable("".join(pieces))[:TEXT_CHARACTERS]


def _fields(octets: bytes) -> list[tuple[str, bytes]]:
    """Names in lower case and unfolded values, in order; continuation lines are joined by one step each."""
    fields: list[tuple[str, list[bytes]]] = []
    for line in octets.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            if not fields:
                break
            fields[-1][1].append(line)
        elif match := _FIELD.match(line):
            fields.append((match[1].decode("ascii").lower(), [line[match.end() :]]))
        elif line:
            break
    return [(name, b"".join(lines).strip()) for name, lines in fields]


def _belongs(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") or _FIELD.match(line) is not None


def _text(value: bytes) -> str:
    """Raw octets as text: UTF-8 (RFC 6532), else one character per octet."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def _keyword(value: bytes) -> str:
    """RFC 3834 section 5: a keyword, then parameters and comments, which do not matter."""
    return re.split(r"[;(\s]", _text(value[:FIELD_OCTETS]).strip(), maxsplit=1)[0].lower()[:40] or "no"


def _word(match: re.Match[str]) -> tuple[str, bytes] | None:
    """Charset and octets of an encoded word, or None if it is none that we know."""
    charset = match[1].lower()
    if charsets.codec_of(charset) is None:
        return None
    if match[2] in "Qq":
        octets = match[3].replace("_", " ").encode("ascii")
        return charset, _Q_OCTET.sub(lambda hexadecimal: bytes.fromhex(hexadecimal[1].decode()), octets)
    try:
        return charset, binascii.a2b_base64(match[3] + "=" * (-len(match[3]) % 4))
    except binascii.Error:
        return None


def _flushed(charset: str, run: bytes) -> str:
    return charsets.decode(run, charset) if run else ""


def _printable(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text).split())
