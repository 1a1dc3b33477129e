"""Legal holds: what they name is not purged until they are lifted, each with its reason (features H1).

A hold names a customer, a number, one fax (or job, or received fax), a period, or several of these, which must all
apply then. It binds the purge in the very transaction that would delete. Setting and lifting are records of the audit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from faxgw.fax.errors import Refused
from faxgw.store import schema as t
from faxgw.store.journal import note

MAX_HOLDS = 1_000
"""Holds in force at most; the purge compares each fax with all of them."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold."""

    id: str
    customer: str
    """Empty: of every customer."""
    number: str
    """E.164, ours or the other side's; empty: any."""
    entity: str
    """Id of a fax, a job or a received fax; empty: any."""
    since: float | None
    """Faxes from this time on, Unix seconds."""
    until: float | None
    """Faxes before this time."""
    reason: str

    def covers(self, subject: Subject) -> bool:
        """Whether a fax is held by this hold."""
        return (
            self.customer in ("", subject.customer)
            and (not self.number or self.number in subject.numbers)
            and (not self.entity or self.entity in subject.entities)
            and (self.since is None or subject.at >= self.since)
            and (self.until is None or subject.at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """What a hold is compared with."""

    customer: str
    numbers: Collection[str]
    entities: Collection[str]
    at: float
    """When it was accepted, or came."""


def put(conn: Connection, hold: Hold, *, who: str, now: float) -> None:
    """Set a hold; the same id twice is one.

    Raises:
        Refused: If it names nothing, has no reason, or there are too many.
    """
    if not hold.reason.strip():
        raise Refused("no reason", public="A hold needs a reason.")
    if not (hold.customer or hold.number or hold.entity or hold.since is not None or hold.until is not None):
        raise Refused("names nothing", public="A hold names a customer, a number, a fax or a period.")
    if (
        hold.customer
        and conn.execute(select(t.customers.c.id).where(t.customers.c.id == hold.customer)).first() is None
    ):
        raise Refused(f"no customer {hold.customer}", public=f"There is no customer {hold.customer}.")
    if conn.execute(select(t.holds.c.id).where(t.holds.c.id == hold.id)).first() is not None:
        return
    if len(in_force(conn)) >= MAX_HOLDS:
        raise Refused("too many holds", public=f"There are {MAX_HOLDS} holds; lift some first.")
    conn.execute(
        insert(t.holds).values(
            id=hold.id,
            customer=hold.customer,
            number=hold.number,
            entity=hold.entity,
            since=hold.since,
            until=hold.until,
            reason=hold.reason[:400],
            set_at=now,
            set_by=who[:130],
        )
    )
    note(conn, hold.id, "account.hold.set", now=now, who=who, data=_facts(hold))


def lift(conn: Connection, ident: str, *, why: str, who: str, now: float) -> None:
    """Lift a hold.

    Raises:
        Refused: If there is none in force of that id, or no reason.
    """
    if not why.strip():
        raise Refused("no reason", public="Lifting a hold needs a reason.")
    values = {"lifted_at": now, "lifted_by": who[:130], "lifted_why": why[:400]}
    changed = conn.execute(update(t.holds).where(t.holds.c.id == ident, t.holds.c.lifted_at.is_(None)).values(**values))
    if changed.rowcount != 1:
        raise Refused(f"no hold {ident}", public=f"There is no hold {ident} in force.")
    note(conn, ident, "account.hold.lifted", now=now, who=who, data={"reason": why[:400]})


def _facts(hold: Hold) -> dict[str, object]:
    """For the audit, which holds no numbers: that there is one is enough."""
    return {
        "customer": hold.customer,
        "number": bool(hold.number),
        "entity": hold.entity,
        "since": hold.since,
        "until": hold.until,
        "reason": hold.reason[:400],
    }


def in_force(conn: Connection) -> Sequence[Hold]:
    """Every hold that is not lifted."""
    c = t.holds.c
    query = select(c.id, c.customer, c.number, c.entity, c.since, c.until, c.reason).where(c.lifted_at.is_(None))
    return [Hold(*row) for row in conn.execute(query.order_by(c.set_at))]


def listed(conn: Connection, *, everything: bool = False) -> Sequence[dict[str, object]]:
    """Holds as their rows, newest first; with `everything` lifted ones too."""
    query = select(t.holds).order_by(t.holds.c.set_at.desc()).limit(2 * MAX_HOLDS)
    query = query if everything else query.where(t.holds.c.lifted_at.is_(None))
    return [dict(row) for row in conn.execute(query).mappings()]


def held_by(holds: Sequence[Hold], subject: Subject) -> str:
    """The first hold that covers a fax; empty: none does."""
    return next((hold.id for hold in holds if hold.covers(subject)), "")


def count(conn: Connection) -> int:
    """Holds in force."""
    return conn.execute(select(func.count()).where(t.holds.c.lifted_at.is_(None))).scalar_one()
