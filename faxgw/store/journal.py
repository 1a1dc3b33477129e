"""The journal: one row per transition, in the transaction of the transition (docs/spine.md section 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select

from faxgw.store import audit
from faxgw.store import schema as t
from faxgw.store.unit import notify

GATEWAY = "gateway"
"""Who did what nobody asked for."""
UNAUDITED = ("job.accepted", "message.")
"""Beginnings of what is done thousands of times an hour: sending. The journal says who sent what."""
ACCOUNTS = "account."
"""Beginning of what changes who may do what."""
CONFIGURATION = (ACCOUNTS, "webhook.")
"""Beginnings of what changes settings: the audit has what was before and after."""
ACCOUNTS_TOPIC = "accounts"
"""Noted when an account, or anything of it, was changed: what is remembered of accounts is forgotten."""
PLACE = "journal"
"""Entity of the entry that keeps the place of the newest ones that were taken away."""
MAX_EVENTS_SHOWN = 2000
"""Rows `of_entity` returns at most."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry."""

    serial: int
    at: float
    """Unix seconds."""
    entity: str
    what: str
    who: str
    data: Mapping[str, object]


_INSERT = insert(t.events)


def note(
    conn: Connection,
    entity: str,
    what: str,
    *,
    now: float,
    who: str = GATEWAY,
    job: str | None = None,
    data: Mapping[str, object] | None = None,
) -> None:
    """Add an entry."""
    entry = {"at": now, "entity": entity, "job": job, "what": what, "who": who[:130], "data": dict(data or {})}
    conn.execute(_INSERT, entry)
    if what.startswith(ACCOUNTS):
        notify(conn, ACCOUNTS_TOPIC)
    if who != GATEWAY and not what.startswith(UNAUDITED):
        _audit(conn, entity if entity[:1] != "+" else job or "number", what, who, now, data or {})


def _audit(conn: Connection, entity: str, what: str, who: str, now: float, data: Mapping[str, object]) -> None:
    """What somebody did is a record of the audit, too; without the numbers of others, who are no entity there."""
    customer = str(data.get("customer", "")) or (entity if what.startswith("account.") else "")
    facts = data if what.startswith(CONFIGURATION) else {}
    audit.write(conn, what, entity, who=who, way="journal", now=now, customer=customer, data=facts)


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that was accepted."""

    message: str
    at: float
    """Unix seconds."""
    who: str
    data: Mapping[str, object]


def note_received(conn: Connection, mails: Sequence[Received]) -> None:
    """Add the entries of mails that were accepted together; they are none of the audit's (`UNAUDITED`)."""
    rows = [
        {"at": m.at, "entity": m.message, "job": None, "what": "message.received", "who": m.who[:130], "data": m.data}
        for m in mails
    ]
    if rows:
        conn.execute(_INSERT, rows)


def note_all(
    conn: Connection,
    entities: Sequence[str],
    what: str,
    *,
    now: float,
    job: str,
    who: str = "gateway",
    data: Mapping[str, object] | None = None,
) -> None:
    """Add the same entry for many entities of one job."""
    shared = {"at": now, "job": job, "what": what, "who": who[:130], "data": dict(data or {})}
    if entities:
        conn.execute(_INSERT, [{"entity": entity, **shared} for entity in entities])


def keep_serial(conn: Connection, serial: int, *, now: float) -> None:
    """After entries were taken away: see to it that the next one is numbered after a serial that was there before.

    SQLite numbers a row after the greatest that is left. Whoever reads the journal from where it stopped (webhooks, the
    event stream) would pass by what comes under a number that it has seen. An entry that says nothing keeps the place.

    Args:
        conn: The unit's connection.
        serial: The newest before.
        now: Unix seconds.
    """
    if conn.dialect.name != "sqlite":
        return  # a sequence gives no number twice
    c = t.events.c
    left = conn.execute(select(func.max(c.serial))).scalar() or 0
    if left < serial:
        entry = {"at": now, "entity": PLACE, "job": None, "what": "journal.purged", "who": GATEWAY, "data": {}}
        conn.execute(_INSERT, {"serial": serial, **entry})
    conn.execute(delete(t.events).where(c.entity == PLACE, c.serial < max(left, serial)))


def of_entity(conn: Connection, entity: str) -> Sequence[Event]:
    """The newest entries of one entity, or of everything that belongs to a job, oldest first."""
    rows = conn.execute(
        select(t.events)
        .where(or_(t.events.c.entity == entity, t.events.c.job == entity))
        .order_by(t.events.c.serial.desc())
        .limit(MAX_EVENTS_SHOWN)
    ).mappings()
    return [Event(r["serial"], r["at"], r["entity"], r["what"], r["who"], r["data"]) for r in rows][::-1]


def newest(conn: Connection) -> float | None:
    """When the newest entry was made, Unix seconds."""
    return conn.execute(select(t.events.c.at).order_by(t.events.c.serial.desc()).limit(1)).scalar()
