"""Which received fax a file of a pick-up area is: for the audit, which names faxes and not files."""

from __future__ import annotations

import re

from sqlalchemy import Connection, select

from faxgw.fax.target import TargetKind
from faxgw.store import schema as t

MAX_CANDIDATES = 50
"""Deliveries to one login with such a file that are looked at, newest first."""
_IDENT = re.compile(r"rcv_[0-9a-f]{32}")


def reception_of(conn: Connection, customer: str, login: str, name: str) -> str:
    """The received fax that a file belongs to; empty when nobody knows.

    File names hold the fax's id unless a target's template says otherwise; then the delivery knows what it laid there.

    Args:
        conn: The unit's connection.
        customer: Whose area.
        login: And which login's.
        name: The file.
    """
    if found := _IDENT.search(name):
        return found[0]
    o = t.outbox.c
    mine = (o.kind == TargetKind.PICKUP.parcel, o.customer == customer, o.target == login)
    named = o.detail.contains(name, autoescape=True)
    query = select(o.reception, o.detail).where(o.state == "done", *mine, named).order_by(o.done_at.desc())
    for row in conn.execute(query.limit(MAX_CANDIDATES)):
        if name in row.detail.split(", ") and row.reception:
            return str(row.reception)
    return ""
