"""The audit: who changed what and who read which document, each record hashed over the one before it (features H5).

A record is written in the transaction of the change it tells of; one of an access is committed before the first octet
leaves. Its hash is SHA-256 of the hash before it and of the record's canonical form, so that no record can be changed,
dropped, put in or moved without the chain breaking there. What a chain alone cannot show is that its tail was cut off
and its end moved with it: that is what anchors are for, number and hash of the newest record, written to the log and
to a file every day and kept elsewhere.

Records hold ids and no content: no subject, no text, nobody's number but our own. So they outlive the purge of what
they tell of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows, JSON

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from faxgw.store import schema as t

HEAD, BASE = "head", "base"
START = "0" * 64
"""Hash before the first record."""
PAGE = 500
"""Records read, checked or dropped in one unit; 500 take some 5 ms."""
MAX_DATA = 2_000
"""Characters of a record's facts."""
SHORTENED = "audit.shortened"
"""Record of old ones having been dropped."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record."""

    serial: int
    """From 1, without a gap."""
    at: float
    """Unix seconds."""
    who: str
    """A login, token, or operator."""
    way: str
    """Interface: cli, admin, api, rest, soap, sftp, ftp, pull, mail, gateway."""
    what: str
    entity: str
    customer: str
    data: str
    """Facts as JSON text."""
    hash: str

    def facts(self) -> Mapping[str, Any]:
        """The facts."""
        found: Mapping[str, Any] = json.loads(self.data)
        return found


@dataclass(frozen=True, slots=True)
class Anchor:
    """Number and hash of the newest record at some time."""

    serial: int
    hash: str

    def __str__(self) -> str:
        return f"{self.serial}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Broken:
    """The first record at which the chain does not hold."""

    serial: int
    why: str


