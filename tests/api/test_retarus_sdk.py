"""The vendor's public Python client against the REST interface, unchanged but for the URL, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from faxgw.fax import ids
from faxgw.store import submission
from faxgw.store.queue import NewFax, NewJob
from tests.api.retarus_world import FAR, PDF, Vendor, vendor
from tests.house import House
from tests.sdk.client import drive

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOW = pytest.mark.parametrize("how", ["sync", "async"])


@pytest_asyncio.fixture(loop_scope="session")
async def erp(house: House) -> AsyncIterator[Vendor]:
    async with vendor(house) as made:
        yield made


def base_of(erp: Vendor) -> str:
    return str(erp.desk.client._base_url).rstrip("/")


@HOW
async def test_the_client_sends_asks_lists_and_deletes(erp: Vendor, how: str, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(PDF)
    base = base_of(erp)
    sent, pending, listed = await drive(
        how, base, [["send", FAR, str(letter), {"ToName": "Mme Durand"}], ["get"], ["list"]]
    )
    job = sent["jobId"]
    assert pending["recipientStatus"][0]["status"] == "PENDING"
    assert pending["recipientStatus"][0]["properties"] == [{"key": "ToName", "value": "Mme Durand"}]
    assert listed == {"reports": []}
    await erp.deliver(job)
    done, listed, bulk, deleted, gone, missing = await drive(
        how,
        base,
        [["get", job], ["list"], ["bulk", "GET", job, "FNONE"], ["delete", job], ["get", job], ["delete", job]],
    )
    assert (done["recipientStatus"][0]["status"], done["pages"]) == ("OK", 2)
    assert listed == bulk == {"reports": [done]}
    assert deleted == {"jobId": job, "deleted": True}
    assert (gone, missing) == (False, False)


@HOW
async def test_the_client_raises_its_own_errors(erp: Vendor, how: str, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(PDF)
    send = ["send", FAR, str(letter)]
    cover = ["send", FAR, str(letter), "nowhere.ftl.html"]
    _first, again, refused, _, unknown = await drive(
        how, base_of(erp), [send, send, cover, ["login", "erp", "wrong"], ["list"]]
    )
    assert again["raised"] == "SDKError"  # 409
    assert refused["raised"] == "ApiInvalidPayload"  # 400: there is no such cover page
    assert unknown["raised"] == "ApiAuthorizationError"


async def test_the_client_gets_a_thousand_reports_and_deletes_them(erp: Vendor) -> None:
    """The oldest thousand of 1,002; the rest comes with the next call."""
    made = await asyncio.gather(*(_finished(erp.house, n) for n in range(1_002)))
    listed, deleted, rest, deleted_rest, none = await drive(
        "sync", base_of(erp), [["list"], ["delete_all"], ["list"], ["bulk", "DELETE", *made[1_000:]], ["list"]]
    )
    assert [r["jobId"] for r in listed["reports"]] == made[:1_000]
    assert deleted == {"reports": [{"jobId": job, "deleted": True} for job in made[:1_000]]}
    assert [r["jobId"] for r in rest["reports"]] == made[1_000:]
    assert [d["deleted"] for d in deleted_rest["reports"]] == [True, True]
    assert none == {"reports": []}


async def _finished(house: House, number: int) -> str:
    """A job whose only number could not be dialled."""
    job, fax = ids.job_id(number.to_bytes(16, "little")), ids.fax_id(number.to_bytes(16, "little"))
    facts = {"typed": "112", "e164": "", "sub": "", "zone": "UTC"}
    new = NewJob(
        job, None, "acme", "", "login:erp", "", "", house.now + number, {}, (), (), (NewFax(fax, 1, (facts,)),), None, 0
    )
    report = {"owner": "login:erp", "interface": "rest", "reference": {"customerDefinedId": f"{number:04}"}}
    accepted = submission.Accepted(new, {fax: "Emergency numbers are never dialled."}, (), 0.0, "", "", 0.0, report)
    await house.do(submission.accept, accepted, now=house.now + number)
    return job
