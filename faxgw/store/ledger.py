"""Attempts, their marks, and the page ledger (docs/spine.md sections 2, 3 and 5).

Each mark is committed before the next physical step; each checks that the attempt is open and its fence is still
ours. A mark that comes too late changes nothing but the journal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any  # rows and JSON columns

from sqlalchemy import Connection, Row, and_, exists, func, insert, or_, select, update

from faxgw.fax.account import AccountState, from_snapshot
from faxgw.fax.job import Closing, FaxState, InDoubt, Mark, PageState, Wish, close
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity, StoredFile
from faxgw.fax.retry import REDIAL_AFTER_CRASH, Again, Decision, RetryPolicy, Tally, decide
from faxgw.store import directory, reports
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.queue import CALL_TOPIC, fax_row, move
from faxgw.store.unit import notify

MAX_TRACE_FRAMES = 2000
"""T.30 frames kept per attempt; a 500-page fax with ECM has some 1,500."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fax that could be called."""

    fax: str
    job: str
    customer: str
    e164: str
    priority: int
    until: float
    accepted_at: float


def candidates(conn: Connection, *, now: float, limit: int, per_customer: int) -> Sequence[Candidate]:
    """Faxes that may be called now, express first, then oldest first; none whose number has a call.

    Args:
        conn: The unit's connection.
        now: Unix seconds.
        limit: Most rows.
        per_customer: Most rows of one customer, so that a broadcast does not hide the others.
    """
    busy = exists().where(t.attempts.c.number == t.faxes.c.e164, t.attempts.c.done_at.is_(None))
    order = (t.faxes.c.priority.desc(), t.jobs.c.accepted_at, t.faxes.c.position)
    rank = func.row_number().over(partition_by=t.faxes.c.customer, order_by=order).label("rank")
    waiting = (
        select(t.faxes, t.jobs.c.accepted_at, rank)
        .join(t.jobs, t.jobs.c.id == t.faxes.c.job)
        .where(
            t.faxes.c.state.in_([FaxState.READY, FaxState.WAITING]),
            t.faxes.c.until <= now,
            t.faxes.c.earliest <= now,
            or_(t.faxes.c.latest.is_(None), t.faxes.c.latest >= now),
            ~busy,
        )
        .subquery()
    )
    rows = conn.execute(
        select(waiting)
        .where(waiting.c.rank <= per_customer)
        .order_by(waiting.c.priority.desc(), waiting.c.accepted_at, waiting.c.position)
        .limit(limit)
    ).all()
    return [Candidate(r.id, r.job, r.customer, r.e164, r.priority, r.until, r.accepted_at) for r in rows]


def cancelled_calls(conn: Connection) -> Sequence[str]:
    """Open attempts of faxes that are to be cancelled."""
    query = (
        select(t.attempt_faxes.c.attempt)
        .join(t.faxes, t.faxes.c.id == t.attempt_faxes.c.fax)
        .where(t.attempt_faxes.c.open, t.faxes.c.wish == Wish.CANCEL)
    )
    return list(conn.execute(query).scalars())


def next_candidate(conn: Connection) -> float | None:
    """Unix seconds of the earliest `until` among faxes that wait."""
    return conn.execute(
        select(func.min(t.faxes.c.until)).where(t.faxes.c.state.in_([FaxState.READY, FaxState.WAITING]))
    ).scalar()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the composing of an attempt needs to know."""

    fax: str
    job: str
    customer: str
    owner: str
    settings: Mapping[str, Any]
    """The job's settings snapshot."""
    body: StoredFile
    pages: int
    first: int
    """First unconfirmed page at the present number, from 1."""
    mark_from: int
    """First page that bears the mark of a possible duplicate; 0: none."""
    mark_to: int
    number: Mapping[str, str]
    number_index: int


def prepare(conn: Connection, fax: str) -> Prepared | None:
    """Look at a fax that is about to be called; None when it is not ready or waiting any more."""
    row = fax_row(conn, fax)
    if row.state not in (FaxState.READY, FaxState.WAITING):
        return None
    job = conn.execute(select(t.jobs).where(t.jobs.c.id == row.job)).one()
    confirmed = _confirmed(conn, fax, row.number_index)
    doubtful = _doubtful(conn, fax, row.number_index)
    mark_from, mark_to = row.mark_from, row.mark_to
    if doubtful is not None and not mark_from:
        mark_from = mark_to = doubtful
    return Prepared(
        fax=fax,
        job=row.job,
        customer=row.customer,
        owner=job.owner,
        settings=job.settings,
        body=StoredFile(job.body_key, job.body_sha256, job.body_size),
        pages=row.pages,
        first=confirmed + 1,
        mark_from=mark_from,
        mark_to=mark_to,
        number=row.numbers[row.number_index],
        number_index=row.number_index,
    )


