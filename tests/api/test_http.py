"""What every request passes before its handler sees it, and in which order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from faxgw.api import http
from faxgw.api.answers import Refusal
from faxgw.api.http import Api, Ground, client_address, public_origin, read_body, read_json, spool_body
from faxgw.document.client import PagesDamaged
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.fax.errors import FaxError, Refused
from faxgw.fax.limits import Buckets
from faxgw.store.errors import ObjectDamaged
from faxgw.store.files import Kind
from faxgw.store.space import Watermark
from tests.api.desk import Desk, desk
from tests.house import House
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")

FULL = Watermark(10**15)
LIMIT = 1_000


async def numbers(request: web.Request, caller: Caller) -> web.Response:
    return web.json_response(dict(request.match_info))


async def take(request: web.Request, caller: Caller) -> web.Response:
    return web.json_response({"octets": len(await read_body(request, LIMIT))})


async def parse(request: web.Request, caller: Caller) -> web.Response:
    return web.json_response({"read": await read_json(request)})


async def fail(request: web.Request, caller: Caller) -> web.Response:
    errors: dict[str, Exception] = {
        "refused": Refused("row 5 of table x", public="The number is no number."),
        "temporary": FaxError("disk /dev/sda1 full"),
        "damaged object": ObjectDamaged("/var/lib/secret"),
        "damaged pages": PagesDamaged("strip 7"),
        "defect": ValueError("password is hunter2"),
        "http": web.HTTPConflict(text="The fax is on its way."),
        "own": Refusal(422, "It is no number.", code="bad_number", param="to", hint="+33"),
        "missing": Refusal.missing(),
    }
    raise errors[request.match_info["what"]]


async def about(request: web.Request) -> web.Response:
    return web.Response(text="about")


def tables(ground: Ground) -> list[Sequence[web.AbstractRouteDef]]:
    async def spool(request: web.Request, caller: Caller) -> web.Response:
        async with await ground.files.open_temp(Kind.OBJECT) as file:
            octets = await spool_body(request, file, LIMIT)
            stored = await file.commit()
        return web.json_response({"octets": octets, "stored": stored.size})

    api = Api(ground, Interface.API)
    api.add("GET", "/v/{customer}/faxes/{fax}", numbers, tolerant=True)
    api.add("POST", "/take", take, max_body=LIMIT, stores=True)
    api.add("POST", "/spool", spool, max_body=10 * LIMIT)
    api.add("POST", "/json", parse)
    api.add("GET", "/fail/{what}", fail)
    api.add("POST", "/secret", numbers, scope=Scope.ADMIN)
    api.add_open("/about", about)
    plain = Api(ground, Interface.REST, answer=lambda refusal: web.Response(status=refusal.status))
    plain.add("GET", "/plain/{what}", fail)
    return [api.routes(), plain.routes()]


@pytest_asyncio.fixture(loop_scope="session")
async def door(house: House) -> AsyncIterator[Desk]:
    async with desk(house, tables) as made:
        yield made


async def ask(door: Desk, method: str, path: str, **how: Any) -> tuple[int, Any]:
    async with door.client.request(method, path, **how) as answer:
        body = await answer.read()
        return answer.status, (await answer.json(content_type=None) if body else None)


# --------------------------------------------------------------------------------------------------------- routes


@pytest.mark.parametrize(
    "path", ["/v/acme/faxes/F1", "//v//acme///faxes//F1", "/v/acme/faxes/F1/", "/v/acme/faxes/F1//"]
)
async def test_slashes_too_many_are_taken_where_a_vendors_client_sends_them(door: Desk, path: str) -> None:
    """Interfaces section 1.2: its Go SDK sends /rest/v1//{custNr}/…"""
    auth = await door.login("erp")
    async with door.client.get(f"http://{door.client._base_url.authority}{path}", headers=auth) as answer:  # type: ignore[union-attr]
        found = await answer.json()
    assert (found["customer"], found["fax"]) == ("acme", "F1")


async def test_what_is_open_asks_for_no_credentials(door: Desk) -> None:
    async with door.client.get("/about") as answer:
        assert (answer.status, await answer.text()) == (200, "about")
    async with door.client.get("/about", headers={"Authorization": "Basic !"}) as answer:
        assert answer.status == 200


