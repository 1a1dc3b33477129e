"""Webhooks: where a customer wants to be told of events, and what became of each try (docs/api.md).

Secrets are kept as they are, for they sign what is sent (Standard Webhooks); after a rotation the former one signs
too for a day. A webhook of a user is told of what that user sees, one of the customer of everything.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from faxgw.fax.errors import Refused
from faxgw.store import outbox
from faxgw.store import schema as t
from faxgw.store.journal import note

KIND = "webhook"
"""Kind of the outbox items."""
SECRET_MARK = "whsec_"  # the mark, not a secret
"""How secrets begin (Standard Webhooks)."""
SECRET_OCTETS = 24
"""Random octets of a secret."""
FORMER_FOR_S = 86_400.0
"""Seconds for which the secret before a rotation signs too."""
MAX_WEBHOOKS = 50
"""Webhooks of one customer."""
MAX_TRIES_KEPT = 1_000
"""Tries kept of one webhook; the oldest give way."""


class TooMany(Refused):
    """The customer has as many as it may have."""

    default_public = f"There may be at most {MAX_WEBHOOKS} webhooks."


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook. Times are Unix seconds."""

    id: str
    customer: str
    user: str
    """User id; empty: the customer as a whole."""
    url: str
    secret: str
    former_secret: str
    """Signs too until `former_until`; empty: there is none."""
    former_until: float
    events: tuple[str, ...]
    """Public names of events; `*` at the end stands for all that begin so."""
    description: str
    active: bool
    created_at: float
    created_by: str

    def wants(self, event: str) -> bool:
        """Whether it is to be told of an event."""
        return self.active and any(
            event == one or (one.endswith("*") and event.startswith(one[:-1])) for one in self.events
        )


@dataclass(frozen=True, slots=True)
class Try:
    """One try to tell a webhook."""

    item: str
    """Of the outbox; the `webhook-id` that the receiver sees."""
    event: str
    entity: str
    """Fax or job."""
    at: float
    number: int
    """Of the item's tries, from 1; 0: it was given up before the first."""
    status: int
    """HTTP; 0: no answer."""
    ms: int
    """Milliseconds until the answer."""
    detail: str
    delivered: bool
    serial: int = 0


def secret_of(entropy: bytes) -> str:
    """A secret of random octets."""
    return SECRET_MARK + base64.b64encode(entropy).decode()


def create(conn: Connection, customer: str, webhook: Webhook, *, now: float) -> None:
    """Make one.

    Raises:
        TooMany: If the customer has as many as it may have.
    """
    if conn.execute(select(t.webhooks.c.id).where(t.webhooks.c.id == webhook.id)).first() is not None:
        return
    if conn.execute(select(func.count()).where(t.webhooks.c.customer == customer)).scalar_one() >= MAX_WEBHOOKS:
        raise TooMany
    conn.execute(
        insert(t.webhooks).values(
            id=webhook.id,
            customer=customer,
            user=webhook.user or None,
            url=webhook.url,
            secret=webhook.secret,
            events=list(webhook.events),
            description=webhook.description,
            active=webhook.active,
            created_at=now,
            created_by=webhook.created_by[:130],
        )
    )
    note(conn, webhook.id, "webhook.created", now=now, who=webhook.created_by, data=_audit(customer, webhook.url))


def change(
    conn: Connection, customer: str, user: str, webhook: str, values: Mapping[str, Any], *, who: str, now: float
) -> Webhook | None:
    """Change `url`, `events`, `description`, `active`; None when there is no such webhook for this user."""
    if find(conn, customer, user, webhook) is None:
        return None
    if values:
        conn.execute(update(t.webhooks).where(t.webhooks.c.id == webhook).values(**values))
        note(conn, webhook, "webhook.changed", now=now, who=who, data=_audit(customer, *sorted(values)))
    return find(conn, customer, user, webhook)


def rotate(
    conn: Connection, customer: str, user: str, webhook: str, secret: str, *, who: str, now: float
) -> Webhook | None:
    """Give it another secret; the former one signs too for a day. None when there is no such webhook."""
    found = find(conn, customer, user, webhook)
    if found is None:
        return None
    if found.secret != secret:
        conn.execute(
            update(t.webhooks)
            .where(t.webhooks.c.id == webhook)
            .values(secret=secret, former_secret=found.secret, former_until=now + FORMER_FOR_S)
        )
        note(conn, webhook, "webhook.rotated", now=now, who=who, data=_audit(customer))
    return find(conn, customer, user, webhook)


