"""The caller's own account, its numbers and users, and numbers to dial."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, update

from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import schema as t
from tests.api.v1.world import Native, received

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_caller_is_told_who_it_is(api: Native) -> None:
    await api.house.change(update(t.customers).values(settings={"faxes_per_day": 500, "max_recipients": 9}))
    token = await api.get("/account")
    assert (token["customer"], token["name"], token["user"], token["login"]) == ("acme", "Acme", "", "")
    assert (token["token"], token["faxes_per_day"], token["pages_per_day"]) == ("tok_1", 500, None)
    assert (token["max_pages"], token["max_recipients"]) == (200, 9)
    login = await api.by(await api.desk.login("erp", user="acme/bert", scopes=["faxes:read"])).get("/account")
    assert (login["user"], login["login"], login["scopes"]) == ("bert", "erp", ["faxes:read"])


async def test_settings_come_with_their_origin(api: Native) -> None:
    await api.house.change(update(t.users).values(settings={"resolution": "standard"}))
    await api.house.change(update(t.customers).values(settings={"csid": "+33 1"}))
    bert = api.by(await api.desk.token(user="acme/bert"))
    found = (await bert.get("/account/settings"))["settings"]
    assert found["resolution"] == {"value": "standard", "origin": "user bert"}
    assert found["csid"] == {"value": "+33 1", "origin": "customer acme"}
    assert found["paper"]["origin"] == "default"
    assert (await api.get("/account/settings"))["settings"]["resolution"]["origin"] == "default"


async def test_numbers_and_users_are_listed_in_parts(api: Native) -> None:
    for number in range(3):
        await received(api.house, number=f"+3319900009{number}")
    first = await api.get("/numbers", limit=2)
    rest = await api.get("/numbers", limit=2, after=first["next"])
    assert [n["number"] for n in first["numbers"] + rest["numbers"]] == [f"+3319900009{n}" for n in range(3)]
    assert rest["next"] is None
    admin = api.by(await api.desk.token(scopes=["admin"]))
    assert (await admin.get("/users"))["users"] == [await admin.get("/users/bert")]
    await admin.get("/users/nobody", 404)
    await api.get("/numbers/%2B33199000055", 404)


async def test_users_of_a_directory_are_called_as_their_mail_address(api: Native) -> None:
    for name in ("zoe@acme.example", "zoë~0123456789ab"):
        own = {"id": f"acme/{name}", "name": name}
        await api.house.change(insert(t.users).values(customer="acme", state="active", settings={}, **own))
    admin = api.by(await api.desk.token(scopes=["admin", "faxes:read"]))
    first = await admin.get("/users", limit=2)
    rest = await admin.get("/users", limit=2, after=first["next"])
    assert [user["name"] for user in first["users"] + rest["users"]] == ["bert", "zoe@acme.example", "zoë~0123456789ab"]
    assert (await admin.get("/users/zoe@acme.example"))["name"] == "zoe@acme.example"
    assert (await admin.get("/faxes", user="zoe@acme.example"))["faxes"] == []


async def test_a_destination_is_told_by_the_accounts_own_calls(api: Native) -> None:
    ident = await api.house.ready_fax("+33199000001", pages=1)
    attempt = await api.house.plan(ident)
    await api.house.answer(attempt)
    await api.house.expose(attempt, ident)
    await api.house.confirm(attempt, ident, 1)
    heard = Outcome(Cause.OK, connected=True, remote_ident="+33 1 99", bit_rate=14_400, ecm=True, transport="t38")
    await api.house.done(attempt, heard)
    path = "/destinations/%2B33199000001"
    known = await api.get(path)
    assert (known["open"], known["country"], known["faxes"], known["sent"]) == (True, "FR", 1, 1)
    assert (known["last_cause"], known["station_id"], known["bit_rate"]) == ("ok", "+33 1 99", 14_400)
    beta = api.by(await api.desk.token(customer="beta"))
    assert (await beta.get(path))["last_call_at"] is None
    closed = await api.get("/destinations/%2B33899123456")
    assert not closed["open"] and closed["detail"]


async def test_a_call_has_a_ladder_without_hosts_of_ours(api: Native) -> None:
    ident = await received(api.house)
    found = await api.get(f"/faxes/{ident}/attempts/{ident}/ladder")
    assert [entry["name"] for entry in found["entries"]] == ["DIS"]
    picture = await api.call("GET", f"/faxes/{ident}/attempts/{ident}/ladder?format=svg")
    assert picture.headers["Content-Type"].startswith("image/svg+xml") and b"192.0.2.1" not in picture.octets
    assert "script-src" not in picture.headers["Content-Security-Policy"]
    await api.get(f"/faxes/{ident}/attempts/att_{'0' * 32}/ladder", 404)
