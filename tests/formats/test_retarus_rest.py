"""The vendor's requests: what its four clients send, in each of their ways, becomes the same values."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from faxgw.document import limits
from faxgw.formats import retarus_rest, xml_job
from faxgw.formats.json_body import Blob
from faxgw.formats.retarus_rest import BadRequest, ReportMail, StatusPush, read_bulk, read_job

NOW = 1_795_000_000.0
"""2026-11-18T11:06:40Z"""
PDF = base64.b64encode(b"%PDF").decode()
LEAST: dict[str, Any] = {"recipients": [{"number": "+33123456789"}], "documents": [{"name": "a.pdf", "data": PDF}]}


def read(**more: Any) -> Any:
    return read_job({**LEAST, **more}, now=NOW)


def validity(**fields: Any) -> tuple[float | None, float | None]:
    job = read(meta={"jobValid": fields})
    return job.start, job.end


def test_only_recipients_and_something_to_send_are_required() -> None:
    job = read()
    assert (job.settings, job.cover, job.report_mail, job.push) == ({}, "", None, None)
    assert [d.data for d in job.documents] == [b"%PDF"]


def test_the_sample_of_all_fields() -> None:
    job = read(
        reference={"customerDefinedId": "INV-2026-17", "billingCode": "CC10", "billingInfo": "sales"},
        recipients=[
            {
                "number": " +33 1 23 45 67 89 ",
                "alternativeNumbers": ["0033199000001"],
                "properties": [{"key": "ToName", "value": "Mme Durand"}, {"key": "Text", "value": "two\nlines"}],
            }
        ],
        transportOptions={"csid": "+33 1 00 00 00 00", "isExpress": True, "isBlacklistEnabled": True},
        renderingOptions={
            "paperFormat": "A4",
            "resolution": "HIGH",
            "coverpageTemplate": "coverpage-default.ftl.html",
            "overlay": {"name": "letterhead", "mode": "first_page"},
            "header": "%tz=CEST Testfax: CSID: %C Recipient number: %# Date: %d.%m.%Y %H:%M %z",
        },
        statusReportOptions={
            "reportMail": {"failureAddress": "ops@example.org", "attachedFaxImageMode": "FAILURE_ONLY"},
            "httpStatusPush": {"targetUrl": "https://a.example/", "principal": "u", "authMethod": "oauth"},
        },
        meta={"customerReference": "b", "jobValid": {"start": "2026-11-22T08:00:00+01:00", "end": "2026-12-01T00:00Z"}},
    )
    (recipient,) = job.recipients
    assert (recipient.number, recipient.alternatives) == ("+33 1 23 45 67 89", ("0033199000001",))
    assert recipient.properties == (("ToName", "Mme Durand"), ("Text", "two\nlines"))
    assert (job.reference.customer_defined_id, job.reference.billing_info) == ("INV-2026-17", "sales")
    assert {k: job.settings[k] for k in ("csid", "priority", "paper", "resolution", "billing_code")} == {
        "csid": "+33 1 00 00 00 00",
        "priority": "express",
        "paper": "A4",
        "resolution": "fine",
        "billing_code": "CC10",
    }
    assert job.cover == "coverpage-default.ftl.html"
    assert {k: job.settings[k] for k in ("overlay", "overlay_mode")} == {
        "overlay": "letterhead",
        "overlay_mode": "first_page",
    }
    assert job.report_mail == ReportMail("", "ops@example.org")
    assert job.settings["report_attachment"] == "failure_only" and "report_format" not in job.settings
    assert job.push == StatusPush("https://a.example/", "u", "", "OAUTH2")
    assert (job.start, job.end) == (1_795_330_800.0, 1_796_083_200.0)


@pytest.mark.parametrize("key", ["rendering_options", "renderingOptions", "RenderingOptions", "RENDERING_OPTIONS"])
def test_keys_in_any_case_and_in_snake_case(key: str) -> None:
    assert read(**{key: {"paper_format": "Letter", "Resolution": "low"}}).settings == {
        "paper": "Letter",
        "resolution": "standard",
    }


def test_null_is_absent_at_every_level() -> None:
    job = read(
        reference={"customerDefinedId": None, "billingCode": None},
        transportOptions={"csid": None, "isExpress": None},
        renderingOptions={"overlay": None, "header": None},
        statusReportOptions={"reportMail": None, "httpStatusPush": None, "reportPurgeTs": "0001-01-01T00:00:00+0000"},
        meta=None,
        documents=[{"name": "a.pdf", "data": PDF, "charset": None, "reference": None}],
    )
    assert job == read()


@pytest.mark.parametrize(
    ("name", "charset", "kept"),
    [
        ("a.txt", None, "utf-8"),
        ("a.TXT", "WINDOWS-1252", "windows-1252"),
        ("a.txt", "Windows-1252", "windows-1252"),
        ("a.txt", "UTF-16LE", "utf-16-le"),
        ("a.pdf", "utf-8", None),
        ("a.pdf", "nonsense", None),
    ],
)
def test_a_charset_counts_for_texts_only(name: str, charset: str | None, kept: str | None) -> None:
    (document,) = read(documents=[{"name": name, "charset": charset, "data": PDF}]).documents
    assert document.charset == kept


def test_a_url_wins_over_the_data() -> None:
    (document,) = read(documents=[{"name": "a.pdf", "reference": "https://a.example/a.pdf", "data": "*"}]).documents
    assert (document.url, document.data) == ("https://a.example/a.pdf", b"")


def test_a_name_beside_the_data_is_no_url() -> None:
    """The vendor's Go client has examples like this one."""
    (document,) = read(documents=[{"name": "a.txt", "reference": "testJob", "data": "dGVzdGZheAo="}]).documents
    assert (document.url, document.data) == ("", b"testfax\n")
    (document,) = read(documents=[{"name": "a.txt", "reference": "testJob"}]).documents
    assert document.url == "testJob"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("C:\\temp\\a b.pdf", "a b.pdf"),
        ("/tmp/ä.pdf", "ä.pdf"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("a/", "document"),
    ],
)
def test_a_name_is_the_last_part_of_a_path_and_keeps_its_end(given: str, kept: str) -> None:
    assert read(documents=[{"name": given, "data": PDF}]).documents[0].name == kept


