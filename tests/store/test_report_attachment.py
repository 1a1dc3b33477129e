"""Which status mails bring the pages along (the vendor's attachment modes)."""

from __future__ import annotations

import pytest

from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause
from faxgw.formats.report_payload import enclosed_in
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
    assert [file.name for file in found] == ([f"{job}.tif"] if comes else [])
    assert all((house.folder / file.file.key).exists() for file in found)
