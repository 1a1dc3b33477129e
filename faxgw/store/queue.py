"""Jobs and faxes: made, moved from state to state (docs/spine.md sections 1 and 2); their pages: `store.rendering`.

`move`, and `move_all` for many, are the only places where a fax changes its state; they ask
`fax.job.check_transition`, write the event and, when the last fax of a job becomes final, the job's reports, all in the
caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # a settings snapshot and column values are plain JSON

from sqlalchemy import Connection, Row, and_, bindparam, case, func, insert, not_, or_, select, update

from faxgw.fax.errors import Stale
from faxgw.fax.job import FaxState, MessageState, Wish, check_transition
from faxgw.fax.outcome import Cause
from faxgw.fax.report import NOTHING_LEFT_OUT, LeftOutParts
from faxgw.store import callable_jobs, left_out, reports, staging
from faxgw.store import schema as t
from faxgw.store.journal import Event, note, note_all
from faxgw.store.messages import held_by
from faxgw.store.unit import notify

RENDER_TOPIC = "render"
"""Noted when a job waits for its pages."""
READY_TOPIC = "ready"
"""Noted when a job has its body, and faxes that are to be made ready."""
CALL_TOPIC = "call"
"""Noted when a fax may be ready to be called."""
WISH_TOPIC = "wish"
"""Noted when somebody wishes something of a fax in a call."""
NUMBER_KILLED = "number.killed_worker"
"""Event of a number: a call to it ended a call worker."""
NUMBER_TRUSTED = "number.trusted"
"""Event of a number: an operator lets it be called once more."""
MOVED_AT_ONCE = 500
"""Faxes moved in one statement."""
EXPIRED_AT_ONCE = 25
"""Faxes expired in one unit, which may last 100 ms (spine section 7)."""
HELD_BY_OPERATOR = "held by an operator"
"""Reason of a fax that somebody held."""
HELD_BY_KILLS = "calls to this number ended our call worker several times"
"""Reason of a fax to a number that kills workers (spine section 5)."""
HELD_BY_RESTORE = "restore"
"""Reason of a fax held because a backup was restored: it neither expires nor is reported (spine section 9)."""
HELD_BEFORE_RESTORE = "fax.held_before"
"""Event of a fax that something else held when the backup was made; it says what."""
RESTORE = "restore"
"""Entity of the events of restores."""
RESTORE_BEGUN = "restore.begun"
RESTORE_RELEASED = "restore.released"
ALL_PAGES = 1_000
"""More pages than a fax may have: the end of the marked range of a restored fax."""

CALLABLE = frozenset({FaxState.READY, FaxState.WAITING})
"""States from which a fax may be called."""
OPEN = tuple(state for state in FaxState if not state.final)
"""States that a fax leaves again."""


@dataclass(frozen=True, slots=True)
class NewFax:
    """One recipient of a new job."""

    id: str
    position: int
    numbers: tuple[Mapping[str, str], ...]
    """Each `typed`, `e164`, `sub`, `zone`; the first is dialled first."""
    properties: tuple[tuple[str, str], ...] = ()
    """What the sender says of this recipient, in order."""
    rcpt: int | None = None
    """Its place in the mail's envelope; None: its position, 0: it has none, it stood in a distribution list."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be committed."""

    id: str
    message: str | None
    customer: str
    user: str
    owner: str
    subject: str
    in_reply_to: str
    accepted_at: float
    settings: Mapping[str, Any]
    """`Effective.snapshot()`."""
    report_to: tuple[str, ...] | Mapping[str, Sequence[str]]
    """Who gets status mails; by `success` and `failure` where these differ."""
    documents: tuple[Mapping[str, Any], ...]
    """Each `name`, `kind`, `key`, `sha256`, `size`, as the page process wants them back, in order."""
    faxes: tuple[NewFax, ...]
    latest: float | None
    priority: int
    resend_of: str | None = None
    earliest: float = 0.0
    """No call before, Unix seconds."""
    cover_text: str = ""
    """What the sender wants to say on the cover page."""
    reference: str = ""
    """What its sender calls it."""
    follows: bool = False
    """Its mail has become another job before, in the same unit (merged documents): the lease was looked at there."""
    marked: bool = False
    """Every page bears the mark of a possible duplicate."""
    staged: bool = False
    """Its faxes are staged already (`store.staging`), with those whose numbers are refused."""
    left_out: LeftOutParts = NOTHING_LEFT_OUT
    """What of its mail is not faxed."""


