"""HTML set in pages: WeasyPrint makes a PDF of it, PDFium draws that (page process only).

The page sees itself and the pictures that came with it; nothing else is fetched, whatever it asks for. Pictures reach
WeasyPrint as grey PNG that our own decoder has checked, fonts of the page are not loaded, scripts are not run.

A row of a table stays on its page, but for one that holds a table or long text of its own: that is how mails are laid
out, and the page before it would stay blank.

What is set is meant to be read on a fax: backgrounds are left out and text is black, as browsers print. A page that
is wider than the paper is set on a larger sheet, first upright, then turned, which the fax makes smaller; only beyond
that is text broken within words.

`to_pdf` gives up with `Refused` where the mark-up is more than can be set in the time allowed; the caller prints its
text instead.
"""

from __future__ import annotations

import io
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import weasyprint
from PIL import Image, ImageFile
from tinycss2.color5 import parse_color
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcherResponse

from faxgw.document import budget, images, mime, scripts, sniff
from faxgw.document.bitmap import Bits
from faxgw.document.fit import PAPER_MM, Target
from faxgw.document.pdf import pages as pdf_pages
from faxgw.document.types import Kind, Paper

MAX_CPU = 8
"""Seconds of CPU for setting one document; beyond them its text is printed."""
MAX_TAGS = 60_000
"""Tags of a document that are laid out; a mail thread of fifty messages has 20,000."""
RECURSION = 12_000
"""Depth of Python's stack while a document is set: a hundred nested tables."""
MAX_PICTURE = (1728, 2400)
"""Pixels to which a picture is reduced: a fax page has no more."""
MARGINS_MM = (13.0, 15.0, 14.0)
"""Blank above, at the sides and below. The header line takes the top one's place."""
UPRIGHT_MAX = 1.3
"""A wide page is made smaller by this much before it is turned."""
TURNED_MAX = 1.6
"""A turned page is made smaller by this much at most."""
OVERHANG_PX = 4.0
"""CSS pixels that content may stand out to the right before the sheet is enlarged."""
WHITE = 0.95
"""Lightness above which a line is nothing."""
MAX_LINE = 5_000
"""Characters of a line beyond which nothing is believed of its width: Pango's numbers run over, and it says 0."""
PX_PER_MM = 96 / 25.4
"""CSS reference pixels."""

# Importing WeasyPrint switches it on for the whole process. A picture that was cut off is damaged, and said to be.
ImageFile.LOAD_TRUNCATED_IMAGES = False

_PICTURES = (Kind.JPEG, Kind.PNG, Kind.GIF, Kind.BMP, Kind.WEBP)
_DATA = re.compile(r"data:([^,;]{0,100})((?:;[^,;]{0,100}){0,5}),", re.I)
_TAG = re.compile(r"<[A-Za-z]")
_SHEET = """
@page {{ size: {width:.2f}mm {height:.2f}mm !important; margin: {top:.2f}mm {side:.2f}mm {bottom:.2f}mm !important;
  background: none !important }}
html, body {{ width: auto !important; min-width: 0 !important; max-width: 100% !important; height: auto !important;
  max-height: none !important; overflow: visible !important }}
* {{ background: none !important; color: #000 !important; box-shadow: none !important;
  overflow-wrap: {wrap}; opacity: 1 !important; animation: none !important }}
body {{ font-family: "DejaVu Sans", sans-serif }}
table, div, p, td, th, pre, blockquote, section {{ max-width: 100% !important }}
pre {{ white-space: pre-wrap !important }}
img, svg {{ max-width: 100% !important; max-height: {tall:.2f}mm !important; object-fit: contain;
  object-position: left top }}
iframe, embed, object, video, audio {{ display: none !important }}
{breaking}
tr {{ break-inside: avoid }}
tr:has(table, p:nth-of-type(4), div:nth-of-type(4), li:nth-of-type(4), br:nth-of-type(6)) {{ break-inside: auto }}
"""
_BREAKING = """* { white-space: normal !important }
pre, pre *, textarea { white-space: pre-wrap !important }"""


