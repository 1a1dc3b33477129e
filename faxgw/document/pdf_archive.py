"""What makes a PDF of ours a PDF/A-2b (ISO 19005-2): XMP metadata that agree with the document's, and an output intent.

The output intent's profile is made here: grey, gamma 2.2, ICC version 2.1, 400 octets instead of the 600 and more of
sRGB; black and white need no more (section 6.2.4.3).
"""

from __future__ import annotations

import struct
from datetime import datetime
from functools import cache
from html import escape

VERSION = b"%PDF-1.7"
OBJECTS = 2
"""Objects besides those of any PDF: metadata, profile."""
MIN_POINTS, MAX_POINTS = 3.0, 14_400.0
"""Sides of a page (section 6.1.13)."""
PRODUCER = "faxgw"


def catalogue(first: int) -> bytes:
    """What the catalogue has besides."""
    return (
        b" /Metadata %d 0 R /OutputIntents [<< /Type /OutputIntent /S /GTS_PDFA1 /OutputConditionIdentifier (Gray) "
        b"/Info (Gray, gamma 2.2) /DestOutputProfile %d 0 R >>]" % (first, first + 1)
    )


def objects(title: str, created: datetime) -> list[bytes]:
    """Metadata and profile."""
    metadata, icc = _xmp(title, created), profile()
    return [
        b"<< /Type /Metadata /Subtype /XML /Length %d >>\nstream\n%s\nendstream" % (len(metadata), metadata),
        b"<< /N 1 /Length %d >>\nstream\n%s\nendstream" % (len(icc), icc),
    ]


def clamped(points: tuple[float, float]) -> tuple[float, float]:
    """A page's size within what PDF/A allows; a page of 40,000 rows is drawn smaller than it was."""
    width, height = (min(max(MIN_POINTS, side), MAX_POINTS) for side in points)
    return width, height


def _xmp(title: str, created: datetime) -> bytes:
    stamp = created.replace(microsecond=0).isoformat()
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:pdf="http://ns.adobe.com/pdf/1.3/">\n'
        "<pdfaid:part>2</pdfaid:part>\n<pdfaid:conformance>B</pdfaid:conformance>\n"
        f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{escape(_characters(title))}</rdf:li></rdf:Alt></dc:title>\n'
        f"<xmp:CreateDate>{stamp}</xmp:CreateDate>\n<xmp:ModifyDate>{stamp}</xmp:ModifyDate>\n"
        f"<pdf:Producer>{PRODUCER}</pdf:Producer>\n"
        "</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


def _characters(text: str) -> str:
    """Without what is no character of XML."""
    return "".join(c for c in text if c.isprintable() and not "\ud800" <= c <= "\udfff")


@cache
def profile() -> bytes:
    """The ICC profile (ICC.1:2001-04): a monitor that shows grey."""
    tags = (
        (b"desc", _description(b"Gray, gamma 2.2")),
        (b"cprt", b"text\0\0\0\0" + b"No copyright, use freely\0"),
        (b"wtpt", b"XYZ \0\0\0\0" + struct.pack(">3i", *_D50)),
        (b"kTRC", b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"),
    )
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        padded = body + b"\0" * (-len(body) % 4)
        table += name + struct.pack(">II", at + len(data), len(body))
        data += padded
    head = struct.pack(
        ">I4sI4s4s4s6H4s4sIIII8s3i4s44x",
        at + len(data), b"\0\0\0\0", 0x02100000, b"mntr", b"GRAY", b"XYZ ",
        2026, 1, 1, 0, 0, 0, b"acsp", b"\0\0\0\0", 0, 0, 0, 0, b"\0" * 8, *_D50, b"\0\0\0\0",
    )  # fmt: skip
    return head + table + data


_D50 = (0xF6D6, 0x10000, 0xD32D)
"""The white of the profile connection space, s15Fixed16."""


def _description(text: bytes) -> bytes:
    """textDescriptionType: ASCII, no Unicode, no ScriptCode."""
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + b"\0" * (4 + 4 + 2 + 1 + 67)
