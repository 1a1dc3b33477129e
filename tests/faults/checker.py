"""The checker: what a world holds after its drain, measured against the invariants (docs/spine.md section 5).

It believes nobody: the ledger says what was promised, the far end what it has seen and confirmed, the mailbox what
senders were told, the database what the gateway believes, the folder what lies about. Works on any evidence of this
form, scripted or real, on each database.

I1  what was acknowledged is in exactly one final state, reached once;
I2  no page that the far end holds comes again without its mark; nothing is dialled after sent or unknown; every
    call the far end saw was planned before it left;
I3  every unknown, and every call in doubt that goes on, was told to its sender;
I4  every page that we confirmed to a caller is delivered or retained, octet by octet;
I5  the database is sound;
I6  after the sweep no file without a row and no row without its file;
I7  what was not acknowledged is not sent twice either (the rules of I2 hold for every mail handed in);
T   the truth: never more is claimed than the far end confirmed, at most one page of one fax is in doubt, and every
    finished job has its one report per address.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # rows

from sqlalchemy import Connection, Engine, Row, create_engine, make_url, select
from sqlalchemy.pool import NullPool

from faxgw.fax.job import FINAL, FaxState
from faxgw.store import schema as t
from faxgw.store.reports import item_id
from tests.faults.ledger import SENDERS, Ledger, load_of

SKEW = 0.01
"""Seconds by which the far end's clock, rounded, may be before ours: it is the same machine's."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One page that the far end saw, whole or not."""

    load: int
    """What its watermark says."""
    page: int
    marked: bool
    """It bears POSSIBLE DUPLICATE."""
    held: bool
    """The far end has all of it, and did not refuse it."""
    confirmed: bool
    """The far end sent its confirmation, whether or not that arrived."""


@dataclass(frozen=True, slots=True)
class FarCall:
    """One call as the far end saw it."""

    id: str
    number: str
    """E.164."""
    at: float
    """When the INVITE came, seconds on the gateway's clock."""
    pages: tuple[Sighting, ...]
    call_id: str = ""
    """SIP Call-ID, where the far end notes it."""
    ended: bool = True
    """It is over: the far end does not wait for a BYE."""


@dataclass(frozen=True, slots=True)
class SinkMail:
    """A mail that arrived at a sender's mailbox."""

    message_id: str
    to: str
    load: int | None
    """The load whose mail it answers."""
    job: str
    """Our job, or empty."""
    result: str
    """`delivered`, `failed`, `in-doubt`, …: what the report says of the job as a whole."""


@dataclass(frozen=True, slots=True)
class InboundPage:
    """A page that we confirmed to a caller, as the caller's own log has it."""

    call: str
    page: int
    sha256: str
    """Of its pixels."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything there is to look at."""

    ledger: Ledger
    calls: Sequence[FarCall]
    mails: Sequence[SinkMail]
    url: str
    """SQLAlchemy URL of the database."""
    data: Path
    """The gateway's data folder."""
    confirmed_to_callers: Sequence[InboundPage] = ()
    delivered_faxes: Sequence[Sequence[str]] = ()
    """SHA-256 of each page of each received fax that was delivered, in order."""
    matched_by_time: bool = False
    """The far end notes no Call-ID: its calls are found by number and time."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


@dataclass(slots=True)
class _Book:
    """The database, read once."""

    messages: list[Row[Any]] = field(default_factory=list)
    recipients: dict[str, list[Row[Any]]] = field(default_factory=lambda: defaultdict(list))
    jobs: dict[str, Row[Any]] = field(default_factory=dict)
    faxes: dict[str, Row[Any]] = field(default_factory=dict)
    attempts: dict[str, Row[Any]] = field(default_factory=dict)
    parts: list[Row[Any]] = field(default_factory=list)
    outbox: list[Row[Any]] = field(default_factory=list)
    receptions: list[Row[Any]] = field(default_factory=list)
    events: list[Row[Any]] = field(default_factory=list)
    objects: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Key → SHA-256 and size of every object that a row names."""

    def load_of(self, fax: Row[Any]) -> int | None:
        """The load a fax belongs to."""
        job = self.jobs[fax.job]
        named = (load_of(word) for word in (job.in_reply_to, job.reference, job.subject))
        return next((load for load in named if load is not None), None)


