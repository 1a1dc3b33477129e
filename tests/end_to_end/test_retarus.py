"""The vendor's own Python client against a real gateway: sends, polls until OK, deletes; and a document by URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.api.desk import basic
from tests.end_to_end.world import Gateway, gateway_at, pdf
from tests.sdk.client import drive

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

USER = """addresses = ["{alice}"]

[[customer.user]]
name = "erp"
login = "erp"
password = "secret"

[[customer.user]]
name = "sap"
login = "sap"
password = "secret"

[api]
retarus = true
fetch_networks = ["127.0.0.1/32"]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    changes = {'addresses = ["{alice}"]\n': USER}
    async with gateway_at(tmp_path_factory.mktemp("retarus"), "33000-33999", changes=changes) as made:
        yield made


async def sent_by_the_client(gateway: Gateway, how: str, login: str, number: str, letter: Path) -> None:
    steps: list[list[Any]] = [
        ["send", number, str(letter), {"ToName": "Mme Durand"}],
        ["poll"], ["list"], ["bulk", "GET"], ["delete"], ["get"], ["delete_all"],
    ]  # fmt: skip
    sent, done, listed, bulk, deleted, gone, rest = await drive(how, gateway.http, steps, login=login)
    (recipient,) = done["recipientStatus"]
    assert (recipient["status"], recipient["reason"], done["pages"]) == ("OK", "OK", 1)
    assert recipient["properties"] == [{"key": "ToName", "value": "Mme Durand"}]
    assert recipient["sentToNumber"] == number.replace("+", "00")
    assert recipient["durationInSecs"] > 0 and recipient["sentTs"].endswith("Z")
    assert listed == bulk == {"reports": [done]}
    assert deleted == {"jobId": sent["jobId"], "deleted": True}
    assert (gone, rest) == (False, {"reports": []})
    (record,) = await gateway.records(number[-4:])
    assert len(gateway.pages_received(record)) == 1


async def test_the_vendors_client_sends_faxes_sync_and_async_and_polls_until_they_are_ok(
    gateway: Gateway, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(pdf(1, 3))
    await asyncio.gather(
        sent_by_the_client(gateway, "sync", "erp", "+33199000000", letter),
        sent_by_the_client(gateway, "async", "sap", "+33199000001", letter),
    )


class Letter(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = pdf(1, 3)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


async def test_a_document_is_fetched_from_its_url_and_faxed(gateway: Gateway) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Letter)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/letter.pdf"
        body = {"recipients": [{"number": "+33199000002"}], "documents": [{"name": "letter.pdf", "reference": url}]}
        async with (
            aiohttp.ClientSession(headers=basic("erp", "secret")) as client,
            client.post(f"{gateway.http}/rest/v1/acme/fax", json=body) as answer,
        ):
            assert answer.status == 200
        (record,) = await gateway.records("0002", within=60.0)
        assert len(gateway.pages_received(record)) == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
