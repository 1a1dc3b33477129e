"""Papers of numbers over HTTP, beside the accounts interface: operators bring them, customers read theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any  # JSON

from aiohttp import web
from sqlalchemy import Connection

from faxgw.api import admin_answers as answers
from faxgw.api import admin_queries as queries
from faxgw.api.administration import Office, Row, customer_of, require_operator, told, whole
from faxgw.api.answers import Refusal
from faxgw.api.http import read_body
from faxgw.fax.access import Caller
from faxgw.store import papers
from faxgw.store.papers import MAX_PAPER, Paper, PaperKind

_MAX_SOON_DAYS = 3_650


class PaperRoutes(Office):
    """The papers interface."""

    tag = "Papers"

    def rows(self) -> Sequence[Row]:
        """Every route."""
        of = "/customers/{customer}/numbers/{e164}/papers"
        made: Any = {"operator": True, "answer": answers.PaperShown, "query": queries.PaperNew, "status": 201}
        file = "application/octet-stream"
        return [
            Row("GET", "/papers", self.list_ending, query=queries.EndingPapers, answer=answers.Papers, operator=True,
                name="listEndingPapers"),
            Row("GET", of, self.list_papers, answer=answers.Papers),
            Row("POST", of, self.add_paper, MAX_PAPER, octets=file, **made),
            Row("GET", of + "/{paper}", self.get_paper, media=file),
            Row("DELETE", of + "/{paper}", self.remove_paper, status=204, operator=True),
        ]  # fmt: skip

    async def list_ending(self, request: web.Request, caller: Caller) -> web.Response:
        """Papers of all customers that end within `days` (30), or have ended; for operators."""
        require_operator(caller)
        days = whole(request, "days", 30)
        if days > _MAX_SOON_DAYS:
            raise Refusal(422, f"days must be a whole number up to {_MAX_SOON_DAYS}.", code="invalid", param="days")
        before = self._ground.clock() + days * 86_400.0
        found = await self._ground.store.read(lambda conn: papers.ending(conn, before=before))
        return web.json_response({"papers": [_shown(paper) for paper in found]})

    async def list_papers(self, request: web.Request, caller: Caller) -> web.Response:
        """Those of a number."""
        customer, number = _number_of(request, caller)
        found = await told(self._ground.store.read(lambda conn: papers.every(conn, customer, number)))
        return web.json_response({"papers": [_shown(paper) for paper in found]})

    async def add_paper(self, request: web.Request, caller: Caller) -> web.Response:
        """Bring one: the document is the body; the query has `kind`, `name` and, in Unix seconds, `until`."""
        customer, number = _number_of(request, caller)
        require_operator(caller)
        query = request.query
        try:
            kind = PaperKind(query.get("kind", ""))
            until = float(query["until"]) if query.get("until") else None
        except ValueError as exc:
            text = f"kind must be one of {', '.join(PaperKind)}, and until a time in Unix seconds."
            raise Refusal(422, text, code="invalid", param="kind") from exc
        name = "".join(c if c.isprintable() else " " for c in query.get("name", "paper"))[:200]
        content = await read_body(request, MAX_PAPER)
        ident, by = self._ident("pap"), self._author(request, caller)

        def unit(conn: Connection) -> Paper:
            return papers.add(conn, customer, number, ident, kind, name, content, until=until, by=by)

        paper = await told(self._ground.store.run(unit), "bad_paper")
        return web.json_response(_shown(paper), status=201)

    async def get_paper(self, request: web.Request, caller: Caller) -> web.Response:
        """The document itself."""
        customer, number = _number_of(request, caller)
        ident = request.match_info["paper"]
        paper, content = await told(self._ground.store.read(lambda conn: papers.find(conn, customer, number, ident)))
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=content, content_type=paper.content_type, headers=headers)

    async def remove_paper(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove one; 204."""
        customer, number = _number_of(request, caller)
        require_operator(caller)
        ident, by = request.match_info["paper"], self._author(request, caller)
        await told(self._ground.store.run(lambda conn: papers.remove(conn, customer, number, ident, by=by)))
        return web.Response(status=204)


def _number_of(request: web.Request, caller: Caller) -> tuple[str, str]:
    """Customer and number of the path."""
    return customer_of(request, caller), request.match_info["e164"]


def _shown(paper: Paper) -> dict[str, Any]:
    return asdict(paper) | {"kind": paper.kind.value}
