"""`faxgw explain` and `faxgw destinations` as an operator types them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from faxgw.cli import main
from faxgw.client import SOCKET

CALL = {"at": 100.0, "trunk": "t1", "cause": "ok", "phase": "done"}
ENTRY = {"e164": "+331", "called_at": 100.0, "calls": [CALL], "measures": []}
REFUSED = {
    "typed": "112", "account": {"customer": "acme", "user": "", "active": True}, "number": None,
    "refused": "Emergency numbers are never dialled.",
}  # fmt: skip


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Path]:
    """A gateway that knows one destination, in a thread of its own; its data folder."""
    started, loop = threading.Event(), asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/explain", _answers(REFUSED))
        app.router.add_get("/destinations", _answers({"count": 1, "destinations": [ENTRY]}))
        app.router.add_delete("/destinations", _answers({"forgotten": "+331"}))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / SOCKET)).start()
        return runner

    def live() -> None:
        runner = loop.run_until_complete(serve())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=live)
    thread.start()
    started.wait()
    yield tmp_path
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _answers(found: object) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response(found)

    return handle


def run(data: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["--data", str(data), *words])
    return result.exit_code, result.output


def test_explain_in_words_and_as_json(gateway: Path) -> None:
    code, text = run(gateway, "explain", "112")
    assert (code, text) == (0, "“112” is not dialled for acme: Emergency numbers are never dialled.\n")
    assert json.loads(run(gateway, "explain", "112", "--json")[1]) == REFUSED


def test_destinations_listed_shown_and_forgotten(gateway: Path) -> None:
    assert "+331" in run(gateway, "destinations")[1]
    code, text = run(gateway, "destinations", "+331")
    assert code == 0 and text.startswith("+331\n1 calls are remembered")
    assert json.loads(run(gateway, "destinations", "--json")[1])["count"] == 1
    assert run(gateway, "destinations", "+331", "--forget") == (0, "+331 is forgotten\n")
    assert run(gateway, "destinations", "--forget")[0] == 2


@pytest.mark.parametrize("words", [("explain", "+331"), ("destinations",)])
def test_without_a_running_gateway_it_is_said_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, text = run(tmp_path, *words)
    assert code == 1
    assert "No gateway runs on this data folder." in text
