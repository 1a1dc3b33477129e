"""The recipients of a large job, written before the job is there: so that its acceptance is one short unit.

A unit of work delays every page gate and every MCF (docs/spine.md section 7), and five thousand recipients take a
third of a second to write. So they are staged first, some hundreds in each unit, in a table that nothing else reads.
The unit that accepts the job copies them inside the database; before it the job does not exist, after it the job is
whole. What was staged for a job that never came (its sender heard no 200) is swept by its age, and so is what a job
has taken over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, bindparam, delete, func, insert, literal, select

from faxgw.fax.job import FaxState, check_transition
from faxgw.fax.outcome import Cause
from faxgw.store import schema as t

SLICE = 250
"""Recipients staged in one unit: some 10 ms."""
KEPT_S = 3600.0
"""Seconds after which what was staged is swept. A sender waits for minutes at most."""
SWEPT_AT_ONCE = 1_000
"""Rows swept in one unit."""

_STAGED = t.staged_faxes.c
_THERE = select(_STAGED.position).where(_STAGED.job == bindparam("wanted"), _STAGED.position == bindparam("place"))
_INSERT = insert(t.staged_faxes)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient that is staged."""

    fax: str
    position: int
    """Among the job's recipients, from 1."""
    numbers: Sequence[Mapping[str, str]]
    properties: Sequence[tuple[str, str]]
    refusal: str = ""
    """Why its number cannot be dialled, for the sender; empty: it can."""


def stage(conn: Connection, job: str, recipients: Sequence[Recipient], *, now: float) -> None:
    """Write a slice; run again after an uncertain commit, it finds its own rows and is done.

    Args:
        conn: The unit's connection.
        job: The id that the job will have.
        recipients: At most SLICE of them.
        now: Unix seconds.
    """
    if not recipients or conn.execute(_THERE, {"wanted": job, "place": recipients[0].position}).first() is not None:
        return
    failed = FaxState.FAILED
    check_transition(FaxState.ACCEPTED, failed)
    conn.execute(
        _INSERT,
        [
            {
                "job": job,
                "position": r.position,
                "id": r.fax,
                "state": (failed if r.refusal else FaxState.ACCEPTED).value,
                "numbers": [dict(number) for number in r.numbers],
                "e164": r.numbers[0]["e164"],
                "properties": [list(pair) for pair in r.properties],
                "reason": r.refusal[:400],
                "staged_at": now,
            }
            for r in recipients
        ],
    )


def publish(conn: Connection, job: str, shared: Mapping[str, Any], *, faxes: int, now: float) -> int:
    """Make the staged recipients the faxes of a job, with their events; how many have a number that is refused.

    Args:
        conn: The unit's connection.
        job: The job; its row was written in this unit.
        shared: Columns that all its faxes have in common.
        faxes: How many there are: if fewer are staged, nothing may be promised.
        now: Unix seconds.

    Raises:
        LookupError: If not all of them are staged.
    """
    failed = _STAGED.state == FaxState.FAILED.value
    own = [_STAGED[name] for name in ("id", "position", "state", "numbers", "e164", "properties", "reason")]
    chosen = _STAGED.job == job
    common = {"job": job, "since": now, **shared}
    names = [column.name for column in own] + list(common)
    values = [literal(value, t.faxes.c[name].type).label(name) for name, value in common.items()]
    staged, refused = conn.execute(select(func.count(), func.count().filter(failed)).where(chosen)).one()
    if staged != faxes:
        raise LookupError(f"{staged} of {faxes} recipients of {job} are staged")
    conn.execute(insert(t.faxes).from_select(names, select(*own, *values).where(chosen)))
    _tell(conn, job, FaxState.ACCEPTED.value, {}, chosen, now)
    if refused:
        cause = Cause.NUMBER_REFUSED.value
        late = {"cause": cause, "version": 1, "finished_at": now}
        conn.execute(t.faxes.update().where(t.faxes.c.job == job, t.faxes.c.state == FaxState.FAILED.value), late)
        facts = {"from": FaxState.ACCEPTED.value, "to": FaxState.FAILED.value, "cause": cause}
        _tell(conn, job, FaxState.FAILED.value, facts, chosen & failed, now)
    return int(refused)


def clear(conn: Connection, job: str) -> int:
    """Remove some of what a job has taken over, or will never take; how many."""
    first = conn.execute(select(func.min(_STAGED.position)).where(_STAGED.job == job)).scalar()
    if first is None:
        return 0
    # A stretch of the primary key: PostgreSQL, which has no statistics of what was just written, would join otherwise.
    some = _STAGED.position.between(first, first + SWEPT_AT_ONCE - 1)
    return conn.execute(delete(t.staged_faxes).where(_STAGED.job == job, some)).rowcount


def old_jobs(conn: Connection, *, now: float) -> Sequence[str]:
    """Jobs of which something has been staged for too long."""
    return list(conn.execute(select(_STAGED.job).where(_STAGED.staged_at < now - KEPT_S).distinct()).scalars())


def _tell(conn: Connection, job: str, state: str, facts: Mapping[str, Any], chosen: Any, now: float) -> None:
    """The same entry of the journal for many faxes, in their order."""
    e = t.events.c
    common = {"at": now, "job": job, "what": f"fax.{state}", "who": "gateway", "data": dict(facts)}
    values = [literal(value, e[name].type).label(name) for name, value in common.items()]
    rows = select(_STAGED.id, *values).where(chosen).order_by(_STAGED.position)
    conn.execute(insert(t.events).from_select(["entity", *common], rows))
