"""The register of numbers as calls to us see it: single numbers, and ranges of equal length.

A single number outranks the range it lies in. Ranges do not overlap one another, so that a number has one owner.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, func, or_, select

from faxgw.fax.errors import Refused
from faxgw.store import schema as t

MAX_RANGE = 1_000_000
"""Numbers of one range at most."""


class BadRange(Refused):
    """The range cannot be."""


def find(conn: Connection, forms: Sequence[str], *, inbound: bool = True) -> tuple[str, RowMapping] | None:
    """The number that the first of some E.164 forms means, and its entry; None when it is none of ours.

    Args:
        conn: The unit's connection.
        forms: E.164, likeliest first.
        inbound: Only numbers that receive faxes.
    """
    for form in forms:
        row = entry(conn, form)
        if row is not None and (row["inbound"] or not inbound):
            return form, row
    return None


def entry(conn: Connection, e164: str) -> RowMapping | None:
    """The entry of a number: its own, else the range that it lies in."""
    c = t.numbers.c
    row = conn.execute(select(t.numbers).where(c.e164 == e164)).mappings().first()
    if row is not None:
        return row
    within = (c.last.is_not(None), c.e164 <= e164, c.last >= e164, func.length(c.e164) == len(e164))
    query = select(t.numbers).where(*within).order_by(c.e164.desc()).limit(1)
    return conn.execute(query).mappings().first()


def check_range(conn: Connection, first: str, last: str) -> None:
    """Refuse what is no range, is too long, or overlaps another one.

    Raises:
        BadRange: With the reason.
    """
    if len(first) != len(last) or last <= first:
        raise BadRange(public="A range ends with a number of equal length that comes after its first.")
    if int(last) - int(first) >= MAX_RANGE:
        raise BadRange(public=f"A range has at most {MAX_RANGE} numbers.")
    c = t.numbers.c
    overlap = (c.last.is_not(None), c.e164 != first, func.length(c.e164) == len(first), c.e164 <= last, c.last >= first)
    other = conn.execute(select(c.e164, c.last).where(*overlap).limit(1)).first()
    if other is not None:
        raise BadRange(public=f"The range overlaps that from {other.e164} to {other.last}.")


def shadowed(conn: Connection, first: str, last: str, customer: str) -> Sequence[str]:
    """Single numbers of other customers within a range: they stay theirs."""
    c = t.numbers.c
    single = or_(c.last.is_(None), c.last == "")
    within = (single, c.e164 >= first, c.e164 <= last, func.length(c.e164) == len(first), c.customer != customer)
    return list(conn.execute(select(c.e164).where(*within).order_by(c.e164).limit(100)).scalars())
