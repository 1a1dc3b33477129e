"""Results of jobs that came as files: one item for each job that did, and what is read when it is written."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from faxgw.fax.job import Wish
from faxgw.store import result_files
from faxgw.store import schema as t
from faxgw.store.result_files import FILE, KIND
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def came_as_file(house: House, *, file: str = "job1.xml") -> tuple[str, list[str]]:
    job, faxes = await house.job("+33199000001", "+33199000002", report_to=())
    reference = {"count": "1"} | ({FILE: file} if file else {})
    await house.change(
        insert(t.job_reports).values(
            job=job, customer="acme", owner="login:erp", interface="sftp", accepted_at=house.now, reference=reference
        )
    )
    return job, faxes


async def finish(house: House, faxes: list[str]) -> None:
    for fax in faxes:
        await house.wish(fax, Wish.CANCEL)


async def test_the_transaction_that_finishes_the_job_announces_its_result(house: House) -> None:
    job, faxes = await came_as_file(house)
    await finish(house, faxes[:1])
    assert await house.outbox(job) == []
    await finish(house, faxes[1:])
    (item,) = await house.outbox(job)
    assert (item.kind, item.target, item.customer, item.payload) == (KIND, "job1.xml", "acme", {"job": job})


async def test_a_job_that_came_another_way_has_none(house: House) -> None:
    job, faxes = await came_as_file(house, file="")
    await finish(house, faxes)
    assert await house.outbox(job) == []


async def test_it_is_announced_once_however_often_the_unit_runs(house: House) -> None:
    """An uncertain COMMIT is repeated (spine section 7): the item has the same id."""
    job, _faxes = await came_as_file(house, file="x" * 300)
    for _run in range(2):
        await house.do(result_files.announce, job, "out_1", house.now)
    (item,) = await house.outbox(job)
    assert (item.id, item.target) == ("out_1", "x" * 200)


async def test_what_is_known_of_a_files_jobs(house: House) -> None:
    first, faxes = await came_as_file(house)
    second, _faxes = await came_as_file(house)
    await finish(house, faxes)
    found = await house.ask(result_files.reported, [first, second, "FNONE"])
    assert {job: one.finished for job, one in found.items()} == {first: True, second: False}
    one = found[first]
    assert (one.customer, one.owner, one.interface, one.accepted_at) == ("acme", "login:erp", "sftp", house.now)
    assert one.reference[FILE] == "job1.xml"
    assert await house.ask(result_files.exists, first)
    assert not await house.ask(result_files.exists, "FNONE")


async def test_names_of_documents_stand_in_their_order_fetched_or_not(house: House) -> None:
    job, _faxes = await came_as_file(house)
    await house.change(
        insert(t.job_references).values(
            job=job, position=2, name="terms.pdf", url="https://x.example/t", pending=True, not_before=0.0,
            give_up_at=9e9,
        )
    )  # fmt: skip
    assert await house.ask(result_files.document_names, [job]) == {job: ["a.pdf", "terms.pdf"]}
    assert await house.ask(result_files.document_names, []) == {}
