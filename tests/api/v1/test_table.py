"""One row of the API: its path, parameters, body and caller are right before its handler sees a request."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
import pytest_asyncio
from pydantic import Field

from faxgw.api.v1.table import PATH_PARAMS, Call, Operation, Outcome, Reply, Table
from faxgw.api.v1.types import Answer, Document, Query, Whole
from faxgw.fax.access import Scope
from tests.api.desk import Desk, desk
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")
OK = (Outcome(200, "It is so."),)


class Filters(Query):
    """Parameters."""

    limit: Annotated[int, Field(ge=1, le=9), Whole] = 5
    state: list[str] = Field(default_factory=list, json_schema_extra={"many": True})


class Body(Document):
    """A body."""

    name: str = "nobody"


class Echo(Answer):
    """What was understood."""

    path: dict[str, str]
    query: Any
    body: Any


async def echo(call: Call) -> Reply:
    shown = [None if one is None else one.model_dump() for one in (call.query, call.body)]
    return Reply(Echo(path=dict(call.path), query=shown[0], body=shown[1]))


def row(name: str, method: str, path: str, **more: Any) -> Operation:
    return Operation(name, method, path, "Tests", "Say it back", echo, (Scope.FAXES_READ,), OK, **more)


ROWS = (
    row("look", "GET", "/faxes/{fax}/pages/{page}", query=Filters),
    row("plain", "GET", "/plain"),
    row("put", "POST", "/put", body=Body),
    row("maybe", "POST", "/maybe", body=Body, optional_body=True, max_body=60),
    row("both", "GET", "/both", operators=True),
)
FAX = "FN0123456789ABCDEFGHIJ"


@pytest_asyncio.fixture(loop_scope="session")
async def api(house: House) -> AsyncIterator[tuple[Desk, dict[str, str]]]:
    async with desk(house, lambda ground: [Table(ground, ROWS).routes()]) as made:
        yield made, await made.token()


async def ask(api: tuple[Desk, dict[str, str]], method: str, path: str, **more: Any) -> tuple[int, Any]:
    made, auth = api
    headers = {**auth, **more.pop("headers", {})}
    async with made.client.request(method, "/api/v1" + path, headers=headers, **more) as answer:
        return answer.status, await answer.json() if answer.content_type.endswith("json") else None


async def test_path_parameters_and_defaults_reach_the_handler(api: Any) -> None:
    status, said = await ask(api, "GET", f"/faxes/{FAX}/pages/2?limit=7&state=sent&state=failed")
    assert status == 200 and said["path"] == {"fax": FAX, "page": "2"}
    assert said["query"] == {"limit": 7, "state": ["sent", "failed"]}
    assert (await ask(api, "GET", f"/faxes/{FAX}/pages/2"))[1]["query"] == {"limit": 5, "state": []}


@pytest.mark.parametrize("path", ["/faxes/FN1/pages/1", f"/faxes/{FAX}/pages/0", f"/faxes/{FAX.lower()}/pages/1"])
async def test_a_path_that_names_nothing_possible_is_not_there(api: Any, path: str) -> None:
    assert (await ask(api, "GET", path))[0] == 404


@pytest.mark.parametrize(
    ("path", "param"),
    [
        (f"/faxes/{FAX}/pages/1?limit=0", "limit"),
        (f"/faxes/{FAX}/pages/1?limit=5&limit=5", "limit"),
        (f"/faxes/{FAX}/pages/1?lmit=5", "lmit"),
        ("/plain?anything=1", "anything"),
    ],
    ids=["out of bounds", "twice", "unknown", "none is taken"],
)
async def test_parameters_are_refused_by_name(api: Any, path: str, param: str) -> None:
    status, said = await ask(api, "GET", path)
    assert (status, said["code"], said["param"]) == (422, "invalid", param)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b'{"name": "a"}', "application/json", 200, None),
        (b'{"name": "a"}', "application/merge-patch+json; charset=UTF-8", 200, None),
        (b'{"name": "a"}', "text/plain", 415, "unsupported_type"),
        (b'{"name": "a"}', "application/json; charset=latin-1", 415, "unsupported_charset"),
        (b'{"name": ', "application/json", 400, "bad_json"),
        (b'{"name": "\xff"}', "application/json", 400, "bad_json"),
        (b"", "application/json", 400, "bad_json"),
        (b'{"nom": "a"}', "application/json", 422, "invalid"),
    ],
)
async def test_a_body_is_json_that_says_so(api: Any, body: bytes, kind: str, status: int, code: str | None) -> None:
    got, said = await ask(api, "POST", "/put", data=body, headers={"Content-Type": kind})
    assert (got, said.get("code")) == (status, code)


async def test_a_body_that_may_lack_is_as_by_default_and_still_bounded(api: Any) -> None:
    assert (await ask(api, "POST", "/maybe"))[1]["body"] == {"name": "nobody"}
    json_ = {"Content-Type": "application/json"}
    assert (await ask(api, "POST", "/maybe", data=b'{"name": "%s"}' % (b"x" * 99), headers=json_))[0] == 413


async def test_an_operator_is_served_where_the_row_says_so(api: Any) -> None:
    made, _auth = api
    boss = await made.token(customer=None, scopes=["operator", "faxes:read"])
    assert (await ask((made, boss), "GET", "/both"))[0] == 200
    status, said = await ask((made, boss), "GET", "/plain")
    assert (status, said["code"]) == (403, "not_for_operators")


async def test_what_a_client_has_already_is_not_sent_again(api: Any) -> None:
    """RFC 9110 section 13.1.2."""
    made, auth = api
    async with made.client.get("/api/v1/plain", headers=auth) as answer:
        tag = answer.headers["ETag"]
        assert answer.headers["Cache-Control"] == "private, no-cache"
    for known, status in ((tag, 304), (f'"x", W/{tag}', 304), ("*", 304), ('"x"', 200)):
        async with made.client.get("/api/v1/plain", headers={**auth, "If-None-Match": known}) as answer:
            assert answer.status == status


async def test_each_answer_says_how_many_requests_are_left(api: Any) -> None:
    made, auth = api
    left = []
    for _ in range(2):
        async with made.client.get("/api/v1/plain", headers=auth) as answer:
            left.append(int(answer.headers["RateLimit"].partition("r=")[2].partition(";")[0]))
    assert left[1] == left[0] - 1


async def test_every_example_of_a_path_parameter_is_one() -> None:
    for name, param in PATH_PARAMS.items():
        assert re.fullmatch(param.pattern, param.example), name
        assert "/" not in param.example
