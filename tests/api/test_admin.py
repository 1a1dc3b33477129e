"""The accounts interface: what an administrator sees, what only an operator does, and that customers never meet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from faxgw.api.admin import AdminRoutes
from faxgw.api.administration import PREFIX
from faxgw.api.http import Ground
from faxgw.formats.directory_csv import OUTBOUND
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.store import credentials
from faxgw.store.passwords import Passwords
from tests.api.desk import CHEAP, Desk, basic, desk
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def door(house: House) -> AsyncIterator[Desk]:
    passwords = Passwords(house.clock, CHEAP)

    def tables(ground: Ground) -> list[Sequence[web.AbstractRouteDef]]:
        owners = {"people": "gamma", "others": "acme"}
        settings = [DirectorySettings(name=name, customer=owner) for name, owner in owners.items()]
        imports = DirectoryImports(house.store, settings, house.clock, {})
        return [AdminRoutes(ground, passwords, {"language": "de"}, imports).routes()]

    async with desk(house, tables) as made:
        yield made
    passwords.close()


async def ask(door: Desk, who: dict[str, str], method: str, path: str, body: object = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body)
    async with door.client.request(method, PREFIX + path, data=data, headers=who) as answer:
        octets = await answer.read()
        return answer.status, json.loads(octets) if octets else None


@pytest_asyncio.fixture(loop_scope="session")
async def operator(door: Desk) -> dict[str, str]:
    return await door.token(customer=None, scopes=["operator"])


@pytest_asyncio.fixture(loop_scope="session")
async def admin(door: Desk, operator: dict[str, str]) -> dict[str, str]:
    """The administrator of gamma."""
    assert (await ask(door, operator, "POST", "/customers", {"id": "gamma", "name": "Gamma"}))[0] == 201
    return await door.token(customer="gamma", scopes=["admin"])


async def test_an_operator_makes_a_customer_and_its_administrator_the_rest(
    door: Desk, operator: dict[str, str], admin: dict[str, str]
) -> None:
    of = "/customers/gamma"
    number = {"e164": "+33199000009", "clip": True, "settings": {"deliver_to": ["in@gamma.example"]}}
    assert (await ask(door, operator, "POST", f"{of}/numbers", number))[0] == 201
    assert (await ask(door, operator, "POST", f"{of}/domains", {"name": "Fax.Gamma.example"}))[0] == 201
    sender = {"kind": "domain", "value": "Gamma.example"}
    assert (await ask(door, operator, "POST", f"{of}/senders", sender))[0] == 201
    profile = {"name": "office", "settings": {"clip": "+33199000009", "resolution": "standard"}}
    assert (await ask(door, admin, "POST", f"{of}/profiles", profile))[0] == 201
    status, user = await ask(door, admin, "POST", f"{of}/users", {"name": "dora", "profile": "office"})
    assert (status, user["profile"], user["state"]) == (201, "office", "active")
    status, found = await ask(door, admin, "GET", f"{of}/settings?user=dora")
    shown = {key: (value["value"], value["origin"]) for key, value in found["settings"].items()}
    assert (shown["resolution"], shown["language"]) == (("standard", "profile office"), ("de", "system"))
    status, found = await ask(door, admin, "PATCH", f"{of}/users/dora", {"profile": None, "settings": {"paper": "A4"}})
    assert (status, found["profile"], found["settings"]) == (200, None, {"paper": "A4"})
    assert (await ask(door, admin, "GET", f"{of}/numbers"))[1]["numbers"][0]["e164"] == "+33199000009"
    assert (await ask(door, admin, "GET", f"{of}/senders"))[1]["senders"][0]["value"] == "gamma.example"
    assert (await ask(door, admin, "DELETE", f"{of}/profiles/office"))[0] == 204
    assert (await ask(door, operator, "DELETE", f"{of}/senders?kind=domain&value=Gamma.example"))[0] == 204
    events = (await ask(door, admin, "GET", f"{of}/audit"))[1]["events"]
    assert events[0]["what"] == "account.sender.removed" and events[-1]["what"] == "account.customer.created"
    assert {event["who"] for event in events} == {"token:tok_1", "token:tok_2"}


async def test_a_range_of_numbers_is_entered_and_may_be_shown(
    door: Desk, operator: dict[str, str], admin: dict[str, str]
) -> None:
    of = "/customers/gamma/numbers"
    block = {"e164": "+33199000500", "last": "+33199000599", "clip": True}
    status, made = await ask(door, operator, "POST", of, block)
    assert (status, made["last"]) == (201, "+33199000599")
    for body, why in (
        ({"e164": "+33199000550", "last": "+33199000650"}, "overlaps"),
        ({"e164": "+33199000700", "last": "+3319900070"}, "equal length"),
    ):
        status, refused = await ask(door, operator, "POST", of, body)
        assert (status, why in refused["detail"]) == (422, True), refused
    profile = {"name": "block", "settings": {"clip": "+33199000542"}}
    assert (await ask(door, admin, "POST", "/customers/gamma/profiles", profile))[0] == 201


async def test_a_login_is_made_with_a_password_that_is_shown_once(door: Desk, admin: dict[str, str]) -> None:
    status, made = await ask(door, admin, "POST", "/customers/gamma/logins", {"name": "erp", "scopes": ["admin"]})
    assert status == 201 and len(made["password"]) >= 20
    assert (await ask(door, basic("erp", made["password"]), "GET", "/customers/gamma"))[0] == 200
    found = (await ask(door, admin, "GET", "/customers/gamma/logins/erp"))[1]
    assert "password" not in found and found["scopes"] == ["admin"]
    change = {"password": "a longer secret", "allow": ["192.0.2.0/24"]}
    status, changed = await ask(door, admin, "PATCH", "/customers/gamma/logins/erp", change)
    assert status == 200 and "password" not in changed and changed["scopes"] == ["admin"]
    assert (await ask(door, basic("erp", "a longer secret"), "GET", "/customers/gamma"))[0] == 401, "not from here"
    await ask(door, admin, "PATCH", "/customers/gamma/logins/erp", {"allow": []})
    assert (await ask(door, basic("erp", "a longer secret"), "GET", "/customers/gamma"))[0] == 200
    assert (await ask(door, admin, "POST", "/customers/gamma/logins/erp/state", {"state": "suspended"}))[0] == 200
    assert (await ask(door, basic("erp", "a longer secret"), "GET", "/customers/gamma"))[0] == 403
    assert (await ask(door, admin, "DELETE", "/customers/gamma/logins/erp"))[0] == 204
    assert (await ask(door, basic("erp", "a longer secret"), "GET", "/customers/gamma"))[0] == 401


async def test_a_token_is_made_used_and_revoked(door: Desk, admin: dict[str, str]) -> None:
    body = {"name": "CI", "scopes": ["admin"], "expires_at": door.house.now + 100}
    status, made = await ask(door, admin, "POST", "/customers/gamma/tokens", body)
    assert status == 201 and made["token"].startswith(credentials.TOKEN_MARK)
    mine = {"Authorization": f"Bearer {made['token']}"}
    assert (await ask(door, mine, "GET", "/customers/gamma"))[0] == 200
    listed = (await ask(door, admin, "GET", "/customers/gamma/tokens"))[1]["tokens"]
    assert made["id"] in {row["id"] for row in listed} and made["token"] not in str(listed)
    revoke = f"/customers/gamma/tokens/{made['id']}/state"
    assert (await ask(door, admin, "POST", revoke, {"state": "ended"}))[0] == 204
    assert (await ask(door, mine, "GET", "/customers/gamma"))[0] == 401
    assert (await ask(door, admin, "POST", revoke, {"state": "active"}))[0] == 422


REQUESTS: Sequence[tuple[str, str, object]] = [
    ("GET", "", None),
    ("PATCH", "", {"name": "X"}),
    ("GET", "/settings", None),
    ("GET", "/settings?user=bert", None),
    ("GET", "/audit", None),
    ("GET", "/senders", None),
    ("GET", "/tokens", None),
    ("POST", "/tokens", {"name": "x", "scopes": ["admin"]}),
    ("POST", "/tokens/tok_1/state", {"state": "ended"}),
    ("GET", "/users", None),
    ("POST", "/users", {"name": "x"}),
    ("GET", "/users/bert", None),
    ("PATCH", "/users/bert", {"settings": {}}),
    ("DELETE", "/users/bert", None),
    ("POST", "/users/bert/state", {"state": "ended"}),
    ("GET", "/logins/bert", None),
    ("DELETE", "/logins/bert", None),
    ("GET", "/numbers", None),
    ("GET", "/domains/fax.example.org", None),
]


@pytest.mark.parametrize("method, path, body", REQUESTS)
async def test_another_customer_is_answered_like_one_that_does_not_exist(
    door: Desk, admin: dict[str, str], method: str, path: str, body: object
) -> None:
    foreign = await ask(door, admin, method, f"/customers/acme{path}", body)
    missing = await ask(door, admin, method, f"/customers/nobody{path}", body)
    assert foreign == missing and foreign[0] == 404


OPERATORS: Sequence[tuple[str, str, object]] = [
    ("POST", "/customers", {"id": "x"}),
    ("POST", "/customers/gamma/state", {"state": "active"}),
    ("PATCH", "/customers/gamma", {"settings": {"faxes_per_day": 5}}),
    ("POST", "/customers/gamma/users", {"name": "x", "settings": {"interfaces": ["api"]}}),
    ("POST", "/customers/gamma/numbers", {"e164": "+33199000001"}),
    ("PATCH", "/customers/gamma/numbers/+33199000001", {"clip": True}),
    ("POST", "/customers/gamma/numbers/+33199000001/state", {"state": "active"}),
    ("POST", "/customers/gamma/domains", {"name": "fax.x.example"}),
    ("DELETE", "/customers/gamma/domains/fax.x.example", None),
    ("POST", "/customers/gamma/senders", {"kind": "domain", "value": "x.example"}),
    ("DELETE", "/customers/gamma/senders?kind=domain&value=x.example", None),
    ("GET", "/tokens", None),
    ("POST", "/tokens", {"name": "x", "scopes": ["operator"]}),
    ("POST", "/tokens/tok_1/state", {"state": "ended"}),
]


@pytest.mark.parametrize("method, path, body", OPERATORS)
async def test_what_is_booked_and_proven_is_the_operators(
    door: Desk, admin: dict[str, str], method: str, path: str, body: object
) -> None:
    status, found = await ask(door, admin, method, path, body)
    assert (status, found["code"]) == (403, "scope_missing")


async def test_no_customer_gets_an_operator(door: Desk, admin: dict[str, str], operator: dict[str, str]) -> None:
    for who in (admin, operator):
        token = {"name": "x", "scopes": ["admin", "operator"]}
        assert (await ask(door, who, "POST", "/customers/gamma/tokens", token))[0] == 422
        login = {"name": "x", "scopes": ["operator"]}
        assert (await ask(door, who, "POST", "/customers/gamma/logins", login))[0] == 422
    assert (await ask(door, operator, "POST", "/tokens", {"name": "x", "scopes": ["admin"]}))[0] == 422


async def test_without_the_scope_nothing_is_to_be_seen(door: Desk) -> None:
    token = await door.token(scopes=["faxes:read", "faxes:write"])
    assert (await ask(door, token, "GET", "/customers"))[0] == 403
    assert (await ask(door, {}, "GET", "/customers"))[0] == 401


async def test_customers_are_listed_for_whom_they_are(
    door: Desk, operator: dict[str, str], admin: dict[str, str]
) -> None:
    assert [row["id"] for row in (await ask(door, admin, "GET", "/customers"))[1]["customers"]] == ["gamma"]
    everyone = (await ask(door, operator, "GET", "/customers?limit=2"))[1]["customers"]
    assert [row["id"] for row in everyone] == ["acme", "beta"]
    assert [row["id"] for row in (await ask(door, operator, "GET", "/customers?after=beta"))[1]["customers"]] == [
        "gamma"
    ]


BAD: Sequence[tuple[str, object, int, str]] = [
    ("/users", {"name": "a b"}, 422, "name"),
    ("/users", {"name": "x", "colour": "red"}, 422, "colour"),
    ("/users", {"name": 5}, 422, "name"),
    ("/users", [], 422, ""),
    ("/users", {"name": "x", "settings": {"paper": "A3"}}, 422, ""),
    ("/users", {"name": "x", "profile": "none"}, 404, ""),
    ("/logins", {"name": "a:b"}, 422, "name"),
    ("/logins", {"name": "x", "password": "short"}, 422, "password"),
    ("/logins", {"name": "x", "scopes": []}, 422, "scopes"),
    ("/logins", {"name": "x", "scopes": ["root"]}, 422, "scopes[0]"),
    ("/logins", {"name": "x", "allow": ["everywhere"]}, 422, "allow"),
    ("/logins", {"name": "bert"}, 409, ""),
    ("/numbers", {"e164": "0123"}, 422, "e164"),
    ("/numbers", {"e164": "+33199000009", "clip_until": -1}, 422, "clip_until"),
    ("/domains", {"name": "no domain"}, 422, "name"),
    ("/domains", {"name": "fax.example.org"}, 409, ""),
    ("/senders", {"kind": "network", "value": "10.0.0.1/8"}, 422, ""),
    ("/senders", {"kind": "address", "value": "x"}, 422, ""),
    ("/state", {"state": "closed"}, 422, "state"),
]


@pytest.mark.parametrize("path, body, status, param", BAD)
async def test_what_is_wrong_is_refused_with_its_place(
    door: Desk, operator: dict[str, str], admin: dict[str, str], path: str, body: object, status: int, param: str
) -> None:
    got, found = await ask(door, operator, "POST", f"/customers/gamma{path}", body)
    assert (got, found.get("param", "")) == (status, param), found


async def test_a_query_that_is_no_number_is_refused(door: Desk, operator: dict[str, str]) -> None:
    for query in ("limit=x", "limit=-1", "limit=" + "9" * 40):
        assert (await ask(door, operator, "GET", f"/customers?{query}"))[0] == 422


async def test_the_settings_files_own_are_changed_there(door: Desk, operator: dict[str, str]) -> None:
    status, found = await ask(door, operator, "PATCH", "/customers/acme", {"name": "X"})
    assert (status, found["detail"]) == (409, "Customer acme stands in the settings file; change it there.")
    assert (await ask(door, operator, "POST", "/customers/acme/state", {"state": "suspended"}))[0] == 200


async def test_a_directory_is_posted_by_whom_it_belongs_to(
    door: Desk, admin: dict[str, str], operator: dict[str, str]
) -> None:
    """Features B3."""
    octets = ",".join(["anna@gamma.example", *[""] * (len(OUTBOUND) - 1)]).encode()

    async def post(who: dict[str, str], path: str, body: bytes = octets) -> tuple[int, Any]:
        async with door.client.post(PREFIX + path, data=body, headers=who) as answer:
            return answer.status, await answer.json()

    assert (await ask(door, admin, "GET", "/directories"))[1] == {"directories": ["people"]}
    assert (await ask(door, operator, "GET", "/directories"))[1] == {"directories": ["people", "others"]}
    foreign = await post(admin, "/directories/others/import")
    assert foreign == await post(admin, "/directories/none/import") and foreign[0] == 404
    status, found = await post(admin, "/directories/people/import?dry_run=1")
    assert (status, found["created"], found["dry_run"]) == (200, 1, True)
    assert (await ask(door, admin, "GET", "/customers/gamma/users"))[1] == {"users": []}
    assert (await post(admin, "/directories/people/import"))[0] == 200
    status, found = await post(admin, "/directories/people/import", b"x")
    assert (status, found["code"]) == (422, "import_refused")
    users = (await ask(door, admin, "GET", "/customers/gamma/users"))[1]["users"]
    assert [(user["name"], user["managed"]) for user in users] == [("anna@gamma.example", "directory")]
    of = "/customers/gamma"
    assert (await ask(door, admin, "GET", f"{of}/users/anna@gamma.example"))[1] == users[0]
    assert (await ask(door, admin, "POST", f"{of}/logins", {"name": "anna", "user": users[0]["name"]}))[0] == 201
    state = {"state": "suspended", "reason": "left"}
    assert (await ask(door, operator, "POST", f"{of}/users/anna%40gamma.example/state", state))[0] == 200
    status, found = await ask(door, admin, "POST", "/directories/people/pull")
    assert (status, found["code"]) == (422, "import_refused") and "not fetched from anywhere" in found["detail"]
