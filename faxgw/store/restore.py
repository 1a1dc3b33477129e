"""What a restored backup may do: nothing by itself (docs/spine.md section 9).

Between the backup and its restore the lost gateway went on: faxes were sent, reports left. So a new epoch begins above
all fences and serials, nothing that was open goes on until the operator has released it, and what is released bears
the mark of a possible duplicate. `hold_next`, `release_next` and `cancel_next` do some faxes at a time, because a unit
may last 100 ms; a caller repeats them until they return 0. Run again, each goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any  # rows, JSON

from sqlalchemy import Connection, Row, func, insert, select, update

from faxgw.fax.job import FaxState, Mark, MessageState, PageState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import journal, outbox, queue, reports
from faxgw.store import schema as t
from faxgw.store.queue import HELD_BY_OPERATOR, HELD_BY_RESTORE, OPEN, RESTORE, RESTORE_BEGUN, RESTORE_RELEASED
from faxgw.store.unit import notify

FAXES_AT_ONCE = 25
"""Faxes held, released or cancelled in one unit, which may last 100 ms (docs/spine.md section 7)."""
ASLEEP = "asleep"
"""State of an outbox item that waits for the release of its restore."""
INTERRUPTED = "the gateway was restored from a backup made during this call"
"""Detail of an attempt that was open in the backup."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A restore that waits for its release."""

    since: float
    """When the backup was restored, Unix seconds."""
    backup: Mapping[str, Any]
    """What the backup says of itself."""
    held: int
    """Faxes that it holds."""
    asleep: int
    """Reports and deliveries that it holds."""


# --------------------------------------------------------------------------------------------------------- restore


def begin(conn: Connection, *, now: float, backup: Mapping[str, object]) -> int:
    """Begin a new epoch; returns it. From its commit on the database is a restored one.

    The epoch is the present second, for fences and incarnations, and the present millisecond, for the journal's
    serials: no gateway counts as fast as the clock, so both lie above whatever the lost one had drawn since its backup.
    """
    fences = (func.max(t.nodes.c.fence), func.max(t.nodes.c.incarnation), func.max(t.attempts.c.fence))
    known = [conn.execute(select(highest)).scalar() or 0 for highest in fences]
    epoch = max(int(now), *(k + 1 for k in known))
    conn.execute(update(t.nodes).values(fence=epoch, incarnation=epoch, lease_until=0.0))
    serial = max(int(now * 1000), (conn.execute(select(func.max(t.events.c.serial))).scalar() or 0) + 1)
    data = {**backup, "epoch": epoch}
    conn.execute(
        insert(t.events).values(serial=serial, at=now, entity=RESTORE, what=RESTORE_BEGUN, who="operator", data=data)
    )
    if conn.dialect.name != "sqlite":  # whose next serial is the highest and one
        conn.execute(select(func.setval(func.pg_get_serial_sequence("events", "serial"), serial)))
    return epoch


def close_call(conn: Connection, *, now: float) -> bool:
    """Close one attempt that was open: its fax is unknown if it was exposed, else held. False: there was none."""
    row = conn.execute(select(t.attempts).where(t.attempts.c.done_at.is_(None)).limit(1)).first()
    if row is None:
        return False
    parts = conn.execute(select(t.attempt_faxes).where(t.attempt_faxes.c.attempt == row.id)).all()
    _close_attempt(conn, row, now)
    for part in parts:
        pages = (t.page_ledger.c.fax == part.fax) & (t.page_ledger.c.state == PageState.EXPOSED)
        conn.execute(update(t.page_ledger).where(pages).values(state=PageState.DOUBTFUL.value, at=now))
        fax = queue.fax_row(conn, part.fax)
        if fax.state == FaxState.CALLING and part.exposed:
            queue.move(conn, fax.id, FaxState.UNKNOWN, now=now, cause=Cause.IN_DOUBT)
            reports.unknown(conn, fax.id, now)
        elif fax.state == FaxState.CALLING:
            _hold(conn, fax, now)
    return True


def _close_attempt(conn: Connection, row: Row[Any], now: float) -> None:
    cause = Cause.IN_DOUBT if row.exposed_at is not None else Cause.LINE_FAULT
    outcome = Outcome(
        Cause.LINE_FAULT,
        connected=row.answered_at is not None,
        exposed=row.exposed_at is not None,
        started_at=row.planned_at,
        answered_at=row.answered_at,
        ended_at=row.answered_at or row.planned_at,  # when it ended nobody knows: it counts no minutes
        detail=INTERRUPTED,
    )
    values = {"mark": Mark.DONE.value, "done_at": now, "cause": cause.value, "trace": []}
    stored = {**asdict(outcome), "cause": outcome.cause.value, "frames": []}
    conn.execute(update(t.attempts).where(t.attempts.c.id == row.id).values(**values, outcome=stored))
    conn.execute(update(t.attempt_faxes).where(t.attempt_faxes.c.attempt == row.id).values(open=False))
    journal.note(conn, row.id, "attempt.done", now=now, data={"cause": cause.value, "detail": INTERRUPTED})


