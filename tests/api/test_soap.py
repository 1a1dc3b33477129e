"""faxgw.api.soap: the operations with a real SOAP client, the older shapes, and everything that is refused."""

from __future__ import annotations

import base64
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from faxgw.api import soap as soap_api
from faxgw.api.settings import ApiSettings
from faxgw.api.soap import SoapApi
from faxgw.api.vendor_jobs import VendorJobs
from faxgw.dispatch.jobs import JobGate
from faxgw.egress import Egress
from faxgw.formats import soap as soap_form
from faxgw.formats.soap import NAMESPACE, SOAP_1_1, SOAP_1_2
from faxgw.formats.xml_stream import Node, XmlStream
from faxgw.store import schema as t
from tests.api.desk import Desk, desk
from tests.api.retarus_world import PDF, Vendor
from tests.house import House
from tests.sdk.soap import drive_soap

pytestmark = pytest.mark.asyncio(loop_scope="session")

WHO = "<username>erp</username><password>secret</password>"
TO = "<faxRecipient><number>+33199000001</number></faxRecipient>"
LETTER = f"<document><name>letter.pdf</name><data>{base64.b64encode(PDF).decode()}</data></document>"


@dataclass
class Soap:
    """A login that calls."""

    desk: Desk

    @property
    def house(self) -> House:
        return self.desk.house

    async def post(self, body: str | bytes, kind: str = "text/xml", path: str = "/soap/v3") -> tuple[int, Node]:
        """Status, and the element in the body of the answer's envelope."""
        octets = body.encode() if isinstance(body, str) else body
        async with self.desk.client.post(path, data=octets, headers={"Content-Type": kind}) as answer:
            stream = XmlStream()
            stream.feed(await answer.read())
            (inner,) = stream.finish().children[0].children
            return answer.status, inner

    async def call(self, name: str, inner: str, *, who: str = WHO, namespace: str = NAMESPACE) -> tuple[int, Node]:
        return await self.post(envelope(f'<n:{name} xmlns:n="{namespace}">{who}{inner}</n:{name}>'))

    async def refused(self, body: str | bytes, kind: str = "text/xml") -> tuple[int, str, str, str]:
        """Status, fault code, our code, and the text."""
        status, found = await self.post(body, kind)
        assert found.name == "Fault"
        detail = found.first("detail")
        assert detail is not None
        return status, text(found, "faultcode"), text(detail.children[0], "code"), text(found, "faultstring")

    async def jobs(self) -> list[str]:
        return [row.id for row in await self.house.rows(select(t.jobs.c.id))]


def envelope(inner: str, namespace: str = SOAP_1_1, head: str = "") -> str:
    return f'<s:Envelope xmlns:s="{namespace}">{head}<s:Body>{inner}</s:Body></s:Envelope>'


def send(inner: str = TO + LETTER, who: str = WHO) -> str:
    return envelope(f'<n:JobRequest xmlns:n="{NAMESPACE}">{who}{inner}</n:JobRequest>')


def text(node: Node, name: str) -> str:
    found = node.first(name)
    assert found is not None, f"no {name} in {node.name}"
    return found.text


@asynccontextmanager
async def soap(house: House, **settings: Any) -> AsyncIterator[Soap]:
    chosen = ApiSettings(soap=True, **settings)

    def tables(ground: Any) -> list[Any]:
        return [SoapApi(ground, VendorJobs(ground, JobGate(house.seat()), chosen, Egress()), chosen).routes()]

    async with desk(house, tables) as made:
        await made.login("erp")
        await made.login("other", customer="beta")
        yield Soap(made)


# ------------------------------------------------------------------------------------------------- a real client


