"""The table of a job's recipients that goes with the report of several faxes: for a spreadsheet, one line each.

RFC 4180; UTF-8 with a byte order mark, without which Excel reads it as Windows-1252. A cell that a spreadsheet would
take for a formula gets an apostrophe: identifications come from strangers' machines.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime

from faxgw.fax.report import FaxReport, JobReport
from faxgw.formats.enclosed import Attachment
from faxgw.formats.status_texts import zone_named
from faxgw.formats.status_view import deciding_attempt, verdict

NAME = "recipients.csv"
"""File name of the table."""
COLUMNS = (
    *("position", "number", "dialled", "personal", "result", "status", "pages_confirmed", "pages", "calls"),
    *("finished", "seconds", "identification", "reason", "fax"),
)
"""Names of the columns, the same in every language: programs read them."""
_NUMBER = re.compile(r"[+-]?[0-9][0-9 ./()-]*")


def recipient_table(report: JobReport) -> Attachment:
    """The table, recipients in the order of their sender."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(COLUMNS)
    for fax in sorted(report.faxes, key=lambda fax: fax.position):
        table.writerow(map(_cell, _row(fax, report.time_zone)))
    return Attachment(NAME, "text/csv; charset=utf-8", out.getvalue().encode("utf-8-sig", "replace"))


def _row(fax: FaxReport, zone: str) -> tuple[object, ...]:
    call = deciding_attempt(fax)
    seconds = "" if call is None or call.answered_at is None else round(call.ended_at - call.answered_at)
    moment = "" if fax.finished_at is None else datetime.fromtimestamp(fax.finished_at, zone_named(zone))
    return (
        fax.position,
        fax.number_typed,
        call.number if call else fax.number_e164,
        fax.personal,
        verdict(fax).value,
        fax.cause.facts.status,
        fax.pages_confirmed,
        fax.pages_total,
        len(fax.attempts),
        moment.isoformat(sep=" ", timespec="seconds") if isinstance(moment, datetime) else "",
        seconds,
        call.remote_ident if call else "",
        fax.reason,
        fax.fax,
    )


def _cell(value: object) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not _NUMBER.fullmatch(text) else text
