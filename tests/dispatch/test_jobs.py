"""Jobs with their structure at the funnel: what their covers need is asked for before anything is promised."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.dispatch.jobs import JobGate
from faxgw.fax import ids
from faxgw.fax.ports import Principal
from faxgw.fax.submission import JobDocument, JobKnown, JobReceipt, JobRecipient, JobRefused, JobSubmission
from faxgw.store import schema as t
from faxgw.store import templates
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = JobRecipient(("+33199000001",), (("Matter", "4711"),))
OTHER = JobRecipient(("+33199000002",))


async def submit(
    house: House, *recipients: JobRecipient, document: bool = True, **more: Any
) -> JobReceipt | JobKnown | JobRefused:
    documents = (JobDocument("a.pdf", None, None, await house.keep(b"%PDF")),) if document else ()
    job = JobSubmission(
        job=ids.job_id(next(house.serial).to_bytes(16, "big")),
        principal=Principal("acme", "", "erp", "", "login"),
        owner="login:erp",
        recipients=recipients or (FAR,),
        documents=documents,
        accepted_at=house.now,
        **more,
    )
    return await JobGate(house.seat()).submit(job)


async def matter(house: House) -> None:
    content = b"${Matter} ${recipient}"
    await house.do(
        templates.keep, "acme", templates.Kind.COVER, "mine", format="html", content=content, who="op", now=house.now
    )


async def account(house: House, **settings: object) -> None:
    await house.change(update(t.customers).where(t.customers.c.id == "acme").values(settings=settings))


async def test_an_unknown_cover_is_refused_and_nothing_stays(house: House) -> None:
    answer = await submit(house, cover="nowhere")
    assert answer == JobRefused("unknown_cover", "There is no cover page “nowhere”.", "cover")
    assert not await house.rows(select(t.jobs)) and not list(house.folder.glob("objects/*/*"))


async def test_a_recipient_without_a_value_is_named(house: House) -> None:
    await matter(house)
    answer = await submit(house, FAR, OTHER, cover="mine")
    assert isinstance(answer, JobRefused)
    assert (answer.code, answer.param) == ("missing_property", "recipients[1].properties")
    assert "Matter" in answer.text and "+33199000002" in answer.text
    assert isinstance(await submit(house, FAR, cover="mine"), JobReceipt)


async def test_a_value_of_the_account_is_enough(house: House) -> None:
    await matter(house)
    await account(house, cover_values=["Matter=ours"])
    assert isinstance(await submit(house, FAR, OTHER, cover="mine"), JobReceipt)


async def test_the_jobs_cover_comes_last_and_its_text_is_kept(house: House) -> None:
    await account(house, cover="letter")
    await submit(house, text="Dear Ann")
    await submit(house, cover="plain")
    await submit(house, cover="none")
    jobs = await house.rows(select(t.jobs).order_by(t.jobs.c.id))
    assert [job.settings["cover"]["value"] for job in jobs] == ["letter", "plain", "none"]
    assert [job.cover_text for job in jobs] == ["Dear Ann", None, None]


async def test_a_cover_alone_is_something_to_send(house: House) -> None:
    nothing = JobRefused("nothing_to_send", "The job has neither a document nor a cover page.", "documents")
    assert await submit(house, document=False) == nothing
    assert isinstance(await submit(house, document=False, cover="plain"), JobReceipt)
    await account(house, cover="plain")
    assert isinstance(await submit(house, document=False), JobReceipt)
    assert await submit(house, document=False, cover="none") == nothing


async def test_an_account_with_fewer_recipients_has_fewer_over_every_interface(house: House) -> None:
    """`max_recipients` is an entitlement: what a job overrides does not widen it, a user's own value narrows it."""
    await account(house, max_recipients=1)
    words = "The fax has 2 recipients; the limit of this account is 1."
    refused = JobRefused("too_many_recipients", words, "recipients")
    assert await submit(house, FAR, OTHER) == refused
    assert await submit(house, FAR, OTHER, settings={"max_recipients": 5_000}) == refused
    assert not await house.rows(select(t.jobs)) and not list(house.folder.glob("objects/*/*"))
    assert isinstance(await submit(house, FAR), JobReceipt)


async def test_without_a_limit_of_its_own_an_account_may_send_to_five_thousand(house: House) -> None:
    many = tuple(JobRecipient((f"+331990{n:05}",)) for n in range(5_001))
    answer = await submit(house, *many)
    assert (
        isinstance(answer, JobRefused)
        and answer.text == "The fax has 5001 recipients; the limit of this account is 5000."
    )
    assert isinstance(await submit(house, *many[:-1]), JobReceipt)
