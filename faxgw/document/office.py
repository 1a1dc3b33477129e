"""Office documents to fax pages (page process only): looks whether one may be opened, has it made PDF, draws that.

The child that draws cannot start a program. It hands the document to the page server, which owns the programs
(`document.office_pool`), and gets a PDF back, on which every limit of `document.pdf` holds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from faxgw.document import ole, package, pdf, postscript, refusal
from faxgw.document.bitmap import Bits
from faxgw.document.fit import Target
from faxgw.document.types import Kind, Reason

_TOKEN = re.compile(rb"\\bin(\d{0,9}) ?|\\.|[{}]", re.S)
_FIB_ENCRYPTED = 0x0100
"""fEncrypted of the FIB's flags at offset 10 ([MS-DOC] section 2.5.2)."""
_ENCRYPTED_STREAMS = frozenset({"EncryptedPackage", "EncryptedSummary"})
"""[MS-OFFCRYPTO] sections 2.3.4.4 and 2.3.5.1."""
_FILE_PASS = 0x2F
"""FilePass, which follows the start of a workbook."""
_LANGUAGES = frozenset({Kind.POSTSCRIPT, Kind.PCL})
"""Of printers: their pages are not known before they are drawn."""


class Unavailable(Exception):
    """The program does not start, or fails without the document's fault: to be tried again later."""


@dataclass(frozen=True, slots=True)
class Programs:
    """What converts outside this process."""

    kinds: frozenset[Kind] = frozenset()
    """What it takes."""
    to_pdf: Callable[[bytes, Kind, str, int], bytes] | None = None
    """From a document, its kind, its name and the pages wanted to a PDF; raises DocumentRefused or Unavailable."""


NONE = Programs()
"""No program outside: what needs one is refused."""


def pages(data: bytes, kind: Kind, name: str, target: Target, programs: Programs) -> Iterator[tuple[int, Bits]]:
    """Render an Office document.

    Yields:
        The page's number from 1 and its pixels.

    Raises:
        DocumentRefused: If it is damaged, asks for a password, is a bomb or has too many pages.
        Unavailable: If it is not the document's fault.
    """
    assert programs.to_pdf is not None  # the kind was looked up in `programs.kinds`
    check(data, kind, name)
    if kind is Kind.POSTSCRIPT:
        data = postscript.bare(data)
    limit = target.limits.pages
    try:
        made = programs.to_pdf(data, kind, name, limit + 1)
    except refusal.DocumentRefused as exc:
        if exc.refused.reason is Reason.DAMAGED and kind is Kind.XLS and _asks_password(data):
            raise refusal.encrypted(name) from exc
        raise
    if pdf.count(made, name) > limit:
        raise refusal.too_many_pages(name, limit, limit, counted=False)
    if kind is Kind.POSTSCRIPT and (said := postscript.pages(data)) and pdf.count(made, name) < said:
        raise refusal.damaged(name, how="it has fewer pages than the {count} that it says", count=said)
    ink = False
    for number, bits in pdf.pages(made, name, target):
        ink = ink or bool(bits.any())
        yield number, bits
    if kind in _LANGUAGES and not ink:  # a program that draws nothing, or was cut off before it did
        raise refusal.blank(name)


def check(data: bytes, kind: Kind, name: str) -> None:
    """Look at the container before a program sees the document.

    Raises:
        DocumentRefused: If it is cut off, encrypted or a bomb.
    """
    if data.startswith(package.MAGIC):
        _check_package(data, name)
    elif data.startswith(ole.MAGIC):
        _check_ole(data, kind, name)
    elif kind is Kind.RTF and not rtf_is_whole(data):
        raise refusal.damaged(name)


def _check_package(data: bytes, name: str) -> None:
    try:
        package.check(data)
    except package.BadPackage as exc:
        match exc.fault:
            case package.Fault.ENCRYPTED:
                raise refusal.encrypted(name) from exc
            case package.Fault.BOMB:
                limit = package.MAX_UNPACKED // 1024 // 1024
                raise refusal.too_large(name, "its parts unpack to more than {limit} MiB", limit=limit) from exc
            case package.Fault.ENTITIES:
                raise refusal.unsafe(name, "it defines XML entities, which no Office program does") from exc
            case _:
                raise refusal.damaged(name) from exc


def _check_ole(data: bytes, kind: Kind, name: str) -> None:
    try:
        file = ole.Ole(data)
        if file.names & _ENCRYPTED_STREAMS:
            raise refusal.encrypted(name)
        head = file.start_of("WordDocument", 12)
        if kind is Kind.DOC and len(head) == 12 and int.from_bytes(head[10:12], "little") & _FIB_ENCRYPTED:
            raise refusal.encrypted(name)
        file.check()
    except ole.BadOle as exc:
        raise refusal.damaged(name) from exc


def _asks_password(data: bytes) -> bool:
    """True for an encrypted workbook ([MS-XLS] 2.4.117); one that opens without asking is one, too."""
    try:
        head = ole.Ole(data).start_of("Workbook", ole.MINI)
    except ole.BadOle:
        return False
    at = 0
    while at + 4 <= len(head):
        record, length = struct.unpack_from("<HH", head, at)
        if record == _FILE_PASS:
            return True
        at += 4 + length
    return False


def rtf_is_whole(data: bytes) -> bool:
    """True if every group of an RTF text is closed; one that was cut off ends within its first."""
    depth, position = 0, 0
    while match := _TOKEN.search(data, position):
        position = match.end()
        token = match[0]
        if token == b"{":
            depth += 1
        elif token == b"}":
            depth -= 1
            if depth <= 0:
                return depth == 0
        elif token.startswith(b"\\bin") and match[1]:
            position += int(match[1])
    return False
