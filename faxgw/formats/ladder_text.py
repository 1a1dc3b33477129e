"""A call as a ladder in plain text: the time since the INVITE, an arrow, words (see `formats.ladder`)."""

from __future__ import annotations

from typing import Final

from faxgw.formats.ladder import GAP, Entry, Kind, Ladder, fold

_ARROWS: Final = {
    (Kind.SIP, ">"): "SIP  ---->",
    (Kind.SIP, "<"): "SIP  <----",
    (Kind.FRAME, ">"): "T.30 ---->",
    (Kind.FRAME, "<"): "T.30 <----",
    (Kind.DATA, ">"): "page ====>",
    (Kind.DATA, "<"): "page <====",
}
_BLANK: Final = " " * 10


def text(ladder: Ladder, limit: int | None = None) -> list[str]:
    """The lines of a ladder; with `limit` at most so many entries."""
    entries = ladder.entries if limit is None else fold(ladder, limit)
    lines, last = [], 0.0
    for entry in entries:
        if entry.at - last >= GAP:
            lines.append(f"{'':9}  {_BLANK}  ... {entry.at - last:.1f} s")
        lines.append(_line(entry))
        last = max(last, entry.at, entry.until)
    return lines


def _line(entry: Entry) -> str:
    words = entry.words
    if entry.kind is Kind.DATA and entry.answer is not None:
        words = f"{words}: {entry.answer.value}"
    elif entry.kind in (Kind.NOTE, Kind.FOLD):
        words = f"({words})"
    return f"{entry.at:9.3f}  {_ARROWS.get((entry.kind, entry.way), _BLANK)}  {words}"
