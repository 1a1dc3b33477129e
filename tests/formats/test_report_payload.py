from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.fax.report import AttemptLine, FaxReport, JobReport, RefusedReport
from faxgw.formats.mail_letter import MAX_THUMBNAIL
from faxgw.formats.report_payload import (
    PayloadDefect,
    refused_from_payload,
    refused_to_payload,
    report_from_payload,
    report_to_payload,
)
from tests.formats import samples

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
TIME = st.floats(allow_nan=False, allow_infinity=False)
CALLS = st.builds(
    AttemptLine,
    number=TEXT,
    started_at=TIME,
    answered_at=st.none() | TIME,
    ended_at=TIME,
    transport=TEXT,
    remote_ident=TEXT,
    detail=TEXT,
)
FAXES = st.builds(
    FaxReport,
    fax=TEXT,
    number_typed=TEXT,
    number_e164=TEXT,
    reason=TEXT,
    attempts=st.lists(CALLS, max_size=3).map(tuple),
    finished_at=st.none() | TIME,
)
JOBS = st.builds(
    JobReport,
    **dict.fromkeys(("job", "customer", "owner", "subject", "in_reply_to", "time_zone", "language"), TEXT),
    billing_code=TEXT,
    resent_of=TEXT,
    accepted_at=TIME,
    finished_at=st.none() | TIME,
    faxes=st.lists(FAXES, max_size=3).map(tuple),
    thumbnail=st.binary(max_size=50),
)
REFUSALS = st.builds(
    RefusedReport,
    **dict.fromkeys(("message", "subject", "in_reply_to", "reason", "time_zone", "language"), TEXT),
    received_at=TIME,
    recipients=st.lists(TEXT, max_size=3).map(tuple),
)


@settings(deadline=None)
@given(JOBS)
def test_a_report_survives_the_outbox(report: JobReport) -> None:
    stored = json.dumps(report_to_payload(report), allow_nan=False)
    assert report_from_payload(json.loads(stored)) == report


@given(REFUSALS)
def test_a_refusal_survives_the_outbox(report: RefusedReport) -> None:
    stored = json.dumps(refused_to_payload(report), allow_nan=False)
    assert refused_from_payload(json.loads(stored)) == report


def test_a_thumbnail_above_its_bound_is_left_out() -> None:
    big = samples.job([samples.DELIVERED], thumbnail=samples.PNG + bytes(MAX_THUMBNAIL))
    assert report_from_payload(report_to_payload(big)).thumbnail == b""


def test_what_no_json_store_takes_is_replaced() -> None:
    report = samples.job([samples.DELIVERED], subject="a\0b\udce9c")
    stored = json.dumps(report_to_payload(report), ensure_ascii=False).encode()
    assert report_from_payload(json.loads(stored)).subject == "a\ufffdb?c"


def damaged(**changes: object) -> dict[str, object]:
    payload = report_to_payload(samples.job([samples.DELIVERED]))
    fields = payload["job"]
    assert isinstance(fields, dict)
    return payload | {"job": fields | changes}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"version": 1},
        {"version": 1, "job": []},
        {"version": 2, "job": {}},
        damaged(version=2) | {"version": 2},
        damaged(subject=5),
        damaged(accepted_at="1"),
        damaged(accepted_at=float("nan")),
        damaged(faxes=[{"fax": "FN"}]),
        damaged(thumbnail="é"),
        damaged(thumbnail="abc"),
        damaged(faxes=None),
        refused_to_payload(samples.refused()),
    ],
)
def test_what_is_no_report_is_refused_for_good(payload: dict[str, object]) -> None:
    with pytest.raises(PayloadDefect) as caught:
        report_from_payload(payload)
    assert not caught.value.temporary


def test_a_job_is_no_refusal() -> None:
    with pytest.raises(PayloadDefect):
        refused_from_payload(report_to_payload(samples.job([samples.DELIVERED])))
    with pytest.raises(PayloadDefect):
        refused_from_payload({"version": 1, "refused": dataclasses.asdict(samples.refused()) | {"our_fault": "no"}})
