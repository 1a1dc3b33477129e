"""What of a job's mail is not faxed, kept with the job."""

from __future__ import annotations

from dataclasses import replace
from typing import Any  # fields of a job

import pytest
from sqlalchemy import select, update

from faxgw.fax.report import MAX_LEFT_OUT, NOTHING_LEFT_OUT, LeftOut, LeftOutParts, LeftOutReason
from faxgw.store import left_out, queue, reports
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

CARD = LeftOutParts((LeftOut("anna.vcf", LeftOutReason.BUSINESS_CARD),), 1)


async def another(house: House, ident: str, **more: Any) -> None:
    """A job without documents and with one fax."""
    numbers = ({"typed": "1", "e164": "+33199000001", "sub": "", "zone": "UTC"},)
    row = (await house.rows(select(t.jobs).limit(1)))[0]
    faxes = (queue.NewFax(f"FN{ident}", 1, numbers),)
    job = queue.NewJob(ident, None, "acme", "", "a@b", "", "", house.now, row.settings, (), (), faxes, None, 0)
    await house.do(queue.create, replace(job, **more), fence=None, now=house.now)


async def test_it_is_told_in_the_jobs_report_and_a_job_sent_again_lacks_the_same(house: House) -> None:
    first, _faxes = await house.job()
    assert (await house.ask(reports.job_report, first)).left_out == NOTHING_LEFT_OUT
    await another(house, "F1", left_out=CARD)
    await another(house, "F2", resend_of="F1")
    await another(house, "F3", resend_of=first)
    await another(house, "F4", resend_of="F0")
    told = {job: (await house.ask(reports.job_report, job)).left_out for job in ("F1", "F2", "F3", "F4")}
    assert told == {"F1": CARD, "F2": CARD, "F3": NOTHING_LEFT_OUT, "F4": NOTHING_LEFT_OUT}


async def test_many_are_counted_and_the_first_are_kept_by_name(house: House) -> None:
    await house.job()
    parts = tuple(LeftOut(f"{number}.ics", LeftOutReason.CALENDAR) for number in range(MAX_LEFT_OUT + 5))
    await another(house, "F1", left_out=LeftOutParts(parts, len(parts)))
    told = (await house.ask(reports.job_report, "F1")).left_out
    assert told == LeftOutParts(parts[:MAX_LEFT_OUT], MAX_LEFT_OUT + 5)


async def test_a_job_from_before_lacks_nothing(house: House) -> None:
    job, _faxes = await house.job()
    await house.change(update(t.jobs).where(t.jobs.c.id == job).values(left_out=None))
    (row,) = await house.rows(select(t.jobs.c.left_out).where(t.jobs.c.left_out.is_(None)))
    assert left_out.read(row.left_out) == NOTHING_LEFT_OUT
