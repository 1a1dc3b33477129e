"""The pages of jobs: who makes them, and each fax ready with its own (docs/spine.md section 2).

A job's body is made once, between `lease` and `rendered`, together with the covers of the first AT_ONCE recipients.
The other recipients of a large job follow in slices, between `lease_slice` and `sliced`: each slice is a unit of few
milliseconds, and after it the job goes to the end of the row, so that no broadcast holds up another job's covers.
Whatever ends in between, the slices made stay made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # a settings snapshot and column values are plain JSON

from sqlalchemy import Connection, Row, Select, exists, func, or_, select, text, update

from faxgw.fax.cover import cover_name
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.ports import StoredFile
from faxgw.fax.resolution import Resolution
from faxgw.store import renditions
from faxgw.store import schema as t
from faxgw.store.node import voided
from faxgw.store.queue import MOVED_AT_ONCE, READY_TOPIC, move_all
from faxgw.store.renditions import Kind, Rendition
from faxgw.store.unit import notify

LEASE = 360.0
"""Seconds one rendering may last: the page process ends it after 300."""
MAX_TRIES = 3
"""Tries to make the pages of a job before it fails."""
PAUSE = 20.0
"""Seconds before a rendering that failed by our fault is tried again."""
AT_ONCE = 60
"""Faxes made ready in one unit, whose covers are made in one request."""
TRIES_USED_UP = "The gateway could not make the pages of this fax."
"""Public reason of a fax whose rendering was interrupted MAX_TRIES times."""

_UNREADY = (FaxState.ACCEPTED, FaxState.RENDERING)
_READYING = text("jobs.readying")
"""Written out as in the partial index, which a comparison would hide."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whose cover is made."""

    fax: str
    e164: str
    typed: str
    """The number as typed."""
    properties: Sequence[tuple[str, str]]
    """What the sender says of this recipient, in order."""


