"""What a status push tells, read when it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from faxgw.fax.account import from_snapshot
from faxgw.fax.submission import JobPush
from faxgw.fax.vendor_report import VendorReport
from faxgw.store import report_book
from faxgw.store import schema as t
from faxgw.store.pushes import Push

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
    readers = conn.execute(select(t.jobs.c.report_to).where(t.jobs.c.id == job)).scalar_one()
    mail: dict[str, str] = {}
    if isinstance(readers, dict):
        for key, name in (("success", "successAddress"), ("failure", "failureAddress")):
            if readers.get(key):
                mail[name] = readers[key][0]
    if mail:
        settings = from_snapshot(conn.execute(select(t.jobs.c.settings).where(t.jobs.c.id == job)).scalar_one())
        mail["attachedFaxImageMode"] = settings["report_attachment"].upper()
        mail["attachedFaxImageFormat"] = _FORMATS[settings["report_format"]]
    documents = t.job_documents.c
    names = select(documents.name, documents.kind).where(documents.job == job).order_by(documents.position)
    push = Push(JobPush(row.url, row.method, row.principal, row.credentials), row.form, row.token_url)
    return Pushed(push, report, mail, [(found.name, found.kind == "text") for found in conn.execute(names)])
