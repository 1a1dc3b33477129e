"""The one HTTP server: TLS, limits, errors, access log, health and metrics; it mounts the routes it is handed.

What the routes do is not known here. Every error that leaves is an `application/problem+json` document (RFC 9457)
without internals, to what is no HTTP at all or has too long a head too. The access log names the route's pattern,
never the path, which may hold a telephone number.

Followed: RFC 9110, RFC 9112, RFC 9457.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.web_protocol import RequestHandler
from pydantic import Field

from faxgw import metrics
from faxgw.api.answers import PROBLEM, REQUEST_ID, ROUTE, BodyTooSlow, problem
from faxgw.fax.errors import FaxError
from faxgw.metrics import Metrics
from faxgw.settings import ByteSize, Duration, Listener, Section, Tls

MAX_HEADERS = 100
"""Header fields of a request at most."""
MIN_RATE = 10_000
"""Octets per second that the body of a request must come with, beyond `slow_client`."""
BACKLOG = 128
"""Connections that the kernel holds until they are accepted."""
UNREAD = "bad_request"
"""Code of what could not be read."""
RETRY_AFTER = 30
"""Seconds after which a client may come again when something of ours is out of order."""

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WebSettings(Section):
    """`[http]`: the HTTP server."""

    listen: Listener = Listener("127.0.0.1", 8080)
    """`host:port`; port 0 lets the system choose."""
    tls: Tls | None = None
    """Certificate and key; without them the server speaks plain HTTP."""
    max_body: Annotated[ByteSize, Field(ge=1024)] = ByteSize(100_000_000)
    """Octets of a request's body."""
    max_header: Annotated[ByteSize, Field(ge=1024, le=65_536)] = ByteSize(8_192)
    """Octets of a request line and of a header field."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Connections at a time; further ones are closed at once."""
    keep_alive: Annotated[Duration, Field(gt=0)] = Duration(30)
    """How long a connection may be without a whole request head, at first and between requests."""
    slow_client: Annotated[Duration, Field(gt=0)] = Duration(30)
    """How long a client may keep us waiting: TLS handshake, small body, taking an answer."""
    proxies: Annotated[tuple[Network, ...], Field(max_length=100)] = ()
    """Networks of reverse proxies: their X-Forwarded-For and X-Forwarded-Proto are believed, and they may hand on
    logins without TLS."""
    public_url: Annotated[str, Field(pattern=r"^(https?://[A-Za-z0-9.:\[\]-]{1,253})?$")] = ""
    """How clients reach this server, `https://fax.example.org`: what addresses in answers begin with. Empty: as the
    request says; behind `proxies`, with the scheme of their X-Forwarded-Proto."""
    plain_logins: bool = False
    """Take names, passwords and tokens without TLS from other machines too; only for networks you trust."""


@dataclass(frozen=True, slots=True)
class PartState:
    """How one part of the gateway fares."""

    ok: bool
    detail: str = ""
    """One short sentence for an operator, without hosts, paths and numbers."""
    serves: bool = False
    """Though not ok, it is an alarm and no reason to send the clients elsewhere: the gateway is ready."""


class Health:
    """What `/health` tells: the process lives, and is ready when each of its parts is."""

    def __init__(self) -> None:
        self._parts: dict[str, Callable[[], PartState]] = {}

    def add(self, name: str, state: Callable[[], PartState]) -> None:
        """Have `state` asked for each answer. It must not block."""
        self._parts[name] = state

    def check(self) -> dict[str, PartState]:
        """The state of every part; one that cannot tell is not ready."""
        found = {}
        for name, state in self._parts.items():
            try:
                found[name] = state()
            except Exception:  # owner of the answer: a part that cannot tell must not silence the others
                log.exception("part cannot tell its state", extra={"event": "health_failed", "part": name})
                found[name] = PartState(False, "cannot tell its state")
        return found


