"""IPP messages (RFC 8010): requests written, answers read, as far as printing one document needs them. Pure.

Attributes are name → values. An answer comes from whoever stands at the target's address: it is bounded by what the
caller reads, and anything that is not as the RFC says is a `BadIpp`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

VERSION = 0x0200
"""IPP/2.0: what every printer of this century takes (IPP Everywhere, PWG 5100.14)."""
MEDIA_TYPE = "application/ipp"
OPERATION, JOB, END, PRINTER = 0x01, 0x02, 0x03, 0x04
"""Delimiter tags (RFC 8010 section 3.5.1)."""
_LAST_DELIMITER = 0x0F
_INTEGER, _BOOLEAN, _ENUM = 0x21, 0x22, 0x23
_STRINGS = frozenset({0x41, 0x42, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A})
MAX_ATTRIBUTES = 5_000
"""Attributes of one answer."""


class BadIpp(ValueError):
    """No IPP message."""


class Operation(enum.IntEnum):
    """Operations (RFC 8011 section 5.4.15)."""

    PRINT_JOB = 0x0002
    GET_JOB_ATTRIBUTES = 0x0009
    GET_JOBS = 0x000A
    GET_PRINTER_ATTRIBUTES = 0x000B


class Tag(enum.IntEnum):
    """Syntaxes of values (RFC 8010 section 3.5.2)."""

    INTEGER = 0x21
    BOOLEAN = 0x22
    TEXT = 0x41
    NAME = 0x42
    KEYWORD = 0x44
    URI = 0x45
    CHARSET = 0x47
    LANGUAGE = 0x48
    MIME = 0x49


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a request."""

    name: str
    tag: Tag
    values: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a printer said."""

    status: int
    """Below 0x0100: done (RFC 8011 appendix B)."""
    groups: Sequence[tuple[int, Mapping[str, tuple[str | int | bool, ...]]]]
    """Delimiter tag and attributes, in order; values of other kinds are left out."""

    @property
    def good(self) -> bool:
        """It was done."""
        return self.status < 0x0100

    def first(self, tag: int) -> Mapping[str, tuple[str | int | bool, ...]]:
        """The first group of a kind; empty when there is none."""
        return next((attributes for kind, attributes in self.groups if kind == tag), {})


def request(
    operation: Operation, number: int, printer: str, user: str, more: Sequence[Attribute], job: Sequence[Attribute] = ()
) -> bytes:
    """A request, which a document may follow.

    Args:
        operation: What is asked.
        number: Its number.
        printer: URI of the printer.
        user: Who asks.
        more: Further operation attributes.
        job: Attributes of the job that is made.
    """
    first = (
        Attribute("attributes-charset", Tag.CHARSET, ("utf-8",)),
        Attribute("attributes-natural-language", Tag.LANGUAGE, ("en",)),
        Attribute("printer-uri", Tag.URI, (printer,)),
        Attribute("requesting-user-name", Tag.NAME, (user,)),
    )
    out = bytearray(struct.pack(">HHIB", VERSION, operation, number, OPERATION))
    for attribute in (*first, *more):
        out += _written(attribute)
    if job:
        out.append(JOB)
        for attribute in job:
            out += _written(attribute)
    out.append(END)
    return bytes(out)


def _written(attribute: Attribute) -> bytes:
    out, name = b"", attribute.name.encode("ascii")
    for value in attribute.values:
        if attribute.tag is Tag.BOOLEAN:
            data = b"\x01" if value else b"\x00"
        elif isinstance(value, int):
            data = struct.pack(">i", value)
        else:
            data = value.encode()
        out += struct.pack(">BH", attribute.tag, len(name)) + name + struct.pack(">H", len(data)) + data
        name = b""  # further values have none (RFC 8010 section 3.1.5)
    return out


def read(octets: bytes) -> Answer:
    """An answer. Raises BadIpp."""
    try:
        return _read(octets)
    except (struct.error, IndexError, UnicodeDecodeError) as exc:
        raise BadIpp("the answer is no IPP message") from exc


def _read(octets: bytes) -> Answer:
    _version, status, _number = struct.unpack_from(">HHI", octets)
    groups: list[tuple[int, dict[str, tuple[str | int | bool, ...]]]] = []
    at, name, count = 8, "", 0
    while True:
        tag = octets[at]
        at += 1
        if tag == END:
            return Answer(status, groups)
        if tag <= _LAST_DELIMITER:
            groups.append((tag, {}))
            continue
        given, at = _field(octets, at)
        value, at = _field(octets, at)
        count += 1
        if count > MAX_ATTRIBUTES or not groups:
            raise BadIpp("the answer has too many attributes, or one outside of a group")
        name = given.decode() or name
        if (known := _value(tag, value)) is not None:
            groups[-1][1][name] = (*groups[-1][1].get(name, ()), known)


def _field(octets: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from(">H", octets, at)
    end = at + 2 + length
    if end > len(octets):
        raise BadIpp("the answer is cut off")
    return octets[at + 2 : end], end


def _value(tag: int, octets: bytes) -> str | int | bool | None:
    if tag in (_INTEGER, _ENUM):
        (number,) = struct.unpack(">i", octets)
        return int(number)
    if tag == _BOOLEAN:
        return octets == b"\x01"
    return octets.decode() if tag in _STRINGS else None
