"""What a status push tells, read when it is sent, and what reports repeat of their jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, select

from faxgw.fax.account import from_snapshot
from faxgw.fax.submission import JobPush
from faxgw.fax.vendor_report import JobFacts, VendorReport
from faxgw.store import report_book
from faxgw.store import schema as t
from faxgw.store.pushes import Push

_AT_ONCE = 500
"""Jobs in one query."""
_FORMATS = {"tiff": "TIFF", "pdf": "PDF", "pdf_ocr": "PDF_WITH_OCR"}
"""As the vendor's interface calls them."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Everything that is told, and to whom."""

    push: Push
    report: VendorReport
    mail: Mapping[str, str]
    """`successAddress`, `failureAddress`, where the job named them, `attachedFaxImageMode`, `attachedFaxImageFormat`:
    the vendor's names."""
    documents: Sequence[tuple[str, bool]]
    """Name, and whether its sender called it a text."""


def find(conn: Connection, job: str) -> Pushed | None:
    """What is to be told of a job; None when nothing is."""
    row = conn.execute(select(t.pushes).where(t.pushes.c.job == job)).first()
    report = report_book.of_job(conn, job)
    if row is None or report is None:
        return None
    told = facts(conn, [job])[job]
    push = Push(JobPush(row.url, row.method, row.principal, row.credentials), row.form, row.token_url)
    return Pushed(push, report, told.mail, told.documents)


def facts(conn: Connection, jobs: Sequence[str]) -> Mapping[str, JobFacts]:
    """What the reports of jobs repeat of them; jobs that are not there are left out."""
    found: dict[str, JobFacts] = {}
    for first in range(0, len(jobs), _AT_ONCE):
        some = list(jobs[first : first + _AT_ONCE])
        documents: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        column = t.job_documents.c
        names = select(column.job, column.name, column.kind).where(column.job.in_(some)).order_by(column.position)
        for row in conn.execute(names):
            documents[row.job].append((row.name, row.kind == "text"))
        pushes = select(t.pushes.c.job, t.pushes.c.url, t.pushes.c.method).where(t.pushes.c.job.in_(some))
        to = {row.job: (row.url, row.method) for row in conn.execute(pushes)}
        rows = select(t.jobs.c.id, t.jobs.c.report_to, t.jobs.c.settings).where(t.jobs.c.id.in_(some))
        for row in conn.execute(rows):
            found[row.id] = JobFacts(_mail(row.report_to, row.settings), documents[row.id], to.get(row.id))
    return found


def _mail(readers: object, snapshot: Any) -> Mapping[str, str]:
    if not isinstance(readers, dict):
        return {}
    names = (("success", "successAddress"), ("failure", "failureAddress"))
    mail = {name: readers[key][0] for key, name in names if readers.get(key)}
    if mail:
        settings = from_snapshot(snapshot)
        mail["attachedFaxImageMode"] = settings["report_attachment"].upper()
        mail["attachedFaxImageFormat"] = _FORMATS[settings["report_format"]]
    return mail
