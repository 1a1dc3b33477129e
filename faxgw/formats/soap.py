"""The vendor's SOAP interface, what clients send: envelopes to values (docs/soap.md). Pure.

SOAP 1.1 and 1.2, document/literal. Version 3 is known by its operations and element names; of the two shapes before it
what old clients were seen to send. Names of elements are compared without case and namespaces are taken as they come,
since clients differ in both. A job is turned into the REST interface's form and read by its rules, so that both refuse
and accept alike; faults name the SOAP element.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any  # a job in the REST interface's JSON form

from faxgw.fax.errors import Refused
from faxgw.formats import retarus_rest
from faxgw.formats.json_body import Blob
from faxgw.formats.retarus_rest import BadRequest, JobRequest
from faxgw.formats.xml_stream import Node

NAMESPACE = "http://retarus.com/fax4ba/faxws/3/0"
"""Of version 3."""
SOAP_1_1 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_1_2 = "http://www.w3.org/2003/05/soap-envelope"
MAX_IDS = retarus_rest.MAX_IDS
"""Jobs of one request."""


class Operation(enum.Enum):
    """What is asked for, by the version 3 name."""

    SEND = "sendFaxJob"
    REPORTS = "getFaxReports"
    LIST = "getListOfAvailableFaxReports"
    DELETE = "deleteFaxReport"
    DELETE_ALL = "deleteFaxReports"


class Shape(enum.Enum):
    """Whose element names are used in the answer."""

    V3 = "3.0"
    MARCH_2012 = "2012-03"
    """Lower-case roots (`reportRequest`), one job in a report."""
    FIRST = "2012"
    """`userName`, `faxNumbers`, `documents`."""


_OPERATIONS = {
    "jobrequest": Operation.SEND,
    "sendfaxjob": Operation.SEND,
    "reportrequest": Operation.REPORTS,
    "getfaxreports": Operation.REPORTS,
    "getfaxreport": Operation.REPORTS,
    "availablereportsrequest": Operation.LIST,
    "getlistofavailablefaxreports": Operation.LIST,
    "getavailablefaxreports": Operation.LIST,
    "deletereportrequest": Operation.DELETE,
    "deletefaxreport": Operation.DELETE,
    "deletereportsrequest": Operation.DELETE_ALL,
    "deletefaxreports": Operation.DELETE_ALL,
}
"""Names of the element in the body, in lower case."""


def _place(word: str) -> re.Pattern[str]:
    """The word as a place: at the beginning of a text, in an index or a path; not in the middle of a sentence."""
    return re.compile(rf"(?:^|(?<=[.\]])){word}\b|\b{word}(?=\[|\.\w)")


_PLACES = (
    (_place("recipients"), "faxRecipient"),
    (_place("documents"), "document"),
    (_place("properties"), "property"),
    (re.compile(r"\brenderingOptions\.coverpageTemplate\b"), "options.coverpageTemplateName"),
    (re.compile(r"\bmeta\.jobValid\.start\b"), "options.scheduleTS"),
    (re.compile(r"\bmeta\.jobValid\.end\b"), "options.jobExpireyMinutes"),
    (re.compile(r"\breference\.customerDefinedId\b"), "options.jobReference"),
    (re.compile(r"\b(?:renderingOptions|transportOptions|reference)\."), "options."),
    (re.compile(r"\bstatusReportOptions\.httpStatusPush\.targetUrl\b"), "httpStatusPush.url"),
    (re.compile(r"\bstatusReportOptions\."), ""),
)
"""Places of the REST form → places of this one."""


class BadEnvelope(Refused):
    """What came is not a request of this interface."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as far as it has come: enough to know who asks for what."""

    operation: Operation
    request: Node
    """The element in the body."""
    fields: Node
    """Where its parts stand: the same, or the one element in it."""
    user: str
    password: str

    @property
    def shape(self) -> Shape:
        """What its answer looks like."""
        if any(child.name == "userName" for child in self.fields.children):
            return Shape.FIRST
        return Shape.MARCH_2012 if self.fields.name in ("jobRequest", "reportRequest") else Shape.V3


