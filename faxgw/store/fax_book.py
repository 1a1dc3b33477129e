"""Faxes of both directions as one list, for those who may see them (docs/api.md).

Who asks is a customer as a whole, or one of its users. A user sees the faxes that it sent itself. Received faxes belong
to numbers: a user sees those of the numbers that have its profile, or like itself none. What may not be seen is not
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import ColumnElement, Connection, Select, func, select

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import StoredFile
from faxgw.fax.reception import PageEnd, ReceptionState
from faxgw.fax.report import NOTHING_LEFT_OUT, AttemptLine, LeftOutParts
from faxgw.store import left_out
from faxgw.store import schema as t
from faxgw.store.reports import attempt_lines_of, page_counts_of

RECEIVED = "rcv_"
"""How ids of received faxes begin."""
OUT_STATES = frozenset(state.value for state in FaxState)
IN_STATES = frozenset(state.value for state in ReceptionState)


@dataclass(frozen=True, slots=True)
class View:
    """What somebody may see of a customer."""

    user: str = ""
    """User id; empty: the customer as a whole."""
    sent: bool = True
    """Faxes that are sent."""
    received: bool = True
    """Faxes that are received."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters; what is None or empty lets everything through."""

    direction: str = ""
    """`out` or `in`."""
    states: frozenset[str] = frozenset()
    number: str = ""
    """The far end's number, E.164 or as it was given."""
    own_number: str = ""
    """Of ours: shown as caller, or dialled."""
    since: float | None = None
    until: float | None = None
    """Accepted, or called, before this time, Unix seconds."""
    reference: str = ""
    cost_centre: str = ""
    user: str = ""
    """User id."""
    job: str = ""


@dataclass(frozen=True, slots=True)
class BookedFax:
    """A fax of either direction. Times are Unix seconds."""

    id: str
    state: FaxState | ReceptionState
    number: str
    """Of the far end; empty when a caller withheld it."""
    number_typed: str
    own_number: str
    created_at: float
    since: float
    finished_at: float | None
    pages: int
    cause: Cause | None
    reason: str
    ident: str = ""
    """What the far machine calls itself."""
    job: str = ""
    position: int = 0
    user: str = ""
    subject: str = ""
    reference: str = ""
    cost_centre: str = ""
    resend_of: str = ""
    priority: str = "normal"
    properties: tuple[tuple[str, str], ...] = ()
    dials: int = 0
    confirmed: int = 0
    """Pages confirmed at one number; of a received fax those that it confirmed."""
    doubtful: int | None = None
    until: float | None = None
    """Not called before."""
    latest: float | None = None
    complete: bool = True
    """RECEIVED: the last page ended cleanly."""
    caller_name: str = ""
    acknowledged_at: float | None = None
    acknowledged_by: str = ""
    left_out: LeftOutParts = NOTHING_LEFT_OUT
    """What of the mail that was sent is not faxed."""

    @property
    def received(self) -> bool:
        """Whether it is one that was received."""
        return isinstance(self.state, ReceptionState)

    @property
    def final(self) -> bool:
        """Whether its state will not change any more."""
        if isinstance(self.state, FaxState):
            return self.state.final
        return self.state in (ReceptionState.EMPTY, ReceptionState.DELIVERED, ReceptionState.RETAINED)


@dataclass(frozen=True, slots=True)
class JobSum:
    """A job, summed up."""

    id: str
    user: str
    subject: str
    reference: str
    resend_of: str
    accepted_at: float
    finished_at: float | None
    states: Mapping[str, int]
    """State → number of faxes."""
    left_out: LeftOutParts = NOTHING_LEFT_OUT
    """What of the mail that it was is not faxed."""


# -------------------------------------------------------------------------------------------------------- looking


