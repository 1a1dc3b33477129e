"""Documents that a job names by their URL: leased, fetched, put off, given up."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy import select

from faxgw.fax import ids
from faxgw.fax.account import resolve
from faxgw.fax.job import Wish
from faxgw.store import queue, references, rendering, submission
from faxgw.store import schema as t
from faxgw.store.queue import NewFax, NewJob
from faxgw.store.references import PAUSES, LeasedReference
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def job(house: House, *urls: str, numbers: int = 2, give_up_after: float = 3600.0) -> str:
    """A job whose documents are to be fetched."""
    facts = {"typed": "1", "e164": "+33199000001", "sub": "", "zone": "UTC"}
    faxes = tuple(NewFax(ids.fax_id(secrets.token_bytes(16)), n + 1, (facts,)) for n in range(numbers))
    ident = ids.job_id(secrets.token_bytes(16))
    new = NewJob(
        ident, None, "acme", "", "login:erp", "", "", house.now, resolve([]).snapshot(), (), (), faxes, None, 0
    )  # fmt: skip
    wanted = tuple(
        submission.Reference(position, f"{position}.pdf", None, None, url) for position, url in enumerate(urls, 1)
    )
    accepted = submission.Accepted(new, {}, wanted, house.now + give_up_after, "", "", 0.0, None)
    assert await house.do(submission.accept, accepted, now=house.now) is None
    return ident


async def lease(house: House) -> list[LeasedReference]:
    return list(await house.do(references.lease, fence=house.fence, now=house.now, limit=10))


async def rendered(house: House) -> list[str]:
    found = await house.do(rendering.lease, fence=house.fence, now=house.now, limit=10)
    return [j.id for j in found]


async def states(house: House, ident: str) -> list[tuple[str, str]]:
    rows = await house.rows(select(t.faxes.c.state, t.faxes.c.reason).where(t.faxes.c.job == ident))
    return [(row.state, row.reason) for row in rows]


async def test_a_job_is_rendered_when_its_last_document_is_here(house: House) -> None:
    ident = await job(house, "https://a.example/1", "https://a.example/2")
    first, second = await lease(house)
    assert await lease(house) == [] and await rendered(house) == []
    file = await house.keep(b"%PDF 2")
    assert await house.do(references.fetched, second, file=file, fence=house.fence, now=house.now)
    assert await house.do(references.fetched, second, file=file, fence=house.fence, now=house.now), "run again"
    assert await rendered(house) == []
    assert await house.do(references.fetched, first, file=await house.keep(b"%PDF 1"), fence=house.fence, now=house.now)
    assert await rendered(house) == [ident]
    rows = await house.rows(select(t.job_documents.c.name).order_by(t.job_documents.c.position))
    assert [row.name for row in rows] == ["1.pdf", "2.pdf"]
    assert (await house.events(ident)).count("document.fetched") == 2


async def test_a_source_that_is_away_is_asked_again_after_growing_pauses_and_given_up_in_the_end(house: House) -> None:
    ident = await job(house, "https://a.example/1", give_up_after=100.0)
    for pause in PAUSES[:3]:
        (reference,) = await lease(house)
        await house.do(references.put_off, reference, fence=house.fence, now=house.now, why="It is away.")
        assert await lease(house) == []
        assert await house.ask(references.next_due) == house.now + pause
        house.clock.now += pause
    (reference,) = await lease(house)
    await house.do(references.put_off, reference, fence=house.fence, now=house.now, why="It is away.")
    assert await states(house, ident) == [("failed", "1.pdf: It is away.")] * 2
    row = (await house.rows(select(t.faxes.c.cause).where(t.faxes.c.job == ident)))[0]
    assert row.cause == "nothing_to_send"
    assert (await house.events(ident))[-1] == "job.finished"
    assert await lease(house) == []


async def test_one_document_that_cannot_be_had_fails_the_job_and_the_others_are_not_fetched(house: House) -> None:
    ident = await job(house, "https://a.example/1", "https://a.example/2")
    held = (await house.rows(select(t.faxes.c.id).where(t.faxes.c.job == ident)))[0].id
    await house.do(queue.wish, held, Wish.HOLD, who="operator", now=house.now)
    first, second = await lease(house)
    await house.do(references.give_up, first, fence=house.fence, now=house.now, reason="404.")
    assert await states(house, ident) == [("failed", "1.pdf: 404.")] * 2
    file = await house.keep(b"%PDF")
    assert not await house.do(references.fetched, second, file=file, fence=house.fence, now=house.now)


async def test_a_cancelled_jobs_document_is_not_wanted(house: House) -> None:
    ident = await job(house, "https://a.example/1", numbers=1)
    (reference,) = await lease(house)
    fax = (await house.rows(select(t.faxes.c.id).where(t.faxes.c.job == ident)))[0].id
    await house.do(queue.wish, fax, Wish.CANCEL, who="owner", now=house.now)
    file = await house.keep(b"%PDF")
    assert not await house.do(references.fetched, reference, file=file, fence=house.fence, now=house.now)
    await house.do(references.put_off, reference, fence=house.fence, now=house.now, why="x")
    assert await house.ask(references.next_due) is None


async def test_what_an_earlier_life_leased_comes_back(house: House) -> None:
    ident = await job(house, "https://a.example/1")
    (before,) = await lease(house)
    await house.next_life()
    (after,) = await lease(house)
    assert (after.job, after.tries) == (ident, 2)
    old = house.fence - 1
    file = await house.keep(b"%PDF")
    assert not await house.do(references.fetched, before, file=file, fence=old, now=house.now)
