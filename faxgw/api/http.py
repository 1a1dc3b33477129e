"""A table of routes for callers with credentials: what every request passes before its handler sees it, in this order.

Transport (credentials only over TLS, or from this machine and its proxies), maintenance, credentials (401), account and
interface (403), scope (403), rate (429), announced size of the body (413), room on the disk (507); only then may the
body come. So a wrong password is told before a bad body, and a body nobody wants is not read. What a handler raises
becomes an answer in the table's own form: an error document unless the interface wants another.

Several tables stand beside one another: each interface has its own. Followed: RFC 9110, RFC 9457, RFC 6585 (429).
"""

from __future__ import annotations

import ipaddress
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any  # JSON values

from aiohttp import HttpVersion11, web

from faxgw.api.access import Access, refusal_of
from faxgw.api.answers import REQUEST_ID, ROUTE, BodyTooSlow, Refusal
from faxgw.document.client import PagesDamaged
from faxgw.fax.access import Caller, Interface, Scope, why_not
from faxgw.fax.errors import FaxError
from faxgw.fax.limits import Buckets
from faxgw.store.engine import Store
from faxgw.store.errors import ObjectDamaged, ObjectTooLarge, OutOfSpace
from faxgw.store.files import Files, SpoolFile
from faxgw.store.scoped import Scoped
from faxgw.store.space import Watermark

REQUESTS_PER_SECOND = 500.0
"""Requests of one caller in the long run; 300 jobs a second are the goal of the house."""
BURST = 1_000.0
"""Requests of one caller at once."""
CODINGS = frozenset({"", "identity", "gzip", "deflate"})
"""What a body may be coded with; what it unpacks to counts against its limit."""
MAX_BODY = 1_000_000
"""Octets of a body unless the route says otherwise."""
RETRY_AFTER_S = 60
"""Seconds after which a client may come again during maintenance or while the disk is full."""
MAX_FORWARDED = 10
"""Addresses of X-Forwarded-For that are looked at, from the right."""
_CHUNK = 256 * 1024
_CALLER = web.RequestKey("caller", Caller)

