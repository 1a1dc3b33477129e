"""The Python client against the native API: sync and async, retries, iteration, events."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import func, select, update

from faxgw.sdk import ApiError, AsyncClient, Client, NoAnswer, steps, work
from faxgw.sdk.steps import Request
from faxgw.store import schema as t
from faxgw.store import webhooks
from tests.api.v1.world import FAR, PDF, Native, received

pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = {"title": "Busy", "status": 503, "detail": "Come again.", "code": "unavailable"}


def server_of(api: Native) -> str:
    return str(api.desk.client._base_url)


@pytest_asyncio.fixture(loop_scope="session")
async def client(api: Native) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server_of(api), token=api.auth["Authorization"].split()[1]) as made:
        yield made


async def test_a_fax_goes_its_way_by_the_asynchronous_client(api: Native, client: AsyncClient, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(PDF)
    sent = await client.send([FAR, "+33199000002"], [letter, ("note.txt", b"Hello")], reference="r 1")
    assert (sent.count, sent.reference) == (2, "r 1")
    assert {fax.number async for fax in client.faxes(job=sent.job, limit=1)} == {FAR, "+33199000002"}
    one = await client.fax(sent.faxes[0].id)
    assert (one.state, one.reference) == ("accepted", "r 1")
    assert await client.document(one.id, 1) == PDF and await client.document(one.id, 2) == b"Hello"
    assert (await client.cancel(one.id)).state == "cancelled"
    again = await client.resend(one.id, marked=True)
    assert (await client.fax(again.faxes[0].id)).resend_of == sent.job
    assert (await client.cancel_job(sent.job)).cancelled == 1
    assert [fax.state for fax in await client.wait(sent.job)] == ["cancelled", "cancelled"]
    with pytest.raises(ApiError) as refused:
        await client.cancel(one.id)
    assert (refused.value.code, refused.value.status) == ("final", 409)


async def test_a_fax_goes_its_way_by_the_synchronous_client(api: Native, tmp_path: Path) -> None:
    """The same server, asked from a thread: the client itself makes none."""
    token = api.auth["Authorization"].split()[1]

    def work() -> tuple[str, int, list[str]]:
        with Client(server_of(api), token=token) as client:
            sent = client.send({"number": FAR, "properties": {"ToName": "A"}}, [PDF], subject="s")
            states = [str(fax.state) for fax in client.faxes(job=sent.job)]
            client.cancel_job(sent.job)
            client.wait(sent.job, within=5)
            return client.account().customer, sent.count, states

    assert await asyncio.to_thread(work) == ("acme", 1, ["accepted"])


async def test_a_received_fax_is_acknowledged(api: Native, client: AsyncClient) -> None:
    ident = await received(api.house)
    assert (await client.acknowledge(ident)).acknowledged_at
    assert [one.id for one in (await client.attempts(ident)).attempts] == [ident]
    assert [entry.name for entry in (await client.ladder(ident, ident)).entries] == ["DIS"]


async def test_webhooks_are_made_once(api: Native, client: AsyncClient) -> None:
    made = await client.create_webhook("https://app.example.org/fax", ["fax.*"], "erp")
    assert made.secret.startswith("whsec_") and [one.id for one in (await client.webhooks()).webhooks] == [made.id]


async def test_waiting_ends_by_the_deadline(api: Native, client: AsyncClient) -> None:
    sent = await client.send(FAR, [PDF])
    with pytest.raises(TimeoutError, match="accepted"):
        await client.wait(sent.job, within=0.0)


async def test_events_come_and_go_on_after_a_connection_that_broke(api: Native, client: AsyncClient) -> None:
    sent = await client.send(FAR, [PDF])
    kinds, last = [], ""
    async for event in client.events(after="0"):
        kinds.append((event.type, event.fax or event.job))
        last = event.id
        if len(kinds) == 2:
            break
    assert kinds == [("job.accepted", sent.job), ("fax.accepted", sent.faxes[0].id)]
    await client.cancel(sent.faxes[0].id)
    async for event in client.events(after=last):
        assert (event.type, event.fax) == ("fax.cancelled", sent.faxes[0].id)
        break


# ---------------------------------------------------------------------------------------------------------- retries


def scripted(
    answers: list[Callable[[httpx.Request], httpx.Response]], seen: list[httpx.Request]
) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answers[min(len(seen), len(answers)) - 1](request)

    return httpx.MockTransport(answer)


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("gone", request=request)


def busy(request: httpx.Request) -> httpx.Response:
    return httpx.Response(503, json=REFUSED, headers={"Retry-After": "7"})


def accepted(request: httpx.Request) -> httpx.Response:
    body = {"job": "F1", "created_at": "2026-11-22T00:00:00Z", "reference": "", "count": 1, "faxes": []}
    return httpx.Response(202, json=body)


async def test_what_got_no_answer_is_sent_again_with_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    async with httpx.AsyncClient(transport=scripted([lost, busy, accepted], seen)) as http:
        assert (await AsyncClient("https://fax.example.org", token="t", http=http).send(FAR, [PDF])).job == "F1"
    keys = {request.headers["Idempotency-Key"] for request in seen}
    assert len(seen) == 3 and len(keys) == 1 and len(keys.pop()) == 32
    assert slept == [0.5, 7.0], "Retry-After is followed"


async def test_the_synchronous_client_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    http = httpx.Client(transport=scripted([lost], seen))
    with pytest.raises(NoAnswer):
        Client("https://fax.example.org", http=http).fax("FN1")
    assert len(seen) == steps.MAX_TRIES and slept == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("status, code", [(422, "invalid"), (404, "not_found"), (409, "final"), (429, "quota")])
async def test_what_trying_again_cannot_help_is_not_tried_again(status: int, code: str) -> None:
    seen: list[httpx.Request] = []
    problem = {"detail": "No.", "code": code, "param": "to"}
    http = httpx.Client(transport=scripted([lambda request: httpx.Response(status, json=problem)], seen))
    with pytest.raises(ApiError) as refused:
        Client("https://fax.example.org", http=http).send(FAR, [PDF])
    assert (len(seen), refused.value.code, refused.value.param) == (1, code, "to")


async def test_a_request_with_more_than_plain_numbers_is_json() -> None:
    request = steps.sending([{"number": FAR}], [{"url": "https://example.org/a.pdf"}, PDF], "k", {"subject": None})
    body: Any = request.json
    assert body["documents"][0] == {"url": "https://example.org/a.pdf"} and body["documents"][1]["name"] == "document"
    assert json.dumps(body) and "subject" not in body and request.headers == {"Idempotency-Key": "k"}


async def test_a_key_given_twice_is_one_job(api: Native, client: AsyncClient) -> None:
    first = await client.send(FAR, [PDF], key="order 7".replace(" ", "-"))
    assert await client.send(FAR, [PDF], key="order-7") == first
    (number,) = await api.house.rows(select(func.count()).select_from(t.jobs))
    assert number[0] == 1
    await api.house.change(update(t.faxes).values(state="failed", finished_at=api.house.now))
    assert await client.send(FAR, [PDF], key="order-7") == first, "whatever became of it"


def _requests() -> list[Request]:
    """One request of each piece of work."""
    given: dict[str, Any] = {"to": FAR, "documents": [PDF], "fields": {}, "filters": {}, "looks": {}, "given": ["Name"]}
    given |= {"key": None, "cursor": None, "after": None, "page": 1, "position": 1, "events": ["*"], "content": b"x"}
    made = []
    for name, function in inspect.getmembers(work, inspect.isfunction):
        if name.startswith("_") or function.__module__ != work.__name__ or name == "in_order":
            continue
        found = function(*(given.get(one, "x") for one in inspect.signature(function).parameters))
        made.append(found if isinstance(found, Request) else next(found))
    return made


async def test_there_is_work_for_every_operation(api: Native) -> None:
    requests = [(one.method, one.path) for one in _requests()]
    missing = {
        operation.name
        for operation in api.api.table.operations
        if not any(
            method == operation.method and re.fullmatch(re.sub(r"\{[a-z0-9]+\}", "[^/]+", operation.path), path)
            for method, path in requests
        )
    }
    assert missing == {"streamEvents"}, "which the clients follow by themselves"


async def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


async def test_webhooks_are_looked_after_by_the_client(api: Native, client: AsyncClient) -> None:
    made = await client.create_webhook("https://app.example.org/fax", ["fax.*"], "erp")
    assert (await client.webhook(made.id)).description == "erp"
    assert (await client.change_webhook(made.id, active=False, events=["*"])).active is False
    rotated = await client.rotate_webhook(made.id)
    assert rotated.secret != made.secret
    for number in range(1, 252):
        done = webhooks.Try(f"out_{number:032x}", "fax.sent", "FN1", api.house.now, 1, 503, 12, "why", False)
        await api.house.do(webhooks.record, made.id, done)
    kept = min(251, webhooks.MAX_TRIES_KEPT)
    assert len([one async for one in client.deliveries(made.id)]) == kept, "part by part"
    with pytest.raises(ApiError) as refused:
        await client.repeat_delivery(made.id, "out_" + "f" * 32)
    assert refused.value.code == "not_found"
    await client.remove_webhook(made.id)
    assert (await client.webhooks()).webhooks == []


async def test_a_secret_is_rotated_once_though_its_answer_is_lost() -> None:
    seen: list[httpx.Request] = []
    http = httpx.AsyncClient(transport=scripted([lost], seen))
    with pytest.raises(NoAnswer):
        await AsyncClient("https://fax.example.org", http=http).rotate_webhook("whk_1")
    assert len(seen) == 1


async def test_accounts_and_contents_are_looked_at_by_both_clients(api: Native) -> None:
    token = (await api.desk.token(scopes=["faxes:read", "faxes:write", "admin"]))["Authorization"].split()[1]
    client = AsyncClient(server_of(api), token=token)
    sent = await client.send(FAR, [("a.txt", b"Hello")])
    ident = sent.faxes[0].id
    assert [one.name for one in (await client.documents(ident)).documents] == ["a.txt"]
    assert (await client.fax_events(ident)).events[0].type == "fax.accepted"
    numbers, users = [one async for one in client.numbers()], [one async for one in client.users()]
    assert [one.name for one in users] and (await client.user(users[0].name)) == users[0]
    assert [await client.number(one.number) for one in numbers] == numbers
    assert (await client.settings()).settings["resolution"].value == "fine"

    def twice() -> tuple[list[Any], list[Any], list[Any]]:
        with Client(server_of(api), token=token) as other:
            return list(other.numbers()), list(other.users()), list(other.templates().templates)

    async with client:
        assert await asyncio.to_thread(twice) == (numbers, users, (await client.templates()).templates)
