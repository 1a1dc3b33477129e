"""HTML set in pages."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from faxgw.document import bitmap, convert, layout, related
from faxgw.document.bitmap import Bits
from faxgw.document.client import PageClient
from faxgw.document.fit import Target
from faxgw.document.types import Kind, Paper, Rendered, RenderOptions, Walked

Make = Any  # conftest's class; tests import nothing from one another

FINE = Target()


def _black_square() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (200, 200)).save(out, "PNG")
    return out.getvalue()


def _set(markup: str, target: Target = FINE, **pictures: bytes) -> list[Bits]:
    return [bits for _number, bits in layout.pages(markup, pictures, "a", target)]


def _ink(bits: Bits) -> int:
    return int(bitmap.unpack(bits).sum())


def test_a_picture_of_the_mail_stands_in_its_place() -> None:
    (shown,) = _set('<p>above</p><img src="cid:one"><p>below</p>', one=_black_square())
    (without,) = _set("<p>above</p><p>below</p>")
    side = 200 / 96 * 25.4  # CSS pixels to millimetres
    assert _ink(shown) - _ink(without) == pytest.approx(side * 1728 / 215 * side * 7.7, rel=0.05)


@pytest.mark.parametrize(
    "piece",
    [
        '<img src="http://192.0.2.1/x.png">',
        '<img src="file:///usr/share/x.png">',
        '<link rel=stylesheet href="file:///usr/x.css">',
        "<style>@import url(http://192.0.2.1/x.css); @font-face { font-family: x; src: url(data:,x) }</style>",
        '<object data="file:///etc/hostname"></object><iframe src="file:///etc/hostname"></iframe>',
        "<img src=\"data:image/svg+xml,&lt;svg xmlns='http://www.w3.org/2000/svg'/&gt;\">",
        "<script>document.write('x')</script>",
        '<base href="file:///etc/"><img src="hostname">',
        '<img src="cid:other">',
    ],
)
def test_nothing_is_fetched(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-14: what is not in the mail is not shown, and does not keep the rest from being printed."""

    def refuse(*_arguments: object) -> None:
        raise AssertionError("something was opened")

    (plain,) = _set("<p>said</p>")
    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuse)
    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    (page,) = _set("<p>said</p>" + piece)
    assert np.array_equal(page, plain)


@pytest.mark.parametrize("paper", list(Paper))
def test_pages_have_the_paper_and_margins(paper: Paper) -> None:
    pages = _set("<style>@page { size: 10cm; margin: 0 }</style>" + "<p>word word word</p>" * 100, Target(paper=paper))
    assert len(pages) > 1
    for page in pages:
        assert len(page) == Target(paper=paper).rows
        assert not page[:60].any() and not page[-60:].any()


def _table(columns: int) -> str:
    row = "".join(f"<td>Measurement{column}</td>" for column in range(columns))
    return f"<table border=1><tr>{row}</tr></table>"


def test_a_wide_table_is_made_smaller_then_turned_and_never_cut() -> None:
    widths = [
        layout._laid_out(_table(columns), layout._Fetcher({}, FINE), layout._Sheet(210, 297)) for columns in (3, 8)
    ]
    assert layout._width_mm(widths[0]) == 0 and layout._width_mm(widths[1]) > 210
    for columns, turned in ((3, False), (6, False), (8, True), (12, True), (30, True)):
        document = layout._fitted(_table(columns), layout._Fetcher({}, FINE), Paper.A4)
        page = document.pages[0]
        assert (page.width > page.height) is turned
        assert layout._width_mm(document) == 0


def _said(markup: str) -> list[str]:
    """The text of each page."""
    document = pypdfium2.PdfDocument(layout.to_pdf(markup, {}, FINE))
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


_ROWS = "".join(f"<tr><td>item {n}<br>two<br>three</td></tr>" for n in range(24))


@pytest.mark.parametrize(
    "inner",
    [
        f"<table width=600>{_ROWS}</table>",
        "".join(f"<p>item {n}</p>" for n in range(40)),
        "".join(f"<div>item {n}<br>two</div>" for n in range(40)),
        "<br>".join(f"item {n}" for n in range(80)),
    ],
)
def test_a_mail_within_one_row_begins_on_the_first_page(inner: str) -> None:
    """Newsletters and signatures are one great row: the page with the words before it would stay blank."""
    first, *more = _said(f"<p>before</p><table width='100%'><tr><td>{inner}</td></tr></table>")
    assert "before" in first and "item 0" in first and len(more) == 1


def test_a_row_of_a_list_stays_on_its_page() -> None:
    rows = "".join(f"<tr><td>no {n}<td><p>a</p><p>b</p><p>c</p></tr>" for n in range(20))
    pages = _said(f"<table border=1>{rows}</table>")
    assert len(pages) > 1
    for text in pages:
        assert text.count("no ") == text.split().count("a") == text.split().count("c")


@pytest.mark.parametrize(
    "markup",
    [
        "<p style='white-space: nowrap'>" + "word " * 3_000,
        "<p style='white-space: nowrap'>" + "word " * 30_000,
        "<table><tr><td nowrap>" + "word " * 200 + "</table>",
    ],
)
def test_a_line_that_may_not_break_is_broken_before_anything_is_lost(markup: str) -> None:
    """Nothing of a mail stands beside the paper."""
    document = layout._fitted(markup, layout._Fetcher({}, FINE), Paper.A4)
    assert layout._width_mm(document) == 0
    said = sum(box.text.count("word") for page in document.pages for box in _texts(page))
    assert said == markup.count("word")


