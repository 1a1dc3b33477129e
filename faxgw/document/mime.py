"""A bounded MIME parser: a mail's octets to a tree of parts (page process only; RFC 5322, 2045, 2046, 2231, 2047).

The standard library's parser needs 69 s for a million empty parts and ends in a RecursionError on deep nesting. This
one finds delimiter lines by substring search, counts before it builds, and reads of a header block only the few fields
that decide what is faxed. It is lenient where mailers are sloppy (a missing end delimiter, an unknown transfer
encoding) and refuses what only an attacker sends.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from faxgw.document import refusal
from faxgw.document.limits import MAX_BOUNDARY, MAX_HEADER, MAX_NAME, MAX_NESTING, MAX_PARTS
from faxgw.document.types import Reason
from faxgw.fax import charsets

MAX_VALUE = 8_192
"""Octets of one header field that are looked at."""
MAX_PARAMETERS = 50
"""Parameters of one header field that are looked at."""
MAX_FALSE_DELIMITERS = 100_000
"""Lines that begin like a delimiter and are none, in one container."""

_WANTED = frozenset(
    (
        *("content-type", "content-transfer-encoding", "content-disposition", "content-id", "message-id"),
        *("from", "date", "to", "cc", "subject"),
    )
)
_FILES = ("application/octet-stream", "application/eml", "application/x-eml", "text/plain", "message/x-eml")
"""What mailers call a mail that hangs on another as a file `.eml`, besides `message/rfc822`."""
_TELLING = frozenset(("from", "date", "to", "subject", "message-id"))
"""Fields of which a mail has several."""
_ENCODED_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{1,20})?\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,60})\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.S)
_SECTION = re.compile(r"(.+?)\*(\d{1,2})?(\*)?\Z", re.S)
_BAD_IN_NAME = re.compile(r'[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff“”"]')


@dataclass(frozen=True, slots=True)
class Part:
    """One part; a container has children, a leaf has a body."""

    media_type: str
    """Lower case, "text/plain" by default."""
    headers: dict[str, str]
    """Unfolded, still encoded values of the fields we look at, by lower-case name."""
    parameters: dict[str, str]
    """Of Content-Type, by lower-case name."""
    disposition: str
    """"attachment", "inline" or ""."""
    name: str
    """File name, cleaned; "" if it has none."""
    raw: bytes = b""
    """A leaf's body as it stands in the mail."""
    children: tuple[Part, ...] = ()

    @property
    def content_id(self) -> str:
        """Without angle brackets."""
        return self.headers.get("content-id", "").strip().strip("<>")

    @property
    def charset(self) -> str | None:
        """As declared."""
        return self.parameters.get("charset")

    def decoded(self) -> bytes:
        """A leaf's octets with the transfer encoding undone; an encoding that lies yields what it yields."""
        return decode_transfer(self.raw, self.headers.get("content-transfer-encoding", ""))


