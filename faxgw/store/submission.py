"""Jobs that come with their structure: committed at once, with key, report and documents still to be fetched.

One transaction is the promise (docs/spine.md section 5). A number that cannot be dialled fails its own recipient and
no other: the fax is accepted and failed by the same commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Select, bindparam, delete, exists, func, insert, select, update

from faxgw.fax.account import AccountState, Level, Origin
from faxgw.fax.job import FaxState, check_transition
from faxgw.fax.outcome import Cause
from faxgw.fax.submission import JobKnown
from faxgw.store import pushes, queue, reports
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.pushes import Push
from faxgw.store.queue import NewJob
from faxgw.store.unit import notify

FETCH_TOPIC = "references"
"""Noted when a document waits to be fetched."""
FORGET_AT_ONCE = 1_000
"""Keys removed in one unit."""

_KEY = select(t.job_keys.c.job, t.job_keys.c.fingerprint, t.job_keys.c.created_at).where(
    t.job_keys.c.key == bindparam("wanted")
)
_STANDING = (
    select(
        t.customers.c.state,
        t.customers.c.settings,
        t.users.c.name.label("person"),
        t.users.c.state.label("user_state"),
        t.users.c.settings.label("user_settings"),
        t.profiles.c.name.label("profile"),
        t.profiles.c.settings.label("profile_settings"),
    )
    .select_from(
        t.customers.outerjoin(
            t.users, (t.users.c.id == bindparam("user_id")) & (t.users.c.customer == t.customers.c.id)
        ).outerjoin(t.profiles, (t.profiles.c.id == t.users.c.profile) & (t.profiles.c.customer == t.customers.c.id))
    )
    .where(t.customers.c.id == bindparam("customer_id"))
)
_JOB_EXISTS = select(t.jobs.c.id).where(t.jobs.c.id == bindparam("wanted"))
_INSERT_KEY = insert(t.job_keys)
_DELETE_KEY = delete(t.job_keys).where(t.job_keys.c.key == bindparam("wanted"))
_INSERT_REPORT = insert(t.job_reports)
_INSERT_REFERENCES = insert(t.job_references)
_INSERT_EVENTS = insert(t.events)
_FAIL = (
    update(t.faxes)
    .where(t.faxes.c.id == bindparam("fax"), t.faxes.c.state == FaxState.ACCEPTED.value)
    .values(
        state=FaxState.FAILED.value,
        cause=bindparam("why"),
        reason=bindparam("words"),
        version=t.faxes.c.version + 1,
        since=bindparam("at"),
        finished_at=bindparam("at"),
    )
)
_GIVEN_UP = (FaxState.FAILED.value, FaxState.EXPIRED.value, FaxState.CANCELLED.value)


@dataclass(frozen=True, slots=True)
class Standing:
    """Who wants to send, as far as the gate asks."""

    active: bool
    """Customer and user are there and may send."""
    levels: Sequence[tuple[Origin, Mapping[str, Any]]]
    """What each level gives, weakest first."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A document that is to be fetched."""

    position: int
    """Among the job's documents, from 1."""
    name: str
    kind: str | None
    charset: str | None
    url: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Everything that one commit promises."""

    job: NewJob
    unreachable: Mapping[str, str]
    """Fax → why its number cannot be dialled, for the sender."""
    references: tuple[Reference, ...]
    give_up_at: float
    """When documents that could not be fetched are given up, Unix seconds."""
    key: str
    fingerprint: str
    key_valid: float
    """Seconds."""
    report: Mapping[str, Any] | None
    """`owner`, `interface`, `reference`."""
    key_for_good: bool = False
    """The key holds whatever becomes of the job."""
    push: Push | None = None
    """Where its report goes when it is finished."""


def standing(conn: Connection, system: Mapping[str, object], customer: str, user: str) -> Standing:
    """Account states and settings of a user of a customer, in one question; every job asks it.

    Args:
        conn: The unit's connection.
        system: Settings of the system level.
        customer: Customer id.
        user: User id; empty: the customer as a whole.
    """
    levels: list[tuple[Origin, Mapping[str, Any]]] = [(Origin(Level.SYSTEM), system)]
    row = conn.execute(_STANDING, {"customer_id": customer, "user_id": user}).first()
    if row is None:
        return Standing(False, levels)
    levels.append((Origin(Level.CUSTOMER, customer), row.settings))
    if row.profile is not None:
        levels.append((Origin(Level.PROFILE, row.profile), row.profile_settings))
    if row.person is not None:
        levels.append((Origin(Level.USER, row.person), row.user_settings))
    named = row.person is not None if user else True
    active = row.state == AccountState.ACTIVE and row.user_state in (None, AccountState.ACTIVE)
    return Standing(named and active, levels)


def known(
    conn: Connection, key: str, fingerprint: str, *, valid: float, now: float, for_good: bool = False
) -> JobKnown | None:
    """The job that was accepted under a key, unless nothing of it was or may still be sent.

    Args:
        conn: The unit's connection.
        key: The key.
        fingerprint: Of the request that asks.
        valid: Seconds for which a key holds.
        now: Unix seconds.
        for_good: The key holds even if nothing of it was or may still be sent.
    """
    row = conn.execute(_KEY, {"wanted": key}).first()
    if row is None or row.created_at < now - valid:
        return None
    if for_good:
        return JobKnown(row.job, row.fingerprint == fingerprint)
    alive = select(func.count()).where(t.faxes.c.job == row.job, t.faxes.c.state.not_in(_GIVEN_UP))
    if not conn.execute(alive).scalar_one():
        return None
    return JobKnown(row.job, row.fingerprint == fingerprint)


def held(conn: Connection, keys: Sequence[str], *, valid: float, now: float) -> frozenset[str]:
    """Those of some keys under which a job was accepted of which something was, or may still be, sent; in one go.

    Args:
        conn: The unit's connection.
        keys: Some hundreds at most.
        valid: Seconds for which a key holds.
        now: Unix seconds.
    """
    alive = exists().where(t.faxes.c.job == t.job_keys.c.job, t.faxes.c.state.not_in(_GIVEN_UP))
    return frozenset(conn.execute(_used(keys, valid, now).where(alive)).scalars())


def is_used(conn: Connection, keys: Sequence[str], *, valid: float, now: float) -> bool:
    """Whether a job was accepted under one of some keys, whatever became of it."""
    return conn.execute(_used(keys, valid, now).limit(1)).first() is not None


def _used(keys: Sequence[str], valid: float, now: float) -> Select[str]:
    return select(t.job_keys.c.key).where(t.job_keys.c.key.in_(keys), t.job_keys.c.created_at >= now - valid)


def accept(conn: Connection, new: Accepted, *, now: float) -> JobKnown | None:
    """Commit a job; run again after an uncertain commit, it finds its own id and is done.

    Returns:
        The job known under its key, when there is one: nothing was changed then.
    """
    job = new.job
    if conn.execute(_JOB_EXISTS, {"wanted": job.id}).first() is not None:
        return None
    if new.key:
        found = known(conn, new.key, new.fingerprint, valid=new.key_valid, now=now, for_good=new.key_for_good)
        if found is not None:
            return found
        conn.execute(_DELETE_KEY, {"wanted": new.key})
        conn.execute(
            _INSERT_KEY,
            {
                "key": new.key,
                "job": job.id,
                "fingerprint": new.fingerprint,
                "created_at": now,
                "valid_until": now + new.key_valid,
            },
        )
    queue.create(conn, job, fence=None, now=now, looked=True)
    if new.report is not None:
        conn.execute(_INSERT_REPORT, {"job": job.id, "customer": job.customer, "accepted_at": now, **new.report})
    if new.push is not None:
        pushes.ask(conn, job.id, new.push)
    if new.references:
        conn.execute(
            _INSERT_REFERENCES,
            [
                {
                    "job": job.id,
                    "position": r.position,
                    "name": r.name,
                    "kind": r.kind,
                    "charset": r.charset,
                    "url": r.url,
                    "pending": True,
                    "not_before": now,
                    "give_up_at": new.give_up_at,
                }
                for r in new.references
            ],
        )
        notify(conn, FETCH_TOPIC)
    if not job.staged:
        fail_accepted(conn, job.id, new.unreachable, cause=Cause.NUMBER_REFUSED, now=now)
    return None


def fail_accepted(conn: Connection, job: str, faxes: Mapping[str, str], *, cause: Cause, now: float) -> None:
    """Accepted faxes of one job fail, thousands of them in one unit; the job is finished with its last fax.

    Args:
        conn: The unit's connection.
        job: Their job.
        faxes: Fax → public reason; all of them are accepted in this transaction.
        cause: Why.
        now: Unix seconds.
    """
    if not faxes:
        return
    check_transition(FaxState.ACCEPTED, FaxState.FAILED)
    conn.execute(
        _FAIL, [{"fax": fax, "why": cause.value, "words": text[:400], "at": now} for fax, text in faxes.items()]
    )
    shared = {"at": now, "job": job, "what": f"fax.{FaxState.FAILED.value}", "who": "gateway"}
    facts = {"from": FaxState.ACCEPTED.value, "to": FaxState.FAILED.value, "cause": cause.value}
    conn.execute(
        _INSERT_EVENTS,
        [{"entity": fax, "data": facts | {"reason": text[:400]}, **shared} for fax, text in faxes.items()],
    )
    left = t.jobs.c.open - len(faxes)
    conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(open=left))
    if conn.execute(select(t.jobs.c.open).where(t.jobs.c.id == job)).scalar_one() == 0:
        conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(finished_at=now))
        note(conn, job, "job.finished", now=now, job=job)
        reports.finished(conn, job, now)


def faxes_in(conn: Connection, job: str, state: FaxState) -> Sequence[str]:
    """Faxes of a job that are in a state, in order."""
    query = select(t.faxes.c.id).where(t.faxes.c.job == job, t.faxes.c.state == state.value)
    return list(conn.execute(query.order_by(t.faxes.c.position)).scalars())


def forget_old_keys(conn: Connection, *, now: float) -> int:
    """Remove keys that hold no longer; how many."""
    old = select(t.job_keys.c.key).where(t.job_keys.c.valid_until < now).limit(FORGET_AT_ONCE)
    return conn.execute(delete(t.job_keys).where(t.job_keys.c.key.in_(old.scalar_subquery()))).rowcount