@pytest.mark.parametrize("port", ["Soap11", "Soap12"])
async def test_a_client_made_from_the_description_sends_asks_lists_and_deletes(
    house: House, tmp_path: Path, port: str
) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.4 " + bytes(range(256)) * 2_000)
    job = {
        "faxRecipient": [{"number": "+33199000001"}, {"number": "+33199000002"}],
        "document": [{"name": "letter.pdf", "data": {"file": str(letter)}}],
        "options": {"resolution": "HIGH", "jobReference": "INV-7", "isExpress": False, "jobExpireyMinutes": 90},
        "reportMail": {"successAddress": "ok@acme.example", "attachedFaxImageMode": "ALWAYS"},
        "httpStatusPush": {"url": "https://push.example/p", "authMethod": "HTTP_BASIC", "credentials": "hidden"},
    }
    async with soap(house) as made:
        wsdl = f"{made.desk.client._base_url}/soap/v3?wsdl"
        (ident,) = await drive_soap(wsdl, [["sendFaxJob", job]], login="erp", password="secret", port=port)
        reports, listed = await drive_soap(
            wsdl,
            [["getFaxReports", {"jobId": [ident, "F" + "0" * 21]}], ["getListOfAvailableFaxReports", {}]],
            login="erp",
            password="secret",
            port=port,
        )
        assert [one["status"] for one in reports[0]["faxRecipient"]] == ["PENDING", "PENDING"]
        assert [one["number"] for one in reports[0]["faxRecipient"]] == ["+33199000001", "+33199000002"]
        assert reports[0]["options"]["jobReference"] == "INV-7"
        assert reports[0]["document"] == [{"name": "letter.pdf", "isText": False}]
        mail, push = reports[0]["reportMail"], reports[0]["httpStatusPush"]
        assert (mail["successAddress"], mail["attachedFaxImageMode"]) == ("ok@acme.example", "ALWAYS")
        assert (push["url"], push["authMethod"]) == ("https://push.example/p", "HTTP_BASIC")
        assert push["credentials"] is None
        assert len(reports) == 1
        assert [(one["jobId"], one["finishedTS"]) for one in listed] == [(ident, None)]
        (row,) = await house.rows(select(t.jobs))
        assert row.settings["resolution"]["value"] == "fine"
        (document,) = await house.rows(select(t.job_documents))
        assert (house.folder / document.key).read_bytes() == letter.read_bytes()
        await Vendor(made.desk, {}).deliver(ident)
        done, gone, wrong = await drive_soap(
            wsdl,
            [
                ["deleteFaxReport", {"jobId": ident}],
                ["deleteFaxReports", {"jobId": [ident, "F" + "1" * 21]}],
                ["getFaxReports", {"jobId": [""]}],
            ],
            login="erp",
            password="secret",
            port=port,
        )
        assert done == {"jobId": ident, "deleted": True, "reason": None}
        assert [(one["deleted"], one["reason"]) for one in gone] == [(False, "NOT_FOUND")] * 2
        assert wrong["fault"] == "jobId must name at least one job."
        (refused,) = await drive_soap(
            wsdl, [["getListOfAvailableFaxReports", {}]], login="erp", password="x", port=port
        )
        assert refused["fault"] == "Credentials are missing or not right."


# --------------------------------------------------------------------------------------------------- older shapes


async def test_the_shape_of_march_2012_is_taken_and_answered_in_kind(house: House) -> None:
    async with soap(house) as made:
        options = "<options><resolution>HIGH</resolution><billingCode>CC1</billingCode><csid>+33 1</csid></options>"
        status, answer = await made.call("jobRequest", TO + LETTER + options, namespace="urn:old")
        assert (status, answer.name, answer.namespace) == (200, "jobResponse", "urn:old")
        status, report = await made.call(
            "reportRequest", f"<jobId>{text(answer, 'jobId')}</jobId>", namespace="urn:old"
        )
        assert (status, report.name) == (200, "reportResponse")
        recipient = report.first("faxRecipient")
        assert recipient is not None
        assert text(recipient, "status") == "PENDING"


async def test_the_first_shape_is_taken_and_answered_in_kind(house: House) -> None:
    who = "<userName>erp</userName><password>secret</password>"
    job = (
        "<faxNumbers><number>+33199000001</number></faxNumbers>"
        "<documents><name>order</name><text>1</text><data>SGVsbG8=</data></documents>"
        "<options><blacklist>0</blacklist><express>1</express><resolution>low</resolution>"
        "<jobReference>42</jobReference></options>"
    )
    async with soap(house) as made:
        status, answer = await made.call("sendFaxJob", job, who=who)
        assert (status, answer.name) == (200, "sendFaxJobResponse")
        ident = text(answer, "jobId")
        (row,) = await house.rows(select(t.jobs))
        (document,) = await house.rows(select(t.job_documents))
        assert (document.name, document.kind) == ("order.txt", "text")
        assert row.settings["priority"]["value"] == "express"
        status, listed = await made.call("getListOfAvailableFaxReports", "", who=who)
        assert [text(one, "jobId") for one in listed.all("availableReports")] == [ident]
        status, report = await made.call("getFaxReport", f"<jobId>{ident}</jobId>", who=who)
        number = report.first("faxNumbers")
        options = report.first("options")
        assert number is not None
        assert options is not None
        assert (text(number, "status"), text(options, "jobReference")) == ("PENDING", "42")
        assert [text(one, "name") for one in report.all("documents")] == ["order.txt"]


