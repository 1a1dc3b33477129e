"""Rules for received faxes: those of a number, of its profile, of its customer and of the gateway.

They are stored as `fax.rule_form` writes them and checked before: a rule that is stored can be decided with, and what
it names is there. A rule of the gateway may only name targets of the gateway. What the settings file names, the file
decides; such rules come after the others of their level and position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any  # rows

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from faxgw.fax.account import Level
from faxgw.fax.errors import Refused
from faxgw.fax.routing_rule import LEVELS, MAX_RULES, OWNER, Rule
from faxgw.fax.rule_form import RuleDefect, from_json, to_json
from faxgw.store import named_templates, register, targets
from faxgw.store import schema as t
from faxgw.store.accounts import ENTITY, Author, Conflict, NotFound, customer_row
from faxgw.store.directory import FILE
from faxgw.store.journal import note

MAX_POSITION = 1_000_000
"""The last position."""


def create(conn: Connection, rule: Rule, *, by: Author) -> Rule:
    """Make a rule.

    Raises:
        NotFound: If there is no such customer, number or profile.
        Conflict: If the name is taken at its place.
        Refused: If what it names is not there, or there are too many.
    """
    _check(conn, rule)
    _check_reply(conn, rule)
    if _row(conn, rule) is not None:
        raise Conflict(public=f"There is a rule {rule.name} already.")
    count = select(func.count()).select_from(t.routing_rules).where(*_place(rule))
    if conn.execute(count).scalar_one() >= MAX_RULES:
        raise Refused(public=f"There are {MAX_RULES} rules already.")
    conn.execute(
        insert(t.routing_rules).values(
            id=rule.id,
            customer=rule.customer,
            level=rule.level.value,
            scope=rule.scope,
            name=rule.name,
            **_columns(rule),
            created_at=by.now,
            created_by=by.who[:130],
        )
    )
    _note(conn, rule, "created", by, to_json(rule))
    return rule


def change(conn: Connection, rule: Rule, *, by: Author) -> Rule:
    """Put a rule in the place of the one with its place and name. Raises NotFound, Conflict, Refused."""
    row = _own(conn, rule)
    made = replace(rule, id=row.id)
    _check(conn, made)
    _check_reply(conn, made, row)
    conn.execute(update(t.routing_rules).where(t.routing_rules.c.id == row.id).values(**_columns(made)))
    _note(conn, made, "changed", by, {"before": row.body, "after": to_json(made)})
    return made


def remove(conn: Connection, customer: str, rule: str, *, by: Author) -> None:
    """Remove a rule by its id. Raises NotFound, Conflict."""
    found = get(conn, customer, rule)
    _own(conn, found)
    conn.execute(delete(t.routing_rules).where(t.routing_rules.c.id == rule))
    _note(conn, found, "removed", by, {})


def get(conn: Connection, customer: str, rule: str) -> Rule:
    """A customer's rule by its id, or with an empty customer the gateway's. Raises NotFound."""
    c = t.routing_rules.c
    row = conn.execute(select(t.routing_rules).where(c.id == rule, c.customer == customer)).first()
    if row is None:
        raise NotFound
    return _rule(row)


def every(conn: Connection, customer: str) -> Sequence[Rule]:
    """All rules of a customer, or with an empty one the gateway's, in the order in which they are asked."""
    rows = conn.execute(select(t.routing_rules).where(t.routing_rules.c.customer == customer)).all()
    rules = [_rule(row) for row in rows]
    return sorted(rules, key=lambda one: (LEVELS.index(one.level), one.scope, one.position, one.name))


def managed(conn: Connection, customer: str) -> frozenset[str]:
    """Ids of the rules that the settings file has."""
    query = select(t.routing_rules.c.id)
    query = query.where(t.routing_rules.c.customer == customer, t.routing_rules.c.managed == FILE)
    return frozenset(conn.execute(query).scalars())


def applying(conn: Connection, customer: str, number: str) -> Sequence[Rule]:
    """The rules that are asked about a fax to a number of a customer, in no order.

    Args:
        conn: A connection.
        customer: Whose the fax is.
        number: The number dialled, E.164.
    """
    c = t.routing_rules.c
    places = [c.level == Level.SYSTEM.value, (c.level == Level.CUSTOMER.value) & (c.customer == customer)]
    entry = register.entry(conn, number)
    if entry is not None and entry["customer"] == customer:
        places.append((c.level == Level.NUMBER.value) & (c.customer == customer) & (c.scope == entry["e164"]))
        if entry["profile"]:
            profile = entry["profile"].partition("/")[2]
            places.append((c.level == Level.PROFILE.value) & (c.customer == customer) & (c.scope == profile))
    return [_rule(row) for row in conn.execute(select(t.routing_rules).where(c.active, or_(*places)))]


