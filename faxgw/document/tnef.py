"""Outlook's container, `winmail.dat` (page process only; [MS-OXTNEF], [MS-OXCMSG]): the attachments it hides.

Outlook writes it for its own kind; to all others the attachments within are lost. Only they are read, each octet at
most twice: their names, their octets, and whether they are files at all. Formatting, calendars and address books are
passed over. Checksums are not looked at: there are mailers that write wrong ones.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from faxgw.document import mime
from faxgw.document.limits import MAX_DOCUMENTS
from faxgw.fax import charsets

MAGIC = b"\x78\x9f\x3e\x22"
"""[MS-OXTNEF] section 2.1.3.1."""
MAX_ATTRIBUTES = 10_000
"""Attributes that are read; a message with fifty attachments has some 300."""
MAX_PROPERTIES = 2_000
"""MAPI properties of one attachment that are read; some 30 are usual."""
MAX_VALUES = 10_000
"""Values of one MAPI property."""

_ATTACHMENT = 2  # level of an attribute ([MS-OXTNEF] section 2.1.3.2)


class _Attribute(IntEnum):
    """Attributes that are looked at ([MS-OXTNEF] section 2.1.3.3)."""

    CODE_PAGE = 0x9007
    BEGIN = 0x9002
    TITLE = 0x8010
    DATA = 0x800F
    PROPERTIES = 0x9005


class _Property(IntEnum):
    """MAPI properties that are looked at ([MS-OXPROPS])."""

    LONG_NAME = 0x3707
    DISPLAY_NAME = 0x3001
    SHORT_NAME = 0x3704
    DATA = 0x3701
    METHOD = 0x3705
    CONTENT_ID = 0x3712
    HIDDEN = 0x7FFE


_NAMES = (_Property.LONG_NAME, _Property.DISPLAY_NAME, _Property.SHORT_NAME)
_OCTETS = 0x102
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_COUNTED = frozenset((0x0D, 0x1E, 0x1F, 0x102))  # object, strings, octets
_NARROW, _WIDE, _SEVERAL = 0x1E, 0x1F, 0x1000
_BY_VALUE, _MESSAGE = 1, 5  # PidTagAttachMethod ([MS-OXCMSG] section 2.2.2.9)


class BadTnef(Exception):
    """It is no such container, or cut off."""


@dataclass(slots=True)
class Attachment:
    """Something that hangs on the message."""

    name: str = ""
    """Cleaned; "" if it has none."""
    data: bytes = b""
    method: int = _BY_VALUE
    content_id: str = ""
    is_hidden: bool = False
    """It belongs to the formatted text, and is not listed for the reader."""

    @property
    def what(self) -> str:
        """What it is if it is no file, with an article; "" for a file."""
        if self.method == _BY_VALUE:
            return ""
        return "a message within an Outlook container" if self.method == _MESSAGE else "an object of an Outlook text"


@dataclass(slots=True)
class _Reader:
    """Octets and a place in them."""

    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise BadTnef("cut off")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])


@dataclass(slots=True)
class _Found:
    attachments: list[Attachment] = field(default_factory=list)
    code_page: str = "windows-1252"


def attachments(data: bytes) -> list[Attachment]:
    """What hangs on the message.

    Raises:
        BadTnef: If the container is damaged, or holds more than an honest one.
    """
    reader = _Reader(data)
    if reader.take(4) != MAGIC:
        raise BadTnef("no container")
    reader.take(2)
    found = _Found()
    for _ in range(MAX_ATTRIBUTES):
        if len(data) - reader.at < 11:  # less than an empty attribute: some mailers leave a line end
            return found.attachments
        level, identity, length = reader.number("<B"), reader.number("<I"), reader.number("<I")
        if level not in (1, _ATTACHMENT):
            return found.attachments
        body = reader.take(length)
        reader.at += 2
        if level == _ATTACHMENT:
            _attribute(identity & 0xFFFF, body, found)
        elif identity & 0xFFFF == _Attribute.CODE_PAGE and length >= 4:
            found.code_page = f"windows-{struct.unpack_from('<I', body)[0]}"
    raise BadTnef("too many attributes")


def _attribute(identity: int, body: bytes, found: _Found) -> None:
    if identity == _Attribute.BEGIN or not found.attachments:
        if len(found.attachments) > MAX_DOCUMENTS:
            raise BadTnef("too many attachments")
        found.attachments.append(Attachment())
    last = found.attachments[-1]
    match identity:
        case _Attribute.TITLE:
            last.name = last.name or _text(body, found)
        case _Attribute.DATA:
            last.data = body
        case _Attribute.PROPERTIES:
            _read_properties(body, last, found)


def _read_properties(body: bytes, into: Attachment, found: _Found) -> None:
    """MAPI properties of an attachment ([MS-OXTNEF] section 2.1.3.4)."""
    reader = _Reader(body)
    count = reader.number("<I")
    if count > MAX_PROPERTIES:
        raise BadTnef("too many properties")
    names: dict[int, str] = {}
    for _ in range(count):
        kind, identity = reader.number("<H"), reader.number("<H")
        if identity >= 0x8000:
            _skip_name(reader)
        values = _values(reader, kind)
        value = values[0] if values else b""
        match identity:
            case _Property.LONG_NAME | _Property.DISPLAY_NAME | _Property.SHORT_NAME:
                names[identity] = _string(value, kind, found)
            case _Property.DATA if kind == _OCTETS:
                into.data = into.data or value
            case _Property.METHOD:
                into.method = int.from_bytes(value[:4], "little")
            case _Property.CONTENT_ID:
                into.content_id = _string(value, kind, found)
            case _Property.HIDDEN:
                into.is_hidden = any(value[:2])
    into.name = next((mime.clean_name(names[each]) for each in _NAMES if names.get(each)), into.name)


def _skip_name(reader: _Reader) -> None:
    """A property's own name: a set of names, and a number or words in it."""
    reader.take(16)
    if reader.number("<I") == 0:
        reader.take(4)
    else:
        _padded(reader, reader.number("<I"))


def _values(reader: _Reader, kind: int) -> list[bytes]:
    several, kind = bool(kind & _SEVERAL), kind & ~_SEVERAL
    count = reader.number("<I") if several or kind in _COUNTED else 1
    if count > MAX_VALUES:
        raise BadTnef("too many values")
    if kind in _COUNTED:
        return [_padded(reader, reader.number("<I")) for _ in range(count)]
    if kind not in _FIXED:
        raise BadTnef("a property of an unknown type")
    return [reader.take(_FIXED[kind]) for _ in range(count)]


def _padded(reader: _Reader, length: int) -> bytes:
    value = reader.take(length)
    reader.at += -length % 4
    return value


def _string(value: bytes, kind: int, found: _Found) -> str:
    if kind & ~_SEVERAL == _WIDE:
        return value.decode("utf-16-le", "replace").split("\0")[0].strip()
    return _text(value, found) if kind & ~_SEVERAL == _NARROW else ""


def _text(value: bytes, found: _Found) -> str:
    return mime.clean_name(charsets.decode(value.split(b"\0")[0], found.code_page))
