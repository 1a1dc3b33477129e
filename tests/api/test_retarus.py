"""The vendor's six REST calls over a real server and store (docs/rest-retarus.md)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from faxgw.api.report_age import forget_for_ever
from faxgw.api.settings import ApiSettings
from faxgw.dispatch.jobs import JobGate
from faxgw.fax.outcome import Cause
from faxgw.fax.submission import JobKnown, JobReceipt, JobRefused, JobSubmission
from faxgw.store import report_book
from faxgw.store import schema as t
from faxgw.store.errors import CommitUncertain
from tests.api.desk import desk
from tests.api.retarus_world import BASE, FAR, PDF, Vendor, document, job, rest, vendor
from tests.house import House
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def erp(house: House) -> AsyncIterator[Vendor]:
    async with vendor(house) as made:
        yield made


# ------------------------------------------------------------------------------------------------------ call 1: send


async def test_a_job_is_answered_with_its_id_and_is_durable(erp: Vendor) -> None:
    """Call 1; spine section 5: the answer is the promise."""
    status, answer = await erp.call("POST", "", job())
    assert status == 200
    assert set(answer) == {"jobId"}
    assert len(answer["jobId"]) == 22 and answer["jobId"][0] == "F" and answer["jobId"].isalnum()
    row = (await erp.house.rows(select(t.jobs).where(t.jobs.c.id == answer["jobId"])))[0]
    assert (row.customer, row.owner, row.open) == ("acme", "login:erp", 1)
    documents = await erp.house.rows(select(t.job_documents).where(t.job_documents.c.job == row.id))
    assert [(d.name, d.size) for d in documents] == [("letter.pdf", len(PDF))]
    kept = documents[0]
    assert (erp.house.folder / kept.key).read_bytes() == PDF


async def test_what_a_job_asks_for_is_laid_over_the_accounts_settings(erp: Vendor) -> None:
    body = job(
        reference={"customerDefinedId": "INV-17", "billingCode": "CC10", "billingInfo": "sales"},
        transportOptions={"csid": "+33 1 00 ACME", "isExpress": True, "isBlacklistEnabled": False},
        renderingOptions={"paperFormat": "Letter", "resolution": "LOW", "header": "%d.%m.%Y %rPage %P/%T"},
        meta={"customerReference": "batch-9", "jobValid": {"start": "PT5M", "end": "PT80M"}},
    )
    ident = await erp.send(body)
    row = (await erp.house.rows(select(t.jobs).where(t.jobs.c.id == ident)))[0]
    values = {key: entry["value"] for key, entry in row.settings.items() if entry["level"] == "job"}
    assert values == {
        "csid": "+33 1 00",
        "priority": "express",
        "paper": "Letter",
        "resolution": "standard",
        "header": "%d.%m.%Y %rPage %P/%T",
        "billing_code": "CC10",
    }
    fax = (await erp.house.rows(select(t.faxes).where(t.faxes.c.job == ident)))[0]
    assert (fax.priority, fax.earliest, fax.latest) == (1, erp.house.now + 300, erp.house.now + 4800)
    assert (await erp.report(ident))["reference"] == body["reference"]


async def test_documents_of_megabytes_go_to_the_spool_while_they_come(erp: Vendor) -> None:
    content = [os.urandom(3_000_000), os.urandom(200_001)]
    body = job(documents=[document("a.pdf", content[0]), document("b.txt", content[1], charset="windows-1252")])
    text = json.dumps(body).replace("/", "\\/")  # as PHP writes it

    async def pieces() -> AsyncIterator[bytes]:
        octets = text.encode()
        for at in range(0, len(octets), 50_021):
            yield octets[at : at + 50_021]

    headers = {**erp.auth, "Content-Type": "application/json; charset=UTF-8"}
    async with erp.desk.client.post(BASE, data=pieces(), headers=headers) as answer:
        ident = (await answer.json())["jobId"]
    query = select(t.job_documents).where(t.job_documents.c.job == ident).order_by(t.job_documents.c.position)
    rows = await erp.house.rows(query)
    assert [(r.name, r.kind, r.charset) for r in rows] == [("a.pdf", None, None), ("b.txt", "text", "windows-1252")]
    assert [(erp.house.folder / r.key).read_bytes() for r in rows] == content


async def test_many_recipients_are_one_job_whose_pages_are_made_once(house: House) -> None:
    async with vendor(house, max_recipients=5_000) as erp:
        numbers = [f"+331990{n:05}" for n in range(1_000)]
        ident = await erp.send(job(*numbers))
        assert len(await erp.faxes(ident)) == 1_000
        assert len(await house.rows(select(t.job_documents).where(t.job_documents.c.job == ident))) == 1
        report = await erp.report(ident)
        assert [r["number"] for r in report["recipientStatus"]] == numbers
        await house.render(ident)
        assert {await house.state(f) for f in (await erp.faxes(ident))[:3]} == {"ready"}


async def test_an_account_with_fewer_recipients_is_refused_more_and_nothing_stays(erp: Vendor) -> None:
    await erp.house.change(update(t.customers).values(settings={"max_recipients": 1}))
    status, answer = await erp.call("POST", "", job(FAR, "+33199000002"))
    assert (status, answer["code"], answer["param"]) == (400, "too_many_recipients", "recipients")
    assert answer["detail"] == "The fax has 2 recipients; the limit of this account is 1."
    assert not await erp.house.rows(select(t.jobs)) and not list((erp.house.folder / "objects").glob("*/*"))
    await erp.send(job(FAR))


async def test_a_number_that_cannot_be_dialled_fails_its_own_recipient_only(erp: Vendor) -> None:
    ident = await erp.send(job("112", FAR, "Paris"))
    status = (await erp.report(ident))["recipientStatus"]
    assert [(r["number"], r["status"]) for r in status] == [("112", "DIAL_NC"), (FAR, "PENDING"), ("Paris", "DIAL_NC")]
    assert status[0]["reason"] == "Emergency numbers are never dialled."
    assert await erp.house.events((await erp.faxes(ident))[0]) == ["fax.accepted", "fax.failed"]


async def test_a_job_whose_numbers_all_are_wrong_is_finished_at_once(erp: Vendor) -> None:
    ident = await erp.send(job("112", "Paris"))
    assert [r["jobId"] for r in (await erp.call("GET", "/reports"))[1]["reports"]] == [ident]
    assert await erp.house.events(ident) == ["job.accepted", "job.finished"]


async def test_an_alternative_number_is_dialled_where_the_first_cannot_be(erp: Vendor) -> None:
    body = job(recipients=[{"number": "Paris", "alternativeNumbers": [FAR, "+33199000002"]}])
    ident = await erp.send(body)
    fax = (await erp.house.rows(select(t.faxes).where(t.faxes.c.job == ident)))[0]
    assert [n["e164"] for n in fax.numbers] == [FAR, "+33199000002"]
    assert (await erp.report(ident))["recipientStatus"][0]["number"] == "Paris"


async def test_the_same_request_within_the_window_is_409_with_the_first_ones_id(erp: Vendor) -> None:
    """Spine section 5: vendor REST carries no key of its own."""
    first = await erp.send(job())
    status, answer = await erp.call("POST", "", job())
    assert (status, answer["code"], answer["jobId"]) == (409, "duplicate_job", first)
    assert len(await erp.house.rows(select(t.jobs.c.id))) == 1
    assert len(list((erp.house.folder / "objects").glob("*/*"))) == 1  # the second copy of the document is gone
    assert await erp.send(job(FAR, "+33199000002")) != first
    erp.house.clock.now += 601
    assert await erp.send(job()) != first


async def test_a_job_that_failed_may_be_sent_again_at_once(erp: Vendor) -> None:
    first = await erp.send(job("112"))
    assert await erp.send(job("112")) != first


async def test_the_same_request_of_another_login_is_another_job(erp: Vendor) -> None:
    other = Vendor(erp.desk, await erp.desk.login("sap"))
    assert await erp.send() != await other.send()


async def test_status_mails_go_where_the_job_says_by_what_became_of_it(erp: Vendor) -> None:
    mail = {"successAddress": "ok@example.org", "failureAddress": "ops@example.org"}
    body = job(statusReportOptions={"reportMail": mail, "reportPurgeTs": "0001-01-01T00:00:00+0000"})
    sent = await erp.send(body)
    await erp.deliver(sent)
    assert [row.target for row in await erp.house.outbox(sent)] == ["ok@example.org"]
    failed = await erp.send(job("112", **{k: v for k, v in body.items() if k == "statusReportOptions"}))
    assert [row.target for row in await erp.house.outbox(failed)] == ["ops@example.org"]
    quiet = await erp.send(job("110"))
    assert await erp.house.outbox(quiet) == []


async def test_every_key_is_known_in_snake_case_and_any_case_and_null_is_absent(erp: Vendor) -> None:
    """The vendor's Python client sends snake_case, its Java client null for what is not set."""
    body = {
        "recipients": [{"number": FAR, "properties": [{"key": "ToName", "value": "Mme Durand"}]}],
        "Documents": [document(charset="utf-8")],
        "rendering_options": {"paper_format": "LETTER", "resolution": "high", "overlay": None, "header": None},
        "statusReportOptions": {"httpStatusPush": None, "reportMail": None},
        "meta": {"customerReference": "x", "jobValid": {}},
        "transportOptions": None,
        "reference": None,
        "somethingNew": {"deep": [1, 2]},
    }
    ident = await erp.send(body)
    row = (await erp.house.rows(select(t.jobs).where(t.jobs.c.id == ident)))[0]
    assert (row.settings["paper"]["value"], row.settings["resolution"]["value"]) == ("Letter", "fine")
    assert (await erp.report(ident))["recipientStatus"][0]["properties"] == [{"key": "ToName", "value": "Mme Durand"}]