def hold_next(conn: Connection, *, now: float, limit: int = FAXES_AT_ONCE) -> int:
    """Hold some of the faxes that are not final, those included that something else held; returns how many."""
    where = t.faxes.c.state.in_(OPEN) & ~((t.faxes.c.state == FaxState.HELD) & (t.faxes.c.reason == HELD_BY_RESTORE))
    rows = conn.execute(select(t.faxes).where(where).limit(limit)).all()
    for row in rows:
        _hold(conn, row, now)
    return len(rows)


def _hold(conn: Connection, row: Row[Any], now: float) -> None:
    """Hold a fax. What held it before, and a cancel that stood, outlive the restore."""
    if row.state == FaxState.HELD:
        conn.execute(update(t.faxes).where(t.faxes.c.id == row.id).values(reason=HELD_BY_RESTORE))
        _note_hold(conn, row, row.reason, now)
        return
    queue.move(conn, row.id, FaxState.HELD, now=now, reason=HELD_BY_RESTORE)
    if row.wish == Wish.CANCEL:
        conn.execute(update(t.faxes).where(t.faxes.c.id == row.id).values(wish=row.wish))
    elif row.wish == Wish.HOLD:
        _note_hold(conn, row, HELD_BY_OPERATOR, now)


def _note_hold(conn: Connection, row: Row[Any], was: str, now: float) -> None:
    journal.note(conn, row.id, queue.HELD_BEFORE_RESTORE, now=now, job=row.job, data={"was": was})


def settle(conn: Connection, *, now: float) -> None:
    """The rest of a restore: mails not yet walked are known as restored, everything in the outbox sleeps."""
    conn.execute(
        update(t.messages)
        .where(t.messages.c.state == MessageState.RECEIVED)
        .values(reason=HELD_BY_RESTORE, lease_fence=None, lease_until=None)
    )
    waiting = t.outbox.c.state.in_(["due", "leased"])
    conn.execute(update(t.outbox).where(waiting).values(state=ASLEEP, lease_fence=None, lease_until=None))


def unknown_faxes(conn: Connection) -> int:
    """Faxes whose result is not known."""
    return conn.execute(select(func.count()).where(t.faxes.c.state == FaxState.UNKNOWN)).scalar_one()


# --------------------------------------------------------------------------------------------------------- release


def pending(conn: Connection) -> Pending | None:
    """The restore that waits for its release, if there is one."""
    begun = queue.restored(conn)
    if begun is None:
        return None
    held = select(func.count()).where(_held_by_restore())
    asleep = select(func.count()).where(t.outbox.c.state == ASLEEP)
    return Pending(begun.at, begun.data, conn.execute(held).scalar_one(), conn.execute(asleep).scalar_one())


def release_next(conn: Connection, *, who: str, now: float, limit: int = FAXES_AT_ONCE) -> int:
    """Release some of the faxes that a restore holds, marked; returns how many."""
    faxes = _held(conn, limit)
    for fax in faxes:
        queue.release(conn, fax, who=who, now=now)
    return len(faxes)


def cancel_next(conn: Connection, *, who: str, now: float, limit: int = FAXES_AT_ONCE) -> int:
    """Cancel some of the faxes that a restore holds; returns how many."""
    faxes = _held(conn, limit)
    for fax in faxes:
        queue.wish(conn, fax, Wish.CANCEL, who=who, now=now)
    return len(faxes)


def finish(conn: Connection, *, who: str, now: float, reports_too: bool) -> int:
    """End a restore: the outbox wakes, or what slept in it is given up; returns how many items that were."""
    if queue.restored(conn) is None:
        return 0
    asleep = update(t.outbox).where(t.outbox.c.state == ASLEEP)
    if reports_too:
        woken = conn.execute(asleep.values(state="due", due_at=now)).rowcount
    else:
        woken = conn.execute(asleep.values(state="dead", done_at=now, detail="given up after a restore")).rowcount
    journal.note(conn, RESTORE, RESTORE_RELEASED, now=now, who=who, data={"items": woken, "sent": reports_too})
    notify(conn, outbox.TOPIC)
    return woken


def _held_by_restore() -> Any:  # Any: a column expression
    return (t.faxes.c.state == FaxState.HELD) & (t.faxes.c.reason == HELD_BY_RESTORE)


def _held(conn: Connection, limit: int) -> list[str]:
    return list(conn.execute(select(t.faxes.c.id).where(_held_by_restore()).limit(limit)).scalars())