class WebServer:
    """The server: mount routes, start, stop."""

    def __init__(self, settings: WebSettings, values: Metrics, health: Health) -> None:
        self._settings = settings
        self._metrics = values
        self._health = health
        self._app = web.Application(
            middlewares=[_named_route, _problems, self._limit_body],
            client_max_size=int(settings.max_body),
        )
        self._app.on_response_prepare.append(self._add_headers)
        self._app.add_routes([web.get("/health", self._get_health), web.get("/metrics", self._get_metrics)])
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._full = False
        self._tls: ssl.SSLContext | None = None

    def mount(self, routes: Iterable[web.AbstractRouteDef]) -> None:
        """Add routes; only before `start`."""
        self._app.add_routes(routes)

    async def start(self) -> Listener:
        """Listen.

        Returns:
            The address that was got, with the port that the system chose if it was to.

        Raises:
            OSError: If the address cannot be had.
        """
        settings = self._settings
        self._runner = web.AppRunner(
            self._app,
            access_log_class=AccessLog,
            access_log=log,
            keepalive_timeout=float(settings.keep_alive),
            lingering_time=float(settings.slow_client),
            max_line_size=int(settings.max_header),
            max_field_size=int(settings.max_header),
            max_headers=MAX_HEADERS,
            logger=log,
        )
        await self._runner.setup()
        tls = self._tls = settings.tls.server_context() if settings.tls else None
        self._server = await asyncio.get_running_loop().create_server(
            self._accept,
            settings.listen.host,
            settings.listen.port,
            ssl=tls,
            ssl_handshake_timeout=float(settings.slow_client) if tls else None,
            backlog=BACKLOG,
            start_serving=False,
        )
        for listening in self._server.sockets:
            # Accepted sockets inherit it: a client that takes no answer is dropped by the kernel (tcp(7)).
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(settings.slow_client * 1000))
        await self._server.start_serving()
        host, port = self._server.sockets[0].getsockname()[:2]
        address = Listener(host, port)
        log.info("http started", extra={"event": "http_started", "address": str(address), "tls": tls is not None})
        return address

    def reload_tls(self, tls: Tls) -> None:
        """Read certificate and key anew, for connections that come from now on; without TLS so far, nothing.

        Raises:
            OSError: If they cannot be used; the old ones stay.
        """
        tls.server_context()  # a pair that does not fit must not spoil the context in use
        if self._tls is not None:
            self._tls.load_cert_chain(tls.certificate, tls.key, password="")

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more connections, let running requests end, then close. May be called again.

        Args:
            grace: Seconds that running requests may still take; then they are cancelled.
        """
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            runner, self._runner = self._runner, None
            if runner.server is not None:
                await asyncio.sleep(0)  # what was accepted already becomes a request
                runner.server.pre_shutdown()
                await runner.server.shutdown(grace)
            await runner.cleanup()
            log.info("http stopped", extra={"event": "http_stopped"})

    def _accept(self) -> asyncio.Protocol:
        http = self._runner.server if self._runner else None
        if http is None:
            return _Refusal()
        full = len(http.connections) >= self._settings.max_connections
        if full and not self._full:
            log.warning("http is full", extra={"event": "http_full", "connections": self._settings.max_connections})
        self._full = full
        if full:
            return _Refusal()
        made = http()
        made.__class__ = _Connection  # aiohttp's server cannot be told which class to make
        return made

    @web.middleware
    async def _limit_body(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a body that says it is too large, and end the wait for one that comes too slowly."""
        length, limit = request.content_length, int(self._settings.max_body)
        own = getattr(request.match_info.handler, "own_limits", False)  # it asks for credentials first
        if length is not None and length > limit and not own:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=length)
        if not request.can_read_body:
            return await handler(request)
        seconds = self._settings.slow_client + (limit if length is None else length) / MIN_RATE
        timer = asyncio.get_running_loop().call_later(seconds, _end_body, request)
        try:
            return await handler(request)
        finally:
            timer.cancel()

    async def _get_health(self, request: web.Request) -> web.Response:
        parts = self._health.check()
        ready = all(state.ok or state.serves for state in parts.values())
        body = {
            "live": True,
            "ready": ready,
            "parts": {name: {"ok": state.ok, "detail": state.detail} for name, state in parts.items()},
        }
        return web.json_response(body, status=200 if ready else 503)

    async def _get_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._metrics.render(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """What every answer says to browsers; a route may say otherwise."""
        response.headers["Server"] = "faxgw"
        if "Content-Security-Policy" not in response.headers:
            response.headers.setdefault("X-Frame-Options", "DENY")  # for browsers that know no frame-ancestors
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if self._settings.tls is not None:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")


_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AccessLog(AbstractAccessLogger):
    """One record per answer; polls of health and metrics only at DEBUG."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the record; `time` is in seconds."""
        route = request.get(ROUTE, "none")
        level = logging.DEBUG if route in {"/health", "/metrics"} and response.status < 400 else logging.INFO
        self.logger.log(
            level,
            "http request",
            extra={
                "event": "http_request",
                "method": request.method,
                "route": route,
                "status": response.status,
                "octets": response.body_length,
                "ms": round(time * 1000, 1),
                "peer": request.remote,
                "request": request.get(REQUEST_ID, ""),
            },
        )


class _Connection(RequestHandler):
    """A connection whose answers to what cannot be read say no more than others do."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what the parser refused; anything else is a fault, and aiohttp's own business."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        log.debug("request not read", extra={"event": "http_unread", "why": type(exc).__name__})
        answer = problem(status, "The request is not HTTP that can be read, or its head is too long.", code=UNREAD)
        answer.headers.update({**_HEADERS, "Server": "faxgw"})
        answer.force_close()
        return answer


class _Refusal(asyncio.Protocol):
    """A connection too many: closed before it says anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


@web.middleware
async def _named_route(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep the route's pattern for the access log."""
    resource = request.match_info.route.resource
    request[ROUTE] = resource.canonical if resource is not None else "unknown"
    return await handler(request)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a route raises into an error document."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < 400 or exc.content_type == PROBLEM:
            raise
        kept = {name: value for name, value in exc.headers.items() if name.lower() in _KEPT}
        said = exc.text or ""
        if said == f"{exc.status}: {exc.reason}":
            said, code = _SAID.get(exc.status, ("", ""))
            return problem(exc.status, said, headers=kept, **({"code": code} if code else {}))
        return problem(exc.status, said, headers=kept)
    except FaxError as exc:
        log.info("request refused", extra={"event": "http_refused", "reason": str(exc)})
        if exc.temporary:
            return problem(503, exc.public, headers={"Retry-After": str(RETRY_AFTER)})
        return problem(422, exc.public)
    except BodyTooSlow:
        response = problem(408, "The request's body did not come in time.")
        response.force_close()
        return response
    except ConnectionError:
        raise
    except Exception:  # owner of the request
        log.exception("request failed", extra={"event": "http_failed", "route": request.get(ROUTE, "none")})
        return problem(500, "The fax gateway could not do this at the moment.")


_SAID = {
    404: ("There is nothing at this path.", "not_found"),
    405: ("This path does not know this method; the header field Allow names those it knows.", "method_not_allowed"),
}
"""What is said where no route is: sentence, and code as in docs/api.md."""
_KEPT = {"allow", "retry-after", "www-authenticate"}


def _end_body(request: web.Request) -> None:
    if not request.content.is_eof():
        request.content.set_exception(BodyTooSlow())
