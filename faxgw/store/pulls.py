"""Received faxes that wait until a program fetches them (docs/deliveries.md): topics, hiding, acknowledgement.

A fax lies in its topic until it is acknowledged; one that was handed out is hidden for a while and then comes back.
Acknowledging it ends its delivery, in the same transaction. Documents go after KEPT_FOR, fetched or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # JSON

from sqlalchemy import Connection, delete, insert, select, update

from faxgw.fax.ports import EnclosedFile, StoredFile
from faxgw.store import outbox, routing
from faxgw.store import schema as t
from faxgw.store.journal import note

KEPT_FOR = 7 * 86_400.0
"""Seconds after which documents are removed, whatever happened (the vendor's rule)."""
MAX_FETCHED = 100
"""Faxes of one answer."""
MAX_SWEPT = 500
"""Faxes that one unit removes."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A fax in a topic."""

    id: str
    told: Mapping[str, Any]
    created_at: float
    documents: tuple[tuple[str, EnclosedFile], ...]
    """Name in the URL, and the document."""


@dataclass(frozen=True, slots=True)
class Laid:
    """What is known of a fax that was laid into a topic."""

    acknowledged: bool


def laid(conn: Connection, pull: str) -> Laid | None:
    """Whether a fax lies in its topic, or did; None: never."""
    row = conn.execute(select(t.pulls.c.acknowledged_at).where(t.pulls.c.id == pull)).first()
    return None if row is None else Laid(row.acknowledged_at is not None)


def lay(
    conn: Connection,
    pull: str,
    *,
    customer: str,
    topic: str,
    reception: str,
    told: Mapping[str, Any],
    documents: Sequence[EnclosedFile],
    now: float,
) -> bool:
    """Lay a fax into a topic; False when it lies there already.

    Args:
        conn: The unit's connection.
        pull: Id of its outbox item.
        customer: Whose topic.
        topic: Its name.
        reception: The fax.
        told: What is told of it, JSON.
        documents: Durable, as they may leave.
        now: Unix seconds.
    """
    if laid(conn, pull) is not None:
        return False
    conn.execute(
        insert(t.pulls).values(
            id=pull, customer=customer, topic=topic, reception=reception, told=dict(told), created_at=now
        )
    )
    for position, one in enumerate(documents, 1):
        ending = one.name.rpartition(".")[2][:20] if "." in one.name else "bin"
        conn.execute(
            insert(t.pull_documents).values(
                pull=pull,
                position=position,
                url_name=f"{pull}-{position}.{ending}",
                name=one.name,
                content_type=one.content_type,
                key=one.file.key,
                sha256=one.file.sha256,
                size=one.file.size,
            )
        )
    note(conn, pull, "pull.laid", now=now, job=reception, data={"topic": topic})
    return True


def fetch(conn: Connection, customer: str, topic: str, *, limit: int, hide: float, now: float) -> list[Waiting]:
    """The oldest faxes of a topic that are neither acknowledged nor hidden, hidden from now on for `hide` seconds."""
    c = t.pulls.c
    mine = (c.customer == customer, c.topic == topic, c.acknowledged_at.is_(None), c.hidden_until <= now)
    query = select(t.pulls).where(*mine, c.created_at > now - KEPT_FOR).order_by(c.created_at, c.id)
    rows = conn.execute(query.limit(min(limit, MAX_FETCHED))).all()
    if rows and hide > 0:
        conn.execute(update(t.pulls).where(c.id.in_([row.id for row in rows])).values(hidden_until=now + hide))
    return [Waiting(row.id, row.told, row.created_at, _documents(conn, row.id)) for row in rows]


def acknowledge(conn: Connection, customer: str, topic: str, pulls: Sequence[str], *, now: float, who: str) -> int:
    """Faxes have been fetched: they never come back, and their deliveries are done; how many were new."""
    done = 0
    for pull in pulls:
        c = t.pulls.c
        mine = (c.id == pull, c.customer == customer, c.topic == topic, c.acknowledged_at.is_(None))
        if not conn.execute(update(t.pulls).where(*mine).values(acknowledged_at=now)).rowcount:
            continue
        done += 1
        note(conn, pull, "pull.acknowledged", now=now, who=who)
        outbox.fetched(conn, pull, now=now, detail=f"fetched by {who}")
        routing.settle(conn, pull, now=now)
    return done


def document(conn: Connection, customer: str, url_name: str, *, now: float) -> tuple[str, EnclosedFile, str] | None:
    """Topic, document and fax of what a customer may fetch; acknowledged or not. None: none, or not any more."""
    d, p = t.pull_documents, t.pulls
    query = select(d, p.c.topic, p.c.reception).join(p, p.c.id == d.c.pull)
    mine = (d.c.url_name == url_name, p.c.customer == customer, p.c.created_at > now - KEPT_FOR)
    row = conn.execute(query.where(*mine)).first()
    if row is None:
        return None
    return row.topic, EnclosedFile(row.name, row.content_type, StoredFile(row.key, row.sha256, row.size)), row.reception


def expire(conn: Connection, *, now: float) -> list[str]:
    """Forget the oldest faxes that are too old; keys of the files that may be removed after the commit."""
    old = select(t.pulls.c.id).where(t.pulls.c.created_at <= now - KEPT_FOR).order_by(t.pulls.c.created_at)
    ids = list(conn.execute(old.limit(MAX_SWEPT)).scalars())
    if not ids:
        return []
    keys = list(conn.execute(select(t.pull_documents.c.key).where(t.pull_documents.c.pull.in_(ids))).scalars())
    conn.execute(delete(t.pull_documents).where(t.pull_documents.c.pull.in_(ids)))
    conn.execute(delete(t.pulls).where(t.pulls.c.id.in_(ids)))
    for one in ids:
        note(conn, one, "pull.expired", now=now)
    return keys


def _documents(conn: Connection, pull: str) -> tuple[tuple[str, EnclosedFile], ...]:
    d = t.pull_documents
    rows = conn.execute(select(d).where(d.c.pull == pull).order_by(d.c.position))
    return tuple(
        (row.url_name, EnclosedFile(row.name, row.content_type, StoredFile(row.key, row.sha256, row.size)))
        for row in rows
    )