def reader(url: str) -> Engine:
    """A database as somebody from outside looks at it."""
    return create_engine(make_url(url.replace("postgresql://", "postgresql+psycopg://")), poolclass=NullPool)


def check(evidence: Evidence) -> list[Violation]:
    """Every violation, in the order of the rules."""
    database = reader(evidence.url)
    try:
        with database.connect() as conn:
            book = _read(conn)
    finally:
        database.dispose()
    return [
        *_promises(evidence, book),
        *_sightings(evidence, book),
        *_calls(evidence, book),
        *_doubts(evidence, book),
        *_inbound(evidence, book),
        *_sound(evidence.url),
        *_objects(evidence, book),
        *_claims(evidence, book),
        *_reports(evidence, book),
    ]


def _read(conn: Connection) -> _Book:
    book = _Book()
    book.messages = list(conn.execute(select(t.messages)))
    for row in conn.execute(select(t.message_recipients)):
        book.recipients[row.message].append(row)
    book.jobs = {row.id: row for row in conn.execute(select(t.jobs))}
    book.faxes = {row.id: row for row in conn.execute(select(t.faxes))}
    book.attempts = {row.id: row for row in conn.execute(select(t.attempts))}
    book.parts = list(conn.execute(select(t.attempt_faxes)))
    book.receptions = list(conn.execute(select(t.receptions)))
    book.outbox = list(conn.execute(select(t.outbox)))
    book.events = list(conn.execute(select(t.events).order_by(t.events.c.serial)))
    for table in t.metadata.sorted_tables:
        names = set(table.c.keys())
        for prefix in ("", "file_", "body_", "tiff_", "document_"):
            columns = [f"{prefix}{part}" for part in ("key", "sha256", "size")]
            if names.issuperset(columns):
                key, sha256, size = (table.c[name] for name in columns)
                for row in conn.execute(select(key, sha256, size).where(key.is_not(None))):
                    book.objects[row[0]] = (row[1], row[2])
    return book


# ------------------------------------------------------------------------------------------------------ I1 and I7


