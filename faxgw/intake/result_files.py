"""Results of jobs that came as files, written where their sender looks for them (docs/sftp.md).

A delivery of the outbox: at least once, and the same file each time. A job file with several faxes has one result,
written when the last of them is final.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.fax.vendor_report import VendorReport
from faxgw.formats import retarus_report, xml_job
from faxgw.formats.xml_job import ReportedFax
from faxgw.intake.collector import Drop
from faxgw.intake.taking import Take, job_of
from faxgw.intake.threads import Threads
from faxgw.store import report_book
from faxgw.store import result_files as rows
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError
from faxgw.store.result_files import Reported

FindDrop = Callable[[str, str], Awaitable[Drop | None]]
"""Finds a drop by its name and its customer; None when it is no longer there."""

log = logging.getLogger(__name__)


class ResultFiles:
    """Writes results.

    Args:
        store: Where they are read.
        find: Finds the folder that a job came by.
        threads: For what blocks.
    """

    kinds = (rows.KIND,)

    def __init__(self, store: Store, find: FindDrop, threads: Threads) -> None:
        self._store = store
        self._find = find
        self._threads = threads

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """See `fax.ports.Delivery`."""
        job = str(parcel.payload["job"])
        try:
            told = await self._store.read(lambda conn: rows.reported(conn, [job]))
            return await self._write(told[job]) if job in told else DeliveryResult(True, detail="no report is kept")
        except (StoreError, OSError) as exc:
            return DeliveryResult(False, detail=str(exc))

    async def _write(self, told: Reported) -> DeliveryResult:
        drop = await self._find(told.reference["drop"], told.customer)
        if drop is None:
            return DeliveryResult(False, permanent=True, detail="the folder is no longer there")
        take, count = told.reference["take"], int(told.reference["count"])
        jobs = [job_of(take, index) for index in range(count)]
        at_work = await self._threads.run((drop.work / take).exists)  # asked first: its jobs are there before it goes
        all_ = await self._store.read(lambda conn: rows.reported(conn, jobs))
        if at_work and len(all_) < count:
            return DeliveryResult(False, detail="faxes of the file are still being handed in")
        if not all(each.finished for each in all_.values()):
            return DeliveryResult(True, detail="other faxes of the file are not finished")
        ours = [job for job in jobs if job in all_]
        owner = told.owner
        reports = await self._store.read(lambda conn: report_book.find_all(conn, told.customer, owner, ours))
        names = await self._store.read(lambda conn: rows.document_names(conn, ours))
        if take[0] == Take.JOB.value:
            name = xml_job.report_name(told.reference["file"])
            octets = _as_xml(told, reports, names)
        else:
            name = f"{told.reference['file']}.result.json"
            octets = plain_result(reports[0]) if reports else b"{}\n"
        await self._threads.run(lambda: drop.out().put(name, octets))
        log.info("result written", extra={"event": "files.result", "drop": drop.name, "job": told.job})
        return DeliveryResult(True)


def _as_xml(told: Reported, reports: Sequence[VendorReport], names: Mapping[str, Sequence[str]]) -> bytes:
    faxes = [
        ReportedFax(report.reference["customerDefinedId"], report, tuple(names.get(report.job, ())))
        for report in reports
    ]
    ignored = told.reference.get("ignored", "").split()
    return xml_job.report_file(told.reference["root"], told.reference["reference"], faxes, ignored)


def plain_result(report: VendorReport) -> bytes:
    """The result of a document that was laid down with its number: JSON, as the vendor's REST interface tells it."""
    return (json.dumps(retarus_report.report_to_json(report), indent=2, ensure_ascii=False) + "\n").encode()


def plain_refusal(code: str, text: str, at: float) -> bytes:
    """The same of one that was refused."""
    told = {"error": {"code": code, "text": text}, "at": datetime.fromtimestamp(at, UTC).isoformat("T", "seconds")}
    return (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()