class Uncertain:
    """A funnel whose commit goes without an answer."""

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        raise CommitUncertain("no answer")


async def test_an_uncertain_commit_is_503_and_the_document_stays(house: House) -> None:
    """Spine section 5: the retry is found, or the sweep finds no row."""
    async with desk(house, lambda g: [rest(g, Uncertain())]) as made:
        erp = Vendor(made, await made.login("erp"))
        status, answer = await erp.call("POST", "", job())
    assert (status, answer["code"]) == (503, "uncertain")
    assert len(list((house.folder / "objects").glob("*/*"))) == 1


class Slow:
    """The real funnel, once it may."""

    def __init__(self, gate: JobGate) -> None:
        self.gate = gate
        self.begun, self.may = asyncio.Event(), asyncio.Event()
        self.done = asyncio.Event()

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        self.begun.set()
        await self.may.wait()
        answer = await self.gate.submit(job)
        self.done.set()
        return answer


async def test_a_job_that_is_being_committed_is_finished_though_its_client_is_gone(house: House) -> None:
    slow = Slow(JobGate(house.seat()))
    async with desk(house, lambda g: [rest(g, slow)]) as made:
        erp = Vendor(made, await made.login("erp"))
        call = asyncio.create_task(erp.call("POST", "", job()))
        await slow.begun.wait()
        call.cancel()
        slow.may.set()
        await asyncio.wait_for(slow.done.wait(), PATIENCE_S)
    assert len(await house.rows(select(t.jobs.c.id))) == 1


