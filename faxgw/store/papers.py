"""Papers of numbers: letters of authority and consents to a caller number, as documents with an end (features B6).

A consent opens its number as caller number until it ends; without one that holds, faxes that would show the number
are refused. What a paper says is the operator's to read; here it is kept, with who brought it and when.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from faxgw.fax.errors import Refused
from faxgw.store import register
from faxgw.store import schema as t
from faxgw.store.accounts import ENTITY, NUMBER, Author, NotFound
from faxgw.store.journal import note

MAX_PAPER = 5_000_000
"""Octets of one paper."""
MAX_PAPERS = 20
"""Papers of one number."""
_TYPES = {b"%PDF-": "application/pdf", b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg",
          b"II*\x00": "image/tiff", b"MM\x00*": "image/tiff"}  # fmt: skip
"""First octets → type: what a paper may be."""


class PaperKind(enum.StrEnum):
    """What a paper is."""

    AUTHORITY = "authority"
    """Letter of authority: the customer may use, or port, the number."""
    CONSENT = "consent"
    """The owner agrees that the number is shown as the caller's."""


class BadPaper(Refused):
    """It is not taken; the public text says why."""


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper, without its content."""

    id: str
    number: str
    """First number of the entry."""
    customer: str
    kind: PaperKind
    name: str
    content_type: str
    size: int
    sha256: str
    until: float | None
    """End of what it allows, Unix seconds; None: none."""
    added_at: float
    added_by: str


def add(
    conn: Connection,
    customer: str,
    e164: str,
    ident: str,
    kind: PaperKind,
    name: str,
    content: bytes,
    *,
    until: float | None,
    by: Author,
) -> Paper:
    """Keep a paper; a consent opens the number as caller number until it ends.

    Args:
        conn: The unit's connection.
        customer: Whose number it is.
        e164: First number of the entry.
        ident: The paper's id, drawn before.
        kind: What it is.
        name: File name, for people.
        content: PDF, PNG, JPEG or TIFF.
        until: Its end, Unix seconds; None: none.
        by: Who brings it.

    Raises:
        NotFound: If the customer has no such number.
        BadPaper: If it is none that is taken.
    """
    c = t.number_papers.c
    if conn.execute(select(c.id).where(c.id == ident)).first() is None:
        _check_number(conn, customer, e164)
        content_type = _type_of(content)
        if until is not None and until <= by.now:
            raise BadPaper(public="The paper has ended already.")
        if conn.execute(select(func.count()).where(c.number == e164)).scalar_one() >= MAX_PAPERS:
            raise BadPaper(public=f"A number has at most {MAX_PAPERS} papers.")
        conn.execute(
            insert(t.number_papers).values(
                id=ident,
                number=e164,
                customer=customer,
                kind=kind.value,
                name=name[:200],
                content_type=content_type,
                content=content,
                sha256=hashlib.sha256(content).hexdigest(),
                until=until,
                added_at=by.now,
                added_by=by.who,
            )
        )
        _note(conn, customer, "paper.added", e164, by, paper=ident, kind=kind.value, name=name[:200], until=until)
        _settle(conn, e164, by.now)
    return find(conn, customer, e164, ident)[0]


def every(conn: Connection, customer: str, e164: str) -> Sequence[Paper]:
    """The papers of a number, oldest first. Raises NotFound."""
    _check_number(conn, customer, e164)
    c = t.number_papers.c
    return [_paper(row) for row in conn.execute(_facts().where(c.number == e164).order_by(c.added_at, c.id))]


def ending(conn: Connection, *, before: float, limit: int = 1_000) -> Sequence[Paper]:
    """Papers of all customers that end before a time, the soonest first."""
    c = t.number_papers.c
    return [_paper(row) for row in conn.execute(_facts().where(c.until < before).order_by(c.until).limit(limit))]


def find(conn: Connection, customer: str, e164: str, ident: str) -> tuple[Paper, bytes]:
    """A paper and its content. Raises NotFound."""
    c = t.number_papers.c
    row = conn.execute(_facts(c.content).where(c.id == ident, c.number == e164, c.customer == customer)).first()
    if row is None:
        raise NotFound
    return _paper(row), bytes(row.content)


def remove(conn: Connection, customer: str, e164: str, ident: str, *, by: Author) -> None:
    """Remove a paper; the number is closed as caller number with its last consent. Raises NotFound."""
    paper, _ = find(conn, customer, e164, ident)
    conn.execute(delete(t.number_papers).where(t.number_papers.c.id == ident))
    _note(conn, customer, "paper.removed", e164, by, paper=ident, kind=paper.kind.value, name=paper.name)
    if paper.kind is PaperKind.CONSENT:
        _settle(conn, e164, by.now)


def unshowable(conn: Connection, customer: str, clip: str, *, now: float) -> str:
    """Why a fax may not show a caller number now; empty: it may, or the register does not know the number.

    A number that the register does not know is the operator's own word, such as the trunk's.
    """
    found = register.entry(conn, clip)
    if found is None:
        return ""
    if found["customer"] != customer:
        return f"The caller number {clip} is another customer's."
    if not found["clip"]:
        return f"There is no consent to show {clip} as caller number."
    if found["clip_until"] is not None and found["clip_until"] <= now:
        return f"The consent to show {clip} as caller number has ended."
    return ""


def _settle(conn: Connection, e164: str, now: float) -> None:
    """The number may be shown as long as its consents say."""
    c = t.number_papers.c
    ends = conn.execute(select(c.until).where(c.number == e164, c.kind == PaperKind.CONSENT.value)).scalars().all()
    holding = [end for end in ends if end is None or end > now]
    until = None if None in holding else max((end for end in holding if end is not None), default=None)
    conn.execute(update(t.numbers).where(t.numbers.c.e164 == e164).values(clip=bool(holding), clip_until=until))


def _check_number(conn: Connection, customer: str, e164: str) -> None:
    c = t.numbers.c
    if conn.execute(select(c.e164).where(c.e164 == e164, c.customer == customer)).first() is None:
        raise NotFound(public=f"There is no {NUMBER.name} {e164} of this customer.")


def _type_of(content: bytes) -> str:
    if len(content) > MAX_PAPER:
        raise BadPaper(public=f"A paper has at most {MAX_PAPER} octets.")
    for mark, content_type in _TYPES.items():
        if content.startswith(mark):
            return content_type
    raise BadPaper(public="A paper is a PDF, PNG, JPEG or TIFF file.")


def _facts(*more: Any) -> Any:
    c = t.number_papers.c
    return select(
        c.id, c.number, c.customer, c.kind, c.name, c.content_type, func.length(c.content).label("size"), c.sha256,
        c.until, c.added_at, c.added_by, *more,
    )  # fmt: skip


def _paper(row: Row[Any]) -> Paper:
    return Paper(
        row.id, row.number, row.customer, PaperKind(row.kind), row.name, row.content_type, row.size, row.sha256,
        row.until, row.added_at, row.added_by,
    )  # fmt: skip


def _note(conn: Connection, customer: str, what: str, key: str, by: Author, **facts: object) -> None:
    data = {"customer": customer, "key": key, **facts}
    note(conn, customer[:ENTITY], f"account.{what}", now=by.now, who=by.who, data=data)
