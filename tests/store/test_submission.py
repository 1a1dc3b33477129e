"""Jobs that come with their structure, their keys, and the reports that their owners see."""

from __future__ import annotations

import secrets

import pytest
from sqlalchemy import select

from faxgw.fax import ids
from faxgw.fax.account import resolve
from faxgw.fax.submission import JobKnown
from faxgw.store import report_book, submission
from faxgw.store import schema as t
from faxgw.store.queue import NewFax, NewJob
from faxgw.store.submission import Accepted
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


def accepted(house: House, *, numbers: int = 1, wrong: int = 0, key: str = "", owner: str = "login:erp") -> Accepted:
    facts = {"typed": "1", "e164": "+33199000001", "sub": "", "zone": "UTC"}
    faxes = tuple(NewFax(ids.fax_id(secrets.token_bytes(16)), n + 1, (facts,)) for n in range(numbers))
    job = NewJob(
        ids.job_id(secrets.token_bytes(16)), None, "acme", "", owner, "", "", house.now, resolve([]).snapshot(), (), (),
        faxes, None, 0,
    )  # fmt: skip
    report = {"owner": owner, "interface": "rest", "reference": {}}
    return Accepted(job, {f.id: "Wrong." for f in faxes[:wrong]}, (), 0.0, key, "print" * bool(key), 600.0, report)


async def accept(house: House, new: Accepted) -> JobKnown | None:
    return await house.do(submission.accept, new, now=house.now)


async def test_a_unit_that_runs_again_finds_its_own_job(house: House) -> None:
    new = accepted(house, key="k", numbers=3, wrong=1)
    assert await accept(house, new) is None
    assert await accept(house, new) is None
    assert len(await house.rows(select(t.faxes.c.id))) == 3
    assert (await house.rows(select(t.jobs.c.open)))[0].open == 2


async def test_a_key_holds_for_its_time_and_tells_another_request(house: House) -> None:
    first = accepted(house, key="k")
    assert await accept(house, first) is None
    assert await accept(house, accepted(house, key="k")) == JobKnown(first.job.id, True)
    assert await house.ask(submission.known, "k", "other", valid=600.0, now=house.now) == JobKnown(first.job.id, False)
    house.clock.now += 601
    assert await accept(house, accepted(house, key="k")) is None
    assert await house.do(submission.forget_old_keys, now=house.now + 1) == 0
    assert await house.do(submission.forget_old_keys, now=house.now + 601) == 1


async def test_many_keys_are_asked_about_in_one_go(house: House) -> None:
    """`held` as `known` tells it for each; `is_used` also of those of which nothing was sent."""
    for key, wrong in (("sent", 0), ("failed", 1)):
        assert await accept(house, accepted(house, key=key, wrong=wrong)) is None
    keys = ["sent", "failed", *(f"none{number}" for number in range(500))]
    assert await house.ask(submission.held, keys, valid=600.0, now=house.now) == {"sent"}
    assert await house.ask(submission.is_used, ["none0", "failed"], valid=600.0, now=house.now) is True
    assert await house.ask(submission.is_used, ["none0"], valid=600.0, now=house.now) is False
    later = house.now + 601
    assert await house.ask(submission.held, keys, valid=600.0, now=later) == frozenset()
    assert await house.ask(submission.is_used, keys, valid=600.0, now=later) is False


async def test_thousands_of_wrong_numbers_fail_in_one_unit_and_finish_their_job(house: House) -> None:
    new = accepted(house, numbers=2_000, wrong=2_000)
    assert await accept(house, new) is None
    report = await house.ask(report_book.find, "acme", "login:erp", new.job.id)
    assert report is not None and {(r.status, r.reason) for r in report.recipients} == {("DIAL_NC", "Wrong.")}
    assert await house.events(new.job.id) == ["job.accepted", "job.finished"]


async def test_a_report_is_its_owners_and_its_customers_only(house: House) -> None:
    new = accepted(house, wrong=1)
    await accept(house, new)
    job = new.job.id
    for customer, owner in (("beta", "login:erp"), ("acme", "login:sap"), ("acme", "")):
        assert await house.ask(report_book.find, customer, owner, job) is None
        assert await house.ask(report_book.oldest, customer, owner) == []
        (done,) = await house.do(report_book.delete, customer, owner, [job], now=house.now)
        assert not done.deleted
        assert await house.do(report_book.delete_oldest, customer, owner, now=house.now) == []
    assert await house.ask(report_book.find, "acme", "login:erp", job) is not None


async def test_a_list_of_broadcasts_is_bounded_by_its_recipients_and_has_at_least_one(house: House) -> None:
    jobs = []
    for _ in range(3):
        new = accepted(house, numbers=10, wrong=10)
        await accept(house, new)
        jobs.append(new.job.id)
        house.clock.now += 1
    for limit, expected in ((30, 3), (29, 2), (5, 1)):
        found = await house.ask(report_book.oldest, "acme", "login:erp", recipients=limit)
        assert [r.job for r in found] == jobs[:expected]


async def test_standing_tells_who_may_send(house: House) -> None:
    for customer, user, active in (
        ("acme", "", True), ("acme", "acme/bert", True), ("acme", "beta/x", False), ("beta", "acme/bert", False),
        ("x", "", False),
    ):  # fmt: skip
        assert (await house.ask(submission.standing, {}, customer, user)).active is active
    await house.change(t.users.update().values(state="suspended"))
    assert not (await house.ask(submission.standing, {}, "acme", "acme/bert")).active
