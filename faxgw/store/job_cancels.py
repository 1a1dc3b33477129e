"""Jobs that are cancelled as a whole: one wish, whose rows follow in slices (docs/spine.md sections 2 and 7).

From the commit of `ask` on no fax of the job is called any more: planning reads the wish. The faxes are cancelled
slice by slice, calls in progress first; whoever has asked sees to that, and where it is interrupted upkeep goes on.
The wish is forgotten when each fax of the job is final, or in a call that a wish of its own ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause
from faxgw.store import queue
from faxgw.store import schema as t
from faxgw.store.journal import note

AT_ONCE = 100
"""Faxes cancelled in one unit: some 15 ms."""

_MOVABLE = tuple(state.value for state in queue.OPEN if state is not FaxState.CALLING)


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What one unit has done."""

    cancelled: int
    """Faxes that it cancelled."""
    calling: int
    """Faxes whose calls end now, those of earlier units included."""
    over: bool
    """Nothing is left to do."""


def ask(conn: Connection, job: str, *, who: str, now: float) -> None:
    """Wish that a job be cancelled; a second wish changes nothing.

    Args:
        conn: The unit's connection.
        job: A job that is there.
        who: Who wishes it, for the journal.
        now: Unix seconds.
    """
    wishes = t.job_cancels.c
    if conn.execute(select(wishes.job).where(wishes.job == job)).first() is not None:
        return
    if not conn.execute(select(t.jobs.c.open).where(t.jobs.c.id == job)).scalar():
        return
    conn.execute(insert(t.job_cancels).values(job=job, who=who[:64], asked_at=now))
    note(conn, job, "job.wish.cancel", now=now, who=who, job=job)


def obey(conn: Connection, job: str, *, now: float) -> Obeyed:
    """Cancel some of the faxes of a job whose cancel stands.

    Args:
        conn: The unit's connection.
        job: The job.
        now: Unix seconds.
    """
    wish = conn.execute(select(t.job_cancels.c.who).where(t.job_cancels.c.job == job)).first()
    if wish is None:
        return Obeyed(0, _calling(conn, job), True)
    f = t.faxes.c
    called = select(f.id).where(f.job == job, f.state == FaxState.CALLING.value, f.wish != Wish.CANCEL.value)
    in_calls = list(conn.execute(called.limit(AT_ONCE)).scalars())
    for fax in in_calls:
        queue.wish(conn, fax, Wish.CANCEL, who=wish.who, now=now)
    others = select(f.id).where(f.job == job, f.state.in_(_MOVABLE)).order_by(f.position).limit(AT_ONCE)
    some = list(conn.execute(others).scalars())
    queue.move_all(conn, job, some, FaxState.CANCELLED, now=now, who=wish.who, cause=Cause.CANCELLED)
    over = len(in_calls) < AT_ONCE and len(some) < AT_ONCE
    if over:
        conn.execute(delete(t.job_cancels).where(t.job_cancels.c.job == job))
    return Obeyed(len(some), _calling(conn, job), over)


def standing(conn: Connection) -> Sequence[str]:
    """Jobs whose cancel is to be carried out: none while a restored backup waits for its release (section 9)."""
    if queue.restored(conn) is not None:
        return []
    return list(conn.execute(select(t.job_cancels.c.job).order_by(t.job_cancels.c.asked_at)).scalars())


def _calling(conn: Connection, job: str) -> int:
    query = select(func.count()).where(t.faxes.c.job == job, t.faxes.c.state == FaxState.CALLING.value)
    return conn.execute(query).scalar_one()
