"""As whom requests go, and where to."""

from __future__ import annotations

import httpx
import pytest

from faxgw.sdk.connection import TIMEOUT_S, Connection, answer_of, lost
from faxgw.sdk.steps import Request
from faxgw.sdk.stream import EventReader


@pytest.mark.parametrize("server", ["https://fax.example.org", "https://fax.example.org/"])
def test_paths_stand_below_the_api(server: str) -> None:
    sent = Connection(server, "", None).arguments(Request("GET", "/faxes"))
    assert sent["url"] == "https://fax.example.org/api/v1/faxes"
    assert (sent["params"], sent["json"], sent["files"]) == (None, None, None)


def test_a_token_goes_with_every_request_and_no_request_replaces_it_by_accident() -> None:
    sent = Connection("https://a", "fxt_1", None).arguments(Request("POST", "/faxes", headers={"Idempotency-Key": "k"}))
    assert sent["headers"] == {"Authorization": "Bearer fxt_1", "Idempotency-Key": "k"}
    assert sent["auth"] is None


def test_a_login_goes_as_basic_credentials() -> None:
    connection = Connection("https://a", "", ("erp", "secret"))
    sent = connection.arguments(Request("GET", "/account"))
    assert isinstance(sent["auth"], httpx.BasicAuth) and "Authorization" not in sent["headers"]


def test_a_stream_goes_on_behind_the_last_event_that_is_known() -> None:
    connection = Connection("https://a", "fxt_1", None)
    fresh = connection.following(EventReader())
    assert "Last-Event-ID" not in fresh["headers"] and fresh["timeout"] == TIMEOUT_S
    assert connection.following(EventReader("41"))["headers"]["Last-Event-ID"] == "41"


def test_names_of_header_fields_are_read_in_lower_case() -> None:
    assert answer_of(httpx.Response(429, headers={"Retry-After": "7"}, content=b"x")).headers["retry-after"] == "7"


def test_a_loss_says_what_it_was() -> None:
    assert lost(httpx.ReadTimeout("too slow")).why == "ReadTimeout: too slow"
