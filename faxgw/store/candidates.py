"""Which faxes may be called now (docs/spine.md section 6): the dispatcher's look at all that wait.

It reads no more than it can use. `callable_jobs` gives, of each customer, the jobs whose first fax has been due for
longest, from the beginning of an index; the first faxes of each come from the beginning of another. What is due only
later, and the thousandth recipient of a broadcast, is not read. So its time grows with the customers that wait and
with what is wanted, not with the faxes.

What this finds is a proposal; `planning.plan` decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any  # rows

from sqlalchemy import Connection, Row, TextClause, bindparam, func, select, text

from faxgw.store import schema as t

SPARE = 2
"""Faxes looked at for each that is wanted, where there are fewer jobs than faxes wanted; and jobs likewise."""

_LANES = """
WITH RECURSIVE who (customer) AS (
    SELECT min(customer) FROM callable_jobs
    UNION ALL
    SELECT (SELECT min(c.customer) FROM callable_jobs c WHERE c.customer > who.customer)
    FROM who WHERE who.customer IS NOT NULL
), lanes (customer, priority) AS (
    SELECT who.customer, grade.priority
    FROM who CROSS JOIN (SELECT 1 AS priority UNION ALL SELECT 0) AS grade
    WHERE who.customer IS NOT NULL
)
"""
"""Customers with callable faxes, each found in the index behind the one before; and both priorities."""
_MAY_BE_CALLED = f"""
{t.CALLABLE.text} AND f."until" <= :now AND f.earliest <= :now AND (f.latest IS NULL OR f.latest >= :now)
AND NOT EXISTS (SELECT 1 FROM attempts WHERE attempts.number = f.e164 AND attempts.done_at IS NULL)
"""
"""What is asked of a fax; the index `ix_faxes_callable` alone can answer it."""
_JOB = f"""
FROM callable_jobs i
WHERE i.customer = lanes.customer AND i.priority = lanes.priority AND i.due_at <= :now
AND EXISTS (SELECT 1 FROM faxes f WHERE f.job = i.job AND {_MAY_BE_CALLED})
ORDER BY i.due_at LIMIT :most
"""
"""Of a customer's jobs, the first that have a fax to call now."""
_FAX = f"""
FROM faxes f WHERE f.job = j.job AND {_MAY_BE_CALLED} ORDER BY f."until", f.position LIMIT :deep
"""
"""Of a job's faxes, the first to call now."""
_WANTED_JOB = "j.job, j.customer, j.priority, j.due_at, j.trunk"
_WANTED_FAX = 'x.id, x.job, x.e164, x."until", x.position'

_WAITING = text(f"""
{_LANES}
SELECT count(*) FROM lanes WHERE :now >= (
    SELECT min(i.due_at) FROM callable_jobs i WHERE i.customer = lanes.customer AND i.priority = lanes.priority
)
""")
"""How many customers, counted once for each priority, have a job that is due."""


def _sqlite() -> tuple[TextClause, TextClause]:
    """SQLite knows no LATERAL; a list that is worked out for each row of the table before does the same."""
    jobs = f"SELECT {_WANTED_JOB} FROM lanes CROSS JOIN callable_jobs j WHERE j.job IN (SELECT i.job {_JOB})"
    faxes = f"SELECT {_WANTED_FAX} FROM callable_jobs j CROSS JOIN faxes x"
    return text(_LANES + jobs), _of_jobs(f"{faxes} WHERE j.job IN :jobs AND x.id IN (SELECT f.id {_FAX})")


def _postgresql() -> tuple[TextClause, TextClause]:
    jobs = f"SELECT {_WANTED_JOB} FROM lanes CROSS JOIN LATERAL (SELECT i.* {_JOB}) AS j"
    faxes = f"SELECT {_WANTED_FAX} FROM callable_jobs j CROSS JOIN LATERAL (SELECT f.* {_FAX}) AS x"
    return text(_LANES + jobs), _of_jobs(f"{faxes} WHERE j.job IN :jobs")


