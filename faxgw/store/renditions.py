"""Pages of a job beside its body: the cover of each fax, and the body rendered again at another resolution.

Several rows may name one object: the covers of a slice of recipients lie in one file, each a run of its pages, and
covers that say the same are the same run. `first` and `pages` say which. A row is written in the unit that makes the
fax ready, or later for a resolution that a far end turned out to want.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any  # rows, JSON

from sqlalchemy import Connection, Row, insert, select

from faxgw.fax.ports import StoredFile
from faxgw.store import schema as t

AT_ONCE = 500
"""Rows looked for or written in one statement."""


class Kind(StrEnum):
    """What the pages are."""

    COVER = "cover"
    """The pages before the body, of one fax."""
    BODY = "body"
    """The body of all the job's faxes; its row names no fax."""
    OVERLAY = "overlay"
    """The letterhead of all the job's faxes, one page; its row names no fax."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """A run of pages in a file."""

    kind: Kind
    resolution: str
    """`standard`, `fine` or `superfine`."""
    file: StoredFile
    """TIFF-F as `document.types.Rendered`."""
    first: int
    """The run's first page in the file, from 1."""
    pages: int
    """Pages of the run."""
    fax: str = ""
    """Whose; empty: every fax of the job."""
    facts: Sequence[Mapping[str, Any]] = field(default=())
    """Per page `rows` and `octets`, as in `jobs.page_facts`."""


def keep(conn: Connection, job: str, made: Iterable[Rendition]) -> None:
    """Write renditions down; one that the job has already stays as it is."""
    made = list(made)
    have = {(row.fax, row.kind, row.resolution) for row in _rows(conn, job, [one.fax for one in made])}
    new = [one for one in made if (one.fax, one.kind.value, one.resolution) not in have]
    if not new:
        return
    conn.execute(
        insert(t.renditions),
        [
            {
                "job": job,
                "fax": one.fax,
                "kind": one.kind.value,
                "resolution": one.resolution,
                "key": one.file.key,
                "sha256": one.file.sha256,
                "size": one.file.size,
                "first": one.first,
                "pages": one.pages,
                "facts": [dict(fact) for fact in one.facts],
            }
            for one in new
        ],
    )


def find(conn: Connection, job: str, kind: Kind, *, fax: str = "") -> Sequence[Rendition]:
    """The renditions of one kind, of a fax or (no fax named) of the job as a whole, by resolution."""
    query = select(t.renditions).where(t.renditions.c.job == job, t.renditions.c.fax == fax)
    rows = conn.execute(query.where(t.renditions.c.kind == kind.value).order_by(t.renditions.c.resolution)).all()
    return [_rendition(row) for row in rows]


def of_faxes(conn: Connection, job: str, faxes: Sequence[str], kind: Kind) -> Mapping[str, Sequence[Rendition]]:
    """The renditions of several faxes of a job; a fax without any is not in it."""
    found: dict[str, list[Rendition]] = {}
    for row in _rows(conn, job, faxes):
        if row.kind == kind.value:
            found.setdefault(row.fax, []).append(_rendition(row))
    return found


def _rows(conn: Connection, job: str, faxes: Sequence[str]) -> Iterable[Row[Any]]:
    for start in range(0, len(faxes), AT_ONCE):
        some = set(faxes[start : start + AT_ONCE])
        query = select(t.renditions).where(t.renditions.c.job == job, t.renditions.c.fax.in_(some))
        yield from conn.execute(query.order_by(t.renditions.c.fax, t.renditions.c.resolution)).all()


def _rendition(row: Row[Any]) -> Rendition:
    file = StoredFile(row.key, row.sha256, row.size)
    return Rendition(Kind(row.kind), row.resolution, file, row.first, row.pages, row.fax, tuple(row.facts))
