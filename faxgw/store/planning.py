"""The transaction that plans a call (docs/spine.md section 5).

What the dispatcher thinks (`store.candidates`) is a proposal; `plan` decides: fence, state, wishes, ceilings, account,
trunk and number are checked in the very transaction that writes `planned`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any  # rows and JSON columns

from sqlalchemy import Connection, Row, func, insert, select

from faxgw.fax.account import AccountState, from_snapshot
from faxgw.fax.destination import CallRecord, measures, rests_until
from faxgw.fax.header import PERSONAL
from faxgw.fax.job import FaxState, Mark, Wish
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import CallIdentity, StoredFile
from faxgw.store import destinations, directory, rendering
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.ledger import closed_calls, confirmed_pages, doubted_pages, exhausted, fence_of, last_cause
from faxgw.store.queue import HELD_BY_KILLS, NUMBER_KILLED, NUMBER_TRUSTED, fax_row, move
from faxgw.store.renditions import Rendition

HELD_AFTER = 3
"""Call workers that a number has ended before faxes to it are held: it ended its own worker too (spine section 5)."""

NO_RESOLUTION = 11
"""T.30 completion code: the far end does not take the document's resolution."""


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
    marked: tuple[int, ...]
    """Pages that bear the mark of a possible duplicate when they are sent again."""
    number: Mapping[str, str]
    number_index: int
    kills: int
    """Call workers that this number has ended."""
    coarse: bool
    """The far end took no fine resolution: compose at standard (T.30 completion code 11 of an earlier call)."""
    calls: tuple[CallRecord, ...] = ()
    """What was learned of the number."""
    cover: Rendition | None = None
    """The pages before the body; None: the fax has none."""
    tried: tuple[tuple[str, Cause], ...] = ()
    """Trunk and cause of the fax's calls to the number, oldest first."""
    personal: str = ""
    """The recipient's personal text, for the header line."""


def prepare(conn: Connection, fax: str) -> Prepared | None:
    """Look at a fax that is about to be called; None when it is not ready or waiting any more."""
    row = fax_row(conn, fax)
    if row.state not in (FaxState.READY, FaxState.WAITING):
        return None
    return prepared(conn, row, conn.execute(select(t.jobs).where(t.jobs.c.id == row.job)).one())


def prepared(conn: Connection, row: Row[Any], job: Row[Any]) -> Prepared:
    """What composing needs to know of a fax that has its pages, by its row and its job's."""
    fax = row.id
    first = confirmed_pages(conn, fax, row.number_index) + 1
    marked = set(doubted_pages(conn, fax, row.number_index))
    marked |= set(range(row.mark_from, row.mark_to + 1)) if row.mark_from else set()
    return Prepared(
        fax=fax,
        job=row.job,
        customer=row.customer,
        owner=job.owner,
        settings=job.settings,
        body=StoredFile(job.body_key, job.body_sha256, job.body_size),
        pages=row.pages,
        first=first,
        marked=tuple(sorted(page for page in marked if first <= page <= row.pages)),
        number=row.numbers[row.number_index],
        number_index=row.number_index,
        kills=kills_of(conn, row.e164)[0],
        coarse=_took_no_fine(conn, fax, row.number_index),
        calls=destinations.calls_to(conn, row.e164),
        cover=rendering.cover_of(conn, row.job, fax) if row.pages != job.pages else None,
        tried=tuple((trunk, cause) for trunk, cause, _ in closed_calls(conn, fax, row.number_index)),
        personal=dict(row.properties or ()).get(PERSONAL, ""),
    )


def _took_no_fine(conn: Connection, fax: str, index: int) -> bool:
    """Whether an earlier call of this fax to this number ended because fine resolution is not taken there."""
    query = (
        select(t.attempts.c.outcome)
        .join(t.attempt_faxes, t.attempt_faxes.c.attempt == t.attempts.c.id)
        .where(t.attempt_faxes.c.fax == fax, t.attempt_faxes.c.number_index == index, t.attempts.c.done_at.is_not(None))
    )
    return any((outcome or {}).get("t30_code") == NO_RESOLUTION for outcome in conn.execute(query).scalars())


def busy_trunks(conn: Connection) -> Mapping[str, int]:
    """Open attempts by trunk."""
    query = select(t.attempts.c.trunk, func.count()).where(t.attempts.c.done_at.is_(None)).group_by(t.attempts.c.trunk)
    return {row.trunk: row[1] for row in conn.execute(query)}


