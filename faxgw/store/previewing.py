"""A fax as it is to be shown: the file of its newest call, or what the next one would be composed of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from faxgw.fax.account import from_snapshot
from faxgw.fax.job import FaxState
from faxgw.fax.ports import StoredFile
from faxgw.fax.prediction import PER_PAGE, RATE, Prediction, predict
from faxgw.store import planning, rendering
from faxgw.store import schema as t
from faxgw.store.planning import Prepared

WAITS = (FaxState.READY, FaxState.WAITING, FaxState.HELD)
"""States in which a next call would be composed anew."""
HEADER_OCTETS = 400
"""Of a header line as coded (ITU-T T.6), about: what a page of an attempt has beyond that of the body."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be shown."""

    prepared: Prepared
    state: str
    attempt: str
    """The newest call; empty: there was none since the fax waits for its next, or none at all."""
    file: StoredFile | None
    """Its pages."""
    composed_at: float
    """Unix seconds of its plan; 0.0: none."""
    first: int
    """First page of the call, or of the next one."""
    octets: Sequence[int]
    """Of each page, about, by what was counted when it was made."""


def look(conn: Connection, fax: str) -> Shown | None:
    """Look at a fax that is known to be there; None while it has no pages.

    A fax that waits is shown as its next call would have it; in a call, or when all is over, as the newest call has it.
    """
    row = conn.execute(select(t.faxes).where(t.faxes.c.id == fax)).one()
    job = conn.execute(select(t.jobs).where(t.jobs.c.id == row.job)).one()
    if not job.body_key or not row.pages:  # empty: it was purged
        return None
    prepared = planning.prepared(conn, row, job)
    parts = t.attempt_faxes.c
    query = (
        select(
            t.attempts.c.id, t.attempts.c.planned_at, parts.tiff_key, parts.tiff_sha256,
            parts.tiff_size, parts.first_page,
        )
        .join(t.attempt_faxes, parts.attempt == t.attempts.c.id)
        .where(parts.fax == fax)
        .order_by(t.attempts.c.planned_at.desc(), t.attempts.c.id.desc())
        .limit(1)
    )  # fmt: skip
    newest = conn.execute(query).first()
    octets = _octets(conn, fax, row.job, job.page_facts or (), row.pages)
    if newest is None or row.state in WAITS:
        return Shown(prepared, row.state, "", None, 0.0, min(prepared.first, row.pages), octets)
    file = StoredFile(newest.tiff_key, newest.tiff_sha256, newest.tiff_size)
    return Shown(prepared, row.state, newest.id, file, newest.planned_at, newest.first_page, octets)


def expected(conn: Connection, fax: str) -> Prediction | None:
    """What the next call of a fax that waits will take, by what was counted when its pages were made; None: no call.

    Cheap: nothing is composed. The rate is that of the last fax the number took, else what the account allows.
    """
    shown = look(conn, fax)
    if shown is None or shown.file is not None or shown.state not in WAITS:
        return None
    settings = from_snapshot(shown.prepared.settings)
    taken = (call.bit_rate for call in reversed(shown.prepared.calls) if call.sent and call.bit_rate)
    rate = min(settings["max_bit_rate"], next(taken, RATE))
    return predict(shown.octets[shown.first - 1 :], rate, ecm=settings["ecm"], tariff=PER_PAGE)


def _octets(conn: Connection, fax: str, job: str, facts: Sequence[dict[str, int]], count: int) -> Sequence[int]:
    cover = rendering.cover_of(conn, job, fax) if len(facts) != count else None
    each = [int(fact.get("octets", 0)) for fact in (*(cover.facts if cover is not None else ()), *facts)]
    return [octets + HEADER_OCTETS for octets in (*each, *([0] * count))[:count]]
