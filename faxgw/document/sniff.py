"""What a document is, by its octets. Names and declared types are hints for texts only, and never decide."""

from __future__ import annotations

import re
from dataclasses import dataclass

from faxgw.document import ole, package
from faxgw.document.types import Kind
from faxgw.fax import charsets

_HEAD = 4096
_HTML = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<!--.{0,2000}?-->\s*|<\?xml[^>]{0,200}>\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.I | re.S,
)
_POSTSCRIPT = (b"%!PS", b"\x04%!PS", b"\xc5\xd0\xd3\xc6")
"""PostScript, after an end of transmission as printer drivers send it, and an EPS file with a preview."""
_PCL = (b"\x1b%-12345X", b"\x1bE", b") HP-PCL XL;")
"""A printer job, the reset of PCL 5, and PCL 6."""
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROLS = 0.02
"""Part of a text's octets that may be control characters."""
_MIN_ASCII = 0.7
"""Part of the octets below 128 from which a text in an old charset is believed without being declared."""

# Kinds that are recognised to be named in a refusal: (offset, octets, words with their article).
_NAMED = (
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"\x1f\x8b", "a compressed file"),
    (0, b"BZh", "a compressed file"),
    (0, b"\xfd7zXZ\0", "a compressed file"),
    (257, b"ustar", "a tar archive"),
    (0, b"MZ", "a program"),
    (0, b"\x7fELF", "a program"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyp", "a video"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"OggS", "a sound recording"),
    (0, b"ID3", "a sound recording"),
    (0, b"<?xml", "an XML file"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"\x78\x9f\x3e\x22", "an Outlook winmail.dat container"),
    (0, b"MM\0+", "a BigTIFF picture of a rare kind"),
)


# [MS-DOC] 2.1, [MS-XLS] 2.1.2 (Book: before Excel 97), [MS-PPT] 2.1.2; an encrypted new document is one of the old
# container ([MS-OFFCRYPTO] 2.3.4), and refused later, by its reason.
_STREAMS = (
    ("WordDocument", Kind.DOC),
    ("Workbook", Kind.XLS),
    ("Book", Kind.XLS),
    ("PowerPoint Document", Kind.PPT),
    ("EncryptedPackage", Kind.DOC),
)
NAMES = {
    Kind.DOCX: "a Word document",
    Kind.DOC: "a Word document",
    Kind.XLSX: "an Excel workbook",
    Kind.XLSB: "an Excel workbook",
    Kind.XLS: "an Excel workbook",
    Kind.PPTX: "a PowerPoint presentation",
    Kind.PPT: "a PowerPoint presentation",
    Kind.RTF: "an RTF text",
    Kind.ODT: "an OpenDocument text",
    Kind.ODS: "an OpenDocument spreadsheet",
    Kind.ODP: "an OpenDocument presentation",
    Kind.ODG: "an OpenDocument drawing",
    Kind.POSTSCRIPT: "a PostScript file",
    Kind.PCL: "a PCL printer file",
}
"""Kinds that need a program outside, as a sentence names them where that program is missing."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that we do not convert."""

    what: str
    """Its kind with an article, fit for a sentence."""


def kind_of(data: bytes, declared: str = "") -> Kind | Unknown:
    """Look at a document.

    Args:
        data: All of it; only its start is looked at, and the end of the start for texts.
        declared: Its media type as its sender says, lower case; "text/…" admits texts with a few odd octets.
    """
    head = bytes(data[:_HEAD])
    picture = _picture(head)
    if picture is not None:
        return picture
    if b"%PDF-" in head[:1024]:
        return Kind.PDF
    if head.startswith(package.MAGIC):
        return package.kind_of(data) or Unknown("a ZIP archive")
    if head.startswith(ole.MAGIC):
        return _compound(data)
    if head.startswith(b"{\\rtf"):
        return Kind.RTF
    if _HTML.match(head):
        return Kind.HTML
    if head.startswith(_POSTSCRIPT):
        return Kind.POSTSCRIPT
    if head.startswith(_PCL):  # a printer job says its language (PJL, ENTER LANGUAGE)
        return Kind.POSTSCRIPT if b"%!PS" in head else Kind.PCL
    for offset, octets, what in _NAMED:
        if head.startswith(octets, offset) and not (octets == b"<?xml" and declared.startswith("text/")):
            return Unknown(what)
    if _is_text(bytes(data[: 16 * _HEAD]), declared):
        return Kind.HTML if declared == "text/html" else Kind.TEXT
    return Unknown("of an unknown kind")


def _picture(head: bytes) -> Kind | None:
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0")):
        return Kind.TIFF
    if head.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Kind.GIF
    if head.startswith(b"RIFF") and head.startswith(b"WEBP", 8):
        return Kind.WEBP
    # BITMAPFILEHEADER: reserved fields 0; then the size of a known information header
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0" and head[14:18] in _BMP_HEADERS:
        return Kind.BMP
    return None


_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124)}


def _compound(data: bytes) -> Kind | Unknown:
    """A compound file, by the streams it holds; one that cannot be read is taken for a Word document and refused so."""
    try:
        names = ole.Ole(data).names
    except ole.BadOle:
        return Kind.DOC
    for stream, kind in _STREAMS:
        if stream in names:
            return kind
    if "__properties_version1.0" in names:
        return Unknown("an Outlook message")
    return Unknown("a compound file of an unknown kind")


def _is_text(sample: bytes, declared: str) -> bool:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")) or charsets.utf16_of(sample) is not None:
        return True
    odd = len(_CONTROLS.findall(sample))
    if declared.startswith("text/"):
        return b"\0" not in sample and odd <= _MAX_CONTROLS * len(sample)
    if odd:
        return False
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as exc:
        # Cut within a character is fine; otherwise only mostly-ASCII octets pass for an old 8-bit charset.
        if exc.start < len(sample) - 4:
            return sum(octet < 128 for octet in sample) > _MIN_ASCII * len(sample)
    return True
