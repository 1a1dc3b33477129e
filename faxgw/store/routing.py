"""Received faxes once their pages are whole: leased for their document, routed, delivered or retained.

Spine section 4: `complete | partial → routed` is one transaction that writes the outbox items, at least one, else
the fallback mailbox's; `delivered` when all are done; `retained` when one is dead, and the fallback mailbox is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any  # rows
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update

from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.errors import Refused
from faxgw.fax.number import dialled_forms
from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.fax.reading import ReadingState
from faxgw.fax.reception import UNROUTED, ReceivedReport, ReceptionState, Why
from faxgw.fax.target import MAIL_MARK, Encryption, Format, Target, TargetKind, mailbox
from faxgw.formats.report_payload import enclosed_in, received_from_payload, received_to_payload
from faxgw.store import junk, outbox, readings, replies
from faxgw.store import schema as t
from faxgw.store.choosing import Onward
from faxgw.store.journal import note, of_entity
from faxgw.store.node import voided
from faxgw.store.receptions import move, row_of
from faxgw.store.reports import item_id
from faxgw.store.unit import notify

KIND = TargetKind.MAIL.parcel
"""Kind of the outbox items that are mails."""
HELD = "waits for its text"
"""Detail of a delivery that waits for the reading of its fax."""
HOLD_MARGIN = 60.0
"""Seconds after the end of reading at which a delivery that waits for it goes by itself."""
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
    waited: bool = False
    """Its rules have waited for reading."""


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[Unrouted]:
    """Lease receptions that are not routed, oldest first."""
    free = or_(voided(t.receptions.c.lease_fence), t.receptions.c.lease_until < now)
    unrouted = t.receptions.c.state.in_([state.value for state in UNROUTED])
    rows = conn.execute(
        select(t.receptions)
        .where(unrouted, or_(t.receptions.c.not_before <= now, _read_on()), free)
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
    return Unrouted(
        row.id,
        row.tries + 1,
        row.started_at,
        row.number,
        row.caller,
        row.ident,
        zone,
        files,
        row.awaits_until is not None,
    )


def _pages(conn: Connection, reception: str) -> Sequence[Row[Any]]:
    kept = t.reception_pages.c.key != ""  # those whose days are over were purged
    query = select(t.reception_pages).where(t.reception_pages.c.reception == reception, kept)
    return conn.execute(query.order_by(t.reception_pages.c.page)).all()


def next_due(conn: Connection) -> float | None:
    """Unix seconds at which a reception is to be routed, or its lost lease is over."""
    unrouted = t.receptions.c.state.in_([state.value for state in UNROUTED])
    due = func.min(func.coalesce(t.receptions.c.lease_until, t.receptions.c.not_before))
    return conn.execute(select(due).where(unrouted)).scalar()


def _read_on() -> ColumnElement[bool]:
    """The condition that more pages of a reception were read since its rules were asked."""
    over = (t.readings.c.reception == t.receptions.c.id) & (t.readings.c.state != ReadingState.WAITING.value)
    count = select(func.count()).select_from(t.readings).where(over).scalar_subquery()
    return t.receptions.c.awaits_until.is_not(None) & (count > t.receptions.c.read_pages)


def await_reading(
    conn: Connection, reception: str, *, read_pages: int, until: float, rules: Sequence[str], fence: int, now: float
) -> None:
    """Its rules cannot be judged before more pages are read: ask them again then, at the latest at `until`.

    Args:
        conn: The unit's connection.
        reception: The reception, leased.
        read_pages: Pages whose reading was over when they were asked.
        until: Unix seconds from which on it is decided without.
        rules: Names of the rules that wait.
        fence: The node's fence.
        now: Unix seconds.
    """
    row = row_of(conn, reception)
    if row.lease_fence != fence or ReceptionState(row.state) not in UNROUTED:
        return
    conn.execute(
        update(t.receptions)
        .where(t.receptions.c.id == reception)
        .values(
            lease_fence=None,
            lease_until=None,
            awaits_until=until,
            read_pages=read_pages,
            not_before=until,
            tries=max(0, row.tries - 1),
        )
    )
    if row.awaits_until is None:
        note(conn, reception, "reception.awaits_reading", now=now, data={"rules": list(rules)[:20], "until": until})


def release(conn: Connection, *, now: float) -> None:
    """Let deliveries go that waited for their fax's text, now that nothing of it is still to be read."""
    c = t.outbox.c
    waiting = select(t.readings.c.page).where(
        t.readings.c.reception == c.reception, t.readings.c.state == ReadingState.WAITING.value
    )
    held = (c.state == "due", c.tries == 0, c.due_at > now, c.reception.is_not(None), c.detail == HELD)
    released = conn.execute(update(t.outbox).where(*held, ~waiting.exists()).values(due_at=now, detail=""))
    if released.rowcount:
        notify(conn, outbox.TOPIC)


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
    onward: Sequence[Onward] = (),
    told: Mapping[str, Any] | None = None,
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
        onward: Where it goes; none: to its number's mailboxes, else to the fallback mailbox.
        told: What the rules said.
    """
    row = row_of(conn, reception)
    if row.lease_fence != fence or ReceptionState(row.state) not in UNROUTED:
        return False
    settings = from_snapshot(row.settings)
    said = dict(told or {})
    report = replace(_report(conn, row, settings, said), problem=problem)
    onward = onward or simple(settings)
    for one in onward:
        _send(conn, row, "delivery", one, report, enclosed, now)
    values: dict[str, Any] = {
        "lease_fence": None,
        "lease_until": None,
        "awaits_until": None,
        "thumbnail": thumbnail,
        "problem": problem,
        "routing": said,
    }
    if document is not None:
        values |= {
            "document_key": document.key,
            "document_sha256": document.sha256,
            "document_size": document.size,
        }
    data: dict[str, object] = {"to": [one.target.name for one in onward], "problem": problem}
    data |= {key: said[key] for key in ("rules", "tags", "unread", "missing") if said.get(key)}
    move(conn, reception, ReceptionState.ROUTED, now=now, data=data, values=values)
    if not junk.set_aside(conn, reception, now=now):
        callers = [form for form in dialled_forms(row.caller, settings["country"]) if form.startswith("+")]
        replies.ask(conn, row, callers, said.get("reply") or settings["fax_reply"], settings, now=now)
    return True


def simple(settings: Effective) -> tuple[Onward, ...]:
    """The simple way: the number's mailboxes, else the fallback mailbox."""
    owners = tuple(Onward(mailbox(address)) for address in settings["deliver_to"])
    return owners or (Onward(mailbox(settings["fallback_mailbox"]), Why.NO_OWNER),)


