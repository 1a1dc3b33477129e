from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from faxgw.api.answers import problem
from faxgw.fax.errors import FaxError, Refused
from faxgw.metrics import Metrics
from faxgw.settings import ByteSize, Duration, Listener, Tls
from faxgw.webserver import Health, PartState, WebServer, WebSettings
from tests.patience import PATIENCE_S

routes = web.RouteTableDef()


@routes.get("/faxes/{number}")
async def show(request: web.Request) -> web.Response:
    return web.json_response({"number": request.match_info["number"]})


@routes.post("/faxes")
async def submit(request: web.Request) -> web.Response:
    return web.json_response({"octets": len(await request.read())}, status=202)


@routes.get("/raises/{what}")
async def fail(request: web.Request) -> web.Response:
    errors: dict[str, Exception] = {
        "refused": Refused("row 5 of table x", public="The number is no number."),
        "temporary": FaxError("disk /dev/sda1 full"),
        "defect": ValueError("password is hunter2"),
        "http": web.HTTPConflict(text="The fax is on its way."),
        "login": web.HTTPUnauthorized(headers={"WWW-Authenticate": "Basic"}),
        "redirect": web.HTTPSeeOther("/faxes/1"),
    }
    raise errors[request.match_info["what"]]


@routes.get("/problem")
async def own_problem(request: web.Request) -> web.Response:
    return problem(422, "The number is no number.", code="number", param="to")


@routes.get("/page")
async def page(request: web.Request) -> web.Response:
    return web.Response(text="<p>", content_type="text/html", headers={"Content-Security-Policy": "default-src 'self'"})


class Running:
    """A started server and a client for it."""

    def __init__(self, server: WebServer, address: Listener, client: aiohttp.ClientSession, health: Health) -> None:
        self.server, self.address, self.client, self.health = server, address, client, health

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.address.host, self.address.port)


@asynccontextmanager
async def running(
    tls: Tls | None = None, extra: Iterable[web.RouteDef] = (), **settings: object
) -> AsyncIterator[Running]:
    health = Health()
    chosen = WebSettings.model_validate({"listen": Listener("127.0.0.1", 0), "tls": tls} | settings)
    server = WebServer(chosen, Metrics(), health)
    server.mount([*routes, *extra])
    address = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            yield Running(server, address, client, health)
    finally:
        await server.stop(0.5)


@pytest.fixture
async def web_() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What came until the server closed the connection."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


