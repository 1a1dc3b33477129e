"""Reports of large jobs: ordered by the transaction that finishes the job, written beside it, each once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from faxgw.dispatch.job_reports import JobReports
from faxgw.dispatch.outbox import OutboxWorker
from faxgw.fax.errors import Stale
from faxgw.fax.job import Wish
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.formats.report_payload import report_from_payload
from faxgw.store import reports
from faxgw.store.errors import StoreBusy
from tests.dispatch.doubles import until
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECIPIENTS = 4


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of three faxes is a large one."""
    monkeypatch.setattr(reports, "AT_ONCE", 2)


async def over(house: House, recipients: int = RECIPIENTS, **more: Any) -> tuple[str, list[str]]:
    """A job that is finished: the first sent, the others cancelled."""
    job, faxes = await house.job(*(f"+3319900000{n}" for n in range(recipients)), **more)
    await house.call(faxes[0], Outcome(Cause.OK, connected=True, exposed=True), confirmed=2)
    for fax in faxes[1:]:
        await house.wish(fax, Wish.CANCEL)
    return job, faxes


async def order(house: House, job: str) -> Parcel:
    (item,) = await house.outbox(job)
    return Parcel(item.id, item.kind, item.target, item.payload, item.created_at, 1)


async def mails(house: House, job: str) -> list[Any]:
    return [item for item in await house.outbox(job) if item.kind == "status_mail"]


async def test_the_last_fax_of_a_large_job_orders_its_reports(house: House) -> None:
    """docs/spine.md section 7: a unit lasts 100 ms at most, however many recipients the job has."""
    job, _faxes = await over(house)
    parcel = await order(house, job)
    assert (parcel.kind, parcel.target, parcel.payload) == (reports.KIND, job, {})
    assert (await house.events(job))[-1] == "job.finished"


async def test_a_small_jobs_reports_are_written_by_the_transaction_that_finishes_it(house: House) -> None:
    job, _faxes = await over(house, recipients=2)
    assert [item.kind for item in await house.outbox(job)] == ["status_mail"]


async def test_the_reports_are_those_that_the_transaction_would_have_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, faxes = await over(house)
    assert await JobReports(house.seat()).deliver(await order(house, job)) == DeliveryResult(True, detail="written")
    (late,) = await mails(house, job)
    told = report_from_payload(late.payload)
    assert (late.target, [fax.fax for fax in told.faxes]) == (ALICE, faxes)
    assert [fax.state.value for fax in told.faxes] == ["sent", *["cancelled"] * (RECIPIENTS - 1)]
    monkeypatch.setattr(reports, "AT_ONCE", 1_000)
    other, _faxes = await over(house)
    (at_once,) = await mails(house, other)
    assert late.payload.keys() == at_once.payload.keys()
    assert late.id == reports.item_id(job, "finished", ALICE)


async def test_an_order_that_is_carried_out_twice_writes_one_report(house: House) -> None:
    """The first try's answer was lost, or another node had it too."""
    job, _faxes = await over(house)
    parcel = await order(house, job)
    for _try in range(2):
        assert (await JobReports(house.seat()).deliver(parcel)).delivered
    assert len(await mails(house, job)) == 1


async def test_nobody_to_tell_is_no_report(house: House) -> None:
    job, _faxes = await over(house, report_to=())
    assert (await JobReports(house.seat()).deliver(await order(house, job))).delivered
    assert await mails(house, job) == []


@pytest.mark.parametrize(("fault", "permanent"), [(StoreBusy("busy"), False), (Stale("gone", temporary=False), True)])
async def test_a_fault_is_a_result_and_the_order_stays(
    house: House, monkeypatch: pytest.MonkeyPatch, fault: Exception, permanent: bool
) -> None:
    job, _faxes = await over(house)
    parcel = await order(house, job)

    async def broken(_unit: object) -> None:
        raise fault

    monkeypatch.setattr(house.store, "run", broken)
    result = await JobReports(house.seat()).deliver(parcel)
    monkeypatch.undo()
    assert (result.delivered, result.permanent) == (False, permanent)
    assert await mails(house, job) == []


async def test_the_outbox_carries_orders_out_by_itself(house: House) -> None:
    job, _faxes = await over(house)
    got: list[str] = []

    class Sink:
        async def deliver(self, parcel: Parcel) -> DeliveryResult:
            got.append(parcel.target)
            return DeliveryResult(True)

    worker = OutboxWorker(house.seat(), {"status_mail": Sink()})
    running = asyncio.create_task(worker.delivering.run())
    await until(partial(_all_done, house, job))
    await worker.delivering.stop(5.0)
    await running
    assert got == [ALICE]


async def _all_done(house: House, job: str) -> bool:
    items = await house.outbox(job)
    return len(items) == 2 and all(item.state == "done" for item in items)
