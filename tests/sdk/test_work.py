"""Which request each piece of work makes; both clients make just these."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faxgw.api.v1.fax_models import Fax
from faxgw.sdk import work
from faxgw.sdk.steps import Answer, Request

FAX = "FN0123456789ABCDEFGHIJ"


@pytest.mark.parametrize(
    ("made", "method", "path"),
    [
        (work.cancel(FAX), "POST", f"/faxes/{FAX}/cancel"),
        (work.cancel_job("F1"), "POST", "/jobs/F1/cancel"),
        (work.resend_job("F1", None, {}), "POST", "/jobs/F1/resend"),
        (work.fax(FAX), "GET", f"/faxes/{FAX}"),
        (work.job("F1"), "GET", "/jobs/F1"),
        (work.page(FAX, 2, "png"), "GET", f"/faxes/{FAX}/pages/2"),
        (work.file(FAX, "pdf"), "GET", f"/faxes/{FAX}/file"),
        (work.document(FAX, 1), "GET", f"/faxes/{FAX}/documents/1"),
        (work.attempts(FAX), "GET", f"/faxes/{FAX}/attempts"),
        (work.ladder(FAX, "att_1"), "GET", f"/faxes/{FAX}/attempts/att_1/ladder"),
        (work.acknowledge("rcv_1"), "POST", "/faxes/rcv_1/acknowledge"),
        (work.account(), "GET", "/account"),
        (work.destination("+331"), "GET", "/destinations/%2B331"),
        (work.webhooks(), "GET", "/webhooks"),
    ],
)
def test_each_piece_of_work_asks_for_one_thing(made: Any, method: str, path: str) -> None:
    request = next(made)
    assert isinstance(request, Request)
    assert (request.method, request.path) == (method, path)


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    request = next(work.fax("../account"))
    assert isinstance(request, Request) and request.path == "/faxes/..%2Faccount"


def test_octets_are_handed_out_as_they_came() -> None:
    doing = work.page(FAX, 1, "tiff")
    request = next(doing)
    assert isinstance(request, Request) and request.query == (("format", "tiff"),)
    with pytest.raises(StopIteration) as done:
        doing.send(Answer(200, {}, b"II*\0"))
    assert done.value.value == b"II*\0"


def test_a_resend_has_a_key_and_says_what_is_asked() -> None:
    request = next(work.resend(FAX, "mine", {"to": "+332"}))
    assert isinstance(request, Request)
    assert (request.headers, request.json) == ({"Idempotency-Key": "mine"}, {"to": "+332"})


def test_a_list_goes_on_where_it_was() -> None:
    request = next(work.faxes({"state": ["sent"]}, "next"))
    assert isinstance(request, Request) and request.query == (("state", "sent"), ("cursor", "next"))


def test_a_webhook_is_one_request_and_no_work_that_tries_again() -> None:
    request = work.create_webhook("https://a.example/", ("fax.sent",), "mine")
    assert json.loads(json.dumps(request.json)) == {
        "url": "https://a.example/", "events": ["fax.sent"], "description": "mine",
    }  # fmt: skip


def test_faxes_of_a_job_come_as_its_recipients_stood() -> None:
    faxes = [Fax.model_construct(id=str(place), position=place) for place in (3, 1, 2)]
    assert [fax.id for fax in work.in_order(faxes)] == ["1", "2", "3"]
