"""Customers, profiles, users, senders, domains and numbers: made, changed, suspended, closed, each with its event.

Every unit takes the customer and sees nothing of others. What the settings file names is the file's to decide, what an
import of a directory made is the directory's: changing either here is refused, with the place where it can be changed,
for it would be undone at the next start or import. Only states are always the operator's. Nothing with a history is
ever removed: it is ended (features B0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # columns

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, insert, select, update

from faxgw.fax.account import AccountState, Effective, check_settings
from faxgw.fax.errors import Refused
from faxgw.store import directory, named_templates, register
from faxgw.store import schema as t
from faxgw.store.directory import DIRECTORY, FILE
from faxgw.store.journal import Event, note
from faxgw.store.namesakes import namesake

MAX_LISTED = 1_000
"""Rows of one answer at most."""
ENTITY = 48
"""Characters of an event's entity: the customer's id as far as it goes."""


class NotFound(Refused):
    """There is no such thing, or it is another customer's, which must look alike."""

    default_public = "There is no such thing here."


class Conflict(Refused):
    """It exists already, belongs to somebody else, or is kept by the settings file or a directory."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that a customer has."""

    name: str
    """In events and messages."""
    table: Table
    key: str
    """Column of the key, as it is given to units; not always the table's own key."""
    path: bool
    """True: the table's key is `customer/key`."""


PROFILE = Kind("profile", t.profiles, "name", path=True)
USER = Kind("user", t.users, "name", path=True)
NUMBER = Kind("number", t.numbers, "e164", path=False)
DOMAIN = Kind("domain", t.domains, "name", path=False)
LOGIN = Kind("login", t.logins, "name", path=False)
KINDS = {kind.name: kind for kind in (PROFILE, USER, NUMBER, DOMAIN, LOGIN)}


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and when."""

    who: str
    now: float
    """Unix seconds."""
    reason: str = ""
    """What the audit says of it."""


# ------------------------------------------------------------------------------------------------------ customers


def customer_rows(conn: Connection, *, after: str = "", limit: int = MAX_LISTED) -> Sequence[Mapping[str, Any]]:
    """Customers in the order of their ids."""
    query = select(t.customers).where(t.customers.c.id > after).order_by(t.customers.c.id).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def customer_row(conn: Connection, customer: str) -> Mapping[str, Any]:
    """A customer. Raises NotFound."""
    row = conn.execute(select(t.customers).where(t.customers.c.id == customer)).mappings().first()
    if row is None:
        raise NotFound
    return dict(row)


def create_customer(conn: Connection, customer: str, *, name: str, settings: Mapping[str, Any], by: Author) -> None:
    """Make a customer. Raises Conflict."""
    if conn.execute(select(t.customers.c.id).where(t.customers.c.id == customer)).first() is not None:
        raise Conflict(public=f"There is a customer {customer} already; ids are never used again.")
    if (other := namesake(conn, t.customers.c.id, customer)) is not None:
        raise Conflict(public=f"There is a customer {other} already; ids must differ in more than case.")
    stored = checked(settings)
    named_templates.require(conn, customer, stored)
    state = AccountState.ACTIVE.value
    conn.execute(insert(t.customers).values(id=customer, name=name, settings=stored, state=state))
    _audit(conn, customer, "customer.created", customer, by, {"name": name, "settings": stored})


def change_customer(
    conn: Connection, customer: str, *, name: str | None, settings: Mapping[str, Any] | None, by: Author
) -> None:
    """Change a customer's name or settings; a setting given as None is taken away. Raises NotFound, Conflict."""
    row = customer_row(conn, customer)
    _own(row, f"Customer {customer}")
    values: dict[str, Any] = {} if name is None else {"name": name}
    if settings is not None:
        values["settings"] = merged(row["settings"], settings)
        named_templates.require(conn, customer, values["settings"], row["settings"])
    if values:
        _check_clip(conn, customer, values.get("settings", {}), by.now)
        conn.execute(update(t.customers).where(t.customers.c.id == customer).values(**values))
        _audit(conn, customer, "customer.changed", customer, by, _differences(row, values))


