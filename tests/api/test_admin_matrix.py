"""Every operation of the administration, by its own description, asked by everybody who must not be let in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from faxgw.fax.access import Scope
from faxgw.store import schema as t
from tests.api.offices import KEY, NUMBER, PNG, Offices, furnish, offices
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODIES: Mapping[str, Any] = {
    "createCustomer": {"id": "delta"},
    "changeCustomer": {"name": "Delta"},
    "allowSender": {"kind": "address", "value": "d@gamma.example"},
    "addKey": {"login": "gamma-erp", "key": KEY},
    "createToken": {"name": "more", "scopes": ["faxes:read"]},
    "createOperatorToken": {"name": "more", "scopes": ["operator"]},
    "createProfile": {"name": "more"},
    "createUser": {"name": "more"},
    "createNumber": {"e164": "+33199000777"},
    "createDomain": {"name": "more.gamma.example"},
    "createLogin": {"name": "gamma-more"},
    "changeProfile": {"settings": {}},
    "changeLogin": {"allow": []},
    "createTarget": {"name": "more", "kind": "mail", "address": "m@gamma.example"},
    "createTargetOfGateway": {"name": "more", "kind": "mail", "address": "m@gamma.example"},
    "changeTarget": {"address": "n@gamma.example"},
    "createRule": {"name": "more", "then": {"tags": ["more"]}},
    "createRuleOfGateway": {"name": "more", "then": {"tags": ["more"]}},
    "changeRule": {"position": 7},
    "deliverAgain": {"target": "archive"},
    "tryRouting": {"number": NUMBER},
    "setHold": {"customer": "gamma", "reason": "another lawsuit"},
    "liftHold": {"reason": "settled"},
    "addPaper": PNG,
}
"""Bodies that would be taken; else a state, or nothing."""
QUERIES: Mapping[str, Mapping[str, str]] = {
    "addPaper": {"kind": "consent"},
    "forbidSender": {"kind": "address", "value": "d@gamma.example"},
    "listKeys": {"login": "gamma-erp"},
    "removeKey": {"login": "gamma-erp", "fingerprint": "SHA256:none"},
}
OWN = frozenset({"listCustomers", "listDirectories", "searchArchive", "exportArchive", "listAudit", "listJunk"})
"""Operations without a customer in their path: each caller is shown its own."""
WHAT = ("customers", "profiles", "users", "numbers", "domains", "logins", "login_keys", "tokens", "senders", "targets")


@pytest_asyncio.fixture(loop_scope="session")
async def api(house: House) -> AsyncIterator[Offices]:
    async with offices(house) as made:
        await furnish(made)
        yield made


async def rows(api: Offices) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """(name, method, path below the prefix, row) of each operation, as the description has them."""
    status, document, _media = await api.call(api.auth, "GET", "/openapi.json")
    assert status == 200
    return [
        (row["operationId"], method.upper(), path.removeprefix("/api/v1/admin"), row)
        for path, methods in document["paths"].items()
        for method, row in methods.items()
    ]


async def ask(
    api: Offices, auth: Mapping[str, str], name: str, method: str, path: str, known: Mapping[str, str]
) -> tuple[int, Any, str]:
    for key, value in known.items():
        path = path.replace("{" + key + "}", value.replace("+", "%2B"))
    state = {"state": "suspended"} if path.endswith("/state") else {}
    body = BODIES.get(name, state if method in ("POST", "PATCH", "PUT") else None)
    return await api.call(auth, method, path, body, QUERIES.get(name))


async def contents(api: Offices) -> list[Any]:
    """What gamma has; when a token was used last may change."""
    found = []
    for table in (getattr(t, name) for name in (*WHAT, "routing_rules", "number_papers", "holds", "outbox")):
        columns = [column for column in table.c if column.name != "last_used_at"]
        wanted = select(*columns)
        if "customer" in table.c:
            wanted = wanted.where(table.c.customer == "gamma")
        found.append(sorted(map(repr, await api.house.rows(wanted))))
    return found


async def test_nobody_crosses(api: Offices) -> None:
    """Each operation × no credentials, wrong token, ended, without the scope, another customer's administrator."""
    stranger = await api.desk.token(customer="beta", scopes=["admin"])
    poor = await api.desk.token(
        customer="gamma", scopes=[scope.value for scope in Scope if scope not in (Scope.ADMIN, Scope.OPERATOR)]
    )
    ended = await api.desk.token(customer="gamma", state="ended", scopes=["admin"])
    before, asked = await contents(api), 0
    for name, method, path, row in await rows(api):
        for who, expected in (({}, 401), ({"Authorization": "Bearer fxt_wrong"}, 401), (ended, 401), (poor, 403)):
            status, body, media = await ask(api, who, name, method, path, api.known)
            assert (status, media) == (expected, "application/problem+json"), (name, body)
            asked += 1
        status, body, media = await ask(api, stranger, name, method, path, api.known)
        asked += 1
        if row["x-scopes"] == ["operator"]:
            assert (status, body["code"]) == (403, "scope_missing"), name
        elif name in OWN:
            assert status == 200 and "gamma" not in str(body), (name, body)
        else:
            missing = {**api.known, "customer": "none", "directory": "none", "reception": "rcv_" + "0" * 32}
            if name == "tryRouting":
                missing = {}
            gone = await ask(api, stranger, name, method, path, missing)
            assert status == 404 == gone[0], (name, body, gone)
            assert body == gone[1], "like what does not exist"
    assert await contents(api) == before
    assert asked > 300


async def test_the_administrator_of_the_customer_is_let_in_where_no_operator_is_needed(api: Offices) -> None:
    """Else the test above would prove nothing."""
    own = await api.desk.token(customer="gamma", scopes=["admin"])
    every = sorted(await rows(api), key=lambda row: row[0].startswith("remove"))
    allowed = {
        "removeKey": 404, "importDirectory": 422, "changeUser": 200, "judgeFax": 422, "deliverAgain": 422,
        "pullDirectory": 422,
        "removeUser": 409, "removeLogin": 409, "removeProfile": 409, "removeTarget": 409,
    }  # fmt: skip
    for name, method, path, row in every:
        status, body, _media = await ask(api, own, name, method, path, api.known)
        if row["x-scopes"] == ["operator"]:
            assert (status, body["code"]) == (403, "scope_missing"), name
        else:
            assert status < 300 or status == allowed.get(name), (name, status, body)


async def test_the_operator_is_let_in_everywhere(api: Offices) -> None:
    every = sorted(await rows(api), key=lambda row: row[0].startswith(("remove", "set")))
    for name, method, path, _row in every:
        status, body, _media = await ask(api, api.auth, name, method, path, api.known)
        assert status not in (401, 403, 405) and status < 500, (name, status, body)


async def test_the_description_is_for_those_who_may_use_it(api: Offices) -> None:
    for scopes, status in ((["admin"], 200), (["faxes:read"], 403)):
        who = await api.desk.token(customer="gamma", scopes=scopes)
        assert (await api.call(who, "GET", "/openapi.json"))[0] == status
    assert (await api.call({}, "GET", "/openapi.json"))[0] == 401


async def test_names_are_unique_and_every_operation_has_words(api: Offices) -> None:
    every = await rows(api)
    names = [name for name, *_rest in every]
    assert len(set(names)) == len(names) == sum(len(office.rows()) for office in api.offices)
    assert all(row["summary"] and row["x-scopes"] in (["admin"], ["operator"]) for *_rest, row in every)