async def test_every_answer_has_a_number_and_the_log_has_it_without_the_path(
    door: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    auth = await door.login("erp")
    async with door.client.get("/v/acme/faxes/+33123456789", headers=auth) as answer:
        ident = answer.headers["X-Request-ID"]
    assert ident.startswith("req_")
    (record,) = [record for record in caplog.records if record.message == "http request"]
    assert (record.request, record.route) == (ident, "/v/{customer}/faxes/{fax}")  # type: ignore[attr-defined]
    assert "33123456789" not in str([record.__dict__ for record in caplog.records])


@pytest.mark.parametrize(
    "what, status, members",
    [
        ("refused", 422, {"detail": "The number is no number.", "code": "refused"}),
        ("temporary", 503, {"code": "unavailable"}),
        ("damaged object", 500, {"detail": "The stored document is damaged.", "code": "internal_error"}),
        ("damaged pages", 500, {"detail": "The stored pages of this fax are damaged.", "code": "internal_error"}),
        ("defect", 500, {"code": "internal_error"}),
        ("http", 409, {"detail": "The fax is on its way."}),
        ("own", 422, {"detail": "It is no number.", "code": "bad_number", "param": "to", "hint": "+33"}),
        ("missing", 404, {"code": "not_found"}),
    ],
)
async def test_what_a_handler_raises_is_answered_in_the_tables_form(
    door: Desk, what: str, status: int, members: dict[str, str]
) -> None:
    auth = await door.login("erp")
    async with door.client.get(f"/fail/{what}", headers=auth) as answer:
        found = await answer.json()
        assert answer.status == found["status"] == status and members.items() <= found.items()
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert "hunter2" not in str(found) and "sda1" not in str(found)
        assert ("Retry-After" in answer.headers) == (status == 503)
    async with door.client.get(f"/plain/{what}", headers=auth) as answer:
        assert (answer.status, await answer.read()) == (status, b"")


# ---------------------------------------------------------------------------------------------------------- order


async def raw(door: Desk, head: str, body: bytes = b"") -> tuple[bytes, bytes]:
    """What comes back for a request of which only `body` is sent, until the end of the answer's head, and after."""
    host, port = str(door.client._base_url.host), int(door.client._base_url.port or 0)  # type: ignore[union-attr]
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(head.replace("\n", "\r\n").encode() + body)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readuntil(b"\r\n\r\n"), b""
    finally:
        writer.close()
        await writer.wait_closed()


async def test_credentials_are_checked_before_a_body_is_read(door: Desk) -> None:
    """Issue: bad credentials before bad bodies; 200 MB are refused without being read."""
    auth = (await door.login("erp"))["Authorization"]
    head = "POST /take HTTP/1.1\nHost: x\nContent-Length: 200000000\nAuthorization: {}\n\n"
    answer, _ = await raw(door, head.format("Basic eDp5"), b"{")
    assert answer.startswith(b"HTTP/1.1 401 ")
    answer, _ = await raw(door, head.format(auth), b"{")
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_waits_to_be_asked_is_asked_only_when_it_may(door: Desk) -> None:
    """RFC 9110 section 10.1.1."""
    auth = (await door.login("erp"))["Authorization"]
    head = "POST /take HTTP/1.1\nHost: x\nContent-Length: {}\nExpect: 100-continue\nAuthorization: {}\n\n"
    assert (await raw(door, head.format(5, "Basic eDp5")))[0].startswith(b"HTTP/1.1 401 ")
    assert (await raw(door, head.format(LIMIT + 1, auth)))[0].startswith(b"HTTP/1.1 413 ")
    assert (await raw(door, head.format(5, auth)))[0].startswith(b"HTTP/1.1 100 ")
    status, found = await ask(door, "POST", "/take", data=b"12345", headers={"Authorization": auth}, expect100=True)
    assert (status, found) == (200, {"octets": 5})


async def test_a_body_without_a_length_is_bounded_as_it_comes(door: Desk) -> None:
    auth = await door.login("erp")

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 100

    for path in ("/take", "/spool"):
        assert (await ask(door, "POST", path, data=pieces(10), headers=auth))[0] == 200
        status, found = await ask(door, "POST", path, data=pieces(11), headers=auth)
        assert (status, found["code"], found["max_octets"]) == (413, "too_large", LIMIT)


async def test_a_body_goes_to_the_spool_as_it_comes(door: Desk) -> None:
    auth = await door.login("erp")
    assert await ask(door, "POST", "/spool", data=b"x" * 999, headers=auth) == (200, {"octets": 999, "stored": 999})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"NaN", b"[" * 100_000, b'{"a": Infinity}'])
async def test_what_is_no_json_is_said(door: Desk, body: bytes) -> None:
    auth = await door.login("erp")
    status, found = await ask(door, "POST", "/json", data=body, headers=auth)
    assert (status, found["code"]) == (400, "bad_json")