def _of_jobs(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("jobs", expanding=True))


_STATEMENTS = {"sqlite": _sqlite(), "postgresql": _postgresql()}
"""By engine: the jobs to look at, and their faxes."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fax that could be called."""

    fax: str
    job: str
    customer: str
    e164: str
    priority: int
    trunk: str
    """The trunks its account names; empty: by the routes."""


def candidates(conn: Connection, *, now: float, limit: int, per_customer: int) -> Sequence[Candidate]:
    """Faxes that may be called now, none whose number has a call.

    Express first; then the first of each customer, the second of each, …; within a customer the first of each job,
    the second of each, …: neither a broadcast nor a customer with many jobs hides the others. Jobs come up in the
    order in which they could first have been called. With few jobs, the first faxes of each are looked at and no
    more: what lies behind a row of faxes that may not be called comes up later.

    Args:
        conn: The unit's connection.
        now: Unix seconds.
        limit: Most rows.
        per_customer: Most rows of one customer.
    """
    jobs_of, faxes_of = _STATEMENTS[conn.dialect.name]
    waiting = conn.execute(_WAITING, {"now": now}).scalar_one()
    if not waiting:
        return []
    most = max(1, min(per_customer, SPARE * limit // waiting))
    chosen = _in_turn(conn.execute(jobs_of, {"now": now, "most": most}).all(), limit, per_customer)
    if not chosen:
        return []
    deep = max(1, min(per_customer, SPARE * limit // len(chosen)))
    found = conn.execute(faxes_of, {"now": now, "deep": deep, "jobs": [row.job for row in chosen]}).all()
    return _in_order(chosen, found, limit, per_customer)


def next_candidate(conn: Connection, *, now: float) -> float | None:
    """Unix seconds at which the next fax that waits for its time may be called; None when none does."""
    f = t.faxes.c
    # The later of two times, found at the beginning of two indexes: with one expression all rows would be read.
    queries = (
        select(func.min(f.until)).where(t.CALLABLE, f.until > now, f.earliest <= f.until),
        select(func.min(f.earliest)).where(t.CALLABLE, f.earliest > now, f.until < f.earliest),
    )
    times = [conn.execute(query).scalar() for query in queries]
    return min((at for at in times if at is not None), default=None)


def _in_turn(jobs: Sequence[Row[Any]], limit: int, per_customer: int) -> list[Row[Any]]:
    """Jobs in the order in which they are looked at: express first, then one of each customer in turn."""
    places: dict[str, int] = defaultdict(int)
    placed: list[tuple[int, int, float, int, Row[Any]]] = []
    for row in sorted(jobs, key=lambda row: (-row.priority, row.due_at)):
        places[row.customer] += 1
        if places[row.customer] <= per_customer:
            placed.append((-row.priority, places[row.customer], row.due_at, len(placed), row))
    return [row for *_place, row in sorted(placed)[:limit]]


def _in_order(
    chosen: Sequence[Row[Any]], found: Sequence[Row[Any]], limit: int, per_customer: int
) -> Sequence[Candidate]:
    """The first of each customer, the second of each, …; within a customer the first of each job, the second, …."""
    faxes = {job: list(rows) for job, rows in groupby(sorted(found, key=attrgetter("job")), key=attrgetter("job"))}
    ranks: dict[str, int] = defaultdict(int)
    turns = (
        (-job.priority, turn, place, job, fax)
        for place, job in enumerate(chosen)
        for turn, fax in enumerate(sorted(faxes.get(job.job, ()), key=attrgetter("until", "position")))
    )
    order: list[tuple[int, int, int, int, Candidate]] = []
    for minus_priority, _turn, place, job, fax in sorted(turns, key=lambda each: each[:3]):
        ranks[job.customer] += 1
        if ranks[job.customer] <= per_customer:
            one = Candidate(fax.id, job.job, job.customer, fax.e164, job.priority, job.trunk)
            order.append((minus_priority, ranks[job.customer], place, len(order), one))
    return [one for *_rank, one in sorted(order)[:limit]]
