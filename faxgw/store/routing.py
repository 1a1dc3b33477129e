"""Received faxes once their pages are whole: leased for their document, routed, delivered or retained.

Spine section 4: `complete | partial → routed` is one transaction that writes the outbox items, at least one, else
the fallback mailbox's; `delivered` when all are done; `retained` when one is dead, and the fallback mailbox is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any  # rows

from sqlalchemy import Connection, Row, func, or_, select, update

from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.reception import UNROUTED, ReceivedReport, ReceptionState, Why
from faxgw.formats.report_payload import enclosed_in, received_from_payload, received_to_payload
from faxgw.store import outbox, readings
from faxgw.store import schema as t
from faxgw.store.journal import note, of_entity
from faxgw.store.node import voided
from faxgw.store.receptions import move, row_of
from faxgw.store.reports import item_id

KIND = "received_mail"
"""Kind of the outbox items."""
LEASE = 600.0
"""Seconds making the document may take."""
PAUSE = 5.0
"""Seconds before the document is tried again."""
MAX_TRIES = 3
"""Tries to make a document; after them the pages go as they are (spine section 4)."""
FINE_FROM = 7_000
"""Pixels per metre down the page from which a page is fine: 204 × 196 has 7,700, standard 3,850."""
AGAIN_WITHIN = 86_400.0
"""Seconds in which a sender who was not told of the arrival comes again; its machine gives up much sooner."""
MAX_LISTED = 1_000
"""Receptions in one answer at most."""


@dataclass(frozen=True, slots=True)
class Unrouted:
    """A reception whose document is to be made."""

    id: str
    tries: int
    """This one included."""
    started_at: float
    number: str
    caller: str
    ident: str
    time_zone: str
    pages: tuple[StoredFile, ...]
    """Of every page that was kept, in order."""


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[Unrouted]:
    """Lease receptions that are not routed, oldest first."""
    free = or_(voided(t.receptions.c.lease_fence), t.receptions.c.lease_until < now)
    unrouted = t.receptions.c.state.in_([state.value for state in UNROUTED])
    rows = conn.execute(
        select(t.receptions)
        .where(unrouted, t.receptions.c.not_before <= now, free, readings.over())
        .order_by(t.receptions.c.started_at)
        .limit(limit)
    ).all()
    for row in rows:
        conn.execute(
            update(t.receptions)
            .where(t.receptions.c.id == row.id)
            .values(lease_fence=fence, lease_until=now + LEASE, tries=row.tries + 1)
        )
    return [_unrouted(conn, row) for row in rows]


def _unrouted(conn: Connection, row: Row[Any]) -> Unrouted:
    files = tuple(StoredFile(page.key, page.sha256, page.size) for page in _pages(conn, row.id))
    zone = from_snapshot(row.settings)["time_zone"]
    return Unrouted(row.id, row.tries + 1, row.started_at, row.number, row.caller, row.ident, zone, files)


def _pages(conn: Connection, reception: str) -> Sequence[Row[Any]]:
    query = select(t.reception_pages).where(t.reception_pages.c.reception == reception)
    return conn.execute(query.order_by(t.reception_pages.c.page)).all()


def next_due(conn: Connection) -> float | None:
    """Unix seconds at which a reception is to be routed, or its lost lease is over."""
    unrouted = t.receptions.c.state.in_([state.value for state in UNROUTED])
    due = func.min(func.coalesce(t.receptions.c.lease_until, t.receptions.c.not_before))
    return conn.execute(select(due).where(unrouted, readings.over())).scalar()


def put_back(conn: Connection, reception: str, *, fence: int, now: float, why: str) -> None:
    """The document could not be made now: later again."""
    done = conn.execute(
        update(t.receptions)
        .where(t.receptions.c.id == reception, t.receptions.c.lease_fence == fence)
        .values(lease_fence=None, lease_until=None, not_before=now + PAUSE)
    )
    if done.rowcount:
        note(conn, reception, "reception.not_routed", now=now, data={"why": why[:400]})


def route(
    conn: Connection,
    reception: str,
    *,
    document: StoredFile | None,
    enclosed: Sequence[EnclosedFile],
    thumbnail: bytes,
    problem: str,
    fence: int,
    now: float,
) -> bool:
    """Write the deliveries of a reception. False when the lease was lost or it is routed already.

    Args:
        conn: The unit's connection.
        reception: The reception.
        document: Its PDF; None when none could be made.
        enclosed: What goes with the mails.
        thumbnail: PNG of page 1, or empty.
        problem: What was given up, for the readers; else empty.
        fence: The node's fence.
        now: Unix seconds.
    """
    row = row_of(conn, reception)
    if row.lease_fence != fence or ReceptionState(row.state) not in UNROUTED:
        return False
    settings = from_snapshot(row.settings)
    report = replace(_report(conn, row, settings), problem=problem)
    targets = [(address, Why.OWNER) for address in settings["deliver_to"]]
    targets = targets or [(settings["fallback_mailbox"], Why.NO_OWNER)]
    for address, why in targets:
        _put(conn, row, "delivery", address, replace(report, why=why), enclosed, now)
    values: dict[str, Any] = {"lease_fence": None, "lease_until": None, "thumbnail": thumbnail, "problem": problem}
    if document is not None:
        values |= {
            "document_key": document.key,
            "document_sha256": document.sha256,
            "document_size": document.size,
        }
    data = {"to": [address for address, _why in targets], "problem": problem}
    move(conn, reception, ReceptionState.ROUTED, now=now, data=data, values=values)
    return True


def _put(
    conn: Connection,
    row: Row[Any],
    occasion: str,
    address: str,
    report: ReceivedReport,
    enclosed: Sequence[EnclosedFile],
    now: float,
) -> None:
    outbox.put(
        conn,
        item_id(row.id, occasion, address),
        KIND,
        address,
        customer=row.customer,
        payload=received_to_payload(report, enclosed),
        now=now,
        reception=row.id,
    )


def _report(conn: Connection, row: Row[Any], settings: Effective) -> ReceivedReport:
    pages = _pages(conn, row.id)
    return ReceivedReport(
        reception=row.id,
        customer=row.customer,
        number=row.number,
        caller=row.caller,
        display=row.display,
        ident=row.ident,
        started_at=row.started_at,
        received_at=pages[-1].at if pages else row.started_at,
        complete=row.state == ReceptionState.COMPLETE,
        pages=len(pages),
        unconfirmed=tuple(page.page for page in pages if not page.confirmed),
        fine=all(page.y_resolution >= FINE_FROM for page in pages),
        bad_rows=sum(page.bad_rows for page in pages),
        again_of=_again_of(conn, row),
        time_zone=settings["time_zone"],
        language=settings["language"],
        style=settings["mail_template"],
    )


def _again_of(conn: Connection, row: Row[Any]) -> str:
    """The last reception at this number from the same sender that the sender may not know to have arrived.

    The same identification, or the same caller's number, within AGAIN_WITHIN. A flag, never a reason to drop anything.
    """
    columns = t.receptions.c
    sender = [column == value for column, value in ((columns.ident, row.ident), (columns.caller, row.caller)) if value]
    if not sender:
        return ""
    query = select(columns.id).where(
        columns.customer == row.customer,
        columns.number == row.number,
        columns.id != row.id,
        columns.pages > 0,
        columns.farewell.is_not(True),
        columns.started_at.between(row.started_at - AGAIN_WITHIN, row.started_at),
        or_(*sender),
    )
    return conn.execute(query.order_by(columns.started_at.desc()).limit(1)).scalar() or ""


def settle(conn: Connection, item: str, *, now: float) -> str | None:
    """An item is done or dead: its reception may be delivered or retained by it.

    Called in the transaction that ended the item, whatever its kind.

    Returns:
        The reception, when it is retained from now on: an alarm.
    """
    row = conn.execute(select(t.outbox).where(t.outbox.c.id == item)).first()
    if row is None or row.reception is None or row.state not in ("done", "dead"):
        return None
    reception = row_of(conn, row.reception)
    if reception.state != ReceptionState.ROUTED:
        return None
    if row.state == "dead":
        _retain(conn, reception, row, now)
        return str(reception.id)
    states = conn.execute(select(t.outbox.c.state).where(t.outbox.c.reception == reception.id)).scalars()
    if all(state == "done" for state in states):
        move(conn, reception.id, ReceptionState.DELIVERED, now=now)
    return None


def _retain(conn: Connection, reception: Row[Any], dead: Row[Any], now: float) -> None:
    """One delivery was given up: the fax stays, and the fallback mailbox gets it."""
    fallback = from_snapshot(reception.settings)["fallback_mailbox"]
    move(conn, reception.id, ReceptionState.RETAINED, now=now, data={"dead": dead.id, "fallback": fallback})
    if fallback and fallback != dead.target:
        report = replace(received_from_payload(dead.payload), why=Why.UNDELIVERABLE, target=dead.target)
        _put(conn, reception, "fallback", fallback, report, enclosed_in(dead.payload), now)


# ------------------------------------------------------------------------------------------------------- operator


def thumbnail_of(conn: Connection, reception: str) -> bytes:
    """The PNG of page 1, or empty."""
    found = conn.execute(select(t.receptions.c.thumbnail).where(t.receptions.c.id == reception)).scalar()
    return bytes(found or b"")


def inbox(conn: Connection, *, limit: int, everything: bool) -> Sequence[Mapping[str, Any]]:
    """Receptions with what an operator wants to see, newest first; without `everything` those that hold pages."""
    columns = [c for c in t.receptions.c if c.name not in ("settings", "trace", "thumbnail", "dialog", "outcome")]
    query = select(*columns).order_by(t.receptions.c.started_at.desc()).limit(min(limit, MAX_LISTED))
    if not everything:
        query = query.where(t.receptions.c.state != ReceptionState.EMPTY.value)
    return [dict(row) for row in conn.execute(query).mappings()]


def count_by_state(conn: Connection) -> Mapping[str, int]:
    """Number of receptions in each state that somebody waits for; retained ones wait for the operator."""
    ends = [ReceptionState.EMPTY.value, ReceptionState.DELIVERED.value]
    query = select(t.receptions.c.state, func.count()).where(t.receptions.c.state.not_in(ends))
    return {row.state: row[1] for row in conn.execute(query.group_by(t.receptions.c.state))}


def detail(conn: Connection, reception: str) -> Mapping[str, Any]:
    """Everything known of a reception: its row, pages, deliveries and journal."""
    row = conn.execute(select(t.receptions).where(t.receptions.c.id == reception)).mappings().one()
    items = select(
        t.outbox.c.id, t.outbox.c.target, t.outbox.c.state, t.outbox.c.tries, t.outbox.c.done_at, t.outbox.c.detail
    ).where(t.outbox.c.reception == reception)
    return {
        "reception": {k: v for k, v in row.items() if k not in ("settings", "thumbnail")},
        "pages": [dict(page._mapping) for page in _pages(conn, reception)],
        "deliveries": [dict(item) for item in conn.execute(items.order_by(t.outbox.c.created_at)).mappings()],
        "events": [
            {"at": e.at, "entity": e.entity, "what": e.what, "who": e.who, "data": dict(e.data)}
            for e in of_entity(conn, reception)
        ],
    }
