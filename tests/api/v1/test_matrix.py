"""Every operation of the description, asked by everybody who must not be let in: nobody crosses from one account to
another. The table is the OpenAPI document itself, so an operation that is new is asked too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import update

from faxgw.api import openapi
from faxgw.api.v1.problems import PROBLEMS
from faxgw.fax.access import Scope
from faxgw.fax.limits import Failures
from faxgw.store import outbox, webhooks
from faxgw.store import schema as t
from tests.api.v1.world import Native, inline, received

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODIES: Mapping[str, Any] = {
    "sendFax": {"to": ["+33199000001"], "documents": [inline()]},
    "createWebhook": {"url": "https://app.example.org/", "events": ["*"]},
    "putTemplate": b"<!DOCTYPE html><html><body><p>Cover</p></body></html>",
}
"""Bodies that would be taken from the owner."""
OPEN_LISTS = frozenset(
    {"listFaxes", "listWebhooks", "listTemplates", "listNumbers", "listUsers", "getAccount", "getSettings"}
)
"""Operations that show each caller its own."""
ALL = [scope.value for scope in Scope if scope is not Scope.OPERATOR]


async def rows(api: Native) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """(name, method, path, row) of each operation, as the description has them."""
    document = json.loads((await api.call("GET", "/openapi.json")).octets)
    return [
        (row["operationId"], method.upper(), path.removeprefix("/api/v1"), row)
        for path, methods in document["paths"].items()
        for method, row in methods.items()
    ]


async def things(api: Native) -> dict[str, str]:
    """Something of acme's for each name in a path."""
    sent = await api.send(BODIES["sendFax"])
    webhook = await api.post("/webhooks", BODIES["createWebhook"], 201)
    await received(api.house, number="+33199000099")
    kept = await api.call("PUT", "/templates/cover/mine", BODIES["putTemplate"])
    assert kept.status == 200, kept.body
    message = "out_" + "0" * 32
    put: dict[str, Any] = {"customer": "acme", "payload": {"event": "fax.sent"}, "now": api.house.now}
    await api.house.do(outbox.put, message, "webhook", "https://app.example.org/", **put)
    await api.house.change(update(t.outbox).where(t.outbox.c.id == message).values(state="dead"))
    tried = webhooks.Try(message, "fax.sent", "FN1", api.house.now, 1, 503, 12, "why", False)
    await api.house.do(webhooks.record, webhook["id"], tried)
    return {
        "message": message,
        "fax": sent["faxes"][0]["id"],
        "job": sent["job"],
        "page": "1",
        "position": "1",
        "attempt": "att_" + "0" * 32,
        "e164": "+33199000099",
        "user": "bert",
        "webhook": webhook["id"],
        "kind": "cover",
        "name": "mine",
    }


async def ask(api: Native, name: str, method: str, path: str, known: Mapping[str, str]) -> Any:
    for key, value in known.items():
        path = path.replace("{" + key + "}", value.replace("+", "%2B"))
    body = BODIES.get(name, {} if method in ("POST", "PATCH") else None)
    return await api.call(method, path, body)


async def contents(api: Native) -> list[Any]:
    """What acme has: nothing of it may change by what others ask."""
    tables = (t.jobs, t.faxes, t.webhooks, t.templates, t.receptions)
    return [sorted(map(repr, await api.house.rows(table.select()))) for table in tables]


