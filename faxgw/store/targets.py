"""Targets of received faxes: a customer's own, and those of the gateway, which every customer's rules may name.

A customer's own outranks the gateway's of the same name. Secrets lie in the row and are handed to the way out alone
(`in_use`); nothing here shows one, not even to the operator. What the settings file names, the file decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any  # rows

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from faxgw.fax.errors import Refused
from faxgw.fax.target import MAX_TARGETS, MAX_VALUE, Encryption, Format, Target, TargetDefect, TargetKind, check
from faxgw.store import schema as t
from faxgw.store.accounts import ENTITY, Author, Conflict, NotFound, customer_row
from faxgw.store.directory import FILE
from faxgw.store.journal import note

GATEWAY = ""
"""In place of a customer: the gateway's, for every one of them."""


def create(conn: Connection, target: Target, secrets: Mapping[str, str], *, by: Author) -> Target:
    """Make a target; its `secrets` are those given.

    Raises:
        NotFound: If there is no such customer.
        Conflict: If the name is taken.
        Refused: If it is no good, with every fault, or there are too many.
    """
    if target.customer:
        customer_row(conn, target.customer)
    made = _checked(target, secrets)
    if _row(conn, target.customer, target.name) is not None:
        raise Conflict(public=f"There is a target {target.name} already.")
    count = select(func.count()).select_from(t.targets).where(t.targets.c.customer == target.customer)
    if conn.execute(count).scalar_one() >= MAX_TARGETS:
        raise Refused(public=f"There are {MAX_TARGETS} targets already.")
    conn.execute(
        insert(t.targets).values(
            id=made.id,
            customer=made.customer,
            name=made.name,
            **_columns(made, secrets),
            created_at=by.now,
            created_by=by.who[:130],
        )
    )
    _note(conn, made.customer, "created", made.name, by, shown(made))
    return made


def change(
    conn: Connection, customer: str, name: str, values: Mapping[str, Any], secrets: Mapping[str, str], *, by: Author
) -> Target:
    """Change fields of a target; secrets that are not given stay, an empty one is taken away.

    What is under way keeps its documents and formats, and goes to the changed address with the changed secrets.

    Raises:
        NotFound: If there is none.
        Conflict: If the settings file has it.
        Refused: If it would be no good.
    """
    row = _own(conn, customer, name)
    before = _target(row)
    kept = {key: value for key, value in {**row.secrets, **secrets}.items() if value}
    made = _checked(replace(before, **values), kept)
    conn.execute(update(t.targets).where(t.targets.c.id == row.id).values(**_columns(made, kept)))
    old, new = shown(before), shown(made)
    differs = {key: new[key] for key in new if new[key] != old[key]}
    if given := sorted(secrets):
        differs["secrets"] = given  # the names; a value that changed is not to be seen
    if differs:
        _note(conn, customer, "changed", name, by, differs)
    return made


def remove(conn: Connection, customer: str, name: str, *, by: Author) -> None:
    """Remove a target that no rule names any more. What is under way to it goes on.

    Raises:
        NotFound: If there is none.
        Conflict: If a rule names it, or the settings file has it.
    """
    row = _own(conn, customer, name)
    rules = select(t.routing_rules.c.name, t.routing_rules.c.body)
    if customer:
        rules = rules.where(t.routing_rules.c.customer == customer)
    named = [rule.name for rule in conn.execute(rules) if name in rule.body.get("then", {}).get("deliver", ())]
    if named:
        raise Conflict(public=f"The rule {named[0]} delivers to {name}.")
    conn.execute(delete(t.targets).where(t.targets.c.id == row.id))
    _note(conn, customer, "removed", name, by, {})


def every(conn: Connection, customer: str) -> Sequence[Target]:
    """A customer's own targets, or with GATEWAY the gateway's, by name."""
    query = select(t.targets).where(t.targets.c.customer == customer).order_by(t.targets.c.name).limit(MAX_TARGETS)
    return [_target(row) for row in conn.execute(query)]


def managed(conn: Connection, customer: str) -> frozenset[str]:
    """Names of the targets that the settings file has."""
    query = select(t.targets.c.name).where(t.targets.c.customer == customer, t.targets.c.managed == FILE)
    return frozenset(conn.execute(query).scalars())