def envelope_of(root: Node | None) -> str:
    """The namespace of the envelope: SOAP_1_1 where it cannot be told."""
    return SOAP_1_2 if root is not None and root.namespace == SOAP_1_2 else SOAP_1_1


def call_of(root: Node | None, *, is_whole: bool = False) -> Call | None:
    """Who asks for what; None while that cannot be told.

    Args:
        root: What has come of the request.
        is_whole: It is all there.

    Raises:
        BadEnvelope: If it is no request of this interface.
    """
    if root is None:
        return None
    if root.name != "Envelope" or root.namespace not in (SOAP_1_1, SOAP_1_2):
        raise BadEnvelope(public="The body is not a SOAP envelope, of version 1.1 or 1.2.")
    for header in root.all("Header"):
        for entry in header.children:
            if entry.attributes.get("mustUnderstand", "").strip() in ("1", "true"):
                raise MustUnderstand(public=f"The header {entry.name} is not understood here.")
    body = root.first("Body")
    request = next(iter(body.children), None) if body is not None else None
    if body is not None and len(body.children) > 1:
        raise BadEnvelope(public="The envelope's body has more than one request; send each by itself.")
    if request is None:
        if is_whole:
            raise BadEnvelope(public="There is no request in the envelope's body.")
        return None
    operation = _OPERATIONS.get(request.name.lower())
    if operation is None:
        raise BadEnvelope(public=f"There is no operation {request.name[:100]} here.")
    fields = request
    if request.children and request.children[0].name.lower() in _OPERATIONS:
        fields = request.children[0]
        if len(request.children) > 1:
            raise BadEnvelope(public=f"{request.name[:100]} has more than one request; send each by itself.")
    user, password = _closed(fields, "username"), _closed(fields, "password")
    if user is None or password is None:
        if is_whole:
            raise BadEnvelope(public=f"{request.name[:100]} needs username and password.")
        return None
    return Call(operation, request, fields, user, password)


class MustUnderstand(BadEnvelope):
    """A header that must be understood is not (SOAP 1.1 section 4.2.3)."""


def _closed(node: Node, name: str) -> str | None:
    found = node.first(name)
    return found.text if found is not None and found.is_closed else None


def job_ids(call: Call) -> Sequence[str]:
    """The jobs that a request names, each once, in their order.

    Raises:
        BadRequest: If there is none or there are too many.
    """
    found = [node.text for node in call.fields.all("jobId")]
    if not all(found) or not found:
        raise BadRequest("jobId", "jobId must name at least one job.")
    if len(found) > MAX_IDS or any(len(ident) > retarus_rest.MAX_ID for ident in found):
        raise BadRequest("jobId", f"There may be at most {MAX_IDS} jobIds of {retarus_rest.MAX_ID} characters each.")
    if call.operation is Operation.DELETE and len(found) > 1:
        raise BadRequest("jobId", "deleteFaxReport takes one jobId; deleteFaxReports takes many.")
    return list(dict.fromkeys(found))


def read_job(call: Call, *, now: float, max_recipients: int) -> JobRequest:
    """The job that a request hands in.

    Args:
        call: The whole request.
        now: Unix seconds.
        max_recipients: Recipients at most.

    Raises:
        BadRequest: If it cannot be a job; places are those of this interface.
    """
    try:
        body = _job(call.fields, now)
        return retarus_rest.read_job(
            body,
            now=now,
            max_recipients=max_recipients,
            blob_of=lambda value: value if isinstance(value, Blob) else None,
        )
    except BadRequest as exc:
        raise BadRequest(place_of(exc.param), place_of(exc.public)) from exc


def place_of(text: str) -> str:
    """A text that names places of the REST form, with those of this interface."""
    for pattern, name in _PLACES:
        text = pattern.sub(name, text)
    return text


