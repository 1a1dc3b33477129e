"""What an operator asks: one fax, job or message with everything known of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any  # rows as plain JSON

from sqlalchemy import Column, Connection, RowMapping, func, select

from faxgw.fax.errors import Refused
from faxgw.store import previewing, routing
from faxgw.store import schema as t
from faxgw.store.journal import of_entity
from faxgw.store.reports import page_counts

MAX_FOUND = 200
"""Faxes of one job shown at most; the one that was asked for is among them."""
MAX_EXPECTED = 20
"""Faxes of a job of which it is said what their next call will take."""
MIN_BEGINNING = 6
"""Characters of an id that say which one is meant, at least."""


def find(conn: Connection, ident: str) -> Mapping[str, Any] | None:
    """Everything known of a fax, job, message, attempt or received fax; None when there is no such thing.

    `states` counts all faxes of the job, of which at most MAX_FOUND are shown.

    Args:
        conn: The unit's connection.
        ident: An id, in any case, or the beginning of one (at least MIN_BEGINNING characters).

    Raises:
        Refused: If several ids begin so.
    """
    job, message = _resolve(conn, ident)
    if job is None and message is None:
        reception = reception_id(conn, ident)
        nothing: dict[str, Any] = {"message": None, "job": None, "faxes": [], "states": {}}
        return None if reception is None else {**nothing, **routing.detail(conn, reception)}
    found: dict[str, Any] = {"message": message and _message(conn, message), "job": None, "faxes": [], "states": {}}
    if job is not None:
        row = conn.execute(select(t.jobs).where(t.jobs.c.id == job)).mappings().one()
        found["job"] = {k: v for k, v in row.items() if k not in ("settings", "thumbnail", "page_facts")}
        found["states"] = _states(conn, job)
        asked = t.faxes.c.id == (_one(conn, t.faxes.c.id, ident.upper()) or "")
        query = select(t.faxes).where(t.faxes.c.job == job).order_by(asked.desc(), t.faxes.c.position).limit(MAX_FOUND)
        shown = sorted(conn.execute(query).mappings(), key=lambda fax: int(fax["position"]))
        found["faxes"] = [_fax(conn, fax) for fax in shown]
        for fax in found["faxes"][:MAX_EXPECTED]:
            fax["expected"] = _expected(conn, fax["id"])
    events = {e.serial: e for entity in (message, job) if entity for e in of_entity(conn, entity)}
    found["events"] = [
        {"at": e.at, "entity": e.entity, "what": e.what, "who": e.who, "data": dict(e.data)}
        for _serial, e in sorted(events.items())
    ]
    return found


def _states(conn: Connection, job: str) -> dict[str, int]:
    """How many faxes of a job are in each state."""
    query = select(t.faxes.c.state, func.count()).where(t.faxes.c.job == job).group_by(t.faxes.c.state)
    return {row.state: row[1] for row in conn.execute(query.order_by(t.faxes.c.state))}


def _resolve(conn: Connection, ident: str) -> tuple[str | None, str | None]:
    """(job, message) that an id, or the beginning of one, means."""
    if (fax := _one(conn, t.faxes.c.id, ident.upper())) is not None:
        job = conn.execute(select(t.faxes.c.job).where(t.faxes.c.id == fax)).scalar_one()
    elif (job := _one(conn, t.jobs.c.id, ident.upper())) is not None:
        pass
    elif (attempt := _one(conn, t.attempts.c.id, ident.lower())) is not None:
        query = select(t.faxes.c.job).join(t.attempt_faxes, t.attempt_faxes.c.fax == t.faxes.c.id)
        job = conn.execute(query.where(t.attempt_faxes.c.attempt == attempt)).scalar()
    elif (message := _one(conn, t.messages.c.id, ident.lower())) is not None:
        return conn.execute(select(t.messages.c.job).where(t.messages.c.id == message)).scalar(), message
    else:
        return None, None
    return job, conn.execute(select(t.jobs.c.message).where(t.jobs.c.id == job)).scalar()


def _one(conn: Connection, column: Column[str], beginning: str) -> str | None:
    """The one id that begins so; by the index.

    Raises:
        Refused: If several do: nothing is done to a fax that was not meant.
    """
    if len(beginning) < MIN_BEGINNING or not re.fullmatch(r"[A-Za-z0-9_]+", beginning):
        return None
    after = beginning[:-1] + chr(ord(beginning[-1]) + 1)
    found = list(conn.execute(select(column).where(column >= beginning, column < after).limit(2)).scalars())
    if len(found) > 1 and beginning not in found:
        raise Refused(f"{beginning} is ambiguous", public=f"Several begin with {beginning}; give more of it.")
    return (beginning if beginning in found else found[0]) if found else None


def _message(conn: Connection, message: str) -> Mapping[str, Any]:
    row = conn.execute(select(t.messages).where(t.messages.c.id == message)).mappings().one()
    people = conn.execute(
        select(t.message_recipients)
        .where(t.message_recipients.c.message == message)
        .order_by(t.message_recipients.c.position)
    ).mappings()
    return {**row, "recipients": [dict(p) for p in people]}


def _expected(conn: Connection, fax: str) -> Mapping[str, Any] | None:
    """What the next call will take; None: there is none to come, or nothing is known yet."""
    will = previewing.expected(conn, fax)
    if will is None:
        return None
    return {
        "pages": will.pages,
        "octets": will.octets,
        "rate": will.rate,
        "seconds": round(will.seconds, 1),
        "billed_pages": will.billed_pages,
    }


def _fax(conn: Connection, row: RowMapping) -> dict[str, Any]:
    confirmed, doubtful = page_counts(conn, row["id"])
    calls = conn.execute(
        select(t.attempts, t.attempt_faxes.c.first_page, t.attempt_faxes.c.last_page, t.attempt_faxes.c.confirmed)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(t.attempt_faxes.c.fax == row["id"])
        .order_by(t.attempts.c.planned_at)
    ).mappings()
    return {**row, "pages_confirmed": confirmed, "doubtful_page": doubtful, "attempts": [dict(c) for c in calls]}


def reception_id(conn: Connection, ident: str) -> str | None:
    """The received fax that an id, or the beginning of one, means.

    Raises:
        Refused: If several do.
    """
    return _one(conn, t.receptions.c.id, ident.lower())


def fax_ids(conn: Connection, ident: str) -> Sequence[str]:
    """The faxes an id means: a fax itself, or all faxes of a job or message.

    Raises:
        Refused: If several ids begin so.
    """
    if (fax := _one(conn, t.faxes.c.id, ident.upper())) is not None:
        return [fax]
    job, _message_id = _resolve(conn, ident)
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
        .where(t.attempt_faxes.c.fax == fax, t.attempt_faxes.c.tiff_key != "")
        .order_by(t.attempts.c.planned_at)
    )
    return [dict(row) for row in conn.execute(query).mappings()]