_INSERT_JOB = insert(t.jobs)
_INSERT_FAXES = insert(t.faxes)
_INSERT_DOCUMENTS = insert(t.job_documents)
_JOB_EXISTS = select(t.jobs.c.id).where(t.jobs.c.id == bindparam("job"))
_OF_THESE = (
    select(t.faxes.c.id, t.faxes.c.state)
    .where(t.faxes.c.id.in_(bindparam("these", expanding=True)), t.faxes.c.job.concat("") == bindparam("wanted"))
    .order_by(t.faxes.c.position)
)
"""The states of some faxes. Its job is no condition for an index: both engines would read a broadcast's five thousand
faxes, or all that are in a state, to find the sixty whose ids are given."""


def create(conn: Connection, job: NewJob, *, fence: int | None, now: float, looked: bool = False) -> bool:
    """Commit a job with its faxes; a message becomes walked. False when the message's lease is not ours any more.

    Args:
        conn: The unit's connection.
        job: The job; when it is there already, nothing is done.
        fence: Of the message's lease.
        now: Unix seconds.
        looked: This unit has looked already whether the job is there.
    """
    if not looked and conn.execute(_JOB_EXISTS, {"job": job.id}).first() is not None:
        return True
    if job.message is not None and not job.follows and not held_by(conn, job.message, fence or 0):
        return False
    conn.execute(
        _INSERT_JOB,
        {
            "id": job.id,
            "message": job.message,
            "customer": job.customer,
            "user": job.user,
            "owner": job.owner,
            "subject": job.subject,
            "in_reply_to": job.in_reply_to,
            "accepted_at": job.accepted_at,
            "open": len(job.faxes),
            "settings": dict(job.settings),
            "report_to": job.report_to if isinstance(job.report_to, dict) else list(job.report_to),
            "page_facts": [],
            "cover_text": job.cover_text or None,
            "left_out": left_out.kept(conn, job.left_out, job.resend_of),
            "resend_of": job.resend_of,
            "reference": job.reference,
        },
    )
    note(conn, job.id, "job.accepted", now=now, who=job.owner, job=job.id, data={"faxes": len(job.faxes)})
    refused = _create_faxes(conn, job, now)
    documents = [{"job": job.id, "position": position, **d} for position, d in enumerate(job.documents, 1)]
    if documents:
        conn.execute(_INSERT_DOCUMENTS, documents)
    if job.message is not None and not job.follows:
        conn.execute(
            update(t.messages)
            .where(t.messages.c.id == job.message)
            .values(state=MessageState.WALKED.value, job=job.id, lease_fence=None, lease_until=None)
        )
        for fax in job.faxes:
            place = fax.position if fax.rcpt is None else fax.rcpt
            if place:
                conn.execute(
                    update(t.message_recipients)
                    .where(t.message_recipients.c.message == job.message, t.message_recipients.c.position == place)
                    .values(fax=fax.id)
                )
        note(conn, job.message, "message.walked", now=now, job=job.id)
    if job.message is not None:
        _restrain(conn, job.message, job.faxes, now)
    if refused:
        _count_down(conn, job.id, now, refused)
    notify(conn, RENDER_TOPIC)
    return True


def _create_faxes(conn: Connection, job: NewJob, now: float) -> int:
    """Write the faxes of a new job with their events; how many of them failed at once."""
    shared = {
        "customer": job.customer,
        "priority": job.priority,
        "earliest": job.earliest,
        "latest": job.latest,
        "mark_from": 1 if job.marked else 0,
        "mark_to": ALL_PAGES if job.marked else 0,
    }
    if job.staged:
        return staging.publish(conn, job.id, shared, faxes=len(job.faxes), now=now)
    conn.execute(
        _INSERT_FAXES,
        [
            {
                "id": f.id,
                "job": job.id,
                "position": f.position,
                "state": FaxState.ACCEPTED.value,
                "since": now,
                "numbers": [dict(n) for n in f.numbers],
                "e164": f.numbers[0]["e164"],
                "properties": [list(pair) for pair in f.properties],
                **shared,
            }
            for f in job.faxes
        ],
    )
    note_all(conn, [fax.id for fax in job.faxes], "fax.accepted", now=now, job=job.id)
    return 0


def restored(conn: Connection) -> Event | None:
    """The event of the restore that waits for its release, if there is one (docs/spine.md section 9)."""
    query = select(t.events).where(t.events.c.entity == RESTORE).order_by(t.events.c.serial.desc()).limit(1)
    row = conn.execute(query).first()
    if row is None or row.what != RESTORE_BEGUN:
        return None
    return Event(row.serial, row.at, row.entity, row.what, row.who, row.data)