@dataclass(frozen=True, slots=True)
class About:
    """What a job's covers say that is the same on all of them."""

    customer: str
    company: str
    """The customer's name."""
    owner: str
    subject: str
    accepted_at: float
    """Unix seconds."""
    text: str
    """What the sender wants to say on the cover."""
    reference: str = ""
    """What the sender calls the job."""


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job whose pages are to be made, or faxes of it that are to be made ready."""

    id: str
    tries: int
    settings: Mapping[str, Any]
    documents: tuple[Mapping[str, Any], ...]
    """Empty where there is a body already, or none is to be made."""
    recipients: tuple[Recipient, ...]
    """The first AT_ONCE faxes that are rendering under this lease."""
    about: About
    pages: int = 0
    """Pages of the body, where there is one already."""

    @property
    def faxes(self) -> tuple[str, ...]:
        """The faxes."""
        return tuple(recipient.fax for recipient in self.recipients)


# ----------------------------------------------------------------------------------------------------------- body


def lease(conn: Connection, *, fence: int, now: float, limit: int) -> Sequence[LeasedJob]:
    """Lease jobs without pages whose documents are all here, express first; their first faxes are rendering from here.

    Customers take turns, those in work counted: a thousand documents of one do not keep another's letter waiting.

    A fax whose lease was lost goes back to accepted first. A job that was lost MAX_TRIES times has failed.
    """
    wanted = _in_turn(now).limit(limit)
    leased = []
    for job in conn.execute(wanted).scalars().all():
        row = conn.execute(select(t.jobs).where(t.jobs.c.id == job)).one()
        if row.render_tries >= MAX_TRIES:
            _fail(conn, job, now, Cause.RENDERING_FAILED, TRIES_USED_UP)
            continue
        lost = _faxes(conn, job, FaxState.RENDERING)
        move_all(conn, job, lost, FaxState.ACCEPTED, now=now, reason="lease lost")
        _take(conn, row, fence, now)
        faxes = _faxes(conn, job, FaxState.ACCEPTED, limit=AT_ONCE)
        move_all(conn, job, faxes, FaxState.RENDERING, now=now)
        leased.append(_leased(conn, row, faxes, _documents(conn, job)))
    return leased


def _in_turn(now: float) -> Select[Any]:
    """Jobs to be leased: express first, then the first of each customer, the second, …, oldest first."""
    j = t.jobs.c
    unmade = (
        select(j.id, j.customer, j.accepted_at, func.max(t.faxes.c.priority).label("priority"))
        .join(t.faxes, t.faxes.c.job == j.id)
        .where(
            j.body_key.is_(None),
            j.not_before <= now,
            _free(now),
            t.faxes.c.state.in_(_UNREADY),
            ~exists().where(t.job_references.c.job == j.id, t.job_references.c.pending),
        )
        .group_by(j.id, j.customer, j.accepted_at)
        .subquery()
    )
    busy = (
        select(j.customer, func.count().label("jobs"))
        .where(j.body_key.is_(None), j.lease_fence.is_not(None), j.lease_until >= now)
        .group_by(j.customer)
        .subquery()
    )
    u = unmade.c
    place = func.row_number().over(partition_by=(u.priority, u.customer), order_by=(u.accepted_at, u.id))
    return (
        select(u.id)
        .outerjoin(busy, busy.c.customer == u.customer)
        .order_by(u.priority.desc(), place + func.coalesce(busy.c.jobs, 0), u.accepted_at, u.id)
    )


def rendered(
    conn: Connection,
    job: str,
    *,
    fence: int,
    body: StoredFile,
    pages: int,
    facts: Sequence[Mapping[str, Any]],
    thumbnail: bytes,
    now: float,
    covers: Sequence[Rendition] = (),
    refused: Mapping[str, str] | None = None,
) -> bool:
    """The body is durable: the leased faxes are ready, with their covers; False when the lease was lost.

    Args:
        conn: The unit's connection.
        job: The job.
        fence: The node's.
        body: The job's pages; an object of no octets where the cover is all.
        pages: Pages of the body.
        facts: Of the body's pages.
        thumbnail: PNG of page 1.
        now: Unix seconds.
        covers: Covers of the leased faxes.
        refused: Faxes for which no cover can be made, and why.
    """
    if conn.execute(select(t.jobs.c.body_key).where(t.jobs.c.id == job)).scalar() == body.key:
        return True
    found = _held(conn, job, fence)
    if found is None:
        return False
    conn.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job)
        .values(
            body_key=body.key,
            body_sha256=body.sha256,
            body_size=body.size,
            pages=pages,
            page_facts=[dict(f) for f in facts],
            thumbnail=thumbnail,
            lease_fence=None,
            lease_until=None,
        )
    )
    # A held fax that gets a cover has no pages yet: released, it is made ready in a slice.
    unready = (*_UNREADY, FaxState.HELD) if has_cover(conn, job) else _UNREADY
    conn.execute(update(t.faxes).where(t.faxes.c.job == job, t.faxes.c.state.not_in(unready)).values(pages=pages))
    _make_ready(conn, job, found, pages, covers, refused or {}, now)
    return True


def put_back(conn: Connection, job: str, *, fence: int, now: float, why: str) -> None:
    """Store or disk could not take part in a rendering: later again, and no try is counted."""
    found = _held(conn, job, fence)
    if found is None:
        return
    tries = t.jobs.c.render_tries - 1
    conn.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job)
        .values(lease_fence=None, lease_until=None, not_before=now + PAUSE, render_tries=tries)
    )
    move_all(conn, job, found, FaxState.ACCEPTED, now=now, reason=why)


def failed(conn: Connection, job: str, *, fence: int, now: float, cause: Cause, reason: str, temporary: bool) -> None:
    """The pages could not be made: try again when the fault may be ours and tries are left, else failed."""
    found = _held(conn, job, fence)
    if found is None:
        return
    tries = conn.execute(select(t.jobs.c.render_tries).where(t.jobs.c.id == job)).scalar_one()
    again = temporary and tries < MAX_TRIES
    conn.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job)
        .values(lease_fence=None, lease_until=None, not_before=now + PAUSE if again else now)
    )
    if again:
        move_all(conn, job, found, FaxState.ACCEPTED, now=now, reason=reason)
    else:
        _fail(conn, job, now, cause, reason)


def waits(conn: Connection) -> bool:
    """True while a job without pages waits for its time to be rendered again."""
    where = (t.faxes.c.state == FaxState.ACCEPTED) & t.jobs.c.body_key.is_(None)
    query = select(t.jobs.c.id).join(t.faxes, t.faxes.c.job == t.jobs.c.id).where(where).limit(1)
    return conn.execute(query).first() is not None


# --------------------------------------------------------------------------------------------------------- slices


def lease_slice(conn: Connection, *, fence: int, now: float) -> LeasedJob | None:
    """Lease a job with body and faxes that are not ready: the one that has waited longest; AT_ONCE of its faxes.

    Faxes that were lost MAX_TRIES times have failed; the job's others go on.
    """
    wanted = (
        select(t.jobs)
        .where(_READYING, t.jobs.c.not_before <= now, _free(now))
        .order_by(t.jobs.c.not_before, t.jobs.c.accepted_at)
        .limit(1)
    )
    while (row := conn.execute(wanted).first()) is not None:
        faxes = _faxes(conn, row.id, *_UNREADY, limit=AT_ONCE)
        if not faxes:
            conn.execute(update(t.jobs).where(t.jobs.c.id == row.id).values(readying=False, render_tries=0))
        elif row.render_tries >= MAX_TRIES:
            move_all(conn, row.id, faxes, FaxState.FAILED, now=now, cause=Cause.RENDERING_FAILED, reason=TRIES_USED_UP)
            conn.execute(update(t.jobs).where(t.jobs.c.id == row.id).values(render_tries=0))
        else:
            lost = _faxes(conn, row.id, FaxState.RENDERING)
            move_all(conn, row.id, lost, FaxState.ACCEPTED, now=now, reason="lease lost")
            move_all(conn, row.id, faxes, FaxState.RENDERING, now=now)
            _take(conn, row, fence, now)
            return _leased(conn, row, faxes, ())
    return None


def sliced(
    conn: Connection,
    job: str,
    *,
    fence: int,
    now: float,
    covers: Sequence[Rendition] = (),
    refused: Mapping[str, str] | None = None,
) -> bool:
    """The covers of the leased faxes are durable, and they are ready; False when the lease was lost."""
    row = conn.execute(select(t.jobs).where(t.jobs.c.id == job)).one()
    if row.lease_fence != fence or row.body_key is None:
        return False
    conn.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job)
        .values(lease_fence=None, lease_until=None, not_before=now, render_tries=0)
    )
    _make_ready(conn, job, _faxes(conn, job, FaxState.RENDERING), row.pages, covers, refused or {}, now)
    return True


def slice_put_back(conn: Connection, job: str, *, fence: int, now: float, why: str, counted: bool) -> None:
    """The covers of a slice could not be made by our fault: later again."""
    row = conn.execute(select(t.jobs).where(t.jobs.c.id == job)).one()
    if row.lease_fence != fence or row.body_key is None:
        return
    tries = row.render_tries - (0 if counted else 1)
    conn.execute(
        update(t.jobs)
        .where(t.jobs.c.id == job)
        .values(lease_fence=None, lease_until=None, not_before=now + PAUSE, render_tries=tries)
    )
    move_all(conn, job, _faxes(conn, job, FaxState.RENDERING), FaxState.ACCEPTED, now=now, reason=why)


def next_slice(conn: Connection) -> float | None:
    """Unix seconds from which the next slice may be made; None when none waits."""
    return conn.execute(select(func.min(t.jobs.c.not_before)).where(_READYING)).scalar()


# -------------------------------------------------------------------------------------------------------- private


def _free(now: float) -> Any:  # a condition
    return or_(voided(t.jobs.c.lease_fence), t.jobs.c.lease_until < now)


def _take(conn: Connection, row: Row[Any], fence: int, now: float) -> None:
    values = {"lease_fence": fence, "lease_until": now + LEASE, "render_tries": row.render_tries + 1}
    conn.execute(update(t.jobs).where(t.jobs.c.id == row.id).values(**values))


def _faxes(conn: Connection, job: str, *states: FaxState, limit: int = MOVED_AT_ONCE) -> list[str]:
    """Faxes of a job that are in these states, in order."""
    where = (t.faxes.c.job == job) & t.faxes.c.state.in_(states)
    return list(conn.execute(select(t.faxes.c.id).where(where).order_by(t.faxes.c.position).limit(limit)).scalars())


def _held(conn: Connection, job: str, fence: int) -> list[str] | None:
    """The faxes of a job without body that are rendering under this fence; None when the lease is lost."""
    row = conn.execute(select(t.jobs.c.lease_fence).where(t.jobs.c.id == job, t.jobs.c.body_key.is_(None))).first()
    if row is None or row.lease_fence != fence:
        return None
    return _faxes(conn, job, FaxState.RENDERING)


def _fail(conn: Connection, job: str, now: float, cause: Cause, reason: str) -> None:
    """No pages for any fax of the job."""
    while faxes := _faxes(conn, job, *_UNREADY):
        move_all(conn, job, faxes, FaxState.FAILED, now=now, cause=cause, reason=reason)


def _make_ready(
    conn: Connection,
    job: str,
    faxes: Sequence[str],
    pages: int,
    covers: Sequence[Rendition],
    refused: Mapping[str, str],
    now: float,
) -> None:
    """Faxes with all their pages are ready; the others' turn comes."""
    there = set(faxes)
    renditions.keep(conn, job, [cover for cover in covers if cover.fax in there])
    own = {cover.fax: cover.pages for cover in covers}
    by_pages: dict[int, list[str]] = {}
    for fax in faxes:
        if fax not in refused:
            by_pages.setdefault(pages + own.get(fax, 0), []).append(fax)
    for count, some in by_pages.items():
        move_all(conn, job, some, FaxState.READY, now=now, values={"pages": count})
    for fax in there & refused.keys():
        move_all(conn, job, [fax], FaxState.FAILED, now=now, cause=Cause.RENDERING_FAILED, reason=refused[fax])
    more = bool(_faxes(conn, job, *_UNREADY, limit=1))
    conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(readying=more))
    if more:
        conn.execute(update(t.jobs).where(t.jobs.c.id == job).values(render_tries=0))
        notify(conn, READY_TOPIC)


