"""What the daily mail about junk has to tell, and that it was told: each fax once, each owner one mail a day at most.

Owners are a number's mailboxes, else the fallback mailbox. What was set aside before the hour of the day that the
number's settings name is told from that hour on; a gateway that was down tells it when it is up again. Mails and marks
are written in one transaction, and a mail's id is made of customer, owner and day: neither a restart nor a second node
tells twice. A fax all of whose owners cannot be told today waits for tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any  # rows, JSON

from sqlalchemy import Connection, Row, select, update

from faxgw.fax.account import Effective, from_snapshot
from faxgw.formats.status_texts import zone_named
from faxgw.store import outbox
from faxgw.store import schema as t
from faxgw.store.journal import note
from faxgw.store.junk import State
from faxgw.store.reports import item_id

Link = Callable[[str, str, float], str]
"""The address by which a fax is released: its id, whose link it is, Unix seconds until which it holds."""
KIND = "junk_mail"
"""Kind of the outbox items."""
MAX_FAXES = 1_000
"""Faxes looked at in one go; more than these set aside in a day are told the days after."""
MAX_LISTED = 100
"""Faxes named in one mail; how many more there are is said."""


@dataclass(slots=True)
class Mail:
    """A mail to one owner."""

    customer: str
    address: str
    day: str
    """ISO 8601, in the owner's time zone."""
    language: str
    time_zone: str
    faxes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By reception, the oldest first."""

    @property
    def item(self) -> str:
        """The outbox id."""
        return item_id("junk", self.customer, self.address.casefold(), self.day)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told of one customer's faxes."""

    mails: Sequence[Mail]
    unwanted: Sequence[str]
    """Receptions whose owners want no such mail."""


def due(conn: Connection, *, now: float) -> Sequence[Due]:
    """What is to be told now, customer by customer; reads only."""
    c, j = t.receptions.c, t.junk.c
    columns = (c.customer, c.number, c.caller, c.ident, c.started_at, c.pages, c.settings)
    query = (
        select(t.junk.c.reception, j.score, j.reasons, j.judged_at, j.release_at, *columns)
        .join(t.receptions, c.id == j.reception)
        .where(j.state == State.ASIDE.value, j.told_at.is_(None))
        .order_by(j.judged_at, j.reception)
        .limit(MAX_FAXES)
    )
    mails: dict[str, dict[str, Mail]] = {}
    unwanted: dict[str, list[str]] = {}
    for row in conn.execute(query):
        settings = from_snapshot(row.settings)
        owners = owners_of(settings)
        if settings["junk_mail_hour"] < 0 or not owners:
            unwanted.setdefault(row.customer, []).append(row.reception)
            continue
        at = _last(now, settings["time_zone"], settings["junk_mail_hour"])
        if row.judged_at >= at.timestamp():
            continue
        for address in owners:
            own = mails.setdefault(row.customer, {})
            first = Mail(row.customer, address, f"{at:%Y-%m-%d}", settings["language"], settings["time_zone"])
            own.setdefault(address.casefold(), first).faxes[row.reception] = _told(row, settings, now)
    return [
        Due(tuple(mails.get(customer, {}).values()), tuple(unwanted.get(customer, ())))
        for customer in {**mails, **unwanted}
    ]


def _last(now: float, time_zone: str, hour: int) -> datetime:
    """The last time that it was so late there."""
    local = datetime.fromtimestamp(now, zone_named(time_zone))
    at = local.replace(hour=hour, minute=0, second=0, microsecond=0, fold=0)
    return at if at.timestamp() <= now else at - timedelta(days=1)


def _told(row: Any, settings: Effective, now: float) -> Mapping[str, Any]:
    days = settings["junk_link_days"]
    return {
        "reception": row.reception,
        "number": row.number,
        "caller": row.caller,
        "ident": row.ident,
        "at": row.started_at,
        "pages": row.pages,
        "score": row.score,
        "reasons": row.reasons,
        "release_at": row.release_at,
        "link_until": now + days * 86_400.0 if days else 0.0,
    }


def tell(conn: Connection, found: Due, *, now: float, link: Link | None = None) -> int:
    """Write the mails of one customer and mark what they tell; how many mails.

    Args:
        conn: The unit's connection.
        found: What `due` found; what has been told or settled since is left out.
        now: Unix seconds.
        link: Makes the links; None: the mails have none.
    """
    late = {reception for mail in found.mails if outbox.written(conn, mail.item) for reception in mail.faxes}
    asked = {reception for mail in found.mails for reception in mail.faxes} - late
    open_ = _untold(conn, [*asked, *found.unwanted])
    written = 0
    for mail in found.mails:
        faxes = [_linked(fax, mail.address, link) for reception, fax in mail.faxes.items() if reception in open_]
        if not faxes:
            continue
        payload = {
            "language": mail.language,
            "time_zone": mail.time_zone,
            "day": mail.day,
            "faxes": faxes[:MAX_LISTED],
            "count": len(faxes),
        }
        outbox.put(conn, mail.item, KIND, mail.address, customer=mail.customer, payload=payload, now=now)
        written += 1
    if open_:
        conn.execute(update(t.junk).where(t.junk.c.reception.in_(open_)).values(told_at=now))
    for reception in sorted(open_ & asked):
        note(conn, reception, "reception.junk_told", now=now)
    return written


def _linked(fax: Mapping[str, Any], address: str, link: Link | None) -> Mapping[str, Any]:
    until = fax["link_until"]
    return {**fax, "link": link(fax["reception"], address, until) if link is not None and until else ""}


def forget(conn: Connection, row: Row[Any], *, now: float) -> None:
    """A fax is purged: the mail that told of it says no more of it, and does not go if it told of nothing else.

    Args:
        conn: The unit's connection.
        row: Of the received fax.
        now: Unix seconds.
    """
    told_at = conn.execute(select(t.junk.c.told_at).where(t.junk.c.reception == row.id)).scalar()
    if told_at is None:
        return
    settings, c = from_snapshot(row.settings), t.outbox.c
    told_on = datetime.fromtimestamp(told_at, UTC)  # the mail's day is that of its first fax, in whichever zone
    days = [f"{told_on + timedelta(days=more):%Y-%m-%d}" for more in (-2, -1, 0, 1)]
    items = [item_id("junk", row.customer, owner.casefold(), day) for owner in owners_of(settings) for day in days]
    for item in conn.execute(select(c.id, c.payload, c.state).where(c.id.in_(items))).all():
        told = item.payload.get("faxes", [])
        faxes = [fax for fax in told if fax["reception"] != row.id]
        if len(faxes) == len(told):
            continue
        count = item.payload["count"] - len(told) + len(faxes)
        values: dict[str, object] = {"payload": {**item.payload, "faxes": faxes, "count": count}}
        if not faxes and item.state not in ("done", "dead"):
            values |= {"state": "dead", "done_at": now, "detail": "what it told of has been purged"}
        conn.execute(update(t.outbox).where(c.id == item.id).values(**values))


def owners_of(settings: Effective) -> Sequence[str]:
    """Who is told of a number's junk: its mailboxes, else the fallback mailbox."""
    return settings["deliver_to"] or tuple(filter(None, (settings["fallback_mailbox"],)))


def _untold(conn: Connection, receptions: Sequence[str]) -> set[str]:
    """Those that still wait and of which nobody has been told."""
    j = t.junk.c
    query = select(j.reception).where(j.reception.in_(receptions), j.state == State.ASIDE.value, j.told_at.is_(None))
    return set(conn.execute(query).scalars())