def _restrain(conn: Connection, message: str, faxes: Sequence[NewFax], now: float) -> None:
    """Faxes of a mail that a restored backup brought: held like the others, and marked after the release."""
    reason = conn.execute(select(t.messages.c.reason).where(t.messages.c.id == message)).scalar()
    if reason != HELD_BY_RESTORE:
        return
    hold = restored(conn) is not None
    for fax in faxes:
        if hold:
            move(conn, fax.id, FaxState.HELD, now=now, reason=HELD_BY_RESTORE)
        else:
            _mark_all(conn, fax.id)


def _mark_all(conn: Connection, fax: str) -> None:
    """Every page bears the mark, and this was the one repetition that may be in doubt."""
    values = {"mark_from": 1, "mark_to": ALL_PAGES, "in_doubt_used": True}
    conn.execute(update(t.faxes).where(t.faxes.c.id == fax).values(**values))


def fax_row(conn: Connection, fax: str) -> Row[Any]:
    """The row of a fax.

    Raises:
        Stale: If there is none.
    """
    row: Row[Any] | None = conn.execute(select(t.faxes).where(t.faxes.c.id == fax)).first()
    if row is None:
        raise Stale(f"no fax {fax}", public="There is no such fax.", temporary=False)
    return row


def move(
    conn: Connection,
    fax: str,
    to: FaxState,
    *,
    now: float,
    who: str = "gateway",
    cause: Cause | None = None,
    reason: str = "",
    until: float | None = None,
    values: Mapping[str, Any] | None = None,
) -> None:
    """Change a fax's state: transition checked, event written, the job finished with its last fax.

    Args:
        conn: The unit's connection.
        fax: The fax.
        to: Its new state.
        now: Unix seconds.
        who: Who did it, for the journal.
        cause: Why; kept on the row.
        reason: Public words, kept on the row.
        until: Not to be dialled before, Unix seconds; None: as it was (a hold does not shorten a pause).
        values: Further columns.

    Raises:
        IllegalTransition: If the table does not hold it; nothing is changed.
        Stale: If there is no such fax.
    """
    row = fax_row(conn, fax)
    old = FaxState(row.state)
    check_transition(old, to)
    changed = _changes(to, now, cause, reason) | {"version": row.version + 1, **(values or {})}
    changed |= {} if until is None else {"until": until}
    done = conn.execute(update(t.faxes).where(t.faxes.c.id == fax, t.faxes.c.version == row.version).values(**changed))
    if done.rowcount != 1:
        raise Stale(f"fax {fax} changed under us")
    data = _said(old, to, cause, reason) | ({"until": until} if until else {})
    note(conn, fax, f"fax.{to.value}", now=now, who=who, job=row.job, data=data)
    if old in CALLABLE or to in CALLABLE:
        callable_jobs.settle(conn, row.job, now=now)
    _follow(conn, row.job, to, now)


def move_all(
    conn: Connection,
    job: str,
    faxes: Sequence[str],
    to: FaxState,
    *,
    now: float,
    who: str = "gateway",
    cause: Cause | None = None,
    reason: str = "",
    values: Mapping[str, Any] | None = None,
) -> None:
    """`move` for at most MOVED_AT_ONCE faxes of one job, in a few statements however many they are.

    Raises:
        IllegalTransition: If the table does not hold it for one of them; nothing is changed.
        Stale: If one of them changes at the same time, or is none of the job's.
    """
    if not faxes:
        return
    if len(faxes) > MOVED_AT_ONCE:
        raise ValueError(f"more than {MOVED_AT_ONCE} faxes")
    by_state: dict[FaxState, list[str]] = {}
    for row in conn.execute(_OF_THESE, {"these": list(set(faxes)), "wanted": job}):
        by_state.setdefault(FaxState(row.state), []).append(row.id)
    for old in by_state:
        check_transition(old, to)
    changed = _changes(to, now, cause, reason) | {"version": t.faxes.c.version + 1, **(values or {})}
    moved = 0
    for old, some in by_state.items():
        now_in = t.faxes.c.id.in_(some) & (t.faxes.c.state.concat("") == old.value)  # as in _OF_THESE
        moved += conn.execute(update(t.faxes).where(now_in).values(**changed)).rowcount
        note_all(conn, some, f"fax.{to.value}", now=now, who=who, job=job, data=_said(old, to, cause, reason))
    if moved != len(set(faxes)):
        raise Stale(f"faxes of {job} changed under us")
    if to in CALLABLE or not CALLABLE.isdisjoint(by_state):
        callable_jobs.settle(conn, job, now=now)
    _follow(conn, job, to, now, moved)


