"""What a sender is told, built in the transaction that causes it (docs/spine.md sections 1 and 2)."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.fax.job import FaxState, Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.formats.report_payload import report_from_payload
from faxgw.store import reports
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
GOOD = Outcome(Cause.OK, connected=True, transport="t38", bit_rate=14400, ecm=True, remote_ident="+33 1", ended_at=1.0)


async def test_a_report_tells_every_call_and_every_page(house: House) -> None:
    job, (fax,) = await house.job(FAR, pages=3, billing_code="K1", time_zone="Europe/Paris", language="fr")
    await house.call(fax, Cause.BUSY)
    await house.wait(fax)
    await house.call(fax, Outcome(Cause.REMOTE_HUNG_UP, connected=True), confirmed=1)
    await house.wait(fax)
    await house.call(fax, GOOD, confirmed=2)
    (item,) = await house.outbox(job)
    report = report_from_payload(item.payload)
    assert (report.job, report.owner, report.billing_code, report.time_zone, report.language) == (
        job, ALICE, "K1", "Europe/Paris", "fr",
    )  # fmt: skip
    (told,) = report.faxes
    assert (told.state, told.pages_confirmed, told.pages_total, told.doubtful_page) == (FaxState.SENT, 3, 3, None)
    whole = await house.ask(reports.job_report, job)
    assert [(a.cause, a.pages_confirmed) for a in whole.faxes[0].attempts] == [
        (Cause.BUSY, 0),
        (Cause.REMOTE_HUNG_UP, 1),
        (Cause.OK, 2),
    ]
    last = whole.faxes[0].attempts[-1]
    assert (last.transport, last.bit_rate, last.ecm, last.remote_ident) == ("t38", 14400, True, "+33 1")


@pytest.mark.parametrize(
    "setting, sent, told",
    [
        ("report_success", True, 0),
        ("report_success", False, 1),
        ("report_failure", True, 1),
        ("report_failure", False, 0),
    ],
)
async def test_reports_are_sent_as_the_settings_ask(house: House, setting: str, sent: bool, told: int) -> None:
    off: dict[str, Any] = {setting: False}
    job, (fax,) = await house.job(FAR, **off)
    if sent:
        await house.call(fax, GOOD, confirmed=2)
    else:
        await house.wish(fax, Wish.CANCEL)
    assert len(await house.outbox(job)) == told


async def test_the_longest_run_at_one_number_is_what_arrived_and_doubt_is_kept(house: House) -> None:
    """Spine section 2: failed, cancelled and expired say k of n."""
    fax = await house.ready_fax(FAR, OTHER, pages=3, max_tries=12)
    silent = Outcome(Cause.PAGE_NOT_CONFIRMED, connected=True, doubtful=True)
    await house.call(fax, silent, confirmed=0)
    assert await house.ask(reports.page_counts, fax) == (0, 1)
    await house.wait(fax)
    await house.call(fax, Outcome(Cause.REMOTE_HUNG_UP, connected=True), confirmed=2)
    assert await house.ask(reports.page_counts, fax) == (2, None)
    await house.wait(fax)
    await house.call(fax, Cause.WRONG_NUMBER)
    await house.wait(fax)
    await house.call(fax, silent, confirmed=1)
    assert await house.ask(reports.page_counts, fax) == (2, None)


async def test_a_doubt_at_one_number_is_not_forgotten_over_a_failure_at_the_next(house: House) -> None:
    fax = await house.ready_fax(FAR, OTHER, pages=1, max_tries=12)
    await house.call(fax, Outcome(Cause.LAST_PAGE_NOT_CONFIRMED, connected=True, doubtful=True), confirmed=0)
    await house.wait(fax)
    await house.call(fax, Cause.WRONG_NUMBER)
    await house.wait(fax)
    await house.call(fax, Cause.WRONG_NUMBER)
    assert await house.state(fax) == FaxState.FAILED
    assert await house.ask(reports.page_counts, fax) == (0, 1)


async def test_an_id_of_a_report_is_the_same_however_often_its_unit_runs() -> None:
    assert reports.item_id("F1", "finished", ALICE) == reports.item_id("F1", "finished", ALICE)
    assert reports.item_id("F1", "finished", ALICE) != reports.item_id("F1", "finished", "bert@example.org")
    assert reports.item_id("F1", "finished", ALICE).startswith("out_")


async def test_the_picture_of_a_job_is_found_for_its_mail(house: House) -> None:
    job, _faxes = await house.job(FAR)
    assert await house.ask(reports.thumbnail_of, job) == b"PNG"
    assert await house.ask(reports.thumbnail_of, "F0") == b""