def _ledger(conn: Connection, fax: str, index: int, state: PageState) -> list[int]:
    where = (t.page_ledger.c.fax == fax) & (t.page_ledger.c.number_index == index) & (t.page_ledger.c.state == state)
    return list(conn.execute(select(t.page_ledger.c.page).where(where).order_by(t.page_ledger.c.page)).scalars())


def _confirmed(conn: Connection, fax: str, index: int) -> int:
    return len(_ledger(conn, fax, index, PageState.CONFIRMED))


def _doubtful(conn: Connection, fax: str, index: int) -> int | None:
    pages = _ledger(conn, fax, index, PageState.DOUBTFUL)
    return pages[0] if pages else None


def _set_page(conn: Connection, fax: str, index: int, page: int, state: PageState, attempt: str, now: float) -> None:
    where = (t.page_ledger.c.fax == fax) & (t.page_ledger.c.number_index == index) & (t.page_ledger.c.page == page)
    values = {"state": state.value, "attempt": attempt, "at": now}
    if conn.execute(update(t.page_ledger).where(where).values(**values)).rowcount == 0:
        conn.execute(insert(t.page_ledger).values(fax=fax, number_index=index, page=page, **values))


class Then(enum.Enum):
    """What follows when a call is not planned."""

    LATER = "later"
    HOLD = "hold"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Planned:
    """The attempt was committed."""

    attempt: str


@dataclass(frozen=True, slots=True)
class NotPlanned:
    """No call: why not, and what follows."""

    why: str
    then: Then


def plan(
    conn: Connection,
    *,
    attempt: str,
    prepared: Prepared,
    tiff: StoredFile,
    trunk: str,
    channels: int,
    identity: CallIdentity,
    node: str,
    fence: int,
    now: float,
) -> Planned | NotPlanned:
    """Commit `planned`: the node's decision, whatever the dispatcher thought (spine sections 5 and 6)."""
    if conn.execute(select(t.attempts.c.id).where(t.attempts.c.id == attempt)).first() is not None:
        return Planned(attempt)
    row = fax_row(conn, prepared.fax)
    why = _why_not(conn, row, prepared, trunk, channels, node, fence, now)
    if why is not None:
        return why
    number = prepared.number["e164"]
    conn.execute(
        insert(t.attempts).values(
            id=attempt,
            customer=row.customer,
            trunk=trunk,
            number=number,
            call_id=identity.call_id,
            from_tag=identity.from_tag,
            branch=identity.branch,
            cseq=identity.cseq,
            node=node,
            fence=fence,
            mark=Mark.PLANNED.value,
            planned_at=now,
        )
    )
    conn.execute(
        insert(t.attempt_faxes).values(
            attempt=attempt,
            fax=row.id,
            number_index=prepared.number_index,
            first_page=prepared.first,
            last_page=prepared.pages,
            exposed=False,
            confirmed=prepared.first - 1,
            open=True,
            tiff_key=tiff.key,
            tiff_sha256=tiff.sha256,
            tiff_size=tiff.size,
        )
    )
    note(conn, attempt, "attempt.planned", now=now, job=row.job, data={"fax": row.id, "trunk": trunk})
    move(conn, row.id, FaxState.CALLING, now=now, values={"dials": row.dials + 1})
    return Planned(attempt)