def remove(conn: Connection, customer: str, user: str, webhook: str, *, who: str, now: float) -> bool:
    """Remove one with its log and the words of its messages; False when there is none.

    No purge would find them any more: it looks for the messages of the webhooks that there are. Looks through the whole
    outbox, some 100 ms for 100,000 items.
    """
    if find(conn, customer, user, webhook) is None:
        return False
    c = t.outbox.c
    mine = (c.kind == KIND) & (c.customer == customer) & (c.payload["webhook"].as_string() == webhook)
    over = {"state": "dead", "done_at": now, "detail": "the webhook was removed"}
    conn.execute(update(t.outbox).where(mine, c.state.not_in(["done", "dead"])).values(**over))
    conn.execute(update(t.outbox).where(mine).values(payload={}))
    conn.execute(delete(t.webhook_tries).where(t.webhook_tries.c.webhook == webhook))
    conn.execute(delete(t.webhooks).where(t.webhooks.c.id == webhook))
    note(conn, webhook, "webhook.removed", now=now, who=who, data=_audit(customer))
    return True


def find(conn: Connection, customer: str, user: str, webhook: str) -> Webhook | None:
    """One of a user's, or for the customer as a whole any of the customer's; None when there is none."""
    c = t.webhooks.c
    query = select(t.webhooks).where(c.id == webhook, c.customer == customer)
    if user:
        query = query.where(c.user == user)
    row = conn.execute(query).first()
    return None if row is None else _webhook(row)


def of_id(conn: Connection, webhook: str) -> Webhook | None:
    """One by its id, for the gateway itself."""
    row = conn.execute(select(t.webhooks).where(t.webhooks.c.id == webhook)).first()
    return None if row is None else _webhook(row)


def every(conn: Connection, customer: str, user: str) -> list[Webhook]:
    """A user's, or all of the customer's, oldest first."""
    c = t.webhooks.c
    query = select(t.webhooks).where(c.customer == customer).order_by(c.created_at, c.id)
    if user:
        query = query.where(c.user == user)
    return [_webhook(row) for row in conn.execute(query)]


def wanting(conn: Connection, customer: str, event: str) -> list[Webhook]:
    """The customer's webhooks that are to be told of an event, for whoever writes the outbox."""
    return [webhook for webhook in every(conn, customer, "") if webhook.wants(event)]


def record(conn: Connection, webhook: str, done: Try) -> None:
    """Write down a try; nothing when the webhook was removed meanwhile."""
    if conn.execute(select(t.webhooks.c.id).where(t.webhooks.c.id == webhook)).first() is None:
        return
    conn.execute(
        insert(t.webhook_tries).values(
            webhook=webhook,
            item=done.item,
            event=done.event,
            entity=done.entity,
            at=done.at,
            number=done.number,
            status=done.status,
            ms=done.ms,
            detail=done.detail[:400],
            delivered=done.delivered,
        )
    )
    c = t.webhook_tries.c
    kept = select(c.serial).where(c.webhook == webhook).order_by(c.serial.desc()).offset(MAX_TRIES_KEPT).limit(1)
    if (oldest := conn.execute(kept).scalar()) is not None:
        conn.execute(delete(t.webhook_tries).where(c.webhook == webhook, c.serial <= oldest))


def tries(conn: Connection, webhook: str, *, before: int, limit: int) -> Sequence[Try]:
    """The tries of a webhook, newest first; with `before` only those with a smaller serial."""
    c = t.webhook_tries.c
    query = select(t.webhook_tries).where(c.webhook == webhook)
    if before:
        query = query.where(c.serial < before)
    return [
        Try(r.item, r.event, r.entity, r.at, r.number, r.status, r.ms, r.detail, r.delivered, r.serial)
        for r in conn.execute(query.order_by(c.serial.desc()).limit(limit))
    ]


def again(conn: Connection, webhook: str, item: str, *, who: str, now: float) -> bool | None:
    """Send a message once more that was delivered or given up; False while it is tried, None when there is none.

    There is none, too, when its fax has been purged and its words with it.
    """
    c = t.webhook_tries.c
    if conn.execute(select(c.serial).where(c.webhook == webhook, c.item == item).limit(1)).first() is None:
        return None
    if not conn.execute(select(t.outbox.c.payload).where(t.outbox.c.id == item)).scalar():
        return None
    return outbox.again(conn, item, now=now, who=who)


def _audit(customer: str, *what: str) -> dict[str, object]:
    return {"customer": customer, "what": list(what)}


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        row.id,
        row.customer,
        row.user or "",
        row.url,
        row.secret,
        row.former_secret,
        row.former_until,
        tuple(row.events),
        row.description,
        row.active,
        row.created_at,
        row.created_by,
    )
