"""From the journal to the webhooks: each entry becomes an outbox item for everyone who wants to be told of it.

How far the journal was read stands beside the items, in the same transaction: nothing is told twice or left out,
whatever is killed when. A webhook is told of what happens after it was made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any  # rows

from sqlalchemy import Connection, delete, insert, select, update

from faxgw.store import event_feed, outbox, webhooks
from faxgw.store import schema as t
from faxgw.store.event_feed import FeedEvent
from faxgw.store.fax_book import View
from faxgw.store.journal import note
from faxgw.store.reports import item_id
from faxgw.store.webhooks import Try

KIND = webhooks.KIND
"""Kind of the outbox items."""
NAME = "webhooks"
"""Of the feed."""
WINDOW = 300
"""Entries of the journal in one unit."""
MAX_PUT = 100
"""Items that one unit writes, but for those of its last entry: some 30 ms. A customer may have 50 webhooks, and a unit
delays every gate and MCF (docs/spine.md section 7)."""
MOST_PUT = MAX_PUT + 1_000
"""More than one unit ever writes."""
TICK = 1e-6
"""Seconds between the moments at which items of one unit fall due: in the order of their events, and before now."""
UNREAD = 10_000
"""Entries after which it is written down that nobody wanted them."""
PURGED = "given up: its fax was purged when its days were over"
"""Detail of an item whose fax went before it arrived."""
_NEW = 0.001
"""A webhook hears of entries so many seconds after it was made, not of what made it."""


def spread(conn: Connection, *, now: float) -> bool:
    """Write what is to be told of the next entries; whether there may be more.

    Args:
        conn: The unit's connection.
        now: Unix seconds.
    """
    serial = conn.execute(select(t.feeds.c.serial).where(t.feeds.c.name == NAME)).scalar()
    if serial is None:  # the first start: what has been is not told
        conn.execute(insert(t.feeds).values(name=NAME, serial=event_feed.settled(conn, now)))
        return False
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    hooks = {row.id: row for row in conn.execute(select(t.webhooks).where(t.webhooks.c.active))}
    for hook in hooks.values():
        groups[hook.customer, hook.user or ""].append(hook.id)
    last = event_feed.settled(conn, now)
    if not hooks and last - serial < UNREAD:
        return False
    until = min(serial + WINDOW, last) if hooks else last
    told: dict[int, list[tuple[Any, FeedEvent]]] = defaultdict(list)
    for (customer, user), members in groups.items():
        found, _ = event_feed.after(
            conn, customer, View(user), serial, now=now, limit=WINDOW + 1, window=until - serial
        )
        for event in found:
            wanting = [hooks[member] for member in members if _wants(hooks[member].events, event.kind)]
            told[event.serial] += [(hook, event) for hook in wanting if event.at >= hook.created_at + _NEW]
    written = 0
    for entry in sorted(told):
        if written >= MAX_PUT:
            until = entry - 1  # the rest is the next unit's
            break
        for hook, event in told[entry]:
            _put(conn, hook.id, hook.url, hook.customer, event, now, due_at=now + (written - MOST_PUT) * TICK)
        written += len(told[entry])
    if until > serial:
        conn.execute(update(t.feeds).where(t.feeds.c.name == NAME).values(serial=until))
    return until < last


def give_up(conn: Connection, items: Collection[str], *, now: float) -> None:
    """Their fax is purged: those that have not arrived are dead and empty, and the webhook's log says why.

    What was said of earlier tries goes, too. An item that is just being sent may arrive all the same.

    Args:
        conn: The unit's connection.
        items: Of the outbox.
        now: Unix seconds.
    """
    c = t.outbox.c
    query = select(c.id, c.payload, c.tries).where(c.id.in_(items), c.state.in_(["due", "leased", "asleep"]))
    for row in conn.execute(query).all():
        event = row.payload.get("event", {})
        entity = event.get("fax") or event.get("job") or ""
        conn.execute(delete(t.webhook_tries).where(t.webhook_tries.c.item == row.id))
        conn.execute(delete(t.events).where(t.events.c.entity == row.id))
        over = {"state": "dead", "done_at": now, "due_at": now, "payload": {}, "detail": PURGED}
        conn.execute(update(t.outbox).where(c.id == row.id).values(**over))
        last = Try(row.id, event.get("type", ""), entity, now, row.tries, 0, 0, PURGED, False)
        webhooks.record(conn, row.payload.get("webhook", ""), last)
        note(conn, row.id, "outbox.dead", now=now, data={"detail": PURGED})


def is_behind(conn: Connection) -> bool:
    """Whether there are entries that somebody may want and that were not spread."""
    if conn.execute(select(t.webhooks.c.id).where(t.webhooks.c.active).limit(1)).first() is None:
        return False
    serial = conn.execute(select(t.feeds.c.serial).where(t.feeds.c.name == NAME)).scalar() or 0
    return serial < event_feed.newest(conn)


def _wants(events: list[str], kind: str) -> bool:
    return any(kind == one or (one.endswith("*") and kind.startswith(one[:-1])) for one in events)


def _put(conn: Connection, hook: str, url: str, customer: str, event: FeedEvent, now: float, *, due_at: float) -> None:
    payload = {
        "webhook": hook,
        "event": {
            "serial": event.serial,
            "type": event.kind,
            "at": event.at,
            "fax": None if event.kind.startswith("job.") else event.entity,
            "job": event.job or None,
            "data": dict(event.data),
        },
    }
    item = item_id("webhook", hook, str(event.serial))
    target = url.partition("?")[0]
    outbox.put(conn, item, KIND, target, customer=customer, payload=payload, now=now, due_at=due_at)