async def test_an_operation_may_be_wrapped_around_its_request(house: House) -> None:
    async with soap(house) as made:
        inner = f"<n:sendFaxJob xmlns:n='urn:w'><JobRequest>{WHO}{TO}{LETTER}</JobRequest></n:sendFaxJob>"
        status, answer = await made.post(envelope(inner))
        assert (status, answer.name, answer.children[0].name) == (200, "sendFaxJobResponse", "JobResponse")
        assert await made.jobs() == [text(answer.children[0], "jobId")]


@pytest.mark.parametrize("path", ["/soap/v3/", "/Faxolution", "/Faxolution-v3.0//"])
async def test_old_paths_are_served_and_described_with_their_own_address(house: House, path: str) -> None:
    async with soap(house) as made:
        assert (await made.post(send(), path=path))[0] == 200
        async with made.desk.client.get(path + "?wsdl") as answer:
            assert f'location="{answer.url.with_query(None)}"' in await answer.text()


# ---------------------------------------------------------------------------------------------------- what is refused

NO_LOGIN = "Credentials are missing or not right."
BAD = {
    "no XML": ("hello", 500, "bad_xml", "not well-formed XML"),
    "nothing": ("", 500, "bad_xml", "no element found"),
    "cut off": (send()[:-20], 500, "bad_xml", "not well-formed XML"),
    "no envelope": (f"<JobRequest>{WHO}</JobRequest>", 500, "bad_xml", "not a SOAP envelope"),
    "empty body": (envelope(""), 500, "bad_xml", "no request in the envelope"),
    "two requests": (
        send().replace("</s:Body>", f"<n:JobRequest xmlns:n='{NAMESPACE}'>{WHO}{TO}{LETTER}</n:JobRequest></s:Body>"),
        500,
        "bad_xml",
        "more than one request",
    ),
    "two requests in an operation": (
        envelope(f"<sendFaxJob>{f'<JobRequest>{WHO}{TO}{LETTER}</JobRequest>' * 2}</sendFaxJob>"),
        500,
        "bad_xml",
        "sendFaxJob has more than one request",
    ),
    "unknown operation": (envelope(f"<formatDisk>{WHO}</formatDisk>"), 500, "bad_xml", "no operation formatDisk"),
    "no credentials": (send(who=""), 500, "bad_xml", "needs username and password"),
    "wrong password": (send(who="<username>erp</username><password>x</password>"), 500, "unauthorized", NO_LOGIN),
    "unknown login": (send(who="<username>x</username><password>x</password>"), 500, "unauthorized", NO_LOGIN),
    "wrong password before a wrong body": (
        send("<faxRecipient><broken", "<username>erp</username><password>x</password>"),
        500,
        "unauthorized",
        NO_LOGIN,
    ),
    "a DTD": ("<!DOCTYPE s [<!ENTITY a 'b'>]>" + send(), 500, "bad_xml", "document type declaration"),
    "a DTD from elsewhere": ('<!DOCTYPE s SYSTEM "file:///etc/passwd">' + send(), 500, "bad_xml", "document type"),
    "too deep": (send("<a>" * 30 + "</a>" * 30), 500, "bad_xml", "levels"),
    "no recipient": (send(LETTER), 500, "bad_request", "faxRecipient must name at least one recipient."),
    "no document": (send(TO), 500, "nothing_to_send", ""),
    "no base64": (
        send(TO + "<document><name>a.pdf</name><data>!!</data></document>"),
        500,
        "bad_request",
        "document[0].data is not base64.",
    ),
    "no long base64": (
        send(TO + f"<document><name>a.pdf</name><data>{'é!' * 50_000}</data></document>"),
        500,
        "bad_xml",
        "A document's data is not base64.",
    ),
    "wrong charset": (
        send(TO + "<document><name>a.txt</name><charset>x-odd</charset><data>YQ==</data></document>"),
        500,
        "bad_request",
        "document[0].charset is not a charset",
    ),
    "wrong resolution": (
        send(TO + LETTER + "<options><resolution>ULTRA</resolution></options>"),
        500,
        "bad_request",
        "options.resolution must be one of HIGH, LOW.",
    ),
    "no zone": (
        send(TO + LETTER + "<options><scheduleTS>2026-11-22T08:00:00</scheduleTS></options>"),
        500,
        "bad_request",
        "options.scheduleTS has no time zone.",
    ),
    "no minutes": (
        send(TO + LETTER + "<options><jobExpireyMinutes>soon</jobExpireyMinutes></options>"),
        500,
        "bad_request",
        "options.jobExpireyMinutes must be a number of minutes.",
    ),
    "inner address": (
        send(TO + "<document><name>a.pdf</name><reference>http://127.0.0.1/a</reference></document>"),
        500,
        "bad_reference",
        "",
    ),
    "a header that must be understood": (
        envelope("<x/>", head='<s:Header><w:Security xmlns:w="urn:w" s:mustUnderstand="1"/></s:Header>'),
        500,
        "must_understand",
        "The header Security is not understood here.",
    ),
    "a charset of its own": ("<?xml version='1.0' encoding='x-odd'?>" + send(), 500, "bad_xml", ""),
}