# ----------------------------------------------------------------------------------------------- calls 2 to 6: reports


async def test_a_report_is_pending_until_the_fax_was_sent_and_says_then_what_was(erp: Vendor) -> None:
    ident = await erp.send(job("+33 1 99 00-00 01"))
    assert await erp.report(ident) == {
        "jobId": ident,
        "recipientStatus": [
            {
                "number": "+33 1 99 00-00 01",
                "properties": None,
                "status": "PENDING",
                "reason": "",
                "sentTs": None,
                "durationInSecs": 0,
                "sentToNumber": "",
                "remoteCsid": "",
            }
        ],
        "pages": 0,
        "reference": {"customerDefinedId": "", "billingCode": "", "billingInfo": ""},
    }
    assert (await erp.call("GET", "/reports"))[1] == {"reports": []}
    await erp.deliver(ident, pages=3)
    report = await erp.report(ident)
    (recipient,) = report["recipientStatus"]
    assert report["pages"] == 3
    assert recipient == {
        "number": "+33 1 99 00-00 01",
        "properties": None,
        "status": "OK",
        "reason": "OK",
        "sentTs": "2026-11-18T11:07:23Z",
        "durationInSecs": 38,
        "sentToNumber": "0033199000001",
        "remoteCsid": "+33 1 99 00 00 01",
    }
    assert (await erp.call("GET", "/reports"))[1] == {"reports": [report]}


async def test_a_busy_number_is_pending_with_the_reason_and_final_when_no_dial_is_left(erp: Vendor) -> None:
    ident = await erp.send()
    await erp.house.render(ident)
    (fax,) = await erp.faxes(ident)
    await erp.house.call(fax, Cause.BUSY)
    (recipient,) = (await erp.report(ident))["recipientStatus"]
    assert (recipient["status"], recipient["reason"], recipient["sentTs"]) == ("PENDING", "The number was busy.", None)
    while await erp.house.state(fax) == "waiting":
        await erp.house.wait(fax)
        await erp.house.call(fax, Cause.BUSY)
    (recipient,) = (await erp.report(ident))["recipientStatus"]
    assert recipient["status"] == "BUSY"
    assert recipient["sentToNumber"] == "0033199000001"


