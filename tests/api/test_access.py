"""Who is asking: right and wrong credentials, and what a stranger learns of them."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import delete, select, update

from faxgw.api import access
from faxgw.api.access import CLIENT_FAILURES, LOGIN_FAILURES, PAIR_FAILURES, WINDOW_S, basic_pair
from faxgw.api.http import Api, Ground
from faxgw.fax.access import Caller, Denial, Interface, Scope
from faxgw.store import login_keys
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from tests.api.desk import CHEAP, Desk, basic, desk
from tests.house import NOON, House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def who(request: web.Request, caller: Caller) -> web.Response:
    scopes = sorted(caller.scopes)
    return web.json_response({"customer": caller.customer, "user": caller.user, "name": caller.name, "scopes": scopes})


def tables(ground: Ground) -> list[Sequence[web.AbstractRouteDef]]:
    api = Api(ground, Interface.REST)
    api.add("GET", "/who", who)
    api.add("POST", "/send", who, scope=Scope.FAXES_WRITE)
    api.add("GET", "/read", who, scope=Scope.FAXES_READ)
    return [api.routes()]


@pytest_asyncio.fixture(loop_scope="session")
async def door(house: House) -> AsyncIterator[Desk]:
    async with desk(house, tables) as made:
        yield made


async def ask(door: Desk, path: str = "/who", method: str = "GET", **how: Any) -> tuple[int, Any]:
    async with door.client.request(method, path, **how) as answer:
        return answer.status, await answer.json(content_type=None)


# ---------------------------------------------------------------------------------------------- right credentials


async def test_a_login_is_its_customer_and_user(door: Desk) -> None:
    auth = await door.login("bert2", user="acme/bert")
    status, found = await ask(door, headers=auth)
    assert (status, found["customer"], found["user"], found["name"]) == (200, "acme", "acme/bert", "login:bert2")


async def test_a_token_is_its_customer_and_has_its_scopes_alone(door: Desk) -> None:
    token = await door.token(scopes=["faxes:read"])
    status, found = await ask(door, headers=token)
    assert (status, found["name"], found["scopes"]) == (200, "token:tok_1", ["faxes:read"])
    assert (await ask(door, "/read", headers=token))[0] == 200
    status, found = await ask(door, "/send", "POST", headers=token)
    assert (status, found["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    "field",
    [
        "Basic " + base64.b64encode(b"o'k:???>>>").decode(),
        "basic " + base64.urlsafe_b64encode(b"o'k:???>>>").decode(),
        "BASIC   " + base64.urlsafe_b64encode(b"o'k:???>>>").decode().rstrip("="),
    ],
)
async def test_both_alphabets_of_base64_are_taken(door: Desk, field: str) -> None:
    """Interfaces section 1.2: the vendor's Python SDK sends the URL-safe one."""
    await door.login("o'k", "???>>>")
    assert (await ask(door, headers={"Authorization": field}))[0] == 200


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
async def test_a_password_may_have_accents(door: Desk, charset: str) -> None:
    await door.login("anna", "Straße:€" if charset == "utf-8" else "Straße:")
    password = "Straße:€" if charset == "utf-8" else "Straße:"
    value = base64.b64encode(f"anna:{password}".encode(charset)).decode()
    assert (await ask(door, headers={"Authorization": f"Basic {value}"}))[0] == 200


async def test_its_use_is_noted_now_and_then(door: Desk) -> None:
    auth, token = await door.login("erp"), await door.token()
    used = select(t.logins.c.last_used_at).where(t.logins.c.name == "erp")
    for _ in range(3):
        assert (await ask(door, headers=auth))[0] == (await ask(door, headers=token))[0] == 200
        door.house.clock.now += 100
    assert [row.last_used_at for row in await door.house.rows(used)] == [NOON]
    assert [row.last_used_at for row in await door.house.rows(select(t.tokens.c.last_used_at))] == [NOON]
    assert (await ask(door, headers=auth))[0] == 200
    assert [row.last_used_at for row in await door.house.rows(used)] == [NOON + 300]


# ---------------------------------------------------------------------------------------------- wrong credentials


