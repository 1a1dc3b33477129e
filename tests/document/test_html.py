"""HTML to text."""

from __future__ import annotations

import re

import pytest

from faxgw.document import html
from faxgw.document.html import to_text

MAIL = """<!DOCTYPE html><html><head><title>Mail</title><style>p { color: red }</style>
<script>if (1 < 2) alert("<p>no</p>")</script></head><body><!-- <p>hidden</p> -->
<h1>Order&nbsp;17</h1><p>Dear Ms&#46; M&uuml;ller,<br>two   items
follow:</p><ul><li>One</li><li>Two &amp; <b>a</b> half</li></ul>
<table><tr><td>Sum</td><td>12&thinsp;&euro;</td></tr></table>
<pre>a  b
 c</pre><p>Bye <img alt="a > b" src='x'></p></body></html>"""


def test_a_mail_reads_as_its_reader_sees_it() -> None:
    assert to_text(MAIL) == (
        "Order 17\n\nDear Ms. Müller,\ntwo items follow:\n\n- One\n- Two & a half\n\nSum  12\u2009€\n\na  b\n c\n\nBye"
    )


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        ("", ""),
        ("just text", "just text"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("a<", "a<"),
        ("<p>open", "open"),
        ("a<!-- never closed", "a"),
        ("a<p title='never closed>b", "a\n\nb"),
        ("a<script>never closed", "a"),
        ("<head><body>b", "b"),
        ("a<svg><text>no</text></svg>b", "ab"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("a</nonsense>b", "ab"),
        ("<SCRIPT>x</SCRIPT>y", "y"),
        ("&lt;b&gt; stays text", "<b> stays text"),
    ],
)
def test_broken_markup_yields_its_text(markup: str, said: str) -> None:
    assert to_text(markup) == said


class Looks:
    """Characters that were looked at."""

    characters = 0


class CountingMarkup(str):
    """Mark-up that counts what is looked at of it."""

    looks: Looks

    def __new__(cls, markup: str, looks: Looks) -> CountingMarkup:
        new = super().__new__(cls, markup)
        new.looks = looks
        return new

    def find(self, sub: str, start: int = 0) -> int:  # type: ignore[override]
        at = super().find(sub, start)
        self.looks.characters += (at if at >= 0 else len(self)) - start
        return at


class CountingPattern:
    """An expression that counts what it looks at."""

    def __init__(self, pattern: re.Pattern[str], looks: Looks) -> None:
        self._pattern = pattern
        self._looks = looks

    def match(self, markup: str, start: int) -> re.Match[str] | None:
        found = self._pattern.match(markup, start)
        self._looks.characters += found.end() - start if found else 1
        return found

    def search(self, markup: str, start: int) -> re.Match[str] | None:
        found = self._pattern.search(markup, start)
        self._looks.characters += (found.end() if found else len(markup)) - start
        return found


LOOKS = 6
"""Times that each character may be looked at on average."""


@pytest.mark.parametrize(
    "piece",
    ["<", "<a", "<a ", "<!--", "<!", "</", "<p>", "<a b='", '<a b="', "<script>", "&", "&amp", "<pre>\n", "<td>x"],
)
def test_a_million_of_anything_is_looked_at_a_few_times(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-14: mark-up bombs; a scanner that goes back looks at each character a thousand times and more."""
    looks = Looks()
    for name in ("_TAG", "_LONE", "_STOP"):
        monkeypatch.setattr(html, name, CountingPattern(getattr(html, name), looks))
    many = piece * (1_000_000 // len(piece))
    for markup in (many, f"x{many}>\"'"):
        looks.characters = 0
        to_text(CountingMarkup(markup, looks))
        assert 0 < looks.characters < LOOKS * len(markup)
