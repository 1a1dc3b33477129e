"""What an operator asks: one fax, job or message with everything known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any  # rows as plain JSON

from sqlalchemy import Connection, RowMapping, or_, select

from faxgw.store import schema as t
from faxgw.store.journal import of_entity
from faxgw.store.reports import page_counts

MAX_FOUND = 200
"""Faxes of one job shown at most."""


def find(conn: Connection, ident: str) -> Mapping[str, Any] | None:
    """Everything known of a fax, job, message or attempt; None when there is no such thing.

    Args:
        conn: The unit's connection.
        ident: An id, in any case, or the beginning of one (at least six characters).
    """
    job, message = _resolve(conn, ident)
    if job is None and message is None:
        return None
    found: dict[str, Any] = {"message": message and _message(conn, message), "job": None, "faxes": [], "events": []}
    if job is not None:
        row = conn.execute(select(t.jobs).where(t.jobs.c.id == job)).mappings().one()
        found["job"] = {k: v for k, v in row.items() if k not in ("settings", "thumbnail", "page_facts")}
        query = select(t.faxes).where(t.faxes.c.job == job).order_by(t.faxes.c.position).limit(MAX_FOUND)
        found["faxes"] = [_fax(conn, fax) for fax in conn.execute(query).mappings()]
    events = {e.serial: e for entity in (message, job) if entity for e in of_entity(conn, entity)}
    found["events"] = [
        {"at": e.at, "entity": e.entity, "what": e.what, "who": e.who, "data": dict(e.data)}
        for _serial, e in sorted(events.items())
    ]
    return found


def _resolve(conn: Connection, ident: str) -> tuple[str | None, str | None]:
    if len(ident) < 6:
        return None, None
    like = ident.replace("%", "").replace("_", r"\_") + "%"

    def first(column: Any, *more: Any) -> Any:
        return conn.execute(select(column, *more).where(column.like(like, escape="\\")).limit(1)).first()

    if row := first(t.faxes.c.id, t.faxes.c.job):
        job = row.job
    elif row := first(t.jobs.c.id):
        job = row.id
    elif row := first(t.attempt_faxes.c.attempt, t.attempt_faxes.c.fax):
        job = conn.execute(select(t.faxes.c.job).where(t.faxes.c.id == row.fax)).scalar_one()
    elif row := first(t.messages.c.id, t.messages.c.job):
        return row.job, row.id
    else:
        return None, None
    return job, conn.execute(select(t.jobs.c.message).where(t.jobs.c.id == job)).scalar()


def _message(conn: Connection, message: str) -> Mapping[str, Any]:
    row = conn.execute(select(t.messages).where(t.messages.c.id == message)).mappings().one()
    people = conn.execute(
        select(t.message_recipients)
        .where(t.message_recipients.c.message == message)
        .order_by(t.message_recipients.c.position)
    ).mappings()
    return {**row, "recipients": [dict(p) for p in people]}


def _fax(conn: Connection, row: RowMapping) -> Mapping[str, Any]:
    confirmed, doubtful = page_counts(conn, row["id"])
    calls = conn.execute(
        select(t.attempts, t.attempt_faxes.c.first_page, t.attempt_faxes.c.last_page, t.attempt_faxes.c.confirmed)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(t.attempt_faxes.c.fax == row["id"])
        .order_by(t.attempts.c.planned_at)
    ).mappings()
    return {**row, "pages_confirmed": confirmed, "doubtful_page": doubtful, "attempts": [dict(c) for c in calls]}


def fax_ids(conn: Connection, ident: str) -> Sequence[str]:
    """The faxes an id means: a fax itself, or all faxes of a job or message."""
    job, _message_id = _resolve(conn, ident)
    exact = conn.execute(
        select(t.faxes.c.id).where(or_(t.faxes.c.id == ident, t.faxes.c.id.like(ident + "%"))).limit(1)
    ).scalar()
    if exact is not None:
        return [exact]
    if job is None:
        return []
    return list(conn.execute(select(t.faxes.c.id).where(t.faxes.c.job == job).order_by(t.faxes.c.position)).scalars())


def tiffs_of(conn: Connection, fax: str) -> Sequence[Mapping[str, Any]]:
    """The composed files of a fax's attempts, oldest first: key, sha256, size, attempt."""
    query = (
        select(
            t.attempt_faxes.c.attempt,
            t.attempt_faxes.c.tiff_key.label("key"),
            t.attempt_faxes.c.tiff_sha256.label("sha256"),
            t.attempt_faxes.c.tiff_size.label("size"),
        )
        .join(t.attempts, t.attempts.c.id == t.attempt_faxes.c.attempt)
        .where(t.attempt_faxes.c.fax == fax)
        .order_by(t.attempts.c.planned_at)
    )
    return [dict(row) for row in conn.execute(query).mappings()]