async def test_everything_that_is_wrong_is_answered_alike(door: Desk) -> None:
    await door.login("erp")
    await door.login("old", state="ended")
    await door.login("far", allow=["192.0.2.0/24"])
    ended, far = await door.token(state="ended"), await door.token(allow=["192.0.2.0/24"])
    expired = await door.token(expires_at=NOON)
    wrong: list[dict[str, Any]] = [
        {},
        {"headers": basic("erp", "wrong")},
        {"headers": basic("nobody", "secret")},
        {"headers": basic("old", "secret")},
        {"headers": basic("far", "secret")},
        {"headers": ended},
        {"headers": far},
        {"headers": expired},
        *({"headers": {"Authorization": field}} for field in ("Basic", "Basic !", "Basic ZXJw", "Bearer", "Digest x")),
        {"headers": {"Authorization": "Bearer fxt_none"}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(b"erp:sec\0ret").decode()}},
    ]
    answers = []
    for how in wrong:
        async with door.client.get("/who", **how) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in ("Date", "X-Request-ID")}
            answers.append((answer.status, kept, await answer.read()))
    assert [number for number, answer in enumerate(answers) if answer != answers[0]] == []
    status, headers, body = answers[0]
    assert status == 401 and headers["WWW-Authenticate"] == 'Basic realm="faxgw", charset="UTF-8"'
    assert headers["Content-Type"].startswith("application/problem+json")
    assert json.loads(body)["code"] == "unauthorized"


@pytest.mark.parametrize("level", ["customers", "users", "logins"])
@pytest.mark.parametrize(
    "state, who_status, read, send",
    [
        ("active", 200, 200, 200),
        ("outbound_suspended", 200, 200, 403),
        ("suspended", 403, 403, 403),
        ("ended", 200, 200, 403),
    ],
)
async def test_the_state_of_the_account_counts(
    door: Desk, level: str, state: str, who_status: int, read: int, send: int
) -> None:
    """Features B0; an ended login is a removed one."""
    auth = await door.login("erp", user="acme/bert")
    await door.house.change(update(t.metadata.tables[level]).values(state=state))
    if (level, state) == ("logins", "ended"):
        who_status = read = send = 401
    assert (await ask(door, headers=auth))[0] == who_status
    assert (await ask(door, "/read", headers=auth))[0] == read
    status, found = await ask(door, "/send", "POST", headers=auth)
    assert status == send
    if status == 403:
        assert found["code"] == "account_suspended" and found["detail"].startswith("This account ")


async def test_an_interface_that_is_not_booked_is_closed(door: Desk) -> None:
    """Features B5."""
    auth = await door.login("erp", user="acme/bert")
    await door.house.change(update(t.customers).values(settings={"interfaces": ["rest", "smtp"]}))
    assert (await ask(door, headers=auth))[0] == 200
    await door.house.change(update(t.users).values(settings={"interfaces": ["smtp"]}))
    status, found = await ask(door, headers=auth)
    assert (status, found["code"]) == (403, "interface_not_booked")
    await door.house.change(update(t.customers).values(settings={"interfaces": ["smtp"]}))
    await door.house.change(update(t.users).values(settings={"interfaces": ["rest"]}))
    assert (await ask(door, headers=auth))[0] == 403, "a user cannot open what the customer does not have"


async def test_a_changed_password_is_wrong_at_once(door: Desk) -> None:
    auth = await door.login("erp")
    assert (await ask(door, headers=auth))[0] == 200
    await door.house.change(update(t.logins).where(t.logins.c.name == "erp").values(password=CHEAP.hash("new")))
    assert (await ask(door, headers=auth))[0] == 401


# ------------------------------------------------------------------------------------------------------- guessing


async def guess(door: Desk, name: str, address: str, times: int) -> Caller | Denial:
    found: Caller | Denial = Denial.UNKNOWN
    for number in range(times):
        found = await door.ground.access.login(name, f"guess {number}", address, Interface.REST)
    return found


async def right(door: Desk, address: str, name: str = "erp") -> bool:
    return isinstance(await door.ground.access.login(name, "secret", address, Interface.REST), Caller)


async def test_a_client_that_fails_too_often_is_barred_for_a_while(door: Desk) -> None:
    auth = await door.login("erp")
    for _ in range(PAIR_FAILURES):
        assert (await ask(door, headers=basic("erp", "wrong")))[0] == 401
    async with door.client.get("/who", headers=auth) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "600")
    door.ticks.now += WINDOW_S
    assert (await ask(door, headers=auth))[0] == 200


async def test_guesses_at_many_logins_bar_their_client(door: Desk) -> None:
    await door.login("erp")
    for number in range(CLIENT_FAILURES):
        await guess(door, f"name {number}", "198.51.100.1", 1)
    assert not await right(door, "198.51.100.1")
    assert await right(door, "198.51.100.2")


async def test_guesses_from_everywhere_bar_a_login_but_not_its_own_machine(door: Desk) -> None:
    await door.login("erp")
    assert await right(door, "192.0.2.1")
    for number in range(LOGIN_FAILURES):
        await guess(door, "erp", f"198.51.100.{number}", 1)
    assert not await right(door, "203.0.113.1"), "a machine it never came from, though the password is remembered"
    door.ticks.now += 120  # the password is no longer remembered, the window still runs
    assert await right(door, "192.0.2.1")