def seed(conn: Connection, rules: Sequence[Rule], *, now: float) -> None:
    """Lay the settings file's rules over the table; those that it has no longer are removed, for rules act."""
    named = {seed_id(rule) for rule in rules}
    c = t.routing_rules.c
    for row in conn.execute(select(c.id).where(c.managed == FILE)).all():
        if row.id not in named:
            conn.execute(delete(t.routing_rules).where(c.id == row.id))
    for rule in rules:
        _check(conn, rule)
        values = {**_columns(rule), "managed": FILE}
        found = _row(conn, rule)
        _check_reply(conn, rule, found)
        if found is not None:
            conn.execute(update(t.routing_rules).where(c.id == found.id).values(**values))
            continue
        place = {"customer": rule.customer, "level": rule.level.value, "scope": rule.scope, "name": rule.name}
        conn.execute(
            insert(t.routing_rules).values(id=seed_id(rule), **place, **values, created_at=now, created_by=FILE)
        )


def seed_id(rule: Rule) -> str:
    """Id of a rule of the settings file: the same at every start."""
    place = f"{rule.customer}/{rule.level}/{rule.scope}/{rule.name}"
    return f"rul_{hashlib.sha256(place.encode()).hexdigest()[:26]}"


def _check(conn: Connection, rule: Rule) -> None:
    """Its place, and what it names."""
    if (rule.level is Level.SYSTEM) != (rule.customer == ""):
        raise Refused(public="A rule of the gateway has no customer, every other one has.")
    if not 0 <= rule.position <= MAX_POSITION:
        raise Refused(public=f"position must be from 0 to {MAX_POSITION}.")
    if rule.customer:
        customer_row(conn, rule.customer)
    _check_scope(conn, rule)
    for name in rule.actions.deliver:
        if name == OWNER or "@" in name or targets.find(conn, rule.customer, name) is not None:
            continue
        raise Refused(public=f"There is no target {name}.")


def _check_reply(conn: Connection, rule: Rule, before: Row[Any] | None = None) -> None:
    """The cover page that it replies with, unless that is what it was."""
    had = {"fax_reply": (before.body.get("then") or {}).get("reply", "")} if before is not None else None
    named_templates.require(conn, rule.customer, {"fax_reply": rule.actions.reply}, had)


def _check_scope(conn: Connection, rule: Rule) -> None:
    n, p = t.numbers.c, t.profiles.c
    match rule.level:
        case Level.NUMBER:
            query = select(n.e164).where(n.e164 == rule.scope, n.customer == rule.customer)
            found = conn.execute(query).first() is not None
        case Level.PROFILE:
            query = select(p.name).where(p.name == rule.scope, p.customer == rule.customer)
            found = conn.execute(query).first() is not None
        case _:
            found = rule.level in LEVELS and not rule.scope
    if not found:
        raise NotFound(public=f"There is no {rule.level} {rule.scope} here.")


def _columns(rule: Rule) -> dict[str, Any]:
    return {"position": rule.position, "body": to_json(rule), "active": rule.active}


def _place(rule: Rule) -> tuple[Any, ...]:
    c = t.routing_rules.c
    return c.customer == rule.customer, c.level == rule.level.value, c.scope == rule.scope


def _row(conn: Connection, rule: Rule) -> Row[Any] | None:
    query = select(t.routing_rules).where(*_place(rule), t.routing_rules.c.name == rule.name)
    found: Row[Any] | None = conn.execute(query).first()
    return found


def _own(conn: Connection, rule: Rule) -> Row[Any]:
    row = _row(conn, rule)
    if row is None:
        raise NotFound
    if row.managed == FILE:
        raise Conflict(public=f"The rule {rule.name} stands in the settings file; change it there.")
    return row


def _rule(row: Row[Any]) -> Rule:
    try:
        conditions, actions, stop = from_json(row.body)
    except RuleDefect as exc:  # only a release that knows less than the one that wrote it
        raise Refused(f"rule {row.id}: {exc}", public=f"The rule {row.name} cannot be read.") from exc
    return Rule(
        row.id, row.name, row.customer, Level(row.level), row.scope, row.position, conditions, actions, stop, row.active
    )


def _note(conn: Connection, rule: Rule, what: str, by: Author, data: Mapping[str, Any]) -> None:
    place = {"customer": rule.customer, "key": rule.name, "level": rule.level.value, "scope": rule.scope}
    facts = {**place, **data} | ({"reason": by.reason} if by.reason else {})
    note(conn, rule.customer[:ENTITY] or "gateway", f"account.rule.{what}", now=by.now, who=by.who, data=facts)
