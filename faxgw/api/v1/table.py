"""What an operation of the native API is, and how it is served: one row holds its path, its types and its words.

A row is the single source: `Table.routes` serves it, `faxgw.api.openapi` describes it. What has passed the gate of
`api.http` (credentials, scope, rate, size) is checked against the row's types here, before its handler sees it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any  # an operation's own models

from aiohttp import web
from pydantic import BaseModel

from faxgw.api.answers import Refusal
from faxgw.api.http import MAX_BODY, Api, Ground, OpenHandler, read_body
from faxgw.api.v1 import patterns, problems
from faxgw.api.v1.types import Document, Query, checked
from faxgw.fax.access import Caller, Interface, Scope, why_not
from faxgw.formats.json_body import BadJson, parse_json

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class PathParam:
    """A part of a path."""

    pattern: str
    """What it must look like; anything else is not there (404)."""
    doc: str
    example: str


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PATH_PARAMS: Mapping[str, PathParam] = {
    "fax": PathParam(r"(FN[A-Z0-9]{20}|rcv_[0-9a-f]{32})", "Id of a fax, sent or received.", "FN0123456789ABCDEFGHIJ"),
    "job": PathParam(r"F[A-MO-Z0-9][A-Z0-9]{20}", "Id of a job.", "F0123456789ABCDEFGHIJK"),
    "page": PathParam(r"[1-9][0-9]{0,3}", "Number of a page, from 1.", "1"),
    "position": PathParam(r"[1-9][0-9]{0,3}", "Position of a document, from 1.", "1"),
    "attempt": PathParam(r"(att|rcv)_[0-9a-f]{32}", "Id of a call.", "att_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "e164": PathParam(r"\+[1-9][0-9]{3,14}", "Number in international form.", "+33123456789"),
    "user": PathParam(patterns.USER[1:-1], "Name of a user.", "anna"),
    "kind": PathParam(r"(cover|overlay)", "What a template is for.", "cover"),
    "name": PathParam(r"[^\x00-\x1f\x7f/]{1,200}", "Name of a template.", "letter"),
    "message": PathParam(r"out_[0-9a-f]{32}", "The webhook-id of a message.", "out_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "customer": PathParam(_NAME, "Id of a customer.", "acme"),
    "profile": PathParam(_NAME, "Name of a profile.", "office"),
    "login": PathParam(r"[^\x00-\x20\x7f:/][^\x00-\x1f\x7f:/]{0,254}", "Name of a login.", "erp"),
    "domain": PathParam(r"[A-Za-z0-9.-]{1,253}", "A fax domain.", "fax.example.org"),
    "token": PathParam(r"tok_[0-9a-z]{1,40}", "Id of a token.", "tok_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "directory": PathParam(_NAME, "Name of a directory.", "people"),
    "target": PathParam(r"[a-z0-9][a-z0-9._-]{0,63}", "Name of a target.", "archive"),
    "rule": PathParam(r"rul_[0-9a-z]{1,40}", "Id of a rule.", "rul_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "reception": PathParam(r"rcv_[0-9a-f]{4,32}", "Id of a received fax.", "rcv_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "hold": PathParam(r"hld_[0-9a-z]{1,40}", "Id of a hold.", "hld_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "paper": PathParam(r"pap_[0-9a-z]{1,40}", "Id of a paper.", "pap_0193f0c0a1b27cc3a5d4e6f708192a3b"),
    "verdict": PathParam(r"(junk|good)", "What it is.", "good"),
    "webhook": PathParam(r"whk_[0-9a-f]{32}", "Id of a webhook.", "whk_0193f0c0a1b27cc3a5d4e6f708192a3b"),
}
"""Every name that stands in a path."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer that an operation may give."""

    status: int
    doc: str
    model: type[BaseModel] | None = None
    """Of a JSON answer."""
    media: Sequence[str] = ()
    """Media types of another answer; of text/event-stream `model` is what an event's data is."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Name → what it says."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose path, parameters and body are known to be right."""

    request: web.Request
    caller: Caller
    path: Mapping[str, str]
    query: Any
    """The operation's `query`, or None."""
    body: Any
    """The operation's `body`, or None."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A JSON answer."""

    model: BaseModel | None
    """None: there is no body."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Serve = Callable[[Call], Awaitable[Reply | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row."""

    name: str
    """`operationId`, unique."""
    method: str
    path: str
    """Under PREFIX."""
    tag: str
    summary: str
    serve: Serve
    scopes: tuple[Scope, ...]
    """One of them is enough."""
    outcomes: tuple[Outcome, ...]
    doc: str = ""
    query: type[Query] | None = None
    body: type[Document] | None = None
    optional_body: bool = False
    octets: str = ""
    """Media type of a body that is a file."""
    content: Mapping[str, type[BaseModel]] | None = None
    """Media types and models of a body that the handler reads by itself."""
    headers: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Request header → (what it is for, JSON schema)."""
    problems: tuple[str, ...] = ()
    """Codes beside those that every operation has."""
    max_body: int = MAX_BODY
    stores: bool = False
    operators: bool = False
    """Operators are served too, who belong to no customer."""

    @property
    def params(self) -> Sequence[str]:
        """Names in the path, in their order."""
        return re.findall(r"\{([a-z0-9]+)\}", self.path)


class Table:
    """The operations, mounted.

    Args:
        ground: What they stand on.
        operations: The rows.
    """

    def __init__(self, ground: Ground, operations: Iterable[Operation]) -> None:
        self._ground = ground
        self.operations = tuple(operations)
        """The rows."""

    def routes(self, pages: Mapping[str, OpenHandler] | None = None) -> Sequence[web.AbstractRouteDef]:
        """What is to be mounted.

        Args:
            pages: Paths under PREFIX that anybody may read: the description of the API.
        """
        api = Api(self._ground, Interface.API, answer=problems.answer, finish=self._finish)
        for operation in self.operations:
            api.add(
                operation.method,
                PREFIX + operation.path,
                self._handler(operation),
                scope=operation.scopes[0] if len(operation.scopes) == 1 else None,
                max_body=operation.max_body,
                stores=operation.stores,
            )
        for path, page in (pages or {}).items():
            api.add_open(PREFIX + path, page)
        return api.routes()

    def _handler(self, operation: Operation) -> Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request, caller: Caller) -> web.StreamResponse:
            _check_caller(operation, caller)
            path = _path_of(operation, request)
            query = None if operation.query is None else checked(operation.query, _query_of(operation.query, request))
            if operation.query is None and request.query:
                checked(Query, dict.fromkeys(request.query))
            body = None if operation.body is None else await _body_of(operation, request)
            reply = await operation.serve(Call(request, caller, path, query, body))
            if not isinstance(reply, Reply):
                return reply
            return answer(request, reply)

        return handle

    def _finish(self, request: web.Request, response: web.StreamResponse, caller: Caller | None) -> None:
        """Say how many requests are left (RateLimit fields, IETF draft `ratelimit-headers`)."""
        if caller is None:
            return
        buckets = self._ground.buckets
        left, until_full = buckets.left(caller.name, self._ground.ticks())
        window = round(buckets.burst / buckets.rate)
        response.headers["RateLimit-Policy"] = f'"requests";q={round(buckets.burst)};w={max(1, window)}'
        response.headers["RateLimit"] = f'"requests";r={int(left)};t={round(until_full)}'


def answer(request: web.Request, reply: Reply) -> web.Response:
    """The answer; of a GET with an ETag, and 304 where the client has it already (RFC 9110 section 13.1.2)."""
    if reply.model is None:
        return web.Response(status=reply.status, headers=reply.headers)
    text = json.dumps(reply.model.model_dump(mode="json", by_alias=True), ensure_ascii=False, separators=(",", ":"))
    headers = dict(reply.headers)
    if request.method in ("GET", "HEAD") and reply.status == 200:
        tag = '"' + hashlib.sha256(text.encode()).hexdigest()[:32] + '"'
        headers |= {"ETag": tag, "Cache-Control": "private, no-cache"}
        known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
        if tag in known or "*" in known:
            return web.Response(status=304, headers=headers)
    return web.Response(text=text, status=reply.status, headers=headers, content_type="application/json")


def _check_caller(operation: Operation, caller: Caller) -> None:
    if not any(caller.may(scope) for scope in operation.scopes):
        raise problems.of_code(*why_not(caller, *operation.scopes))
    if not caller.customer and not operation.operators:
        raise problems.of_code("not_for_operators", "An operator's token belongs to no customer and has no faxes.")


def _path_of(operation: Operation, request: web.Request) -> Mapping[str, str]:
    found = {}
    for name in operation.params:
        value = request.match_info[name]
        if not re.fullmatch(PATH_PARAMS[name].pattern, value):
            raise Refusal.missing()
        found[name] = value
    return found


def _query_of(model: type[Query], request: web.Request) -> Mapping[str, object]:
    """The parameters: lists where the model has lists; another one given twice is at fault."""
    found: dict[str, object] = {}
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        known = model.model_fields.get(name)
        many = known is not None and (known.json_schema_extra or {}).get("many") is True  # type: ignore[union-attr]
        if len(values) > 1 and not many and known is not None:
            raise Refusal(422, f"{name} was given twice.", code="invalid", param=name)
        found[name] = values if many else values[0]
    return found


async def _body_of(operation: Operation, request: web.Request) -> Document | None:
    """The body of an operation that takes a small JSON document."""
    assert operation.body is not None  # the caller asked
    if operation.optional_body and not request.can_read_body:
        return checked(operation.body, {})
    check_json(request)
    octets = await read_body(request, operation.max_body)
    if operation.optional_body and not octets:
        return checked(operation.body, {})
    try:
        parsed = parse_json(octets)
    except BadJson as exc:
        raise problems.of_code("bad_json", exc.public) from exc
    return checked(operation.body, parsed)


def check_json(request: web.Request) -> None:
    """Refuse a body that does not say it is JSON in UTF-8. Raises Refusal."""
    kind = request.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        raise problems.of_code("unsupported_type", "The body must be JSON: Content-Type: application/json.")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise problems.of_code("unsupported_charset", "JSON is UTF-8 (RFC 8259 section 8.1).")
