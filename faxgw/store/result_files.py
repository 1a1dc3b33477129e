"""Results of jobs that came as files: written to the outbox by the transaction that finishes the job.

What is to be told is read when the file is written (`reported`), for a job file may have had several faxes, and its
result tells of all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from faxgw.store import outbox
from faxgw.store import schema as t

KIND = "result_file"
"""Kind of the outbox items."""
FILE = "file"
"""In a report's reference: the file that the job came as; only jobs that have it get a result file."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What is known of one job of a file."""

    job: str
    customer: str
    owner: str
    interface: str
    reference: Mapping[str, str]
    accepted_at: float
    finished: bool


def announce(conn: Connection, job: str, item: str, now: float) -> None:
    """Write the outbox item of a finished job that came as a file.

    Args:
        conn: The unit's connection.
        job: The job.
        item: Id of the outbox item, the same however often the unit runs.
        now: Unix seconds.
    """
    book = t.job_reports.c
    row = conn.execute(select(book.customer, book.reference).where(book.job == job)).first()
    if row is not None and FILE in row.reference:
        target = row.reference[FILE][:200]
        outbox.put(conn, item, KIND, target, customer=row.customer, payload={"job": job}, now=now, job=job)


def reported(conn: Connection, jobs: Sequence[str]) -> Mapping[str, Reported]:
    """Those of some jobs that have a report, deleted or not."""
    book = t.job_reports
    query = select(book, t.jobs.c.finished_at).join(t.jobs, t.jobs.c.id == book.c.job).where(book.c.job.in_(jobs))
    return {
        row.job: Reported(
            row.job, row.customer, row.owner, row.interface, row.reference, row.accepted_at, row.finished_at is not None
        )
        for row in conn.execute(query)
    }


def exists(conn: Connection, job: str) -> bool:
    """Whether a job was committed."""
    return conn.execute(select(t.jobs.c.id).where(t.jobs.c.id == job)).first() is not None


def document_names(conn: Connection, jobs: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Names of some jobs' documents, in order."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for table in (t.job_documents, t.job_references):
        query = select(table.c.job, table.c.position, table.c.name).where(table.c.job.in_(jobs))
        for job, position, name in conn.execute(query):
            found[job][position] = name
    return {job: [names[position] for position in sorted(names)] for job, names in found.items()}