def set_customer_state(conn: Connection, customer: str, state: AccountState, *, by: Author) -> None:
    """Suspend, resume or end a customer; faxes that wait are held when their time comes. Raises NotFound, Conflict."""
    row = customer_row(conn, customer)
    _check_state(row["state"], state)
    conn.execute(update(t.customers).where(t.customers.c.id == customer).values(state=state.value))
    _audit(conn, customer, "customer.state", customer, by, {"before": row["state"], "after": state.value})


# ------------------------------------------------------------------------------------------- what a customer has


def rows(
    conn: Connection, customer: str, kind: Kind, *, after: str = "", limit: int = MAX_LISTED
) -> Sequence[Mapping[str, Any]]:
    """The customer's things of a kind, in the order of their keys."""
    column = kind.table.c[kind.key]
    query = select(kind.table).where(kind.table.c.customer == customer, column > after).order_by(column).limit(limit)
    return [_shown(dict(row)) for row in conn.execute(query).mappings()]


def row(conn: Connection, customer: str, kind: Kind, key: str) -> Mapping[str, Any]:
    """One of them. Raises NotFound."""
    return _shown(_found(conn, customer, kind, key))


def create(conn: Connection, customer: str, kind: Kind, key: str, values: Mapping[str, Any], *, by: Author) -> None:
    """Make one.

    Args:
        conn: The unit's connection.
        customer: Whose.
        kind: What.
        key: Its name or number.
        values: The other columns; `settings` are checked here.
        by: Who does it.

    Raises:
        NotFound: If there is no such customer, or profile.
        Conflict: If the key is taken, by whomever.
        BadRange: If it is a range of numbers that cannot be.
    """
    customer_row(conn, customer)
    where = kind.table.c.id == f"{customer}/{key}" if kind.path else kind.table.c[kind.key] == key
    if conn.execute(select(kind.table.c[kind.key]).where(where)).first() is not None:
        raise Conflict(public=f"The {kind.name} {key} is taken.")
    own = kind.table.c.customer == customer if kind.path else None
    if kind is not NUMBER and (other := namesake(conn, kind.table.c[kind.key], key, own)) is not None:
        taken = other if kind.path else key  # another's name is nobody's business but that it is taken
        raise Conflict(public=f"The {kind.name} {taken} is taken; names must differ in more than case.")
    if kind is NUMBER and (last := values.get("last")):
        register.check_range(conn, key, last)
    stored = _checked_values(conn, customer, kind, values, by.now)
    named_templates.require(conn, customer, stored.get("settings", {}))
    if "state" in kind.table.c:
        stored.setdefault("state", AccountState.ACTIVE.value)
    if kind.path:
        stored["id"] = f"{customer}/{key}"
    if kind is LOGIN:
        stored.setdefault("created_at", by.now)
    conn.execute(insert(kind.table).values(customer=customer, **{kind.key: key}, **stored))
    _audit(conn, customer, f"{kind.name}.created", key, by, _public(stored))


def change(conn: Connection, customer: str, kind: Kind, key: str, values: Mapping[str, Any], *, by: Author) -> None:
    """Change some columns; of `settings` those given, None takes one away. Raises NotFound, Conflict, Refused."""
    found = _found(conn, customer, kind, key)
    _own(found, f"The {kind.name} {key}")
    given = dict(values)
    if "settings" in given:
        given["settings"] = merged(found["settings"], given["settings"])
        named_templates.require(conn, customer, given["settings"], found["settings"])
    stored = _checked_values(conn, customer, kind, given, by.now)
    if stored:
        conn.execute(update(kind.table).where(_where(customer, kind, key)).values(**stored))
        _audit(conn, customer, f"{kind.name}.changed", key, by, _differences(found, stored))