def _why_not(
    conn: Connection, row: Row[Any], prepared: Prepared, trunk: str, channels: int, node: str, fence: int, now: float
) -> NotPlanned | None:
    settings = from_snapshot(prepared.settings)
    customer, user = directory.account_states(
        conn, row.customer, conn.execute(select(t.jobs.c.user).where(t.jobs.c.id == row.job)).scalar_one()
    )
    open_calls = conn.execute(
        select(func.count()).select_from(t.attempts).where(t.attempts.c.trunk == trunk, t.attempts.c.done_at.is_(None))
    ).scalar_one()
    on_number = select(t.attempts.c.id).where(
        t.attempts.c.number == prepared.number["e164"], t.attempts.c.done_at.is_(None)
    )
    later, hold, fail = Then.LATER, Then.HOLD, Then.FAIL
    checks = (
        (fence_of(conn, node) == fence, "another incarnation runs", later),
        (row.state in (FaxState.READY, FaxState.WAITING), f"fax is {row.state}", later),
        (row.wish == Wish.NONE, f"wish {row.wish} stands", later),
        (row.until <= now and row.earliest <= now, "not yet", later),
        (row.latest is None or now <= row.latest, "latest time passed", later),
        (row.dials < settings["max_dials"] and row.tries < settings["max_tries"], "ceiling reached", fail),
        (row.number_index == prepared.number_index, "number changed", later),
        (_confirmed(conn, row.id, row.number_index) + 1 == prepared.first, "ledger changed", later),
        (customer is AccountState.ACTIVE and user is AccountState.ACTIVE, "account suspended", hold),
        (open_calls < channels, "trunk full", later),
        (conn.execute(on_number).first() is None, "number has a call", later),
    )
    return next((NotPlanned(why, then) for good, why, then in checks if not good), None)


def fence_of(conn: Connection, node: str) -> int | None:
    """The fence of a node's present incarnation."""
    return conn.execute(select(t.nodes.c.fence).where(t.nodes.c.name == node)).scalar()


def _open(conn: Connection, attempt: str, fence: int, what: str, now: float) -> Row[Any] | None:
    """The attempt when it is open and ours; else a note in the journal that a mark came too late."""
    row: Row[Any] | None = conn.execute(
        select(t.attempts).where(
            t.attempts.c.id == attempt, t.attempts.c.done_at.is_(None), t.attempts.c.fence == fence
        )
    ).first()
    if row is None:
        note(conn, attempt, f"late.{what}", now=now)
    return row


def answered(conn: Connection, attempt: str, *, dialog: Mapping[str, object], fence: int, now: float) -> bool:
    """A 2xx came: the dialog is durable before ACK."""
    row = _open(conn, attempt, fence, "answered", now)
    if row is None:
        return False
    if row.answered_at is None:
        conn.execute(
            update(t.attempts)
            .where(t.attempts.c.id == attempt)
            .values(mark=Mark.ANSWERED.value, answered_at=now, dialog=dict(dialog))
        )
        note(conn, attempt, "attempt.answered", now=now, job=_job_of(conn, attempt))
    return True


def _job_of(conn: Connection, attempt: str) -> str | None:
    return conn.execute(
        select(t.faxes.c.job)
        .join(t.attempt_faxes, t.attempt_faxes.c.fax == t.faxes.c.id)
        .where(t.attempt_faxes.c.attempt == attempt)
    ).scalar()


def exposed(conn: Connection, attempt: str, *, fax: str, page: int, fence: int, now: float) -> bool:
    """Data of `page` may leave after this. A cancel that stands ends the call here."""
    if _open(conn, attempt, fence, "exposed", now) is None:
        return False
    part = conn.execute(
        select(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt, t.attempt_faxes.c.fax == fax)
    ).first()
    row = fax_row(conn, fax)
    if part is None or row.state != FaxState.CALLING or row.wish == Wish.CANCEL or page != part.confirmed + 1:
        note(conn, attempt, "attempt.not_exposed", now=now, job=row.job, data={"fax": fax, "page": page})
        return False
    conn.execute(
        update(t.attempts)
        .where(t.attempts.c.id == attempt, t.attempts.c.exposed_at.is_(None))
        .values(mark=Mark.EXPOSED.value, exposed_at=now)
    )
    conn.execute(
        update(t.attempt_faxes)
        .where(t.attempt_faxes.c.attempt == attempt, t.attempt_faxes.c.fax == fax)
        .values(exposed=True)
    )
    _set_page(conn, fax, part.number_index, page, PageState.EXPOSED, attempt, now)
    note(conn, attempt, "attempt.exposed", now=now, job=row.job, data={"fax": fax, "page": page})
    return True


