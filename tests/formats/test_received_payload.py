"""The forms in which programs are sent a received fax, field by field."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from faxgw.fax.reception import ReceivedReport
from faxgw.formats import received_payload as payload
from faxgw.formats.received_payload import Credentials, FaxDocument, ReceivedFacts

REPORT = ReceivedReport(
    "rcv_1", "acme", "+33100000012", "+33200000034", "Name", "ACME", 1_795_000_000.0, 1_795_000_034.0, True, 2,
    time_zone="Europe/Paris",
)  # fmt: skip
FACTS = ReceivedFacts("GATEWAY", 14_400, 33.6, (True, False), "cost 7", ("invoice",), {"order": "4711"})
DOCUMENT = FaxDocument("rcv_1.pdf", "application/pdf", b"%PDF-1.4\n")
LOGIN = Credentials("u", "p")


def test_json_has_the_fields_of_the_public_sample_and_all_are_strings() -> None:
    fax = json.loads(payload.as_json(REPORT, FACTS, [DOCUMENT], LOGIN))["Fax"]
    assert fax["Authentication"] == {"AuthenticationMethod": "UserPassword", "Username": "u", "Password": "p"}
    assert fax["FaxDetails"] == {
        "JobID": "rcv_1",
        "DateReceived": "2026-11-18T12:07:14+0100",
        "CalledNumber": "+33100000012",
        "RemoteCSID": "ACME",
        "CSID": "GATEWAY",
        "BillingCode": "cost 7",
        "FileType": "pdf",
        "Resolution": "HIGH",
        "TotalDuration": "34",
        "BaudRate": "14400",
        "PageCount": "2",
        "Status": "OK",
        "CallingNumber": "0033200000034",
        "ArchivingStatus": "not configured",
        "ArchivedUntil": None,
        "Service": "Fax2WS",
    }
    assert fax["FaxFile"] == [{"FileType": "pdf", "FileName": "rcv_1.pdf", "FileContent": "JVBERi0xLjQK"}]


@pytest.mark.parametrize(
    ("field", "value", "key", "told"),
    [
        ("complete", False, "Status", "INCOMPLETE"),
        ("fine", False, "Resolution", "LOW"),
        ("caller", "", "CallingNumber", ""),
        ("caller", "anonymous", "CallingNumber", "anonymous"),
    ],
)
def test_details_tell_what_is_the_case(field: str, value: object, key: str, told: str) -> None:
    report = replace(REPORT, **{field: value})  # type: ignore[arg-type]
    assert payload.details(report, ReceivedFacts(), "pdf")[key] == told


def test_without_facts_the_number_stands_for_the_identification() -> None:
    found = payload.details(REPORT, ReceivedFacts(), "pdf")
    assert (found["CSID"], found["BaudRate"], found["BillingCode"]) == ("+33100000012", "", "")


def test_xml_bears_the_same_tree_and_survives_strangers() -> None:
    report = replace(REPORT, ident='<&"\x00>')
    root = ElementTree.fromstring(payload.as_xml(report, FACTS, [DOCUMENT, DOCUMENT], LOGIN))
    assert [child.tag for child in root] == ["Authentication", "FaxDetails", "FaxFile", "FaxFile"]
    assert root.findtext("FaxDetails/RemoteCSID") == '<&"?>'
    assert root.findtext("FaxDetails/ArchivedUntil") == ""
    assert base64.b64decode(root.findtext("FaxFile/FileContent") or "") == DOCUMENT.octets
    names = [element.tag for element in root.find("FaxDetails") or ()]
    assert names == list(payload.details(REPORT, FACTS, "pdf"))


def test_soap_puts_the_tree_in_an_envelope_and_base64_encodes_the_document() -> None:
    envelope = ElementTree.fromstring(payload.as_soap(REPORT, FACTS, [DOCUMENT], None))
    assert envelope.tag == "{http://schemas.xmlsoap.org/soap/envelope/}Envelope"
    assert envelope[0][0].tag == "Fax"
    assert envelope.find(".//Authentication") is None
    plain = payload.as_xml(REPORT, FACTS, [DOCUMENT], LOGIN)
    assert base64.b64decode(payload.as_base64(REPORT, FACTS, [DOCUMENT], LOGIN)) == plain


def test_the_native_form_bears_what_rules_extracted() -> None:
    message = json.loads(payload.as_native(REPORT, FACTS, [DOCUMENT]))
    assert (message["type"], message["timestamp"]) == ("fax.received", "2026-11-18T11:07:14.000Z")
    data = message["data"]
    assert (data["reception"], data["pages"], data["complete"]) == ("rcv_1", 2, True)
    assert (data["tags"], data["extracted"]) == (["invoice"], {"order": "4711"})
    (document,) = data["documents"]
    assert (document["name"], document["size"]) == ("rcv_1.pdf", 9)
    assert base64.b64decode(document["content"]) == DOCUMENT.octets