def set_state(conn: Connection, customer: str, kind: Kind, key: str, state: AccountState, *, by: Author) -> None:
    """Suspend, resume or end a user, number or login. Raises NotFound, Conflict."""
    found = _found(conn, customer, kind, key)
    _check_state(found["state"], state)
    conn.execute(update(kind.table).where(_where(customer, kind, key)).values(state=state.value))
    _audit(conn, customer, f"{kind.name}.state", key, by, {"before": found["state"], "after": state.value})


def remove(conn: Connection, customer: str, kind: Kind, key: str, *, by: Author) -> None:
    """Remove a login, a domain, or a profile that nobody uses any more. Raises NotFound, Conflict."""
    if kind not in (LOGIN, DOMAIN, PROFILE):
        raise Conflict(public=f"A {kind.name} is never removed; end it instead.")
    found = _found(conn, customer, kind, key)
    _own(found, f"The {kind.name} {key}")
    if kind is PROFILE:
        for table in (t.users, t.numbers):
            if conn.execute(select(table.c.customer).where(table.c.profile == found["id"]).limit(1)).first():
                raise Conflict(public=f"The profile {key} is still in use.")
    conn.execute(delete(kind.table).where(_where(customer, kind, key)))
    _audit(conn, customer, f"{kind.name}.removed", key, by, {})


# --------------------------------------------------------------------------------------------------------- senders


def sender_rows(
    conn: Connection, customer: str, *, after: str = "", limit: int = MAX_LISTED
) -> Sequence[Mapping[str, Any]]:
    """Who may send without a login: addresses, domains, networks, in their order."""
    c = t.senders.c
    query = select(t.senders).where(c.customer == customer, c.value > after).order_by(c.value, c.kind).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def allow_sender(conn: Connection, customer: str, kind: str, value: str, user: str, *, by: Author) -> None:
    """Let an address, domain or network send, as a user (short name) or the customer as a whole.

    Raises:
        NotFound: If there is no such user.
        Conflict: If it is somebody's already.
    """
    customer_row(conn, customer)
    owner = _named(conn, customer, USER, user) if user else None
    if conn.execute(select(t.senders.c.value).where(t.senders.c.kind == kind, t.senders.c.value == value)).first():
        raise Conflict(public=f"The {kind} {value} may send already.")
    conn.execute(insert(t.senders).values(kind=kind, value=value, customer=customer, user=owner))
    _audit(conn, customer, "sender.created", value, by, {"kind": kind, "user": user})


def forbid_sender(conn: Connection, customer: str, kind: str, value: str, *, by: Author) -> None:
    """Take it back. Raises NotFound, Conflict."""
    c = t.senders.c
    where = and_(c.kind == kind, c.value == value, c.customer == customer)
    found = conn.execute(select(t.senders).where(where)).mappings().first()
    if found is None:
        raise NotFound
    _own(dict(found), f"The {kind} {value}")
    conn.execute(delete(t.senders).where(where))
    _audit(conn, customer, "sender.removed", value, by, {"kind": kind})


# ---------------------------------------------------------------------------------------------------------- others


def in_force(conn: Connection, customer: str, user: str, system: Mapping[str, object]) -> Effective:
    """The settings in force for a user (short name) or the customer as a whole. Raises NotFound."""
    customer_row(conn, customer)
    ident = str(_found(conn, customer, USER, user)["id"]) if user else ""
    return directory.effective(conn, system, customer, ident)


def audit(conn: Connection, customer: str, *, before: int = 0, limit: int = 100) -> Sequence[Event]:
    """What was changed of a customer's accounts, newest first.

    Args:
        conn: The unit's connection.
        customer: Whose.
        before: Only events with a smaller serial; 0: from the newest.
        limit: Events at most.
    """
    c = t.events.c
    query = select(t.events).where(c.entity == customer[:ENTITY], c.what.like("account.%"))
    if before:
        query = query.where(c.serial < before)
    found = conn.execute(query.order_by(c.serial.desc()).limit(limit)).mappings()
    events = [Event(r["serial"], r["at"], r["entity"], r["what"], r["who"], r["data"]) for r in found]
    return [event for event in events if event.data.get("customer") == customer]