def kills_of(conn: Connection, number: str) -> tuple[int, bool]:
    """(call workers that a number has ended, an operator has let it be called again since the last one)."""
    query = (
        select(t.events.c.what)
        .where(t.events.c.entity == number, t.events.c.what.in_([NUMBER_KILLED, NUMBER_TRUSTED]))
        .order_by(t.events.c.serial)
    )
    found = list(conn.execute(query).scalars())
    return found.count(NUMBER_KILLED), bool(found) and found[-1] == NUMBER_TRUSTED


class Then(enum.Enum):
    """What follows when a call is not planned."""

    LATER = "later"
    """Look again; the row says everything."""
    WAIT = "wait"
    """The fax waits a little, with the reason."""
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
    """For the operator; kept with a fax that waits or is held."""
    then: Then
    cause: Cause | None = None
    """FAIL: what the fax fails with; None: what its calls came to."""
    public: str = ""
    """FAIL: further words for the sender."""


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
    manner: Mapping[str, Any] | None = None,
) -> Planned | NotPlanned:
    """Commit `planned`: the node's decision, whatever the dispatcher thought (spine sections 5 and 6).

    `manner` says how the call is to be made (`fax.destination.Manner`), and which trunks were `offered`.
    """
    if conn.execute(select(t.attempts.c.id).where(t.attempts.c.id == attempt)).first() is not None:
        return Planned(attempt)
    row = fax_row(conn, prepared.fax)
    against = obstacle(conn, prepared, trunk=trunk, channels=channels, node=node, fence=fence, now=now)
    if against is not None:
        return against
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
            manner=None if manner is None else dict(manner),
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


def obstacle(
    conn: Connection, prepared: Prepared, *, trunk: str, channels: int, node: str, fence: int, now: float
) -> NotPlanned | None:
    """What stands against a call now; asked before the pages are composed, and again by `plan`."""
    row = fax_row(conn, prepared.fax)
    settings = from_snapshot(prepared.settings)
    job = conn.execute(
        select(t.jobs.c.user, t.job_cancels.c.job.label("cancelled"))
        .outerjoin(t.job_cancels, t.job_cancels.c.job == t.jobs.c.id)
        .where(t.jobs.c.id == row.job)
    ).one()
    states = directory.account_states(conn, row.customer, job.user)
    on_trunk = select(func.count()).where(t.attempts.c.trunk == trunk, t.attempts.c.done_at.is_(None))
    on_number = select(t.attempts.c.id).where(
        t.attempts.c.number == prepared.number["e164"], t.attempts.c.done_at.is_(None)
    )
    kills, trusted = kills_of(conn, prepared.number["e164"])
    calls = destinations.calls_to(conn, prepared.number["e164"])
    rest = rests_until(calls, measures(calls, trunk=trunk, now=now))
    later, wait, hold, fail = Then.LATER, Then.WAIT, Then.HOLD, Then.FAIL
    checks = (
        (fence_of(conn, node) == fence, "another incarnation runs", later),
        (row.state in (FaxState.READY, FaxState.WAITING), f"fax is {row.state}", later),
        (row.wish == Wish.NONE, f"wish {row.wish} stands", later),
        (job.cancelled is None, "its job is cancelled", later),
        (row.until <= now and row.earliest <= now, "not yet", later),
        (row.latest is None or now <= row.latest, "latest time passed", later),
        (row.number_index == prepared.number_index, "number changed", later),
        (confirmed_pages(conn, row.id, row.number_index) + 1 == prepared.first, "ledger changed", later),
        (not exhausted(conn, row, settings, now), "no further dial is allowed", fail),
        (all(state is AccountState.ACTIVE for state in states), "account suspended", hold),
        (kills < HELD_AFTER or trusted, HELD_BY_KILLS, hold),
        (conn.execute(on_trunk).scalar_one() < channels, "trunk full", wait),
        (conn.execute(on_number).first() is None, "number has a call", wait),
        (rest <= now, "number rests after its last call", wait),
    )
    return next((NotPlanned(why, then) for good, why, then in checks if not good), None)


def set_aside(conn: Connection, fax: str, verdict: NotPlanned, *, until: float, now: float) -> None:
    """Write down what follows from an obstacle: wait, hold or fail; nothing when the fax has moved on meanwhile."""
    row = fax_row(conn, fax)
    if row.state not in (FaxState.READY, FaxState.WAITING):
        return
    if verdict.then is Then.WAIT:
        move(conn, fax, FaxState.WAITING, now=now, reason=verdict.why, until=until)
    elif verdict.then is Then.HOLD:
        move(conn, fax, FaxState.HELD, now=now, reason=verdict.why)
    elif verdict.then is Then.FAIL:
        cause = verdict.cause or last_cause(conn, fax) or Cause.CEILING
        move(conn, fax, FaxState.FAILED, now=now, cause=cause, reason=verdict.public)
