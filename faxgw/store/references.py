"""Documents that a job names by their URL: fetched after the job was promised, tried again while the source is away.

A job with documents pending is not rendered (`rendering.lease`). When one cannot be had at all, or not in time,
the job's faxes fail and say which; the vendor's status for that is MISSING_FAX_FILE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, or_, select, update

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import StoredFile
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.node import voided
from faxgw.store.queue import RENDER_TOPIC, move
from faxgw.store.submission import fail_accepted, faxes_in
from faxgw.store.unit import notify

LEASE = 300.0
"""Seconds one try may last."""
PAUSES = (10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds before the next try after the 1st, 2nd, … that failed; the last repeats."""


@dataclass(frozen=True, slots=True)
class LeasedReference:
    """A document to be fetched."""

    job: str
    position: int
    name: str
    kind: str | None
    charset: str | None
    url: str
    tries: int
    """This one included."""
    give_up_at: float
    accepted_at: float

    @property
    def id(self) -> str:
        """For logs and task names."""
        return f"{self.job}/{self.position}"


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[LeasedReference]:
    """Lease documents to fetch, those that waited longest first."""
    book, jobs = t.job_references.c, t.jobs.c
    free = or_(voided(book.lease_fence), book.lease_until < now)
    rows = conn.execute(
        select(t.job_references, jobs.accepted_at)
        .join(t.jobs, jobs.id == book.job)
        .where(book.pending, book.not_before <= now, free)
        .order_by(book.not_before, book.job, book.position)
        .limit(limit)
    ).all()
    for row in rows:
        conn.execute(
            update(t.job_references)
            .where(book.job == row.job, book.position == row.position)
            .values(lease_fence=fence, lease_until=now + LEASE, tries=row.tries + 1)
        )
    return [
        LeasedReference(r.job, r.position, r.name, r.kind, r.charset, r.url, r.tries + 1, r.give_up_at, r.accepted_at)
        for r in rows
    ]


def fetched(conn: Connection, reference: LeasedReference, *, file: StoredFile, fence: int, now: float) -> bool:
    """The document is durable. False when it is not wanted any more, and no row names the file."""
    named = select(t.job_documents.c.key).where(
        t.job_documents.c.job == reference.job, t.job_documents.c.position == reference.position
    )
    if (key := conn.execute(named).scalar()) is not None:
        return bool(key == file.key)
    if not _held(conn, reference, fence):
        return False
    conn.execute(
        insert(t.job_documents).values(
            job=reference.job,
            position=reference.position,
            name=reference.name,
            kind=reference.kind,
            charset=reference.charset,
            origin="attachment",
            key=file.key,
            sha256=file.sha256,
            size=file.size,
        )
    )
    _close(conn, reference)
    facts = {"document": reference.name, "size": file.size}
    note(conn, reference.job, "document.fetched", now=now, job=reference.job, data=facts)
    notify(conn, RENDER_TOPIC)
    return True


def put_off(conn: Connection, reference: LeasedReference, *, fence: int, now: float, why: str) -> None:
    """The source is away: again later, or the job fails where that would be too late."""
    if not _held(conn, reference, fence):
        return
    again = now + PAUSES[min(reference.tries, len(PAUSES)) - 1]
    if again > reference.give_up_at:
        give_up(conn, reference, fence=fence, now=now, reason=why)
        return
    book = t.job_references.c
    conn.execute(
        update(t.job_references)
        .where(book.job == reference.job, book.position == reference.position)
        .values(lease_fence=None, lease_until=None, not_before=again)
    )
    data = {"document": reference.name, "why": why[:400], "tries": reference.tries}
    note(conn, reference.job, "document.put_off", now=now, job=reference.job, data=data)


def give_up(conn: Connection, reference: LeasedReference, *, fence: int, now: float, reason: str) -> None:
    """The document cannot be had: the job's faxes fail with the public reason."""
    if not _held(conn, reference, fence):
        return
    conn.execute(
        update(t.job_references)
        .where(t.job_references.c.job == reference.job)
        .values(pending=False, lease_fence=None, lease_until=None)
    )
    text = f"{reference.name}: {reason}"
    note(conn, reference.job, "document.missing", now=now, job=reference.job, data={"why": text[:400]})
    for fax in faxes_in(conn, reference.job, FaxState.HELD):
        move(conn, fax, FaxState.FAILED, now=now, cause=Cause.NOTHING_TO_SEND, reason=text)
    faxes = dict.fromkeys(faxes_in(conn, reference.job, FaxState.ACCEPTED), text)
    fail_accepted(conn, reference.job, faxes, cause=Cause.NOTHING_TO_SEND, now=now)


def next_due(conn: Connection) -> float | None:
    """Unix seconds from which the next document may be fetched."""
    book = t.job_references.c
    return conn.execute(select(func.min(book.not_before)).where(book.pending, book.lease_fence.is_(None))).scalar()


def _held(conn: Connection, reference: LeasedReference, fence: int) -> bool:
    """Whether it is ours to decide over, and something of its job still waits for it."""
    book = t.job_references.c
    where = (book.job == reference.job, book.position == reference.position, book.pending, book.lease_fence == fence)
    if conn.execute(select(book.job).where(*where)).first() is None:
        return False
    waiting = select(t.faxes.c.id).where(t.faxes.c.job == reference.job, t.faxes.c.state.in_(_WAITING)).limit(1)
    if conn.execute(waiting).first() is None:  # cancelled or expired meanwhile
        _close(conn, reference)
        return False
    return True


_WAITING = (FaxState.ACCEPTED.value, FaxState.HELD.value)


def _close(conn: Connection, reference: LeasedReference) -> None:
    book = t.job_references.c
    conn.execute(
        update(t.job_references)
        .where(book.job == reference.job, book.position == reference.position)
        .values(pending=False, lease_fence=None, lease_until=None)
    )
