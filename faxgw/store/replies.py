"""Replies that are faxed to callers (features G6): asked for where a fax is routed, at most one of each fax.

A row is written in the transaction that routes the fax, whether there will be a reply or not, and says why not: nobody
to reply to, one of our own numbers, replied to just now, or too often on one day, which is what two machines that
answer one another would look like. What is to be sent waits here for `dispatch.replying`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, func, insert, select, update

from faxgw.fax.account import Effective, from_snapshot
from faxgw.store import register
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.unit import notify

TOPIC = "reply"
"""Noted when a reply is to be sent."""
NONE = "none"
"""A rule's or number's template that means: no reply."""
MAX_A_DAY = 6
"""Replies to one caller in 24 hours, whatever the settings say."""
MIN_CALLER = 7
"""Characters of a number, + included, that can be a subscriber's; shorter ones are services and defects."""
MAX_TRIES = 5
"""Tries to hand a reply in."""
PAUSE = 60.0
"""Seconds before a reply is handed in again that could not be handed in."""
DUE, SENT, NOT = "due", "sent", "not"
"""States of a reply: to be handed in; handed in as a job; there is none."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is to be handed in."""

    reception: str
    customer: str
    caller: str
    template: str
    tries: int
    row: Mapping[str, Any]
    """Of the reception."""
    settings: Effective
    """Of the number."""


def ask(conn: Connection, row: Any, callers: Sequence[str], template: str, settings: Effective, *, now: float) -> None:
    """Write down that a fax is to be replied to, or why it is not. Called in the transaction that routes it.

    Args:
        conn: The unit's connection.
        row: The reception.
        callers: E.164 forms of its caller, likeliest first; empty: withheld, or no number.
        template: The template; empty or NONE: nobody wants a reply, and nothing is written.
        settings: Of the number.
        now: Unix seconds.
    """
    if template in ("", NONE):
        return
    if conn.execute(select(t.reception_replies.c.reception).where(t.reception_replies.c.reception == row.id)).first():
        return
    why = _why_not(conn, row, callers, settings, now)
    conn.execute(
        insert(t.reception_replies).values(
            reception=row.id,
            customer=row.customer,
            caller=callers[0][:20] if callers else "",
            template=template[:200],
            state=NOT if why else DUE,
            why=why,
            at=now,
            not_before=now,
        )
    )
    what = "reception.not_replied" if why else "reception.reply_due"
    note(conn, row.id, what, now=now, data={"template": template, **({"why": why} if why else {})})
    if not why:
        notify(conn, TOPIC)


def _why_not(conn: Connection, row: Any, callers: Sequence[str], settings: Effective, now: float) -> str:
    if not callers or len(callers[0]) < MIN_CALLER:
        return "the caller's number is withheld, or is no number"
    if any(register.entry(conn, caller) is not None for caller in callers):
        return "the caller is one of our own numbers"
    c = t.reception_replies.c
    before = select(func.count(), func.max(c.at)).where(
        c.customer == row.customer, c.caller == callers[0], c.state != NOT, c.at > now - 86_400.0
    )
    count, last = conn.execute(before).one()
    pause = settings["fax_reply_pause"] * 60.0
    if last is not None and now - last < pause:
        return f"the caller was replied to {round((now - last) / 60)} minutes ago"
    return f"the caller was replied to {count} times in a day" if count >= MAX_A_DAY else ""


def due(conn: Connection, *, now: float, limit: int) -> Sequence[Reply]:
    """Replies that are to be handed in, oldest first; each is counted as tried.

    One that was tried MAX_TRIES times and has no answer, as the hand-in itself fails, is given up here.
    """
    c = t.reception_replies.c
    query = select(t.reception_replies).where(c.state == DUE, c.not_before <= now).order_by(c.at).limit(limit)
    found = []
    for reply in conn.execute(query).all():
        if reply.tries >= MAX_TRIES:
            given_up(conn, reply.reception, f"it could not be handed in, {MAX_TRIES} times, by our fault", now=now)
            continue
        values = {"tries": reply.tries + 1, "not_before": now + PAUSE}
        conn.execute(update(t.reception_replies).where(c.reception == reply.reception).values(**values))
        row = conn.execute(select(t.receptions).where(t.receptions.c.id == reply.reception)).mappings().one()
        settings = from_snapshot(row["settings"])
        found.append(
            Reply(reply.reception, reply.customer, reply.caller, reply.template, reply.tries + 1, dict(row), settings)
        )
    return found


def next_due(conn: Connection) -> float | None:
    """Unix seconds at which a reply is to be handed in."""
    c = t.reception_replies.c
    return conn.execute(select(func.min(c.not_before)).where(c.state == DUE)).scalar()


def handed_in(conn: Connection, reception: str, job: str, *, now: float) -> None:
    """The reply is a job now."""
    if _end(conn, reception, SENT, job=job):
        note(conn, reception, "reception.replied", now=now, job=job, data={"job": job})


def given_up(conn: Connection, reception: str, why: str, *, now: float) -> None:
    """There will be no reply."""
    if _end(conn, reception, NOT, why=why[:400]):
        note(conn, reception, "reception.not_replied", now=now, data={"why": why[:400]})


def of(conn: Connection, reception: str) -> Mapping[str, Any] | None:
    """The reply to a received fax, or why there is none; None: nobody wanted one."""
    query = select(t.reception_replies).where(t.reception_replies.c.reception == reception)
    row = conn.execute(query).mappings().first()
    return None if row is None else {key: row[key] for key in ("template", "caller", "state", "job", "why", "at")}


def _end(conn: Connection, reception: str, state: str, **values: str) -> bool:
    c = t.reception_replies.c
    done = conn.execute(
        update(t.reception_replies).where(c.reception == reception, c.state == DUE).values(state=state, **values)
    )
    return bool(done.rowcount)