class TestRoutes:
    async def test_a_mounted_route_answers_at_the_address_that_start_returned(self, web_: Running) -> None:
        assert web_.address.port != 0
        async with web_.client.get("/faxes/5") as answer:
            assert (answer.status, await answer.json()) == (200, {"number": "5"})

    async def test_a_taken_port_is_an_error(self, web_: Running) -> None:
        with pytest.raises(OSError, match="in use"):
            async with running(listen=web_.address):
                pass

    async def test_it_listens_on_ipv6(self) -> None:
        async with running(listen=Listener("::1", 0)) as found, found.client.get("/faxes/5") as answer:
            assert (found.address.host, answer.status) == ("::1", 200)

    async def test_it_speaks_tls(self, make_certificate: Callable[[], tuple[Path, Path]]) -> None:
        certificate, key = make_certificate()
        async with running(Tls(certificate=certificate, key=key)) as found:
            trusted = ssl.create_default_context(cafile=str(certificate))
            url = f"https://localhost:{found.address.port}/faxes/5"
            async with found.client.get(url, ssl=trusted) as answer:
                assert answer.status == 200
                assert answer.headers["Strict-Transport-Security"].startswith("max-age=")

    async def test_after_stop_nothing_listens(self) -> None:
        async with running() as found:
            await found.server.stop()
            with pytest.raises(ConnectionRefusedError):
                await found.connect()

    async def test_running_requests_end_before_the_server_does(self) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: web.Request) -> web.Response:
            begun.set()
            await go_on.wait()
            return web.Response(text="done")

        server = WebServer(WebSettings(listen=Listener("127.0.0.1", 0)), Metrics(), Health())
        server.mount([web.get("/slow", slow)])
        address = await server.start()
        async with aiohttp.ClientSession(f"http://{address}") as client:
            request = asyncio.create_task(client.get("/slow"))
            await begun.wait()
            stopping = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            go_on.set()
            assert await (await request).text() == "done"
            await stopping

    async def test_a_request_that_outlasts_the_grace_is_cancelled(self) -> None:
        begun, cancelled = asyncio.Event(), asyncio.Event()

        async def stuck(request: web.Request) -> web.Response:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return web.Response()

        async with running(extra=[web.get("/stuck", stuck)]) as found:
            reader, writer = await found.connect()
            writer.write(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
            await found.server.stop(0.05)
            async with asyncio.timeout(PATIENCE_S):
                await cancelled.wait()
            assert await closed(reader) == b""
            writer.close()


class TestErrors:
    @pytest.mark.parametrize(
        ("path", "status", "detail"),
        [
            ("/raises/refused", 422, "The number is no number."),
            ("/raises/temporary", 503, "The fax gateway could not do this at the moment."),
            ("/raises/defect", 500, "The fax gateway could not do this at the moment."),
            ("/raises/http", 409, "The fax is on its way."),
            ("/unknown", 404, "There is nothing at this path."),
        ],
    )
    async def test_every_error_is_a_problem_document_without_internals(
        self, web_: Running, path: str, status: int, detail: str | None
    ) -> None:
        """RFC 9457 section 3."""
        async with web_.client.get(path) as answer:
            found = await answer.json(content_type="application/problem+json")
            assert answer.status == status == found["status"]
            assert found.get("detail") == detail
            assert found["type"] == "about:blank"
            text = await answer.text()
            assert not any(word in text for word in ("row 5", "/dev", "hunter2", "Traceback"))

    async def test_the_client_is_told_when_to_come_again(self, web_: Running) -> None:
        async with web_.client.get("/raises/temporary") as answer:
            assert int(answer.headers["Retry-After"]) > 0

    async def test_header_fields_that_belong_to_the_status_are_kept(self, web_: Running) -> None:
        async with web_.client.get("/raises/login") as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Basic")
        async with web_.client.delete("/faxes") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
            found = await answer.json(content_type="application/problem+json")
            assert found["code"] == "method_not_allowed" and "Allow" in found["detail"]
        async with web_.client.get("/unknown") as answer:
            assert (await answer.json(content_type="application/problem+json"))["code"] == "not_found"

    async def test_a_redirect_is_no_error(self, web_: Running) -> None:
        async with web_.client.get("/raises/redirect", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/faxes/1")

    async def test_a_route_may_say_more(self, web_: Running) -> None:
        async with web_.client.get("/problem") as answer:
            found = await answer.json(content_type="application/problem+json")
            assert (found["code"], found["param"]) == ("number", "to")

    async def test_a_defect_is_logged_once_with_its_traceback(
        self, web_: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        await web_.client.get("/raises/defect")
        (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert record.exc_info is not None


class TestHeaders:
    @pytest.mark.parametrize("path", ["/health", "/faxes/5", "/unknown", "/raises/defect"])
    async def test_every_answer_is_safe_in_a_browser(self, web_: Running, path: str) -> None:
        async with web_.client.get(path) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Server"] == "faxgw"
            assert "Strict-Transport-Security" not in answer.headers

    async def test_a_route_may_set_its_own(self, web_: Running) -> None:
        async with web_.client.get("/page") as answer:
            assert answer.headers.getall("Content-Security-Policy") == ["default-src 'self'"]
            assert "X-Frame-Options" not in answer.headers


class TestHealth:
    async def test_without_parts_it_lives_and_is_ready(self, web_: Running) -> None:
        async with web_.client.get("/health") as answer:
            assert (answer.status, await answer.json()) == (200, {"live": True, "ready": True, "parts": {}})

    async def test_one_part_that_is_not_ready_makes_503_and_is_named(self, web_: Running) -> None:
        web_.health.add("store", lambda: PartState(True))
        web_.health.add("trunk", lambda: PartState(False, "not registered"))
        async with web_.client.get("/health") as answer:
            assert answer.status == 503
            assert await answer.json() == {
                "live": True,
                "ready": False,
                "parts": {
                    "store": {"ok": True, "detail": ""},
                    "trunk": {"ok": False, "detail": "not registered"},
                },
            }

    async def test_an_alarm_of_a_part_that_does_its_work_makes_no_503(self, web_: Running) -> None:
        """One customer's server with another host key sends nobody elsewhere."""
        web_.health.add("targets", lambda: PartState(False, "another host key", serves=True))
        async with web_.client.get("/health") as answer:
            told = await answer.json()
            assert (answer.status, told["ready"], told["parts"]["targets"]["ok"]) == (200, True, False)

    async def test_a_part_that_cannot_tell_is_not_ready(self, web_: Running) -> None:
        def broken() -> PartState:
            raise OSError("/var/lib/secret")

        web_.health.add("store", broken)
        async with web_.client.get("/health") as answer:
            assert (answer.status, (await answer.json())["parts"]["store"]["ok"]) == (503, False)
            assert "secret" not in await answer.text()


async def test_metrics_are_served_in_prometheus_form(web_: Running) -> None:
    async with web_.client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "faxgw_build_info{" in await answer.text()


class TestLimits:
    async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(self) -> None:
        async with running(max_body=ByteSize(1024)) as found:
            reader, writer = await found.connect()
            writer.write(b"POST /faxes HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
            writer.close()

    async def test_a_body_that_turns_out_too_large_is_refused(self) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield bytes(1000)

        async with running(max_body=ByteSize(2000)) as found:
            async with found.client.post("/faxes", data=chunks()) as answer:
                assert answer.status == 413
            async with found.client.post("/faxes", data=bytes(2000)) as answer:
                assert await answer.json() == {"octets": 2000}

    @pytest.mark.parametrize(
        "head",
        [
            b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 200 + b"\r\n",
            b"\x16\x03\x01\x02\x00 no http at all\r\n\r\n",
        ],
        ids=["line", "field", "fields", "no http"],
    )
    async def test_a_head_beyond_the_limits_is_answered_400(self, head: bytes) -> None:
        async with running(max_header=ByteSize(4096)) as found:
            reader, writer = await found.connect()
            writer.write(head)
            said = await closed(reader)
            assert said.startswith(b"HTTP/1.0 400 ")
            fields, _, body = said.partition(b"\r\n\r\n")
            assert b"Content-Type: application/problem+json" in fields and b"\r\nServer: faxgw\r\n" in fields
            assert b"aiohttp" not in said and b"X-Content-Type-Options: nosniff" in fields
            assert json.loads(body)["code"] == "bad_request" and b"aaa" not in body
            writer.close()

    async def test_a_client_that_sends_no_whole_head_is_dropped(self) -> None:
        async with running(keep_alive=Duration(1)) as found:
            reader, writer = await found.connect()
            writer.write(b"GET /health HTTP/1.1\r\n")
            assert await closed(reader) == b""
            writer.close()

    async def test_an_idle_connection_is_dropped(self) -> None:
        async with running(keep_alive=Duration(1)) as found:
            reader, writer = await found.connect()
            writer.write(b"GET /faxes/5 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await closed(reader)).startswith(b"HTTP/1.1 200 ")
            writer.close()

    async def test_a_body_that_comes_too_slowly_is_answered_408(self, caplog: pytest.LogCaptureFixture) -> None:
        """RFC 9110 section 15.5.9."""
        async with running(slow_client=Duration(1)) as found:
            reader, writer = await found.connect()
            writer.write(b"POST /faxes HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
            answer = await closed(reader)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 408
            assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
            writer.close()

    async def test_a_client_that_takes_no_answer_is_dropped(self) -> None:
        dropped = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                while True:
                    await response.write(bytes(1_000_000))
            finally:
                dropped.set()

        async with running(slow_client=Duration(0.2), extra=[web.get("/endless", endless)]) as found:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, (found.address.host, found.address.port))
                await asyncio.get_running_loop().sock_sendall(sock, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
                async with asyncio.timeout(PATIENCE_S):
                    await dropped.wait()

    async def test_a_connection_too_many_is_closed_and_the_others_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        async with running(max_connections=2) as found:
            held = [await found.connect() for _ in range(2)]
            for _ in range(3):
                reader, writer = await found.connect()
                assert await closed(reader) == b""
                writer.close()
            for reader, writer in held:
                writer.write(b"GET /faxes/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert (await closed(reader)).startswith(b"HTTP/1.1 200 ")
                writer.close()
            assert [record.message for record in caplog.records].count("http is full") == 1
            async with found.client.get("/faxes/5") as answer:
                assert answer.status == 200


class TestAccessLog:
    async def test_it_names_the_route_and_never_the_number(
        self, web_: Running, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "faxgw")
        for path in ("/faxes/+33123456789?to=0123456789", "/nothing/0123456789"):
            await web_.client.get(path)
        records = [record.__dict__ for record in caplog.records if record.message == "http request"]
        assert [(record["route"], record["status"]) for record in records] == [
            ("/faxes/{number}", 200),
            ("unknown", 404),
        ]
        assert "123456789" not in str(records)

    async def test_polls_are_quiet(self, web_: Running, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "faxgw.webserver")
        for path in ("/health", "/metrics", "/faxes/5"):
            await web_.client.get(path)
        assert [record.__dict__["route"] for record in caplog.records] == ["/faxes/{number}"]
