"""Zip packages of Office documents (ECMA-376 part 2, OpenDocument part 3): what one holds, and whether it is a bomb.

Before LibreOffice sees a package every part was unpacked here once, counted and thrown away: a directory that lies
about sizes, or a part that unpacks to gigabytes, is found where memory and time are bounded (reliability P-06).
"""

from __future__ import annotations

import re
import zipfile
from enum import Enum

from faxgw.document.types import Kind
from faxgw.formats.zip_faults import ZIP_FAULTS, archive_of, is_encrypted

MAGIC = b"PK\x03\x04"
"""Local file header (APPNOTE section 4.3.7)."""
MAX_UNPACKED = 256 * 1024 * 1024
"""Octets of all parts together; a spreadsheet of a million cells has about 100 MB."""
MAX_PARTS = 10_000
"""Parts of a package; a presentation of 500 slides has about 2,000."""
_CHUNK = 256 * 1024
_HEAD = 16 * 1024
_ENTITY = re.compile(rb"<!ENTITY", re.I)
_BEFORE_XML = b"\xef\xbb\xbf\xff\xfe \t\r\n"
_MANIFEST, _ENCRYPTION = "META-INF/manifest.xml", b"encryption-data"
"""OpenDocument part 3 section 4.3: each part that is encrypted has such an element."""

_ODF = {
    "application/vnd.oasis.opendocument.text": Kind.ODT,
    "application/vnd.oasis.opendocument.spreadsheet": Kind.ODS,
    "application/vnd.oasis.opendocument.presentation": Kind.ODP,
    "application/vnd.oasis.opendocument.graphics": Kind.ODG,
}
_MAIN = (
    ("word/document", Kind.DOCX),
    ("xl/workbook.bin", Kind.XLSB),
    ("xl/workbook", Kind.XLSX),
    ("ppt/presentation", Kind.PPTX),
)
_FOLDERS = ((b"word/", Kind.DOCX), (b"xl/", Kind.XLSX), (b"ppt/", Kind.PPTX))


class Fault(Enum):
    """Why a package is not opened."""

    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    BOMB = "bomb"
    ENTITIES = "entities"


class BadPackage(Exception):
    """The package is not to be opened."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


def kind_of(data: bytes) -> Kind | None:
    """What kind of document a package is; None if it is another archive. A cut-off one is judged by its start."""
    try:
        with archive_of(data) as archive:
            return _by_directory(archive)
    except ZIP_FAULTS:
        return _by_start(data[:_HEAD])


def check(data: bytes) -> None:
    """Unpack every part once, keeping nothing.

    Raises:
        BadPackage: If it is damaged, encrypted, too large, or defines XML entities.
    """
    try:
        with archive_of(data) as archive:
            parts = archive.infolist()
            if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
                raise BadPackage(Fault.BOMB)
            if any(is_encrypted(part) for part in parts):
                raise BadPackage(Fault.ENCRYPTED)
            left = MAX_UNPACKED
            for part in parts:
                left -= _unpack(archive, part, left)
    except ZIP_FAULTS as exc:
        raise BadPackage(Fault.DAMAGED) from exc


def _unpack(archive: zipfile.ZipFile, part: zipfile.ZipInfo, left: int) -> int:
    octets = 0
    with archive.open(part) as stream:
        head = stream.read(_HEAD)
        if part.filename == _MANIFEST and _ENCRYPTION in head:
            raise BadPackage(Fault.ENCRYPTED)
        if _ENTITY.search(_markup(head)):
            raise BadPackage(Fault.ENTITIES)
        octets += len(head)
        while chunk := stream.read(_CHUNK):
            octets += len(chunk)
            if octets > left:
                raise BadPackage(Fault.BOMB)
    return octets


def _markup(head: bytes) -> bytes:
    """The start of a part if it is XML, in any coding: in UTF-16 each character of its markup has a zero octet."""
    plain = head.replace(b"\0", b"").lstrip(_BEFORE_XML)
    return plain if plain.startswith(b"<") else b""


def _by_directory(archive: zipfile.ZipFile) -> Kind | None:
    parts = archive.infolist()[:MAX_PARTS]
    names = {part.filename for part in parts}
    if "mimetype" in names:
        with archive.open("mimetype") as stream:
            declared = stream.read(200).decode("ascii", "replace").strip()
        return _ODF.get(declared.removesuffix("-template"))
    if "[Content_Types].xml" in names:
        for start, kind in _MAIN:
            if any(name.startswith(start) for name in names):
                return kind
    return None


def _by_start(head: bytes) -> Kind | None:
    if head.startswith(b"mimetype", 30):  # stored, first, without extra field (OpenDocument part 3 section 3.3)
        declared = head[38:].split(b"PK", 1)[0].decode("ascii", "replace")
        return _ODF.get(declared.removesuffix("-template"))
    found = [(head.index(folder), kind) for folder, kind in _FOLDERS if folder in head]
    if found:
        return min(found)[1]
    return Kind.DOCX if b"[Content_Types].xml" in head else None
