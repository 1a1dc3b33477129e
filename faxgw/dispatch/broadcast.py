"""Jobs with thousands of recipients: written in short units, there in one (`store.staging`).

Between two slices the page gates, MCFs and single faxes of everybody else have their turn at the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from faxgw.store import staging
from faxgw.store.engine import Store
from faxgw.store.queue import NewJob
from faxgw.store.staging import SLICE, Recipient

STAGED_FROM = 500
"""Recipients from which on a job is staged: fewer are written in some 30 ms."""


async def stage(store: Store, job: NewJob, refusals: Mapping[str, str], *, now: float) -> NewJob:
    """Write the recipients of a large job ahead; the job to be created after that.

    Args:
        store: The store.
        job: A job that is not there yet; a small one comes back as it is.
        refusals: Fax → why its number cannot be dialled.
        now: Unix seconds.
    """
    if len(job.faxes) < STAGED_FROM:
        return job
    for start in range(0, len(job.faxes), SLICE):
        some = [
            Recipient(fax.id, fax.position, fax.numbers, fax.properties, refusals.get(fax.id, ""))
            for fax in job.faxes[start : start + SLICE]
        ]
        await store.run(partial(staging.stage, job=job.id, recipients=some, now=now))
    return replace(job, staged=True)


async def clear(store: Store, job: str) -> None:
    """Remove what a job has taken over, or will never take."""
    while await store.run(partial(staging.clear, job=job)):
        pass
