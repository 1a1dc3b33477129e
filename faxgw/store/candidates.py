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
from math import ceil

from sqlalchemy import Connection, TextClause, bindparam, func, select, text

from faxgw.store import schema as t

SPARE = 2
"""Faxes looked at for each that is wanted, where there are fewer jobs than faxes wanted."""

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
AND (
    SELECT f.position FROM faxes f WHERE f.job = i.job AND {_MAY_BE_CALLED} ORDER BY f."until", f.position LIMIT 1
) IS NOT NULL
ORDER BY i.due_at LIMIT :most
"""
"""Of a customer's jobs, the first that have a fax to call now. Asked as for a value: PostgreSQL makes a join of EXISTS,
and without statistics one that reads all faxes for each job."""
_FAX = f"""
FROM faxes f WHERE f.job = j.job AND {_MAY_BE_CALLED} ORDER BY f."until", f.position LIMIT :deep
"""
"""Of a job's faxes, the first to call now."""
_WANTED_JOB = "j.job, j.customer, j.priority, j.due_at, j.trunk"
_JOBS_IN_ORDER = "ORDER BY j.priority DESC, j.due_at"
_FAXES_IN_ORDER = 'ORDER BY x."until", x.position'
_WANTED_FAX = "x.job, x.id, x.e164"

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
    faxes += f" WHERE j.job IN :jobs AND x.id IN (SELECT f.id {_FAX})"
    return text(f"{_LANES} {jobs} {_JOBS_IN_ORDER}"), _of_jobs(f"{faxes} {_FAXES_IN_ORDER}")


def _postgresql() -> tuple[TextClause, TextClause]:
    jobs = f"SELECT {_WANTED_JOB} FROM lanes CROSS JOIN LATERAL (SELECT i.* {_JOB}) AS j"
    faxes = f"SELECT {_WANTED_FAX} FROM callable_jobs j CROSS JOIN LATERAL (SELECT f.* {_FAX}) AS x"
    return text(f"{_LANES} {jobs} {_JOBS_IN_ORDER}"), _of_jobs(f"{faxes} WHERE j.job IN :jobs {_FAXES_IN_ORDER}")


def _of_jobs(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("jobs", expanding=True))


_Job = tuple[str, str, int, float, str]
"""Job, customer, priority, time from which, trunk; a customer's in the order in which they are due."""
_Fax = tuple[str, str, str]
"""Job, fax, number; a job's in the order in which they are called."""

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
    most = min(per_customer, ceil(limit / waiting))
    jobs = [tuple(row) for row in conn.execute(jobs_of, {"now": now, "most": most})]
    chosen = _in_turn(jobs, limit, per_customer)
    if not chosen:
        return []
    deep = 1 if len(chosen) >= limit else min(per_customer, SPARE * limit // len(chosen))
    given = {"now": now, "deep": deep, "jobs": [job[0] for job in chosen]}
    found = [tuple(row) for row in conn.execute(faxes_of, given)]
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


def _in_turn(jobs: Sequence[_Job], limit: int, per_customer: int) -> list[_Job]:
    """Jobs in the order in which they are looked at: express first, then one of each customer in turn."""
    places: dict[str, int] = defaultdict(int)
    placed: list[tuple[int, int, float, int]] = []
    for index, (_job, customer, priority, due_at, _trunk) in enumerate(jobs):
        place = places[customer] = places[customer] + 1
        if place <= per_customer:
            placed.append((-priority, place, due_at, index))
    placed.sort()
    return [jobs[index] for *_place, index in placed[:limit]]


def _in_order(chosen: Sequence[_Job], found: Sequence[_Fax], limit: int, per_customer: int) -> list[Candidate]:
    """The first of each customer, the second of each, …; within a customer the first of each job, the second, …."""
    place_of = {job[0]: place for place, job in enumerate(chosen)}
    turns: dict[str, int] = defaultdict(int)
    looked: list[tuple[int, int, int, int]] = []
    for index, (job, _fax, _number) in enumerate(found):
        turns[job] += 1
        place = place_of[job]
        looked.append((-chosen[place][2], turns[job], place, index))
    looked.sort()
    ranks: dict[str, int] = defaultdict(int)
    ranked: list[tuple[int, int, int]] = []
    for order, (minus_priority, _turn, place, _index) in enumerate(looked):
        customer = chosen[place][1]
        rank = ranks[customer] = ranks[customer] + 1
        if rank <= per_customer:
            ranked.append((minus_priority, rank, order))
    ranked.sort()
    return [_candidate(chosen[looked[order][2]], found[looked[order][3]]) for *_rank, order in ranked[:limit]]


def _candidate(job: _Job, fax: _Fax) -> Candidate:
    return Candidate(fax[1], job[0], job[1], fax[2], job[2], job[4])
