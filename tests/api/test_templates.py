"""The templates interface: whose templates one may see and keep, and what the answers say."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from faxgw.api.administration import PREFIX
from faxgw.api.templates import TemplateRoutes
from faxgw.fax.errors import FaxError, Refused
from faxgw.store.templates import MAX_CONTENT, Kind, Template, UnknownTemplate
from tests.api.desk import Desk, desk
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

HEAD = Template("acme", Kind.OVERLAY, "head", "png", b"PNG", "0" * 64, 3, 5.0, "carol")
PLAIN = Template("", Kind.COVER, "plain", "html", b"<p>", "", 3, 0.0, "faxgw")


@dataclass(frozen=True)
class Told:
    template: Template
    needs: tuple[str, ...] = ("Matter",)
    pages: int = 2


class Shelf:
    """A desk that notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: FaxError | None = None

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    async def listed(self, customer: str) -> Sequence[Template]:
        self._note("list", customer)
        return [HEAD, PLAIN]

    async def find(self, customer: str, kind: Kind, name: str) -> Template:
        self._note("find", customer, kind, name)
        return HEAD

    async def keep(
        self, customer: str, kind: Kind, name: str, content: bytes, *, who: str, given: Sequence[str] = ()
    ) -> Told:
        self._note("keep", customer, kind, name, content, who, list(given))
        return Told(HEAD)

    async def show(self, customer: str, kind: Kind, name: str) -> Told:
        self._note("show", customer, kind, name)
        return Told(HEAD)

    async def remove(self, customer: str, kind: Kind, name: str, *, who: str) -> None:
        self._note("remove", customer, kind, name, who)

    async def picture(
        self, customer: str, kind: Kind, name: str, page: int, *, values: Mapping[str, str], **how: str
    ) -> tuple[bytes, int]:
        self._note("picture", customer, kind, name, page, how, dict(values))
        return b"\x89PNG", 3

    async def mail(self, customer: str, name: str, example: str, language: str) -> bytes:
        self._note("mail", customer, name, example, language)
        return b"From: fax@example.org\r\n\r\n"


@dataclass
class Door:
    desk: Desk
    shelf: Shelf

    async def __call__(self, who: Mapping[str, str], method: str, path: str, body: bytes = b"") -> Any:
        data = io.BytesIO(body) if body else None
        async with self.desk.client.request(method, PREFIX + path, data=data, headers=who) as answer:
            octets = await answer.read()
            is_json = answer.content_type.endswith("json")
            return answer.status, json.loads(octets) if is_json else octets, answer.headers


@pytest_asyncio.fixture(loop_scope="session")
async def door(house: House) -> AsyncIterator[Door]:
    shelf = Shelf()
    async with desk(house, lambda ground: [TemplateRoutes(ground, shelf).routes()]) as made:
        yield Door(made, shelf)


async def test_an_administrator_keeps_looks_at_and_removes_his_customers(door: Door) -> None:
    admin = await door.desk.token(scopes=["admin"])
    one = "/customers/acme/templates/overlay/head"
    status, found, _headers = await door(admin, "PUT", f"{one}?given=Matter&given=Case", b"PNG")
    assert (status, found["pages"], found["needs"], found["own"], found["of"]) == (200, 2, ["Matter"], True, "customer")
    assert (await door(admin, "GET", one))[1]["sha256"] == "0" * 64
    status, found, headers = await door(admin, "GET", f"{one}/content")
    assert (status, found, headers["Content-Disposition"]) == (200, b"PNG", "attachment")
    status, found, headers = await door(admin, "GET", f"{one}/preview?page=2&language=fr&value=Matter=a%3Db")
    assert (status, found, headers["X-Pages"], headers["Content-Type"]) == (200, b"\x89PNG", "3", "image/png")
    assert (await door(admin, "DELETE", one))[0] == 204
    head = ("acme", Kind.OVERLAY, "head")
    assert door.shelf.asked == [
        ("keep", *head, b"PNG", "token:tok_1", ["Matter", "Case"]),
        ("show", *head),
        ("find", *head),
        ("picture", *head, 2, {"language": "fr", "paper": "A4", "resolution": "fine"}, {"Matter": "a=b"}),
        ("remove", *head, "token:tok_1"),
    ]
    listed = (await door(admin, "GET", "/customers/acme/templates"))[1]["templates"]
    assert [(row["name"], row["of"], row["own"]) for row in listed] == [
        ("head", "customer", True),
        ("plain", "shipped", False),
    ]


