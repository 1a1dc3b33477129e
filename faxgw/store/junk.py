"""Junk and copies among received faxes: judged, set aside, told, settled (features G8; the score is `fax.junk`).

A fax is judged before its rules are asked, and once more when its pages have been looked at. One whose score reaches
its number's `junk_score` is set aside in the transaction that routes it: its deliveries are written like any other's,
and wait. They go when its owner says that it is none, or after `junk_hours`; a fax called junk is kept, undelivered,
until its days are over. What an owner says is learned for the sender. A copy is flagged and never held back.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any  # rows, JSON
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from faxgw.fax import junk as law
from faxgw.fax import likeness
from faxgw.fax.account import Effective, Level, Origin, from_snapshot, resolve
from faxgw.fax.errors import Refused
from faxgw.fax.job import FaxState
from faxgw.fax.junk import Facts, Judgement
from faxgw.fax.number import dialled_forms
from faxgw.fax.reception import ReceptionState
from faxgw.store import directory, outbox
from faxgw.store import schema as t
from faxgw.store.accounts import NotFound
from faxgw.store.journal import note
from faxgw.store.receptions import move, row_of
from faxgw.store.unit import notify

FLOOD_WITHIN = 86_400.0
"""Seconds within which the same page at several numbers is a flood."""
CANDIDATES = 100
"""Pages that one page is compared with at most, the newest first; one comparison takes some 2 ms."""
MAX_PRINTS = 20
"""Pages of a fax that have a print; a copy is told by them."""
FOREVER = 100 * 365.25 * 86_400.0
"""Seconds for which a delivery waits that only its owner lets go."""
FORGOTTEN_AT_ONCE = 20
"""Numbers whose old verdicts are removed in one unit."""
RELEASED_AT_ONCE = 50
"""Faxes released in one unit when their hours are over."""
MAX_COUNTED = 5
"""Earlier faxes that are counted."""
MAX_LISTED = 500
"""Faxes in one answer."""


class State(enum.StrEnum):
    """What became of a judged fax."""

    CLEAR = "clear"
    ASIDE = "aside"
    """Its deliveries wait."""
    RELEASED = "released"
    """They went after all."""
    JUNK = "junk"
    """Its owner called it junk."""


class Verdict(enum.StrEnum):
    """What an owner says."""

    JUNK = "junk"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Print:
    """How a page looks."""

    page: int
    ink: float
    """Share of black."""
    print: bytes


@dataclass(frozen=True, slots=True)
class Looks:
    """What comparing a fax's pages with others brought."""

    duplicate_of: str = ""
    """An earlier fax to the same number that looks the same, page by page."""
    other_numbers: int = 0
    """Other numbers of ours to which its first page came, too."""
    like_junk: str = ""
    """A fax called junk at this number whose first page is the same."""


# ------------------------------------------------------------------------------------------------------------- looks


def look(conn: Connection, reception: str, prints: Sequence[Print], *, now: float) -> Looks:
    """Compare a fax with those of its number and of its day; reads only, some 2 ms a comparison."""
    if not prints:
        return Looks()
    row = row_of(conn, reception)
    days = from_snapshot(row.settings)["duplicate_days"]
    first, whole = prints[0], {one.page: likeness.unpacked(one.print) for one in prints}
    duplicate, like_junk, numbers = "", "", set[str]()
    called_junk = _called_junk(conn, row, now)
    for other in _candidates(conn, row, first, now - max(FLOOD_WITHIN, days * 86_400.0)):
        own = other.number == row.number
        if not own and (other.number in numbers or other.at < now - FLOOD_WITHIN):
            continue
        if not likeness.compare(whole[first.page], likeness.unpacked(other.print)).same:
            continue
        if not own:
            numbers.add(other.number)
            continue
        if other.reception in called_junk:
            like_junk = like_junk or other.reception
        recent = days and other.at >= now - days * 86_400.0
        if recent and not duplicate and other.pages == row.pages and _rest_is_same(conn, other.reception, whole, first):
            duplicate = other.reception
    return Looks(duplicate, len(numbers), like_junk)


