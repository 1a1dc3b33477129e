"""Faxes that are late: their sender is told once per job, where the client asked for it (docs/dsn.md)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, and_, or_, select

from faxgw.fax.dsn import DELAYED_AFTER, Keyword
from faxgw.fax.job import FaxState
from faxgw.store import reports
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.queue import HELD_BY_RESTORE, OPEN

LATE = "job.late"
"""Event of a job whose sender was told that it is late; it is told once."""
JOBS_AT_ONCE = 10
"""Jobs told of in one unit, which may last 100 ms (docs/spine.md section 7)."""


def late_jobs(conn: Connection, *, now: float, limit: int = JOBS_AT_ONCE) -> Sequence[str]:
    """Jobs to tell of: not told yet, with a late fax whose recipient was given NOTIFY=DELAY."""
    return conn.execute(_late(now).with_only_columns(t.faxes.c.job).distinct().limit(limit)).scalars().all()


def tell(conn: Connection, jobs: Sequence[str], *, now: float) -> int:
    """Write the DSNs of late jobs; returns how many jobs were told of. Run again, it finds them told."""
    told = 0
    for job in jobs:
        query = _late(now).with_only_columns(t.faxes.c.id).where(t.faxes.c.job == job)
        faxes = conn.execute(query).scalars().all()
        if faxes:
            reports.late(conn, job, faxes, now)
            note(conn, job, LATE, now=now, job=job, data={"faxes": len(faxes)})
            told += 1
    return told


def _late(now: float) -> Select[tuple[str]]:
    """Late faxes. What a restore holds is not reported (docs/spine.md section 9); an earliest time is no delay."""
    before = now - DELAYED_AFTER
    told = select(t.events.c.serial).where(t.events.c.entity == t.jobs.c.id, t.events.c.what == LATE)
    restored = and_(t.faxes.c.state == FaxState.HELD, t.faxes.c.reason == HELD_BY_RESTORE)
    asked = and_(
        t.message_recipients.c.message == t.jobs.c.message,
        or_(t.message_recipients.c.fax == t.faxes.c.id, t.message_recipients.c.number_e164 == ""),
        t.message_recipients.c.notify.contains(Keyword.DELAY.value),
    )
    return (
        select(t.faxes.c.id)
        .join(t.jobs, t.jobs.c.id == t.faxes.c.job)
        .join(t.message_recipients, asked)
        .where(t.faxes.c.state.in_(OPEN), ~restored, t.faxes.c.earliest < before, t.jobs.c.accepted_at < before)
        .where(~told.exists())
    )
