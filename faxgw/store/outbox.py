"""The outbox: what must leave the house, written in the transaction of the change that causes it.

`due → leased → done | dead` (docs/spine.md section 1). At least once: the item's id is the receiver's key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, tuple_, update

from faxgw.fax.ports import Parcel
from faxgw.store import audit
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.node import voided
from faxgw.store.unit import notify

TOPIC = "outbox"
"""Noted when an item falls due."""
PAUSES = (15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 4000.0)
"""Seconds before the next try; the last repeats (Postfix: 300 to 4000 s; the first two are shorter)."""
LIFETIME = 5 * 86400.0
"""Seconds after which an item is dead (Postfix maximal_queue_lifetime)."""
PUSH_PAUSES = (20.0, 20.0, *(60.0,) * 9, 900.0)
"""The same for requests to programs: three tries in the first minute, nine more in ten minutes, then every 15 minutes
(the vendor's rule for its other services, docs/push.md)."""
PUSH_LIFETIME = 2 * 86400.0
"""Seconds after which such an item is dead."""
SCHEDULES: Mapping[str, tuple[tuple[float, ...], float]] = {
    "push": (PUSH_PAUSES, PUSH_LIFETIME),
    "webhook": (PUSH_PAUSES, PUSH_LIFETIME),
    "received_pull": ((60.0, 300.0, 3600.0, 21_600.0), LIFETIME),
}
"""Kind → pauses and lifetime, where they are not PAUSES and LIFETIME."""
LEASE = 1800.0
"""Seconds a try may last; a relay may take 10 minutes for its reply to the final dot (RFC 5321 section 4.5.3.2.6)."""
PROGRAMS = frozenset(
    {
        *("push", "webhook", "received_webhook", "received_sftp", "received_ftp", "received_pull", "received_pickup"),
        *("received_folder", "received_print"),
    }
)
"""Kinds that go to places of customers': each of them may be slow for minutes, and none may make others wait."""
EVENTS = frozenset({"push", "webhook"})
"""Kinds of what programs are told besides: no fax and no report for people depends on them, so that a program that is
gone is its owner's to mend, and no alarm of ours."""
PER_KIND = 8
"""Items in work at a time that go to programs, and as many of all other kinds."""
PER_CUSTOMER = 6
"""Of one customer, of those to programs."""
PER_TARGET = 2
"""To one target, of those."""
LOOK = 50
"""Items looked at in one query while some are chosen."""
IN_ORDER = "webhook"
"""Kind of the items of which one waits for those before it: what one address is told of one fax."""
HELD_TRIES = 3
"""Tries of an earlier item that later ones wait for, some 100 s: then an address that takes one event and never another
is told the rest."""
HELD_S = max(PUSH_PAUSES[:HELD_TRIES])
"""Seconds before or after now within which an earlier item that is tried again falls due."""
MAX_HELD = 500
"""Items of one address that may hold others up, and items that are passed over while some are chosen: more such items
are chosen later."""


@dataclass(frozen=True, slots=True)
class InWork:
    """An item that is being delivered: whose place it takes."""

    kind: str
    target: str
    customer: str


@dataclass(frozen=True, slots=True)
class Leased:
    """What is to be delivered now."""

    items: Sequence[tuple[Parcel, str | None, InWork]]
    """Parcel, and its job."""
    withheld: bool
    """Others are due and wait for a place of their kind, customer or target."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An item before it is written."""

    id: str
    kind: str
    target: str
    payload: Mapping[str, object]


def put(
    conn: Connection,
    item: str,
    kind: str,
    target: str,
    *,
    customer: str,
    payload: Mapping[str, object],
    now: float,
    job: str | None = None,
    message: str | None = None,
    reception: str | None = None,
    due_at: float | None = None,
) -> None:
    """Write an item, due now unless told. The same id twice is one item (a unit may be run again)."""
    if written(conn, item):
        return
    conn.execute(
        insert(t.outbox).values(
            id=item,
            kind=kind,
            target=target,
            customer=customer,
            job=job,
            message=message,
            reception=reception,
            payload=dict(payload),
            state="due",
            created_at=now,
            due_at=now if due_at is None else due_at,
        )
    )
    note(conn, item, "outbox.due", now=now, job=job or message or reception, data={"kind": kind})
    notify(conn, TOPIC)


def written(conn: Connection, item: str) -> bool:
    """True when the item was written, whatever has become of it."""
    return conn.execute(select(t.outbox.c.id).where(t.outbox.c.id == item)).first() is not None


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[tuple[Parcel, str | None]]:
    """Lease items that are due: (parcel, job). Items of earlier fences and of expired leases come back too."""
    return [(parcel, job) for parcel, job, _work in share(conn, fence=fence, now=now, limit=limit).items]


def share(conn: Connection, *, fence: int, now: float, limit: int, busy: Collection[InWork] = ()) -> Leased:
    """The same, with a fair share for everybody: what waits for one slow receiver takes no place from the others.

    Args:
        conn: The unit's connection.
        fence: The node's.
        now: Unix seconds.
        limit: Items at most.
        busy: What is in work already.
    """
    chosen, withheld = _choose(conn, now, limit, _Places(busy))
    for row in chosen:
        conn.execute(
            update(t.outbox)
            .where(t.outbox.c.id == row.id)
            .values(state="leased", lease_fence=fence, lease_until=now + LEASE, tries=row.tries + 1)
        )
        if row.reception is not None:  # a document leaves: written down before it does
            kind, facts = row.kind[:16], {"item": row.id, "try": row.tries + 1}
            audit.write(
                conn, "document.delivered", row.reception, who=row.target.partition("?")[0][:130], way=kind, now=now,
                customer=row.customer, data=facts,
            )  # fmt: skip
    return Leased([(_parcel(r), r.job, InWork(r.kind, r.target, r.customer)) for r in chosen], withheld)


class _Places:
    """Who has how many of the places."""

    def __init__(self, busy: Collection[InWork]) -> None:
        self._kinds = Counter(one.kind in PROGRAMS for one in busy)
        self._customers = Counter(one.customer for one in busy if one.kind in PROGRAMS)
        self._targets = Counter((one.kind, one.target) for one in busy if one.kind in PROGRAMS)

    def take(self, row: Row[Any]) -> bool:
        """Take a place for an item; False when there is none for it."""
        program, target = row.kind in PROGRAMS, (row.kind, row.target)
        if self._kinds[program] >= PER_KIND:
            return False
        if program:
            if self._customers[row.customer] >= PER_CUSTOMER or self._targets[target] >= PER_TARGET:
                return False
            self._customers[row.customer] += 1
            self._targets[target] += 1
        self._kinds[program] += 1
        return True

    @property
    def left(self) -> Sequence[ColumnElement[bool]]:
        """What an item must be to find a place."""
        c, found = t.outbox.c, list[ColumnElement[bool]]()
        others = c.kind.not_in(sorted(PROGRAMS))
        if self._kinds[True] >= PER_KIND:
            found.append(others)
        if self._kinds[False] >= PER_KIND:
            found.append(c.kind.in_(sorted(PROGRAMS)))
        if customers := [one for one, count in self._customers.items() if count >= PER_CUSTOMER]:
            found.append(or_(others, c.customer.not_in(customers)))
        if targets := [one for one, count in self._targets.items() if count >= PER_TARGET]:
            found.append(tuple_(c.kind, c.target).not_in(targets))
        return found


class _Order:
    """Which items must wait for an earlier one, of the same fax to the same address, that is on its way or tried again.

    What is on its way is known by its lease, what is tried again by its tries: on every node, and after a restart.

    Args:
        conn: The unit's connection.
        now: Unix seconds.
    """

    def __init__(self, conn: Connection, now: float) -> None:
        self._conn = conn
        self._now = now
        self._targets: dict[str, dict[tuple[str, str], int]] = {}
        self._passed: dict[str, list[str]] = {}

    @property
    def left(self) -> Sequence[ColumnElement[bool]]:
        """What an item must be that was not passed over; of an address with many of these none is looked at."""
        c = t.outbox.c
        ids = [item for items in self._passed.values() for item in items]
        if len(ids) >= MAX_HELD:
            return [c.kind != IN_ORDER]
        full = [target for target, items in self._passed.items() if len(items) >= LOOK]
        return [c.id.not_in(ids), (c.kind != IN_ORDER) | c.target.not_in(full)] if ids else []

    @property
    def has_passed(self) -> bool:
        """Whether an item was passed over."""
        return bool(self._passed)

    def pass_over(self, row: Row[Any]) -> None:
        """It is not the item's turn."""
        self._passed.setdefault(row.target, []).append(row.id)

    def is_next(self, row: Row[Any]) -> bool:
        """Whether nothing stands before an item."""
        place = _place_of(row)
        if place is None:
            return True
        lane, serial = place
        if row.target not in self._targets:
            self._targets[row.target] = self._open(row.target)
        return self._targets[row.target].get(lane, serial) >= serial

    def note(self, row: Row[Any]) -> None:
        """An item was chosen."""
        if (place := _place_of(row)) is not None:
            lane, serial = place
            known = self._targets[row.target]
            known[lane] = min(serial, known.get(lane, serial))

    def _open(self, target: str) -> dict[tuple[str, str], int]:
        """The first item that is on its way or tried again, of each fax."""
        c, now = t.outbox.c, self._now
        leased = (c.state == "leased") & (c.lease_until >= now) & ~voided(c.lease_fence)
        again = (c.state == "due") & c.due_at.between(now - HELD_S, now + HELD_S) & c.tries.between(1, HELD_TRIES)
        query = select(c.kind, c.payload).where(c.kind == IN_ORDER, c.target == target).limit(MAX_HELD)
        found: dict[tuple[str, str], int] = {}
        for state in (leased, again):
            rows: Iterable[Row[Any]] = self._conn.execute(query.where(state))
            for row in rows:
                if (place := _place_of(row)) is not None:
                    lane, serial = place
                    found[lane] = min(serial, found.get(lane, serial))
        return found


def _place_of(row: Row[Any]) -> tuple[tuple[str, str], int] | None:
    """Webhook and fax of an item, and the serial of its event; None: it has no order."""
    event = row.payload.get("event") if row.kind == IN_ORDER else None
    if not isinstance(event, Mapping) or not isinstance(event.get("serial"), int):
        return None
    return (str(row.payload.get("webhook")), str(event.get("fax") or event.get("job"))), event["serial"]


def _choose(conn: Connection, now: float, limit: int, places: _Places) -> tuple[Sequence[Row[Any]], bool]:
    """The items whose turn it is, in the order in which they fell due, and whether others must wait for a place."""
    due = or_(
        (t.outbox.c.state == "due") & (t.outbox.c.due_at <= now),
        (t.outbox.c.state == "leased") & ((t.outbox.c.lease_until < now) | voided(t.outbox.c.lease_fence)),
    )
    query = select(t.outbox).where(due).order_by(t.outbox.c.due_at, t.outbox.c.id)
    chosen: dict[str, Row[Any]] = {}
    order = _Order(conn, now)
    while len(chosen) < limit:
        left = (*places.left, *order.left)
        some = query.where(t.outbox.c.id.not_in(list(chosen)), *left).limit(min(LOOK, limit))
        rows = conn.execute(some).all()
        if not rows:
            rest = query.with_only_columns(t.outbox.c.id).where(t.outbox.c.id.not_in(list(chosen))).limit(1)
            return list(chosen.values()), conn.execute(rest).first() is not None
        for row in rows:
            if not order.is_next(row):
                order.pass_over(row)
            elif len(chosen) < limit and places.take(row):
                chosen[row.id] = row
                order.note(row)
    return list(chosen.values()), order.has_passed


def _parcel(row: Row[Any]) -> Parcel:
    return Parcel(row.id, row.kind, row.target, row.payload, row.created_at, row.tries + 1)


def _leased(conn: Connection, item: str, fence: int) -> Row[str, int, float, str | None, str] | None:
    """(id, tries, created at, what it belongs to, kind) of an item that is leased under this fence."""
    columns = t.outbox.c
    belongs = func.coalesce(columns.job, columns.message, columns.reception).label("belongs")
    found: Row[str, int, float, str | None, str] | None = conn.execute(
        select(columns.id, columns.tries, columns.created_at, belongs, columns.kind).where(
            columns.id == item, columns.state == "leased", columns.lease_fence == fence
        )
    ).first()
    return found


def done(conn: Connection, item: str, *, fence: int, now: float, detail: str = "") -> None:
    """The receiver has it."""
    row = _leased(conn, item, fence)
    if row is None:
        return
    conn.execute(update(t.outbox).where(t.outbox.c.id == item).values(state="done", done_at=now, detail=detail[:2000]))
    note(conn, item, "outbox.done", now=now, job=row.belongs, data={"detail": detail[:400]})


def failed(conn: Connection, item: str, *, fence: int, now: float, permanent: bool, detail: str) -> bool:
    """The try failed: back to due after a pause, or dead. True when it is dead now."""
    row = _leased(conn, item, fence)
    if row is None:
        return False
    pauses, lifetime = SCHEDULES.get(row.kind, (PAUSES, LIFETIME))
    dead = permanent or now - row.created_at > lifetime
    values: dict[str, object] = {"detail": detail[:2000]}
    if dead:
        values |= {"state": "dead", "done_at": now}
    else:
        values |= {"state": "due", "due_at": now + pauses[min(row.tries, len(pauses)) - 1]}
    conn.execute(update(t.outbox).where(t.outbox.c.id == item).values(**values))
    note(
        conn,
        item,
        "outbox.dead" if dead else "outbox.deferred",
        now=now,
        job=row.belongs,
        data={"detail": detail[:400]},
    )
    return dead


def fetched(conn: Connection, item: str, *, now: float, detail: str) -> None:
    """The receiver has come for it, and said that it has it: done, whether or not it is leased."""
    c = t.outbox.c
    query = update(t.outbox).where(c.id == item, c.state.in_(["due", "leased"]))
    if conn.execute(query.values(state="done", done_at=now, detail=detail[:2000])).rowcount:
        belongs = conn.execute(select(c.reception).where(c.id == item)).scalar()
        note(conn, item, "outbox.done", now=now, job=belongs, data={"detail": detail[:400]})


def again(conn: Connection, item: str, *, now: float, who: str) -> bool:
    """Deliver an item once more that is done or dead, under its own id; False when it is neither.

    It has its whole lifetime again.
    """
    c = t.outbox.c
    changed = conn.execute(
        update(t.outbox)
        .where(c.id == item, c.state.in_(["done", "dead"]))
        .values(state="due", due_at=now, created_at=now, done_at=None)
    )
    if changed.rowcount:
        note(conn, item, "outbox.again", now=now, who=who)
        notify(conn, TOPIC)
    return bool(changed.rowcount)


def next_due(conn: Connection, after: float = 0.0) -> float | None:
    """Unix seconds of the next item that is or falls due; of those that fall due after a time."""
    c = t.outbox.c
    return conn.execute(select(func.min(c.due_at)).where(c.state == "due", c.due_at > after)).scalar()


def oldest_open(conn: Connection) -> float | None:
    """When the oldest item that is not done was written, Unix seconds.

    Without what is set aside as junk, what waits to be fetched, and what programs are told besides.
    """
    c = t.outbox.c
    ours = c.kind.not_in(sorted({*EVENTS, "received_pull"}))
    waiting = (c.state.in_(["due", "leased"]), c.due_at <= c.created_at + 2 * LIFETIME, ours)
    return conn.execute(select(func.min(c.created_at)).where(*waiting)).scalar()
