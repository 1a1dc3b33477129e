"""faxgw.delivery.post: what came back is told in words without secrets; nothing leads into our own network."""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

from faxgw.delivery.post import MAX_ANSWER, MAX_WORDS, post
from faxgw.egress import Egress
from tests.delivery.receiver import LOOPBACK, receiver


async def test_an_answer_is_told_and_good_when_it_is() -> None:
    async with receiver() as there:
        answer = await post(LOOPBACK, there.url + "/hook", b"body", {"X-One": "1"})
        assert (answer.status, answer.good, answer.gone, answer.detail) == (204, True, False, "204 No Content")
        (request, body) = there.seen[0]
        assert (request.method, request.path, request.headers["X-One"], body) == ("POST", "/hook", "1", b"body")
        assert request.headers["User-Agent"].startswith("faxgw/")


async def test_a_refusal_is_told_with_the_beginning_of_its_words() -> None:
    async with receiver() as there:
        there.says(500, "no\x00 room " + "x" * 1_000)
        answer = await post(LOOPBACK, there.url, b"", {})
        assert (answer.good, answer.gone) == (False, False)
        assert answer.detail.startswith("500 Internal Server Error: no  room xxx")
        assert len(answer.detail) < MAX_WORDS + 40
        there.says(410)
        assert (await post(LOOPBACK, there.url, b"", {})).gone


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as there:
        there.says(307, Location=there.url + "/elsewhere")
        assert (await post(LOOPBACK, there.url, b"secret", {})).status == 307
        assert len(there.seen) == 1


async def test_our_own_network_is_not_reached() -> None:
    async with receiver() as there:
        port = there.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254"):
            answer = await post(Egress(), f"http://{host}:{port}/", b"", {})
            assert (answer.status, answer.good) == (0, False)
            assert "not send" in answer.detail or "none that" in answer.detail, host
        assert there.seen == []


async def test_no_answer_within_the_time() -> None:
    async def stay(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with receiver() as there:
        there.answer = stay
        answer = await post(LOOPBACK, there.url, b"", {}, within=0.3)
        assert (answer.status, answer.detail) == (0, "no answer within 0 s")


async def test_nobody_there_is_told_without_the_url() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/?token=s3cret"
        answer = await post(LOOPBACK, url, b"", {})
    assert answer.status == 0
    assert "s3cret" not in answer.detail
    assert "ClientConnectorError" in answer.detail


async def test_an_endless_answer_costs_no_more_than_its_beginning() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    async with receiver() as there:
        there.answer = endless
        answer = await post(LOOPBACK, there.url, b"", {})
        assert answer.good
        assert len(answer.body) <= 65_536


async def test_an_answer_that_comes_in_pieces_is_read_whole_as_far_as_it_counts() -> None:
    """A token or a list of print jobs in two segments is one answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        length = len(pieces[0]) + len(pieces[1])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + pieces[0])
        await writer.drain()
        await taken.wait()
        writer.write(pieces[1])
        await writer.drain()
        writer.close()

    pieces, taken = (b"first,", b"second"), asyncio.Event()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        asked = asyncio.create_task(post(LOOPBACK, url, b"", {}))
        asyncio.get_running_loop().call_later(0.1, taken.set)  # after the first piece was read
        assert (await asked).body == b"first,second"
        pieces = (b"x" * MAX_ANSWER, b"y")
        assert (await post(LOOPBACK, url, b"", {})).body == b"x" * MAX_ANSWER