def may_show(conn: Connection, customer: str, e164: str, *, now: float) -> bool:
    """Whether a customer may be seen to call from a number: it is his, for that, and the consent holds (B6)."""
    found = register.entry(conn, e164)
    if found is None or found["customer"] != customer or not found["clip"]:
        return False
    return found["clip_until"] is None or found["clip_until"] > now


def checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one level in their stored form. Raises Refused with every fault."""
    values, faults = check_settings(settings)
    if faults:
        raise Refused(public="; ".join(faults)[:2000] + ".")
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those given laid over; None takes one away. Raises Refused."""
    kept = {key: value for key, value in before.items() if key not in given}
    return kept | checked({key: value for key, value in given.items() if value is not None})


def _where(customer: str, kind: Kind, key: str) -> ColumnElement[bool]:
    return and_(kind.table.c.customer == customer, kind.table.c[kind.key] == key)


def _found(conn: Connection, customer: str, kind: Kind, key: str) -> Mapping[str, Any]:
    found = conn.execute(select(kind.table).where(_where(customer, kind, key))).mappings().first()
    if found is None:
        raise NotFound
    return dict(found)


def _named(conn: Connection, customer: str, kind: Kind, key: str) -> str:
    """The id of a profile or user that something else names. Raises NotFound, which says what is missing."""
    found = conn.execute(select(kind.table.c.id).where(_where(customer, kind, key))).scalar()
    if found is None:
        raise NotFound(public=f"There is no {kind.name} {key}.")
    return str(found)


def _own(found: Mapping[str, Any], what: str) -> None:
    if found["managed"] == FILE:
        raise Conflict(public=f"{what} stands in the settings file; change it there.")
    if found["managed"] == DIRECTORY:
        raise Conflict(public=f"{what} comes from the directory; change it there.")


def _check_state(before: str, after: AccountState) -> None:
    if before == AccountState.ENDED and after is not AccountState.ENDED:
        raise Conflict(public="What was ended stays ended.")


def _checked_values(
    conn: Connection, customer: str, kind: Kind, values: Mapping[str, Any], now: float
) -> dict[str, Any]:
    stored = dict(values)
    if "settings" in stored:
        stored["settings"] = checked(stored["settings"])
        _check_clip(conn, customer, stored["settings"], now)
    if stored.get("profile"):
        stored["profile"] = _named(conn, customer, PROFILE, stored["profile"])
    if stored.get("user"):
        stored["user"] = _named(conn, customer, USER, stored["user"])
    for column in ("profile", "user"):
        if column in stored and not stored[column]:
            stored[column] = None
    return stored


def _check_clip(conn: Connection, customer: str, settings: Mapping[str, Any], now: float) -> None:
    """A caller number must be one of the customer's, with a consent that holds (B6). Raises Conflict."""
    clip = settings.get("clip")
    if clip and not may_show(conn, customer, clip, now=now):
        raise Conflict(public=f"clip: {clip} is no number of this customer that it may show.")


def _shown(found: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = {name: value for name, value in found.items() if name != "password"}
    for column in ("profile", "user"):
        if shown.get(column):
            shown[column] = str(shown[column]).partition("/")[2]
    return shown


def _public(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "(changed)" if name in ("password", "hash") else value for name, value in values.items()}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in after.items() if before[name] != value}
    return {"before": _public({name: before[name] for name in changed}), "after": _public(changed)}


def _audit(conn: Connection, customer: str, what: str, key: str, by: Author, data: Mapping[str, Any]) -> None:
    facts = {"customer": customer, "key": key, **data} | ({"reason": by.reason} if by.reason else {})
    note(conn, customer[:ENTITY], f"account.{what}", now=by.now, who=by.who, data=facts)