async def test_nobody_crosses(api: Native) -> None:
    """Each operation × no credentials, wrong token, ended account, missing scope, another customer, the owner."""
    owner = api.by(await api.desk.token(scopes=ALL))
    known = await things(owner)
    stranger = api.by(await api.desk.token(customer="beta", scopes=ALL))
    operator = api.by(await api.desk.token(customer=None, scopes=["operator"]))
    ended = api.by(await api.desk.token(state="ended", scopes=ALL))
    nobody, wrong = api.by({}), api.by({"Authorization": "Bearer fxt_wrong"})
    api.desk.ground.access._clients = Failures(10**9, 600)  # that many wrong tokens are the test
    before, asked = await contents(api), 0
    for name, method, path, row in await rows(api):
        unscoped = [scope for scope in ALL if scope not in row["x-scopes"]]
        poor = api.by(await api.desk.token(scopes=unscoped or ["admin"]))
        for who, expected in ((nobody, 401), (wrong, 401), (ended, 401), (poor, 403), (operator, 403)):
            got = await ask(who, name, method, path, known)
            assert (got.status, got.headers["Content-Type"].split(";")[0]) == (expected, "application/problem+json"), (
                name,
                got.body,
            )
            asked += 1
        if name == "streamEvents" or (method == "POST" and name in BODIES):
            continue
        got = await ask(stranger, name, method, path, known)
        asked += 1
        if name in OPEN_LISTS:
            assert got.status == 200 and not any(value in got.octets.decode() for value in crossing(known)), name
        elif name == "getDestination":
            assert (got.body["faxes"], got.body["last_call_at"]) == (0, None)
        elif name == "putTemplate":
            assert got.status == 200  # its own, of the same name
            await stranger.call("DELETE", "/templates/cover/mine")
        else:
            missing = {**known, "fax": "FN" + "0" * 20, "job": "F" + "0" * 21, "webhook": "whk_" + "0" * 32}
            gone = await ask(stranger, name, method, path, {**missing, "name": "none", "user": "none"})
            assert got.status == 404 == gone.status, (name, got.body)
            assert without_words(got.body) == without_words(gone.body), "like what does not exist"
    assert await contents(api) == before
    assert asked > 200


def crossing(known: Mapping[str, str]) -> list[str]:
    return [known[key] for key in ("fax", "job", "webhook", "e164", "user")]


def without_words(problem: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "detail"}


async def test_the_owner_is_let_in_everywhere(api: Native) -> None:
    """Else the test above would prove nothing."""
    owner = api.by(await api.desk.token(scopes=ALL))
    known = await things(owner)
    allowed = {
        "getPage": 404,
        "getFile": 409,
        "getLadder": 404,
        "previewFax": 409,
        "acknowledgeFax": 409,
        "resendJob": 409,
    }
    last = ("cancelFax", "cancelJob", "removeWebhook", "removeTemplate")
    every = sorted(await rows(api), key=lambda row: row[0] in last)
    for name, method, path, _row in every:
        if name == "streamEvents":
            continue
        got = await ask(owner, name, method, path, known)
        if name == "getPage":
            got_status = got.status
            assert got_status == 404
            continue
        assert got.status == allowed.get(name, got.status) and (got.status < 300 or name in allowed), (name, got.body)


@pytest.mark.parametrize("state, status", [("suspended", 403), ("ended", 401)])
async def test_the_state_of_a_customer_counts(api: Native, state: str, status: int) -> None:
    """Suspended: nothing at all. Ended: what was there can be read (docs/accounts.md); nothing else."""
    owner = api.by(await api.desk.token(scopes=ALL))
    known = await things(owner)
    await api.house.change(update(t.customers).where(t.customers.c.id == "acme").values(state=state))
    for name, method, path, row in await rows(api):
        if name == "streamEvents":
            continue
        got = await ask(owner, name, method, path, known)
        reads = {"faxes:read", "inbox:read"} & set(row["x-scopes"])
        if state == "suspended":
            assert (got.status, got.body["code"]) == (status, "account_suspended"), name
        elif not reads:
            assert (got.status, got.body["code"]) == (403, "account_suspended"), name
        else:
            assert got.status in (200, 404, 409), (name, got.body)


async def test_every_operation_names_its_refusals(api: Native) -> None:
    for operation in api.api.table.operations:
        for code in (*openapi.EVERYWHERE, *operation.problems):
            assert code in PROBLEMS, (operation.name, code)
