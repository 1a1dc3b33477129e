"""Attempts, their marks, and the page ledger (docs/spine.md sections 2, 3 and 5).

Each mark is committed before the next physical step; each checks that the attempt is open and its fence is still the
node's. A mark that comes too late changes nothing but the journal. Attempts are made by `planning`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any  # rows and JSON columns

from sqlalchemy import Connection, Row, func, insert, select, update

from faxgw.fax.account import Effective, from_snapshot
from faxgw.fax.job import Closing, FaxState, InDoubt, Mark, PageState, Wish, close
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import StoredFile
from faxgw.fax.retry import REDIAL_AFTER_CRASH, Again, Decision, RetryPolicy, Stop, Tally, decide
from faxgw.fax.route import TRUNK_FAULTS, just_failed
from faxgw.store import destinations, reports
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.node import voided
from faxgw.store.queue import CALL_TOPIC, HELD_BY_OPERATOR, NUMBER_KILLED, fax_row, move
from faxgw.store.unit import notify

MAX_TRACE_FRAMES = 2000
"""T.30 frames kept per attempt; a 500-page fax with ECM has some 1,500."""


def cancelled_calls(conn: Connection) -> Sequence[str]:
    """Open attempts of faxes that are to be cancelled."""
    query = (
        select(t.attempt_faxes.c.attempt)
        .join(t.faxes, t.faxes.c.id == t.attempt_faxes.c.fax)
        .where(t.attempt_faxes.c.open, t.faxes.c.wish == Wish.CANCEL)
    )
    return list(conn.execute(query).scalars())


def pages_in(conn: Connection, fax: str, index: int, state: PageState) -> list[int]:
    """The pages of a fax that are in a state of the ledger at one of its numbers, in order."""
    where = (t.page_ledger.c.fax == fax) & (t.page_ledger.c.number_index == index) & (t.page_ledger.c.state == state)
    return list(conn.execute(select(t.page_ledger.c.page).where(where).order_by(t.page_ledger.c.page)).scalars())


def confirmed_pages(conn: Connection, fax: str, index: int) -> int:
    """How many pages are confirmed at one number: a call to it starts with the next one."""
    return len(pages_in(conn, fax, index, PageState.CONFIRMED))


def doubted_pages(conn: Connection, fax: str, index: int) -> frozenset[int]:
    """Pages that some call to this number left in doubt: they bear the mark whenever they are sent again."""
    rows = conn.execute(
        select(t.attempt_faxes.c.confirmed, t.attempts.c.cause, t.attempts.c.outcome)
        .join(t.attempts, t.attempts.c.id == t.attempt_faxes.c.attempt)
        .where(
            t.attempt_faxes.c.fax == fax,
            t.attempt_faxes.c.number_index == index,
            t.attempt_faxes.c.exposed,
            t.attempts.c.done_at.is_not(None),
        )
    )
    return frozenset(
        row.confirmed + 1 for row in rows if row.cause == Cause.IN_DOUBT.value or (row.outcome or {}).get("doubtful")
    )


def _set_page(conn: Connection, fax: str, index: int, page: int, state: PageState, attempt: str, now: float) -> None:
    where = (t.page_ledger.c.fax == fax) & (t.page_ledger.c.number_index == index) & (t.page_ledger.c.page == page)
    values = {"state": state.value, "attempt": attempt, "at": now}
    if conn.execute(update(t.page_ledger).where(where).values(**values)).rowcount == 0:
        conn.execute(insert(t.page_ledger).values(fax=fax, number_index=index, page=page, **values))


def fence_of(conn: Connection, node: str) -> int | None:
    """The fence of a node's present incarnation."""
    return conn.execute(select(t.nodes.c.fence).where(t.nodes.c.name == node)).scalar()


