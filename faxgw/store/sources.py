"""What a job's pages are made from: its documents, its settings, and where its body's pages came from.

Asked again long after the body was made, when a far end turns out to take another resolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # a settings snapshot and page facts are plain JSON

from sqlalchemy import Connection, select

from faxgw.fax.ports import StoredFile
from faxgw.fax.report import Repaired
from faxgw.store import schema as t

MAX_REPAIRED = 20
"""Pages with damaged rows that are told of."""


@dataclass(frozen=True, slots=True)
class Source:
    """One document."""

    name: str
    kind: str | None
    charset: str | None
    origin: str
    file: StoredFile


@dataclass(frozen=True, slots=True)
class Sources:
    """What a body was made from."""

    settings: Mapping[str, Any]
    """The job's settings snapshot."""
    documents: tuple[Source, ...]
    """In order."""
    places: tuple[tuple[int, int], ...]
    """Of each page of the body the document, from 0, and the page of it, from 1."""


def of_job(conn: Connection, job: str) -> Sources:
    """What the body of a job that is known to be there was made from."""
    row = conn.execute(select(t.jobs.c.settings, t.jobs.c.page_facts).where(t.jobs.c.id == job)).one()
    query = select(t.job_documents).where(t.job_documents.c.job == job).order_by(t.job_documents.c.position)
    documents = tuple(
        Source(found.name, found.kind, found.charset, found.origin, StoredFile(found.key, found.sha256, found.size))
        for found in conn.execute(query)
    )
    return Sources(row.settings, documents, places(row.page_facts or ()))


def places(facts: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, int], ...]:
    """Where pages came from, by their facts."""
    return tuple((int(fact["document"]), int(fact["page"])) for fact in facts)


def damaged_pages(conn: Connection, job: str) -> list[tuple[int, int, int]]:
    """Pages that were faxed with damaged rows: index of the document, its page, how many rows."""
    facts = conn.execute(select(t.jobs.c.page_facts).where(t.jobs.c.id == job)).scalar() or ()
    return [(fact["document"], fact["page"], fact["repaired"]) for fact in facts if fact.get("repaired")]


def repaired(conn: Connection, job: str) -> tuple[Repaired, ...]:
    """The same for a report: the first MAX_REPAIRED, with the documents' names."""
    found = damaged_pages(conn, job)[:MAX_REPAIRED]
    if not found:
        return ()
    query = select(t.job_documents.c.name).where(t.job_documents.c.job == job).order_by(t.job_documents.c.position)
    names = dict(enumerate(conn.execute(query).scalars()))
    return tuple(Repaired(names.get(document, ""), page, rows) for document, page, rows in found)
