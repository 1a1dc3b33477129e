"""Header policies, enforced when a fax is handed in, with the reason: by mail (and by `faxgw send`), and as a job."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher

from faxgw.dispatch.gate import Gate
from faxgw.dispatch.jobs import JobGate
from faxgw.fax import ids
from faxgw.fax.ports import Principal, Receipt, Rejection
from faxgw.fax.submission import JobDocument, JobReceipt, JobRecipient, JobRefused, JobSubmission
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000001"
LAWFUL: dict[str, object] = {
    "caller_name": "Acme Corp",
    "csid": "+1 212 555 0100",
    "country": "US",
    "header": "%m/%d/%Y %I:%M %p  Acme Corp %C%rPage %P/%T",
}
US, FR = "47 CFR 68.318(d)", "CPCE article L34-5"
CASES = [
    ({"header_policy": "us-tcpa"}, US, "the name of who sends is not known"),
    ({"header_policy": "us-tcpa", **LAWFUL, "header": "Acme Corp %C"}, US, "it does not print the date"),
    ({"header_policy": "us-tcpa", **LAWFUL, "header": ""}, US, "it is switched off"),
    ({"header_policy": "fr"}, FR, "the name of who sends is not known"),
    ({"header_policy": "fr", **LAWFUL, "header": "Acme Corp %P"}, FR, "does not print a telephone number"),
]
GOOD: list[dict[str, object]] = [
    {"header_policy": "none"},
    {"header_policy": "us-tcpa", **LAWFUL},
    {"header_policy": "fr", **LAWFUL, "header": "Acme Corp fax@acme.example %P"},
]


async def mailed(house: House, system: dict[str, object]) -> Receipt | Rejection:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    gate = Gate(house.seat(system), Watermark(1000, render_budget=0, percent=0), Passwords(house.clock, cheap))
    return await gate.submit_mail(await house.mail(NUMBER))


async def handed_in(house: House, system: dict[str, object], **given: Any) -> object:
    document = JobDocument("a.pdf", "pdf", None, await house.keep(b"%PDF"))
    job = JobSubmission(
        job=ids.job_id(next(house.serial).to_bytes(16, "big")),
        principal=Principal("acme", "", "", ALICE, "token"),
        owner=ALICE,
        recipients=(JobRecipient((NUMBER,)),),
        documents=(document,),
        accepted_at=house.now,
        settings=given,
    )
    return await JobGate(house.seat(system)).submit(job)


@pytest.mark.parametrize(("system", "law", "reason"), CASES)
async def test_an_unlawful_header_is_refused_with_the_law_and_the_reason(
    house: House, system: dict[str, object], law: str, reason: str
) -> None:
    answer = await mailed(house, system)
    assert isinstance(answer, Rejection) and (answer.code, answer.enhanced) == (550, "5.7.1")
    refused = await handed_in(house, system)
    assert isinstance(refused, JobRefused) and refused.code == "header_policy"
    for text in (answer.text, refused.text):
        assert law in text and reason in text


@pytest.mark.parametrize("system", GOOD)
async def test_a_lawful_header_is_taken(house: House, system: dict[str, object]) -> None:
    assert isinstance(await mailed(house, system), Receipt)
    assert isinstance(await handed_in(house, system), JobReceipt)


async def test_a_job_can_neither_lift_the_policy_nor_evade_it(house: House) -> None:
    system: dict[str, object] = {"header_policy": "us-tcpa", **LAWFUL}
    for given in ({"header_policy": "none"}, {"header": "%P"}, {"header": ""}):
        assert isinstance(await handed_in(house, system, **given), JobRefused), given
