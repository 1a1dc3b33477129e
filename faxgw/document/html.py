"""HTML to plain text: what a reader would read, without its looks (page process only).

A scanner of our own that looks at every character a bounded number of times; the standard library's parser needs
quadratic time on broken mark-up. Nothing is fetched or executed, scripts and styles are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

_BLOCKS = frozenset(
    "address article aside blockquote body center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header"  # noqa: SIM905
    " hr html li main nav ol p pre section table tbody tfoot thead tr ul".split()
)
_APART = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre"))
_DROPPED = frozenset(("head", "template", "noscript", "object", "iframe", "svg", "math", "select"))
_RAW = frozenset(("script", "style", "title", "textarea", "xmp"))
"""Elements whose content is no mark-up."""
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]{0,30})")
_LONE = re.compile(r"<+(?=<)|<(?![A-Za-z/!?])")
"""One or more "<" that are just characters."""
_STOP = re.compile("[>\"']")
_HEAD = 4_096
"""Octets in which mark-up may name its charset; browsers look at 1,024."""
_CHARSET = re.compile(
    rb"""<meta\b[^>]{0,500}?\bcharset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{1,40})"""
    rb"""|\A\s{0,20}<\?xml[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})""",
    re.I,
)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def charset_of(data: bytes) -> str | None:
    """The charset that the mark-up itself names at its start (WHATWG HTML section 13.2.3.2), if any."""
    match = _CHARSET.search(data[:_HEAD])
    if match is None:
        return None
    name = (match[1] or match[2]).decode("ascii").lower()
    return "utf-8" if name.startswith("utf-16") else name  # it could not be read here otherwise


def to_text(markup: str) -> str:
    """Extract the text of an HTML document."""
    writer = _Writer()
    for name, is_end, data in _tokens(markup):
        if not name:
            writer.data(data)
        elif is_end:
            writer.end(name)
        else:
            writer.start(name)
    return writer.text()


def _tokens(markup: str) -> Iterator[tuple[str, bool, str]]:
    """Tags as (name, is an end tag, ""), text as ("", False, text)."""
    position = 0
    unpaired: set[str] = set()  # quotes of which none is left
    while True:
        at = markup.find("<", position)
        data = markup[position : at if at >= 0 else len(markup)]
        if data:
            yield "", False, unescape(data)
        if at < 0:
            return
        lone = _LONE.match(markup, at)
        if lone is not None:
            yield "", False, lone[0]
            position = lone.end()
            continue
        tag = _TAG.match(markup, at)
        if tag is None:
            position = _no_tag(markup, at)
            continue
        position = _tag_end(markup, tag.end(), unpaired)
        name, is_end = tag[1].lower(), markup[at + 1] == "/"
        yield name, is_end, ""
        if name in _RAW and not is_end:
            closing = re.compile(f"</{name}", re.I).search(markup, position)
            position = closing.start() if closing else len(markup)


def _no_tag(markup: str, at: int) -> int:
    """Where the text goes on after a comment, a declaration, or what looks like one."""
    if markup.startswith("<!--", at):
        end = markup.find("-->", at + 4)
        return end + 3 if end >= 0 else len(markup)
    end = markup.find(">", at)
    return end + 1 if end >= 0 else len(markup)


def _tag_end(markup: str, position: int, unpaired: set[str]) -> int:
    """Where a tag ends; a ">" within quotes does not end it, an unpaired quote is just a character."""
    while (stop := _STOP.search(markup, position)) is not None:
        position = stop.end()
        if stop[0] == ">":
            return position
        if stop[0] not in unpaired:
            closing = markup.find(stop[0], position)
            if closing < 0:
                unpaired.add(stop[0])
            else:
                position = closing + 1
    return len(markup)


class _Writer:
    """Tags and text in, lines out."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._line: list[str] = []
        self._dropped = ""
        self._depth = 0
        self._pre = 0

    def text(self) -> str:
        self._end_line()
        return _EMPTY_LINES.sub("\n\n", "\n".join(self._out)).strip("\n")

    def start(self, tag: str) -> None:
        if self._dropped:
            if tag == "body" and self._dropped == "head":
                self._dropped = ""  # a head that was never closed
            self._depth += tag == self._dropped
        elif tag in _DROPPED:
            self._dropped, self._depth = tag, 1
        elif tag == "br":
            self._end_line(force=True)
        elif tag in ("td", "th"):
            if self._line:
                self._line.append("  ")
        elif tag in _BLOCKS:
            self._block(tag)
            if tag in ("li", "hr"):
                self._line.append("- " if tag == "li" else "-" * 40)
            self._pre += tag == "pre"

    def end(self, tag: str) -> None:
        if self._dropped:
            self._depth -= tag == self._dropped
            if not self._depth:
                self._dropped = ""
        elif tag in _BLOCKS:
            self._block(tag)
            self._pre = max(0, self._pre - (tag == "pre"))

    def data(self, data: str) -> None:
        if self._dropped:
            return
        if self._pre:
            *whole, last = data.replace("\r\n", "\n").split("\n")
            for piece in whole:
                self._line.append(piece)
                self._end_line(force=True)
            data = last
        else:
            data = _SPACE.sub(" ", data)
            if not self._line or self._line[-1].endswith(" "):
                data = data.removeprefix(" ")
        if data:
            self._line.append(data)

    def _block(self, tag: str) -> None:
        self._end_line()
        if tag in _APART and self._out and self._out[-1]:
            self._out.append("")

    def _end_line(self, force: bool = False) -> None:
        line = "".join(self._line).rstrip().replace("\xa0", " ")
        self._line.clear()
        if line or force:
            self._out.append(line)
