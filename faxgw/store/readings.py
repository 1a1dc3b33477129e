"""What is to be read on received pages, and what was: leased page by page while the call still runs (features G4).

A row is written in the transaction that keeps the page, so that nothing that is kept is forgotten to be read. Rules and
deliveries that need what was read wait for it, all others do not; reading is bounded in tries and time, and what it
does not bring never holds a fax back: the page is marked FAILED, and its deliveries say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from faxgw.fax import reading
from faxgw.fax.account import SETTINGS
from faxgw.fax.ports import StoredFile
from faxgw.fax.reading import PageReading, Readings, ReadingState, ReadPage, Wanted
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.node import voided
from faxgw.store.unit import notify

TOPIC = "read"
"""Noted when a page is to be read."""
READ_TOPIC = "page read"
"""Noted when a page was read or given up, for whoever waits for its text."""
LEASE = 300.0
"""Seconds reading one page may take, waiting for its place included."""
PAUSE = 2.0
"""Seconds before a page is read again when it was not its own fault."""
MAX_TRIES = 3
"""Tries to read a page (spine section 4)."""
PATIENCE = 900.0
"""Seconds after its being kept at which a page that still waits is given up: the fax goes without its text."""
_ROUTE = "route"
"""What `receptions` calls ROUTE_TOPIC; it stands above this module."""
_KEYS = ("ocr", "ocr_languages", "barcodes", "language")
"""Settings that say what is read."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A page that is to be read."""

    reception: str
    page: int
    tries: int
    """This one included."""
    wanted: Wanted
    file: StoredFile
    asked_at: float

    @property
    def id(self) -> str:
        """For task names."""
        return f"{self.reception}/{self.page}"


