"""faxgw.formats.soap: who asks for what as soon as it can be told, and a job with everything that it may have."""

from __future__ import annotations

import pytest

from faxgw.formats import soap
from faxgw.formats.retarus_rest import BadRequest, Document, JobRequest, Recipient, Reference, ReportMail
from faxgw.formats.soap import NAMESPACE, SOAP_1_1, Call, Operation, Shape
from faxgw.formats.xml_stream import Node, XmlStream

NOW = 1_780_000_000.0


def parse(text: str, *, whole: bool = True) -> Node | None:
    stream = XmlStream()
    stream.feed(text.encode())
    return stream.finish() if whole else stream.root


def call(inner: str, name: str = "JobRequest") -> Call:
    who = "<username>erp</username><password>secret</password>"
    body = f'<n:{name} xmlns:n="{NAMESPACE}">{who}{inner}</n:{name}>'
    found = soap.call_of(parse(f'<s:Envelope xmlns:s="{SOAP_1_1}"><s:Body>{body}</s:Body></s:Envelope>'), is_whole=True)
    assert found is not None
    return found


def job(inner: str) -> JobRequest:
    return soap.read_job(call(inner), now=NOW, max_recipients=10)


def test_who_asks_is_known_before_the_rest_has_come() -> None:
    text = f'<s:Envelope xmlns:s="{SOAP_1_1}"><s:Body><JobRequest><username>erp</username><password>x</pass'
    assert soap.call_of(parse(text, whole=False)) is None
    found = soap.call_of(parse(text + "word>", whole=False))
    assert found is not None
    assert (found.operation, found.user, found.password) == (Operation.SEND, "erp", "x")
    assert soap.call_of(None) is None


@pytest.mark.parametrize(
    ("name", "operation", "shape"),
    [
        ("JobRequest", Operation.SEND, Shape.V3),
        ("jobRequest", Operation.SEND, Shape.MARCH_2012),
        ("sendFaxJob", Operation.SEND, Shape.V3),
        ("ReportRequest", Operation.REPORTS, Shape.V3),
        ("reportRequest", Operation.REPORTS, Shape.MARCH_2012),
        ("AvailableReportsRequest", Operation.LIST, Shape.V3),
        ("DeleteReportRequest", Operation.DELETE, Shape.V3),
        ("DeleteReportsRequest", Operation.DELETE_ALL, Shape.V3),
    ],
)
def test_operations_by_the_name_of_their_element(name: str, operation: Operation, shape: Shape) -> None:
    found = call("", name)
    assert (found.operation, found.shape) == (operation, shape)


def test_a_job_with_everything() -> None:
    found = job(
        "<reportMail><successAddress>a@example.org</successAddress></reportMail>"
        "<httpStatusPush><url>https://app.example.org/</url><authMethod>HTTP_BASIC</authMethod>"
        "<principal>p</principal><credentials>c</credentials></httpStatusPush>"
        "<faxRecipient><number>+33199000001</number><alternativeNumber>+33199000002</alternativeNumber>"
        "<property><key>ToName</key><value>Mme Durand</value></property></faxRecipient>"
        "<document><name>a.txt</name><charset>ISO-8859-1</charset><data>QUJD</data></document>"
        "<document><name>b.pdf</name><reference>https://files.example.org/b.pdf</reference></document>"
        "<options><resolution>LOW</resolution><csid>+33 1</csid><header>%d.%m.%Y</header>"
        "<isBlacklistEnabled>0</isBlacklistEnabled><isExpress>1</isExpress>"
        "<overlay><name>head</name><mode>FIRST_PAGE</mode></overlay>"
        "<coverpageTemplateName>plain</coverpageTemplateName><scheduleTS>2026-06-01T00:00:00Z</scheduleTS>"
        "<jobExpireyMinutes>60</jobExpireyMinutes><jobReference>R7</jobReference><billingCode>CC1</billingCode>"
        "<paperFormat>LETTER</paperFormat></options>"
    )
    assert found.recipients == (Recipient("+33199000001", ("+33199000002",), (("ToName", "Mme Durand"),)),)
    assert found.documents == (
        Document("a.txt", "iso-8859-1", "", b"ABC"),
        Document("b.pdf", None, "https://files.example.org/b.pdf"),
    )
    assert found.reference == Reference("R7", "CC1", "")
    assert found.cover == "plain"
    assert (found.settings["overlay"], found.settings["overlay_mode"]) == ("head", "first_page")
    assert found.report_mail == ReportMail("a@example.org", "")
    assert found.push is not None
    assert (found.push.url, found.push.method) == ("https://app.example.org/", "HTTP_BASIC")
    assert (found.start, found.end) == (1_780_272_000.0, 1_780_275_600.0)
    assert found.settings["paper"] == "Letter"
    assert found.settings["priority"] == "express"


def test_minutes_count_from_now_when_the_start_has_passed_or_is_not_given() -> None:
    to = "<faxRecipient><number>+33199000001</number></faxRecipient>"
    for start in ("", "<scheduleTS>2020-01-01T00:00:00Z</scheduleTS>"):
        found = job(f"{to}<options>{start}<jobExpireyMinutes>60</jobExpireyMinutes></options>")
        assert found.end == NOW + 3600


@pytest.mark.parametrize(
    ("inner", "place"),
    [
        ("", "faxRecipient"),
        ("<faxRecipient/>", "faxRecipient[0].number"),
        ("<faxRecipient><number>1</number><property><value>x</value></property></faxRecipient>", "property[0].key"),
        ("<faxRecipient><number>1</number></faxRecipient><document/>", "document[0].name"),
        (
            "<faxRecipient><number>1</number></faxRecipient><options><isExpress>maybe</isExpress></options>",
            "options.isExpress",
        ),
        (
            "<faxRecipient><number>1</number></faxRecipient>"
            "<options><jobExpireyMinutes>9999999</jobExpireyMinutes><scheduleTS>9999-12-31T00:00:00Z</scheduleTS></options>",
            "options.jobExpireyMinutes",
        ),
    ],
)
def test_faults_name_the_element(inner: str, place: str) -> None:
    with pytest.raises(BadRequest) as refused:
        job(inner)
    assert refused.value.param.endswith(place)
    assert "recipients" not in refused.value.public


def test_ids_are_each_once_and_bounded() -> None:
    assert soap.job_ids(call("<jobId>A</jobId><jobId>B</jobId><jobId>A</jobId>", "ReportRequest")) == ["A", "B"]
    for inner, name in (
        ("", "ReportRequest"),
        ("<jobId/>", "ReportRequest"),
        ("<jobId>A</jobId>" * 1_001, "ReportRequest"),
        ("<jobId>A</jobId><jobId>B</jobId>", "DeleteReportRequest"),
    ):
        with pytest.raises(BadRequest):
            soap.job_ids(call(inner, name))
