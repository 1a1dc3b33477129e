"""Templates over HTTP, beside the accounts interface: covers, overlays and mails, listed, put, shown, removed.

A customer's administrator (scope `admin`) keeps his customer's own; those for everybody are the operator's, under
`/api/v1/admin/templates`. A template is the body of a PUT, whatever it is; a preview is one PNG a page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol, TypeVar  # Any: the dispatch's values

from aiohttp import web

from faxgw.api.admin import PREFIX
from faxgw.api.answers import Refusal
from faxgw.api.http import Api, Ground, Handler, read_body
from faxgw.fax.access import Caller, Interface, Scope
from faxgw.fax.errors import FaxError
from faxgw.formats.mail_examples import EXAMPLES
from faxgw.store import accounts
from faxgw.store.accounts import NotFound
from faxgw.store.templates import EVERYBODY, MAX_CONTENT, Kind, Template, UnknownTemplate

MAX_GIVEN = 99
"""Values of one preview, or names of one upload."""
_KINDS = "|".join(kind.value for kind in Kind)
_PAPERS = ("A4", "Letter", "Legal")
_LANGUAGES = ("en", "fr", "de")
_RESOLUTIONS = ("standard", "fine", "superfine")

T = TypeVar("T")


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


class TemplateRoutes:
    """The templates interface.

    Args:
        ground: What it stands on.
        desk: Does it.
    """

    def __init__(self, ground: Ground, desk: Desk) -> None:
        self._ground = ground
        self._desk = desk

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """For the public server: with credentials, as error documents."""
        api = Api(self._ground, Interface.API)
        for method, path, handler in self.table():
            api.add(method, PREFIX + path, handler, scope=Scope.ADMIN, max_body=MAX_CONTENT)
        return api.routes()

    def control_routes(self, caller: Caller) -> Sequence[web.AbstractRouteDef]:
        """For the operator's socket, whose caller is known."""
        return [web.route(method, "/admin" + path, _as(caller, handler)) for method, path, handler in self.table()]

    def table(self) -> Sequence[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        found: list[tuple[str, str, Handler]] = []
        for start in ("", "/customers/{customer}"):
            one = f"{start}/templates/{{kind:{_KINDS}}}/{{name}}"
            found += [
                ("GET", f"{start}/templates", self.list_templates),
                ("GET", one, self.get_template),
                ("PUT", one, self.put_template),
                ("DELETE", one, self.remove_template),
                ("GET", one + "/content", self.get_content),
                ("GET", one + "/preview", self.get_preview),
                ("GET", f"{start}/templates/mail/{{name}}/example", self.get_example),
            ]
        return found

    async def list_templates(self, request: web.Request, caller: Caller) -> web.Response:
        """What jobs may name: the customer's own, everybody's, and the designs that are shipped."""
        customer = await self._owner(request, caller)
        found = await _told(self._desk.listed(customer))
        return web.json_response({"templates": [_facts(one, customer) for one in found]})

    async def get_template(self, request: web.Request, caller: Caller) -> web.Response:
        """Facts of one, with the names that somebody has to give a value."""
        customer = await self._owner(request, caller)
        shown = await _told(self._desk.show(customer, *_which(request)))
        return web.json_response({**_facts(shown.template, customer), "needs": list(shown.needs)})

    async def put_template(self, request: web.Request, caller: Caller) -> web.Response:
        """Keep one; `given`, which may be repeated, names what recipients give values. 422: what is wrong with it."""
        customer, (kind, name) = await self._owner(request, caller), _which(request)
        given = request.query.getall("given", [])
        if len(given) > MAX_GIVEN:
            raise Refusal(422, f"There may be {MAX_GIVEN} names.", code="invalid", param="given")
        content = await read_body(request, MAX_CONTENT)
        who = self._who(request, caller)
        shown = await _told(self._desk.keep(customer, kind, name, content, who=who, given=given))
        return web.json_response({**_facts(shown.template, customer), "needs": list(shown.needs), "pages": shown.pages})

    async def remove_template(self, request: web.Request, caller: Caller) -> web.Response:
        """Remove one; 204."""
        customer = await self._owner(request, caller)
        await _told(self._desk.remove(customer, *_which(request), who=self._who(request, caller)))
        return web.Response(status=204)

    async def get_content(self, request: web.Request, caller: Caller) -> web.Response:
        """The document itself."""
        found = await _told(self._desk.find(await self._owner(request, caller), *_which(request)))
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=found.content, content_type="application/octet-stream", headers=headers)

    async def get_preview(self, request: web.Request, caller: Caller) -> web.Response:
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
        png, pages = await _told(
            self._desk.picture(
                customer,
                *_which(request),
                int(page),
                language=_choice(query, "language", _LANGUAGES, "en"),
                paper=_choice(query, "paper", _PAPERS, "A4"),
                resolution=_choice(query, "resolution", _RESOLUTIONS, "fine"),
                values={key: text for key, _equals, text in pairs},
            )
        )
        return web.Response(body=png, content_type="image/png", headers={"X-Pages": str(pages)})

    async def get_example(self, request: web.Request, caller: Caller) -> web.Response:
        """An example mail of a mail template, as it would leave; the query may name `example` and `language`."""
        customer, query = await self._owner(request, caller), request.query
        example = _choice(query, "example", EXAMPLES, EXAMPLES[0])
        language = _choice(query, "language", _LANGUAGES, "en")
        octets = await _told(self._desk.mail(customer, request.match_info["name"], example, language))
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=octets, content_type="message/rfc822", headers=headers)

    async def _owner(self, request: web.Request, caller: Caller) -> str:
        """The customer of the path, or everybody; another's is answered like one that does not exist."""
        customer = request.match_info.get("customer", EVERYBODY)
        if not customer:
            if not caller.may(Scope.OPERATOR):
                raise Refusal(403, "Only an operator of the gateway may do this.", code="scope_missing")
            return EVERYBODY
        if not caller.may(Scope.OPERATOR) and customer != caller.customer:
            raise Refusal.missing(NotFound.default_public)
        try:
            await self._ground.store.read(lambda conn: accounts.customer_row(conn, customer))
        except NotFound as exc:
            raise Refusal.missing(exc.public) from exc
        return customer

    def _who(self, request: web.Request, caller: Caller) -> str:
        who = caller.name if caller.login or caller.token else request.query.get("who", "operator")
        return who[:130]


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


async def _told(work: Awaitable[T]) -> T:
    """The result, or the refusal that a caller is told."""
    try:
        return await work
    except FaxError as exc:
        if exc.temporary:
            raise
        if isinstance(exc, UnknownTemplate):
            raise Refusal.missing(exc.public) from exc
        raise Refusal(422, exc.public, code="bad_template") from exc


def _as(caller: Caller, handler: Handler) -> Any:
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request, caller)
        except Refusal as refusal:
            return web.json_response({"error": refusal.detail}, status=refusal.status)

    return serve
