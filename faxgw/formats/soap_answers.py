"""The vendor's SOAP interface, what we answer: envelopes of each shape, and faults (docs/soap.md). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from faxgw.fax.vendor_report import Deletion, JobFacts, VendorRecipient, VendorReport
from faxgw.formats.retarus_report import NOT_FOUND, timestamp
from faxgw.formats.soap import NAMESPACE, SOAP_1_1, SOAP_1_2, Call, Operation, Shape

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not know (its section 2.2)."""
_ANSWERS = {
    Operation.SEND: "JobResponse",
    Operation.REPORTS: "ReportResponse",
    Operation.LIST: "AvailableReportsResponse",
    Operation.DELETE: "DeleteReportResponse",
    Operation.DELETE_ALL: "DeleteReportsResponse",
}
"""Element in the answer's body, version 3."""


@dataclass(frozen=True, slots=True)
class Available:
    """One report that can be asked for."""

    job: str
    created_at: float
    finished_at: float | None
    """None: not finished yet."""


def job_answer(call: Call, job: str) -> str:
    """The job was accepted."""
    return _answer(call, _tag("jobId", job))


def reports_answer(call: Call, reports: Sequence[VendorReport], facts: Mapping[str, JobFacts]) -> str:
    """The reports of some jobs, each with what it repeats of its job."""
    if call.shape is Shape.V3:
        told = "".join(f"<faxJobReport>{_whole_report(one, facts.get(one.job))}</faxJobReport>" for one in reports)
        return _answer(call, told)
    if call.shape is Shape.MARCH_2012:
        return _answer(call, "".join(map(_report, reports)))
    return _answer(call, "".join(_first_report(one, facts.get(one.job)) for one in reports))


def list_answer(call: Call, found: Iterable[Available]) -> str:
    """The reports that can be asked for; those of unfinished jobs have no finishedTS."""
    if call.shape is Shape.FIRST:
        return _answer(call, "".join(f"<availableReports>{_tag('jobId', one.job)}</availableReports>" for one in found))
    return _answer(call, "".join(f"<availableReport>{_available(one)}</availableReport>" for one in found))


def deletion_answer(call: Call, deletions: Sequence[Deletion]) -> str:
    """What became of the wish to delete reports."""
    if call.operation is Operation.DELETE:
        return _answer(call, "".join(map(_deletion, deletions)))
    return _answer(call, "".join(f"<deleteReport>{_deletion(one)}</deleteReport>" for one in deletions))


def fault(envelope: str, *, ours: bool, code: str, text: str, param: str = "") -> str:
    """A fault (SOAP 1.1 section 4.4, SOAP 1.2 part 1 section 5.4).

    Args:
        envelope: SOAP_1_1 or SOAP_1_2.
        ours: The gateway is at fault, not the request.
        code: A word for programs.
        text: For people.
        param: The element at fault, or empty.
    """
    detail = f'<f:FaxFault xmlns:f="{NAMESPACE}">{_tag("code", code)}'
    detail += (_tag("param", param) if param else "") + _tag("text", text) + "</f:FaxFault>"
    if envelope == SOAP_1_2:
        kind = "MustUnderstand" if code == "must_understand" else "Receiver" if ours else "Sender"
        reason = f'<s:Reason><s:Text xml:lang="en">{_text(text)}</s:Text></s:Reason>'
        inner = f"<s:Fault><s:Code><s:Value>s:{kind}</s:Value></s:Code>{reason}<s:Detail>{detail}</s:Detail></s:Fault>"
        return _envelope(SOAP_1_2, inner)
    kind = "MustUnderstand" if code == "must_understand" else "Server" if ours else "Client"
    inner = f"<s:Fault><faultcode>s:{kind}</faultcode>{_tag('faultstring', text)}<detail>{detail}</detail></s:Fault>"
    return _envelope(SOAP_1_1, inner)


def answer_in(envelope: str, answer: str) -> str:
    """An answer in its envelope."""
    return _envelope(envelope, answer)


def pushed_report(
    report: VendorReport, *, url: str, method: str, mail: Mapping[str, str], documents: Iterable[tuple[str, bool]]
) -> str:
    """A report as it is pushed: `faxJobReport` alone, version 3, its namespace the default one.

    Args:
        report: The report.
        url: Where it is sent.
        method: How its sender is known there.
        mail: `successAddress` and `failureAddress`, where the job named them, and what goes with these mails:
            `attachedFaxImageMode` and `attachedFaxImageFormat`.
        documents: Name of each, and whether its sender called it a text.
    """
    told = _whole_report(report, JobFacts(mail, list(documents), (url, method)))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<faxJobReport xmlns="{NAMESPACE}">{told}</faxJobReport>\n'


