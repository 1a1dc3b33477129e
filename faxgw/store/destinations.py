"""What calls taught of each destination (features D5; `fax.destination` draws the conclusions).

One row a number, a bounded list of calls in it, written in the very transaction that closes an attempt. Numbers that
were not called for KEPT_FOR are forgotten, and an operator can forget one at once: a number is personal data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from faxgw.fax.destination import DAY, CallRecord, kept, record_of
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Outcome
from faxgw.store import schema as t
from faxgw.store.journal import note

KEPT_FOR = 183 * DAY
"""Seconds after its last call for which a destination is remembered: half a year."""
FORGOTTEN_AT_ONCE = 1000
"""Destinations removed in one transaction at most (spine section 7: a unit lasts 100 ms at most)."""
FORGOTTEN = "destination.forgotten"
"""Event: an operator had a destination forgotten. Its number is not in it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A destination in the list."""

    e164: str
    calls: tuple[CallRecord, ...]
    """Oldest first."""
    called_at: float
    """End of its last call, Unix seconds."""


def calls_to(conn: Connection, e164: str) -> tuple[CallRecord, ...]:
    """The calls kept of a number, oldest first."""
    found = conn.execute(select(t.destinations.c.calls).where(t.destinations.c.e164 == e164)).scalar()
    return tuple(CallRecord.from_json(call) for call in found or ())


def learn(conn: Connection, attempt: Row[Any], outcome: Outcome, *, now: float) -> None:
    """Add what an attempt came to; part of the unit that closes it.

    Args:
        conn: The unit's connection.
        attempt: Its row.
        outcome: What it came to.
        now: Unix seconds.
    """
    before = calls_to(conn, attempt.number)
    manner = attempt.manner or {}
    record = record_of(
        outcome,
        trunk=attempt.trunk,
        measures=manner.get("measures", ()),
        max_bit_rate=manner.get("max_bit_rate", 14400),
        last=max((call.at for call in before if call.connected), default=None),
        now=now,
    )
    if record is None:
        return
    values = {"calls": [call.to_json() for call in kept([*before, record])], "called_at": now}
    where = t.destinations.c.e164 == attempt.number
    if conn.execute(update(t.destinations).where(where).values(**values)).rowcount == 0:
        conn.execute(insert(t.destinations).values(e164=attempt.number, **values))


def overview(conn: Connection, *, limit: int) -> tuple[Sequence[Known], int]:
    """The destinations called last, and how many there are."""
    c = t.destinations.c
    rows = conn.execute(select(t.destinations).order_by(c.called_at.desc(), c.e164).limit(limit)).all()
    found = [Known(row.e164, tuple(CallRecord.from_json(call) for call in row.calls), row.called_at) for row in rows]
    return found, conn.execute(select(func.count()).select_from(t.destinations)).scalar_one()


def forget(conn: Connection, e164: str, *, who: str, now: float) -> bool:
    """Forget what was learned of a number; False when nothing was."""
    if conn.execute(delete(t.destinations).where(t.destinations.c.e164 == e164)).rowcount == 0:
        return False
    note(conn, "destinations", FORGOTTEN, now=now, who=who)
    return True


def forget_old(conn: Connection, *, now: float) -> int:
    """Forget some of those that were not called for KEPT_FOR; how many."""
    c = t.destinations.c
    old = select(c.e164).where(c.called_at < now - KEPT_FOR).order_by(c.called_at).limit(FORGOTTEN_AT_ONCE)
    return int(conn.execute(delete(t.destinations).where(c.e164.in_(old.scalar_subquery()))).rowcount)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is under way to a number."""

    open: int
    """Faxes that are not final and have no call."""
    calling: bool
    next_at: float
    """The earliest time at which one of them may be called, Unix seconds; 0.0: there is none."""


def waiting(conn: Connection, e164: str) -> Waiting:
    """The faxes to a number that are not final, and whether it has a call."""
    f, open_states = t.faxes.c, [FaxState.ACCEPTED, FaxState.RENDERING, FaxState.READY, FaxState.WAITING]
    row = conn.execute(
        select(func.count(), func.min(f.until)).where(f.e164 == e164, f.state.in_([s.value for s in open_states]))
    ).one()
    call = select(t.attempts.c.id).where(t.attempts.c.number == e164, t.attempts.c.done_at.is_(None))
    return Waiting(row[0], conn.execute(call).first() is not None, row[1] or 0.0)
