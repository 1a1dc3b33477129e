"""HTML and RTF of what was read: nothing of a fax becomes a tag or a control word."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

from faxgw.fax.reading import PageReading
from faxgw.formats import readings_pages
from faxgw.formats.readings import ReadFax


def fax(text: str, ident: str = "") -> ReadFax:
    when = datetime(2026, 11, 22, 4, 5, 6, tzinfo=UTC)
    page = PageReading(1, 1728, 2200, text, language="deu")
    return ReadFax("rcv_1", f"Fax {ident}", "+33", "+49", ident, when, 2, False, (page,))


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_shows_the_text_and_runs_nothing() -> None:
    seen = Seen()
    seen.feed(readings_pages.html(fax("<script>alert(1)</script>\nzwei\n\nneuer Absatz\n", "<img src=x>")).decode())
    assert "script" not in seen.tags and "img" not in seen.tags and "a" not in seen.tags
    assert seen.tags.count("section") == 2 and seen.tags.count("p") == 2 and seen.tags.count("br") == 1
    assert "<script>alert(1)</script>" in seen.text
    assert "2, incomplete" in seen.text


def test_rtf_is_ascii_and_escapes_what_would_be_control() -> None:
    made = readings_pages.rtf(fax("a\\b{c}\nGrüße 漢 \U0001f600\n\nzwei\n"))
    assert made.isascii() and made.startswith(b"{\\rtf1\\ansi") and made.rstrip().endswith(b"}")
    assert b"a\\\\b\\{c\\}\\line\nGr\\u252?\\u223?e \\u28450? \\u-10179?\\u-8704?\\par\\par\nzwei" in made
    assert made.count(b"\\page\n") == 1
    unescaped = made.replace(b"\\\\", b"").replace(b"\\{", b"").replace(b"\\}", b"")
    assert unescaped.count(b"{") == unescaped.count(b"}")
