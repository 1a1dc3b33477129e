"""Administration over HTTP: what all its interfaces have in common, and the two places where each is served.

An interface (accounts, rules, templates, papers, keeping) is an `Office`: a list of rows. They are served under
`/api/v1/admin` for customers' administrators and operators with credentials, with refusals as error documents, and as
`/admin` on the operator's socket, where who may open it is the operator. Another customer's things are answered like
those that do not exist.
"""

from __future__ import annotations

import abc
import functools
import inspect
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from faxgw.api import openapi
from faxgw.api.accesses import peer
from faxgw.api.answers import Refusal
from faxgw.api.http import MAX_BODY, Api, Ground, Handler, read_json
from faxgw.api.v1.table import Operation, Outcome, Table
from faxgw.api.v1.types import Document, Query, checked
from faxgw.fax import ids
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.fax.account import MAX_RECIPIENTS
from faxgw.fax.errors import FaxError, Stale
from faxgw.store.accounts import Author, Conflict, NotFound
from faxgw.store.templates import UnknownTemplate

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
PREFIX = "/api/v1/admin"
"""Where administrators with credentials find it."""
SOCKET_PREFIX = "/admin"
"""Where the operator's socket has it."""
MAX_WHO = 130
"""Characters of a name in the audit."""
_INTRODUCTION: Final = """\
Accounts, rules and what is kept: for customers' administrators (scope `admin`), who see their own customer and \
nothing else, and for operators (scope `operator`). Everything is JSON unless it is a file; times are Unix seconds; \
errors are `application/problem+json` (RFC 9457) with a `code`. What is not yours looks exactly like what does not \
exist.\
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One route of an interface. Its words are its handler's: the first sentence is the summary."""

    method: str
    path: str
    """Under either prefix."""
    handler: Handler
    max_body: int = MAX_BODY
    answer: type[BaseModel] | None = None
    """Of a JSON answer."""
    status: int = 200
    """Of the answer; 204 has no body."""
    media: str = ""
    """Media type of an answer that is no JSON."""
    query: type[Query] | None = None
    """Parameters; those with credentials may give no others."""
    body: type[Document] | None = None
    """A JSON body, which the handler reads."""
    octets: str = ""
    """Media type of a body that is a file."""
    operator: bool = False
    """Only for operators."""
    name: str = ""
    """`operationId`; empty: the handler's name."""
    may_be_empty: bool = False
    """204 is an answer too."""
    may_lack_body: bool = False


class Office(abc.ABC):
    """One interface of the administration.

    Args:
        ground: What it stands on.
    """

    tag: ClassVar[str]
    """Its group in the description."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    @abc.abstractmethod
    def rows(self) -> Sequence[Row]:
        """Every route."""

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """For the public server: with credentials, as error documents."""
        return Table(self._ground, self.operations()).routes()

    def operations(self) -> Sequence[Operation]:
        """Every row as the native API's table has it, which checks and describes it."""
        return [_operation(self.tag, row) for row in self.rows()]

    def control_routes(self, caller: Caller) -> Sequence[web.AbstractRouteDef]:
        """For the operator's socket, whose caller is known."""
        return [web.route(row.method, SOCKET_PREFIX + row.path, _as(caller, row.handler)) for row in self.rows()]

    def _ident(self, prefix: str) -> str:
        return ids.prefixed(prefix, self._ground.clock(), secrets.token_bytes(ids.RANDOM_OCTETS))

    def _author(self, request: web.Request, caller: Caller) -> Author:
        return Author(who_of(request, caller), self._ground.clock())


def description(ground: Ground, offices: Sequence[Office]) -> Sequence[web.AbstractRouteDef]:
    """The route of the OpenAPI document of all interfaces, for those who may use them.

    Args:
        ground: What it stands on.
        offices: The interfaces; looked at when the document is first asked for.
    """
    made: list[str] = []

    async def describe(request: web.Request, caller: Caller) -> web.Response:
        """The document."""
        if not made:
            rows = [operation for office in offices for operation in office.operations()]
            described = openapi.describe(
                rows, recipients=MAX_RECIPIENTS, summary="The administration of the fax gateway", words=_INTRODUCTION
            )
            made.append(json.dumps(described, ensure_ascii=False))
        return web.Response(text=made[0], content_type="application/json")

    api = Api(ground, Interface.API)
    api.add("GET", f"{PREFIX}/openapi.json", describe, scope=Scope.ADMIN)
    return api.routes()


def _operation(tag: str, row: Row) -> Operation:
    named = row.handler.func if isinstance(row.handler, functools.partial) else row.handler
    first, _, rest = inspect.cleandoc(named.__doc__ or "").partition("\n\n")
    summary, _, more = " ".join(first.split()).partition(". ")
    outcome = Outcome(row.status, summary.rstrip("."), row.answer, media=(row.media,) if row.media else ())
    empty = (Outcome(204, "There is nothing to tell."),) if row.may_be_empty else ()
    changes = ("conflict", "bad_json", "too_large", "too_slow") if row.method != "GET" else ()
    head, *tail = named.__name__.split("_")
    return Operation(
        name=row.name or head + "".join(word.capitalize() for word in tail),
        method=row.method,
        path=SOCKET_PREFIX + row.path,
        tag=tag,
        summary=summary.rstrip("."),
        serve=lambda call: row.handler(call.request, call.caller),
        scopes=(Scope.OPERATOR,) if row.operator else (Scope.ADMIN,),
        outcomes=(outcome, *empty),
        doc=" ".join(filter(None, [more, " ".join(rest.split())])),
        query=row.query,
        octets=row.octets,
        optional_body=row.may_lack_body,
        content={"application/json": row.body} if row.body is not None else None,
        problems=(*changes, "bad_template", "not_found"),
        max_body=row.max_body,
        operators=True,
    )


async def document_of(request: web.Request, model: type[M], limit: int = MAX_BODY) -> M:
    """The body as a document. Raises Refusal: 400, 413, 422 with every fault."""
    return checked(model, await read_json(request, limit))


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
