"""Reports that clients ask for, list and delete (docs/spine.md section 10), each seen by its customer and owner only.

A report is a view of a job's rows; what is stored is that it exists and whether it was deleted. Deleting it hides it
and never touches the fax. A report that is somebody else's, deleted, or of no job at all is the same: not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any  # rows

from sqlalchemy import Connection, func, select, update

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import AttemptLine
from faxgw.fax.vendor_report import Deletion, VendorRecipient, VendorReport, recipient_report
from faxgw.store import schema as t
from faxgw.store.reports import attempt_lines_of

MAX_LISTED = 1_000
"""Reports in one answer at most (the vendor's number)."""
MAX_RECIPIENTS_LISTED = 20_000
"""Recipients in one list at most: a list of broadcasts has fewer reports, and the next one goes on."""
FORGET_AT_ONCE = 200
"""Reports hidden in one unit when their time is over."""
_IDS_AT_ONCE = 500
"""Ids in one query."""

_FAX_COLUMNS = (
    t.faxes.c.id,
    t.faxes.c.job,
    t.faxes.c.numbers,
    t.faxes.c.state,
    t.faxes.c.cause,
    t.faxes.c.reason,
    t.faxes.c.pages,
    t.faxes.c.dials,
    t.faxes.c.properties,
)


def _visible(customer: str, owner: str) -> tuple[Any, ...]:
    book = t.job_reports.c
    return (book.customer == customer, book.owner == owner, book.deleted_at.is_(None))


def find(conn: Connection, customer: str, owner: str, job: str) -> VendorReport | None:
    """The report of a job, finished or not; None when there is none for this owner."""
    found = find_all(conn, customer, owner, [job])
    return found[0] if found else None


def of_job(conn: Connection, job: str) -> VendorReport | None:
    """The report of a job whoever asks, deleted or not, for the gateway itself; its reference may be empty."""
    if conn.execute(select(t.jobs.c.id).where(t.jobs.c.id == job)).first() is None:
        return None
    row = conn.execute(select(t.job_reports.c.reference).where(t.job_reports.c.job == job)).first()
    (found,) = _reports_of(conn, {job: {} if row is None else row.reference})
    return found


def find_all(conn: Connection, customer: str, owner: str, jobs: Sequence[str]) -> list[VendorReport]:
    """The reports of some jobs, finished or not, in the order asked for; those that are not there are left out."""
    rows: dict[str, Any] = {}
    for first in range(0, len(jobs), _IDS_AT_ONCE):
        some = list(jobs[first : first + _IDS_AT_ONCE])
        query = select(t.job_reports.c.job, t.job_reports.c.reference)
        for row in conn.execute(query.where(t.job_reports.c.job.in_(some), *_visible(customer, owner))):
            rows[row.job] = row
    return _reports(conn, [rows[job] for job in jobs if job in rows])


def oldest(
    conn: Connection, customer: str, owner: str, *, limit: int = MAX_LISTED, recipients: int = MAX_RECIPIENTS_LISTED
) -> list[VendorReport]:
    """The oldest reports of finished jobs."""
    return _reports(conn, _bounded(conn, _oldest_rows(conn, customer, owner, limit), recipients))


def available(conn: Connection, customer: str, owner: str, *, limit: int = MAX_LISTED) -> Sequence[Any]:
    """The oldest jobs that have a report, finished or not: rows of `job`, `accepted_at`, `finished_at`."""
    query = (
        select(t.job_reports.c.job, t.job_reports.c.accepted_at, t.jobs.c.finished_at)
        .join(t.jobs, t.jobs.c.id == t.job_reports.c.job)
        .where(*_visible(customer, owner))
        .order_by(t.job_reports.c.accepted_at, t.job_reports.c.job)
        .limit(limit)
    )
    return conn.execute(query).all()


def delete(conn: Connection, customer: str, owner: str, jobs: Sequence[str], *, now: float) -> list[Deletion]:
    """Delete reports; one of a job that is not finished is not there yet (docs/spine.md section 10)."""
    done: set[str] = set()
    for first in range(0, len(jobs), _IDS_AT_ONCE):
        some = list(jobs[first : first + _IDS_AT_ONCE])
        query = (
            select(t.job_reports.c.job)
            .join(t.jobs, t.jobs.c.id == t.job_reports.c.job)
            .where(t.job_reports.c.job.in_(some), t.jobs.c.finished_at.is_not(None), *_visible(customer, owner))
        )
        done.update(conn.execute(query).scalars())
    _hide(conn, sorted(done), owner, now)
    return [Deletion(job, job in done) for job in jobs]


def delete_oldest(
    conn: Connection, customer: str, owner: str, *, now: float, limit: int = MAX_LISTED
) -> list[Deletion]:
    """Delete the oldest reports of finished jobs."""
    found = [row.job for row in _oldest_rows(conn, customer, owner, limit)]
    _hide(conn, found, owner, now)
    return [Deletion(job, True) for job in found]


def forget_old(conn: Connection, *, accepted_before: float, finished_before: float, now: float) -> int:
    """Hide reports whose time is over; how many. Reports of jobs that are not finished stay.

    Args:
        conn: The unit's connection.
        accepted_before: Only jobs accepted before this time are looked at; not later than the next.
        finished_before: Reports of jobs finished before this time go, Unix seconds.
        now: Unix seconds.
    """
    query = (
        select(t.job_reports.c.job)
        .join(t.jobs, t.jobs.c.id == t.job_reports.c.job)
        .where(
            t.job_reports.c.deleted_at.is_(None),
            t.job_reports.c.accepted_at < accepted_before,
            t.jobs.c.finished_at < finished_before,
        )
        .order_by(t.job_reports.c.accepted_at)
        .limit(FORGET_AT_ONCE)
    )
    found = list(conn.execute(query).scalars())
    _hide(conn, found, "gateway", now)
    return len(found)


def count(conn: Connection, customer: str, owner: str) -> int:
    """Reports of an owner, of unfinished jobs too."""
    return conn.execute(select(func.count()).where(*_visible(customer, owner))).scalar_one()


def _oldest_rows(conn: Connection, customer: str, owner: str, limit: int) -> Sequence[Any]:
    query = (
        select(t.job_reports.c.job, t.job_reports.c.reference)
        .join(t.jobs, t.jobs.c.id == t.job_reports.c.job)
        .where(t.jobs.c.finished_at.is_not(None), *_visible(customer, owner))
        .order_by(t.job_reports.c.accepted_at, t.job_reports.c.job)
        .limit(limit)
    )
    return conn.execute(query).all()


def _bounded(conn: Connection, rows: Sequence[Any], recipients: int) -> Sequence[Any]:
    """The first rows that have so many recipients together, at least one."""
    sizes: dict[str, int] = {}
    for first in range(0, len(rows), _IDS_AT_ONCE):
        some = [row.job for row in rows[first : first + _IDS_AT_ONCE]]
        query = select(t.faxes.c.job, func.count()).where(t.faxes.c.job.in_(some)).group_by(t.faxes.c.job)
        sizes |= {row[0]: row[1] for row in conn.execute(query)}
    kept: list[Any] = []
    for row in rows:
        recipients -= sizes.get(row.job, 0)
        if kept and recipients < 0:
            break
        kept.append(row)
    return kept


def _hide(conn: Connection, jobs: Sequence[str], who: str, now: float) -> None:
    for first in range(0, len(jobs), _IDS_AT_ONCE):
        some = list(jobs[first : first + _IDS_AT_ONCE])
        conn.execute(update(t.job_reports).where(t.job_reports.c.job.in_(some)).values(deleted_at=now))
    if jobs:
        conn.execute(
            t.events.insert(),
            [
                {"at": now, "entity": job, "job": job, "what": "report.deleted", "who": who[:130], "data": {}}
                for job in jobs
            ],
        )


def _reports(conn: Connection, rows: Sequence[Any]) -> list[VendorReport]:
    return _reports_of(conn, {row.job: row.reference for row in rows})


def _reports_of(conn: Connection, jobs: Mapping[str, Mapping[str, str]]) -> list[VendorReport]:
    """The reports of jobs, each with its reference, in their order."""
    names = list(jobs)
    faxes: dict[str, list[Any]] = defaultdict(list)
    lines: dict[str, Sequence[AttemptLine]] = {}
    for first in range(0, len(names), _IDS_AT_ONCE):
        some = names[first : first + _IDS_AT_ONCE]
        query = select(*_FAX_COLUMNS).where(t.faxes.c.job.in_(some)).order_by(t.faxes.c.job, t.faxes.c.position)
        found = conn.execute(query).all()
        for fax in found:
            faxes[fax.job].append(fax)
        dialled = select(t.faxes.c.id).where(t.faxes.c.job.in_(some), t.faxes.c.dials > 0)
        lines |= attempt_lines_of(conn, dialled)
    return [_report(job, reference, faxes[job], lines) for job, reference in jobs.items()]


def _report(
    job: str, reference: Mapping[str, str], faxes: Sequence[Any], lines: Mapping[str, Sequence[AttemptLine]]
) -> VendorReport:
    return VendorReport(
        job=job,
        recipients=tuple(_recipient(fax, lines.get(fax.id, ())) for fax in faxes),
        pages=max((fax.pages for fax in faxes), default=0),
        reference=reference,
    )


def _recipient(fax: Any, attempts: Sequence[AttemptLine]) -> VendorRecipient:
    return recipient_report(
        fax=fax.id,
        number=fax.numbers[0]["typed"],
        properties=[(key, value) for key, value in fax.properties or ()],
        state=FaxState(fax.state),
        cause=Cause(fax.cause) if fax.cause else None,
        reason=fax.reason,
        attempts=attempts,
    )
