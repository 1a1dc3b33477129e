"""The journal as those see it whom it concerns: entries of their own faxes, in the order of their serials.

What is told of an entry is chosen here: a public name, and of its data what a sender may know. Everything else of the
journal (nodes, trunks, accounts, late marks) stays inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final  # Any: rows

from sqlalchemy import Connection, Select, and_, func, or_, select, text

from faxgw.store import schema as t
from faxgw.store.fax_book import RECEIVED, View, numbers_seen

SETTLE_S: Final = 2.0
"""PostgreSQL: seconds until an entry is told, at the least. Serials are drawn before their commit, so a lower one may
come later, by as long as a unit lasts: an entry is told when every unit that was running at its time has ended."""
WINDOW: Final = 5_000
"""Serials looked at in one query: most of them may be other customers'."""

PUBLIC: Final[Mapping[str, str]] = {
    "job.accepted": "job.accepted",
    "job.finished": "job.finished",
    **{f"fax.{state}": f"fax.{state}" for state in (
        "accepted", "rendering", "ready", "waiting", "calling", "held", "sent", "failed", "cancelled", "expired",
        "unknown",
    )},
    **{f"reception.{state}": f"received.{state}" for state in (
        "ringing", "receiving", "complete", "partial", "empty", "routed", "delivered", "retained", "page",
        "acknowledged",
    )},
}  # fmt: skip
"""Journal's name → public name."""
_DATA: Final = frozenset({"cause", "reason", "until", "page", "pages", "faxes", "number"})


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One entry, as it is told."""

    serial: int
    kind: str
    at: float
    """Unix seconds."""
    entity: str
    job: str
    data: Mapping[str, Any]


def newest(conn: Connection) -> int:
    """The newest serial; 0: there is none."""
    return conn.execute(select(func.max(t.events.c.serial))).scalar() or 0


def after(
    conn: Connection, customer: str, view: View, serial: int, *, now: float, limit: int, window: int = WINDOW
) -> tuple[list[FeedEvent], int]:
    """The customer's entries after a serial, oldest first, and the serial from which to go on.

    Args:
        conn: The unit's connection.
        customer: Whose.
        view: What may be seen.
        serial: The last one told.
        now: Unix seconds.
        limit: At most so many.
        window: Serials looked at, at most.
    """
    last = settled(conn, now)
    until = min(serial + window, last)
    if until <= serial:
        return [], serial
    e = t.events.c
    query = _visible(customer, view).where(e.serial > serial, e.serial <= until).order_by(e.serial).limit(limit)
    rows = conn.execute(query).all()
    found = [_event(row) for row in rows]
    return found, rows[-1].serial if len(rows) == limit else until


def of_fax(conn: Connection, customer: str, view: View, fax: str, *, limit: int) -> list[FeedEvent]:
    """The newest entries of one fax that may be seen, oldest first."""
    query = _visible(customer, view).where(t.events.c.entity == fax).order_by(t.events.c.serial.desc()).limit(limit)
    return [_event(row) for row in conn.execute(query)][::-1]


def settled(conn: Connection, now: float) -> int:
    """The newest serial before which none is still to come."""
    if conn.dialect.name == "sqlite":
        return newest(conn)
    e = t.events.c
    overtaking = text("age(events.xmin) <= age(pg_snapshot_xmin(pg_current_snapshot())::xid)")
    young = select(func.min(e.serial)).where(or_(e.at > now - SETTLE_S, overtaking), e.serial > newest(conn) - WINDOW)
    first = conn.execute(young).scalar()
    if first is None:
        return newest(conn)
    return conn.execute(select(func.max(e.serial)).where(e.serial < first)).scalar() or 0  # not those yet missing


def _visible(customer: str, view: View) -> Select[Any]:
    e, jobs, calls = t.events.c, t.jobs.c, t.receptions.c
    ours: list[Any] = []
    if view.sent:
        own = (jobs.customer == customer,) + ((jobs.user == view.user,) if view.user else ())
        ours.append(and_(*own))
    if view.received:
        seen = (calls.customer == customer,) + (
            (calls.entry.in_(numbers_seen(customer, view.user)),) if view.user else ()
        )
        ours.append(and_(*seen))
    return (
        select(e.serial, e.at, e.entity, e.job, e.what, e.data)
        .outerjoin(t.jobs, jobs.id == e.job)
        .outerjoin(t.receptions, calls.id == e.entity)
        .where(e.what.in_(PUBLIC), or_(*ours))
    )


def _event(row: Any) -> FeedEvent:
    data = {key: value for key, value in row.data.items() if key in _DATA}
    return FeedEvent(row.serial, PUBLIC[row.what], row.at, row.entity, row.job or "", data)


def is_received(event: FeedEvent) -> bool:
    """Whether it is one of a received fax."""
    return event.entity.startswith(RECEIVED)
