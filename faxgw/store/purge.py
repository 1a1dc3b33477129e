"""The purge: what a fax leaves behind is taken away when its days are over, completely (features H1).

Each call of a unit here does a little: reckons the times of some faxes that are over, or takes one step of one fax
that is due. Rows go first; the files they named are handed back, to be removed after the commit. A kill in between
leaves files without a row, which the sweep of the next start removes; a kill anywhere else leaves a fax that is still
due. So the purge has no state of its own and may be stopped and repeated at any point.

A fax goes in up to three steps (`fax.retention`): what is not archived, the archive, the rows. Nothing goes while it is
not over, while something of it is still to be delivered, or while a hold covers it. Tables that later revisions hang
on a fax, a job or a received fax are found by their references, so that nothing can be forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any  # rows

from sqlalchemy import Column, Connection, Row, Select, Table, delete, func, or_, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from faxgw.fax.account import from_snapshot
from faxgw.fax.job import MessageState
from faxgw.fax.retention import Purged, retention
from faxgw.store import audit, event_feed, holds, journal, junk_mail, sweep, webhook_feed
from faxgw.store import schema as t
from faxgw.store.holds import Subject
from faxgw.store.reports import item_id

RECKONED_AT_ONCE = 50
"""Faxes whose times are reckoned in one unit; reading the settings of one takes 0.2 ms."""
SLICE = 100
"""Rows with files, or faxes of a job, that one unit takes; a unit may last 100 ms (docs/spine.md section 7)."""
ROWS = 500
"""Rows of one table that one unit deletes."""
TOLD = 1_000
"""Messages to webhooks that are looked for in one unit."""
FAXES = 20
"""Faxes of a job whose rows one unit deletes; each has some 20 entries in the journal."""
UNRECKONED = 36_500 * 86_400.0
"""Seconds after which a fax is looked at whose days cannot be reckoned: never, but for whoever mends it."""
LATER = 86_400.0
"""Seconds after which a fax is looked at again that is held or still to be delivered."""
LOOSE = 30 * 86_400.0
"""Seconds after which what was delivered and belongs to no single fax (events to webhooks) is taken away."""
_OPEN_ITEMS = ("due", "leased", "asleep")
_FAULTS = (LookupError, TypeError, ValueError, AttributeError)
"""What a row raises that is not as it should be; what the database says goes to whoever runs the unit."""

log = logging.getLogger(__name__)

Place = tuple[float, str]
"""A refused mail by its time, Unix seconds, and its id."""
START: Place = (0.0, "")
"""Before all of them."""


@dataclass(slots=True)
class Step:
    """What one unit did."""

    entity: str = ""
    """The job, received fax or refused mail; empty: there was nothing to do."""
    customer: str = ""
    keys: list[str] = field(default_factory=list)
    """Files to be removed now: no row names them any more."""
    rows: int = 0
    """Rows deleted."""
    held: str = ""
    """The hold that keeps it; or `open`, while something of it is still to be delivered."""
    done: Purged | None = None
    """The state it reached; None with `gone`, or while it goes on."""
    gone: bool = False
    """Its rows are gone."""
    after: Place = START
    """Where the next step of this run goes on among refused mails: those before are held."""


@dataclass(frozen=True, slots=True)
class Due:
    """What a purge would do to a fax now."""

    entity: str
    customer: str
    since: float
    """Since when it is due, Unix seconds."""
    step: str
    """working, documents, or metadata."""
    held: str


# ------------------------------------------------------------------------------------------------------------ reckon


def reckon(conn: Connection) -> int:
    """Reckon when some faxes that are over fall due; how many."""
    done = 0
    for table in (t.jobs, t.receptions):
        query = (
            select(table.c.id, table.c.settings, table.c.finished_at)
            .where(table.c.purge_at.is_(None), table.c.finished_at.is_not(None))
            .order_by(table.c.finished_at)
            .limit(RECKONED_AT_ONCE)
        )
        for row in conn.execute(query).all():
            try:
                _step, at = retention(from_snapshot(row.settings).values, row.finished_at).next(Purged.NOTHING)
            except _FAULTS:  # it comes up again when it is due by the longest there is, and is told then
                log.exception("fax not reckoned", extra={"event": "purge.fault", "entity": row.id})
                at = row.finished_at + UNRECKONED
            conn.execute(update(table).where(table.c.id == row.id).values(purge_at=at))
            done += 1
    return done


# ------------------------------------------------------------------------------------------------------------- step


def step(conn: Connection, *, now: float, after: Place = START) -> Step:
    """Take one step of the fax that has been due longest.

    Args:
        conn: The unit's connection.
        now: Unix seconds.
        after: `Step.after` of the step before in this run; without it held mails are looked at again and again.
    """
    newest = event_feed.newest(conn)
    done = _next(conn, now, after)
    journal.keep_serial(conn, newest, now=now)
    return done


def _next(conn: Connection, now: float, after: Place) -> Step:
    for table in (t.jobs, t.receptions):
        query = select(table).where(table.c.purge_at <= now).order_by(table.c.purge_at).limit(1)
        if (row := conn.execute(query).first()) is not None:
            try:
                with conn.begin_nested():
                    done = _step(conn, table, row, now)
                    done.after = after
                    return done
            except _FAULTS as exc:  # this one is put off, so that all others go on
                log.exception("fax not purged", extra={"event": "purge.fault", "entity": row.id})
                conn.execute(update(table).where(table.c.id == row.id).values(purge_at=now + LATER))
                return Step(row.id, row.customer, held=f"fault: {type(exc).__name__}", after=after)
    return _refused_mail(conn, now, after) or _loose(conn, now, after)


def due(conn: Connection, *, now: float, limit: int = 1_000) -> Sequence[Due]:
    """What a purge would do now, oldest first."""
    found, in_force = [], holds.in_force(conn)
    for table in (t.jobs, t.receptions):
        query = select(table).where(table.c.purge_at <= now).order_by(table.c.purge_at).limit(limit)
        for row in conn.execute(query).all():
            target = retention(from_snapshot(row.settings).values, row.finished_at).next(Purged(row.purged))[0]
            name = "metadata" if target is None else target.name.lower()
            held = holds.held_by(in_force, _subject(conn, table, row)) or _is_open(conn, table, row)
            found.append(Due(row.id, row.customer, row.purge_at, name, held))
    return sorted(found, key=lambda one: one.since)[:limit]


def backlog(conn: Connection, *, now: float) -> tuple[int, float]:
    """How many faxes are due, and since when the oldest is, Unix seconds; 0.0: none."""
    count, oldest = 0, 0.0
    for table in (t.jobs, t.receptions):
        row = conn.execute(select(func.count(), func.min(table.c.purge_at)).where(table.c.purge_at <= now)).one()
        count += row[0]
        oldest = min(filter(None, (oldest, row[1])), default=0.0)
    return count, oldest


def _step(conn: Connection, table: Table, row: Row[Any], now: float) -> Step:
    done = Step(row.id, row.customer)
    done.held = holds.held_by(holds.in_force(conn), _subject(conn, table, row)) or _is_open(conn, table, row)
    if done.held:
        conn.execute(update(table).where(table.c.id == row.id).values(purge_at=now + LATER))
        return done
    times = retention(from_snapshot(row.settings).values, row.finished_at)
    target, _at = times.next(Purged(row.purged))
    work = _Work(conn, table, row, done, now)
    if target is None:
        done.gone = work.rows()
    elif work.documents(target):
        done.done = target
        conn.execute(
            update(table).where(table.c.id == row.id).values(purged=target.value, purge_at=times.next(target)[1])
        )
    done.keys = sorted(set(done.keys) - {""} - sweep.known_keys(conn, done.keys))
    if done.gone or done.done is not None:
        what = "purge.metadata" if done.gone else f"purge.{target.name.lower()}" if target is not None else ""
        audit.write(conn, what, row.id, who="gateway", way="gateway", now=now, customer=row.customer)
    return done


def _subject(conn: Connection, table: Table, row: Row[Any]) -> Subject:
    if table is t.receptions:
        return Subject(row.customer, {row.number, row.caller}, {row.id}, row.started_at)
    faxes = conn.execute(select(t.faxes.c.id, t.faxes.c.e164).where(t.faxes.c.job == row.id)).all()
    entities = {row.id, *(fax.id for fax in faxes)}
    return Subject(row.customer, {fax.e164 for fax in faxes}, entities, row.accepted_at)


def _is_open(conn: Connection, table: Table, row: Row[Any]) -> str:
    """`open` while something of it is still to be delivered, sleeps or is being sent."""
    column = t.outbox.c.job if table is t.jobs else t.outbox.c.reception
    query = select(t.outbox.c.id).where(column == row.id, t.outbox.c.state.in_(_OPEN_ITEMS)).limit(1)
    return "open" if row.finished_at is None or conn.execute(query).first() is not None else ""


class _Work:
    """One step of one fax."""

    def __init__(self, conn: Connection, table: Table, row: Row[Any], done: Step, now: float) -> None:
        self._conn = conn
        self._now = now
        self._table = table
        self._row = row
        self._done = done

    # -------------------------------------------------------------------------------------------------- documents

    def documents(self, target: Purged) -> bool:
        """Take documents away, down to what is archived or to nothing; False: some are left for the next unit."""
        steps = self._of_job(target) if self._table is t.jobs else self._of_reception(target)
        return all(steps)  # a generator: stops at the first that has more to do

    def _of_job(self, target: Purged) -> Any:  # Any: an iterator of bool
        job = self._row.id
        parts = t.attempt_faxes
        mine = parts.c.fax.in_(select(t.faxes.c.id).where(t.faxes.c.job == job))
        needless = parts.c.tiff_key != ""
        if target is Purged.WORKING:
            needless &= ~parts.c.exposed  # of a call in which nothing was sent
        yield self._blank(parts, mine & needless)
        yield self._drop(t.renditions, t.renditions.c.job == job)
        yield self._drop(t.job_documents, t.job_documents.c.job == job)
        yield self._drop(t.job_references, t.job_references.c.job == job)
        self._done.keys.append(self._row.body_key or "")
        values = {"body_key": "", "body_sha256": "", "body_size": 0, "thumbnail": None, "cover_text": None}
        self._conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(**values, page_facts=[]))
        if self._row.message is not None:
            yield self._blank(t.messages, t.messages.c.id == self._row.message)

    def _of_reception(self, target: Purged) -> Any:  # Any: as above
        reception, row = self._row.id, self._row
        archived = target is Purged.WORKING
        as_pdf = from_snapshot(row.settings)["archive_format"] == "pdf" and bool(row.document_key)
        for table in _with_files("reception"):
            if table is not t.reception_pages:
                yield self._drop(table, table.c.reception == reception)
        laid = select(t.pulls.c.id).where(t.pulls.c.reception == reception)
        yield self._drop(t.pull_documents, t.pull_documents.c.pull.in_(laid))
        yield self._drop(t.pulls, t.pulls.c.reception == reception)
        if not archived or as_pdf:
            pages = t.reception_pages
            yield self._blank(pages, (pages.c.reception == reception) & (pages.c.key != ""))
        values: dict[str, Any] = {"thumbnail": None}
        if not archived or not as_pdf:
            self._done.keys.append(row.document_key or "")
            values |= {"document_key": None, "document_sha256": None, "document_size": None}
        self._conn.execute(update(t.receptions).where(t.receptions.c.id == reception).values(**values))
        yield self._drop(t.page_prints, t.page_prints.c.reception == reception)
        if not archived:
            yield self._drop(t.readings, t.readings.c.reception == reception)
        self._conn.execute(update(t.junk).where(t.junk.c.reception == reception).values(reasons=[]))
        self._conn.execute(update(t.outbox).where(t.outbox.c.reception == reception).values(payload={}))

    def _blank(self, table: Table, where: ColumnElement[bool]) -> bool:
        """Take the files of rows that stay; their key becomes empty. False: there are more."""
        key, sha256, size = _file_columns(table)[0]
        rows = self._conn.execute(
            select(*table.primary_key, key.label("file")).where(where, key != "").limit(SLICE)
        ).all()
        for row in rows:
            same = [column == row[index] for index, column in enumerate(table.primary_key)]
            self._conn.execute(update(table).where(*same).values({key: "", sha256: "", size: 0}))
            self._done.keys.append(row.file)
        return len(rows) < SLICE

    def _drop(self, table: Table, where: ColumnElement[bool], limit: int = ROWS) -> bool:
        """Delete rows and note their files. False: there are more."""
        files = [column for column, _sha256, _size in _file_columns(table)]
        primary = list(table.primary_key)
        rows = self._conn.execute(select(*primary, *files).where(where).limit(limit)).all()
        for row in rows:
            self._done.keys += [key for key in row[len(primary) :] if key]
        if len(rows) < limit:
            self._conn.execute(delete(table).where(where))
        else:
            same = tuple_(*primary).in_([tuple(row[: len(primary)]) for row in rows])
            self._conn.execute(delete(table).where(same))
        self._done.rows += len(rows)
        return len(rows) < limit

    # ------------------------------------------------------------------------------------------------------- rows

    def rows(self) -> bool:
        """Delete every row of a fax, its own last; False: some are left for the next unit."""
        return all(self._rows_of_job() if self._table is t.jobs else self._rows_of_reception())

    def _rows_of_job(self) -> Any:  # Any: as above
        job = self._row.id
        faxes = list(self._conn.execute(select(t.faxes.c.id).where(t.faxes.c.job == job).limit(FAXES)).scalars())
        if faxes:
            yield self._drop_faxes(faxes)
            yield len(faxes) < FAXES
        yield self._items(t.outbox.c.job == job)
        yield self._events(or_(t.events.c.job == job, t.events.c.entity == job))
        yield self._drop(t.job_keys, t.job_keys.c.job == job, limit=FAXES * ROWS)
        for table, column in _children(t.jobs):
            if table is not t.faxes:
                yield self._drop(table, column == job)
        self._drop(t.jobs, t.jobs.c.id == job)
        if self._row.message is not None:
            self._message(self._row.message)

    def _drop_faxes(self, faxes: Sequence[str]) -> bool:
        """Delete faxes with their calls; a call that other faxes shared stays until the last of them goes."""
        parts = t.attempt_faxes.c
        attempts = set(self._conn.execute(select(parts.attempt).where(parts.fax.in_(faxes))).scalars())
        others = select(parts.attempt).where(parts.attempt.in_(attempts), parts.fax.not_in(faxes))
        alone = attempts - set(self._conn.execute(others).scalars())
        if not self._events(t.events.c.entity.in_([*faxes, *alone])):
            return False
        for table, column in _children(t.faxes):
            if table is not t.attempt_faxes and not self._drop(table, column.in_(faxes)):
                return False
        self._drop(t.attempt_faxes, parts.fax.in_(faxes), limit=FAXES * ROWS)
        self._drop(t.attempts, t.attempts.c.id.in_(alone), limit=FAXES * ROWS)
        self._drop(t.faxes, t.faxes.c.id.in_(faxes))
        return True

    def _rows_of_reception(self) -> Any:  # Any: as above
        reception = self._row.id
        junk_mail.forget(self._conn, self._row, now=self._now)
        yield self._items(t.outbox.c.reception == reception)
        yield self._events(or_(t.events.c.job == reception, t.events.c.entity == reception))
        for table, column in _children(t.receptions):
            yield self._drop(table, column == reception)
        self._drop(t.receptions, t.receptions.c.id == reception)

    def _items(self, where: ColumnElement[bool]) -> bool:
        """Delete what was delivered, with the tries to tell webhooks."""
        items = list(self._conn.execute(select(t.outbox.c.id).where(where).limit(SLICE)).scalars())
        self._drop(t.webhook_tries, t.webhook_tries.c.item.in_(items), limit=FAXES * ROWS)
        self._drop(t.events, t.events.c.entity.in_(items), limit=FAXES * ROWS)
        self._drop(t.outbox, t.outbox.c.id.in_(items))
        return len(items) < SLICE

    def _events(self, where: ColumnElement[bool]) -> bool:
        """Delete entries of the journal, and what webhooks were told of them; False: some are left.

        What is still to be told is given up and emptied: it names numbers and reasons.
        """
        hooks = list(
            self._conn.execute(select(t.webhooks.c.id).where(t.webhooks.c.customer == self._row.customer)).scalars()
        )
        e, c, most = t.events.c, t.outbox.c, max(1, TOLD // max(1, len(hooks)))
        query = select(e.serial).where(where, e.what.in_(list(event_feed.PUBLIC))).order_by(e.serial).limit(most)
        serials = list(self._conn.execute(query).scalars()) if hooks else []
        told = [item_id(webhook_feed.KIND, hook, str(serial)) for serial in serials for hook in hooks]
        if told:
            over = select(c.id).where(c.id.in_(told), c.state.in_(["done", "dead"]))
            items = list(self._conn.execute(over).scalars())
            for table, column in ((t.webhook_tries, t.webhook_tries.c.item), (t.events, e.entity), (t.outbox, c.id)):
                self._drop(table, column.in_(items), limit=FAXES * ROWS)
            webhook_feed.give_up(self._conn, told, now=self._now)
            self._drop(t.events, e.serial.in_(serials), limit=FAXES * ROWS)
            if len(serials) == most:
                return False
        return self._drop(t.events, where)

    def _message(self, message: str) -> None:
        """Delete a message unless another job came of it."""
        if self._conn.execute(select(t.jobs.c.id).where(t.jobs.c.message == message)).first() is not None:
            return
        self._items(t.outbox.c.message == message)
        self._drop(t.events, or_(t.events.c.job == message, t.events.c.entity == message))
        for table, column in _children(t.messages):
            self._drop(table, column == message, limit=FAXES * ROWS)
        self._drop(t.messages, t.messages.c.id == message)

    def message_alone(self) -> None:
        """Delete a message of which no job came."""
        self._message(self._row.id)


def _refused_mail(conn: Connection, now: float, after: Place) -> Step | None:
    """Take away one mail of which no job came, after the `keep_days` of everybody, or pass by some that are held."""
    old = now - from_snapshot({})["keep_days"] * 86_400.0 - 86_400.0
    c = t.messages.c
    query = (
        select(t.messages)
        .where(c.state.in_([MessageState.REFUSED.value, MessageState.WALKED.value]), c.received_at < old)
        .where(c.received_at >= after[0], or_(c.received_at > after[0], c.id > after[1]))
        .where(~select(t.jobs.c.id).where(t.jobs.c.message == c.id).exists())
        .order_by(c.received_at, c.id)
    )
    in_force = holds.in_force(conn)
    rows = conn.execute(query.limit(SLICE if in_force else 1)).all()
    for row in rows:
        held = holds.held_by(in_force, Subject(row.customer, (), {row.id}, row.received_at))
        if not held:
            break
    else:
        return Step(row.id, row.customer, held=held, after=(row.received_at, row.id)) if rows else None
    done = Step(row.id, row.customer, gone=True, after=(row.received_at, row.id))
    _Work(conn, t.messages, row, done, now).message_alone()
    done.keys = sorted(set(done.keys) - {""} - sweep.known_keys(conn, done.keys))
    return done


def _loose(conn: Connection, now: float, after: Place) -> Step:
    """Take away what was delivered long ago and belongs to no single fax."""
    c = t.outbox.c
    query: Select[str] = (
        select(c.id)
        .where(c.state.in_(["done", "dead"]), c.due_at < now - LOOSE, c.job.is_(None), c.message.is_(None))
        .where(c.reception.is_(None))
        .limit(SLICE)
    )
    items = list(conn.execute(query).scalars())
    if not items:
        return Step()
    done = Step("outbox", after=after)
    for table, column in ((t.webhook_tries, t.webhook_tries.c.item), (t.events, t.events.c.entity), (t.outbox, c.id)):
        done.rows += conn.execute(delete(table).where(column.in_(items))).rowcount
    return done


# ---------------------------------------------------------------------------------------------------------- tables


@cache
def _children(parent: Table) -> Sequence[tuple[Table, Column[Any]]]:
    """Tables whose rows refer to a row of this one, and by which column."""
    return [
        (table, column)
        for table in t.metadata.sorted_tables
        for column in table.columns
        if any(reference.column.table is parent for reference in column.foreign_keys) and table is not t.jobs
    ]


@cache
def _file_columns(table: Table) -> Sequence[tuple[Column[Any], Column[Any], Column[Any]]]:
    """Columns of key, SHA-256 and size of the files that a table names; found by their names, as the backup does."""
    columns = table.columns
    stems = [name.removesuffix("key") for name in columns.keys() if name.endswith("key")]  # noqa: SIM118 - not a dict
    names = [(f"{stem}key", f"{stem}sha256", f"{stem}size") for stem in stems]
    return [(columns[a], columns[b], columns[c]) for a, b, c in names if b in columns and c in columns]


@cache
def _with_files(parent: str) -> Sequence[Table]:
    """Tables that name files of a received fax, by a column `reception`."""
    return [table for table in t.metadata.sorted_tables if parent in table.columns and _file_columns(table)]


def kept(conn: Connection) -> Mapping[str, int]:
    """How much is kept: documents by what has been purged of their faxes; for the operator."""
    found: dict[str, int] = {}
    for table in (t.jobs, t.receptions):
        for purged, number in conn.execute(select(table.c.purged, func.count()).group_by(table.c.purged)):
            name = Purged(purged).name.lower()
            found[name] = found.get(name, 0) + number
    return found