def _send(
    conn: Connection,
    row: Row[Any],
    occasion: str,
    one: Onward,
    report: ReceivedReport,
    enclosed: Sequence[EnclosedFile],
    now: float,
) -> str:
    """Write one delivery; its item's id.

    A plain PDF goes with it as it was made; other documents are made before the first try, and those that say what
    was read wait for it. When no PDF could be made (`report.problem`), every target gets the pages as they came.
    """
    target = one.target
    plain = target.formats == (Format.PDF,) and not target.searchable and not target.upright
    whole = plain or bool(report.problem)
    held = not whole and target.needs_reading and readings.waits(conn, row.id)
    key = target.address if target.id.startswith(MAIL_MARK) else target.id
    item = item_id(row.id, occasion, key)
    payload = received_to_payload(replace(report, why=one.why), enclosed if whole else ())
    payload |= {"target": target.snapshot(), "rule": one.rule, "made": whole}
    outbox.put(
        conn,
        item,
        target.kind.parcel,
        target.address[:1000] or target.name,
        customer=row.customer,
        payload=payload,
        now=now,
        reception=row.id,
    )
    if held:
        until = now + readings.PATIENCE + HOLD_MARGIN
        conn.execute(
            update(t.outbox)
            .where(t.outbox.c.id == item, t.outbox.c.state == "due", t.outbox.c.tries == 0)
            .values(due_at=until, detail=HELD)
        )
    return item


