"""Jobs with thousands of recipients at the funnel: in short units, whole, and taken turns with."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update

from faxgw.dispatch.broadcast import STAGED_FROM
from faxgw.dispatch.dispatcher import PER_CUSTOMER, fair
from faxgw.dispatch.jobs import JobGate
from faxgw.fax import ids
from faxgw.fax.ports import Principal
from faxgw.fax.submission import JobDocument, JobReceipt, JobRecipient, JobSubmission
from faxgw.store import callable_jobs, candidates, staging
from faxgw.store import schema as t
from faxgw.store.errors import CommitUncertain
from tests.dispatch.doubles import until
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALL = 5_000


async def submission(house: House, recipients: int, **more: Any) -> JobSubmission:
    return JobSubmission(
        job=ids.job_id(secrets.token_bytes(16)),
        principal=Principal("acme", "", "erp", "", "login"),
        owner="login:erp",
        recipients=tuple(JobRecipient((f"+33199{n:06}",)) for n in range(recipients)),
        documents=(JobDocument("a.pdf", None, None, await house.keep(b"%PDF")),),
        accepted_at=house.now,
        **more,
    )


async def counted(house: House, table: Any) -> int:
    return int((await house.rows(select(func.count()).select_from(table)))[0][0])


async def test_a_small_job_is_not_staged(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object, **_named: object) -> None:
        raise AssertionError("staged")

    monkeypatch.setattr(staging, "stage", never)
    await JobGate(house.seat()).submit(await submission(house, STAGED_FROM - 1))
    assert await counted(house, t.faxes) == STAGED_FROM - 1


async def test_a_large_job_is_there_whole_and_leaves_nothing_staged(house: House) -> None:
    gate = JobGate(house.seat())
    assert isinstance(await gate.submit(await submission(house, STAGED_FROM)), JobReceipt)
    assert await counted(house, t.faxes) == STAGED_FROM

    async def cleared() -> bool:
        return await counted(house, t.staged_faxes) == 0

    await until(cleared)


async def test_others_have_their_turn_between_two_slices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that comes while a large job is written waits for a slice at most, and sees nothing of the job."""
    seen: list[int] = []
    run = house.store.run

    async def with_another(unit: Callable[..., Any]) -> Any:
        other = asyncio.create_task(run(lambda conn: conn.execute(select(func.count(t.faxes.c.id))).scalar_one()))
        found = await run(unit)
        seen.append(await other)
        return found

    monkeypatch.setattr(house.store, "run", with_another)
    given = await submission(house, 2 * STAGED_FROM)
    assert isinstance(await JobGate(house.seat()).submit(given), JobReceipt)
    assert seen[: 2 * STAGED_FROM // staging.SLICE] == [0] * (2 * STAGED_FROM // staging.SLICE)


async def test_a_commit_nobody_confirmed_leaves_the_job_whole_or_not_at_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last unit is committed, its answer lost: the same job again is the one that is there."""
    run, lost = house.store.run, 0

    async def forgetful(unit: Callable[..., Any]) -> Any:
        nonlocal lost
        found = await run(unit)
        if getattr(unit, "func", None) is staging.stage or lost:
            return found
        lost += 1
        raise CommitUncertain("no answer")

    monkeypatch.setattr(house.store, "run", forgetful)
    gate, given = JobGate(house.seat()), await submission(house, STAGED_FROM, key="k", fingerprint="f", key_valid=600.0)
    with pytest.raises(CommitUncertain):
        await gate.submit(given)
    assert (await counted(house, t.jobs), await counted(house, t.faxes)) == (1, STAGED_FROM)
    again = await gate.submit(await submission(house, STAGED_FROM, key="k", fingerprint="f", key_valid=600.0))
    assert getattr(again, "job", "") == given.job and not isinstance(again, JobReceipt)
    assert (await counted(house, t.jobs), await counted(house, t.faxes)) == (1, STAGED_FROM)


async def test_single_faxes_are_among_the_first_however_large_the_broadcast(house: House) -> None:
    """What the dispatcher looks at, with 5,000 faxes before them: express first, then one of each job in turn."""
    given = await submission(house, ALL)
    await JobGate(house.seat()).submit(given)
    await house.change(
        update(t.jobs).where(t.jobs.c.id == given.job).values(body_key="k", body_sha256="", body_size=0, pages=1)
    )
    await house.change(update(t.faxes).where(t.faxes.c.job == given.job).values(state="ready", pages=1))
    await house.do(callable_jobs.settle, given.job, now=house.now)
    house.clock.now += 60
    other = await house.ready_fax("+33188000001", customer="beta")
    same = await house.ready_fax("+33188000002")
    express = await house.ready_fax("+33188000003", priority=1)
    found = await house.ask(candidates.candidates, now=house.now, limit=500, per_customer=PER_CUSTOMER)
    order = [each.fax for each in fair(found)]
    assert order[0] == express
    assert {other, same} <= set(order[:5])
    assert sum(each.job == given.job for each in found) <= PER_CUSTOMER