def _promises(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    faxes: dict[tuple[int | None, str], list[Row[Any]]] = defaultdict(list)
    for fax in book.faxes.values():
        faxes[book.load_of(fax), fax.numbers[0]["e164"]].append(fax)
        if fax.state not in FINAL:
            yield Violation("I1", f"fax {fax.id} of load {book.load_of(fax)} is {fax.state} after the drain")
    known = {message.id for message in book.messages}
    refused = {load_of(message.message_id) for message in book.messages if message.state == "refused"}
    for load in evidence.ledger:
        message = evidence.ledger.acknowledged.get(load.number)
        if message is not None and message not in known:
            yield Violation("I1", f"load {load.number} was acknowledged as {message}, which no row knows")
        for number in load.to:
            found = faxes[load.number, number]
            if message is not None and not found and load.number not in refused:
                yield Violation("I1", f"load {load.number} was acknowledged; there is no fax to {number}")
            if len(found) > 1:
                yield Violation("I7", f"load {load.number} to {number} became {len(found)} faxes")
    final = {f"fax.{state.value}" for state in FINAL}
    ends = Counter(event.entity for event in book.events if event.what in final)
    for fax in book.faxes.values():
        if ends[fax.id] != (1 if fax.state in FINAL else 0):
            yield Violation("I1", f"fax {fax.id} ({fax.state}) has {ends[fax.id]} final events")
    for row in book.messages:
        if row.state == "received":
            yield Violation("I1", f"message {row.id} was never walked")
    open_faxes = Counter(fax.job for fax in book.faxes.values() if fax.state not in FINAL)
    for job in book.jobs.values():
        if job.open != open_faxes[job.id] or (job.finished_at is None) != (job.open > 0):
            yield Violation("I1", f"job {job.id} counts {job.open} open faxes; there are {open_faxes[job.id]}")


# ------------------------------------------------------------------------------------------------------------- I2


def _sightings(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    held: dict[tuple[int, str, int], str] = {}
    for call in sorted(evidence.calls, key=lambda c: c.at):
        for seen in call.pages:
            key = (seen.load, call.number, seen.page)
            first = held.get(key)
            if first is not None and first != call.id and not seen.marked:
                text = f"page {seen.page} of load {seen.load} reached {call.number} unmarked in {call.id}"
                yield Violation("I2", f"{text}, which holds it since {first}")
        for seen in call.pages:
            if seen.held:
                held.setdefault((seen.load, call.number, seen.page), call.id)


def _calls(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    matched = _matched(evidence, book)
    for call in evidence.calls:
        if call.id not in matched:
            yield Violation("I2", f"call {call.id} to {call.number} was not planned")
        if not call.ended:
            yield Violation("I2", f"call {call.id} to {call.number} was left standing")
    for name, count in Counter(matched.values()).items():
        if count > 1:
            yield Violation("I2", f"attempt {name} called {count} times")
    for part in book.parts:
        fax, attempt = book.faxes[part.fax], book.attempts[part.attempt]
        if attempt.done_at is None:
            yield Violation("I1", f"attempt {attempt.id} is open after the drain")
        if fax.finished_at is not None and attempt.planned_at > fax.finished_at:
            yield Violation("I2", f"fax {fax.id} was dialled after it was {fax.state}")


def _matched(evidence: Evidence, book: _Book) -> Mapping[str, str]:
    """Far end's call → attempt."""
    found = {}
    for call in evidence.calls:
        if evidence.matched_by_time:
            earlier = [a for a in book.attempts.values() if a.number == call.number and a.planned_at <= call.at + SKEW]
            same = [max(earlier, key=lambda a: a.planned_at)] if earlier else []
        else:
            same = [a for a in book.attempts.values() if a.call_id == call.call_id]
        if same:
            found[call.id] = same[0].id
    return found


# ------------------------------------------------------------------------------------------------------------- I3


def _doubts(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    told: dict[str, list[SinkMail]] = defaultdict(list)
    for mail in evidence.mails:
        told[mail.job].append(mail)
    for fax in book.faxes.values():
        if not book.jobs[fax.job].report_to:
            continue  # a program's, which asks or is told otherwise (machine_checker.py)
        if fax.state == FaxState.UNKNOWN and not told[fax.job]:
            yield Violation("I3", f"fax {fax.id} is unknown, and its sender was not told")
        # One mail tells that it goes on in doubt, another how it ended.
        if fax.in_doubt_used and len({mail.message_id for mail in told[fax.job]}) < 2:
            yield Violation("I3", f"fax {fax.id} went on in doubt, and its sender was not told at once")


# ------------------------------------------------------------------------------------------------------------- I4


def _inbound(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    pages = {page.sha256: page for page in evidence.confirmed_to_callers}
    kept = {sha256 for fax in evidence.delivered_faxes for sha256 in fax}
    for page in evidence.confirmed_to_callers:
        if page.sha256 not in kept:
            yield Violation("I4", f"page {page.page} of call {page.call} was confirmed and is gone")
    for number, fax in enumerate(evidence.delivered_faxes, 1):
        known = [pages[sha256] for sha256 in fax if sha256 in pages]
        if len({page.call for page in known}) > 1 or [page.page for page in known] != list(range(1, len(known) + 1)):
            yield Violation("I4", f"delivered fax {number} holds {[(page.call, page.page) for page in known]}")
        if len(fax) > len(known) + 1:  # one page may be kept whose MCF was lost with us
            yield Violation("I4", f"delivered fax {number} has {len(fax)} pages; {len(known)} were confirmed")
    for reception in book.receptions:
        if reception.state not in ("delivered", "empty"):
            yield Violation("I4", f"reception {reception.id} is {reception.state} after the drain")
        if reception.state == "empty" and reception.pages:
            yield Violation("I4", f"reception {reception.id} is empty with {reception.pages} pages")


# ------------------------------------------------------------------------------------------------------- I5 and I6


def _sound(url: str) -> Iterator[Violation]:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return
    with closing(sqlite3.connect(str(parsed.database))) as conn:
        for (line,) in conn.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield Violation("I5", str(line))
        for row in conn.execute("PRAGMA foreign_key_check"):
            yield Violation("I5", f"foreign key of {row[0]} row {row[1]}")


def _objects(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    there = set()
    for top in ("spool", "objects"):
        for path in (evidence.data / top).glob("*/*"):
            key = str(path.relative_to(evidence.data))
            there.add(key)
            if key not in book.objects:
                yield Violation("I6", f"{key} has no row")
    for path in (evidence.data / "tmp").glob("*"):
        yield Violation("I6", f"{path.name} was left in tmp")
    for key, (sha256, size) in book.objects.items():
        if key not in there:
            yield Violation("I6", f"{key} has a row and no file")
            continue
        octets = (evidence.data / key).read_bytes()
        if (hashlib.sha256(octets).hexdigest(), len(octets)) != (sha256, size):
            yield Violation("I6", f"{key} is not what its row says")


# ------------------------------------------------------------------------------------------------------------- T


def _claims(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    confirmed: dict[tuple[int, str], set[int]] = defaultdict(set)
    by_call: dict[str, FarCall] = {}
    matched = _matched(evidence, book)
    for call in evidence.calls:
        if call.id in matched:
            by_call[matched[call.id]] = call
        for seen in call.pages:
            if seen.confirmed:
                confirmed[seen.load, call.number].add(seen.page)
    for fax in book.faxes.values():
        load, number = book.load_of(fax), fax.numbers[fax.number_index]["e164"]
        has = confirmed[load, number] if load is not None else set()
        parts = [part for part in book.parts if part.fax == fax.id]
        claimed = fax.pages if fax.state == FaxState.SENT else max((part.confirmed for part in parts), default=0)
        missing = set(range(1, claimed + 1)) - has
        if missing:
            yield Violation("T", f"fax {fax.id} ({fax.state}) claims {claimed} pages; {sorted(missing)} not confirmed")
    for part in book.parts:
        attempt, seen_in = book.attempts[part.attempt], by_call.get(part.attempt)
        if seen_in is None:
            if part.confirmed >= part.first_page:
                yield Violation("T", f"attempt {part.attempt} claims pages; the far end saw no call")
            continue
        if seen_in.pages and attempt.exposed_at is None:
            yield Violation("I2", f"attempt {part.attempt} sent page data that it had not exposed")
        has = {seen.page for seen in seen_in.pages if seen.confirmed}
        claims = set(range(part.first_page, part.confirmed + 1))
        if claims - has:
            yield Violation("T", f"attempt {part.attempt} claims pages {sorted(claims - has)} of no confirmation")
        if len(has - claims) > 1:
            yield Violation(
                "T", f"attempt {part.attempt} has {len(has - claims)} pages in doubt: {sorted(has - claims)}"
            )
        doubt = attempt.cause == "in_doubt" or bool((attempt.outcome or {}).get("doubtful"))
        if has - claims and not doubt:
            yield Violation("T", f"attempt {part.attempt} ({attempt.cause}) does not know of its page in doubt")


def _reports(evidence: Evidence, book: _Book) -> Iterator[Violation]:
    mails: dict[tuple[str, str], dict[str, SinkMail]] = defaultdict(dict)
    for mail in evidence.mails:
        mails[mail.job, mail.to][mail.message_id] = mail
    items = {row.id: row for row in book.outbox}
    for mail in evidence.mails:
        item = mail.message_id.strip("<>").partition("@")[0]
        if item not in items:
            yield Violation("T", f"mail {mail.message_id} stands in no outbox")
    for row in book.outbox:
        if row.state != "done":
            yield Violation("T", f"outbox item {row.id} ({row.kind}) is {row.state} after the drain")
    for job in book.jobs.values():
        if job.finished_at is None:
            continue
        states = {fax.state for fax in book.faxes.values() if fax.job == job.id}
        for address in job.report_to:
            last = f"{item_id(job.id, 'finished', address)}"
            told = [mail for name, mail in mails[job.id, address].items() if last in name]
            if not told:
                yield Violation("T", f"job {job.id} ({', '.join(sorted(states))}) is finished; {address} was not told")
            elif (told[0].result == "delivered") != (states == {FaxState.SENT}):
                yield Violation("T", f"job {job.id} ({', '.join(sorted(states))}): {address} read {told[0].result}")
    for mail in evidence.mails:
        if mail.to not in SENDERS.values():
            yield Violation("T", f"a mail went to {mail.to}")
