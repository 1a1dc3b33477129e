"""A received fax as programs are sent it: JSON, XML, SOAP, XML in base64, and the signed native form.

Field names are the vendor's (docs/deliveries.md): every value of FaxDetails is a string but ArchivedUntil, times have
an offset without a colon, CalledNumber begins with `+` and CallingNumber with `00`. The public description shows JSON
and a bare XML tree; envelope, PLAIN and BASE64 are ours. Pure.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any  # JSON
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from faxgw.fax.reception import ReceivedReport

JSON_TYPE = "application/json; charset=UTF-8"
XML_TYPE = "text/xml; charset=utf-8"
TEXT_TYPE = "text/plain; charset=us-ascii"
SOAP_1_1 = "http://schemas.xmlsoap.org/soap/envelope/"
EVENT = "fax.received"
"""Type of the native form's message."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not know (its section 2.2)."""


@dataclass(frozen=True, slots=True)
class FaxDocument:
    """One document of a received fax, as it leaves: named, and encrypted where its target wants that."""

    name: str
    content_type: str
    octets: bytes = field(repr=False)

    @property
    def file_type(self) -> str:
        """The name's ending: `pdf`, `tiff`, `pgp`."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else "bin"


@dataclass(frozen=True, slots=True)
class ReceivedFacts:
    """What the mail does not tell, but programs ask for."""

    csid: str = ""
    """Our identification, as the sender's machine was shown it; empty: the number."""
    bit_rate: int = 0
    """Bits per second; 0: not known."""
    duration: float = 0.0
    """Seconds of the call."""
    fine: tuple[bool, ...] = ()
    """Of each page: true when it has 196 rows per inch or more."""
    billing_code: str = ""
    tags: tuple[str, ...] = ()
    """Of the rules that held."""
    extracted: Mapping[str, Any] = field(default_factory=dict)
    """What the rules took out of the text."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What stands in the body's Authentication."""

    user: str
    password: str = field(repr=False)


def details(report: ReceivedReport, facts: ReceivedFacts, file_type: str) -> dict[str, str | None]:
    """FaxDetails, in the order of the public sample."""
    return {
        "JobID": report.reception,
        "DateReceived": moment(report.received_at, report.time_zone),
        "CalledNumber": report.number,
        "RemoteCSID": report.ident,
        "CSID": facts.csid or report.number,
        "BillingCode": facts.billing_code,
        "FileType": file_type,
        "Resolution": "HIGH" if report.fine else "LOW",
        "TotalDuration": str(round(facts.duration)),
        "BaudRate": str(facts.bit_rate) if facts.bit_rate else "",
        "PageCount": str(report.pages),
        "Status": status(report),
        "CallingNumber": from_abroad(report.caller),
        "ArchivingStatus": "not configured",
        "ArchivedUntil": None,
        "Service": "Fax2WS",
    }


def status(report: ReceivedReport) -> str:
    """`OK`, or `INCOMPLETE` for a fax that broke off."""
    return "OK" if report.complete else "INCOMPLETE"


def moment(at: float, time_zone: str) -> str:
    """`2026-11-21T10:00:00+0100`."""
    return datetime.fromtimestamp(at, ZoneInfo(time_zone)).strftime("%Y-%m-%dT%H:%M:%S%z")


def from_abroad(number: str) -> str:
    """`0033…` of `+33…`; another text as it is."""
    return f"00{number[1:]}" if number.startswith("+") else number


def as_json(
    report: ReceivedReport, facts: ReceivedFacts, documents: Sequence[FaxDocument], login: Credentials | None
) -> bytes:
    """JSON_POST."""
    fax: dict[str, Any] = {}
    if login is not None:
        fax["Authentication"] = _authentication(login)
    fax["FaxDetails"] = details(report, facts, documents[0].file_type)
    fax["FaxFile"] = [_file(document) for document in documents]
    return json.dumps({"Fax": fax}, separators=(",", ":"), ensure_ascii=False).encode()


def as_xml(
    report: ReceivedReport, facts: ReceivedFacts, documents: Sequence[FaxDocument], login: Credentials | None = None
) -> bytes:
    """PLAIN-POST, and the XML file of SFTP and FTP: the tree alone."""
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + _tree(report, facts, documents, login) + b"\n"


def as_soap(
    report: ReceivedReport, facts: ReceivedFacts, documents: Sequence[FaxDocument], login: Credentials | None
) -> bytes:
    """SOAP_POST: the tree as the body of a SOAP 1.1 envelope."""
    tree = _tree(report, facts, documents, login)
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="{SOAP_1_1}"><soap:Body>'.encode()
    return head + tree + b"</soap:Body></soap:Envelope>\n"


def as_base64(
    report: ReceivedReport, facts: ReceivedFacts, documents: Sequence[FaxDocument], login: Credentials | None
) -> bytes:
    """BASE64_POST: the XML document in base64, in lines (RFC 2045 section 6.8)."""
    return base64.encodebytes(as_xml(report, facts, documents, login))


def as_native(report: ReceivedReport, facts: ReceivedFacts, documents: Sequence[FaxDocument]) -> bytes:
    """The message that is signed as webhooks are (docs/webhooks.md)."""
    data = {
        "reception": report.reception,
        "customer": report.customer,
        "number": report.number,
        "caller": report.caller,
        "caller_name": report.display,
        "ident": report.ident,
        "started_at": _utc(report.started_at),
        "received_at": _utc(report.received_at),
        "complete": report.complete,
        "pages": report.pages,
        "resolution": "fine" if report.fine else "standard",
        "again_of": report.again_of or None,
        "tags": list(facts.tags),
        "extracted": dict(facts.extracted),
        "documents": [
            {
                "name": document.name,
                "content_type": document.content_type,
                "size": len(document.octets),
                "content": base64.b64encode(document.octets).decode(),
            }
            for document in documents
        ],
    }
    message = {"type": EVENT, "timestamp": _utc(report.received_at), "data": data}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def _authentication(login: Credentials) -> dict[str, str]:
    return {"AuthenticationMethod": "UserPassword", "Username": login.user, "Password": login.password}


def _file(document: FaxDocument) -> dict[str, str]:
    return {
        "FileType": document.file_type,
        "FileName": document.name,
        "FileContent": base64.b64encode(document.octets).decode(),
    }


def _tree(
    report: ReceivedReport, facts: ReceivedFacts, documents: Sequence[FaxDocument], login: Credentials | None
) -> bytes:
    parts = [_element("Authentication", _authentication(login))] if login is not None else []
    parts.append(_element("FaxDetails", details(report, facts, documents[0].file_type)))
    parts += [_element("FaxFile", _file(document)) for document in documents]
    return f"<Fax>{''.join(parts)}</Fax>".encode()


def _element(name: str, values: Mapping[str, str | None]) -> str:
    inner = "".join(
        f"<{key}/>" if value is None else f"<{key}>{escape(_NOT_XML.sub('?', value))}</{key}>"
        for key, value in values.items()
    )
    return f"<{name}>{inner}</{name}>"


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
