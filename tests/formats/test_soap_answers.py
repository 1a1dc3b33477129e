"""faxgw.formats.soap_answers: reports in each shape, deletions, faults; always well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from faxgw.fax.vendor_report import Deletion, JobFacts, VendorRecipient, VendorReport
from faxgw.formats import soap_answers
from faxgw.formats.soap import NAMESPACE, SOAP_1_1, SOAP_1_2
from faxgw.formats.soap_answers import Available
from faxgw.formats.soap_wsdl import wsdl
from tests.formats.test_soap import call

FAX = VendorRecipient("F1", "+33 1", (("To", "A & B"),), "OK", "OK\x01", 1_780_000_000.0, 38, "0033199000001", "<+33>")
REPORT = VendorReport("FJOB", (FAX,), 2, {"customerDefinedId": "R7", "billingCode": "", "billingInfo": ""})

FACTS = JobFacts(
    {"successAddress": "a@x.example", "attachedFaxImageMode": "ALWAYS", "attachedFaxImageFormat": "PDF"},
    [("a.pdf", False), ("b.txt", True)],
    ("https://user:secret@x.example/push?a=@b", "NONE"),
)


def parsed(answer: str) -> ElementTree.Element:
    return ElementTree.fromstring(soap_answers.answer_in(SOAP_1_1, answer))[0][0]


def test_a_report_of_version_3() -> None:
    root = parsed(soap_answers.reports_answer(call("", "ReportRequest"), [REPORT], {}))
    assert root.tag == f"{{{NAMESPACE}}}ReportResponse"
    found = {child.tag: child.text for child in root[0].iter() if child.text}
    assert found == {
        "jobId": "FJOB",
        "number": "+33 1",
        "key": "To",
        "value": "A & B",
        "numId": "F1",
        "status": "OK",
        "reason": "OK�",
        "sentTS": "2026-05-28T20:26:40Z",
        "durationInSecs": "38",
        "sentToNumber": "0033199000001",
        "remoteCsid": "<+33>",
        "jobReference": "R7",
        "pages": "2",
    }


def test_a_report_repeats_what_its_job_asked_for() -> None:
    root = parsed(soap_answers.reports_answer(call("", "ReportRequest"), [REPORT], {"FJOB": FACTS}))[0]
    names = ["jobId", "reportMail", "httpStatusPush", "faxRecipient", "document", "document", "options", "pages"]
    assert [child.tag for child in root] == names
    assert root.findtext("reportMail/successAddress") == "a@x.example"
    assert root.findtext("reportMail/failureAddress") == ""
    assert root.findtext("httpStatusPush/url") == "https://x.example/push?a=@b"
    assert [(one.findtext("name"), one.findtext("isText")) for one in root.iter("document")] == [
        ("a.pdf", "false"),
        ("b.txt", "true"),
    ]
    first = call("<userName>erp</userName>", "getFaxReport")
    root = parsed(soap_answers.reports_answer(first, [REPORT], {"FJOB": FACTS}))
    assert [one.findtext("name") for one in root.iter("documents")] == ["a.pdf", "b.txt"]


def test_a_report_of_march_2012_is_one_job() -> None:
    root = parsed(soap_answers.reports_answer(call("", "reportRequest"), [REPORT], {"FJOB": FACTS}))
    assert root.tag == f"{{{NAMESPACE}}}reportResponse"
    assert [child.tag for child in root] == ["jobId", "faxRecipient", "options", "pages"]


def test_a_list_tells_when_jobs_ended() -> None:
    ends = [Available("A", 1_780_000_000.0, None), Available("B", 1_780_000_000.0, 1_780_000_060.0)]
    root = parsed(soap_answers.list_answer(call("", "AvailableReportsRequest"), ends))
    assert [one.findtext("finishedTS") for one in root] == [None, "2026-05-28T20:27:40Z"]


def test_deletions_of_one_and_of_many() -> None:
    gone = [Deletion("A", True), Deletion("B", False)]
    root = parsed(soap_answers.deletion_answer(call("", "DeleteReportsRequest"), gone))
    assert [(one.findtext("deleted"), one.findtext("reason")) for one in root] == [
        ("true", None),
        ("false", "NOT_FOUND"),
    ]
    root = parsed(soap_answers.deletion_answer(call("", "DeleteReportRequest"), gone[:1]))
    assert (root.tag, root.findtext("jobId")) == (f"{{{NAMESPACE}}}DeleteReportResponse", "A")


@pytest.mark.parametrize(
    ("envelope", "ours", "code", "kind"),
    [
        (SOAP_1_1, False, "bad_request", "s:Client"),
        (SOAP_1_1, True, "internal_error", "s:Server"),
        (SOAP_1_1, False, "must_understand", "s:MustUnderstand"),
        (SOAP_1_2, False, "bad_request", "s:Sender"),
        (SOAP_1_2, True, "internal_error", "s:Receiver"),
    ],
)
def test_faults(envelope: str, ours: bool, code: str, kind: str) -> None:
    text = soap_answers.fault(envelope, ours=ours, code=code, text="<no>", param="a[0]")
    found = {child.tag.rpartition("}")[2]: child.text for child in ElementTree.fromstring(text).iter() if child.text}
    assert kind in (found.get("faultcode"), found.get("Value"))
    assert "<no>" in (found.get("faultstring"), found.get("Text"))
    assert (found["code"], found["param"]) == (code, "a[0]")


def test_the_description_names_its_place_and_every_operation() -> None:
    root = ElementTree.fromstring(wsdl('https://fax.example.org/soap/v3?a="b"&c'))
    addresses = {one.get("location") for one in root.iter() if one.tag.endswith("}address")}
    assert addresses == {'https://fax.example.org/soap/v3?a="b"&c'}
    names = [one.get("name") for one in root.iter("{http://schemas.xmlsoap.org/wsdl/}operation")]
    assert len(names) == 15
    assert set(names) == {
        "sendFaxJob", "getFaxReports", "getListOfAvailableFaxReports", "deleteFaxReport", "deleteFaxReports",
    }  # fmt: skip