def write(
    conn: Connection,
    what: str,
    entity: str,
    *,
    who: str,
    way: str,
    now: float,
    customer: str = "",
    data: Mapping[str, Any] | None = None,
) -> int:
    """Add a record; returns its number. On PostgreSQL the writers of records wait for one another."""
    before = _end(conn, HEAD, lock=True)
    facts = json.dumps(data or {}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    if len(facts) > MAX_DATA:
        facts = json.dumps({"sha256": hashlib.sha256(facts.encode()).hexdigest()}, separators=(",", ":"))
    serial = before.serial + 1
    parts = (serial, now, who[:130], way[:16], what[:40], entity[:64], customer[:64], facts)
    digest = _digest(before.hash, *parts)
    conn.execute(insert(t.audit).values(**dict(zip(_COLUMNS, parts, strict=True)), hash=digest))
    conn.execute(update(t.audit_ends).where(t.audit_ends.c.name == HEAD).values(serial=serial, hash=digest))
    return serial


_COLUMNS = ("serial", "at", "who", "way", "what", "entity", "customer", "data")


def _digest(before: str, *parts: object) -> str:
    """Hash of a record: parts as a JSON array, which says where each one ends."""
    content = json.dumps(parts, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()


def _end(conn: Connection, name: str, *, lock: bool = False) -> Anchor:
    """An end of the chain; made when it is locked for the first time."""
    query = select(t.audit_ends.c.serial, t.audit_ends.c.hash).where(t.audit_ends.c.name == name)
    row = conn.execute(query.with_for_update() if lock else query).first()
    if row is not None:
        return Anchor(row.serial, row.hash)
    if lock:
        try:
            with conn.begin_nested():
                conn.execute(insert(t.audit_ends).values(name=name, serial=0, hash=START))
        except IntegrityError:  # another connection made the very first record just now
            return _end(conn, name, lock=True)
    return Anchor(0, START)


def anchor(conn: Connection) -> Anchor:
    """The newest record."""
    return _end(conn, HEAD)


# ------------------------------------------------------------------------------------------------------------ verify


class Verifier:
    """Checks the chain in pages; each call of `look` is one unit.

    Args:
        anchors: Numbers and hashes kept elsewhere that must be found again.
    """

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self.checked = 0
        """Records found right."""
        self.last = Anchor(0, START)
        """The newest of them."""
        self._anchors = {one.serial: one.hash for one in anchors}
        self._base: Anchor | None = None

    def look(self, conn: Connection) -> Broken | bool:
        """Check the next page: what is broken, else whether there is more."""
        if self._base is None:
            self._base = self.last = _end(conn, BASE)
        rows = conn.execute(
            select(t.audit).where(t.audit.c.serial > self.last.serial).order_by(t.audit.c.serial).limit(PAGE)
        ).all()
        for row in rows:
            if (broken := self._broken(row)) is not None:
                return broken
            self.last, self.checked = Anchor(row.serial, row.hash), self.checked + 1
        return True if len(rows) == PAGE else self._at_end(conn)

    def _broken(self, row: Row[Any]) -> Broken | None:
        expected = self.last.serial + 1
        if row.serial != expected:
            return Broken(expected, "is missing")
        if _digest(self.last.hash, *(getattr(row, column) for column in _COLUMNS)) != row.hash:
            return Broken(row.serial, "was changed, or does not follow the one before it")
        if self._anchors.pop(row.serial, row.hash) != row.hash:
            return Broken(row.serial, "is not the one that was anchored")
        return None

    def _at_end(self, conn: Connection) -> Broken | bool:
        """The end must be where the table of ends and the anchors say."""
        head = _end(conn, HEAD)
        if head.serial > self.last.serial:
            return Broken(self.last.serial + 1, f"is missing; the newest had the number {head.serial}")
        if head != self.last and (self.checked or head.serial):
            return Broken(self.last.serial, "is not what the end of the chain says")
        assert self._base is not None  # looked up by `look`
        left = sorted(serial for serial in self._anchors if serial > self._base.serial)
        if left:
            return Broken(self.last.serial + 1, f"is missing; number {left[0]} was anchored")
        return False


# ------------------------------------------------------------------------------------------------------------- read


def listed(
    conn: Connection,
    *,
    after: int = 0,
    before: int = 0,
    entity: str = "",
    who: str = "",
    customer: str = "",
    since: float = 0.0,
    until: float = 0.0,
    limit: int = PAGE,
    newest: bool = False,
) -> Sequence[Record]:
    """Records in their order: what happened to a fax, what somebody did. With `newest` the last of them.

    Args:
        conn: The unit's connection.
        after: Number after which to begin.
        before: Number before which to end; 0: none.
        entity: Of this fax, job, received fax or account alone.
        who: By whom alone.
        customer: Of this customer alone.
        since: Unix seconds.
        until: Unix seconds; 0: none.
        limit: Records at most, PAGE at the most.
        newest: The last ones that fit instead of the first.
    """
    c = t.audit.c
    query = select(t.audit).where(c.serial > after)
    for column, value in ((c.entity, entity), (c.who, who), (c.customer, customer)):
        query = query.where(column == value) if value else query
    query = query.where(c.at >= since) if since else query
    query = query.where(c.at < until) if until else query
    query = query.where(c.serial < before) if before else query
    rows = conn.execute(query.order_by(c.serial.desc() if newest else c.serial).limit(min(limit, PAGE))).all()
    found = [Record(*row) for row in rows]
    return found[::-1] if newest else found


def drop_old(conn: Connection, *, before: float, now: float) -> int:
    """Drop some records from before a time, oldest first, and say so in a new one; how many."""
    c = t.audit.c
    rows = conn.execute(select(c.serial, c.hash, c.at).order_by(c.serial).limit(PAGE)).all()
    old = list(_while_old(rows, before))
    if not old:
        return 0
    _end(conn, BASE, lock=True)
    last = old[-1]
    write(
        conn,
        SHORTENED,
        "audit",
        who="gateway",
        way="gateway",
        now=now,
        data={"first": old[0].serial, "last": last.serial, "hash": last.hash},
    )
    conn.execute(delete(t.audit).where(c.serial <= last.serial))
    conn.execute(update(t.audit_ends).where(t.audit_ends.c.name == BASE).values(serial=last.serial, hash=last.hash))
    return len(old)


def _while_old(rows: Sequence[Row[int, str, float]], before: float) -> Iterator[Row[int, str, float]]:
    for row in rows:
        if row.at >= before:
            return
        yield row