def _changes(to: FaxState, now: float, cause: Cause | None, reason: str) -> dict[str, Any]:
    """Columns that change with a state."""
    changed: dict[str, Any] = {"state": to.value, "since": now, "reason": reason[:400]}
    if cause is not None:
        changed["cause"] = cause.value
    if to.final or to is FaxState.HELD:
        changed["wish"] = Wish.NONE.value
    if to.final:
        changed["finished_at"] = now
    return changed


def _said(old: FaxState, to: FaxState, cause: Cause | None, reason: str) -> dict[str, Any]:
    """What the journal says of a change."""
    data: dict[str, Any] = {"from": old.value, "to": to.value}
    data |= {"cause": cause.value} if cause else {}
    return data | ({"reason": reason[:400]} if reason else {})


def _follow(conn: Connection, job: str, to: FaxState, now: float, faxes: int = 1) -> None:
    """What follows from a change: the job is finished with its last fax, or somebody is woken."""
    if to.final:
        _count_down(conn, job, now, faxes)
    elif to in (FaxState.READY, FaxState.WAITING):
        notify(conn, CALL_TOPIC)
    elif to is FaxState.ACCEPTED:
        has_body = (t.jobs.c.id == job) & t.jobs.c.body_key.is_not(None)
        if conn.execute(update(t.jobs).where(has_body).values(readying=True)).rowcount:
            notify(conn, READY_TOPIC)
        notify(conn, RENDER_TOPIC)


def _count_down(conn: Connection, job: str, now: float, faxes: int) -> None:
    """Faxes of a job are final; the one that brings `open` to 0 writes the reports."""
    conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(open=t.jobs.c.open - faxes))
    if conn.execute(select(t.jobs.c.open).where(t.jobs.c.id == job)).scalar_one() == 0:
        conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(finished_at=now))
        note(conn, job, "job.finished", now=now, job=job)
        reports.finished(conn, job, now)


# ------------------------------------------------------------------------------------------------------- operator


def wish(conn: Connection, fax: str, what: Wish, *, who: str, now: float) -> FaxState:
    """Cancel or hold a fax: at once when no call is running, else as a wish that the close of the call obeys.

    Returns:
        The state the fax is in now.

    Raises:
        IllegalTransition: If the fax is final already.
        Stale: If there is no such fax.
    """
    row = fax_row(conn, fax)
    state = FaxState(row.state)
    if state is FaxState.CALLING:
        _wish_in_call(conn, row, what, who, now)
        return state
    if what is Wish.CANCEL:
        move(conn, fax, FaxState.CANCELLED, now=now, who=who, cause=Cause.CANCELLED)
        return FaxState.CANCELLED
    move(conn, fax, FaxState.HELD, now=now, who=who, reason=HELD_BY_OPERATOR)
    return FaxState.HELD


def _wish_in_call(conn: Connection, row: Row[Any], what: Wish, who: str, now: float) -> None:
    """Cancel outweighs hold, whichever came first (spine section 2)."""
    if row.wish == Wish.CANCEL:
        return
    conn.execute(update(t.faxes).where(t.faxes.c.id == row.id).values(wish=what.value, wish_by=who[:64]))
    note(conn, row.id, f"fax.wish.{what.value}", now=now, who=who, job=row.job)
    notify(conn, WISH_TOPIC)


def release(conn: Connection, fax: str, *, who: str, now: float) -> FaxState:
    """Let a held fax go on, not before its pause is over; take back a hold that waits for the end of a call.

    Returns:
        The state the fax is in now.
    """
    row = fax_row(conn, fax)
    if row.state == FaxState.CALLING and row.wish == Wish.HOLD:
        conn.execute(update(t.faxes).where(t.faxes.c.id == fax).values(wish=Wish.NONE.value, wish_by=""))
        note(conn, fax, "fax.wish.withdrawn", now=now, who=who, job=row.job)
        return FaxState.CALLING
    if row.reason == HELD_BY_RESTORE:
        return _release_restored(conn, row, who, now)
    if row.reason == HELD_BY_KILLS:
        note(conn, row.e164, NUMBER_TRUSTED, now=now, who=who, job=row.job)
    to = FaxState.READY if row.pages else FaxState.ACCEPTED
    move(conn, fax, to, now=now, who=who)
    return to


