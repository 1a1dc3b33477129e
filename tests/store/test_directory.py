"""Who may do what, on a real store; nothing of another customer ever comes back (docs/spine.md section 1)."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from faxgw.fax.account import AccountState, Level
from faxgw.store import directory
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, Sender, UserSeed
from tests.house import DOMAIN, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

RICH = CustomerSeed(
    "gamma",
    "Gamma",
    domains=("Fax.Gamma.example",),
    addresses=("boss@gamma.example",),
    networks=("198.51.100.0/24", "2001:db8::/32"),
    profiles={"office": {"resolution": "standard", "csid": "+33 1"}},
    users=(UserSeed("dora", profile="office", addresses=("Dora@gamma.example",), settings={"csid": "+33 2"}),),
    settings={"language": "fr", "resolution": "fine"},
)


@pytest.mark.parametrize(
    "address, peer, expected",
    [
        ("alice@example.org", "", (Sender("acme", ""), "address")),
        ("ALICE@EXAMPLE.ORG", "", (Sender("acme", ""), "address")),
        ("carol@example.net", "", (Sender("beta", ""), "address")),
        ("dave@example.net", "", None),
        ("dora@gamma.example", "", (Sender("gamma", "gamma/dora"), "address")),
        ("eve@sub.example.org", "", None),
        ("example.org", "", None),
        ("x@y.test", "192.0.2.200", (Sender("acme", ""), "network")),
        ("x@y.test", "::ffff:192.0.2.200", (Sender("acme", ""), "network")),
        ("x@y.test", "2001:db8::7", (Sender("gamma", ""), "network")),
        ("x@y.test", "203.0.113.1", None),
        ("x@y.test", "not an address", None),
    ],
)
async def test_who_may_send_and_why(house: House, address: str, peer: str, expected: tuple[Sender, str] | None) -> None:
    await house.do(directory.seed, [RICH])
    assert await house.ask(directory.sender, address, peer) == expected


async def test_the_narrowest_network_decides(house: House) -> None:
    await house.do(directory.seed, [CustomerSeed("beta", "Beta", networks=("192.0.2.64/26",))])
    assert await house.ask(directory.sender, "x@y.test", "192.0.2.70") == (Sender("beta", ""), "network")
    assert await house.ask(directory.sender, "x@y.test", "192.0.2.7") == (Sender("acme", ""), "network")


async def test_an_authorisation_can_be_taken_away(house: House) -> None:
    await house.do(directory.forget_sender, "domain", "example.org")
    assert await house.ask(directory.sender, "alice@example.org", "") is None


async def test_domains_are_known_whatever_their_case(house: House) -> None:
    await house.do(directory.seed, [RICH])
    assert await house.ask(directory.domain_customer, "fax.GAMMA.example") == (True, "gamma")
    assert await house.ask(directory.domain_customer, "elsewhere.test") == (False, None)
    assert await house.ask(directory.a_domain_of, "acme") == DOMAIN
    assert await house.ask(directory.a_domain_of, "nobody") == ""


async def test_settings_come_from_the_strongest_level_with_their_origin(house: House) -> None:
    await house.do(directory.seed, [RICH])
    found = await house.ask(directory.effective, {"language": "de", "country": "BE"}, "gamma", "gamma/dora")
    assert {key: (found[key], str(found.origins[key])) for key in ("country", "language", "resolution", "csid")} == {
        "country": ("BE", "system"),
        "language": ("fr", "customer gamma"),
        "resolution": ("standard", "profile office"),
        "csid": ("+33 2", "user dora"),
    }
    assert found.origins["paper"].level is Level.DEFAULT


async def test_a_user_of_another_customer_lends_nothing(house: House) -> None:
    await house.do(directory.seed, [RICH])
    assert (await house.ask(directory.effective, {}, "acme", "gamma/dora"))["csid"] == ""
    assert await house.ask(directory.account_states, "acme", "gamma/dora") == (
        AccountState.ACTIVE,
        AccountState.ENDED,
    )


async def test_states_of_accounts(house: House) -> None:
    assert await house.ask(directory.account_states, "acme", "") == (AccountState.ACTIVE, AccountState.ACTIVE)
    assert (await house.ask(directory.account_states, "nobody", ""))[0] is AccountState.ENDED
    await house.change(update(t.users).values(state="suspended"))
    assert (await house.ask(directory.account_states, "acme", "acme/bert"))[1] is AccountState.SUSPENDED


async def test_a_seed_laid_again_changes_what_it_names_and_keeps_states(house: House) -> None:
    await house.change(update(t.customers).values(state="suspended"))
    await house.change(update(t.users).values(state="ended"))
    changed = CustomerSeed("acme", "Acme Ltd", users=(UserSeed("bert", login="bert2", password_hash="x"),))
    for _ in range(2):
        await house.do(directory.seed, [changed])
    rows = await house.rows(select(t.customers.c.name, t.customers.c.state).where(t.customers.c.id == "acme"))
    assert [tuple(row) for row in rows] == [("Acme Ltd", "suspended")]
    logins = await house.rows(select(t.logins.c.name, t.logins.c.state, t.logins.c.managed))
    assert [tuple(row) for row in logins] == [("bert2", "active", "file")]
    found = await house.ask(directory.login, "bert2")
    assert found is not None and found.state is AccountState.ENDED, "as the user is"
    assert (await house.ask(directory.domain_customer, DOMAIN)) == (True, "acme"), "nothing is removed"


async def test_logins_and_passwords(house: House) -> None:
    await house.do(directory.seed, [RICH])
    found = await house.ask(directory.login, "bert")
    assert found is not None and (found.user, found.customer, found.password) == ("acme/bert", "acme", "none")
    assert await house.ask(directory.login, "dora") is None
    assert await house.ask(directory.passwords) == {}, "of those that the file gives now"
    bert = UserSeed("bert", login="bert", password_hash="hash")
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", users=(bert,))])
    assert await house.ask(directory.passwords) == {"acme/bert": "hash"}
    bert = UserSeed("bert", login="bert2", password_hash="hash")
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", users=(bert,))])
    assert await house.ask(directory.login, "bert") is None, "what the file gave and gives no more"
    assert await house.ask(directory.customers) == ["acme", "beta", "gamma"]