async def test_example_mails_are_for_those_who_may_keep_templates(door: Door) -> None:
    admin = await door.desk.token(scopes=["admin"])
    one = "/customers/acme/templates/mail/house/example"
    status, found, headers = await door(admin, "GET", f"{one}?example=failed&language=de")
    assert (status, found[:5], headers["Content-Type"]) == (200, b"From:", "message/rfc822")
    assert door.shelf.asked == [("mail", "acme", "house", "failed", "de")]
    assert (await door(admin, "GET", f"{one}?example=nothing"))[0] == 422
    assert (await door(admin, "GET", f"{one}?language=it"))[0] == 422
    assert (await door(admin, "GET", "/customers/beta/templates/mail/house/example"))[0] == 404
    door.shelf.error = UnknownTemplate("mail house of acme")
    assert (await door(admin, "GET", one))[0] == 404


@pytest.mark.parametrize("path", ["/customers/beta/templates", "/customers/nobody/templates", "/templates"])
async def test_nobody_sees_anothers_and_everybodys_are_the_operators(door: Door, path: str) -> None:
    admin, operator = await door.desk.token(scopes=["admin"]), await door.desk.token(customer=None, scopes=["operator"])
    for method, tail in (("GET", ""), ("PUT", "/cover/x"), ("DELETE", "/cover/x"), ("GET", "/cover/x/preview")):
        assert (await door(admin, method, path + tail, b"x"))[0] == (403 if path == "/templates" else 404)
    assert not door.shelf.asked
    expected = 404 if "nobody" in path else 200
    assert (await door(operator, "GET", path))[0] == expected


async def test_who_may_not_administrate_may_not_keep_templates(door: Door) -> None:
    sender = await door.desk.token(scopes=["faxes:write"])
    assert (await door(sender, "GET", "/customers/acme/templates"))[0] == 403
    assert not door.shelf.asked


@pytest.mark.parametrize(
    "error, status, code",
    [
        (Refused("x", public="Nobody gives a value for Matter."), 422, "bad_template"),
        (UnknownTemplate("x"), 404, "not_found"),
        (FaxError("x", temporary=True), 503, None),
    ],
)
async def test_what_the_desk_refuses_is_told(door: Door, error: FaxError, status: int, code: str | None) -> None:
    admin = await door.desk.token(scopes=["admin"])
    door.shelf.error = error
    got, found, _headers = await door(admin, "PUT", "/customers/acme/templates/cover/x", b"x")
    assert (got, found.get("code")) == (status, code) if code else got == status


@pytest.mark.parametrize(
    "query",
    ["page=x", "page=", "paper=A3", "language=it", "resolution=best", "value=x", "value==x", "&value=a=b" * 100],
)
async def test_a_wrong_question_is_refused_before_anything_is_rendered(door: Door, query: str) -> None:
    admin = await door.desk.token(scopes=["admin"])
    status, found, _headers = await door(admin, "GET", f"/customers/acme/templates/cover/x/preview?{query}")
    assert (status, found["code"]) == (422, "invalid")
    assert not door.shelf.asked


async def test_a_template_has_its_size(door: Door) -> None:
    admin = await door.desk.token(scopes=["admin"])
    assert (await door(admin, "PUT", "/customers/acme/templates/cover/x", b"x" * (MAX_CONTENT + 1)))[0] == 413
    given = "&".join(["given=a"] * 100)
    assert (await door(admin, "PUT", f"/customers/acme/templates/cover/x?{given}", b"x"))[0] == 422
    assert (await door(admin, "PUT", "/customers/acme/templates/other/x", b"x"))[0] == 404
    assert not door.shelf.asked