async def test_a_missing_scope_is_told_before_the_rate(door: Desk) -> None:
    auth = await door.login("erp")
    status, found = await ask(door, "POST", "/secret", headers=auth)
    assert (status, found["code"]) == (403, "scope_missing")


async def test_a_caller_who_asks_too_often_is_slowed_down_and_no_other(house: House) -> None:
    """RFC 6585 section 4."""
    async with desk(house, tables, buckets=Buckets(0.25, 2)) as door:
        erp, other = await door.login("erp"), await door.login("other")
        path = "/v/acme/faxes/F1"
        assert [(await ask(door, "GET", path, headers=erp))[0] for _ in range(3)] == [200, 200, 429]
        async with door.client.get(path, headers=erp) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "4")
        assert (await ask(door, "GET", path, headers=other))[0] == 200
        door.ticks.now += 4
        assert (await ask(door, "GET", path, headers=erp))[0] == 200


async def test_a_full_disk_refuses_what_would_be_stored(house: House) -> None:
    """Reliability rule 11."""
    async with desk(house, tables, watermark=FULL) as door:
        auth = await door.login("erp")
        async with door.client.post("/take", data=b"x", headers=auth) as answer:
            assert (answer.status, (await answer.json())["code"]) == (507, "no_room")
            assert int(answer.headers["Retry-After"]) > 0
        assert (await ask(door, "POST", "/json", data=b"1", headers=auth))[0] == 200


async def test_maintenance_is_told(door: Desk) -> None:
    auth = await door.login("erp")
    door.ground.maintenance.reason = "Back at 14:00."
    async with door.client.get("/v/acme/faxes/F1", headers=auth) as answer:
        found = await answer.json()
        assert (answer.status, found["detail"], answer.headers["Retry-After"]) == (503, "Back at 14:00.", "60")
    door.ground.maintenance.reason = ""
    assert (await ask(door, "GET", "/v/acme/faxes/F1", headers=auth))[0] == 200


async def test_credentials_come_over_tls_or_from_near(door: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = await door.login("erp")
    monkeypatch.setattr(http, "_is_near", lambda address, proxies: False)
    status, found = await ask(door, "GET", "/v/acme/faxes/F1", headers=auth)
    assert (status, found["code"]) == (403, "tls_required")


# ------------------------------------------------------------------------------------------------------ addresses


class Transport(asyncio.Transport):
    def __init__(self, peer: str) -> None:
        super().__init__({"peername": (peer, 5000)})


PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/64"))


@pytest.mark.parametrize(
    "peer, forwarded, address",
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.66, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("2001:db8::5", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ],
)
async def test_the_clients_address_is_the_one_that_our_own_proxies_saw(peer: str, forwarded: str, address: str) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = make_mocked_request("GET", "/", headers, transport=Transport(peer))
    assert client_address(request, PROXIES) == address


@pytest.mark.parametrize(
    "peer, said, scheme",
    [
        ("192.0.2.1", ["https"], "http"),
        ("10.0.0.1", ["https"], "https"),
        ("10.0.0.1", [], "http"),
        ("10.0.0.1", ["http, HTTPS "], "https"),
        ("10.0.0.1", ["https", "http"], "http"),
        ("10.0.0.1", ["javascript"], "http"),
    ],
    ids=["no proxy of ours", "a proxy", "it says nothing", "the nearest proxy counts", "in two fields", "no scheme"],
)
async def test_addresses_in_answers_have_the_scheme_that_our_own_proxy_was_asked_by(
    house: House, peer: str, said: list[str], scheme: str
) -> None:
    headers = CIMultiDict([("Host", "fax.example.org"), *(("X-Forwarded-Proto", one) for one in said)])
    request = make_mocked_request("GET", "/", headers, transport=Transport(peer))
    async with desk(house, tables, proxies=PROXIES) as made:
        assert public_origin(request, made.ground) == f"{scheme}://fax.example.org"


async def test_the_configured_address_counts_before_all_that_a_request_says(house: House) -> None:
    headers = {"Host": "10.0.0.9:8080", "X-Forwarded-Proto": "http"}
    request = make_mocked_request("GET", "/", headers, transport=Transport("10.0.0.1"))
    async with desk(house, tables, proxies=PROXIES, public_url="https://fax.example.org") as made:
        assert public_origin(request, made.ground) == "https://fax.example.org"


@pytest.mark.parametrize(
    "address, near",
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.1.2.3", True),
        ("", True),
        ("192.0.2.1", False),
        ("2001:db8:1::1", False),
    ],
)
async def test_what_is_near(address: str, near: bool) -> None:
    assert http._is_near(address, PROXIES) is near