class Refused(Exception):
    """The mark-up cannot be set within the limits; the text says why, for the log."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """Paper in millimetres, and by how much it will be reduced."""

    width: float
    height: float
    scale: float = 1.0

    def css(self, anywhere: bool) -> str:
        top, side, bottom = (margin * self.scale for margin in MARGINS_MM)
        return _SHEET.format(
            width=self.width,
            height=self.height,
            top=top,
            side=side,
            bottom=bottom,
            wrap="anywhere" if anywhere else "break-word",
            breaking=_BREAKING if anywhere else "",
            tall=self.height - top - bottom - 1,
        )


def warm_up() -> None:
    """Set a sample: what is loaded now is shared by all children."""
    scripts.installed(), scripts.monospaced()
    logging.getLogger("weasyprint").setLevel(logging.CRITICAL)
    logging.getLogger("fontTools").setLevel(logging.CRITICAL)
    sample = "<h1>W</h1><p>ab <b>é</b> <i>x</i> <b><i>y</i></b> <tt>m</tt> <span style='font-family:serif'>s</span>"
    to_pdf(f"<html><body>{sample}<table border=1><tr><td>1</table></body></html>", {}, Target())


def pages(markup: str, pictures: Mapping[str, bytes], name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """Set a document and draw its pages.

    Args:
        markup: HTML.
        pictures: What `cid:` addresses mean, by content id.
        name: For refusals.
        target: What for.

    Raises:
        Refused: Before the first page, if it cannot be set.
        DocumentRefused: If it has too many pages.
    """
    octets = to_pdf(markup, pictures, target)
    target.begin(1, 1)
    yield from pdf_pages(octets, name, target)


def to_pdf(markup: str, pictures: Mapping[str, bytes], target: Target, seconds: int = 0) -> bytes:
    """Set a document as PDF.

    Args:
        markup: HTML.
        pictures: What `cid:` addresses mean, by content id.
        target: Paper and limits.
        seconds: Of CPU; 0: MAX_CPU.

    Raises:
        Refused: If it cannot be set within the limits.
    """
    if sum(1 for _tag in _TAG.finditer(markup)) > MAX_TAGS:
        raise Refused(f"more than {MAX_TAGS:,} tags")
    depth = sys.getrecursionlimit()
    sys.setrecursionlimit(max(depth, RECURSION))
    try:
        with budget.cpu_seconds(seconds or MAX_CPU):
            return bytes(_fitted(markup, _Fetcher(pictures, target), target.paper).write_pdf())
    except budget.Overrun as exc:
        raise Refused("it takes too long") from exc
    except (RecursionError, MemoryError) as exc:
        raise Refused("it is nested too deep, or too large") from exc
    except Exception as exc:  # whatever a stranger's mark-up makes of the library
        raise Refused(f"{type(exc).__name__}: {exc}") from exc
    finally:
        sys.setrecursionlimit(depth)


def _fitted(markup: str, fetcher: _Fetcher, paper: Paper) -> Any:
    """Lay out on the sheet that is wide enough. Any: WeasyPrint has no types."""
    width, height = PAPER_MM[paper]
    document = _laid_out(markup, fetcher, _Sheet(width, height))
    needed = _width_mm(document)
    if needed <= width:
        return document
    sheet = _sheet_for(needed, width, height)
    document = _laid_out(markup, fetcher, sheet)
    if _width_mm(document) <= sheet.width:
        return document
    sheet = _Sheet(height * TURNED_MAX, width * TURNED_MAX, TURNED_MAX)
    document = _laid_out(markup, fetcher, sheet)
    if _width_mm(document) <= sheet.width:
        return document
    document = _laid_out(markup, fetcher, sheet, anywhere=True)
    if _width_mm(document) > sheet.width:
        raise Refused("it is wider than any sheet")
    return document


def _sheet_for(needed: float, width: float, height: float) -> _Sheet:
    """The smallest reduction for content that would need `needed` millimetres, margins as they are included."""
    margins = 2 * MARGINS_MM[1]
    scale = 1.01 * (needed - margins) / (width - margins)  # a hundredth against rounding
    if scale <= UPRIGHT_MAX:
        return _Sheet(width * scale, height * scale, scale)
    scale = min(TURNED_MAX, max(1.0, 1.01 * (needed - margins) / (height - margins)))
    return _Sheet(height * scale, width * scale, scale)


def _laid_out(markup: str, fetcher: _Fetcher, sheet: _Sheet, anywhere: bool = False) -> Any:
    fonts = _SystemFonts()
    html = weasyprint.HTML(string=markup, url_fetcher=fetcher)
    style = weasyprint.CSS(string=sheet.css(anywhere), url_fetcher=fetcher, font_config=fonts)
    document = html.render(font_config=fonts, stylesheets=[style], presentational_hints=True)
    for page in document.pages:
        for box in page._page_box.descendants():
            _darken_borders(box)
    return document


def _darken_borders(box: Any) -> None:
    """Grey lines are black, white ones nothing: a thin grey line would be lost, or dotted."""
    style = box.style
    for side in ("top", "right", "bottom", "left"):
        if getattr(box, f"border_{side}_width", 0):
            key = f"border_{side}_color"
            style[key] = _ink(style[key])
    grid = getattr(box, "collapsed_border_grid", None)
    for lines in grid or ():
        for line in lines:
            line[:] = [
                (score, (kind, width, _ink(color))) if color is not None else (score, (kind, width, color))
                for score, (kind, width, color) in line
            ]


def _ink(color: Any) -> Any:
    """Black, or nothing for what is nearly white."""
    if color == "currentcolor" or not color.alpha:
        return color
    red, green, blue = color.to("srgb")[:3]
    paper = 0.299 * red + 0.587 * green + 0.114 * blue > WHITE
    return parse_color("transparent" if paper else "black")


def _width_mm(document: Any) -> float:
    """How wide a sheet must be for all that is printed: the right edge of the content and a margin."""
    right = 0.0
    page_width = 0.0
    for page in document.pages:
        page_width = max(page_width, page.width - page._page_box.margin_right)
        for box in page._page_box.descendants():
            if len(getattr(box, "text", None) or "") > MAX_LINE:
                return math.inf
            if getattr(box, "text", None) or hasattr(box, "replacement"):
                right = max(right, box.position_x + float(box.width))
    if right <= page_width + OVERHANG_PX:
        return 0.0
    return right / PX_PER_MM + MARGINS_MM[1]


class _SystemFonts(FontConfiguration):  # type: ignore[misc]  # WeasyPrint has no types
    """The installed fonts; those that a page brings along are not loaded."""

    def add_font_face(self, rule_descriptors: object, url_fetcher: object) -> None:
        """Leave it out."""


class _Fetcher:
    """Serves the pictures of the same mail, and those within the page; nothing else."""

    _fail_on_errors = False

    def __init__(self, pictures: Mapping[str, bytes], target: Target) -> None:
        self._pictures = pictures
        self._target = target
        self._left = target.limits.pixels
        self._made: dict[str, bytes] = {}

    def __call__(self, url: str) -> URLFetcherResponse:
        """The picture at an address.

        Raises:
            ValueError: If there is none that we show.
        """
        if url not in self._made:
            self._made[url] = self._picture(self._octets(url))
        return URLFetcherResponse(url, self._made[url], {"Content-Type": "image/png"})

    def _octets(self, url: str) -> bytes:
        scheme, _colon, rest = url.partition(":")
        if scheme.lower() == "cid":
            identity = unquote(rest)
            if identity in self._pictures:
                return self._pictures[identity]
        elif (match := _DATA.match(url)) is not None:
            octets = unquote_to_bytes(url[match.end() :])
            return mime.decode_transfer(octets, "base64") if ";base64" in match[2].lower() else octets
        raise ValueError("not part of this document")

    def _picture(self, data: bytes) -> bytes:
        kind = sniff.kind_of(data)
        if not isinstance(kind, Kind) or kind not in _PICTURES:
            raise ValueError("no picture")
        with Image.open(io.BytesIO(data), formats=(images.FORMATS[kind],)) as image:
            self._left -= image.width * image.height
            if self._left < 0:
                raise ValueError("too many pixels")
            image.draft("L", MAX_PICTURE)
            grey = images.to_grey(image)
        grey.thumbnail(MAX_PICTURE, Image.Resampling.BOX)
        out = io.BytesIO()
        grey.save(out, "PNG", compress_level=1)
        return out.getvalue()