def confirmed(conn: Connection, attempt: str, *, fax: str, page: int, fence: int, now: float) -> bool:
    """`page` was confirmed; the n-th makes the fax sent, in this very transaction, else page + 1 is exposed."""
    if _open(conn, attempt, fence, "confirmed", now) is None:
        return False
    part = conn.execute(
        select(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt, t.attempt_faxes.c.fax == fax)
    ).first()
    if part is None or not part.exposed or page > part.last_page or page > part.confirmed + 1:
        note(conn, attempt, "late.confirmed", now=now, data={"fax": fax, "page": page})
        return False
    if page <= part.confirmed:
        return True
    row = fax_row(conn, fax)
    _set_page(conn, fax, part.number_index, page, PageState.CONFIRMED, attempt, now)
    conn.execute(
        update(t.attempt_faxes)
        .where(t.attempt_faxes.c.attempt == attempt, t.attempt_faxes.c.fax == fax)
        .values(confirmed=page)
    )
    note(conn, attempt, "attempt.confirmed", now=now, job=row.job, data={"fax": fax, "page": page})
    if page == row.pages and row.state == FaxState.CALLING:
        move(conn, fax, FaxState.SENT, now=now, cause=Cause.OK)
    elif page < row.pages:
        _set_page(conn, fax, part.number_index, page + 1, PageState.EXPOSED, attempt, now)
    return True


Ladder = Sequence[tuple[float, str, str, str]]
"""T.30 frames of a call: seconds since the answer, `>` or `<`, the frame in hexadecimal, the frame in words."""


def done(conn: Connection, attempt: str, *, outcome: Outcome, fence: int, now: float, ladder: Ladder = ()) -> bool:
    """The call is over and its result is known: close the attempt, let the law decide over each fax."""
    row = _open(conn, attempt, fence, "done", now)
    if row is None:
        return False
    _close(conn, row, outcome, known=True, now=now, ladder=ladder)
    return True


def open_strangers(conn: Connection, *, fence: int) -> Sequence[Row[Any]]:
    """Attempts of earlier incarnations that nobody saw end."""
    return conn.execute(select(t.attempts).where(t.attempts.c.done_at.is_(None), t.attempts.c.fence < fence)).all()


def recover(conn: Connection, attempt: str, *, now: float) -> None:
    """Close an attempt of an earlier incarnation by what its marks say (spine section 5)."""
    row = conn.execute(select(t.attempts).where(t.attempts.c.id == attempt, t.attempts.c.done_at.is_(None))).first()
    if row is None:
        return
    outcome = Outcome(
        Cause.LINE_FAULT,
        connected=row.answered_at is not None,
        exposed=row.exposed_at is not None,
        started_at=row.planned_at,
        answered_at=row.answered_at,
        ended_at=now,
        detail="the gateway was interrupted during this call",
    )
    _close(conn, row, outcome, known=False, now=now, ladder=())


def _close(conn: Connection, attempt: Row[Any], outcome: Outcome, *, known: bool, now: float, ladder: Ladder) -> None:
    parts = conn.execute(select(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt.id)).all()
    if parts and all(part.confirmed == part.last_page for part in parts):
        outcome = replace(outcome, cause=Cause.OK)
    stored = asdict(replace(outcome, frames=()))
    stored["cause"] = outcome.cause.value
    frames = [list(frame) for frame in ladder[:MAX_TRACE_FRAMES]]
    unsure = not known and attempt.exposed_at is not None and outcome.cause is not Cause.OK
    conn.execute(
        update(t.attempts)
        .where(t.attempts.c.id == attempt.id)
        .values(
            mark=Mark.DONE.value,
            done_at=now,
            cause=(Cause.IN_DOUBT if unsure else outcome.cause).value,
            outcome=stored,
            trace=frames,
        )
    )
    conn.execute(update(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt.id).values(open=False))
    data = {"cause": outcome.cause.value, "detail": outcome.detail[:400], "known": known}
    note(conn, attempt.id, "attempt.done", now=now, job=_job_of(conn, attempt.id), data=data)
    for part in parts:
        _close_fax(conn, attempt, part, outcome, known=known, now=now)
    notify(conn, CALL_TOPIC)


def _close_fax(
    conn: Connection, attempt: Row[Any], part: Row[Any], outcome: Outcome, *, known: bool, now: float
) -> None:
    row = fax_row(conn, part.fax)
    if row.state != FaxState.CALLING:
        return
    settings = from_snapshot(conn.execute(select(t.jobs.c.settings).where(t.jobs.c.id == row.job)).scalar_one())
    counted = attempt.answered_at is not None and not outcome.resume
    tries = row.tries + (1 if counted else 0)
    _settle_page(conn, part, row.id, known=known, doubtful=outcome.doubtful, now=now)
    decision = _decide(conn, row, part, outcome, known=known, tries=tries, settings=settings, now=now)
    ceilings_left = row.dials < settings["max_dials"] and tries < settings["max_tries"]
    closing = close(
        known=known,
        exposed=part.exposed,
        decision=decision,
        wish=Wish(row.wish),
        in_doubt=InDoubt(settings["in_doubt"]),
        in_doubt_used=row.in_doubt_used,
        ceilings_left=ceilings_left,
        number=part.number_index,
        latest=row.latest,
        now=now,
    )
    _apply(conn, row, attempt, closing, tries, InDoubt(settings["in_doubt"]), now)


