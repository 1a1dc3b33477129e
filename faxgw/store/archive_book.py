"""The archive as its readers see it: faxes sent and received, found by number, period and reference (features H1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, String, cast, exists, func, or_, select

from faxgw.fax.ports import StoredFile
from faxgw.store import holds
from faxgw.store import schema as t

MAX_FOUND = 500
"""Faxes in one answer at most; the next page begins after the last of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty is anything."""

    customer: str = ""
    number: str = ""
    """E.164, ours or the other side's."""
    since: float = 0.0
    """Accepted, or received, from then on; Unix seconds."""
    until: float = 0.0
    reference: str = ""
    """Reference, subject or id of a job; a part of it."""
    text: str = ""
    """What was read on received pages: a part of it, as it was read."""


@dataclass(frozen=True, slots=True)
class Found:
    """One fax of the archive."""

    id: str
    direction: str
    """sent, or received."""
    customer: str
    at: float
    facts: Mapping[str, Any]
    """Metadata, for people and programs."""
    documents: tuple[tuple[str, StoredFile], ...]
    """Name in an export, and file; none when they were purged."""


Cursor = tuple[float, str]
"""Time and id of the last one seen."""


def search(conn: Connection, wanted: Wanted, *, after: Cursor = (0.0, ""), limit: int = MAX_FOUND) -> Sequence[Found]:
    """Faxes in the order of their times.

    Args:
        conn: The unit's connection.
        wanted: What is looked for.
        after: The last one of the page before.
        limit: Faxes at most, MAX_FOUND at the most.
    """
    most = min(limit, MAX_FOUND)
    sent = [] if wanted.text else [_sent(conn, row) for row in _rows_sent(conn, wanted, after, most)]
    received = [_received(conn, row) for row in _rows_received(conn, wanted, after, most)]
    return sorted([*sent, *received], key=lambda one: (one.at, one.id))[:most]


def pages(found: Sequence[Found]) -> Cursor:
    """Where the next page begins."""
    return (found[-1].at, found[-1].id)


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped.lower()}%"


def _rows_sent(conn: Connection, wanted: Wanted, after: Cursor, limit: int) -> Sequence[Row[Any]]:
    job, fax = t.jobs.c, t.faxes.c
    query = select(
        t.faxes, job.user, job.owner, job.subject, job.reference, job.accepted_at, job.purged, job.purge_at
    ).join(t.jobs, job.id == fax.job)
    query = query.where(or_(job.accepted_at > after[0], (job.accepted_at == after[0]) & (fax.id > after[1])))
    query = query.where(job.customer == wanted.customer) if wanted.customer else query
    query = query.where(fax.e164 == wanted.number) if wanted.number else query
    query = query.where(job.accepted_at >= wanted.since) if wanted.since else query
    query = query.where(job.accepted_at < wanted.until) if wanted.until else query
    if wanted.reference:
        places = (job.reference, job.subject, job.id, fax.id)
        query = query.where(or_(*(func.lower(place).like(_like(wanted.reference), escape="\\") for place in places)))
    return conn.execute(query.order_by(job.accepted_at, fax.id).limit(limit)).all()


def _rows_received(conn: Connection, wanted: Wanted, after: Cursor, limit: int) -> Sequence[Row[Any]]:
    c = t.receptions.c
    query = select(t.receptions).where(c.pages > 0)
    query = query.where(or_(c.started_at > after[0], (c.started_at == after[0]) & (c.id > after[1])))
    query = query.where(c.customer == wanted.customer) if wanted.customer else query
    query = query.where(or_(c.number == wanted.number, c.caller == wanted.number)) if wanted.number else query
    query = query.where(c.started_at >= wanted.since) if wanted.since else query
    query = query.where(c.started_at < wanted.until) if wanted.until else query
    if wanted.reference:
        query = query.where(func.lower(c.id).like(_like(wanted.reference), escape="\\"))
    if wanted.text:
        read = t.readings.c.reading["text"].as_string()
        here = (t.readings.c.reception == c.id) & func.lower(cast(read, String)).like(_like(wanted.text), escape="\\")
        query = query.where(exists().where(here))
    return conn.execute(query.order_by(c.started_at, c.id).limit(limit)).all()


def _sent(conn: Connection, row: Row[Any]) -> Found:
    parts = t.attempt_faxes.c
    calls = conn.execute(
        select(
            parts.tiff_key,
            parts.tiff_sha256,
            parts.tiff_size,
            parts.first_page,
            parts.last_page,
            t.attempts.c.planned_at,
        )
        .join(t.attempts, t.attempts.c.id == parts.attempt)
        .where(parts.fax == row.id, parts.exposed)
        .order_by(t.attempts.c.planned_at)
    ).all()
    files = [StoredFile(call.tiff_key, call.tiff_sha256, call.tiff_size) for call in calls if call.tiff_key]
    facts = {
        "job": row.job,
        "user": row.user,
        "owner": row.owner,
        "subject": row.subject,
        "reference": row.reference,
        "number": row.e164,
        "state": row.state,
        "cause": row.cause,
        "pages": row.pages,
        "dials": row.dials,
        "finished_at": row.finished_at,
        "purge_at": row.purge_at,
    }
    names = [f"{row.id}.tif" if len(files) == 1 else f"{row.id}-{place}.tif" for place in range(1, len(files) + 1)]
    return Found(row.id, "sent", row.customer, row.accepted_at, facts, tuple(zip(names, files, strict=True)))


def _received(conn: Connection, row: Row[Any]) -> Found:
    page = t.reception_pages.c
    kept = conn.execute(
        select(page.page, page.key, page.sha256, page.size)
        .where(page.reception == row.id, page.key != "")
        .order_by(page.page)
    ).all()
    documents = [(f"{row.id}-{one.page}.tif", StoredFile(one.key, one.sha256, one.size)) for one in kept]
    if row.document_key:
        pdf = StoredFile(row.document_key, row.document_sha256, row.document_size)
        documents = [(f"{row.id}.pdf", pdf)]  # it holds the pages' own data
    facts = {
        "number": row.number,
        "caller": row.caller,
        "display": row.display,
        "ident": row.ident,
        "state": row.state,
        "cause": row.cause,
        "pages": row.pages,
        "ended_at": row.ended_at,
        "purge_at": row.purge_at,
    }
    return Found(row.id, "received", row.customer, row.started_at, facts, tuple(documents))


def held(conn: Connection, found: Found) -> str:
    """The hold that covers a fax of the archive; empty: none."""
    numbers = {str(found.facts.get(name, "")) for name in ("number", "caller")}
    entities = {found.id, str(found.facts.get("job", ""))}
    return holds.held_by(holds.in_force(conn), holds.Subject(found.customer, numbers, entities, found.at))
