"""Templates over HTTP, beside the accounts interface: covers, overlays and mails, listed, put, shown, removed.

A customer's administrator (scope `admin`) keeps his customer's own; those for everybody are the operator's, under
`/api/v1/admin/templates`. A template is the body of a PUT, whatever it is; a preview is one PNG a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol  # Any: the dispatch's values

from aiohttp import web

from faxgw.api import admin_answers as answers
from faxgw.api import admin_queries as queries
from faxgw.api.administration import Office, Row, owner_of, told, who_of
from faxgw.api.answers import Refusal
from faxgw.api.http import Ground, read_body
from faxgw.fax.access import Caller
from faxgw.formats.mail_examples import EXAMPLES
from faxgw.store import accounts
from faxgw.store.templates import MAX_CONTENT, Kind, Template

MAX_GIVEN = 99
"""Values of one preview, or names of one upload."""
_PAPERS = ("A4", "Letter", "Legal")
_LANGUAGES = ("en", "fr", "de")
_RESOLUTIONS = ("standard", "fine", "superfine")
_CODE = "bad_template"
"""What a program is told of a template that cannot be read or rendered."""


class Desk(Protocol):
    """Takes templates in, shows and removes them (the dispatch's)."""

    async def listed(self, customer: str) -> Sequence[Template]:
        """What a customer's jobs may name."""
        ...

    async def find(self, customer: str, kind: Kind, name: str) -> Template:
        """A template with its content."""
        ...

    async def keep(
        self, customer: str, kind: Kind, name: str, content: bytes, *, who: str, given: Sequence[str] = ()
    ) -> Any:
        """Take a template in; `template`, `needs`, `pages`."""
        ...

    async def show(self, customer: str, kind: Kind, name: str) -> Any:
        """Facts: `template`, `needs`."""
        ...

    async def remove(self, customer: str, kind: Kind, name: str, *, who: str) -> None:
        """Remove a template."""
        ...

    async def picture(
        self,
        customer: str,
        kind: Kind,
        name: str,
        page: int,
        *,
        language: str,
        paper: str,
        resolution: str,
        values: Mapping[str, str],
    ) -> tuple[bytes, int]:
        """A page of an example as PNG, and how many pages there are."""
        ...

    async def mail(self, customer: str, name: str, example: str, language: str) -> bytes:
        """An example mail of a mail template."""
        ...


class TemplateRoutes(Office):
    """The templates interface.

    Args:
        ground: What it stands on.
        desk: Does it.
    """

    tag = "Own templates"

    def __init__(self, ground: Ground, desk: Desk) -> None:
        super().__init__(ground)
        self._desk = desk

    def rows(self) -> Sequence[Row]:
        """Every route."""
        found: list[Row] = []
        for start, whose in (("", "OfAll"), ("/customers/{customer}", "")):
            rows: list[tuple[str, Row]] = [
                ("listTemplates", Row("GET", f"{start}/templates", self.list_templates, answer=answers.TemplateList))
            ]
            for kind in Kind:
                rows += [(f"{verb}{kind.value.capitalize()}", row) for verb, row in self._rows_of(start, kind)]
            boss = not start
            found += [replace(row, name=name + whose, operator=boss) for name, row in rows]
        return found

    def _rows_of(self, start: str, kind: Kind) -> Sequence[tuple[str, Row]]:
        """The routes of one kind, each with the verb of its name."""
        one, file = f"{start}/templates/{kind.value}/{{name}}", "application/octet-stream"
        kept: Any = {"octets": file, "query": queries.Given, "answer": answers.TemplateKept}
        rows = [
            ("get", Row("GET", one, partial(self.get_template, kind), answer=answers.TemplateShown)),
            ("put", Row("PUT", one, partial(self.put_template, kind), MAX_CONTENT, **kept)),
            ("remove", Row("DELETE", one, partial(self.remove_template, kind), status=204)),
            ("download", Row("GET", one + "/content", partial(self.get_content, kind), media=file)),
        ]
        if kind is Kind.MAIL:
            mail: Any = {"query": queries.Example, "media": "message/rfc822"}
            return [*rows, ("exampleOf", Row("GET", one + "/example", self.get_example, **mail))]
        picture: Any = {"query": queries.Preview, "media": "image/png"}
        return [*rows, ("preview", Row("GET", one + "/preview", partial(self.get_preview, kind), **picture))]

    async def list_templates(self, request: web.Request, caller: Caller) -> web.Response:
        """What jobs may name: the customer's own, everybody's, and the designs that are shipped."""
        customer = await self._owner(request, caller)
        found = await told(self._desk.listed(customer), _CODE)
        return web.json_response({"templates": [_facts(one, customer) for one in found]})

    async def get_template(self, kind: Kind, request: web.Request, caller: Caller) -> web.Response:
        """Facts of one, with the names that somebody has to give a value."""
        customer = await self._owner(request, caller)
        shown = await told(self._desk.show(customer, kind, request.match_info["name"]), _CODE)
        return web.json_response({**_facts(shown.template, customer), "needs": list(shown.needs)})

    async def put_template(self, kind: Kind, request: web.Request, caller: Caller) -> web.Response:
        """Keep one; `given`, which may be repeated, names what recipients give values. 422: what is wrong with it."""
        customer, name = await self._owner(request, caller), request.match_info["name"]
        given = request.query.getall("given", [])
        if len(given) > MAX_GIVEN:
            raise Refusal(422, f"There may be {MAX_GIVEN} names.", code="invalid", param="given")
        content = await read_body(request, MAX_CONTENT)
        if not content:
            raise Refusal(422, "There is no document in the request.", code="invalid")
        who = who_of(request, caller)
        shown = await told(self._desk.keep(customer, kind, name, content, who=who, given=given), _CODE)
        return web.json_response({**_facts(shown.template, customer), "needs": list(shown.needs), "pages": shown.pages})

    async def remove_template(self, kind: Kind, request: web.Request, caller: Caller) -> web.Response:
        """Remove one; 204."""
        customer = await self._owner(request, caller)
        await told(self._desk.remove(customer, kind, request.match_info["name"], who=who_of(request, caller)), _CODE)
        return web.Response(status=204)

    async def get_content(self, kind: Kind, request: web.Request, caller: Caller) -> web.Response:
        """The document itself."""
        found = await told(self._desk.find(await self._owner(request, caller), kind, request.match_info["name"]), _CODE)
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=found.content, content_type="application/octet-stream", headers=headers)

    async def get_preview(self, kind: Kind, request: web.Request, caller: Caller) -> web.Response:
        """One `page` as a fax would have it, as PNG; `X-Pages` says how many there are.

        The query may name `language`, `paper`, `resolution`, and values as `value=name=text`.
        """
        customer, query = await self._owner(request, caller), request.query
        pairs = [pair.partition("=") for pair in query.getall("value", [])]
        if len(pairs) > MAX_GIVEN or not all(equals and key for key, equals, _text in pairs):
            raise Refusal(422, f"value must be name=text, {MAX_GIVEN} times at most.", code="invalid", param="value")
        page = query.get("page", "1")
        if not (page.isascii() and page.isdecimal() and 1 <= len(page) <= 4):
            raise Refusal(422, "page must be a whole number.", code="invalid", param="page")
        png, pages = await told(
            self._desk.picture(
                customer,
                kind,
                request.match_info["name"],
                int(page),
                language=_choice(query, "language", _LANGUAGES, "en"),
                paper=_choice(query, "paper", _PAPERS, "A4"),
                resolution=_choice(query, "resolution", _RESOLUTIONS, "fine"),
                values={key: text for key, _equals, text in pairs},
            ),
            _CODE,
        )
        return web.Response(body=png, content_type="image/png", headers={"X-Pages": str(pages)})

    async def get_example(self, request: web.Request, caller: Caller) -> web.Response:
        """An example mail of a mail template, as it would leave; the query may name `example` and `language`."""
        customer, query = await self._owner(request, caller), request.query
        example = _choice(query, "example", EXAMPLES, EXAMPLES[0])
        language = _choice(query, "language", _LANGUAGES, "en")
        octets = await told(self._desk.mail(customer, request.match_info["name"], example, language), _CODE)
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=octets, content_type="message/rfc822", headers=headers)

    async def _owner(self, request: web.Request, caller: Caller) -> str:
        """The customer of the path, or everybody; another's is answered like one that does not exist."""
        customer = owner_of(request, caller)
        if customer:
            await told(self._ground.store.read(lambda conn: accounts.customer_row(conn, customer)))
        return customer


def _facts(one: Template, customer: str) -> dict[str, Any]:
    owner = "shipped" if not one.sha256 else "everybody" if not one.customer else "customer"
    return {
        "kind": one.kind.value,
        "name": one.name,
        "format": one.format,
        "of": owner,
        "own": one.customer == customer and owner != "shipped",
        "size": one.size,
        "sha256": one.sha256,
        "changed_at": one.changed_at,
        "changed_by": one.changed_by,
    }


def _which(request: web.Request) -> tuple[Kind, str]:
    return Kind(request.match_info["kind"]), request.match_info["name"]


def _choice(query: Mapping[str, str], name: str, choices: Sequence[str], default: str) -> str:
    found = query.get(name, default)
    if found not in choices:
        raise Refusal(422, f"{name} must be one of {', '.join(choices)}.", code="invalid", param=name)
    return found