def _texts(page: Any) -> list[Any]:  # Any: WeasyPrint has no types
    return [box for box in page._page_box.descendants() if getattr(box, "text", None)]


def test_a_word_that_no_sheet_holds_is_printed_as_text() -> None:
    """Pango takes a line of millions of pixels for one of none, and nothing of it would be seen."""
    data = b"<html><p>" + b"x" * 300_000
    assert len(list(convert.pages(data, Kind.HTML, None, "a", FINE))) == math.ceil(300_000 / 80 / 62)


HOSTILE = {
    "a giant font": "<p style='font-size: 100000000px'>x</p>y",
    "a giant box": "<div style='width: 1e12px; height: 1e12px; border: 1px solid'>x</div>",
    "columns": "<div style='column-count: 100000'>" + "x " * 1_000 + "</div>",
    "counters": "<style>li::before { counter-increment: c 2147483647; content: counters(c, '.') '"
    + "x" * 10_000
    + "' }</style>"
    + "<ol>" * 50
    + "<li>x" * 2_000,
    "spans": "<table>" + "<tr><td colspan=100000 rowspan=65534>x</td></tr>" * 20 + "</table>",
    "a giant table": "<table border=1>" + ("<tr>" + "<td>x</td>" * 100 + "</tr>") * 500 + "</table>",
    "pages": "<p style='break-before: page'>x</p>" * 3_000,
    "nested tables": "<table><tr><td>" * 300 + "x",
    "nested boxes": "<div style='display: flex'>" * 200 + "<p>x",
    "a million boxes": "<div>" * 700_000 + "x",
    "variables": "<style>:root { --a0: xxxxxxxxxx;"
    + "".join(f"--a{n}: var(--a{n - 1})var(--a{n - 1});" for n in range(1, 40))
    + "} p { font-family: var(--a39) }</style><p>x",
    "a grid": "<div style='display: grid; grid-template-columns: repeat(100000, 1px)'><p>x</div>",
    "generated": "<style>p::before { content: '" + "x" * 100_000 + "' }</style>x" + "<p>" * 500,
    "directions": "<p>" + "\u202eabc\u2066" * 20_000,
    "zalgo": "<p>" + "Z" + "\u0335" * 100_000,
    "a giant picture": "<img style='width: 1e9px; height: 1e9px' "
    "src='data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'>x",
    "imports": "<style>@import 'http://127.0.0.1:9/x'; @import url(file:///etc/hostname); "
    "@font-face { font-family: y; src: url(http://127.0.0.1:9/y) } p { font-family: y; "
    "background: url(http://127.0.0.1:9/z) }</style><p>x",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from a callback: comes again
@pytest.mark.parametrize("markup", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_markup_is_set_or_printed_as_text(markup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-14: the time given decides, and its text is on the page."""
    monkeypatch.setattr(layout, "MAX_CPU", 1)
    pages = [bits for _number, bits in convert.pages(markup.encode(), Kind.HTML, None, "a", FINE)]
    assert sum(_ink(bits) for bits in pages) > 0


def test_light_text_and_lines_are_black_and_backgrounds_are_left_out() -> None:
    light = '<body bgcolor="#000"><p style="color:#eee; background:#333; border:2px solid #ddd">said</p>'
    dark = '<body><p style="color:#000; border:2px solid #000">said</p>'
    (first,), (second,) = _set(light), _set(dark)
    assert np.array_equal(first, second)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from a callback: comes again
@pytest.mark.parametrize(
    "markup",
    [
        "<p>x" * 70_000,
        "<div>" * 20_000 + "x",
    ],
)
def test_more_than_can_be_set_is_refused_in_time(markup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_CPU", 2)
    with pytest.raises(layout.Refused):
        layout.to_pdf(markup, {}, FINE)


@pytest.mark.parametrize(
    "markup",
    [
        "<div style='width:1000000000px;position:fixed;left:900000000px'>x</div>y",
        "<p style='height:1000000000px'>x",
        "<div>" * 200 + "x",
        "\x00<",
        "",
    ],
)
def test_odd_pages_are_set_or_refused(markup: str) -> None:
    with contextlib.suppress(layout.Refused):
        assert len(_set(markup)) == 1


def test_what_is_not_set_is_printed_as_text_with_its_pictures() -> None:
    markup = b"<p>x" * 70_000
    packed = related.pack(related.Page(markup, None, {"one": _black_square()}))
    limited = Target(begin=lambda _page, _pages: None)
    *_text, last = [bits for _number, bits in convert.pages(packed, Kind.HTML, None, "a", limited)]
    assert _ink(last) > 100_000


@pytest.mark.asyncio(loop_scope="module")
async def test_a_mail_with_a_picture_is_set_in_the_sandbox(client: PageClient, make: Make) -> None:
    """The library that looks for fonts needs a thread, which the child's filter must allow."""
    message = make.mail("plain")
    message.add_alternative('<h1 style="font-family: serif">Title</h1><img src="cid:one@x">', subtype="html")
    message.get_payload(1).add_related(_black_square(), maintype="image", subtype="png", cid="<one@x>")
    walked = await client.walk(make.fd(bytes(message)))
    assert isinstance(walked, Walked)
    rendered = await client.render(walked.documents, RenderOptions())
    walked.close()
    assert isinstance(rendered, Rendered)
    (page,) = make.pages(rendered.fd)
    rendered.close()
    assert _ink(page[60:200]) > 1_000  # the title
    assert _ink(page) > 150_000  # the picture
