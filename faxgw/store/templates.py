"""Templates of covers, overlays and mails: a customer's own by name, and those that the operator gives to everybody.

A customer's own outranks the operator's of the same name; what a release ships comes last and lies in the package
(`document.covers`), not here. A template is small and lies in its row: a backup has it with the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any  # rows

from sqlalchemy import Connection, Row, delete, func, insert, select

from faxgw.fax.errors import Refused
from faxgw.store import schema as t
from faxgw.store.accounts import ENTITY
from faxgw.store.journal import note

MAX_CONTENT = 2_000_000
"""Octets of one template."""
MAX_TEMPLATES = 500
"""Templates of one customer and kind."""
MAX_NAME = 200
"""Characters of a name."""
EVERYBODY = ""
"""In place of a customer: the operator's, for all of them."""


class Kind(StrEnum):
    """What a template is for."""

    COVER = "cover"
    OVERLAY = "overlay"
    MAIL = "mail"


class UnknownTemplate(Refused):
    """There is no such template."""

    default_public = "There is no such template."


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it is kept."""

    customer: str
    """Empty: everybody's."""
    kind: Kind
    name: str
    format: str
    """`html`, `rtf`, `docx` for covers; what an overlay is, for overlays; `package` or `toml` for mails."""
    content: bytes
    """Empty in lists."""
    sha256: str
    """Of the content, hexadecimal."""
    size: int
    """Octets of the content."""
    changed_at: float
    """Unix seconds."""
    changed_by: str


def keep(
    conn: Connection, customer: str, kind: Kind, name: str, *, format: str, content: bytes, who: str, now: float
) -> Template:
    """Keep a template in place of that of the same name, if there is one; who has read it has found it good.

    Args:
        conn: The unit's connection.
        customer: Whose; EVERYBODY for all.
        kind: What for.
        name: How jobs name it.
        format: What it is.
        content: All of it.
        who: For the journal.
        now: Unix seconds.

    Raises:
        Refused: If name or size are not possible, or there are too many.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable() or "/" in name:
        raise Refused("bad name", public=f"A template's name has 1 to {MAX_NAME} printable characters and no “/”.")
    if not 0 < len(content) <= MAX_CONTENT:
        raise Refused("bad size", public=f"A template may have {MAX_CONTENT:,} octets.")
    where = _is(customer, kind, name)
    known = conn.execute(select(t.templates.c.sha256).where(*where)).scalar()
    if known is None:
        query = select(func.count()).where(t.templates.c.customer == customer, t.templates.c.kind == kind.value)
        if conn.execute(query).scalar_one() >= MAX_TEMPLATES:
            raise Refused("too many", public=f"There may be at most {MAX_TEMPLATES} templates of this kind.")
    template = Template(
        customer, kind, name, format, content, hashlib.sha256(content).hexdigest(), len(content), now, who[:130]
    )
    conn.execute(delete(t.templates).where(*where))
    conn.execute(
        insert(t.templates).values(
            customer=customer,
            kind=kind.value,
            name=name,
            format=format,
            content=content,
            sha256=template.sha256,
            size=template.size,
            changed_at=now,
            changed_by=template.changed_by,
        )
    )
    _note(conn, customer, "kept", kind, name, who=who, now=now, sha256=template.sha256)
    return template


def find(conn: Connection, customer: str, kind: Kind, name: str) -> Template | None:
    """The template that a customer's job means by a name: its own, else everybody's."""
    query = select(t.templates).where(
        t.templates.c.customer.in_({customer, EVERYBODY}), t.templates.c.kind == kind.value, t.templates.c.name == name
    )
    row = conn.execute(query.order_by(t.templates.c.customer.desc()).limit(1)).first()
    return None if row is None else _template(row, row.content)


def exists(conn: Connection, customer: str, kind: Kind, name: str) -> bool:
    """Whether a customer's job means a template by a name."""
    query = select(t.templates.c.name).where(
        t.templates.c.customer.in_({customer, EVERYBODY}), t.templates.c.kind == kind.value, t.templates.c.name == name
    )
    return conn.execute(query.limit(1)).first() is not None


def every(conn: Connection, customer: str, kind: Kind) -> Sequence[Template]:
    """A customer's own templates and everybody's, by name, without their content; the own one where both have it."""
    columns = [column for column in t.templates.columns if column.name != "content"]
    query = select(*columns).where(t.templates.c.customer.in_({customer, EVERYBODY}), t.templates.c.kind == kind.value)
    rows = conn.execute(query.order_by(t.templates.c.name, t.templates.c.customer)).all()
    return list({row.name: _template(row, b"") for row in rows}.values())


def remove(conn: Connection, customer: str, kind: Kind, name: str, *, who: str, now: float) -> bool:
    """Remove a template; False if there was none. Jobs that name it and have no pages yet will be refused."""
    if not conn.execute(delete(t.templates).where(*_is(customer, kind, name))).rowcount:
        return False
    _note(conn, customer, "removed", kind, name, who=who, now=now)
    return True


def _note(
    conn: Connection, customer: str, what: str, kind: Kind, name: str, *, who: str, now: float, **facts: str
) -> None:
    """Write down a change where changes of a customer's accounts stand; everybody's have a place of their own."""
    entity = customer[:ENTITY] if customer else "templates"
    data = {"customer": customer, "key": name, "kind": kind.value, **facts}
    note(conn, entity, f"account.template.{what}", now=now, who=who[:130], data=data)


def _is(customer: str, kind: Kind, name: str) -> tuple[Any, ...]:
    return (t.templates.c.customer == customer, t.templates.c.kind == kind.value, t.templates.c.name == name)


def _template(row: Row[Any], content: bytes) -> Template:
    return Template(
        row.customer,
        Kind(row.kind),
        row.name,
        row.format,
        content,
        row.sha256,
        row.size,
        row.changed_at,
        row.changed_by,
    )
