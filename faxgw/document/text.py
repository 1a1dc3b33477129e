"""Plain text to fax pages: 80 columns of a fixed font at 10 points (page process only).

Control characters, among them those that turn the direction of writing, are left out: what is printed is what the
octets say in their order. A text in another writing than Latin, Greek or Cyrillic is set by `document.layout`, which
shapes its letters and knows its direction.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from html import escape

from faxgw.document import bitmap, fonts, layout, pdf, refusal, scripts
from faxgw.document.bitmap import Bits
from faxgw.document.fit import Target, sheet_rows
from faxgw.document.limits import MAX_TEXT
from faxgw.document.tiff import WIDTH
from faxgw.document.types import Resolution
from faxgw.fax import charsets

COLUMNS = 80
"""Characters of a line."""
FONT_PX = 28
"""10 points at 204 dots per inch."""
LINE_ROWS = 33
"""12 points at 196 rows per inch."""
MARGIN_ROWS = 116
"""15 mm above and below at 196 rows per inch."""
TAB = 8
"""Columns between tab stops."""
MAX_MARKS = 4
"""Combining marks on one character; more are left out."""
MAX_SHAPED_CPU = 15
"""Seconds of CPU for a text in a writing that is shaped: about 150 pages."""

_BREAK = re.compile(r"\r\n|[\r\n\x0b\x85\u2028\u2029]")
# C0 (but tab, line feed, form feed), C1, zero width, bidirectional controls, surrogates, byte order mark
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
# The same, without the marks that joined and right-to-left letters need
_TURNING = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_SHAPED = (
    "<meta charset=utf-8><style>body { margin: 0; font: 10pt/12pt 'DejaVu Sans Mono', 'DejaVu Sans', monospace }"
    "p { margin: 0; white-space: pre-wrap } p[dir=rtl] { direction: rtl; font-family: 'DejaVu Sans', sans-serif }"
    ".next { break-before: page }</style>"
)
_COMBINING = r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
_MARKS_RUN = re.compile(f"({_COMBINING}{{{MAX_MARKS}}}){_COMBINING}+")


def unflow(text: str, delete_space: bool) -> str:
    """Join the lines of a `format=flowed` text (RFC 3676 section 4.2)."""
    out: list[str] = []
    joining = False
    for line in _BREAK.sub("\n", text).split("\n"):
        line = line.removeprefix(" ")
        soft = line.endswith(" ") and line != "-- "
        piece = line[:-1] if soft and delete_space else line
        if joining and not line.startswith(">"):
            out[-1] += piece
        else:
            out.append(piece)
        joining = soft
    return "\n".join(out)


def lines(text: str) -> Iterator[str]:
    """Break a text into printed lines. A form feed is a line of its own."""
    text = unicodedata.normalize("NFC", _INVISIBLE.sub("", _BREAK.sub("\n", text)))
    text = _MARKS_RUN.sub(r"\1", text)
    for paragraph in re.split(r"(\f)", text.removesuffix("\n")):
        if paragraph == "\f":
            yield paragraph
        elif paragraph:
            for line in paragraph.split("\n"):
                yield from _wrap(line.expandtabs(TAB))


def pages(data: bytes, charset: str | None, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Set a text in pages.

    Yields:
        The page's number from 1 and its pixels.

    Raises:
        DocumentRefused: If it is too long or has too many pages.
    """
    if len(data) > MAX_TEXT:
        what = "a text may have {limit} KiB, this one has {count}"
        raise refusal.too_large(name, what, limit=MAX_TEXT // 1024, count=len(data) // 1024)
    yield from set_text(charsets.decode(data, charset), name, target)


def set_text(text: str, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """As `pages`, from characters."""
    text = scripts.printable(text, name)
    yield from _set_columns(text, name, target) if scripts.is_simple(text) else _set_shaped(text, name, target)


def _set_shaped(text: str, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Each line a paragraph in its own direction; a form feed begins a page."""
    text = _MARKS_RUN.sub(r"\1", unicodedata.normalize("NFC", _TURNING.sub("", _BREAK.sub("\n", text))))
    made = []
    for number, sheet in enumerate(text.removesuffix("\n").split("\f")):
        made.append('<section class="next">' if number else "<section>")
        for line in sheet.split("\n"):
            turned = ' dir="rtl"' if scripts.is_right_to_left(line) else ""
            made.append(f"<p{turned}>{escape(line.expandtabs(TAB)) or '&nbsp;'}</p>")
        made.append("</section>")
    try:
        drawn = layout.to_pdf(_SHAPED + "".join(made), {}, target, MAX_SHAPED_CPU)
    except layout.Refused as exc:
        raise refusal.too_large(
            name, "it is too long for a text in its writing; please send it in parts, or as PDF"
        ) from exc
    yield from pdf.pages(drawn, name, target)


def _set_columns(text: str, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    # Always set at fine; the others are made of its rows, which keeps every stroke.
    rows = sheet_rows(target.paper, Resolution.FINE)
    per_page = (rows - 2 * MARGIN_ROWS) // LINE_ROWS
    broken = list(_paginate(text, per_page))
    font = fonts.load(fonts.MONOSPACED, FONT_PX)
    left = (WIDTH - COLUMNS * round(font.getlength("M"))) // 2
    for number, page in enumerate(broken, 1):
        target.begin(number, len(broken))
        canvas = fonts.Canvas(WIDTH, rows)
        for index, line in enumerate(page):
            canvas.write(left, MARGIN_ROWS + index * LINE_ROWS, line, font)
        bits = canvas.bits()
        yield number, bitmap.rescale(bits, Resolution.FINE, target.resolution)


def _paginate(text: str, per_page: int) -> Iterator[list[str]]:
    page: list[str] = []
    for line in lines(text):
        if line == "\f" or len(page) == per_page:
            yield page
            page = []
        if line != "\f":
            page.append(line)
    if page:
        yield page


def _wrap(line: str) -> Iterator[str]:
    """Break one line at spaces, words that are too long within."""
    line = line.rstrip()
    while True:
        end = _fitting(line)
        if end == len(line):
            yield line
            return
        space = line.rfind(" ", 1, end + 1)
        if space > 0 and line[:space].strip():
            yield line[:space].rstrip()
            line = line[space + 1 :]
        else:
            yield line[:end]
            line = line[end:]


def _fitting(line: str) -> int:
    """Characters at the start of a line that fill COLUMNS at most."""
    if len(line) <= COLUMNS and line.isascii():
        return len(line)
    columns = 0
    for index, character in enumerate(line):
        columns += _columns(character)
        if columns > COLUMNS:
            return max(1, index)
    return len(line)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