async def test_a_deleted_report_is_gone_and_its_fax_is_not_touched(erp: Vendor) -> None:
    """Spine section 10."""
    ident = await erp.send()
    missing = {"jobId": ident, "deleted": False, "reason": "NOT_FOUND"}
    assert await erp.call("DELETE", f"/reports/{ident}") == (404, missing)
    await erp.deliver(ident)
    assert await erp.call("DELETE", f"/reports/{ident}") == (200, {"jobId": ident, "deleted": True})
    assert await erp.call("DELETE", f"/reports/{ident}") == (404, missing)
    assert (await erp.call("GET", f"/reports/{ident}"))[0] == 404
    assert await erp.call("GET", "/reports") == (200, {"reports": []})
    (fax,) = await erp.faxes(ident)
    assert await erp.house.state(fax) == "sent"
    assert (await erp.house.events(ident))[-1] == "report.deleted"


async def test_the_list_has_the_oldest_finished_jobs_first(erp: Vendor) -> None:
    made = []
    for n in range(4):
        made.append(await erp.send(job(f"+3319900000{n}")))
        erp.house.clock.now += 10
    for ident in reversed(made[:3]):
        await erp.deliver(ident)
    listed = (await erp.call("GET", "/reports"))[1]["reports"]
    assert [r["jobId"] for r in listed] == made[:3]
    status, answer = await erp.call("DELETE", "/reports")
    assert (status, answer) == (200, {"reports": [{"jobId": i, "deleted": True} for i in made[:3]]})
    assert await erp.call("DELETE", "/reports") == (200, {"reports": []})
    assert (await erp.report(made[3]))["recipientStatus"][0]["status"] == "PENDING"


async def test_bulk_get_gives_known_ones_in_the_order_asked_for_and_leaves_the_others_out(erp: Vendor) -> None:
    first, second = await erp.send(), await erp.send(job("+33199000002"))
    body = {"action": "get", "jobIds": [second, "FNOTHING", first, second]}
    status, answer = await erp.call("POST", "/reports", body)
    assert status == 200
    assert [r["jobId"] for r in answer["reports"]] == [second, first]


async def test_bulk_delete_answers_for_each_id_with_deleted_ones_first(erp: Vendor) -> None:
    """One of the vendor's clients drops the whole answer when its first item was not found."""
    first = await erp.send()
    await erp.deliver(first)
    status, answer = await erp.call("POST", "/reports", {"action": "DELETE", "jobIds": ["FNOTHING", first]})
    gone = {"jobId": "FNOTHING", "deleted": False, "reason": "NOT_FOUND"}
    assert (status, answer) == (200, {"reports": [{"jobId": first, "deleted": True}, gone]})
    assert (await erp.call("POST", "/reports", {"action": "DELETE", "jobIds": [first]}))[1]["reports"][0][
        "deleted"
    ] is False


async def test_an_answer_comes_in_one_write_with_its_length(erp: Vendor) -> None:
    """The vendor's Java client closes its connection before it reads a second piece."""
    ident = await erp.send()
    url = erp.desk.client._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"GET {BASE}/reports/{ident} HTTP/1.1\r\nHost: x\r\nAuthorization: {erp.auth['Authorization']}\r\n\r\n".encode()
    )
    piece = await reader.read(65_536)
    head, _, body = piece.partition(b"\r\n\r\n")
    assert b"application/json" in head and b"Transfer-Encoding" not in head
    assert json.loads(body)["jobId"] == ident
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["//reports/{}", "/reports/{}/", "//reports//{}"])
async def test_slashes_too_many_are_taken(erp: Vendor, path: str) -> None:
    ident = await erp.send()
    url = f"http://{erp.desk.client._base_url.authority}{BASE}{path.format(ident)}"  # type: ignore[union-attr]
    async with erp.desk.client.get(url, headers=erp.auth) as answer:
        assert (await answer.json())["jobId"] == ident


async def test_credentials_may_come_in_the_url_safe_alphabet(erp: Vendor) -> None:
    await erp.desk.login("us>er", "p?ss>>??")
    token = base64.urlsafe_b64encode(b"us>er:p?ss>>??").decode()
    assert "-" in token or "_" in token
    other = Vendor(erp.desk, {"Authorization": f"Basic {token}"})
    assert await other.call("GET", "/reports") == (200, {"reports": []})


