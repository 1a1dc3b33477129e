"""Status pushes: where a job's report goes when it is finished; written with the job, sent by the outbox.

What is told is read when it is sent. Credentials stay in the job's own row, are never copied, and are taken out of it
when the push is over, one way or the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from faxgw.fax.submission import JobPush
from faxgw.store import outbox
from faxgw.store import schema as t

KIND = "push"
"""Kind of the outbox items."""


@dataclass(frozen=True, slots=True)
class Push:
    """Where, and as what."""

    to: JobPush
    form: str
    """`xml` or `json`."""
    token_url: str
    """Where OAuth2 tokens come from; empty: nowhere."""


def ask(conn: Connection, job: str, push: Push) -> None:
    """Write down where a job's report is to go, with the job."""
    to = push.to
    conn.execute(
        insert(t.pushes).values(
            job=job,
            url=to.url,
            method=to.method,
            principal=to.principal,
            credentials=to.credentials,
            form=push.form,
            token_url=push.token_url,
        )
    )


def announce(conn: Connection, job: str, item: str, customer: str, now: float) -> None:
    """Write the outbox item of a finished job whose report is to be sent.

    Args:
        conn: The unit's connection.
        job: The job.
        item: Id of the outbox item, the same however often the unit runs.
        customer: Whose job it is.
        now: Unix seconds.
    """
    url = conn.execute(select(t.pushes.c.url).where(t.pushes.c.job == job)).scalar()
    if url is not None:
        outbox.put(conn, item, KIND, _shown(url), customer=customer, payload={"job": job}, now=now, job=job)


def settle(conn: Connection, item: str) -> None:
    """Forget the credentials of a push that is over; nothing for any other item."""
    c = t.outbox.c
    job = conn.execute(select(c.job).where(c.id == item, c.kind == KIND, c.state.in_(["done", "dead"]))).scalar()
    if job is not None:
        conn.execute(update(t.pushes).where(t.pushes.c.job == job).values(credentials=""))


def _shown(url: str) -> str:
    """The URL without credentials in it."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path.partition("?")[0]
