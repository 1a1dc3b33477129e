"""The client against gateways that are not there, do not answer, or answer nonsense."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from faxgw import client
from faxgw.client import Control, NotRunning, Unwilling


@contextlib.asynccontextmanager
async def gateway(folder: Path, answer: web.Response | None) -> AsyncIterator[list[str]]:
    """Answers everything with the same; None: never. Yields what was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path_qs}")
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(folder / client.SOCKET)).start()
    try:
        yield asked
    finally:
        await runner.cleanup()


async def test_ids_are_put_into_the_path_without_anything_that_could_lead_elsewhere(tmp_path: Path) -> None:
    async with gateway(tmp_path, web.json_response({"faxes": {"FN1": "held"}})) as asked:
        assert await Control(tmp_path).wish("../FN1?x=/", "hold", "bert") == {"FN1": "held"}
    assert asked == ["POST /faxes/FN1x/hold?who=bert"]


async def test_numbers_and_facts_of_a_mail_are_asked_as_parameters(tmp_path: Path) -> None:
    async with gateway(tmp_path, web.json_response({"message": "msg_1", "duplicate_of": ""})) as asked:
        await Control(tmp_path).send(b"mail", ["+331", "+332"], customer="acme", subject="a&b")
    assert asked == ["POST /send?number=%2B331&number=%2B332&customer=acme&subject=a%26b"]


async def test_a_gateway_that_does_not_answer_in_time_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.05)
    async with gateway(tmp_path, None):
        with pytest.raises(NotRunning) as failed:
            await Control(tmp_path).status()
    assert failed.value.public == "The gateway did not answer."


async def test_a_socket_nobody_listens_on_is_no_gateway(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as failed:
        await Control(tmp_path).find("FN000000")
    assert failed.value.public == "No gateway runs on this data folder."


@pytest.mark.parametrize(
    "answer, words",
    [
        (web.json_response({"error": "There is no fax FN1."}, status=404), "There is no fax FN1."),
        (web.Response(text="500 Internal Server Error", status=500), "The gateway answered 500."),
        (web.json_response(["odd"], status=400), "The gateway answered 400."),
    ],
)
async def test_a_refusal_is_given_in_the_gateways_words(tmp_path: Path, answer: web.Response, words: str) -> None:
    async with gateway(tmp_path, answer):
        with pytest.raises(Unwilling) as refused:
            await Control(tmp_path).tiff("FN000001")
    assert refused.value.public == words
    assert not refused.value.temporary