def _release_restored(conn: Connection, row: Row[Any], who: str, now: float) -> FaxState:
    """It goes on marked, for it may have been sent after the backup; what held it before holds it again."""
    if row.wish == Wish.CANCEL:
        move(conn, row.id, FaxState.CANCELLED, now=now, who=who, cause=Cause.CANCELLED)
        return FaxState.CANCELLED
    _mark_all(conn, row.id)
    before = (
        select(t.events.c.data)
        .where(t.events.c.entity == row.id, t.events.c.what == HELD_BEFORE_RESTORE)
        .order_by(t.events.c.serial.desc())
        .limit(1)
    )
    held = conn.execute(before).scalar()
    if held is not None:
        conn.execute(update(t.faxes).where(t.faxes.c.id == row.id).values(reason=held["was"]))
        note(conn, row.id, "fax.restore_released", now=now, who=who, job=row.job, data=held)
        return FaxState.HELD
    to = FaxState.READY if row.pages else FaxState.ACCEPTED
    move(conn, row.id, to, now=now, who=who)
    return to


def expire(conn: Connection, *, now: float, limit: int = EXPIRED_AT_ONCE) -> int:
    """Faxes whose latest time has passed expire; returns how many. Calls in progress are left to their close."""
    waits = and_(t.faxes.c.state == FaxState.HELD, t.faxes.c.reason == HELD_BY_RESTORE)
    may = and_(t.faxes.c.state != FaxState.CALLING, not_(waits))  # no equality: the index of times is to be used
    rows = conn.execute(
        select(t.faxes.c.id, t.faxes.c.cause).where(t.UNFINISHED, t.faxes.c.latest < now, may).limit(limit)
    ).all()
    for row in rows:
        move(conn, row.id, FaxState.EXPIRED, now=now, cause=Cause(row.cause) if row.cause else Cause.EXPIRED)
    return len(rows)


def overview(conn: Connection, *, limit: int, final: bool) -> Sequence[Mapping[str, Any]]:
    """Faxes with what an operator wants to see, those not final first, newest first."""
    where = t.faxes.c.state.in_(OPEN) if not final else t.faxes.c.id.is_not(None)
    rows = conn.execute(
        select(t.faxes, t.jobs.c.owner, t.jobs.c.subject, t.jobs.c.accepted_at)
        .join(t.jobs, t.jobs.c.id == t.faxes.c.job)
        .where(where)
        .order_by(t.faxes.c.finished_at.is_not(None), t.jobs.c.accepted_at.desc(), t.faxes.c.position)
        .limit(limit)
    ).mappings()
    return [dict(row) for row in rows]


def count_by_state(conn: Connection) -> Mapping[str, int]:
    """Number of faxes in each state that is not final."""
    rows = conn.execute(
        select(t.faxes.c.state, func.count()).where(t.faxes.c.state.in_(OPEN)).group_by(t.faxes.c.state)
    )
    return {row.state: row[1] for row in rows}


def oldest_open(conn: Connection) -> float | None:
    """When the oldest fax that is not final was accepted, Unix seconds."""
    query = select(func.min(t.jobs.c.accepted_at)).join(t.faxes, t.faxes.c.job == t.jobs.c.id)
    return conn.execute(query.where(t.faxes.c.state.in_(OPEN))).scalar()


def move_times(conn: Connection, *, jump: str, by: float, now: float) -> None:
    """The clock has jumped: what waits for a time goes on waiting as long as before (spine section 9).

    Args:
        conn: The unit's connection.
        jump: Id of this jump: run again, the unit finds it and is done.
        by: Seconds that the clock jumped, negative for back.
        now: Unix seconds after the jump.
    """
    if conn.execute(select(t.events.c.serial).where(t.events.c.entity == jump)).first() is not None:
        return
    faxes, items, mails, jobs = t.faxes.c, t.outbox.c, t.messages.c, t.jobs.c
    conn.execute(
        update(t.faxes)
        .where(faxes.state == FaxState.WAITING, faxes.until > 0)
        .values(until=case((faxes.until + by > 0, faxes.until + by), else_=0.0))
    )
    conn.execute(update(t.outbox).where(items.state == "due").values(due_at=items.due_at + by))
    conn.execute(
        update(t.messages)
        .where(mails.state == MessageState.RECEIVED, mails.not_before > 0)
        .values(not_before=mails.not_before + by)
    )
    conn.execute(
        update(t.jobs)
        .where(or_(jobs.body_key.is_(None), jobs.readying), jobs.not_before > 0)
        .values(not_before=jobs.not_before + by)
    )
    callable_jobs.shift(conn, by)
    note(conn, jump, "clock.jumped", now=now, data={"seconds": round(by)})
    notify(conn, CALL_TOPIC)