def ask(conn: Connection, reception: str, page: int, settings: Mapping[str, Any], *, now: float) -> None:
    """A page was kept: read it, if its number's settings say so. Called in the transaction that keeps it.

    Args:
        conn: The unit's connection.
        reception: The reception.
        page: Its page, from 1.
        settings: Its snapshot of settings; of its values only what is asked for is looked at.
        now: Unix seconds.
    """
    values = {key: settings[key]["value"] if key in settings else SETTINGS[key].default for key in _KEYS}
    wanted = reading.wanted(values)
    if not wanted:
        return
    conn.execute(
        insert(t.readings).values(
            reception=reception,
            page=page,
            state=ReadingState.WAITING.value,
            wanted={"languages": list(wanted.languages), "barcodes": wanted.barcodes},
            asked_at=now,
        )
    )
    notify(conn, TOPIC)


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[Unread]:
    """Lease pages that are to be read: first pages first, for faxes are judged by them, then by age."""
    _give_up_late(conn, now)
    free = or_(voided(t.readings.c.lease_fence), t.readings.c.lease_until < now)
    query = (
        select(t.readings, t.reception_pages.c.key, t.reception_pages.c.sha256, t.reception_pages.c.size)
        .join(
            t.reception_pages,
            (t.reception_pages.c.reception == t.readings.c.reception) & (t.reception_pages.c.page == t.readings.c.page),
        )
        .where(t.readings.c.state == ReadingState.WAITING.value, t.readings.c.not_before <= now, free)
        .order_by((t.readings.c.page > 1), t.readings.c.asked_at, t.readings.c.page)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    for row in rows:
        conn.execute(
            update(t.readings)
            .where(*_of(row.reception, row.page))
            .values(lease_fence=fence, lease_until=now + LEASE, tries=row.tries + 1)
        )
    return [
        Unread(
            row.reception,
            row.page,
            row.tries + 1,
            Wanted(tuple(row.wanted["languages"]), row.wanted["barcodes"]),
            StoredFile(row.key, row.sha256, row.size),
            row.asked_at,
        )
        for row in rows
    ]


def next_due(conn: Connection) -> float | None:
    """Unix seconds at which a page is to be read, or its lost lease is over."""
    due = func.min(func.coalesce(t.readings.c.lease_until, t.readings.c.not_before))
    return conn.execute(select(due).where(t.readings.c.state == ReadingState.WAITING.value)).scalar()


def done(conn: Connection, reception: str, found: PageReading, *, fence: int, now: float) -> bool:
    """Keep what was read. False when the lease was lost or the page is over."""
    if not _end(conn, reception, found.page, ReadingState.READ, fence, now, reading=reading.to_json(found)):
        return False
    data: dict[str, object] = {
        "page": found.page,
        "words": len(found.words),
        "barcodes": len(found.barcodes),
        "problem": found.problem,
    }
    note(conn, reception, "reception.read", now=now, data=data)
    return True


def failed(conn: Connection, reception: str, page: int, *, fence: int, now: float, why: str) -> bool:
    """Give a page up: its fax goes without its text. False when the lease was lost or the page is over."""
    if not _end(conn, reception, page, ReadingState.FAILED, fence, now, why=why[:400]):
        return False
    note(conn, reception, "reception.not_read", now=now, data={"page": page, "why": why[:400]})
    return True


def put_back(conn: Connection, reception: str, page: int, *, fence: int, now: float) -> None:
    """The page could not be read now: later again."""
    conn.execute(
        update(t.readings)
        .where(*_of(reception, page), t.readings.c.lease_fence == fence)
        .values(lease_fence=None, lease_until=None, not_before=now + PAUSE)
    )


def waits(conn: Connection, reception: str) -> bool:
    """Whether a page of the reception is still to be read."""
    return _waiting(conn, reception) > 0


def of(conn: Connection, reception: str) -> Readings:
    """What is known of the reading of a reception's pages."""
    query = select(t.readings).where(t.readings.c.reception == reception).order_by(t.readings.c.page)
    return Readings(tuple(_page(row) for row in conn.execute(query)))


def backlog(conn: Connection) -> tuple[int, float | None]:
    """Pages that wait, and since when the oldest does (Unix seconds)."""
    query = select(func.count(), func.min(t.readings.c.asked_at))
    row = conn.execute(query.where(t.readings.c.state == ReadingState.WAITING.value)).one()
    return row[0], row[1]


def _page(row: Row[Any]) -> ReadPage:
    found = None if row.reading is None else reading.from_json(row.reading)
    return ReadPage(row.page, ReadingState(row.state), found, row.why)


def _end(
    conn: Connection, reception: str, page: int, state: ReadingState, fence: int, now: float, **values: object
) -> bool:
    ended = conn.execute(
        update(t.readings)
        .where(*_of(reception, page), t.readings.c.lease_fence == fence)
        .where(t.readings.c.state == ReadingState.WAITING.value)
        .values(state=state.value, lease_fence=None, lease_until=None, done_at=now, **values)
    )
    if ended.rowcount != 1:
        return False
    _tell(conn)
    return True


def _tell(conn: Connection) -> None:
    """Wake who waits for a page's text, and routing: what one page says may decide for its fax."""
    notify(conn, READ_TOPIC)
    notify(conn, _ROUTE)


def _waiting(conn: Connection, reception: str) -> int:
    query = select(func.count()).select_from(t.readings).where(t.readings.c.reception == reception)
    return conn.execute(query.where(t.readings.c.state == ReadingState.WAITING.value)).scalar_one()


def _give_up_late(conn: Connection, now: float) -> None:
    """Pages that waited longer than PATIENCE, whoever has them."""
    late = conn.execute(
        select(t.readings.c.reception, t.readings.c.page)
        .where(t.readings.c.state == ReadingState.WAITING.value, t.readings.c.asked_at < now - PATIENCE)
        .limit(100)
    ).all()
    for row in late:
        conn.execute(
            update(t.readings)
            .where(*_of(row.reception, row.page))
            .values(state=ReadingState.FAILED.value, lease_fence=None, lease_until=None, done_at=now, why="too late")
        )
        note(conn, row.reception, "reception.not_read", now=now, data={"page": row.page, "why": "too late"})
        _tell(conn)


def _of(reception: str, page: int) -> tuple[Any, Any]:
    return t.readings.c.reception == reception, t.readings.c.page == page
