"""Papers of numbers over HTTP, beside the accounts interface: operators bring them, customers read theirs."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar  # Any: handlers

from aiohttp import web

from faxgw.api.admin import PREFIX
from faxgw.api.answers import Refusal
from faxgw.api.http import Api, Ground, Handler, read_body
from faxgw.fax import ids
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.store import papers
from faxgw.store.accounts import Author, NotFound
from faxgw.store.papers import MAX_PAPER, BadPaper, Paper, PaperKind

T = TypeVar("T")
_MAX_SOON_DAYS = 3_650


class PaperRoutes:
    """The papers interface.

    Args:
        ground: What it stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """For the public server: with credentials, as error documents."""
        api = Api(self._ground, Interface.API)
        for method, path, handler in self.table():
            api.add(method, PREFIX + path, handler, scope=Scope.ADMIN, max_body=MAX_PAPER)
        return api.routes()

    def control_routes(self, caller: Caller) -> Sequence[web.AbstractRouteDef]:
        """For the operator's socket, whose caller is known."""
        return [web.route(method, "/admin" + path, _as(caller, handler)) for method, path, handler in self.table()]

    def table(self) -> Sequence[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        of = "/customers/{customer}/numbers/{number}/papers"
        return [
            ("GET", "/papers", self.list_ending),
            ("GET", of, self.list_papers),
            ("POST", of, self.add_paper),
            ("GET", of + "/{paper}", self.get_paper),
            ("DELETE", of + "/{paper}", self.remove_paper),
        ]

    async def list_ending(self, request: web.Request, caller: Caller) -> web.Response:
        """Papers of all customers that end within `days` (30), or have ended; for operators."""
        _operator(caller)
        text = request.query.get("days", "30")
        if not (text.isascii() and text.isdecimal() and int(text[:5]) <= _MAX_SOON_DAYS and len(text) <= 4):
            raise Refusal(422, f"days must be a whole number up to {_MAX_SOON_DAYS}.", code="invalid", param="days")
        before = self._ground.clock() + int(text) * 86_400.0
        found = await self._ground.store.read(lambda conn: papers.ending(conn, before=before))
        return web.json_response({"papers": [_shown(paper) for paper in found]})

    async def list_papers(self, request: web.Request, caller: Caller) -> web.Response:
        """Those of a number."""
        customer, number = _number_of(request, caller)
        found = await _told(self._ground.store.read(lambda conn: papers.every(conn, customer, number)))
        return web.json_response({"papers": [_shown(paper) for paper in found]})

    async def add_paper(self, request: web.Request, caller: Caller) -> web.Response:
        """Bring one: the document is the body; the query has `kind`, `name` and, in Unix seconds, `until`."""
        customer, number = _number_of(request, caller)
        _operator(caller)
        query = request.query
        try:
            kind = PaperKind(query.get("kind", ""))
            until = float(query["until"]) if query.get("until") else None
        except ValueError as exc:
            text = f"kind must be one of {', '.join(PaperKind)}, and until a time in Unix seconds."
            raise Refusal(422, text, code="invalid", param="kind") from exc
        name = "".join(c if c.isprintable() else " " for c in query.get("name", "paper"))[:200]
        content = await read_body(request, MAX_PAPER)
        ident, by = self._ident(), self._author(request, caller)
        paper = await _told(
            self._ground.store.run(
                lambda conn: papers.add(conn, customer, number, ident, kind, name, content, until=until, by=by)
            )
        )
        return web.json_response(_shown(paper), status=201)

    async def get_paper(self, request: web.Request, caller: Caller) -> web.Response:
        """The document itself."""
        customer, number = _number_of(request, caller)
        ident = request.match_info["paper"]
        paper, content = await _told(self._ground.store.read(lambda conn: papers.find(conn, customer, number, ident)))
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=content, content_type=paper.content_type, headers=headers)

    async def remove_paper(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove one; 204."""
        customer, number = _number_of(request, caller)
        _operator(caller)
        ident, by = request.match_info["paper"], self._author(request, caller)
        await _told(self._ground.store.run(lambda conn: papers.remove(conn, customer, number, ident, by=by)))
        return web.Response(status=204)

    def _ident(self) -> str:
        return ids.prefixed("pap", self._ground.clock(), secrets.token_bytes(ids.RANDOM_OCTETS))

    def _author(self, request: web.Request, caller: Caller) -> Author:
        who = caller.name if caller.login or caller.token else request.query.get("who", "operator")
        return Author(who[:130], self._ground.clock())


def _number_of(request: web.Request, caller: Caller) -> tuple[str, str]:
    """Customer and number of the path; another customer's is one that does not exist."""
    customer = request.match_info["customer"]
    if not caller.may(Scope.OPERATOR) and customer != caller.customer:
        raise Refusal.missing(NotFound.default_public)
    return customer, request.match_info["number"]


def _operator(caller: Caller) -> None:
    if not caller.may(Scope.OPERATOR):
        raise Refusal(403, "Only an operator of the gateway may do this.", code="scope_missing")


def _shown(paper: Paper) -> dict[str, Any]:
    return asdict(paper) | {"kind": paper.kind.value}


async def _told(work: Awaitable[T]) -> T:
    """The result, or the refusal that a caller is told."""
    try:
        return await work
    except NotFound as exc:
        raise Refusal.missing(exc.public) from exc
    except BadPaper as exc:
        raise Refusal(422, exc.public, code="bad_paper") from exc


def _as(caller: Caller, handler: Handler) -> Any:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request, caller)
        except Refusal as refusal:
            return web.json_response({"error": refusal.detail}, status=refusal.status)

    return serve
