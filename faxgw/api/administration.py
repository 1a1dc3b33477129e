"""Administration over HTTP: what all its interfaces have in common, and the two places where each is served.

An interface (accounts, rules, templates, papers, keeping) is an `Office`: a list of rows. They are served under
`/api/v1/admin` for customers' administrators and operators with credentials, with refusals as error documents, and as
`/admin` on the operator's socket, where who may open it is the operator. Another customer's things are answered like
those that do not exist.
"""

from __future__ import annotations

import abc
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from faxgw.api.accesses import peer
from faxgw.api.answers import Refusal
from faxgw.api.http import MAX_BODY, Api, Ground, Handler
from faxgw.fax import ids
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.fax.errors import FaxError, Stale
from faxgw.store.accounts import Author, Conflict, NotFound
from faxgw.store.templates import UnknownTemplate

T = TypeVar("T")
PREFIX = "/api/v1/admin"
"""Where administrators with credentials find it."""
SOCKET_PREFIX = "/admin"
"""Where the operator's socket has it."""
MAX_WHO = 130
"""Characters of a name in the audit."""


@dataclass(frozen=True, slots=True)
class Row:
    """One route of an interface."""

    method: str
    path: str
    """Under either prefix."""
    handler: Handler
    max_body: int = MAX_BODY


class Office(abc.ABC):
    """One interface of the administration.

    Args:
        ground: What it stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @abc.abstractmethod
    def rows(self) -> Sequence[Row]:
        """Every route."""

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """For the public server: with credentials, as error documents."""
        api = Api(self._ground, Interface.API)
        for row in self.rows():
            api.add(row.method, PREFIX + row.path, row.handler, scope=Scope.ADMIN, max_body=row.max_body)
        return api.routes()

    def control_routes(self, caller: Caller) -> Sequence[web.AbstractRouteDef]:
        """For the operator's socket, whose caller is known."""
        return [web.route(row.method, SOCKET_PREFIX + row.path, _as(caller, row.handler)) for row in self.rows()]

    def _ident(self, prefix: str) -> str:
        return ids.prefixed(prefix, self._ground.clock(), secrets.token_bytes(ids.RANDOM_OCTETS))

    def _author(self, request: web.Request, caller: Caller) -> Author:
        return Author(who_of(request, caller), self._ground.clock())


def who_of(request: web.Request, caller: Caller) -> str:
    """Who does it, for the audit: login or token; on the operator's socket whom the command line names."""
    named = caller.name if caller.login or caller.token else request.query.get("who", "operator")
    return named[:MAX_WHO]


def reader_of(request: web.Request, caller: Caller) -> str:
    """Who reads, for the audit: login or token; on the operator's socket the user whose process it is."""
    return who_of(request, caller) if caller.login or caller.token else peer(request) or who_of(request, caller)


def way_of(caller: Caller) -> str:
    """By which interface."""
    return "admin" if caller.login or caller.token else "cli"


def require_operator(caller: Caller) -> None:
    """Refuse anybody else with 403."""
    if not caller.may(Scope.OPERATOR):
        raise Refusal(403, "Only an operator of the gateway may do this.", code="scope_missing")


def customer_of(request: web.Request, caller: Caller) -> str:
    """The customer of the path, if the caller may see it; another's is one that does not exist."""
    customer = request.match_info["customer"]
    if caller.may(Scope.OPERATOR) or customer == caller.customer:
        return customer
    raise Refusal.missing(NotFound.default_public)


def owner_of(request: web.Request, caller: Caller) -> str:
    """The same of a path that may name no customer: then it is the gateway's own, empty, and an operator's."""
    if "customer" in request.match_info:
        return customer_of(request, caller)
    require_operator(caller)
    return ""


async def told(work: Awaitable[T], code: str = "refused") -> T:
    """What the store or the dispatch gives, or the refusal that a caller is told.

    Args:
        work: Reads or changes something.
        code: What a program is told of a fault that would come again.
    """
    try:
        return await work
    except (NotFound, Stale, UnknownTemplate) as exc:
        raise Refusal.missing(exc.public) from exc
    except Conflict as exc:
        raise Refusal(409, exc.public, code="conflict") from exc
    except FaxError as exc:
        if exc.temporary:
            raise
        raise Refusal(422, exc.public, code=code) from exc


def whole(request: web.Request, name: str, default: int) -> int:
    """A whole number of the query. Raises Refusal."""
    given = request.query.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) <= 18):
        raise Refusal(422, f"{name} must be a whole number.", code="invalid", param=name)
    return int(given)


def _as(caller: Caller, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request, caller)
        except Refusal as refusal:
            return web.json_response({"error": refusal.detail}, status=refusal.status)

    return serve
