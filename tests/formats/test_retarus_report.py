"""Reports as all four of the vendor's clients can read them."""

from __future__ import annotations

from faxgw.fax.vendor_report import Deletion, VendorRecipient, VendorReport
from faxgw.formats.retarus_report import deletions_to_json, report_to_json


def test_a_report_has_every_key_and_nothing_that_a_client_stumbles_over() -> None:
    recipient = VendorRecipient("FN1", "+33 1", (("a", "b"),), "OK", "OK", 1_795_000_000.9, 38, "00331", "")
    report = report_to_json(VendorReport("F1", (recipient,), 70_000, {"billingCode": "CC"}))
    assert report == {
        "jobId": "F1",
        "recipientStatus": [
            {
                "number": "+33 1",
                "properties": [{"key": "a", "value": "b"}],
                "status": "OK",
                "reason": "OK",
                "sentTs": "2026-11-18T11:06:40Z",
                "durationInSecs": 38,
                "sentToNumber": "00331",
                "remoteCsid": "",
            }
        ],
        "pages": 65_535,
        "reference": {"customerDefinedId": "", "billingCode": "CC", "billingInfo": ""},
    }


def test_deleted_ones_come_first_and_have_no_reason() -> None:
    assert deletions_to_json([Deletion("A", False), Deletion("B", True), Deletion("C", False)]) == [
        {"jobId": "B", "deleted": True},
        {"jobId": "A", "deleted": False, "reason": "NOT_FOUND"},
        {"jobId": "C", "deleted": False, "reason": "NOT_FOUND"},
    ]