def _envelope(namespace: str, inner: str) -> str:
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<s:Envelope xmlns:s="{namespace}"><s:Body>'
    return f"{head}{inner}</s:Body></s:Envelope>"


def _answer(call: Call, inner: str) -> str:
    """In the namespace of the request, under the name that goes with the request's."""
    asked = call.fields.name
    if asked == _request_name(call.operation):
        name = _ANSWERS[call.operation]
    else:
        name = asked.removesuffix("Request") + "Response"
    body = f'<a:{name} xmlns:a="{_text(call.fields.namespace or NAMESPACE)}">{inner}</a:{name}>'
    if call.fields is call.request:
        return body
    outer = call.request.name + "Response"
    return f'<o:{outer} xmlns:o="{_text(call.request.namespace or NAMESPACE)}">{body}</o:{outer}>'


def _request_name(operation: Operation) -> str:
    return _ANSWERS[operation].removesuffix("Response") + "Request"


def _report(report: VendorReport) -> str:
    recipients = "".join(f"<faxRecipient>{_recipient(recipient)}</faxRecipient>" for recipient in report.recipients)
    pages = str(report.pages)
    return _tag("jobId", report.job) + recipients + _options(report) + _tag("pages", pages)


def _whole_report(report: VendorReport, facts: JobFacts | None) -> str:
    """A report of version 3 with what the job asked for."""
    mail, push = (facts.mail, facts.push) if facts is not None else ({}, None)
    addresses = "".join(_tag(name, mail.get(name, "")) for name in ("successAddress", "failureAddress"))
    modes = _tag("attachedFaxImageMode", mail.get("attachedFaxImageMode", "NEVER"))
    modes += _tag("attachedFaxImageFormat", mail.get("attachedFaxImageFormat", "TIFF"))
    files = "".join(
        f"<document>{_tag('name', name)}{_tag('isText', str(is_text).lower())}</document>"
        for name, is_text in (facts.documents if facts is not None else ())
    )
    return (
        _tag("jobId", report.job)
        + (f"<reportMail>{addresses}{modes}</reportMail>" if mail else "")
        + (
            f"<httpStatusPush>{_tag('url', _bare(push[0]))}{_tag('authMethod', push[1])}</httpStatusPush>"
            if push
            else ""
        )
        + "".join(f"<faxRecipient>{_recipient(recipient)}</faxRecipient>" for recipient in report.recipients)
        + files
        + _options(report)
        + _tag("pages", str(report.pages))
    )


def _bare(url: str) -> str:
    """A URL without credentials in it."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2] + slash + path


def _recipient(recipient: VendorRecipient) -> str:
    sent = "" if recipient.sent_at is None else _tag("sentTS", timestamp(recipient.sent_at))
    properties = "".join(
        f"<property>{_tag('key', key)}{_tag('value', value)}</property>" for key, value in recipient.properties
    )
    return (
        _tag("number", recipient.number)
        + properties
        + _tag("numId", recipient.fax)
        + _tag("status", recipient.status)
        + _tag("reason", recipient.reason)
        + sent
        + _tag("durationInSecs", str(recipient.duration))
        + _tag("sentToNumber", recipient.sent_to)
        + _tag("remoteCsid", recipient.csid)
    )


def _options(report: VendorReport) -> str:
    names = (("jobReference", "customerDefinedId"), ("billingCode", "billingCode"), ("billingInfo", "billingInfo"))
    given = "".join(_tag(name, report.reference[key]) for name, key in names if report.reference.get(key))
    return f"<options>{given}</options>" if given else ""


def _first_report(report: VendorReport, facts: JobFacts | None) -> str:
    numbers = "".join(
        f"<faxNumbers>{_tag('number', one.number)}{_tag('status', one.status)}</faxNumbers>"
        for one in report.recipients
    )
    files = (f"<documents>{_tag('name', name)}</documents>" for name, _ in (facts.documents if facts else ()))
    return _tag("jobId", report.job) + numbers + "".join(files) + _options(report)


def _available(found: Available) -> str:
    end = "" if found.finished_at is None else _tag("finishedTS", timestamp(found.finished_at))
    return _tag("jobId", found.job) + _tag("createdTS", timestamp(found.created_at)) + end


def _deletion(deletion: Deletion) -> str:
    reason = "" if deletion.deleted else _tag("reason", NOT_FOUND)
    return _tag("jobId", deletion.job) + _tag("deleted", str(deletion.deleted).lower()) + reason


def _tag(name: str, text: str) -> str:
    return f"<{name}>{_text(text)}</{name}>"


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("�", text), {'"': "&quot;"})