def find(conn: Connection, customer: str, name: str) -> Target | None:
    """What a customer's rule means by a name: its own target, else the gateway's; None: there is none."""
    row = _row(conn, customer, name) or _row(conn, GATEWAY, name)
    return None if row is None else _target(row)


def in_use(conn: Connection, told: Target) -> tuple[Target, Mapping[str, str]]:
    """A delivery's target as it stands now, and its secrets: for the way out alone.

    Args:
        conn: A connection.
        told: From the delivery.

    Returns:
        Address, parameters, recipient key and secrets as they are now, so that a target that was mended takes what
        waits for it; documents and names as the delivery was decided. A target that was removed: as told, without
        secrets.
    """
    row = conn.execute(select(t.targets).where(t.targets.c.id == told.id)).first()
    if row is None or row.kind != told.kind.value:
        return told, {}
    now = replace(
        told,
        address=row.address,
        params=dict(row.params),
        recipient_key=row.recipient_key if row.encryption == told.encryption.value else told.recipient_key,
        secrets=tuple(sorted(row.secrets)),
    )
    return now, dict(row.secrets)


def shown(target: Target) -> dict[str, Any]:
    """What may be shown of a target: of secrets their names."""
    return {**target.snapshot(), "active": target.active}


def seed(conn: Connection, targets: Sequence[tuple[Target, Mapping[str, str]]], *, now: float) -> None:
    """Lay the settings file's targets over the table; what the file has no longer is anybody's to change."""
    conn.execute(update(t.targets).where(t.targets.c.managed == FILE).values(managed=""))
    for target, secrets in targets:
        made = _checked(target, secrets)
        values = {**_columns(made, secrets), "managed": FILE}
        row = _row(conn, made.customer, made.name)
        if row is None:
            given = {"id": seed_id(made.customer, made.name), "created_at": now, "created_by": FILE}
            conn.execute(insert(t.targets).values(customer=made.customer, name=made.name, **given, **values))
        else:
            conn.execute(update(t.targets).where(t.targets.c.id == row.id).values(**values))


def seed_id(customer: str, name: str) -> str:
    """Id of a target of the settings file: the same at every start."""
    return f"tgt_{hashlib.sha256(f'{customer}/{name}'.encode()).hexdigest()[:26]}"


def _checked(target: Target, secrets: Mapping[str, str]) -> Target:
    made = replace(target, secrets=tuple(sorted(secrets)))
    try:
        check(made)
    except TargetDefect as exc:
        raise Refused(public="; ".join(exc.faults)[:2000] + ".") from exc
    if any(len(value) > MAX_VALUE for value in secrets.values()):
        raise Refused(public=f"A secret may have {MAX_VALUE} characters.")
    return made


def _columns(target: Target, secrets: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": target.kind.value,
        "address": target.address,
        "params": dict(target.params),
        "formats": [one.value for one in target.formats],
        "searchable": target.searchable,
        "upright": target.upright,
        "file_name": target.file_name,
        "encryption": target.encryption.value,
        "recipient_key": target.recipient_key,
        "secrets": dict(secrets),
        "active": target.active,
    }


def _row(conn: Connection, customer: str, name: str) -> Row[Any] | None:
    query = select(t.targets).where(t.targets.c.customer == customer, t.targets.c.name == name)
    found: Row[Any] | None = conn.execute(query).first()
    return found


def _own(conn: Connection, customer: str, name: str) -> Row[Any]:
    row = _row(conn, customer, name)
    if row is None:
        raise NotFound
    if row.managed == FILE:
        raise Conflict(public=f"The target {name} stands in the settings file; change it there.")
    return row


def _target(row: Row[Any]) -> Target:
    return Target(
        row.id,
        row.customer,
        row.name,
        TargetKind(row.kind),
        row.address,
        dict(row.params),
        tuple(Format(one) for one in row.formats),
        row.searchable,
        row.upright,
        row.file_name,
        Encryption(row.encryption),
        row.recipient_key,
        tuple(sorted(row.secrets)),
        row.active,
    )


def _note(conn: Connection, customer: str, what: str, name: str, by: Author, data: Mapping[str, Any]) -> None:
    facts = {"customer": customer, "key": name, **data} | ({"reason": by.reason} if by.reason else {})
    note(conn, customer[:ENTITY] or "gateway", f"account.target.{what}", now=by.now, who=by.who, data=facts)
