"""What an operator wishes of a fax, or of all faxes of a job, however many (docs/spine.md sections 2 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy import Connection, select

from faxgw.fax.errors import IllegalTransition, Stale
from faxgw.fax.job import FaxState, Wish
from faxgw.store import job_cancels, queue
from faxgw.store import schema as t
from faxgw.store.engine import Store

AT_ONCE = 25
"""Faxes for each of which a wish is carried out in one unit, which may last 100 ms."""
RELEASE = "release"


async def carry_out(store: Store, faxes: Sequence[str], verb: str, *, who: str, now: float) -> Mapping[str, str]:
    """Carry out a wish; fax → what became of it.

    Args:
        store: The store.
        faxes: One fax, or all of one job.
        verb: `cancel`, `hold` or `release`.
        who: For the journal.
        now: Unix seconds.
    """
    if verb == Wish.CANCEL and len(faxes) > 1:
        return await _cancel_job(store, faxes, who=who, now=now)
    found: dict[str, str] = {}
    for first in range(0, len(faxes), AT_ONCE):
        some = faxes[first : first + AT_ONCE]
        found |= await store.run(partial(_each, faxes=some, verb=verb, who=who, now=now))
    return found


async def _cancel_job(store: Store, faxes: Sequence[str], *, who: str, now: float) -> Mapping[str, str]:
    """One wish for all, so that none is called while the others' rows follow."""
    job, before = await store.read(partial(_job_and_states, fax=faxes[0]))
    await store.run(partial(job_cancels.ask, job=job, who=who, now=now))
    while not (await store.run(partial(job_cancels.obey, job=job, now=now))).over:
        pass
    _job, after = await store.read(partial(_job_and_states, fax=faxes[0]))
    late = f"not done: {IllegalTransition.default_public}"
    return {fax: late if FaxState(before[fax]).final else _in_words(after[fax]) for fax in faxes}


def _job_and_states(conn: Connection, fax: str) -> tuple[str, Mapping[str, str]]:
    job = queue.fax_row(conn, fax).job
    rows = conn.execute(select(t.faxes.c.id, t.faxes.c.state).where(t.faxes.c.job == job))
    return job, {row.id: row.state for row in rows}


def _each(conn: Connection, faxes: Sequence[str], verb: str, who: str, now: float) -> Mapping[str, str]:
    """The wish for each fax of its own: one that is refused changes nothing."""
    found = {}
    for fax in faxes:
        try:
            if verb == RELEASE:
                state = queue.release(conn, fax, who=who, now=now)
            else:
                state = queue.wish(conn, fax, Wish(verb), who=who, now=now)
        except (IllegalTransition, Stale) as exc:
            found[fax] = f"not done: {exc.public}"
        else:
            found[fax] = _in_words(state)
    return found


def _in_words(state: str) -> str:
    return "calling; ends with the call" if state == FaxState.CALLING else str(state)