def listed(
    conn: Connection, customer: str, view: View, wanted: Wanted, *, after: tuple[float, str] | None, limit: int
) -> list[BookedFax]:
    """Faxes, newest first.

    Args:
        conn: The unit's connection.
        customer: Whose.
        view: What may be seen.
        wanted: What of it is wanted.
        after: Time and id of the last one told before; None: from the newest.
        limit: At most so many.
    """
    found: list[BookedFax] = []
    if view.sent and wanted.direction != "in" and _some(wanted.states, OUT_STATES):
        found += _sent(conn, _chosen(customer, view, wanted, after).limit(limit))
    only_sent = wanted.reference or wanted.cost_centre or wanted.user or wanted.job
    if view.received and wanted.direction != "out" and not only_sent and _some(wanted.states, IN_STATES):
        found += _received(conn, _in(customer, view, wanted, after).limit(limit))
    return sorted(found, key=lambda fax: (fax.created_at, fax.id), reverse=True)[:limit]


def find(conn: Connection, customer: str, view: View, fax: str) -> BookedFax | None:
    """One fax; None when there is none, or none to be seen."""
    nothing = Wanted()
    if fax.startswith(RECEIVED):
        query = _in(customer, view, nothing, None).where(t.receptions.c.id == fax)
        found = _received(conn, query) if view.received else []
    else:
        chosen = _chosen(customer, view, nothing, None).where(t.faxes.c.id == fax)
        found = _sent(conn, chosen) if view.sent else []
    return found[0] if found else None


def find_job(conn: Connection, customer: str, view: View, job: str) -> JobSum | None:
    """One job; None when there is none, or none to be seen."""
    query = select(t.jobs).where(t.jobs.c.id == job, t.jobs.c.customer == customer)
    if view.user:
        query = query.where(t.jobs.c.user == view.user)
    row = conn.execute(query).first() if view.sent else None
    if row is None:
        return None
    counted = select(t.faxes.c.state, func.count()).where(t.faxes.c.job == job).group_by(t.faxes.c.state)
    states = {row[0]: row[1] for row in conn.execute(counted)}
    return JobSum(
        row.id,
        row.user,
        row.subject,
        row.reference,
        row.resend_of or "",
        row.accepted_at,
        row.finished_at,
        states,
        left_out.read(row.left_out),
    )


def first_faxes(conn: Connection, job: str, *, limit: int) -> tuple[int, list[Any]]:
    """How many faxes a job has, and the first of them: id, position, numbers, e164, reason."""
    number = conn.execute(select(func.count()).where(t.faxes.c.job == job)).scalar_one()
    c = t.faxes.c
    query = select(c.id, c.position, c.numbers, c.e164, c.reason).where(c.job == job).order_by(c.position).limit(limit)
    return number, list(conn.execute(query).all())


def people(conn: Connection, job: str, states: Sequence[str]) -> list[Any]:
    """Of the faxes of a job that are in these states, in order: state, numbers, properties."""
    c = t.faxes.c
    query = select(c.state, c.numbers, c.properties).where(c.job == job, c.state.in_(states)).order_by(c.position)
    return list(conn.execute(query).all())


def documents(conn: Connection, job: str) -> list[Any]:
    """The documents of a job as they were handed in, in order."""
    query = select(t.job_documents).where(t.job_documents.c.job == job).order_by(t.job_documents.c.position)
    return list(conn.execute(query).all())


def pending_documents(conn: Connection, job: str) -> int:
    """Documents of a job that are still to be fetched."""
    where = (t.job_references.c.job == job, t.job_references.c.pending)
    return conn.execute(select(func.count()).select_from(t.job_references).where(*where)).scalar_one()


def numbers_typed(conn: Connection, fax: str) -> tuple[str, ...]:
    """The numbers of a fax as they were given, in order."""
    return given(conn.execute(select(t.faxes.c.numbers).where(t.faxes.c.id == fax)).scalar_one())


