"""Templates of the caller's account: cover pages and overlays, put, looked at as the pages they make, removed."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from faxgw.api.answers import Refusal
from faxgw.api.http import read_body
from faxgw.api.templates import Desk
from faxgw.api.v1 import patterns
from faxgw.api.v1.problems import of_code
from faxgw.api.v1.table import Call, Operation, Outcome, Reply
from faxgw.api.v1.types import Answer, Moment, Query, Whole, shown_or_none
from faxgw.fax.access import Scope
from faxgw.fax.errors import FaxError
from faxgw.store.templates import MAX_CONTENT, Kind, Template, UnknownTemplate

T = TypeVar("T")

SCOPES = (Scope.TEMPLATES,)
READ = (Scope.TEMPLATES, Scope.FAXES_WRITE)
"""Who sends may look at what there is."""
MEDIA = "application/octet-stream"


class TemplateShown(Answer):
    """A cover page or overlay."""

    kind: Literal["cover", "overlay"]
    name: str
    """How faxes name it."""
    format: str
    """`html`, `rtf` or `docx` for covers; what an overlay is."""
    of: Literal["account", "everybody", "shipped"]
    """Whose it is; an account's own comes before others of the same name."""
    size: int
    sha256: str
    changed_at: Moment | None
    changed_by: str


class TemplateFacts(TemplateShown):
    """A template with what it needs."""

    needs: list[str]
    """Names that recipients' properties have to give a value."""


class Templates(Answer):
    """Everything that a fax of the account may name."""

    templates: list[TemplateShown]


class PutQuery(Query):
    """What is said of a template that is put."""

    given: Annotated[str, Field(pattern=patterns.PROPERTIES)] | None = None
    """Names that recipients' properties will give values, with commas between them."""


class PreviewQuery(Query):
    """What the example shall show."""

    page: Annotated[int, Field(ge=1, le=9_999), Whole] = 1
    language: Literal["en", "fr", "de"] = "en"
    paper: Literal["A4", "Letter", "Legal"] = "A4"
    resolution: Literal["standard", "fine", "superfine"] = "fine"


class TemplateOperations:
    """Serves templates.

    Args:
        desk: Takes them in and shows them.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> Sequence[Operation]:
        """Their rows."""
        one = "/templates/{kind}/{name}"
        return (
            Operation(
                "listTemplates", "GET", "/templates", "Templates", "List cover pages and overlays", self.list, READ,
                (Outcome(200, "All that a fax may name.", Templates),),
            ),
            Operation(
                "getTemplate", "GET", one, "Templates", "Look at a template", self.get, READ,
                (Outcome(200, "The template.", TemplateFacts),), problems=("bad_template",),
            ),
            Operation(
                "putTemplate", "PUT", one, "Templates", "Keep a template", self.put, SCOPES,
                (Outcome(200, "Kept in place of that of the same name.", TemplateFacts),),
                doc="The body is the file: HTML, RTF or DOCX for a cover page, any document of one page for an "
                "overlay. It is read and rendered first; what is wrong with it is told and nothing is changed.",
                query=PutQuery, octets=MEDIA, problems=("bad_template",), max_body=MAX_CONTENT,
            ),
            Operation(
                "removeTemplate", "DELETE", one, "Templates", "Remove a template of the account", self.remove, SCOPES,
                (Outcome(204, "Removed."),), problems=("bad_template",),
            ),
            Operation(
                "getTemplateContent", "GET", one + "/content", "Templates", "Fetch a template's file", self.content,
                READ, (Outcome(200, "The file.", media=(MEDIA,)),), problems=("bad_template",),
            ),
            Operation(
                "previewTemplate", "GET", one + "/preview", "Templates", "A page as a fax would have it", self.preview,
                READ,
                (Outcome(200, "The page.", media=("image/png",), headers={"X-Pages": "How many pages there are."}),),
                query=PreviewQuery, problems=("bad_template",),
            ),
        )  # fmt: skip

    async def list(self, call: Call) -> Reply:
        """GET /templates."""
        found = await _told(self._desk.listed(call.caller.customer))
        return Reply(
            Templates(
                templates=[TemplateShown.model_validate(_facts(one)) for one in found if one.kind is not Kind.MAIL]
            )
        )

    async def get(self, call: Call) -> Reply:
        """GET /templates/{kind}/{name}."""
        shown = await _told(self._desk.show(call.caller.customer, *_which(call)))
        return Reply(_with_needs(shown.template, shown.needs))

    async def put(self, call: Call) -> Reply:
        """PUT /templates/{kind}/{name}."""
        query: PutQuery = call.query
        kind, name = _which(call)
        content = await read_body(call.request, MAX_CONTENT)
        who, given = call.caller.name[:130], query.given.split(",") if query.given else ()
        kept = await _told(self._desk.keep(call.caller.customer, kind, name, content, who=who, given=given))
        return Reply(_with_needs(kept.template, kept.needs))

    async def remove(self, call: Call) -> Reply:
        """DELETE /templates/{kind}/{name}."""
        await _told(self._desk.remove(call.caller.customer, *_which(call), who=call.caller.name[:130]))
        return Reply(None, 204)

    async def content(self, call: Call) -> web.Response:
        """GET /templates/{kind}/{name}/content."""
        kind, name = _which(call)
        found = await _told(self._desk.find(call.caller.customer, kind, name))
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
        return web.Response(body=found.content, content_type=MEDIA, headers=headers)

    async def preview(self, call: Call) -> web.Response:
        """GET /templates/{kind}/{name}/preview."""
        query: PreviewQuery = call.query
        png, pages = await _told(
            self._desk.picture(
                call.caller.customer,
                *_which(call),
                query.page,
                language=query.language,
                paper=query.paper,
                resolution=query.resolution,
                values={},
            )
        )
        return web.Response(body=png, content_type="image/png", headers={"X-Pages": str(pages)})


def _which(call: Call) -> tuple[Kind, str]:
    return Kind(call.path["kind"]), call.path["name"]


def _facts(one: Template) -> dict[str, object]:
    return {
        "kind": one.kind.value,
        "name": one.name,
        "format": one.format,
        "of": "shipped" if not one.sha256 else "everybody" if not one.customer else "account",
        "size": one.size,
        "sha256": one.sha256,
        "changed_at": shown_or_none(one.changed_at or None),
        "changed_by": one.changed_by,
    }


def _with_needs(one: Template, needs: Sequence[str]) -> TemplateFacts:
    return TemplateFacts.model_validate(_facts(one) | {"needs": list(needs)})


async def _told(work: Awaitable[T]) -> T:
    """The result, or the refusal that a caller is told."""
    try:
        return await work
    except UnknownTemplate as exc:
        raise Refusal.missing(exc.public) from exc
    except FaxError as exc:
        if exc.temporary:
            raise
        raise of_code("bad_template", exc.public) from exc
