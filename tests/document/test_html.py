"""HTML to text."""

from __future__ import annotations

import time

import pytest

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


@pytest.mark.parametrize(
    "piece",
    ["<", "<a", "<a ", "<!--", "<!", "</", "<p>", "<a b='", '<a b="', "<script>", "&", "&amp", "<pre>\n", "<td>x"],
)
def test_a_million_of_anything_takes_no_long(piece: str) -> None:
    """P-14: mark-up bombs."""
    began = time.process_time()
    to_text(piece * (1_000_000 // len(piece)))
    to_text("x" + piece * (1_000_000 // len(piece)) + ">\"'")
    assert time.process_time() - began < 8