# ------------------------------------------------------------------------------------------------- who sees what


async def seen(who: Vendor, ident: str) -> list[Any]:
    """Everything that a login is told about a job of some id, with the id taken out."""
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"/reports/{ident}", None),
        ("DELETE", f"/reports/{ident}", None),
        ("POST", "/reports", {"action": "GET", "jobIds": [ident]}),
        ("POST", "/reports", {"action": "DELETE", "jobIds": [ident]}),
        ("GET", "/reports", None),
        ("DELETE", "/reports", None),
    ]
    return [json.dumps(await who.call(*call)).replace(ident, "ID") for call in calls]


async def test_a_job_of_another_login_or_customer_looks_exactly_like_none(erp: Vendor) -> None:
    ident = await erp.send()
    await erp.deliver(ident)
    sap = Vendor(erp.desk, await erp.desk.login("sap"))
    beta = Vendor(erp.desk, await erp.desk.login("b", customer="beta"), BASE.replace("acme", "beta"))
    token = Vendor(erp.desk, await erp.desk.token())
    for who in (sap, beta, token):
        assert await seen(who, ident) == await seen(who, "F" + "0" * 21)
    assert (await erp.report(ident))["recipientStatus"][0]["status"] == "OK"


async def test_a_customer_number_that_is_not_the_logins_looks_like_none(erp: Vendor) -> None:
    ident = await erp.send()
    foreign, none = (Vendor(erp.desk, erp.auth, BASE.replace("acme", name)) for name in ("beta", "nobody"))
    assert await seen(foreign, ident) == await seen(none, ident)
    assert (await foreign.call("POST", "", job()))[0] == 404
    assert (await foreign.call("GET", f"/reports/{ident}"))[0] == 404


async def test_a_customer_number_may_be_another_than_the_customers_id(house: House) -> None:
    async with vendor(house, customer_numbers={"99999TE": "acme"}) as erp:
        for number in ("99999te", "99999TE", "ACME"):
            erp.base = BASE.replace("acme", number)
            assert (await erp.call("GET", "/reports"))[0] == 200


async def test_a_login_with_an_address_list_is_let_in_from_there_only(erp: Vendor) -> None:
    near = Vendor(erp.desk, await erp.desk.login("near", allow=["127.0.0.0/8"]))
    far = Vendor(erp.desk, await erp.desk.login("far", allow=["192.0.2.0/24"]))
    assert (await near.call("GET", "/reports"))[0] == 200
    assert (await far.call("GET", "/reports"))[0] == 401


async def test_a_login_that_may_only_read_neither_sends_nor_deletes(erp: Vendor) -> None:
    reader = Vendor(erp.desk, await erp.desk.login("reader", scopes=["faxes:read"]))
    assert (await reader.call("GET", "/reports"))[0] == 200
    assert (await reader.call("POST", "", job()))[0] == 403
    assert (await reader.call("DELETE", "/reports"))[0] == 403
    assert (await reader.call("POST", "/reports", {"action": "DELETE", "jobIds": ["F1"]}))[0] == 403
    assert (await reader.call("POST", "/reports", {"action": "GET", "jobIds": ["F1"]}))[0] == 200


# -------------------------------------------------------------------------------------------------------- retention


async def test_reports_are_kept_for_as_long_as_the_setting_says_from_the_end_of_the_job(house: House) -> None:
    async with vendor(house) as erp:
        old, open_ = await erp.send(), await erp.send(job("+33199000003"))
        await erp.deliver(old)
        house.clock.now += 86_400 * 29
        new = await erp.send(job("+33199000002"))
        await erp.deliver(new)
        house.clock.now += 86_400 * 2
        ground = erp.desk.ground
        task = asyncio.create_task(forget_for_ever(ground.store, ground.clock, ApiSettings().report_days))
        async with asyncio.timeout(PATIENCE_S):
            while await house.rows(select(t.job_keys)):  # noqa: ASYNC110 - the keys go last, and tell nobody
                await asyncio.sleep(0.01)
        task.cancel()
        assert await house.ask(report_book.count, "acme", "login:erp") == 2
        assert (await erp.call("GET", f"/reports/{old}"))[0] == 404
        assert [r["jobId"] for r in (await erp.call("GET", "/reports"))[1]["reports"]] == [new]
        assert (await erp.report(open_))["recipientStatus"][0]["status"] == "PENDING"