def _documents(conn: Connection, job: str) -> tuple[Mapping[str, Any], ...]:
    query = select(t.job_documents).where(t.job_documents.c.job == job).order_by(t.job_documents.c.position)
    return tuple(dict(row) for row in conn.execute(query).mappings())


def _leased(
    conn: Connection, row: Row[Any], faxes: Sequence[str], documents: tuple[Mapping[str, Any], ...]
) -> LeasedJob:
    company = conn.execute(select(t.customers.c.name).where(t.customers.c.id == row.customer)).scalar() or ""
    people = conn.execute(
        select(t.faxes.c.id, t.faxes.c.numbers, t.faxes.c.properties)
        .where(t.faxes.c.id.in_(set(faxes)))
        .order_by(t.faxes.c.position)
    )
    recipients = tuple(
        Recipient(
            one.id, one.numbers[0]["e164"], one.numbers[0]["typed"], tuple((k, v) for k, v in one.properties or ())
        )
        for one in people
    )
    about = About(row.customer, company, row.owner, row.subject, row.accepted_at, row.cover_text or "", row.reference)
    return LeasedJob(row.id, row.render_tries + 1, row.settings, documents, recipients, about, row.pages)


def has_cover(conn: Connection, job: str) -> bool:
    """Whether the settings of a job name a cover."""
    settings = conn.execute(select(t.jobs.c.settings).where(t.jobs.c.id == job)).scalar_one()
    return bool(cover_name(settings.get("cover", {}).get("value", "")))


def cover_of(conn: Connection, job: str, fax: str) -> Rendition | None:
    """The cover that a fax was made ready with, the finest of its renditions; None when it has none."""
    found = renditions.find(conn, job, Kind.COVER, fax=fax)
    return max(found, key=lambda one: Resolution(one.resolution).multiple, default=None)


def of_fax(conn: Connection, job: str, fax: str) -> LeasedJob:
    """What the cover of a fax that has one was made from; nothing is leased."""
    return _leased(conn, conn.execute(select(t.jobs).where(t.jobs.c.id == job)).one(), [fax], ())
