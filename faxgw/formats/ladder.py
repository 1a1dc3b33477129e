"""A call's stored trace, read for people: T.30 frames, SIP messages, notes, and the page transfers between them.

The rows are those of `dispatch.trace`: `[seconds, way, frame in hexadecimal or "", words]`. Page data itself is not
traced; a transfer lies between the frame that lets it go (CFR, MCF, PPR …) and the command that ends it (ITU-T T.30
section 5.3.6 and Annex A.4). Frames are known here by their names, which begin their words.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final  # rows are JSON

GAP: Final = 3.0
"""Seconds of silence that are worth saying."""
MAX_ENTRIES: Final = 160
"""Entries shown of one call; of more the middle pages are folded."""
KEPT_PAGES: Final = 3
"""Pages at either end that are never folded."""
FRAME_OCTETS: Final = (256, 64)
"""Octets of an error correction frame, by bit 28 of DCS (T.30 Table 2)."""

_COMMANDS: Final = ("MPS", "EOM", "EOP", "PPS")
_STARTS: Final = frozenset({"CFR", "MCF", "RTP", "PIP", "PPR", "CTR"})
_CONFIRM: Final = frozenset({"MCF", "RTP", "PIP"})
_REFUSE: Final = frozenset({"RTN", "PIN"})
_MEASURES: Final = re.compile(r"page (\d+) (?:confirmed|received), (.*)")


class Kind(enum.Enum):
    """What an entry is."""

    FRAME = "frame"
    """A T.30 frame."""
    SIP = "sip"
    """A SIP message."""
    NOTE = "note"
    """Something we noted."""
    DATA = "data"
    """Page data: a transfer."""
    FOLD = "fold"
    """Stands for entries that are not shown."""


class Answer(enum.Enum):
    """What became of a transfer."""

    CONFIRMED = "confirmed"
    REPEATED = "partly asked for again"
    REFUSED = "refused"
    NONE = "not answered"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ladder."""

    at: float
    """Seconds since the INVITE."""
    way: str
    """`>` from us, `<` from the far end, `=` neither."""
    kind: Kind
    words: str
    name: str = ""
    """Of a frame: its name."""
    until: float = 0.0
    """Of a transfer: its end."""
    page: int = 0
    """Of a transfer: its page, counted from the first of the call's plan."""
    octets: int = 0
    """Of a transfer: octets of page data, as far as the frames tell (error correction only)."""
    answer: Answer | None = None
    """Of a transfer."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """One call."""

    entries: tuple[Entry, ...]
    """In the order of time."""
    total: float
    """Seconds from the INVITE to the last entry."""

    @property
    def transfers(self) -> tuple[Entry, ...]:
        """The page transfers."""
        return tuple(entry for entry in self.entries if entry.kind is Kind.DATA)


def read(rows: Iterable[Sequence[Any]] | None, first_page: int = 1) -> Ladder:
    """The ladder of a stored trace; rows that are none are passed over.

    Args:
        rows: The stored rows, or None.
        first_page: Number of the first page that the call was to send.
    """
    entries = [entry for row in rows or () if (entry := _entry(row)) is not None]
    entries.sort(key=lambda entry: entry.at)
    transfers = _transfers(entries, first_page)
    told = {entry.page for entry in transfers if entry.answer is Answer.CONFIRMED}
    others = [entry for entry in entries if _measured(entry) not in told]
    whole = sorted([*others, *transfers], key=lambda entry: entry.at)
    return Ladder(tuple(whole), max((max(entry.at, entry.until) for entry in whole), default=0.0))


def _entry(row: Sequence[Any]) -> Entry | None:
    try:
        at, way, octets, words = float(row[0]), str(row[1]), str(row[2]), str(row[3])
    except (IndexError, TypeError, ValueError):
        return None
    if way not in ("<", ">"):
        return Entry(at, "=", Kind.NOTE, words)
    if not octets:
        return Entry(at, way, Kind.SIP, words)
    name = words.partition(" ")[0]
    return Entry(at, way, Kind.FRAME, words, name, octets=_octets(name, octets))


def _measured(entry: Entry) -> int:
    """The page that a note tells the measures of; 0 for anything else."""
    found = _MEASURES.match(entry.words) if entry.kind is Kind.NOTE else None
    return int(found[1]) if found else 0


def _octets(name: str, frame: str) -> int:
    """Octets that a PPS says the block had; of a DCS the octets of an error correction frame."""
    try:
        raw = bytes.fromhex(frame)
    except ValueError:
        return 0
    if name == "DCS":
        return FRAME_OCTETS[len(raw) > 6 and raw[6] >> 3 & 1]
    return raw[6] + 1 if name.startswith("PPS-") and len(raw) > 6 else 0


def _transfers(entries: Sequence[Entry], first_page: int) -> list[Entry]:
    """The page transfers that the frames tell of."""
    found: list[Entry] = []
    frames = [entry for entry in entries if entry.kind is Kind.FRAME]
    decisions = [frame for frame in frames if frame.name == "DCS"]
    if not decisions:
        return []
    measures = {int(m[1]): m[2] for e in entries if e.kind is Kind.NOTE and (m := _MEASURES.match(e.words))}
    way, size, page = decisions[0].way, decisions[0].octets or FRAME_OCTETS[0], first_page
    began: float | None = None
    missing = 0
    pending: Entry | None = None
    for frame in frames:
        if frame.way == way and frame.name.startswith(_COMMANDS):
            if began is not None:
                blocks = missing or frame.octets
                pending = Entry(began, way, Kind.DATA, "", frame.name, frame.at, page, blocks * size)
                began, missing = None, 0
        elif frame.way != way and frame.name in _STARTS | _REFUSE:
            if pending is not None:
                answer = _answer(frame.name)
                found.append(_closed(pending, answer, measures))
                page += answer is Answer.CONFIRMED and not pending.name.endswith("NULL")
            last = pending is not None and pending.name.endswith("EOP") and frame.name in _CONFIRM
            began = frame.at if frame.name in _STARTS and not last and frame.name not in ("RTP", "PIP") else None
            missing = _asked_for(frame) if frame.name == "PPR" else missing * (frame.name == "CTR")
            pending = None
        elif frame.name in ("DCN", "DCS"):
            began = None if frame.name == "DCS" else began
    if pending is not None:
        found.append(_closed(pending, Answer.NONE, measures))
    elif began is not None:
        end = max(entries[-1].at, began)
        if end - began > 1.0:
            found.append(_closed(Entry(began, way, Kind.DATA, "", "", end, page), Answer.NONE, measures))
    return found


def _answer(name: str) -> Answer:
    if name in _CONFIRM:
        return Answer.CONFIRMED
    return Answer.REPEATED if name == "PPR" else Answer.REFUSED


def _asked_for(ppr: Entry) -> int:
    found = re.search(r"(\d+) frames", ppr.words)
    return int(found[1]) if found else 0


def _closed(pending: Entry, answer: Answer, measures: dict[int, str]) -> Entry:
    """The transfer with its words."""
    parts = [f"page {pending.page}", f"{pending.until - pending.at:.1f} s"]
    if pending.octets:
        parts.append(f"{pending.octets:,} octets on the line")
    if answer is Answer.CONFIRMED and pending.page in measures and not pending.name.endswith("NULL"):
        parts.append(measures[pending.page])
    if not pending.name:
        parts.append("broken off")
    return Entry(
        pending.at,
        pending.way,
        Kind.DATA,
        ", ".join(parts),
        pending.name,
        pending.until,
        pending.page,
        pending.octets,
        answer,
    )


def fold(ladder: Ladder, limit: int = MAX_ENTRIES) -> tuple[Entry, ...]:
    """The entries to be shown: at most `limit`, and the middle pages as one entry when there are more.

    Pages that went well are folded first, so that what went wrong stays to be seen; a call without pages, or with
    trouble throughout, loses the middle of what is left.
    """
    entries = ladder.entries
    if len(entries) <= limit:
        return entries
    pages = sorted({entry.page for entry in ladder.transfers})
    troubled = {entry.page for entry in ladder.transfers if entry.answer is not Answer.CONFIRMED}
    dull = set(pages[KEPT_PAGES:-KEPT_PAGES]) - troubled
    shown: list[Entry] = []
    hidden: list[Entry] = []
    page = 0
    for entry in entries:
        page = entry.page if entry.kind is Kind.DATA else page
        if page in dull and entry.kind is not Kind.SIP:
            hidden.append(entry)
            continue
        _unfold(shown, hidden)
        shown.append(entry)
    _unfold(shown, hidden)
    if len(shown) > limit:
        middle = shown[limit // 2 : len(shown) - limit // 2 + 1]
        shown[limit // 2 : len(shown) - limit // 2 + 1] = [_folded(middle)]
    return tuple(shown)


def _unfold(shown: list[Entry], hidden: list[Entry]) -> None:
    shown.extend([_folded(hidden)] if len(hidden) > 2 else hidden)
    hidden.clear()


def _folded(hidden: Sequence[Entry]) -> Entry:
    pages = [entry.page for entry in hidden if entry.kind is Kind.DATA]
    end = max(max(entry.at, entry.until) for entry in hidden)
    words = f"{len(hidden)} entries not shown"
    if pages:
        which = f"pages {pages[0]} to {pages[-1]}" if pages[0] != pages[-1] else f"page {pages[0]}"
        words = f"{which}: {len(hidden)} entries not shown, {end - hidden[0].at:.0f} s"
    octets = sum(entry.octets for entry in hidden if entry.kind is Kind.DATA)
    return Entry(hidden[0].at, "=", Kind.FOLD, words, until=end, page=pages[0] if pages else 0, octets=octets)


def verdict(outcome: dict[str, Any] | None, cause_text: str) -> str:
    """The result in one sentence.

    Args:
        outcome: The stored outcome (`fax.outcome.Outcome` as JSON), or None.
        cause_text: What its cause means, in words.
    """
    said = outcome or {}
    medium = {"t38": "T.38", "g711": "audio (G.711)"}.get(str(said.get("transport") or ""), "")
    parts = [
        medium,
        f"{said['bit_rate']} bit/s" if said.get("bit_rate") else "",
        str(said.get("encoding") or ""),
        "error correction" if said.get("ecm") else "",
    ]
    how = " ".join(filter(None, parts))
    answered, ended = said.get("answered_at"), said.get("ended_at")
    seconds = f"{max(0.0, ended - answered):.0f} s connected" if answered and ended else "not connected"
    detail = f" ({said['detail']})" if said.get("detail") else ""
    return f"{cause_text or 'The call is not over.'}{detail} {', '.join(filter(None, [how, seconds]))}."
