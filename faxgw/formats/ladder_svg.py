"""A call as a picture: an overview to scale, then a ladder between two lifelines, as one self-contained SVG file.

Below the overview the rows follow one another whatever time lies between; the times stand at the left, longer silences
are said. Nothing is fetched from anywhere, nothing runs; all texts are escaped, for they come from far ends too. The
colours follow the viewer's preference for light or dark.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from faxgw.formats.ladder import GAP, MAX_ENTRIES, Answer, Entry, Kind, Ladder, fold

WIDTH: Final = 1120
"""Pixels; all places below are pixels, too."""
MAX_WORDS: Final = 400
"""Characters of one text at most."""
_LEFT, _RIGHT = 130, 520
"""The two lifelines."""
_WORDS_AT: Final = 545
_COLUMNS: Final = 88
"""Characters of a line right of the ladder."""
_HEAD_COLUMNS: Final = 150
_TITLE_COLUMNS: Final = 92
_LINE: Final = 15
_ROW: Final = 27
_MARGIN: Final = 18
_BAR_AT, _BAR_WIDTH, _BAR_HEIGHT = _MARGIN, WIDTH - 2 * _MARGIN, 26
_TICKS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds between marks of the overview."""
_MAX_TICKS: Final = 14

_CLASSES: Final = {
    Answer.CONFIRMED: "good",
    Answer.REPEATED: "fair",
    Answer.REFUSED: "bad",
    Answer.NONE: "lost",
}
_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 section 2.2 has no place for."""

_STYLE: Final = """
svg { --paper: #ffffff; --ink: #1c2530; --soft: #5d6b7a; --rule: #c9d1da; --sip: #7a4fbf; --t30: #1668b8;
  --good: #bfe6c8; --good-ink: #14532d; --fair: #fbe3a6; --fair-ink: #6b4a00; --bad: #f6c1bd; --bad-ink: #8a1c14;
  --open: #e4e8ed; --lost: #dccdf3; --lost-ink: #4b2a8a; }
@media (prefers-color-scheme: dark) { svg { --paper: #12171d; --ink: #e6ebf0; --soft: #9aa7b5; --rule: #3a4652;
  --sip: #c3a2f5; --t30: #7cb8f2; --good: #1f4d2c; --good-ink: #c9f2d3; --fair: #5c4508; --fair-ink: #ffe9b0;
  --bad: #6b1f1a; --bad-ink: #ffd3cf; --open: #2b343e; --lost: #4a3570; --lost-ink: #e6d9fb; } }
text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.paper { fill: var(--paper); }
.title { font-size: 17px; font-weight: 600; }
.soft { fill: var(--soft); }
.note { fill: var(--soft); font-style: italic; }
.time { fill: var(--soft); font-variant-numeric: tabular-nums; text-anchor: end; }
.name { font-weight: 600; text-anchor: middle; }
.middle { text-anchor: middle; }
.life { stroke: var(--rule); stroke-width: 2; }
.rule { stroke: var(--rule); stroke-width: 1; }
.gap { stroke: var(--paper); stroke-width: 3; stroke-dasharray: 3 5; }
.sip { stroke: var(--sip); stroke-width: 1.5; } .sip-ink { fill: var(--sip); }
.t30 { stroke: var(--t30); stroke-width: 1.5; } .t30-ink { fill: var(--t30); }
.good { fill: var(--good); } .good-ink { fill: var(--good-ink); }
.fair { fill: var(--fair); } .fair-ink { fill: var(--fair-ink); }
.bad { fill: var(--bad); } .bad-ink { fill: var(--bad-ink); }
.lost { fill: var(--lost); } .lost-ink { fill: var(--lost-ink); }
.open { fill: var(--open); }
"""


@dataclass(slots=True)
class _Canvas:
    """The elements drawn so far, and how far down they go."""

    y: float = _MARGIN
    elements: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        shown = escape(_FORBIDDEN.sub("\ufffd", words[:MAX_WORDS]))
        self.elements.append(f'<text x="{x:g}" y="{y:g}"{_class(kind)}>{shown}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.elements.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"{_class(kind)}/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> None:
        place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3"{_class(kind)}'
        title = f"<title>{escape(_FORBIDDEN.sub('', hint))}</title>" if hint else ""
        self.elements.append(f"<rect {place}>{title}</rect>")

    def head(self, x: float, y: float, right: bool, kind: str) -> None:
        """The point of an arrow, at x."""
        back = x - 8 if right else x + 8
        self.elements.append(f'<polygon points="{x:g},{y:g} {back:g},{y - 4:g} {back:g},{y + 4:g}"{_class(kind)}/>')

    def paragraph(self, words: str, columns: int, kind: str = "") -> None:
        for line in textwrap.wrap(words[:MAX_WORDS], columns):
            self.y += _LINE + 1
            self.text(_MARGIN, self.y, line, kind)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def svg(ladder: Ladder, title: str, verdict: str, far_end: str = "far end", limit: int = MAX_ENTRIES) -> str:
    """The picture of one call.

    Args:
        ladder: The call.
        title: One line: which call it is.
        verdict: One sentence: what it came to.
        far_end: What stands above the far end's lifeline.
        limit: Entries at most; of more the middle pages are folded.
    """
    canvas = _Canvas()
    for line in textwrap.wrap(title[:MAX_WORDS], _TITLE_COLUMNS):
        canvas.text(_MARGIN, canvas.y + 8, line, "title")
        canvas.y += 21
    canvas.y -= 9
    canvas.paragraph(verdict, _HEAD_COLUMNS)
    canvas.y += 18
    _overview(canvas, ladder)
    _ladder(canvas, fold(ladder, limit), far_end)
    height = canvas.y + _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" '
            f'viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(_FORBIDDEN.sub("", title))}">',
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height:g}"/>',
            *canvas.elements,
            "</svg>",
            "",
        ]
    )


# The overview


def _overview(canvas: _Canvas, ladder: Ladder) -> None:
    """The whole call to scale: page transfers in their colours, and where T.30 and the answer began."""
    total = max(ladder.total, 1.0)
    scale = _BAR_WIDTH / total
    top = canvas.y
    canvas.box(_BAR_AT, top, _BAR_WIDTH, _BAR_HEIGHT, "open", "signalling and negotiation")
    for transfer in ladder.transfers:
        kind = _CLASSES[transfer.answer or Answer.NONE]
        x, width = _BAR_AT + transfer.at * scale, max(1.5, (transfer.until - transfer.at) * scale)
        canvas.box(x, top, width, _BAR_HEIGHT, kind, transfer.words)
        if width > 9 * len(str(transfer.page)) + 6:
            canvas.text(x + width / 2, top + 17, str(transfer.page), f"middle {kind}-ink")
    step = next((tick for tick in _TICKS if total / tick <= _MAX_TICKS), _TICKS[-1])
    for second in range(0, int(total) + 1, step):
        x = _BAR_AT + second * scale
        canvas.line(x, top + _BAR_HEIGHT, x, top + _BAR_HEIGHT + 5, "rule")
        anchor = "soft middle" if 0 < x - _BAR_AT < _BAR_WIDTH - 20 else "soft" if not second else "time"
        canvas.text(x, top + _BAR_HEIGHT + 18, f"{second} s", anchor)
    canvas.y = top + _BAR_HEIGHT + 28
    _legend(canvas, ladder)


def _legend(canvas: _Canvas, ladder: Ladder) -> None:
    x = float(_MARGIN)
    for answer in (a for a in Answer if any(transfer.answer is a for transfer in ladder.transfers)):
        kind = _CLASSES[answer]
        canvas.box(x, canvas.y, 12, 12, kind)
        canvas.text(x + 18, canvas.y + 10, f"page {answer.value}", "soft")
        x += 40 + 7.2 * len(f"page {answer.value}")
    canvas.y += 30


# The ladder


def _ladder(canvas: _Canvas, entries: Sequence[Entry], far_end: str) -> None:
    canvas.text(_LEFT, canvas.y, "this gateway", "name")
    canvas.text(_RIGHT, canvas.y, far_end, "name")
    canvas.y += 8
    top, behind = canvas.y, len(canvas.elements)
    last = 0.0
    for entry in entries:
        if entry.at - last >= GAP:
            _gap(canvas, entry.at - last)
        if entry.kind is Kind.DATA:
            _transfer(canvas, entry)
        elif entry.kind in (Kind.NOTE, Kind.FOLD):
            _note(canvas, entry)
        else:
            _arrow(canvas, entry)
        last = max(last, entry.at, entry.until)
    canvas.y += 10
    lives = _Canvas()
    for x in (_LEFT, _RIGHT):
        lives.line(x, top, x, canvas.y, "life")
    canvas.elements[behind:behind] = lives.elements


def _gap(canvas: _Canvas, seconds: float) -> None:
    for x in (_LEFT, _RIGHT):
        canvas.line(x, canvas.y + 2, x, canvas.y + 22, "gap")
    canvas.text((_LEFT + _RIGHT) / 2, canvas.y + 16, f"{seconds:.1f} s", "note middle")
    canvas.y += 24


def _words(canvas: _Canvas, words: str, kind: str = "soft") -> int:
    """The text right of the ladder; returns how many lines it took."""
    lines = textwrap.wrap(words[:MAX_WORDS], _COLUMNS)
    for index, line in enumerate(lines):
        canvas.text(_WORDS_AT, canvas.y + 20 + index * _LINE, line, kind)
    return len(lines)


def _arrow(canvas: _Canvas, entry: Entry) -> None:
    kind = "sip" if entry.kind is Kind.SIP else "t30"
    short, _, rest = entry.words.partition(", " if entry.kind is Kind.SIP else " ")
    y, right = canvas.y + 20, entry.way == ">"
    canvas.text(_LEFT - 14, y + 4, f"{entry.at:.2f}", "time")
    canvas.text((_LEFT + _RIGHT) / 2, y - 5, short[:56], f"name {kind}-ink")
    canvas.line(_LEFT, y, _RIGHT, y, kind)
    canvas.head(_RIGHT if right else _LEFT, y, right, f"{kind}-ink")
    lines = _words(canvas, rest)
    canvas.y += _ROW + max(0, lines - 1) * _LINE


def _transfer(canvas: _Canvas, entry: Entry) -> None:
    """A page: a bar that is the higher the longer it took, up to a bound."""
    answer = entry.answer or Answer.NONE
    kind, seconds = _CLASSES[answer], entry.until - entry.at
    height = min(64.0, 24.0 + 1.5 * seconds)
    top, right = canvas.y + 8, entry.way == ">"
    canvas.box(_LEFT + 6, top, _RIGHT - _LEFT - 12, height, kind, entry.words)
    canvas.text(_LEFT - 14, top + 14, f"{entry.at:.2f}", "time")
    arrow = "\u2192" if right else "\u2190"
    words = f"{arrow}  page {entry.page}, {seconds:.1f} s  {arrow}"
    canvas.text((_LEFT + _RIGHT) / 2, top + height / 2 + 4, words, f"name {kind}-ink")
    canvas.y = top + height / 2 - 16
    _words(canvas, f"{entry.words.partition(', ')[2].partition(', ')[2] or 'page data'}: {answer.value}", "")
    canvas.y = top + height


def _note(canvas: _Canvas, entry: Entry) -> None:
    canvas.text(_LEFT - 14, canvas.y + 20, f"{entry.at:.2f}", "time")
    if entry.kind is Kind.FOLD:
        for x in (_LEFT, _RIGHT):
            canvas.line(x, canvas.y + 6, x, canvas.y + 26, "gap")
        canvas.text((_LEFT + _RIGHT) / 2, canvas.y + 20, entry.words, "note middle")
        canvas.y += _ROW
        return
    lines = _words(canvas, entry.words, "note")
    canvas.y += _ROW - 6 + max(0, lines - 1) * _LINE