def _settle_page(conn: Connection, part: Row[Any], fax: str, *, known: bool, doubtful: bool, now: float) -> None:
    """The page that was exposed and not confirmed: doubtful when it may have arrived, else unsent again."""
    for page in _ledger(conn, fax, part.number_index, PageState.EXPOSED):
        state = PageState.DOUBTFUL if doubtful or not known else PageState.UNSENT
        _set_page(conn, fax, part.number_index, page, state, part.attempt, now)


def _decide(
    conn: Connection,
    row: Row[Any],
    part: Row[Any],
    outcome: Outcome,
    *,
    known: bool,
    tries: int,
    settings: Any,
    now: float,
) -> Decision:
    causes = conn.execute(
        select(t.attempts.c.cause)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(and_(t.attempt_faxes.c.fax == row.id, t.attempt_faxes.c.number_index == part.number_index))
        .order_by(t.attempts.c.planned_at)
    ).scalars()
    policy = RetryPolicy.of(settings)
    decision = decide(
        outcome,
        Tally(row.dials, tries, tuple(Cause(c) for c in causes if c)),
        policy=policy,
        numbers=len(row.numbers),
        number=part.number_index,
        zone=row.numbers[part.number_index].get("zone", "UTC"),
        now=now,
    )
    if not known and isinstance(decision, Again):
        return replace(decision, at=max(decision.at, now + REDIAL_AFTER_CRASH))
    return decision


def _apply(
    conn: Connection, row: Row[Any], attempt: Row[Any], closing: Closing, tries: int, policy: InDoubt, now: float
) -> None:
    values: dict[str, Any] = {"tries": tries}
    if closing.state is FaxState.WAITING and closing.number is not None:
        values |= {"number_index": closing.number, "e164": row.numbers[closing.number]["e164"]}
    if closing.in_doubt:
        first = 1 if policy is InDoubt.MARKED else _confirmed(conn, row.id, row.number_index) + 1
        last = row.pages if policy is InDoubt.MARKED else first
        values |= {"in_doubt_used": True, "mark_from": first, "mark_to": last}
        if policy is InDoubt.MARKED:
            _forget_pages(conn, row.id, row.number_index, attempt.id, now)
    cause = _last_connected(conn, row.id) or closing.cause if closing.state is FaxState.FAILED else closing.cause
    until = closing.until or 0.0
    if closing.in_doubt:
        until = max(until, now + REDIAL_AFTER_CRASH)
    move(conn, row.id, closing.state, now=now, cause=cause, until=until, values=values)
    if closing.in_doubt:
        reports.doubt(conn, row.id, attempt.id, now)


def _last_connected(conn: Connection, fax: str) -> Cause | None:
    """The cause of the last attempt that connected: what a fax fails with (spine section 2)."""
    cause = conn.execute(
        select(t.attempts.c.cause)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(t.attempt_faxes.c.fax == fax, t.attempts.c.answered_at.is_not(None))
        .order_by(t.attempts.c.planned_at.desc())
    ).scalar()
    return Cause(cause) if cause else None


def _forget_pages(conn: Connection, fax: str, index: int, attempt: str, now: float) -> None:
    """Policy `marked`: all pages go again, each with its mark."""
    for page in _ledger(conn, fax, index, PageState.CONFIRMED) + _ledger(conn, fax, index, PageState.DOUBTFUL):
        _set_page(conn, fax, index, page, PageState.UNSENT, attempt, now)


def oldest_callable(conn: Connection, *, now: float) -> Mapping[str, float | None]:
    """By priority, when the oldest fax that could be called now was accepted, Unix seconds."""
    found: dict[str, float | None] = {"normal": None, "express": None}
    rows = conn.execute(
        select(t.faxes.c.priority, func.min(t.jobs.c.accepted_at))
        .join(t.jobs, t.jobs.c.id == t.faxes.c.job)
        .where(t.faxes.c.state.in_([FaxState.READY, FaxState.WAITING]), t.faxes.c.until <= now)
        .group_by(t.faxes.c.priority)
    )
    for row in rows:
        found["express" if row.priority else "normal"] = row[1]
    return found