def test_a_long_string_is_taken_as_data_and_nowhere_else() -> None:
    def blob_of(value: object) -> Blob | None:
        return Blob(0) if value == "MARK" else None

    job = read_job({**LEAST, "documents": [{"name": "a.pdf", "data": "MARK"}]}, now=NOW, blob_of=blob_of)
    assert job.documents[0].data == Blob(0)
    with pytest.raises(BadRequest) as refused:
        read_job({**LEAST, "reference": {"billingInfo": "MARK"}}, now=NOW, blob_of=blob_of)
    assert refused.value.param == "reference.billingInfo"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-19T11:06:40Z", NOW + 86_400),
        ("2026-11-19T11:06:40z", NOW + 86_400),
        ("2026-11-19T12:06:40+01:00", NOW + 86_400),
        ("2026-11-19T12:06:40+0100", NOW + 86_400),
        ("2026-11-19T11:06:40.000Z", NOW + 86_400),
        ("P1D", NOW + 86_400),
        ("PT80M", NOW + 4_800),
        ("p1w", NOW + 604_800),
        ("PT1.5H", NOW + 5_400),
        ("PT1H30M", NOW + 5_400),
    ],
)
def test_an_instant_with_its_zone_or_a_duration(text: str, at: float) -> None:
    assert validity(start=text, end=None) == (at, None)
    assert validity(end=text) == (None, at)


@pytest.mark.parametrize(
    "text", ["2026-11-19T11:06:40", "2026-11-19", "P", "PT", "PX", "P1.2.3D", "P9999Y", "x", "1795000000"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        validity(end=text)
    assert refused.value.param == "meta.jobValid.end"


def test_an_overlay_for_no_page_takes_the_accounts_away() -> None:
    assert read(renderingOptions={"overlay": {"mode": "NO_OVERLAY"}}).settings == {"overlay_mode": "no_overlay"}


def test_a_csid_loses_what_t30_does_not_know() -> None:
    assert read(transportOptions={"csid": "ACME +33 1"}).settings == {"csid": "+33 1"}
    assert read(transportOptions={"csid": "ACME"}).settings == {}


def test_a_bulk_request_names_each_id_once() -> None:
    asked = read_bulk({"Action": "Delete", "job_ids": ["B", "A", "B"]})
    assert (asked.delete, asked.ids) == (True, ("B", "A"))


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({}, {}),
        ({"attachedFaxImageMode": "NEVER"}, {"report_attachment": "never"}),
        (
            {"attachedFaxImageMode": "ALWAYS", "attachedFaxImageFormat": "TIFF"},
            {"report_attachment": "always", "report_format": "tiff"},
        ),
        (
            {"attachedFaxImageMode": "success_only", "attachedFaxImageFormat": "PDF"},
            {"report_attachment": "success_only", "report_format": "pdf"},
        ),
        ({"attachedFaxImageFormat": "PDF_WITH_OCR"}, {"report_format": "pdf_ocr"}),
    ],
)
def test_the_pages_with_status_mails_are_settings_of_the_job(given: dict[str, str], settings: dict[str, str]) -> None:
    job = read(statusReportOptions={"reportMail": {"successAddress": "a@example.org", **given}})
    assert {key: value for key, value in job.settings.items() if key.startswith("report_")} == settings


def test_no_way_in_takes_more_documents_than_are_rendered_together() -> None:
    assert {retarus_rest.MAX_DOCUMENTS, xml_job.MAX_FILES} == {limits.MAX_DOCUMENTS}
