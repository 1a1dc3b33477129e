"""Large jobs: their recipients are written ahead, and the job is there whole or not at all."""

from __future__ import annotations

import dataclasses
import secrets

import pytest
from sqlalchemy import func, select

from faxgw.fax import ids
from faxgw.fax.account import resolve
from faxgw.store import queue, report_book, staging, submission
from faxgw.store import schema as t
from faxgw.store.queue import NewFax, NewJob
from faxgw.store.staging import KEPT_S, SLICE, Recipient
from faxgw.store.submission import Accepted
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAXES = 2 * SLICE + 7


def large(house: House, *, faxes: int = FAXES, wrong: int = 0, key: str = "") -> Accepted:
    made = tuple(
        NewFax(
            ids.fax_id(secrets.token_bytes(16)), n,
            ({"typed": f"0{n}", "e164": f"+33199{n:06}", "sub": "", "zone": "Europe/Paris"},), (("name", f"Nº {n}"),),
        )
        for n in range(1, faxes + 1)
    )  # fmt: skip
    job = NewJob(
        ids.job_id(secrets.token_bytes(16)), None, "acme", "", "login:erp", "", "", house.now,
        resolve([]).snapshot(), (), (), made, house.now + 3600, 1, earliest=house.now - 5, marked=True,
    )  # fmt: skip
    report = {"owner": "login:erp", "interface": "rest", "reference": {}}
    return Accepted(job, {f.id: "Wrong." for f in made[:wrong]}, (), 0.0, key, "print" * bool(key), 600.0, report)


async def stage(house: House, new: Accepted) -> Accepted:
    faxes = new.job.faxes
    for start in range(0, len(faxes), SLICE):
        some = [
            Recipient(f.id, f.position, f.numbers, f.properties, new.unreachable.get(f.id, ""))
            for f in faxes[start : start + SLICE]
        ]
        await house.do(staging.stage, new.job.id, some, now=house.now)
        await house.do(staging.stage, new.job.id, some, now=house.now)  # as after a commit nobody confirmed
    return dataclasses.replace(new, job=dataclasses.replace(new.job, staged=True))


async def counted(house: House, table: object) -> int:
    return int((await house.rows(select(func.count()).select_from(table)))[0][0])  # type: ignore[arg-type]


async def test_a_staged_job_is_the_one_that_is_written_at_once(house: House) -> None:
    plain, ahead = large(house), large(house)
    assert await house.do(submission.accept, plain, now=house.now) is None
    assert await house.do(submission.accept, await stage(house, ahead), now=house.now) is None
    own = {"id", "job"}

    async def faxes(job: str) -> list[dict[str, object]]:
        rows = await house.rows(select(t.faxes).where(t.faxes.c.job == job).order_by(t.faxes.c.position))
        return [{key: value for key, value in row._mapping.items() if key not in own} for row in rows]

    async def told(job: str) -> list[tuple[object, ...]]:
        query = select(t.events.c.what, t.events.c.at, t.events.c.who, t.events.c.data).where(t.events.c.job == job)
        return [tuple(row) for row in await house.rows(query.order_by(t.events.c.serial))]

    assert await faxes(plain.job.id) == await faxes(ahead.job.id)
    assert await told(plain.job.id) == await told(ahead.job.id)
    ids_told = select(t.events.c.entity).where(t.events.c.job == ahead.job.id, t.events.c.what == "fax.accepted")
    assert [row[0] for row in await house.rows(ids_told.order_by(t.events.c.serial))] == [f.id for f in ahead.job.faxes]


async def test_before_its_unit_there_is_nothing_of_the_job_for_anybody(house: House) -> None:
    new = await stage(house, large(house))
    for table in (t.jobs, t.faxes, t.events, t.job_reports):
        assert await counted(house, table) == 0
    assert await house.ask(report_book.find, "acme", "login:erp", new.job.id) is None


async def test_a_job_that_is_not_staged_whole_is_refused_whole(house: House) -> None:
    new = await stage(house, large(house))
    more = dataclasses.replace(new.job, faxes=(*new.job.faxes, new.job.faxes[0]))
    with pytest.raises(LookupError):
        await house.do(submission.accept, dataclasses.replace(new, job=more), now=house.now)
    assert await counted(house, t.jobs) == await counted(house, t.faxes) == 0
    assert await house.do(submission.accept, new, now=house.now) is None
    assert await counted(house, t.faxes) == FAXES


async def test_accepted_again_after_an_uncertain_commit_it_is_there_once(house: House) -> None:
    new = await stage(house, large(house, key="k"))
    for _ in range(2):
        assert await house.do(submission.accept, new, now=house.now) is None
    assert (await counted(house, t.jobs), await counted(house, t.faxes)) == (1, FAXES)


@pytest.mark.parametrize("wrong", [3, FAXES])
async def test_refused_numbers_fail_their_own_recipients(house: House, wrong: int) -> None:
    new = await stage(house, large(house, wrong=wrong))
    assert await house.do(submission.accept, new, now=house.now) is None
    (job,) = await house.rows(select(t.jobs))
    assert job.open == FAXES - wrong
    assert (job.finished_at is not None) is (wrong == FAXES)
    states = await house.rows(select(t.faxes.c.state, t.faxes.c.reason).order_by(t.faxes.c.position))
    assert [row.state for row in states] == ["failed"] * wrong + ["accepted"] * (FAXES - wrong)
    assert {row.reason for row in states[:wrong]} == {"Wrong."}
    report = await house.ask(report_book.find, "acme", "login:erp", new.job.id)
    assert report is not None
    assert [r.status for r in report.recipients] == ["DIAL_NC"] * wrong + ["PENDING"] * (FAXES - wrong)


async def test_what_was_staged_for_nothing_is_swept_by_its_age(house: House) -> None:
    new = await stage(house, large(house))
    assert await house.ask(staging.old_jobs, now=house.now + KEPT_S) == []
    assert await house.ask(staging.old_jobs, now=house.now + KEPT_S + 1) == [new.job.id]
    assert await house.do(staging.clear, new.job.id) == FAXES
    assert await house.do(staging.clear, new.job.id) == 0
    assert await counted(house, t.staged_faxes) == 0


async def test_a_job_stays_when_what_was_staged_goes(house: House) -> None:
    new = await stage(house, large(house))
    await house.do(submission.accept, new, now=house.now)
    await house.do(staging.clear, new.job.id)
    assert await counted(house, t.faxes) == FAXES
    assert await house.do(queue.create, new.job, fence=None, now=house.now) is True
