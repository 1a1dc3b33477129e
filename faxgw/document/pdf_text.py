"""The invisible text of a searchable PDF: one font of one shape, and each word drawn where it stands.

Text rendering mode 3 (ISO 32000-1 section 9.3.6) over the fax's own picture. The font is embedded all the same, its
widths agree with its file and its codes are UTF-16 (ISO 19005-2 sections 6.2.11.4.1, 6.2.11.5 and 6.2.11.7.2), so that
a PDF/A with it is one. Made by ourselves: one glyph, half an em wide, that every code maps to.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from faxgw.fax.reading import Word

NAME = b"FAXGWA+Invisible"
"""PostScript name of the font, with the tag of a subset."""
OBJECTS = 6
"""Objects of the font."""
WIDTH = 500
"""Of every glyph, thousandths of an em."""
MIN_SIZE, MAX_SIZE = 1.0, 200.0
"""Points of a line of text."""
_EM = 1000


@dataclass(frozen=True, slots=True)
class Sheet:
    """The page that words are drawn on."""

    width: int
    """Pixels."""
    rows: int
    points: tuple[float, float]
    """Width and height on paper."""
    turned: int
    """Degrees clockwise by which it must be turned to be read."""


def layer(words: Sequence[Word], sheet: Sheet) -> bytes:
    """Operators that draw the words, unseen."""
    lines: dict[int, list[Word]] = {}
    for word in words:
        lines.setdefault(word.line, []).append(word)
    drawn = [piece for line in lines.values() for piece in _line(line, sheet)]
    return b"BT\n3 Tr\n" + b"".join(drawn) + b"ET\n" if drawn else b""


def objects(first: int) -> list[bytes]:
    """The font's objects, numbered from `first`; the first is the font that pages name."""
    file, compressed = font_file(), zlib.compress(font_file(), 9)
    gids = zlib.compress(b"\0\1" * 65536, 9)
    unicode = zlib.compress(_to_unicode(), 9)
    return [
        b"<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] "
        b"/ToUnicode %d 0 R >>" % (NAME, first + 1, first + 5),
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo "
        b"<< /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /DW %d /FontDescriptor %d 0 R "
        b"/CIDToGIDMap %d 0 R >>" % (NAME, WIDTH, first + 2, first + 4),
        b"<< /Type /FontDescriptor /FontName /%s /Flags 4 /FontBBox [0 0 %d 1000] /ItalicAngle 0 /Ascent 1000 "
        b"/Descent 0 /CapHeight 1000 /StemV 80 /FontFile2 %d 0 R >>" % (NAME, WIDTH, first + 3),
        b"<< /Length %d /Length1 %d /Filter /FlateDecode >>\nstream\n%s\nendstream"
        % (len(compressed), len(file), compressed),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(gids), gids),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(unicode), unicode),
    ]


@cache
def font_file() -> bytes:
    """The font as TrueType: `.notdef` and one box as high as an em; made once, before children are forked.

    Nobody sees the box, but readers look at it: PDFium leaves out text that runs up or down when its letters are empty.
    """
    from fontTools.fontBuilder import FontBuilder  # here, for the daemon reads PDFs with modules beside this one
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, _EM), (WIDTH, _EM), (WIDTH, 0)):
        pen.lineTo(corner)
    pen.closePath()
    box = pen.glyph()
    builder = FontBuilder(_EM, isTTF=True)
    names = [".notdef", "box"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0x20: "box"})
    builder.setupGlyf(dict.fromkeys(names, box))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (WIDTH, 0)))
    builder.setupHorizontalHeader(ascent=_EM, descent=0)
    builder.setupOS2(sTypoAscender=_EM, sTypoDescender=0, usWinAscent=_EM, usWinDescent=0)
    builder.setupNameTable({"familyName": "Invisible", "styleName": "Regular", "psName": "Invisible"})
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    out = io.BytesIO()
    builder.save(out)
    return out.getvalue()


def _line(words: list[Word], sheet: Sheet) -> list[bytes]:
    """The words of a line, on one baseline and of one size."""
    across, down = sheet.points[0] / sheet.width, sheet.points[1] / sheet.rows
    left, right = min(w.box.left for w in words), max(w.box.right for w in words)
    top, bottom = min(w.box.top for w in words), max(w.box.bottom for w in words)
    upright = sheet.turned in (0, 180)
    size = (bottom - top) * down if upright else (right - left) * across
    size = min(max(MIN_SIZE, size), MAX_SIZE)
    drawn = [b"/T %s Tf\n" % _real(size)]
    for at, word in enumerate(words):
        text = word.text if at == len(words) - 1 else word.text + " "
        box = word.box
        x, y, run = {
            0: (box.left * across, sheet.points[1] - bottom * down, (box.right - box.left) * across),
            90: (right * across, sheet.points[1] - box.bottom * down, (box.bottom - box.top) * down),
            180: (box.right * across, sheet.points[1] - top * down, (box.right - box.left) * across),
            270: (left * across, sheet.points[1] - box.top * down, (box.bottom - box.top) * down),
        }[sheet.turned]
        matrix = {0: b"1 0 0 1", 90: b"0 1 -1 0", 180: b"-1 0 0 -1", 270: b"0 -1 1 0"}[sheet.turned]
        natural = len(word.text) * size * WIDTH / _EM
        scale = min(max(1.0, 100 * run / natural), 1_000.0) if natural else 100.0
        drawn.append(b"%s Tz %s %s %s Tm <%s> Tj\n" % (_real(scale), matrix, _real(x), _real(y), _codes(text)))
    return drawn


def _codes(text: str) -> bytes:
    """UTF-16; characters beyond the first plane, and those that are none (U+FEFF, U+FFFE), as U+FFFD."""
    kept = "".join(
        c if c < "\ud800" or "\ue000" <= c < "\ufefe" or "\uff00" <= c < "\ufffe" else "\ufffd" for c in text
    )
    return kept.encode("utf-16-be").hex().upper().encode()


def _to_unicode() -> bytes:
    """Every code is its own character; a range stays within one high octet (Adobe technical note 5411)."""
    ranges = [b"<%02X00> <%02XFF> <%02X00>\n" % (high, high, high) for high in range(256)]
    blocks = [ranges[at : at + 100] for at in range(0, 256, 100)]
    return b"".join(
        (
            b"/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n",
            b"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n",
            b"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n",
            b"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n",
            *(b"%d beginbfrange\n%sendbfrange\n" % (len(block), b"".join(block)) for block in blocks),
            b"endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n",
        )
    )


def _real(value: float) -> bytes:
    return f"{value:.2f}".encode()