async def test_guesses_behind_a_shared_address_do_not_lock_its_login_out(door: Desk) -> None:
    await door.login("erp")
    assert await right(door, "192.0.2.1")
    for number in range(CLIENT_FAILURES):
        await guess(door, f"name {number}", "192.0.2.1", 1)
    door.ticks.now += 120
    assert await right(door, "192.0.2.1")
    assert await guess(door, "other", "192.0.2.1", 1) is Denial.BARRED


async def test_a_known_machine_may_not_guess_either(door: Desk) -> None:
    await door.login("erp")
    assert await right(door, "192.0.2.1")
    assert await guess(door, "erp", "192.0.2.1", PAIR_FAILURES + 1) is Denial.BARRED


async def test_wrong_tokens_bar_no_right_one(door: Desk) -> None:
    token = await door.token()
    wrong = {"Authorization": "Bearer fxt_wrong"}
    statuses = [(await ask(door, headers=wrong))[0] for _ in range(CLIENT_FAILURES + 1)]
    assert statuses[0] == 401 and statuses[-1] == 429
    assert (await ask(door, headers=token))[0] == 200


async def test_known_machines_are_bounded(door: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_KNOWN", 3)
    await door.login("erp")
    for number in range(9):
        assert await right(door, f"192.0.2.{number}")
    assert len(door.ground.access._known) == 3


async def test_no_secret_is_logged(door: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await ask(door, headers=basic("hunter1", "hunter2"))
    await ask(door, headers={"Authorization": "Bearer fxt_hunter3"})
    assert "hunter" not in caplog.text + str([r.__dict__ for r in caplog.records])


@pytest.mark.parametrize(
    "value, pair",
    [
        ("ZXJwOmE6Yg==", ("erp", "a:b")),
        ("ZXJwOg==", ("erp", "")),
        ("OnNlY3JldA==", None),
        ("", None),
        ("ZXJw", None),
        ("Z", None),
    ],
)
async def test_basic_credentials_are_read(value: str, pair: tuple[str, str] | None) -> None:
    """RFC 7617 section 2: the name ends at the first colon."""
    assert basic_pair(value) == pair


# ------------------------------------------------------------------------------------------------ open sessions

KEY_LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHoLfyhLlKOloAZErwcKMZ3A+xWTIUKRA9RxSt/Oo1nk erp@host"


@pytest.mark.parametrize(
    ("change", "by_password", "by_key"),
    [
        (None, True, True),
        ("password", False, True),
        ("key", True, False),
        ("ended", False, False),
        ("suspended", False, False),
        ("scopes", False, False),
        ("allow", False, False),
        ("interface", False, False),
        ("user", False, False),
        ("gone", False, False),
    ],
)
async def test_a_session_holds_as_long_as_it_would_be_let_in_anew(
    door: Desk, change: str | None, by_password: bool, by_key: bool
) -> None:
    house, login = door.house, update(t.logins).where(t.logins.c.name == "erp")
    await door.login("erp")
    key = login_keys.read_key(KEY_LINE)
    await house.do(login_keys.add, "acme", "erp", key, by=Author("test", house.now))
    entered = door.ground.access
    callers = [
        await entered.login("erp", "secret", "192.0.2.1", Interface.SFTP),
        await entered.key("erp", key.fingerprint, "192.0.2.1", Interface.SFTP),
    ]
    assert all(isinstance(one, Caller) and "secret" not in one.proof for one in callers)
    match change:
        case "password":
            await house.change(login.values(password=CHEAP.hash("another")))
        case "key":
            await house.do(login_keys.remove, "acme", "erp", key.shown, by=Author("test", house.now))
        case "ended" | "suspended":
            await house.change(login.values(state=change))
        case "scopes":
            await house.change(login.values(scopes=["faxes:read"]))
        case "allow":
            await house.change(login.values(allow=["198.51.100.0/24"]))
        case "interface":
            await house.change(update(t.customers).values(settings={"interfaces": ["api"]}))
        case "user":
            await house.change(login.values(user="acme/bert"))
        case "gone":
            await house.change(delete(t.login_keys))
            await house.change(delete(t.logins).where(t.logins.c.name == "erp"))
    given = [one for one in callers if isinstance(one, Caller)]
    assert list(await entered.holds(given, Interface.SFTP)) == [by_password, by_key]


async def test_when_a_key_was_used_is_noted_now_and_then(door: Desk) -> None:
    house = door.house
    await door.login("erp")
    key = login_keys.read_key(KEY_LINE)
    await house.do(login_keys.add, "acme", "erp", key, by=Author("test", house.now))
    for after, noted in ((0.0, 0.0), (10.0, 0.0), (access.USED_EVERY_S, access.USED_EVERY_S)):
        house.clock.now = NOON + after
        await door.ground.access.key("erp", key.fingerprint, "192.0.2.1", Interface.SFTP)
        (row,) = await house.ask(login_keys.rows, "acme", "erp")
        assert row["last_used_at"] == NOON + noted
