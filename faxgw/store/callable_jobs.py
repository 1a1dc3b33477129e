"""Jobs with faxes that may be called, one row each: what lets the dispatcher find its few among a hundred thousand.

A row says from when the first of a job's faxes that are ready or waiting may be called, and stands exactly as long as
there is one. `settle` is asked by the one place that changes a fax's state (`store.queue`), in the same unit; units
that write never run side by side (`store.sqlite`, `store.postgres`), so a row can never miss a fax.

Its time is never later than the truth: what is looked at too early is not found and costs a look, what is looked at
too late would be a fax that nobody calls. And it is never earlier than the job's acceptance, so that a customer's jobs
come up in the order in which they could first have been called, whether that was their acceptance or a pause's end.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from faxgw.store import schema as t

NORMAL, EXPRESS = 0, 1
"""Priorities of jobs."""

_LANE, _FAX = t.callable_jobs.c, t.faxes.c
_FIRST = (
    select(_FAX.until, _FAX.earliest)
    .where(_FAX.job == bindparam("wanted"), t.CALLABLE)
    .order_by(_FAX.until, _FAX.position)
    .limit(1)
)
_JOB = select(
    t.jobs.c.customer, t.jobs.c.accepted_at, t.jobs.c.settings["trunk"]["value"].as_string().label("trunk")
).where(t.jobs.c.id == bindparam("wanted"))
_PRIORITY = select(func.max(_FAX.priority)).where(_FAX.job == bindparam("wanted"), t.CALLABLE)
_THERE = select(_LANE.due_at, _LANE.accepted_at).where(_LANE.job == bindparam("wanted"))
_PUT = insert(t.callable_jobs)
_SET = update(t.callable_jobs).where(_LANE.job == bindparam("wanted")).values(due_at=bindparam("due"))
_DROP = delete(t.callable_jobs).where(_LANE.job == bindparam("wanted"))


def settle(conn: Connection, job: str, *, now: float) -> None:
    """Say of a job from when its first callable fax may be called; nothing when it has none.

    All faxes of a job have the same earliest time and priority.
    """
    wanted = {"wanted": job}
    first, there = conn.execute(_FIRST, wanted).first(), conn.execute(_THERE, wanted).first()
    if first is None:
        if there is not None:
            conn.execute(_DROP, wanted)
        return
    due = max(first.until, first.earliest)
    if there is not None:
        due = max(due, there.accepted_at)
        if due != there.due_at:
            conn.execute(_SET, {"due": due, **wanted})
        return
    found = conn.execute(_JOB, wanted).one()
    accepted = min(found.accepted_at, now)  # a clock that went back must not keep a job waiting
    express = EXPRESS if conn.execute(_PRIORITY, wanted).scalar_one() > NORMAL else NORMAL
    row = {"customer": found.customer, "priority": express, "trunk": found.trunk or ""}
    conn.execute(_PUT, {"job": job, "accepted_at": accepted, "due_at": max(due, accepted), **row})


def shift(conn: Connection, by: float) -> None:
    """The clock jumped: no time may be later than the truth. A clock that went on needs nothing, see `settle`."""
    if by < 0:
        conn.execute(update(t.callable_jobs).values(due_at=_LANE.due_at + by, accepted_at=_LANE.accepted_at + by))
