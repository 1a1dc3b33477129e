"""Received faxes posted to programs: each mode, each login, each answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import pytest
from aiohttp import web

from faxgw.delivery.received_webhook import WebhookWay
from faxgw.egress import Egress
from faxgw.fax.ports import DeliveryResult
from faxgw.fax.target import Target, TargetKind
from tests.delivery.consignments import DOCUMENT, RECEPTION, delivered, target
from tests.delivery.receiver import LOOPBACK, Receiver, digest_is_right, receiver

NOW = 1_795_000_100.0


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def to(there: Receiver, mode: str, secrets: dict[str, str] | None = None, **params: str) -> Target:
    return target(TargetKind.WEBHOOK, f"{there.url}/fax", secrets, params={"mode": mode, **params})


async def send(one: Target, secrets: dict[str, str] | None = None, egress: Egress = LOOPBACK) -> DeliveryResult:
    return await delivered(WebhookWay(egress, lambda: NOW, lambda: 0.0), one, secrets)


def fax_of(mode: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """FaxDetails and the first document, as a receiver of that mode reads them."""
    if mode == "json":
        fax = json.loads(body)["Fax"]
        return fax["FaxDetails"], base64.b64decode(fax["FaxFile"][0]["FileContent"])
    root = ElementTree.fromstring(base64.b64decode(body) if mode == "base64" else body)
    if mode == "soap":
        root = root[0][0]
    found = {element.tag: element.text or "" for element in root.find("FaxDetails") or ()}
    return found, base64.b64decode(root.findtext("FaxFile/FileContent") or "")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("json", "application/json; charset=UTF-8"),
        ("soap", "text/xml; charset=utf-8"),
        ("plain", "text/xml; charset=utf-8"),
        ("base64", "text/plain; charset=us-ascii"),
    ],
)
async def test_each_of_the_vendors_modes_brings_details_and_document(there: Receiver, mode: str, kind: str) -> None:
    secrets = {"password": "p"}
    for _try in range(2):
        assert (await send(to(there, mode, secrets, user="u"), secrets)).delivered
    (request, body), (_request, again) = there.seen
    assert (request.headers["Content-Type"], body) == (kind, again)
    assert ("SOAPAction" in request.headers) == (mode == "soap")
    found, document = fax_of(mode, body)
    assert (found["JobID"], found["CalledNumber"], found["CallingNumber"]) == (
        RECEPTION, "+33199000099", "00498955500",
    )  # fmt: skip
    assert (found["BaudRate"], found["PageCount"], found["FileType"]) == ("14400", "2", "pdf")
    assert document == DOCUMENT
    assert b"UserPassword" in (base64.b64decode(body) if mode == "base64" else body)


async def test_the_native_form_is_signed_and_bears_what_rules_extracted(there: Receiver) -> None:
    """As a receiver checks it by the Standard Webhooks."""
    key = b"0123456789abcdef01234567"
    secrets = {"signing_secret": "whsec_" + base64.b64encode(key).decode()}
    assert (await send(to(there, "native", secrets), secrets)).delivered
    ((request, body),) = there.seen
    ident, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert (ident, stamp) == ("out_1", "1795000100")
    expected = base64.b64encode(hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    data = json.loads(body)["data"]
    assert (data["extracted"], data["tags"]) == ({"order": "4711"}, ["invoice"])
    assert base64.b64decode(data["documents"][0]["content"]) == DOCUMENT


async def test_basic_and_bearer_stand_in_the_header_and_not_in_the_body(there: Receiver) -> None:
    secrets = {"password": "p"}
    assert (await send(to(there, "json", secrets, user="u", auth="basic"), secrets)).delivered
    assert (await send(to(there, "native", {"token": "t"}), {"token": "t"})).delivered
    (basic, body), (bearer, _body) = there.seen
    assert basic.headers["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    assert b"Authentication" not in body
    assert bearer.headers["Authorization"] == "Bearer t"


async def test_a_digest_challenge_is_answered(there: Receiver) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if given and digest_is_right(given, "u", "p", "n"):
            return web.Response(status=204)
        return web.Response(status=401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})

    there.answer = answer
    secrets = {"password": "p"}
    assert (await send(to(there, "json", secrets, user="u", auth="digest"), secrets)).delivered


async def test_a_token_is_fetched_once_and_anew_when_it_is_refused(there: Receiver) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            asked.append(request.headers["Authorization"])
            return web.json_response({"access_token": f"t{len(asked)}", "expires_in": 600})
        good = request.headers["Authorization"] == "Bearer t2"
        return web.Response(status=204 if good else 401)

    there.answer = answer
    secrets = {"password": "p"}
    one = to(there, "json", secrets, user="u", auth="oauth2", token_url=f"{there.url}/token")
    way = WebhookWay(LOOPBACK, lambda: NOW, lambda: 0.0)
    results = [await delivered(way, one, secrets) for _try in range(3)]
    assert [result.delivered for result in results] == [False, True, True]
    assert len(asked) == 2
    there.says(500)
    refused = await delivered(WebhookWay(LOOPBACK, lambda: NOW, lambda: 0.0), one, secrets)
    assert (refused.delivered, refused.permanent) == (False, False)
    assert "no token" in refused.detail


@pytest.mark.parametrize(
    ("status", "delivered_", "permanent"),
    [
        (200, True, False), (202, True, False), (301, False, False), (400, False, False), (401, False, False),
        (404, False, False), (410, False, True), (413, False, True), (500, False, False), (503, False, False),
    ],
)  # fmt: skip
async def test_what_the_answer_means(there: Receiver, status: int, delivered_: bool, permanent: bool) -> None:
    there.says(status, Location=f"{there.url}/other")
    result = await send(to(there, "json"))
    assert (result.delivered, result.permanent) == (delivered_, permanent)
    assert len(there.seen) == 1


async def test_our_own_network_is_closed_and_a_receiver_that_is_down_is_tried_again(there: Receiver) -> None:
    result = await send(to(there, "json"), egress=Egress())
    assert (result.delivered, there.seen) == (False, [])
    there.url = "http://127.0.0.1:1"
    result = await send(to(there, "json"))
    assert (result.delivered, result.permanent) == (False, False)
