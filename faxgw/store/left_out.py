"""What of a job's mail is not faxed, as it lies beside the job and goes with it."""

from __future__ import annotations

from typing import Any  # a JSON column

from sqlalchemy import Connection, bindparam, select

from faxgw.fax.report import MAX_LEFT_OUT, NOTHING_LEFT_OUT, LeftOut, LeftOutParts, LeftOutReason
from faxgw.store import schema as t

_OF_JOB = select(t.jobs.c.left_out).where(t.jobs.c.id == bindparam("job"))


def kept(conn: Connection, found: LeftOutParts, resend_of: str | None) -> dict[str, Any] | None:
    """The column of a new job; None: nothing was left out. A job sent again lacks what the first one lacked."""
    if resend_of is not None and not found.count:
        row = conn.execute(_OF_JOB, {"job": resend_of}).first()
        return None if row is None else row.left_out
    if not found.count:
        return None
    parts = [{"name": part.name, "why": part.why.value} for part in found.parts[:MAX_LEFT_OUT]]
    return {"parts": parts, "count": found.count}


def read(column: dict[str, Any] | None) -> LeftOutParts:
    """What the column says; of jobs accepted before it was there, nothing."""
    if not column:
        return NOTHING_LEFT_OUT
    parts = tuple(LeftOut(part["name"], LeftOutReason(part["why"])) for part in column["parts"])
    return LeftOutParts(parts, column["count"])
