"""Accounts: made, changed, ended; who keeps a row decides it; every change has its event (features B0 to B6)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from faxgw.fax.account import AccountState
from faxgw.fax.errors import Refused
from faxgw.store import accounts, credentials, directory
from faxgw.store import schema as t
from faxgw.store.accounts import DOMAIN, LOGIN, NUMBER, PROFILE, USER, Author, Conflict, NotFound
from faxgw.store.credentials import TokenDraft, digest_of
from faxgw.store.directory import CustomerSeed, UserSeed
from tests.house import NOON, SEED, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = Author("operator", NOON)


async def customer(house: House, ident: str = "gamma", **settings: Any) -> None:
    await house.do(accounts.create_customer, ident, name="Gamma", settings=settings, by=BY)


async def audited(house: House, ident: str = "gamma") -> list[tuple[str, object]]:
    events = await house.ask(accounts.audit, ident)
    return [(event.what, event.data.get("key")) for event in reversed(events)]


async def test_a_customer_is_made_changed_suspended_and_ended(house: House) -> None:
    await customer(house, language="fr", csid="+33 1")
    with pytest.raises(Conflict, match="already"):
        await customer(house)
    change = accounts.change_customer
    await house.do(change, "gamma", name="G", settings={"csid": None, "language": "de"}, by=BY)
    row = await house.ask(accounts.customer_row, "gamma")
    assert (row["name"], row["settings"], row["state"]) == ("G", {"language": "de"}, "active")
    for state in (AccountState.SUSPENDED, AccountState.ACTIVE, AccountState.ENDED):
        await house.do(accounts.set_customer_state, "gamma", state, by=Author("anna", NOON, "not paid"))
    with pytest.raises(Refused, match="ended"):
        await house.do(accounts.set_customer_state, "gamma", AccountState.ACTIVE, by=BY)
    assert [what for what, _key in await audited(house)] == [
        "account.customer.created", "account.customer.changed", *["account.customer.state"] * 3
    ]  # fmt: skip
    newest = (await house.ask(accounts.audit, "gamma", limit=1))[0]
    assert newest.who == "anna"
    assert newest.data == {
        "customer": "gamma", "key": "gamma", "before": "active", "after": "ended", "reason": "not paid"
    }  # fmt: skip
    older = await house.ask(accounts.audit, "gamma", before=newest.serial)
    assert len(older) == 4


async def test_a_faulty_setting_is_refused_with_every_fault(house: House) -> None:
    with pytest.raises(Refused, match=r"colour: there is no such setting; paper: must be one of A4"):
        await customer(house, colour="red", paper="A3")


async def test_what_a_customer_has_is_made_and_listed(house: House) -> None:
    await customer(house)
    await house.do(accounts.create, "gamma", PROFILE, "office", {"settings": {"paper": "A4"}}, by=BY)
    user = {"profile": "office", "settings": {}}
    for name in ("dora", "anna"):
        await house.do(accounts.create, "gamma", USER, name, user, by=BY)
    await house.do(accounts.create, "gamma", DOMAIN, "fax.gamma.example", {"settings": {}}, by=BY)
    login = {"password": "hash", "user": "dora", "scopes": ["faxes:read"], "allow": []}
    await house.do(accounts.create, "gamma", LOGIN, "dora@gamma.example", login, by=BY)
    rows = await house.ask(accounts.rows, "gamma", USER)
    assert [(row["name"], row["profile"], row["state"]) for row in rows] == [
        ("anna", "office", "active"),
        ("dora", "office", "active"),
    ]
    assert [row["name"] for row in await house.ask(accounts.rows, "gamma", USER, after="anna")] == ["dora"]
    found = await house.ask(accounts.row, "gamma", LOGIN, "dora@gamma.example")
    assert found["user"] == "dora" and "password" not in found
    assert (await house.ask(directory.domain_customer, "fax.gamma.example")) == (True, "gamma")
    in_force = await house.ask(accounts.in_force, "gamma", "dora", {})
    assert str(in_force.origins["paper"]) == "profile office"
    await house.do(accounts.change, "gamma", LOGIN, "dora@gamma.example", {"password": "new"}, by=BY)
    assert "new" not in str([event.data for event in await house.ask(accounts.audit, "gamma")])


async def test_nothing_of_another_customer_can_be_seen_or_changed(house: House) -> None:
    await customer(house)
    await house.do(accounts.create, "gamma", USER, "dora", {"settings": {}}, by=BY)
    await house.do(accounts.create, "gamma", NUMBER, "+33199000009", {"settings": {}}, by=BY)
    for kind, key in ((USER, "dora"), (NUMBER, "+33199000009"), (USER, "gamma/dora"), (USER, "nothing")):
        with pytest.raises(NotFound, match="There is no such thing here"):
            await house.ask(accounts.row, "beta", kind, key)
        with pytest.raises(NotFound, match="There is no such thing here"):
            await house.do(accounts.change, "beta", kind, key, {"settings": {}}, by=BY)
        with pytest.raises(NotFound, match="There is no such thing here"):
            await house.do(accounts.set_state, "beta", kind, key, AccountState.ENDED, by=BY)
    assert await house.ask(accounts.rows, "beta", USER) == []
    assert await house.ask(accounts.audit, "beta") == []
    for column in ("profile", "user"):
        kind = USER if column == "profile" else LOGIN
        values: dict[str, Any] = {"settings": {}} if kind is USER else {"password": "x", "scopes": [], "allow": []}
        with pytest.raises(NotFound):
            await house.do(accounts.create, "beta", kind, "x", values | {column: "dora"}, by=BY)


async def test_a_key_that_is_taken_is_a_conflict_whosever_it_is(house: House) -> None:
    await customer(house)
    await house.do(accounts.create, "gamma", NUMBER, "+33199000009", {"settings": {}}, by=BY)
    with pytest.raises(Conflict, match="taken"):
        await house.do(accounts.create, "beta", NUMBER, "+33199000009", {"settings": {}}, by=BY)
    with pytest.raises(Conflict, match="taken"):
        login = {"password": "x", "scopes": [], "allow": []}
        await house.do(accounts.create, "gamma", LOGIN, "bert", login, by=BY)


async def test_what_the_settings_file_names_is_changed_there_but_for_its_state(house: House) -> None:
    with pytest.raises(Conflict, match=r"acme stands in the settings file"):
        await house.do(accounts.change_customer, "acme", name="X", settings=None, by=BY)
    with pytest.raises(Conflict, match=r"bert stands in the settings file"):
        await house.do(accounts.change, "acme", USER, "bert", {"settings": {"paper": "A4"}}, by=BY)
    for kind, key in ((LOGIN, "bert"), (DOMAIN, "fax.example.org")):
        with pytest.raises(Conflict, match="settings file"):
            await house.do(accounts.remove, "acme", kind, key, by=BY)
    await house.do(accounts.set_state, "acme", USER, "bert", AccountState.SUSPENDED, by=BY)
    await house.do(directory.seed, SEED)
    assert (await house.ask(accounts.row, "acme", USER, "bert"))["state"] == "suspended", "the file says no states"


async def test_what_the_settings_file_names_no_more_stays_and_can_be_changed(house: House) -> None:
    await house.do(directory.seed, [CustomerSeed("acme", "Acme", users=(UserSeed("carl"),))])
    await house.do(accounts.change, "acme", USER, "bert", {"settings": {"paper": "Letter"}}, by=BY)
    assert (await house.ask(accounts.row, "acme", USER, "bert"))["settings"] == {"paper": "Letter"}
    await house.do(directory.seed, SEED)
    assert (await house.ask(accounts.row, "acme", USER, "bert"))["settings"] == {}, (
        "the file names it again, and decides"
    )


async def test_nothing_with_a_history_is_removed(house: House) -> None:
    await customer(house)
    await house.do(accounts.create, "gamma", USER, "dora", {"settings": {}}, by=BY)
    with pytest.raises(Conflict, match="end it"):
        await house.do(accounts.remove, "gamma", USER, "dora", by=BY)


async def test_a_profile_in_use_is_not_removed(house: House) -> None:
    await customer(house)
    await house.do(accounts.create, "gamma", PROFILE, "office", {"settings": {}}, by=BY)
    await house.do(accounts.create, "gamma", USER, "dora", {"profile": "office", "settings": {}}, by=BY)
    with pytest.raises(Conflict, match="in use"):
        await house.do(accounts.remove, "gamma", PROFILE, "office", by=BY)
    await house.do(accounts.change, "gamma", USER, "dora", {"profile": None}, by=BY)
    await house.do(accounts.remove, "gamma", PROFILE, "office", by=BY)
    assert await house.ask(accounts.rows, "gamma", PROFILE) == []


async def test_senders_are_let_in_and_taken_back(house: House) -> None:
    await customer(house)
    await house.do(accounts.allow_sender, "gamma", "domain", "gamma.example", "", by=BY)
    found = await house.ask(directory.sender, "x@gamma.example", "")
    assert found is not None and found[0].customer == "gamma"
    with pytest.raises(Conflict):
        await house.do(accounts.allow_sender, "beta", "domain", "gamma.example", "", by=BY)
    with pytest.raises(NotFound):
        await house.do(accounts.forbid_sender, "beta", "domain", "gamma.example", by=BY)
    await house.do(accounts.forbid_sender, "gamma", "domain", "gamma.example", by=BY)
    assert await house.ask(directory.sender, "x@gamma.example", "") is None


async def test_a_caller_number_must_be_the_customers_with_a_consent_that_holds(house: House) -> None:
    """Features B6."""
    await customer(house)
    number = {"settings": {}, "clip": True, "clip_until": NOON + 10, "inbound": False}
    await house.do(accounts.create, "gamma", NUMBER, "+33199000009", number, by=BY)
    shown: dict[str, Any] = {"name": None, "settings": {"clip": "+33199000009"}}
    await house.do(accounts.change_customer, "gamma", **shown, by=BY)
    with pytest.raises(Refused, match="may show"):
        await house.do(accounts.change_customer, "gamma", **shown, by=Author("operator", NOON + 10))
    await customer(house, "delta")
    with pytest.raises(Refused, match="may show"):
        await house.do(accounts.change_customer, "delta", **shown, by=BY)
    await house.do(accounts.change, "gamma", NUMBER, "+33199000009", {"clip": False}, by=BY)
    assert not await house.ask(accounts.may_show, "gamma", "+33199000009", now=NOON)


async def test_a_number_without_inbound_receives_nothing(house: House) -> None:
    await customer(house)
    for e164, inbound in (("+33199000008", True), ("+33199000009", False)):
        await house.do(accounts.create, "gamma", NUMBER, e164, {"settings": {}, "inbound": inbound}, by=BY)
    assert await house.ask(directory.number, {}, ["+33199000008"]) is not None
    assert await house.ask(directory.number, {}, ["+33199000009"]) is None


# ---------------------------------------------------------------------------------------------------------- tokens


async def test_a_token_is_stored_as_a_hash_and_found_by_its_secret(house: House) -> None:
    draft = TokenDraft("tok_1", digest_of("fxt_secret"), "ERP", ("faxes:write",), user="bert", expires_at=NOON + 5)
    await house.do(credentials.create_token, "acme", draft, by=BY)
    (row,) = await house.ask(credentials.token_rows, "acme")
    assert (row["id"], row["user"], row["created_by"], "hash" in row) == ("tok_1", "bert", "operator", False)
    found = await house.ask(credentials.find_token, {}, "fxt_secret")
    assert found is not None and (found.customer, found.user, found.expires_at) == ("acme", "acme/bert", NOON + 5)
    assert "fxt_secret" not in str(await house.rows(select(t.tokens)))
    assert await house.ask(credentials.find_token, {}, "fxt_other") is None
    assert await audited(house, "acme") == [("account.token.created", "tok_1")]


async def test_a_token_that_was_revoked_stays_revoked(house: House) -> None:
    await house.do(credentials.create_token, "acme", TokenDraft("tok_1", "h", "ERP", ("faxes:read",)), by=BY)
    with pytest.raises(NotFound):
        await house.do(credentials.set_token_state, "beta", "tok_1", AccountState.ENDED, by=BY)
    await house.do(credentials.set_token_state, "acme", "tok_1", AccountState.ENDED, by=BY)
    with pytest.raises(Refused, match="stays"):
        await house.do(credentials.set_token_state, "acme", "tok_1", AccountState.ACTIVE, by=BY)


async def test_tokens_of_a_customer_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "MAX_TOKENS", 2)
    for number in range(2):
        await house.do(
            credentials.create_token, "", TokenDraft(f"tok_{number}", str(number), "x", ("operator",)), by=BY
        )
    with pytest.raises(Refused, match="revoke"):
        await house.do(credentials.create_token, "", TokenDraft("tok_9", "9", "x", ("operator",)), by=BY)
    await house.do(credentials.create_token, "acme", TokenDraft("tok_9", "9", "x", ("admin",)), by=BY)


async def test_entitlements_can_be_narrowed_below_the_customer_and_not_widened(house: House) -> None:
    """Features B5: the levels below the customer cannot give what the operator does not."""
    await customer(house, faxes_per_day=10, interfaces=["rest", "smtp"], may_express=False)
    more = {"faxes_per_day": 50, "interfaces": ["rest", "api"], "may_express": True}
    await house.do(accounts.create, "gamma", USER, "dora", {"settings": more}, by=BY)
    found = await house.ask(accounts.in_force, "gamma", "dora", {})
    assert (found["faxes_per_day"], found["interfaces"], found["may_express"]) == (10, ("rest",), False)
    assert str(found.origins["faxes_per_day"]) == "customer gamma" and str(found.origins["interfaces"]) == "user dora"
    await house.do(accounts.change, "gamma", USER, "dora", {"settings": {"faxes_per_day": 5}}, by=BY)
    assert (await house.ask(accounts.in_force, "gamma", "dora", {}))["faxes_per_day"] == 5
    await house.change(update(t.customers).where(t.customers.c.id == "gamma").values(settings={}))
    assert (await house.ask(accounts.in_force, "gamma", "dora", {}))["faxes_per_day"] == 5