def given(numbers: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """The numbers of a fax as they were given; a first one that cannot be dialled and the one dialled instead of it."""
    return tuple(number[key] for number in numbers for key in ("typed", "instead") if key in number)


def job_row(conn: Connection, job: str) -> Any:
    """The row of a job that is known to be there."""
    return conn.execute(select(t.jobs).where(t.jobs.c.id == job)).one()


def attempts(conn: Connection, fax: str) -> list[Any]:
    """The calls of a fax, oldest first, those in progress too."""
    parts = t.attempt_faxes.c
    query = (
        select(t.attempts, parts.first_page, parts.last_page, parts.confirmed)
        .join(t.attempt_faxes, parts.attempt == t.attempts.c.id)
        .where(parts.fax == fax)
        .order_by(t.attempts.c.planned_at, t.attempts.c.id)
    )
    return list(conn.execute(query).all())


def composed_files(conn: Connection, fax: str) -> list[tuple[StoredFile, int, int]]:
    """The composed files of a fax's calls, newest first: file, first page, last page."""
    parts = t.attempt_faxes.c
    query = (
        select(parts.tiff_key, parts.tiff_sha256, parts.tiff_size, parts.first_page, parts.last_page)
        .join(t.attempts, t.attempts.c.id == parts.attempt)
        .where(parts.fax == fax, parts.tiff_key != "")
        .order_by(t.attempts.c.planned_at.desc())
    )
    return [
        (StoredFile(row.tiff_key, row.tiff_sha256, row.tiff_size), row.first_page, row.last_page)
        for row in conn.execute(query)
    ]


def received_pages(conn: Connection, reception: str) -> list[Any]:
    """The pages of a received fax, in order."""
    pages = t.reception_pages
    query = select(pages).where(pages.c.reception == reception, pages.c.key != "")
    return list(conn.execute(query.order_by(pages.c.page)).all())


def reception(conn: Connection, ident: str) -> Any:
    """The row of a received fax that is known to be there."""
    return conn.execute(select(t.receptions).where(t.receptions.c.id == ident)).one()


# -------------------------------------------------------------------------------------------------------- sent


def _some(wanted: frozenset[str], known: frozenset[str]) -> bool:
    return not wanted or bool(wanted & known)


def _setting(key: str) -> ColumnElement[str]:
    value: ColumnElement[str] = t.jobs.c.settings[key]["value"].as_string()
    return value


def _chosen(customer: str, view: View, wanted: Wanted, after: tuple[float, str] | None) -> Select[Any]:
    """The ids of the faxes wanted, newest first."""
    faxes, jobs = t.faxes.c, t.jobs.c
    query = (
        select(faxes.id)
        .join(t.jobs, jobs.id == faxes.job)
        .where(jobs.customer == customer)
        .order_by(jobs.accepted_at.desc(), faxes.id.desc())
    )
    for user in filter(None, (view.user, wanted.user)):
        query = query.where(jobs.user == user)
    if wanted.states:
        query = query.where(faxes.state.in_(sorted(wanted.states & OUT_STATES)))
    if wanted.number:
        typed = faxes.numbers[0]["typed"].as_string()
        query = query.where((faxes.e164 == wanted.number) | (typed == wanted.number))
    if wanted.own_number:
        query = query.where(_setting("clip") == wanted.own_number)
    if wanted.job:
        query = query.where(faxes.job == wanted.job)
    if wanted.reference:
        query = query.where(jobs.reference == wanted.reference)
    if wanted.cost_centre:
        query = query.where(_setting("billing_code") == wanted.cost_centre)
    return _between(query, jobs.accepted_at, faxes.id, wanted, after)


def _between(
    query: Select[Any],
    at: ColumnElement[float],
    ident: ColumnElement[str],
    wanted: Wanted,
    after: tuple[float, str] | None,
) -> Select[Any]:
    if wanted.since is not None:
        query = query.where(at >= wanted.since)
    if wanted.until is not None:
        query = query.where(at < wanted.until)
    if after is not None:
        query = query.where(at <= after[0], (at < after[0]) | (ident < after[1]))
    return query


def _out(chosen: Select[Any]) -> Select[Any]:
    """What is told of the faxes chosen.

    Their settings are looked into when it is known which they are: PostgreSQL would do so for all that it sorts, and
    twenty thousand faxes of four broadcasts took it two seconds.
    """
    faxes, jobs, ids = t.faxes.c, t.jobs.c, chosen.subquery()
    return (
        select(
            t.faxes,
            jobs.accepted_at,
            jobs.user,
            jobs.subject,
            jobs.reference,
            jobs.resend_of,
            jobs.left_out,
            _setting("billing_code").label("cost_centre"),
            _setting("clip").label("clip"),
            _setting("priority").label("class"),
        )
        .join(ids, ids.c.id == faxes.id)
        .join(t.jobs, jobs.id == faxes.job)
        .order_by(jobs.accepted_at.desc(), faxes.id.desc())
    )


def _sent(conn: Connection, chosen: Select[Any]) -> list[BookedFax]:
    rows = conn.execute(_out(chosen)).all()
    dialled = [row.id for row in rows if row.dials]
    counts = page_counts_of(conn, dialled) if dialled else {}
    lines = attempt_lines_of(conn, dialled) if dialled else {}
    return [_sent_fax(row, counts.get(row.id, (0, None)), lines.get(row.id, ())) for row in rows]


def _sent_fax(row: Any, counts: tuple[int, int | None], lines: Sequence[AttemptLine]) -> BookedFax:
    state = FaxState(row.state)
    sent = state is FaxState.SENT
    heard = [line.remote_ident for line in lines if line.remote_ident]
    return BookedFax(
        id=row.id,
        state=state,
        number=row.numbers[row.number_index]["e164"],
        number_typed=row.numbers[0]["typed"],
        own_number=row.clip or "",
        created_at=row.accepted_at,
        since=row.since,
        finished_at=row.finished_at,
        pages=row.pages,
        cause=Cause.OK if sent else Cause(row.cause) if row.cause else None,
        reason=row.reason if state in (FaxState.FAILED, FaxState.HELD) else "",
        ident=heard[-1] if heard else "",
        job=row.job,
        position=row.position,
        user=row.user,
        subject=row.subject,
        reference=row.reference,
        cost_centre=row.cost_centre or "",
        resend_of=row.resend_of or "",
        priority=row[-1] or "normal",
        properties=tuple((key, value) for key, value in row.properties or ()),
        dials=row.dials,
        confirmed=row.pages if sent else counts[0],
        doubtful=None if sent else counts[1],
        until=(max(row.until, row.earliest) or None) if not state.final else None,
        latest=row.latest,
        left_out=left_out.read(row.left_out),
    )


# ---------------------------------------------------------------------------------------------------- received


def numbers_seen(customer: str, user: str) -> Select[tuple[str]]:
    """The numbers whose faxes a user sees: those of its profile, or like itself without one."""
    profile = select(func.coalesce(t.users.c.profile, "")).where(t.users.c.id == user).scalar_subquery()
    return select(t.numbers.c.e164).where(
        t.numbers.c.customer == customer, func.coalesce(t.numbers.c.profile, "") == profile
    )


def _in(customer: str, view: View, wanted: Wanted, after: tuple[float, str] | None) -> Select[Any]:
    c = t.receptions.c
    columns = [column for column in c if column.name not in ("settings", "trace", "thumbnail", "dialog", "outcome")]
    query = select(*columns).where(c.customer == customer).order_by(c.started_at.desc(), c.id.desc())
    if view.user:
        query = query.where(c.entry.in_(numbers_seen(customer, view.user)))
    if wanted.states:
        query = query.where(c.state.in_(sorted(wanted.states & IN_STATES)))
    if wanted.number:
        query = query.where(c.caller == wanted.number)
    if wanted.own_number:
        query = query.where(c.number == wanted.own_number)
    return _between(query, c.started_at, c.id, wanted, after)


def _received(conn: Connection, query: Select[Any]) -> list[BookedFax]:
    rows = conn.execute(query).all()
    pages = t.reception_pages.c
    counted = select(pages.reception, func.count()).where(
        pages.reception.in_([row.id for row in rows]), pages.confirmed
    )
    confirmed = {row[0]: row[1] for row in conn.execute(counted.group_by(pages.reception))}
    return [_received_fax(row, confirmed.get(row.id, 0)) for row in rows]


def _received_fax(row: Any, confirmed: int) -> BookedFax:
    return BookedFax(
        id=row.id,
        state=ReceptionState(row.state),
        number=row.caller,
        number_typed=row.caller,
        own_number=row.number,
        created_at=row.started_at,
        since=row.since,
        finished_at=row.finished_at,
        pages=row.pages,
        cause=Cause(row.cause) if row.cause else None,
        reason="",
        ident=row.ident,
        confirmed=confirmed,
        complete=row.page_end in (PageEnd.EOP.value, PageEnd.EOM.value),
        caller_name=row.display,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
    )
