"""Requests to places that a stranger named stay out of our own network, whatever names and redirects say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from faxgw import egress
from faxgw.egress import Egress, Forbidden, Unfetched, check_url, is_open
from tests.patience import PATIENCE_S

OPEN = ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"]
CLOSED = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "::127.0.0.1", "2001:db8::1", "localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("address", OPEN)
def test_public_addresses_are_open(address: str) -> None:
    assert is_open(address, ())


@pytest.mark.parametrize("address", CLOSED)
def test_addresses_that_are_not_global_are_closed(address: str) -> None:
    """RFC 6890, and IPv4 addresses within IPv6 ones."""
    assert not is_open(address, ())


def test_a_list_opens_networks_of_ones_own() -> None:
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert is_open("10.1.2.3", allowed) and is_open("::ffff:10.1.2.3", allowed) and is_open("fd00::1", allowed)
    assert not is_open("10.2.0.1", allowed)


@pytest.mark.parametrize(
    "text",
    ["file:///etc/passwd", "ftp://example.org/x", "gopher://x", "//example.org", "x", "", "http://", "http://:80/",
     "http://[::1", "http://example.org:99999/", "http://x/" + "y" * 2_000, "https://xn--0.example/"],
)  # fmt: skip
def test_what_is_no_http_url_is_refused(text: str) -> None:
    with pytest.raises(Forbidden):
        check_url(text)


@pytest.mark.parametrize("text", ["http://127.0.0.1/", "http://[::1]:80/", "https://169.254.169.254/latest/meta-data"])
def test_an_address_of_ours_is_refused_at_once(text: str) -> None:
    with pytest.raises(Forbidden):
        Egress().check(text)


def test_a_name_is_not_asked_for_at_once() -> None:
    Egress().check("https://files.example.org/a.pdf")


class Source:
    """A server on loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        match request.path:
            case "/a.pdf":
                return web.Response(body=b"%PDF" + b"x" * 1_000)
            case "/moved":
                raise web.HTTPFound(request.query["to"])
            case "/loop":
                raise web.HTTPFound("/loop")
            case "/stream":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(100):
                    await response.write(b"x" * 1_000)
                return response
            case "/slow":
                await asyncio.sleep(30)
            case "/status":
                return web.Response(status=int(request.query["code"]))
        raise web.HTTPNotFound

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest_asyncio.fixture
async def source() -> AsyncIterator[Source]:
    made = Source()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


LOCAL = Egress((ip_network("127.0.0.1"),))


async def get(out: Egress, url: str, *, limit: int = 10_000, within: float = 10.0) -> bytes:
    async with aclosing(out.fetch(url, limit=limit, within=within)) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_a_document_is_fetched_from_an_open_address(source: Source) -> None:
    assert len(await get(LOCAL, source.url("/a.pdf"))) == 1_004
    assert len(await get(LOCAL, source.url("/moved?to=/a.pdf"))) == 1_004
    assert len(await get(LOCAL, source.url(f"/moved?to={source.url('/a.pdf')}"))) == 1_004


async def test_a_closed_address_is_never_connected(source: Source) -> None:
    for url in (source.url("/a.pdf"), source.url("/a.pdf", "localhost"), source.url("/a.pdf", "127.1")):
        with pytest.raises(Forbidden):
            await get(Egress(), url)
    assert source.asked == []


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost.localdomain", "[::1]", "169.254.169.254"])
async def test_a_redirect_into_our_network_is_not_followed(
    source: Source, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, {"localhost.localdomain": ["127.0.0.3"]})
    with pytest.raises(Forbidden):
        await get(LOCAL, source.url(f"/moved?to={source.url('/a.pdf', host)}"))
    assert len(source.asked) == 1
    with pytest.raises(Forbidden):
        await get(LOCAL, source.url("/moved?to=file:///etc/passwd"))


def _names(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> list[str]:
    """Let names lead where the test says; returns the names asked for."""
    asked: list[str] = []

    async def getaddrinfo(self: Any, host: str, port: int, **how: Any) -> list[Any]:
        asked.append(host)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_is_resolved_once_and_that_address_connected(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _names(monkeypatch, {"files.example.org": ["127.0.0.1"]})
    assert len(await get(LOCAL, source.url("/a.pdf", "files.example.org"))) == 1_004
    assert asked == ["files.example.org"]


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["169.254.169.254"]])
async def test_a_name_with_any_address_in_our_network_leads_nowhere(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _names(monkeypatch, {"rebind.example.org": addresses})
    with pytest.raises(Forbidden):
        await get(Egress(), "http://rebind.example.org/")


async def test_the_socket_itself_looks_at_its_address() -> None:
    """Whatever was resolved before: this is the last look before anything leaves."""
    with pytest.raises(Forbidden):
        Egress()._socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))


async def test_too_much_is_not_taken(source: Source) -> None:
    for path in ("/a.pdf", "/stream"):
        with pytest.raises(Unfetched) as failed:
            await get(LOCAL, source.url(path), limit=1_000)
        assert not failed.value.temporary


@pytest.mark.parametrize(
    ("code", "temporary"),
    [(500, True), (503, True), (429, True), (408, True), (404, False), (403, False), (204, False)],
)
async def test_a_status_says_whether_trying_again_helps(source: Source, code: int, temporary: bool) -> None:
    with pytest.raises(Unfetched) as failed:
        await get(LOCAL, source.url(f"/status?code={code}"))
    assert (failed.value.temporary, failed.value.public) == (temporary, f"The document's server answered {code}.")


async def test_endless_redirects_end(source: Source) -> None:
    with pytest.raises(Unfetched) as failed:
        await get(LOCAL, source.url("/loop"))
    assert not failed.value.temporary
    assert len(source.asked) == egress.MAX_REDIRECTS + 1


async def test_a_server_that_is_away_or_slow_or_unknown_may_be_asked_again(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        urls = [f"http://127.0.0.1:{closed.getsockname()[1]}/", source.url("/slow")]
        _names(monkeypatch, {})
        for url in (*urls, "http://nowhere.example.org/"):
            with pytest.raises(Unfetched) as failed:
                await get(LOCAL, url, within=0.5)
            assert failed.value.temporary
            assert "127.0.0.1" not in failed.value.public


async def test_a_connection_opens_to_checked_addresses_only() -> None:
    accepted = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Forbidden):
        await Egress().connect("127.0.0.1", port, within=5)
    assert not accepted.is_set()
    made = await Egress([ip_network("127.0.0.0/8"), ip_network("::1")]).connect("localhost", port, within=5)
    made.close()
    await asyncio.wait_for(accepted.wait(), PATIENCE_S)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        await Egress([ip_network("127.0.0.0/8")]).connect("127.0.0.1", port, within=5)