log = logging.getLogger(__name__)

Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]
"""Serves a request of a caller who may do this."""
Admit = Callable[[str, str, Scope], Awaitable[Caller]]
"""Lets somebody in by the name and password that stood in the body, for a scope; raises Refusal."""
BodyHandler = Callable[[web.Request, Admit], Awaitable[web.StreamResponse]]
"""Serves a request whose credentials stand in its body: it reads no more of it than it needs before `Admit`."""
OpenHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
"""Serves a request of anybody: descriptions, no data."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Maintenance:
    """Whether the gateway takes requests of customers at present; the operator's switch."""

    def __init__(self) -> None:
        self.reason = ""
        """What clients are told, one sentence; empty: it takes them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every interface stands on."""

    store: Store
    files: Files
    access: Access
    watermark: Watermark
    clock: Callable[[], float]
    """Unix seconds."""
    ticks: Callable[[], float]
    """Monotonic seconds."""
    proxies: Sequence[Network] = ()
    """Reverse proxies whose X-Forwarded-For is believed, and who may hand on credentials without TLS."""
    plain_logins: bool = False
    """Take credentials without TLS from anywhere."""
    public_url: str = ""
    """How clients reach the server: `https://fax.example.org`; empty: as their requests say."""
    maintenance: Maintenance = field(default_factory=Maintenance)
    buckets: Buckets = field(default_factory=lambda: Buckets(REQUESTS_PER_SECOND, BURST))
    """Requests of each caller, over all interfaces."""

    def view(self, caller: Caller) -> Scoped:
        """The store as this caller's customer sees it."""
        return Scoped(self.store, caller.customer)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of a table."""

    method: str
    pattern: str
    handler: Handler
    scope: Scope | None
    """What the caller must be allowed; None: nothing in particular."""
    max_body: int
    stores: bool


class Api:
    """The routes of one interface.

    Args:
        ground: What it stands on.
        interface: Its name among the entitlements.
        realm: For challenges.
        answer: Makes an answer of a refusal, in the interface's own form.
        finish: Told of each answer before it leaves, with the caller where one is known; adds header fields.
    """

    def __init__(
        self,
        ground: Ground,
        interface: Interface,
        realm: str = "faxgw",
        answer: Callable[[Refusal], web.Response] = Refusal.problem,
        finish: Callable[[web.Request, web.StreamResponse, Caller | None], None] = lambda request, response, caller: (
            None
        ),
    ) -> None:
        self._ground = ground
        self._finish = finish
        self._interface = interface
        self._realm = realm
        self._answer = answer
        self._routes: list[web.AbstractRouteDef] = []

    def add(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        *,
        scope: Scope | None = None,
        max_body: int = MAX_BODY,
        stores: bool = False,
        tolerant: bool = False,
    ) -> None:
        """Add a route.

        Args:
            method: `GET`, `POST`, …; `GET` answers `HEAD` too.
            pattern: Path with `{names}`, as aiohttp has it.
            handler: Serves it.
            scope: What the caller must be allowed.
            max_body: Octets of a request's body at most.
            stores: It stores something: refused with 507 while the disk is too full.
            tolerant: Repeated slashes and one at the end are taken too (interfaces section 1.2); `pattern` then has
                no expressions of its own.
        """
        endpoint = Endpoint(method, pattern, handler, scope, max_body, stores)

        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, endpoint)

        self._mount(method, pattern, serve, tolerant)

    def add_open(self, pattern: str, handler: OpenHandler, *, tolerant: bool = False) -> None:
        """Add a route for `GET` that asks for no credentials. Arguments as for `add`."""

        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._answered(request, pattern, lambda: handler(request))

        self._mount("GET", pattern, serve, tolerant)

    def add_with_login_in_body(
        self,
        pattern: str,
        handler: BodyHandler,
        *,
        max_body: int = MAX_BODY,
        stores: bool = False,
        tolerant: bool = False,
    ) -> None:
        """Add a route for `POST` whose credentials stand in its body. Arguments as for `add`."""
        endpoint = Endpoint("POST", pattern, _never, None, max_body, stores)

        async def work(request: web.Request) -> web.StreamResponse:
            self._check_channel(request)
            address = client_address(request, self._ground.proxies)

            async def admit(name: str, password: str, scope: Scope) -> Caller:
                found = await self._ground.access.login(name, password, address, self._interface)
                if not isinstance(found, Caller):
                    raise refusal_of(found, self._realm)
                request[_CALLER] = found
                self._check_caller(found, scope)
                return found

            await self._check_size(request, endpoint)
            await _continue(request)
            return await handler(request, admit)

        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._answered(request, pattern, lambda: work(request))

        self._mount("POST", pattern, serve, tolerant)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted."""
        return self._routes

    def _mount(self, method: str, pattern: str, serve: OpenHandler, tolerant: bool) -> None:
        serve.own_limits = True  # type: ignore[attr-defined]  # WebServer leaves the body's size to this table
        path = _tolerant(pattern) if tolerant else pattern
        if method == "GET":
            self._routes.append(web.get(path, serve, allow_head=True, expect_handler=_expect_later))
        else:
            self._routes.append(web.route(method, path, serve, expect_handler=_expect_later))

    async def _serve(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        async def work() -> web.StreamResponse:
            caller = await self._admit(request, endpoint)
            await _continue(request)
            return await endpoint.handler(request, caller)

        return await self._answered(request, endpoint.pattern, work)

    async def _answered(
        self, request: web.Request, pattern: str, work: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """The answer that `work` makes, or that its refusal is."""
        request[ROUTE] = pattern
        ident = request[REQUEST_ID] = f"req_{secrets.token_hex(12)}"
        response: web.StreamResponse
        try:
            response = await work()
        except Refusal as refusal:
            response = self._answer(refusal)
        except FaxError as exc:
            log.info("request refused", extra={"event": "http_refused", "request": ident, "reason": str(exc)})
            response = self._answer(_of_error(exc))
        except web.HTTPException as exc:
            if exc.status < 400:
                raise
            response = self._answer(Refusal(exc.status, exc.text or ""))
        except BodyTooSlow:
            response = self._answer(Refusal(408, "The request's body did not come in time.", code="too_slow"))
            response.force_close()
        except web.RequestPayloadError:
            text = "The body cannot be read: it breaks off, or is not coded as Content-Encoding says."
            response = self._answer(Refusal(400, text, code="bad_request"))
            response.force_close()
        except ConnectionError:
            raise
        except Exception:  # owner of the request
            log.exception("request failed", extra={"event": "http_failed", "request": ident, "route": pattern})
            text = "The fax gateway could not do this at the moment."
            response = self._answer(Refusal(500, text, code="internal_error"))
        if not response.prepared:
            response.headers["X-Request-Id"] = ident
            self._finish(request, response, request.get(_CALLER))
        return response

    async def _admit(self, request: web.Request, endpoint: Endpoint) -> Caller:
        """Everything that is decided before the body. Raises Refusal."""
        self._check_channel(request)
        ground = self._ground
        address = client_address(request, ground.proxies)
        caller = request[_CALLER] = await ground.access.caller(request, address, self._interface, self._realm)
        self._check_caller(caller, endpoint.scope)
        _check_coding(request)
        await self._check_size(request, endpoint)
        return caller

    def _check_channel(self, request: web.Request) -> None:
        """Whether credentials may come this way at present. Raises Refusal."""
        ground = self._ground
        if not (request.secure or ground.plain_logins or _is_near(request.remote or "", ground.proxies)):
            raise Refusal(403, "Credentials are taken over TLS only.", code="tls_required")
        if ground.maintenance.reason:
            raise _later(503, ground.maintenance.reason, "maintenance")

    def _check_caller(self, caller: Caller, scope: Scope | None) -> None:
        """Whether the caller may do this now. Raises Refusal."""
        if scope is not None and not caller.may(scope):
            code, text = why_not(caller, scope)
            raise Refusal(403, text, code=code)
        if wait := self._ground.buckets.take(caller.name, self._ground.ticks()):
            headers = {"Retry-After": str(max(1, round(wait)))}
            raise Refusal(429, "There are too many requests; slow down.", code="rate_limited", headers=headers)

    async def _check_size(self, request: web.Request, endpoint: Endpoint) -> None:
        """Whether there is room for what is announced. Raises Refusal."""
        if (length := request.content_length) is not None and length > endpoint.max_body:
            raise too_large(endpoint.max_body)
        if endpoint.stores:
            try:
                await self._ground.files.require_room(self._ground.watermark)
            except OutOfSpace as exc:
                raise _later(507, exc.public, "no_room") from exc


def _check_coding(request: web.Request) -> None:
    """Whether the body's coding can be undone (RFC 9110 section 8.4). Raises Refusal."""
    given = [one.strip().lower() for one in ",".join(request.headers.getall("Content-Encoding", [])).split(",")]
    if len(given) > 1 or given[0] not in CODINGS:
        text = "The body may be coded with gzip or deflate, and not twice."
        headers = {"Accept-Encoding": "gzip, deflate"}  # RFC 7694 section 3
        raise Refusal(415, text, code="unsupported_encoding", headers=headers)


async def _never(request: web.Request, caller: Caller) -> web.StreamResponse:
    """Stands where no handler is called."""
    raise AssertionError


async def read_body(request: web.Request, limit: int = MAX_BODY) -> bytes:
    """The whole body in memory.

    Raises:
        Refusal: 413 if it is larger than `limit` octets.
    """
    body = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


async def read_json(request: web.Request, limit: int = MAX_BODY) -> Any:
    """The body as JSON (RFC 8259), whatever its Content-Type says.

    Raises:
        Refusal: 413 if it is too large, 400 if it is none.
    """
    body = await read_body(request, limit)
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, "The body is not JSON in UTF-8.", code="bad_json") from exc


async def spool_body(request: web.Request, spool: SpoolFile, limit: int) -> int:
    """Write the body to a file of the spool as it comes, in bounded memory; the octets.

    Raises:
        Refusal: 413 if it is larger than `limit` octets.
        StoreError: If it cannot be written.
    """
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            if spool.size + len(chunk) > limit:
                raise too_large(limit)
            await spool.write(chunk)
    except ObjectTooLarge as exc:
        raise too_large(limit) from exc
    return spool.size


def too_large(limit: int) -> Refusal:
    """413."""
    return Refusal(413, f"The body is larger than {limit} octets.", code="too_large", max_octets=limit)


def client_address(request: web.Request, proxies: Sequence[Network]) -> str:
    """The client's address: of the connection, or behind proxies the rightmost one that is no proxy of ours."""
    address = request.remote or ""
    if not _is_within(address, proxies):
        return address
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in [hop.strip() for hop in reversed(forwarded)][:MAX_FORWARDED]:
        try:
            ipaddress.ip_address(hop)
        except ValueError:
            return address  # what stands further left is anybody's invention
        address = hop
        if not _is_within(hop, proxies):
            return hop
    return address


def public_origin(request: web.Request, ground: Ground) -> str:
    """What an address in an answer begins with: scheme, host and port as the client knows them.

    The scheme of X-Forwarded-Proto counts only from a proxy of ours, the rightmost where there are several: it is
    what the nearest proxy was asked by.
    """
    if ground.public_url:
        return ground.public_url
    scheme = request.scheme
    if _is_within(request.remote or "", ground.proxies):
        said = ",".join(request.headers.getall("X-Forwarded-Proto", [])).rpartition(",")[2].strip().lower()
        scheme = said if said in ("http", "https") else scheme
    return f"{scheme}://{request.host}"


def _is_near(address: str, proxies: Sequence[Network]) -> bool:
    """Whether the connection comes from this machine or from a proxy of ours."""
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True  # a Unix socket
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return (mapped or host).is_loopback or _is_within(address, proxies)


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return any((mapped or host) in network for network in networks)


def _of_error(error: FaxError) -> Refusal:
    if isinstance(error, OutOfSpace):
        return _later(507, error.public, "no_room")
    if isinstance(error, ObjectDamaged | PagesDamaged):  # ours, whatever was asked for
        return Refusal(500, error.public, code="internal_error")
    return _later(503, error.public, "unavailable") if error.temporary else Refusal(422, error.public, code="refused")


def _later(status: int, text: str, code: str) -> Refusal:
    return Refusal(status, text, code=code, headers={"Retry-After": str(RETRY_AFTER_S)})


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _tolerant(pattern: str) -> str:
    """The pattern with any number of slashes where it has one, and any at its end."""
    parts = [part for part in pattern.split("/") if part]
    head = f"/{{_0:/*}}{parts[0]}" if parts else "/"
    return head + "".join(f"{{_{i}:/+}}{part}" for i, part in enumerate(parts[1:], 1)) + "{_end:/*}"


async def _expect_later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` unanswered until the caller is known (RFC 9110 section 10.1.1)."""


async def _continue(request: web.Request) -> None:
    """Ask for the body, of a client that waits to be asked."""
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
