"""The client over a gateway in memory: whom it waits for, what it closes, how it goes on. See test_steps, test_work."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from faxgw.sdk.errors import ApiError, NoAnswer
from faxgw.sdk.synchronous import Client
from tests.sdk.clients import SUMMED, Gateway


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses, which nobody waits for."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("faxgw.sdk.synchronous.time.sleep", sleep)
    return pauses


def client(gateway: Gateway) -> Client:
    return Client("https://fax.example.org", token="fxt_1", http=httpx.Client(transport=httpx.MockTransport(gateway)))


def test_lost_answers_are_asked_for_again_with_pauses(slept: list[float]) -> None:
    gateway = Gateway(httpx.ConnectError("refused"), (503, {"code": "busy"}), SUMMED)
    with client(gateway) as fax:
        assert (fax.job("F1")).id == "F1"
    assert slept == [0.5, 1.0]
    assert [request.headers["Authorization"] for request in gateway.asked] == ["Bearer fxt_1"] * 3


def test_a_webhook_is_asked_for_once(slept: list[float]) -> None:
    """Nobody knows whether the first request arrived: a second would make a second webhook."""
    gateway = Gateway(httpx.ReadError("reset"))
    with client(gateway) as fax, pytest.raises(NoAnswer):
        fax.create_webhook("https://a.example/", ["*"])
    assert (len(gateway.asked), slept) == (1, [])


def test_waiting_ends_before_the_deadline_would_be_slept_over(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(100, 1_000))
    monkeypatch.setattr("faxgw.sdk.synchronous.time.monotonic", lambda: float(next(now)))
    with client(Gateway(SUMMED)) as fax, pytest.raises(TimeoutError, match="F1 is not finished"):
        fax.wait("F1", within=5.0, every=2.0)
    assert slept == [2.0] * 3


def test_a_list_is_fetched_part_by_part() -> None:
    gateway = Gateway({"faxes": [], "next": "abc"}, {"faxes": [], "next": None})
    with client(gateway) as fax:
        found = list(fax.faxes(state="sent"))
    assert found == []
    assert [dict(request.url.params) for request in gateway.asked] == [
        {"state": "sent"}, {"state": "sent", "cursor": "abc"},
    ]  # fmt: skip


def test_events_are_asked_for_again_behind_the_last_one_and_a_refusal_ends_them(slept: list[float]) -> None:
    gateway = Gateway(
        b"retry: 250\nid: 8\nevent: ready\ndata: {}\n\n", httpx.ReadError("reset"), (503, {}), (403, {"code": "no"})
    )
    with client(gateway) as fax, pytest.raises(ApiError) as refused:
        list(fax.events())
    assert refused.value.code == "no"
    assert [request.headers.get("Last-Event-ID") for request in gateway.asked] == [None, "8", "8", "8"]
    assert slept == [0.25] * 3


def test_a_connection_that_was_lent_stays_open() -> None:
    lent: Any = httpx.Client(transport=httpx.MockTransport(Gateway(SUMMED)))
    with Client("https://fax.example.org", http=lent) as fax:
        fax.job("F1")
    assert not lent.is_closed
    own = Client("https://fax.example.org")
    own.close()
    assert own._http.is_closed