def _job(fields: Node, now: float) -> dict[str, Any]:
    options = fields.first("options") or Node("", "options")
    overlay = options.first("overlay")
    mail = fields.first("reportMail")
    push = fields.first("httpStatusPush")
    recipients = [*fields.all("faxRecipient"), *fields.all("faxNumbers")]
    documents = [*fields.all("document"), *fields.all("documents")]
    status = {}
    if mail is not None:
        names = ("successAddress", "failureAddress", "attachedFaxImageMode", "attachedFaxImageFormat")
        status["reportMail"] = {name: _value(mail, name) for name in names}
    if push is not None:
        status["httpStatusPush"] = {
            "targetUrl": _value(push, "url") or _value(push, "targetUrl"),
            **{name: _value(push, name) for name in ("principal", "credentials", "authMethod")},
        }
    return {
        "recipients": [
            {
                "number": _value(recipient, "number"),
                "alternativeNumbers": [node.text for node in recipient.all("alternativeNumber")] or None,
                "properties": [
                    {"key": _value(pair, "key"), "value": _value(pair, "value")} for pair in recipient.all("property")
                ]
                or None,
            }
            for recipient in recipients
        ],
        "documents": [_document(document) for document in documents],
        "reference": {
            "customerDefinedId": _value(options, "jobReference"),
            "billingCode": _value(options, "billingCode"),
            "billingInfo": _value(options, "billingInfo"),
        },
        "transportOptions": {
            "csid": _value(options, "csid"),
            "isExpress": _flag(options, "isExpress", "express"),
            "isBlacklistEnabled": _flag(options, "isBlacklistEnabled", "blacklist"),
        },
        "renderingOptions": {
            "paperFormat": _value(options, "paperFormat"),
            "resolution": _value(options, "resolution"),
            "coverpageTemplate": _value(options, "coverpageTemplateName"),
            "header": _value(options, "header"),
            "overlay": None if overlay is None else {n: _value(overlay, n) for n in ("name", "mode")},
        },
        "statusReportOptions": status,
        "meta": {"jobValid": _validity(options, now)},
    }


def _document(node: Node) -> dict[str, Any]:
    """A document. `isText` (first shape: `text`) makes a text of it whatever its name ends in."""
    name = str(_value(node, "name") or "")
    if _flag(node, "isText", "text") and name and not name.lower().endswith((".txt", ".text")):
        name += ".txt"
    return {
        "name": name,
        "data": _value(node, "data"),
        "charset": _value(node, "charset"),
        "reference": _value(node, "reference"),
    }


def _validity(options: Node, now: float) -> dict[str, Any]:
    start = _value(options, "scheduleTS")
    minutes = _value(options, "jobExpireyMinutes") or _value(options, "jobExpiryMinutes")
    if not minutes:
        return {"start": start}
    place = "options.jobExpireyMinutes"
    if not isinstance(minutes, str) or not re.fullmatch(r"\d{1,7}", minutes) or not int(minutes):
        raise BadRequest(place, f"{place} must be a number of minutes.")
    first = datetime.fromtimestamp(now, UTC)
    if isinstance(start, str):
        try:
            given = datetime.fromisoformat(start.upper())
        except ValueError as exc:
            raise BadRequest("options.scheduleTS", "options.scheduleTS must be a time with its zone.") from exc
        if given.tzinfo is None:
            raise BadRequest("options.scheduleTS", "options.scheduleTS has no time zone.")
        first = max(first, given)
    try:
        return {"start": start, "end": (first + timedelta(minutes=int(minutes))).isoformat()}
    except OverflowError as exc:
        raise BadRequest(place, f"{place} is too far away.") from exc


def _value(node: Node, name: str) -> str | Blob | None:
    """The text of a child, or what stands for a long one; None when it is absent or empty."""
    found = node.first(name)
    if found is None or found.is_nil:
        return None
    return found.blob or found.text or None


def _flag(node: Node, *names: str) -> bool | str | None:
    """A boolean of XML Schema, by the first of its names that is there."""
    for name in names:
        value = _value(node, name)
        if value is not None:
            return {"1": True, "0": False}.get(str(value), str(value))
    return None
