"""Files made of received faxes: a row names each, so that a delivery's document is there as long as its fax is.

A file is made once for a reception, format and options; many deliveries share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from faxgw.fax.account import SETTINGS
from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.reading import Readings
from faxgw.fax.reception import PageEnd, ReceptionState
from faxgw.store import readings
from faxgw.store import schema as t
from faxgw.store.receptions import row_of


@dataclass(frozen=True, slots=True)
class Source:
    """What documents of a reception are made of."""

    reception: str
    number: str
    caller: str
    ident: str
    started_at: float
    received_at: float
    """When its last page was kept."""
    time_zone: str
    complete: bool
    """False when it broke off."""
    pages: tuple[StoredFile, ...]
    readings: Readings


def source(conn: Connection, reception: str) -> Source:
    """The pages and what was read on them.

    Raises:
        Stale: If there is no such reception.
    """
    row = row_of(conn, reception)
    kept = t.reception_pages.c.key != ""  # those whose days are over were purged
    query = select(t.reception_pages).where(t.reception_pages.c.reception == reception, kept)
    pages = conn.execute(query.order_by(t.reception_pages.c.page)).all()
    zone = row.settings.get("time_zone", {}).get("value", SETTINGS["time_zone"].default)
    return Source(
        reception=reception,
        number=row.number,
        caller=row.caller,
        ident=row.ident,
        started_at=row.started_at,
        received_at=pages[-1].at if pages else row.started_at,
        time_zone=zone,
        complete=bool(row.page_end) and row.page_end != PageEnd.MPS and row.state != ReceptionState.PARTIAL,
        pages=tuple(StoredFile(page.key, page.sha256, page.size) for page in pages),
        readings=readings.of(conn, reception),
    )


def files(conn: Connection, reception: str, variant: str) -> tuple[EnclosedFile, ...]:
    """The files of a variant, in their order; empty when it has not been made."""
    table = t.reception_documents
    query = select(table).where(table.c.reception == reception, table.c.variant == variant).order_by(table.c.position)
    return tuple(
        EnclosedFile(row.name, row.content_type, StoredFile(row.key, row.sha256, row.size))
        for row in conn.execute(query)
    )


def keep(
    conn: Connection, reception: str, variant: str, made: Sequence[EnclosedFile], *, now: float
) -> tuple[EnclosedFile, ...]:
    """Name files by rows; when somebody else was first, his are returned, and these are named by nothing."""
    there = files(conn, reception, variant)
    if there:
        return there
    for position, one in enumerate(made):
        conn.execute(
            insert(t.reception_documents).values(
                reception=reception,
                variant=variant,
                position=position,
                name=one.name,
                content_type=one.content_type,
                key=one.file.key,
                sha256=one.file.sha256,
                size=one.file.size,
                made_at=now,
            )
        )
    return tuple(made)


def forget(conn: Connection, reception: str) -> tuple[str, ...]:
    """Take the rows of a reception away, to make its files anew or purge them; returns the keys."""
    table = t.reception_documents
    keys = tuple(conn.execute(select(table.c.key).where(table.c.reception == reception)).scalars())
    conn.execute(delete(table).where(table.c.reception == reception))
    return keys
