"""Which status mails bring the pages along (the vendor's attachment modes)."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause
from faxgw.fax.report import FaxPages, PagesTold
from faxgw.formats.report_payload import enclosed_in, pages_from_payload, report_from_payload
from faxgw.store import reports
from faxgw.store import schema as t
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    "mode, sent, comes",
    [
        ("never", True, False),
        ("never", False, False),
        ("success_only", True, True),
        ("success_only", False, False),
        ("failure_only", True, False),
        ("failure_only", False, True),
        ("always", True, True),
        ("always", False, True),
    ],
)
async def test_the_mode_decides(house: House, mode: str, sent: bool, comes: bool) -> None:
    job, (fax,) = await house.job(report_attachment=mode)
    if sent:
        await house.call(fax, Cause.OK, confirmed=2)
    else:
        await house.wish(fax, Wish.CANCEL)
    assert await house.state(fax) == ("sent" if sent else "cancelled")
    (item,) = await house.outbox(job)
    found = enclosed_in(item.payload)
    assert [file.name for file in found] == ([f"{fax}.tif"] if comes else [])
    assert sent or all((house.folder / file.file.key).exists() for file in found)
    told = pages_from_payload(item.payload)
    expected = FaxPages(PagesTold.SENT if sent else PagesTold.PREPARED, "tiff", told.number, 2)
    assert told == (expected if comes else FaxPages())


async def test_it_is_the_file_of_the_newest_call(house: House) -> None:
    """As sent: with its header line, not the bare pages."""
    _job, (fax,) = await house.job(report_attachment="always", report_format="pdf")
    attempt = await house.call(fax, Cause.OK, confirmed=2)
    parts = t.attempt_faxes.c
    key = await house.ask(lambda conn: conn.execute(select(parts.tiff_key).where(parts.fax == fax)).scalar_one())
    (item,) = await house.outbox(_job)
    (file,) = enclosed_in(item.payload)
    assert file.file.key == key and attempt
    assert pages_from_payload(item.payload).format == "pdf"


NUMBERS = ("+33199000001", "+33199000002", "+33199000003")


async def test_of_several_faxes_it_is_the_first_that_failed(house: House) -> None:
    job, (first, second, third) = await house.job(*NUMBERS, report_attachment="always")
    await house.call(first, Cause.OK, confirmed=2)
    await house.wish(second, Wish.CANCEL)
    await house.wish(third, Wish.CANCEL)
    (item,) = await house.outbox(job)
    (file,) = enclosed_in(item.payload)
    told = pages_from_payload(item.payload)
    assert file.name == f"{second}.tif" and (told.told, told.recipients) == (PagesTold.PREPARED, 3)


async def test_pages_too_large_for_a_mail_stay_and_the_mail_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_PAGES_ENCLOSED", 7)
    job, (fax,) = await house.job(report_attachment="always")
    await house.call(fax, Cause.OK, confirmed=2)
    (item,) = await house.outbox(job)
    assert enclosed_in(item.payload) == ()
    assert pages_from_payload(item.payload).told is PagesTold.TOO_LARGE


async def test_order_and_template_are_those_of_the_account(house: House) -> None:
    job, (fax,) = await house.job(report_order="result", mail_template="house")
    await house.call(fax, Cause.OK, confirmed=2)
    (item,) = await house.outbox(job)
    report = report_from_payload(item.payload)
    assert (report.order, report.style) == ("result", "house")