def _open(conn: Connection, attempt: str, fence: int, what: str, now: float) -> Row[Any] | None:
    """The attempt when it is open and its fence is still the node's; else a note that a mark came too late."""
    row: Row[Any] | None = conn.execute(
        select(t.attempts)
        .join(t.nodes, t.nodes.c.name == t.attempts.c.node)
        .where(
            t.attempts.c.id == attempt,
            t.attempts.c.done_at.is_(None),
            t.attempts.c.fence == fence,
            t.nodes.c.fence == fence,
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


def recomposed(conn: Connection, attempt: str, *, fax: str, tiff: StoredFile, fence: int, now: float) -> str | None:
    """The pages of an attempt that has exposed nothing are replaced: its far end takes another resolution.

    Returns:
        The key of the file that is not needed any more, empty when that is not known; None: nothing was replaced.
    """
    opened = _open(conn, attempt, fence, "recomposed", now)
    where = (t.attempt_faxes.c.attempt == attempt) & (t.attempt_faxes.c.fax == fax)
    part = conn.execute(select(t.attempt_faxes).where(where)).first()
    if opened is None or part is None or part.exposed:
        return None
    if part.tiff_key == tiff.key:  # the unit is repeated after an uncertain commit
        return ""
    conn.execute(
        update(t.attempt_faxes).where(where).values(tiff_key=tiff.key, tiff_sha256=tiff.sha256, tiff_size=tiff.size)
    )
    note(conn, attempt, "attempt.recomposed", now=now, job=_job_of(conn, attempt), data={"fax": fax})
    return str(part.tiff_key)


def exposed(conn: Connection, attempt: str, *, fax: str, page: int, fence: int, now: float) -> bool:
    """Data of `page` may leave after this. A cancel that stands ends the call here."""
    opened = _open(conn, attempt, fence, "exposed", now)
    if opened is None:
        return False
    part = conn.execute(
        select(t.attempt_faxes).where(t.attempt_faxes.c.attempt == attempt, t.attempt_faxes.c.fax == fax)
    ).first()
    row = fax_row(conn, fax)
    good = opened.answered_at is not None and row.state == FaxState.CALLING and row.wish != Wish.CANCEL
    if part is None or not good or page != part.confirmed + 1:
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


def confirmed(
    conn: Connection,
    attempt: str,
    *,
    fax: str,
    page: int,
    fence: int,
    now: float,
    facts: Mapping[str, object] | None = None,
) -> bool:
    """`page` was confirmed; the n-th makes the fax sent, in this very transaction, else page + 1 is exposed.

    Args:
        conn: The unit's connection.
        attempt: The attempt.
        fax: The fax.
        page: The page, from 1.
        fence: Whose attempt it must be.
        now: Unix seconds.
        facts: What is known of the call (far-end ident, rate …): the report of a sent fax is written here, before the
            call has said goodbye.
    """
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
    seen = {**(facts or {}), "confirmed_at": now}
    conn.execute(update(t.attempts).where(t.attempts.c.id == attempt).values(outcome=seen))
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
"""What happened in a call: seconds since the INVITE; `>` or `<`, or `=` for a note; a T.30 frame in hexadecimal, else
empty; in words."""


def done(conn: Connection, attempt: str, *, outcome: Outcome, fence: int, now: float, ladder: Ladder = ()) -> bool:
    """The call is over: close the attempt, let the law decide over each fax.

    The result is known, unless the call worker died: what it had heard from the far end died with it, so a page that
    was exposed is in doubt (spine section 5).
    """
    row = _open(conn, attempt, fence, "done", now)
    if row is None:
        return False
    _close(conn, row, outcome, known=not outcome.worker_died, now=now, ladder=ladder)
    return True


def open_strangers(conn: Connection, *, fence: int) -> Sequence[Row[Any]]:
    """Attempts that nobody will see end: neither ours nor of another node that lives."""
    theirs = t.attempts.c.fence
    return conn.execute(select(t.attempts).where(t.attempts.c.done_at.is_(None), theirs != fence, voided(theirs))).all()


def recover(conn: Connection, attempt: str, *, now: float) -> None:
    """Close an attempt that nobody saw end by what its marks say (spine section 5)."""
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
    stored = asdict(replace(outcome, frames=(), steps=()))
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
    if outcome.worker_died:
        note(conn, attempt.number, NUMBER_KILLED, now=now, data={"attempt": attempt.id})
    if known:
        destinations.learn(conn, attempt, outcome, now=now)
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
    _settle_pages(conn, part, known=known, doubtful=outcome.doubtful, now=now)
    decision = _decide(conn, row, outcome, tries=tries, settings=settings, now=now)
    if not known and isinstance(decision, Again):
        decision = replace(decision, at=max(decision.at, now + REDIAL_AFTER_CRASH))
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
    if closing.state is FaxState.HELD and isinstance(decision, Again):
        closing = replace(closing, until=decision.at, number=decision.number)
    if closing.in_doubt:
        _go_on_in_doubt(conn, row, attempt.id, InDoubt(settings["in_doubt"]), tries, now)
    else:
        _apply(conn, row, closing, tries, now)
        if closing.state is FaxState.UNKNOWN:
            reports.unknown(conn, row.id, now)


def _settle_pages(conn: Connection, part: Row[Any], *, known: bool, doubtful: bool, now: float) -> None:
    """The page that was exposed and not confirmed: doubtful when it may have arrived, now or earlier, else unsent."""
    earlier = doubted_pages(conn, part.fax, part.number_index)
    for page in pages_in(conn, part.fax, part.number_index, PageState.EXPOSED):
        state = PageState.DOUBTFUL if doubtful or not known or page in earlier else PageState.UNSENT
        _set_page(conn, part.fax, part.number_index, page, state, part.attempt, now)


def _decide(
    conn: Connection, row: Row[Any], outcome: Outcome, *, tries: int, settings: Effective, now: float
) -> Decision:
    """The retry law on an outcome at the fax's present number, the attempt being closed included in the counts."""
    calls = closed_calls(conn, row.id, row.number_index)
    tried = [(trunk, cause) for trunk, cause, _offered in calls]
    offered = calls[-1][2] if calls else ()
    return decide(
        outcome,
        Tally(row.dials, tries, tuple(cause for _trunk, cause in tried)),
        policy=RetryPolicy.of(settings),
        numbers=len(row.numbers),
        number=row.number_index,
        zone=row.numbers[row.number_index].get("zone", "UTC"),
        elsewhere=outcome.cause in TRUNK_FAULTS and bool(just_failed(tried, offered)),
        now=now,
    )


def closed_calls(conn: Connection, fax: str, index: int) -> Sequence[tuple[str, Cause, Sequence[str]]]:
    """Of the calls of a fax to one of its numbers that are over, oldest first: trunk, cause, trunks offered."""
    rows = conn.execute(
        select(t.attempts.c.trunk, t.attempts.c.cause, t.attempts.c.manner)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(
            t.attempt_faxes.c.fax == fax,
            t.attempt_faxes.c.number_index == index,
            t.attempts.c.done_at.is_not(None),
        )
        .order_by(t.attempts.c.planned_at, t.attempts.c.id)
    )
    return [(row.trunk, Cause(row.cause), (row.manner or {}).get("offered", ())) for row in rows]


def exhausted(conn: Connection, row: Row[Any], settings: Effective, now: float) -> bool:
    """True when the law allows no further dial: ceilings used up, or the number is never to be dialled again.

    Asked before each plan, because a fax that was held at the close of a call has not been asked yet.
    """
    last = _last_outcome(conn, row)
    if last is None:
        return bool(row.dials >= settings["max_dials"] or row.tries >= settings["max_tries"])
    return isinstance(_decide(conn, row, last, tries=row.tries, settings=settings, now=now), Stop)


def _last_outcome(conn: Connection, row: Row[Any]) -> Outcome | None:
    """What the last call to the present number came to, as far as the law wants to know."""
    last = conn.execute(
        select(t.attempts.c.cause, t.attempts.c.outcome)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(
            t.attempt_faxes.c.fax == row.id,
            t.attempt_faxes.c.number_index == row.number_index,
            t.attempts.c.done_at.is_not(None),
        )
        .order_by(t.attempts.c.planned_at.desc(), t.attempts.c.id.desc())
        .limit(1)
    ).first()
    if last is None:
        return None
    in_doubt = last.cause == Cause.IN_DOUBT.value  # the policy has decided; the law sees an interruption
    return Outcome(Cause.LINE_FAULT if in_doubt else Cause(last.outcome["cause"]), resume=last.outcome["resume"])


def _apply(conn: Connection, row: Row[Any], closing: Closing, tries: int, now: float) -> None:
    values: dict[str, Any] = {"tries": tries}
    if closing.number is not None:
        values |= {"number_index": closing.number, "e164": row.numbers[closing.number]["e164"]}
    failed, held = closing.state is FaxState.FAILED, closing.state is FaxState.HELD
    cause = last_cause(conn, row.id) or closing.cause if failed else closing.cause
    reason = HELD_BY_OPERATOR if held else ""
    move(conn, row.id, closing.state, now=now, cause=cause, reason=reason, until=closing.until or 0.0, values=values)


def _go_on_in_doubt(conn: Connection, row: Row[Any], attempt: str, policy: InDoubt, tries: int, now: float) -> None:
    """Policies `remaining` and `marked`: once more, with the mark; the sender is told now."""
    index = row.number_index
    first, last = 1, row.pages
    if policy is InDoubt.REMAINING:
        first = last = confirmed_pages(conn, row.id, index) + 1
    else:
        for page in pages_in(conn, row.id, index, PageState.CONFIRMED):
            _set_page(conn, row.id, index, page, PageState.UNSENT, attempt, now)
    values = {"tries": tries, "in_doubt_used": True, "mark_from": first, "mark_to": last}
    until = now + REDIAL_AFTER_CRASH
    move(conn, row.id, FaxState.WAITING, now=now, cause=Cause.IN_DOUBT, until=until, values=values)
    reports.doubt(conn, row.id, attempt, now)


def last_cause(conn: Connection, fax: str) -> Cause | None:
    """What a fax fails with: the cause of the last attempt that connected, else of the last (spine section 2)."""
    query = (
        select(t.attempts.c.cause)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(t.attempt_faxes.c.fax == fax, t.attempts.c.done_at.is_not(None))
        .order_by(t.attempts.c.answered_at.is_(None), t.attempts.c.planned_at.desc(), t.attempts.c.id.desc())
        .limit(1)
    )
    cause = conn.execute(query).scalar()
    return Cause(cause) if cause else None


def oldest_callable(conn: Connection, *, now: float) -> Mapping[str, float | None]:
    """By priority, when the oldest fax that could be called now was accepted, Unix seconds."""
    found: dict[str, float | None] = {"normal": None, "express": None}
    j = t.callable_jobs.c
    rows = conn.execute(select(j.priority, func.min(j.accepted_at)).where(j.due_at <= now).group_by(j.priority))
    for row in rows:
        found["express" if row.priority else "normal"] = row[1]
    return found
