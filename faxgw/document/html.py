"""HTML to plain text: what a reader would read, without its looks (page process only).

The standard library's event parser does the reading; nothing is fetched, nothing is executed, scripts and styles are
dropped. Output is bounded by input.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    "address article aside blockquote body center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header"  # noqa: SIM905
    " hr html li main nav ol p pre section table tbody tfoot thead tr ul".split()
)
_APART = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre"))
_DROPPED = frozenset(("script", "style", "head", "title", "template", "noscript", "object", "iframe", "svg", "math"))
_SPACE = re.compile(r"[ \t\r\n\f]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def to_text(markup: str) -> str:
    """Extract the text of an HTML document."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._out: list[str] = []
        self._line = ""
        self._dropped = 0
        self._dropped_tag = ""
        self._pre = 0

    def text(self) -> str:
        self._end_line()
        return _EMPTY_LINES.sub("\n\n", "\n".join(self._out)).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropped:
            self._dropped += tag == self._dropped_tag
        elif tag == "body":
            self._end_line()
        elif tag in _DROPPED:
            self._dropped, self._dropped_tag = 1, tag
        elif tag == "br":
            self._end_line(force=True)
        elif tag in ("td", "th"):
            self._line += "  " if self._line.strip() else ""
        elif tag in _BLOCKS:
            self._block(tag)
            self._line = {"li": "- ", "hr": "-" * 40}.get(tag, "")
            self._pre += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _DROPPED:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            self._dropped -= tag == self._dropped_tag
        elif tag in _BLOCKS:
            self._block(tag)
            self._pre = max(0, self._pre - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._dropped:
            return
        if self._pre:
            *whole, last = data.replace("\r\n", "\n").split("\n")
            for piece in whole:
                self._line += piece
                self._end_line(force=True)
            self._line += last
            return
        data = _SPACE.sub(" ", data)
        if self._line.endswith(" ") or not self._line:
            data = data.removeprefix(" ")
        self._line += data

    def _block(self, tag: str) -> None:
        self._end_line()
        if tag in _APART and self._out and self._out[-1]:
            self._out.append("")

    def _end_line(self, force: bool = False) -> None:
        if force or self._line.strip():
            self._out.append(self._line.rstrip().replace("\xa0", " "))
        self._line = ""