@dataclass(slots=True)
class _Count:
    parts: int = 0

    def add(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise refusal.mail(
                Reason.TOO_MANY_PARTS,
                "The mail consists of more than {limit} parts and cannot be faxed.",
                limit=MAX_PARTS,
            )


@dataclass(slots=True)
class _Region:
    """A part's octets within a buffer."""

    data: bytes
    start: int
    end: int
    depth: int = 0
    count: _Count = field(default_factory=_Count)

    def inner(self, start: int, end: int) -> _Region:
        return _Region(self.data, start, end, self.depth + 1, self.count)


def parse(data: bytes) -> Part:
    """Read a whole mail.

    Raises:
        DocumentRefused: If it has too many parts, is nested too deep, or its structure cannot be understood.
    """
    return _parse(_Region(data, 0, len(data)), "text/plain")


def decode_transfer(raw: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding (RFC 2045 section 6)."""
    match encoding.strip().lower():
        case "base64":
            return _base64(raw)
        case "quoted-printable":
            return binascii.a2b_qp(raw)
        case _:
            return raw


def decode_words(value: str) -> str:
    """Undo RFC 2047 in a header value; bounded by its length."""
    value = _BETWEEN_WORDS.sub(r"\1", value[:MAX_VALUE])
    return _ENCODED_WORD.sub(lambda match: _word(match[1], match[2], match[3]), value)


def of_file(name: str, data: bytes) -> Part:
    """A leaf that is a file, as if it had been attached."""
    return Part("application/octet-stream", {}, {}, "attachment", name, data)


def clean_name(name: str) -> str:
    """A file name fit to be shown: no folder, no control character, at most MAX_NAME characters."""
    name = _BAD_IN_NAME.sub("", name.replace("\\", "/").rsplit("/", 1)[-1]).strip()
    if len(name) > MAX_NAME:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if dot and len(ending) <= 10 else ""
        name = (stem or name)[: MAX_NAME - 1 - len(ending)] + "…" + ending
    return name


def _parse(region: _Region, default: str) -> Part:
    region.count.add()
    if region.depth > MAX_NESTING:
        raise refusal.mail(
            Reason.TOO_MANY_PARTS,
            "The parts of the mail are nested more than {limit} deep and cannot be faxed.",
            limit=MAX_NESTING,
        )
    headers, body = _header(region)
    media_type, parameters = _content_type(headers.get("content-type", ""), default)
    disposition, more = _value(headers.get("content-disposition", ""))
    name = clean_name(decode_words(more.get("filename") or parameters.get("name") or ""))
    part = Part(media_type, headers, parameters, disposition, name)
    if media_type.startswith("multipart/"):
        return _container(part, region, body)
    if media_type in ("message/rfc822", "message/global"):
        return _message(part, region, body)
    part = _with(part, raw=region.data[body : region.end])
    if name.lower().endswith(".eml") and media_type in _FILES and _is_message(data := part.decoded()):
        inner = _Region(data, 0, len(data), region.depth + 1, region.count)
        return Part("message/rfc822", headers, parameters, disposition, name, children=(_parse(inner, "text/plain"),))
    return part


def _is_message(data: bytes) -> bool:
    """Whether octets begin with the header of a mail."""
    return len(_fields(data[:MAX_HEADER].replace(b"\r\n", b"\n").partition(b"\n\n")[0]).keys() & _TELLING) > 1


def _container(part: Part, region: _Region, body: int) -> Part:
    boundary = part.parameters.get("boundary", "").rstrip().encode("utf-8", "surrogateescape")
    if not boundary or len(boundary) > MAX_BOUNDARY:
        raise refusal.mail(Reason.DAMAGED, "The structure of the mail is damaged: it cannot be taken apart.")
    default = "message/rfc822" if part.media_type == "multipart/digest" else "text/plain"
    found = []
    for start, end in _sections(region, body, boundary):
        found.append(_parse(region.inner(start, end), default))
    return _with(part, children=tuple(found))


def _message(part: Part, region: _Region, body: int) -> Part:
    encoding = part.headers.get("content-transfer-encoding", "").strip().lower()
    if encoding in ("base64", "quoted-printable"):  # forbidden by RFC 2046 section 5.2.1, and seen
        data = decode_transfer(region.data[body : region.end], encoding)
        inner = _Region(data, 0, len(data), region.depth + 1, region.count)
    else:
        inner = region.inner(body, region.end)
    return _with(part, children=(_parse(inner, "text/plain"),))


def _with(part: Part, raw: bytes = b"", children: tuple[Part, ...] = ()) -> Part:
    return Part(part.media_type, part.headers, part.parameters, part.disposition, part.name, raw, children)


def _sections(region: _Region, body: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """The octets between delimiter lines (RFC 2046 section 5.1.1); a missing end delimiter is the region's end."""
    data, delimiter = region.data, b"--" + boundary
    open_at = -1
    wrong = 0
    # The search begins one octet early, at the line end before the body, so that every delimiter follows a "\n".
    position = max(body - 1, region.start)
    while (at := data.find(delimiter, position, region.end)) >= 0:
        after = at + len(delimiter)
        line_end = data.find(b"\n", after, min(after + 1000, region.end))
        rest = data[after : line_end if line_end >= 0 else min(after + 1000, region.end)]
        position = after
        if (at != body and data[at - 1 : at] != b"\n") or rest.strip(b" \t\r") not in (b"", b"--"):
            wrong += 1
            if wrong > MAX_FALSE_DELIMITERS:
                raise refusal.mail(Reason.DAMAGED, "The structure of the mail is damaged: it cannot be taken apart.")
            continue
        if open_at >= 0:
            yield open_at, _before(data, at, open_at)
        if rest.startswith(b"--"):
            return
        open_at = line_end + 1 if line_end >= 0 else region.end
    if open_at >= 0:
        yield open_at, region.end


def _before(data: bytes, at: int, start: int) -> int:
    """Where a section ends: the line end before a delimiter belongs to the delimiter."""
    if at > start and data[at - 1 : at] == b"\n":
        at -= 1
    if at > start and data[at - 1 : at] == b"\r":
        at -= 1
    return at


def _header(region: _Region) -> tuple[dict[str, str], int]:
    """The wanted fields and where the body begins."""
    data, start, end = region.data, region.start, region.end
    if data.startswith((b"\n", b"\r\n"), start, end):
        return {}, start + (1 if data[start : start + 1] == b"\n" else 2)
    limit = min(end, start + MAX_HEADER + 4)
    ends = [(at, at + len(mark)) for mark in (b"\n\r\n", b"\n\n") if (at := data.find(mark, start, limit)) >= 0]
    if not ends and limit < end:
        limit = MAX_HEADER // 1024
        raise refusal.mail(Reason.TOO_LARGE, "A header of the mail is larger than {limit} KiB.", limit=limit)
    at, body = min(ends, default=(end, end))
    return _fields(data[start:at]), body


def _fields(block: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    current = ""
    for line in block.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if current and len(found[current]) < MAX_VALUE:
                found[current] += " " + _characters(line.strip())
            continue
        name, colon, value = line.partition(b":")
        current = name.strip().lower().decode("ascii", "replace") if colon else ""
        if current not in _WANTED or current in found:
            current = ""
            continue
        found[current] = _characters(value.strip())
    return found


def _characters(octets: bytes) -> str:
    octets = octets[:MAX_VALUE]
    try:
        return octets.decode("utf-8")  # RFC 6532
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")


def _content_type(value: str, default: str) -> tuple[str, dict[str, str]]:
    media_type, parameters = _value(value)
    return (media_type if re.fullmatch(r"[\w.+-]+/[\w.+-]+", media_type) else default), parameters


def _value(value: str) -> tuple[str, dict[str, str]]:
    """A value with parameters, RFC 2231 continuations and charsets resolved."""
    first, semicolon, rest = value[:MAX_VALUE].partition(";")
    plain: dict[str, str] = {}
    split: dict[str, dict[int, tuple[bool, str]]] = {}
    for number, match in enumerate(_PARAMETER.finditer(semicolon + rest)):
        if number == MAX_PARAMETERS:
            break
        name, found = match[1].lower(), _unquoted(match[2].strip())
        section = _SECTION.fullmatch(name)
        if section is None:
            plain.setdefault(name, found)
        else:
            extended = section[3] is not None or section[2] is None
            split.setdefault(section[1], {}).setdefault(int(section[2] or 0), (extended, found))
    for name, sections in split.items():
        plain[name] = _joined(sections)
    return first.strip().lower(), plain


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def _joined(sections: dict[int, tuple[bool, str]]) -> str:
    """RFC 2231 sections 3 and 4."""
    charset, octets = "utf-8", b""
    for number in sorted(sections):
        extended, value = sections[number]
        if extended and number == 0 and value.count("'") >= 2:
            charset, _language, value = value.split("'", 2)
        octets += unquote_to_bytes(value) if extended else value.encode("utf-8", "replace")
    return charsets.decode(octets, charset)


def _word(charset: str, encoding: str, payload: str) -> str:
    raw = payload.encode("ascii", "replace")
    octets = _base64(raw) if encoding in "bB" else binascii.a2b_qp(raw, header=True)
    return charsets.decode(octets, charset)


def _base64(raw: bytes) -> bytes:
    """Lenient: what is no base64 is left out, a cut-off end is tolerated."""
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:
        kept = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
        kept = kept[: len(kept) - (1 if len(kept) % 4 == 1 else 0)]
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))