def _candidates(conn: Connection, row: Row[Any], first: Print, since: float) -> Sequence[Row[Any]]:
    """First pages that may be the same by their ink, the newest first; the own number's come first."""
    c = t.page_prints.c
    spread = likeness.INK_WITHIN
    query = (
        select(t.page_prints)
        .where(c.page == 1, c.reception != row.id, c.at >= since, c.ink > 0.0)
        .where(c.ink.between(first.ink * (1 - spread), first.ink / (1 - spread)))
    )
    own = conn.execute(query.where(c.number == row.number).order_by(c.at.desc()).limit(CANDIDATES // 2)).all()
    others = conn.execute(query.where(c.number != row.number).order_by(c.at.desc()).limit(CANDIDATES // 2)).all()
    return [*own, *others] if first.ink > 0.0 else []


def _called_junk(conn: Connection, row: Row[Any], now: float) -> set[str]:
    c = t.junk_verdicts.c
    query = select(c.value).where(c.number == row.number, c.kind == "image", c.verdict == Verdict.JUNK.value)
    return set(conn.execute(query.where(c.at >= _remembered_since(from_snapshot(row.settings), now))).scalars())


def _remembered_since(settings: Effective, now: float) -> float:
    """Unix seconds from which on what an owner said counts."""
    return now - float(settings["junk_memory_days"]) * 86_400.0


def _rest_is_same(conn: Connection, other: str, whole: Mapping[int, likeness.Cells], first: Print) -> bool:
    """Whether every further page has its like at its place."""
    c = t.page_prints.c
    theirs = {row.page: row.print for row in conn.execute(select(c.page, c.print).where(c.reception == other))}
    rest = [page for page in whole if page != first.page]
    return all(page in theirs and likeness.compare(whole[page], likeness.unpacked(theirs[page])).same for page in rest)


# ------------------------------------------------------------------------------------------------------------- judge


def judge(
    conn: Connection, reception: str, *, now: float, prints: Sequence[Print] = (), looks: Looks | None = None
) -> Judgement:
    """Judge a fax that is not routed yet, and write it down; again with more known, it is judged anew.

    Args:
        conn: The unit's connection.
        reception: The fax.
        now: Unix seconds.
        prints: How its pages look, once that is known.
        looks: What comparing them brought.
    """
    row = row_of(conn, reception)
    known = conn.execute(select(t.junk.c.state).where(t.junk.c.reception == reception)).first()
    for one in prints[:MAX_PRINTS]:
        _keep_print(conn, row, one)
    judgement = law.judge(_facts(conn, row, prints, looks or Looks(), now))
    values = {"score": judgement.score, "reasons": judgement.to_json(), "judged_at": now}
    if looks is not None:
        values["duplicate_of"] = looks.duplicate_of
    if known is None:
        first = {"reception": reception, "number": row.number, "state": State.CLEAR.value, "duplicate_of": ""}
        conn.execute(insert(t.junk).values(**{**first, **values}))
    elif known.state == State.CLEAR:
        conn.execute(update(t.junk).where(t.junk.c.reception == reception).values(**values))
    return judgement


def _keep_print(conn: Connection, row: Row[Any], one: Print) -> None:
    c = t.page_prints.c
    conn.execute(delete(t.page_prints).where(c.reception == row.id, c.page == one.page))
    where = {"reception": row.id, "page": one.page, "number": row.number, "at": row.started_at, "pages": row.pages}
    conn.execute(insert(t.page_prints).values(**where, ink=one.ink, print=one.print))


def _facts(conn: Connection, row: Row[Any], prints: Sequence[Print], looks: Looks, now: float) -> Facts:
    settings = from_snapshot(row.settings)
    inks = tuple(one.ink for one in prints)
    return Facts(
        caller=row.caller,
        ident=row.ident,
        complete=row.state != ReceptionState.PARTIAL.value,
        hour=datetime.fromtimestamp(row.started_at, ZoneInfo(settings["time_zone"])).hour,
        inks=inks,
        text=_text(conn, row.id),
        good_before=_good_before(conn, row),
        sent_to=_sent_to(conn, row, settings["country"]),
        other_numbers=looks.other_numbers,
        verdict=_verdict(conn, row, _remembered_since(settings, now)),
        like_junk=looks.like_junk,
    )


def _text(conn: Connection, reception: str) -> str:
    """What has been read so far."""
    text = t.readings.c.reading["text"].as_string()
    query = select(text).where(t.readings.c.reception == reception, t.readings.c.state == "read")
    return "\n".join(filter(None, conn.execute(query.order_by(t.readings.c.page).limit(5)).scalars()))[: law.MAX_TEXT]


def _good_before(conn: Connection, row: Row[Any]) -> int:
    """Earlier faxes from the same sender to this number that nobody and nothing called junk."""
    c, j = t.receptions.c, t.junk.c
    sender = c.caller == row.caller if row.caller else c.ident == row.ident
    if not row.caller and not row.ident:
        return 0
    query = (
        select(c.id)
        .outerjoin(t.junk, j.reception == c.id)
        .where(c.customer == row.customer, c.number == row.number, c.pages > 0, c.id != row.id, sender)
        .where(c.started_at < row.started_at)
        .where(or_(j.state.is_(None), j.state.in_([State.CLEAR.value, State.RELEASED.value])))
        .limit(MAX_COUNTED)
    )
    return len(conn.execute(query).all())


def _sent_to(conn: Connection, row: Row[Any], country: str) -> int:
    forms = dialled_forms(row.caller, country) if row.caller else ()
    c = t.faxes.c
    query = select(c.id).where(c.e164.in_(forms), c.state == FaxState.SENT.value, c.customer == row.customer)
    return len(conn.execute(query.limit(MAX_COUNTED)).all()) if forms else 0


def _verdict(conn: Connection, row: Row[Any], since: float) -> str:
    """What the owner said last of this sender; by the caller's number, else by the machine's name."""
    c = t.junk_verdicts.c
    for kind, value in _sender(row):
        query = select(c.verdict).where(c.number == row.number, c.kind == kind, c.value == value, c.at >= since)
        if (found := conn.execute(query).scalar()) is not None:
            return str(found)
    return ""


def _sender(row: Row[Any]) -> Sequence[tuple[str, str]]:
    """How a sender is known again: one who shows a number by it alone, for a machine's name is anybody's."""
    return [("caller", row.caller)] if row.caller else [("ident", row.ident)] if row.ident else []


# ------------------------------------------------------------------------------------------------------- set aside


def set_aside(conn: Connection, reception: str, *, now: float) -> bool:
    """Let the deliveries of a fax wait if its score says so; called in the transaction that wrote them."""
    row = row_of(conn, reception)
    judged = conn.execute(select(t.junk).where(t.junk.c.reception == reception)).first()
    settings = from_snapshot(row.settings)
    if judged is None or not settings["junk_score"] or judged.score < settings["junk_score"]:
        return False
    hours = settings["junk_hours"]
    until = now + hours * 3600.0 if hours else None
    waiting = (t.outbox.c.reception == reception) & (t.outbox.c.state == "due")
    conn.execute(update(t.outbox).where(waiting).values(due_at=until or now + FOREVER, detail="set aside as junk"))
    values = {"state": State.ASIDE.value, "release_at": until}
    conn.execute(update(t.junk).where(t.junk.c.reception == reception).values(**values))
    data = {"score": judged.score, "threshold": settings["junk_score"], "until": until}
    note(conn, reception, "reception.set_aside", now=now, data=data)
    return True


def release_due(conn: Connection, *, now: float) -> Sequence[str]:
    """Release some faxes whose hours are over; which."""
    c = t.junk.c
    query = select(c.reception).where(c.state == State.ASIDE.value, c.release_at <= now).limit(RELEASED_AT_ONCE)
    found = list(conn.execute(query).scalars())
    for reception in found:
        _release(conn, reception, who="gateway", now=now)
    return found


def settle(conn: Connection, *, reception: str, verdict: Verdict, customer: str, who: str, now: float) -> State:
    """Somebody says of a received fax that it is junk, or that it is none; what it is now.

    It is learned for the sender. A fax that was set aside is delivered, or kept undelivered; one that was delivered
    stays delivered; one that was kept as junk is delivered after all.

    Raises:
        NotFound: If there is no such fax, or none of this customer.
    """
    query = select(t.receptions).where(t.receptions.c.id == reception)
    row = conn.execute(query).first()
    judged = conn.execute(select(t.junk).where(t.junk.c.reception == reception)).first()
    if row is None or (customer and row.customer != customer):
        raise NotFound(f"no reception {reception}", public="There is no such received fax.")
    if judged is None or row.state in (ReceptionState.COMPLETE.value, ReceptionState.PARTIAL.value):
        raise Refused(f"{reception} is not judged", public="The received fax has not been judged yet.")
    _learn(conn, row, verdict, who, now)
    if verdict is Verdict.GOOD:
        if judged.state in (State.ASIDE, State.JUNK):
            return _release(conn, reception, who=who, now=now)
    elif judged.state == State.ASIDE:
        return _keep(conn, row, who, now)
    note(conn, reception, f"reception.called_{verdict.value}", now=now, who=who)
    return State(judged.state)


def _learn(conn: Connection, row: Row[Any], verdict: Verdict, who: str, now: float) -> None:
    for kind, value in [*_sender(row), ("image", row.id)]:
        c = t.junk_verdicts.c
        conn.execute(delete(t.junk_verdicts).where(c.number == row.number, c.kind == kind, c.value == value))
        what = {"number": row.number, "kind": kind, "value": value, "verdict": verdict.value}
        conn.execute(insert(t.junk_verdicts).values(**what, at=now, by=who[:130]))


def forget(conn: Connection, system: Mapping[str, object], *, after: str, now: float) -> str:
    """Remove what was said of senders so long ago that it does not count any more.

    Args:
        conn: The unit's connection.
        system: Settings of the system level.
        after: Numbers behind this one are looked at, some at a time.
        now: Unix seconds.

    Returns:
        The last number looked at; empty: there are no more.
    """
    c = t.junk_verdicts.c
    numbers = select(c.number).where(c.number > after).distinct().order_by(c.number).limit(FORGOTTEN_AT_ONCE)
    last = ""
    for last in conn.execute(numbers).scalars().all():
        entry = directory.number(conn, system, [last])
        settings = resolve([(Origin(Level.SYSTEM), system)]) if entry is None else entry.settings
        conn.execute(delete(t.junk_verdicts).where(c.number == last, c.at < _remembered_since(settings, now)))
    return last


def _release(conn: Connection, reception: str, *, who: str, now: float) -> State:
    """Let the deliveries go, each with its whole lifetime."""
    c = t.outbox.c
    mine = c.reception == reception
    waiting = mine & (c.state == "due") & (c.tries == 0)
    values = {"due_at": now, "created_at": now, "detail": ""}
    conn.execute(update(t.outbox).where(waiting).values(**values))
    given_up = mine & (c.state == "dead") & (c.detail == KEPT_AS_JUNK)
    conn.execute(update(t.outbox).where(given_up).values(**values, state="due", done_at=None))
    _settled(conn, reception, State.RELEASED, who, now)
    note(conn, reception, "reception.released", now=now, who=who)
    notify(conn, outbox.TOPIC)
    return State.RELEASED


KEPT_AS_JUNK = "kept as junk"
"""Detail of a delivery that its owner does not want."""


def _keep(conn: Connection, row: Row[Any], who: str, now: float) -> State:
    """Deliver it to nobody; it stays in the inbox until its days are over."""
    c = t.outbox.c
    waiting = (c.reception == row.id) & (c.state == "due")
    conn.execute(update(t.outbox).where(waiting).values(state="dead", done_at=now, detail=KEPT_AS_JUNK))
    _settled(conn, row.id, State.JUNK, who, now)
    if row.state == ReceptionState.ROUTED:
        move(conn, row.id, ReceptionState.RETAINED, now=now, data={"junk": True})
    note(conn, row.id, "reception.called_junk", now=now, who=who)
    return State.JUNK


def _settled(conn: Connection, reception: str, state: State, who: str, now: float) -> None:
    values = {"state": state.value, "settled_at": now, "settled_by": who[:130], "release_at": None}
    conn.execute(update(t.junk).where(t.junk.c.reception == reception).values(**values))


# -------------------------------------------------------------------------------------------------------------- read


def listed(conn: Connection, *, customer: str, everything: bool, limit: int) -> Sequence[Mapping[str, Any]]:
    """Faxes that are set aside, newest first; with `everything` all that were judged."""
    c, j = t.receptions.c, t.junk.c
    columns = (c.customer, c.caller, c.display, c.ident, c.started_at, c.pages, c.state.label("reception_state"))
    query = select(t.junk, *columns).join(t.receptions, c.id == j.reception).order_by(j.judged_at.desc())
    query = query if everything else query.where(j.state == State.ASIDE.value)
    query = query.where(c.customer == customer) if customer else query
    return [dict(row) for row in conn.execute(query.limit(min(limit, MAX_LISTED))).mappings()]


def duplicate_of(conn: Connection, reception: str) -> str:
    """The earlier fax of which this one is a copy, as far as its looks say; else empty."""
    return conn.execute(select(t.junk.c.duplicate_of).where(t.junk.c.reception == reception)).scalar() or ""


def count_aside(conn: Connection) -> int:
    """Faxes that are set aside."""
    return conn.execute(select(func.count()).where(t.junk.c.state == State.ASIDE.value)).scalar_one()