def again(conn: Connection, reception: str, target: Target, *, nonce: str, who: str, now: float) -> str:
    """Deliver a fax once more, or to somebody else, because somebody says so; the new item's id.

    Its state stays what it is: what was owed to the number's owner was owed by the first deliveries.

    Args:
        conn: The unit's connection.
        reception: A fax that was routed.
        target: Where to.
        nonce: Drawn for this request: the same one twice is one delivery.
        who: Who says so.
        now: Unix seconds.

    Raises:
        Refused: If it is not routed yet, holds no pages, or its documents are gone.
        Stale: If there is no such fax.
    """
    row = row_of(conn, reception)
    state = ReceptionState(row.state)
    if state in UNROUTED or state.open or state is ReceptionState.EMPTY:
        raise Refused(public=f"The fax {reception} is {state.value}: there is nothing that could be delivered again.")
    if not _pages(conn, reception):
        raise Refused(public=f"The pages of {reception} were removed from the archive.")
    said = row.routing or {}
    settings = from_snapshot(row.settings)
    report = replace(_report(conn, row, settings, said), problem=row.problem)
    item = _send(conn, row, f"again/{nonce}", Onward(target), report, _enclosed(conn, row, report), now)
    note(conn, reception, "reception.delivered_again", now=now, who=who, data={"item": item, "target": target.name})
    return item


def _enclosed(conn: Connection, row: Row[Any], report: ReceivedReport) -> tuple[EnclosedFile, ...]:
    """The documents of a fax that was routed: its PDF, else its pages."""
    stem = f"fax-{datetime.fromtimestamp(report.started_at, ZoneInfo(report.time_zone)):%Y%m%d-%H%M%S}"
    if row.document_key is not None and report.problem != "tiff":
        file = StoredFile(row.document_key, row.document_sha256, row.document_size)
        return (EnclosedFile(f"{stem}.pdf", "application/pdf", file),)
    return tuple(
        EnclosedFile(f"{stem}-{page.page}.tiff", "image/tiff", StoredFile(page.key, page.sha256, page.size))
        for page in _pages(conn, row.id)
    )


def _report(conn: Connection, row: Row[Any], settings: Effective, said: Mapping[str, Any]) -> ReceivedReport:
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
        again_of=_again_of(conn, row) or junk.duplicate_of(conn, row.id),
        time_zone=settings["time_zone"],
        language=said.get("language") or settings["language"],
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
    """One delivery was given up: the fax stays, and the fallback mailbox gets it, or is told of it.

    What was to be encrypted leaves in clear only where `fallback_in_clear` says so.
    """
    settings = from_snapshot(reception.settings)
    fallback = settings["fallback_mailbox"]
    move(conn, reception.id, ReceptionState.RETAINED, now=now, data={"dead": dead.id, "fallback": fallback})
    if fallback and fallback != dead.target:
        sealed = _was_to_be_encrypted(dead) and not settings["fallback_in_clear"]
        why = Why.SEALED if sealed else Why.UNDELIVERABLE
        report = replace(received_from_payload(dead.payload), why=why, target=dead.target)
        enclosed: Sequence[EnclosedFile] = ()
        if not sealed:
            enclosed = enclosed_in(dead.payload) if dead.kind == KIND else ()
            enclosed = enclosed or _enclosed(conn, reception, report)
        _send(conn, reception, "fallback", Onward(mailbox(fallback), why), report, enclosed, now)


def _was_to_be_encrypted(dead: Row[Any]) -> bool:
    """Whether a delivery's documents were to leave encrypted."""
    target = dead.payload.get("target") or {}
    return bool(target.get("encryption", Encryption.NONE.value) != Encryption.NONE.value)


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
    items = select(*(t.outbox.c[key] for key in ("id", "kind", "target", "state", "tries", "done_at", "detail"))).where(
        t.outbox.c.reception == reception
    )
    return {
        "reception": {k: v for k, v in row.items() if k not in ("settings", "thumbnail")},
        "pages": [dict(page._mapping) for page in _pages(conn, reception)],
        "deliveries": [dict(item) for item in conn.execute(items.order_by(t.outbox.c.created_at)).mappings()],
        "reply": replies.of(conn, reception),
        "events": [
            {"at": e.at, "entity": e.entity, "what": e.what, "who": e.who, "data": dict(e.data)}
            for e in of_entity(conn, reception)
        ],
    }