@pytest.mark.parametrize("what", BAD)
async def test_what_is_refused_is_refused_with_its_reason(house: House, what: str) -> None:
    body, status, code, said = BAD[what]
    async with soap(house) as made:
        found = await made.refused(body)
        assert (found[0], found[2]) == (status, code), found
        assert said in found[3]
        assert found[1] == ("s:MustUnderstand" if code == "must_understand" else "s:Client")
        assert await made.jobs() == []
        assert await house.rows(select(t.job_documents)) == []


async def test_too_large_and_of_another_type(house: House) -> None:
    async with soap(house, max_body=100_000) as made:
        padding = f"<document><name>a.pdf</name><data>{'QUFB' * 50_000}</data></document>"
        assert (await made.refused(send(TO + padding)))[0::2][:2] == (413, "too_large")
        assert (await made.refused(send(), kind="application/json"))[0::2][:2] == (415, "unsupported_type")


async def test_credentials_must_stand_at_the_beginning(house: House) -> None:
    async with soap(house) as made:
        late = "<x>" + "a b " * 30_000 + "</x>"
        status, _, code, said = await made.refused(send(TO + LETTER + WHO, who=late))
        assert (status, code) == (500, "unauthorized")
        assert "at the beginning" in said


async def test_somebody_elses_job_is_like_one_that_is_not_there(house: House) -> None:
    async with soap(house) as made:
        ident = text((await made.post(send()))[1], "jobId")
        other = "<username>other</username><password>secret</password>"
        for name, inner in (("ReportRequest", f"<jobId>{ident}</jobId>"), ("AvailableReportsRequest", "")):
            status, answer = await made.call(name, inner, who=other)
            assert (status, answer.children) == (200, [])
        status, answer = await made.call("DeleteReportRequest", f"<jobId>{ident}</jobId>", who=other)
        assert (text(answer, "deleted"), text(answer, "reason")) == ("false", "NOT_FOUND")


async def test_the_same_request_again_is_named_and_not_sent_twice(house: House) -> None:
    async with soap(house) as made:
        assert (await made.post(send()))[0] == 200
        assert (await made.refused(send()))[2] == "duplicate_job"
        assert len(await made.jobs()) == 1


async def test_a_fault_of_soap_1_2_has_its_own_form(house: House) -> None:
    async with soap(house) as made:
        body = envelope(f"<n:JobRequest xmlns:n='{NAMESPACE}'>{WHO}</n:JobRequest>", SOAP_1_2)
        status, found = await made.post(body, "application/soap+xml")
        assert (status, found.name, found.namespace) == (400, "Fault", SOAP_1_2)
        code = found.first("Code")
        assert code is not None
        assert text(code, "Value") == "s:Sender"


async def test_a_job_with_many_recipients_is_read_beside_the_event_loop(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/architecture.md: nothing keeps the loop busy; what is small is not worth a thread."""
    where: list[bool] = []
    read = soap_form.read_job

    def noted(*arguments: Any, **named: Any) -> Any:
        where.append(threading.current_thread() is threading.main_thread())
        return read(*arguments, **named)

    monkeypatch.setattr(soap_form, "read_job", noted)
    many = "".join(
        f"<faxRecipient><number>+33199{n:06}</number></faxRecipient>" for n in range(soap_api.READ_AT_ONCE + 1)
    )
    async with soap(house) as api:
        assert (await api.post(send(many + LETTER)))[0] == 200
        assert (await api.post(send(TO + LETTER)))[0] == 200
    assert where == [False, True]
    ((count,),) = await house.rows(select(func.count()).select_from(t.faxes))
    assert count == soap_api.READ_AT_ONCE + 2


async def test_an_account_with_fewer_recipients_is_refused_more(house: House) -> None:
    async with soap(house) as made:
        await house.change(update(t.customers).values(settings={"max_recipients": 1}))
        status, _, code, said = await made.refused(send(TO + TO.replace("01<", "02<") + LETTER))
        assert (status, code) == (500, "too_many_recipients")
        assert said == "The fax has 2 recipients; the limit of this account is 1."
        assert await made.jobs() == []
