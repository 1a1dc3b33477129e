"""Scopes, states and address lists."""

from __future__ import annotations

import pytest

from faxgw.fax import access
from faxgw.fax.access import OPERATOR, READING, USER_SCOPES, Caller, Scope
from faxgw.fax.account import AccountState, strictest


@pytest.mark.parametrize(
    "state, left",
    [
        (AccountState.ACTIVE, set(USER_SCOPES)),
        (AccountState.OUTBOUND_SUSPENDED, set(USER_SCOPES) - {Scope.FAXES_WRITE}),
        (AccountState.SUSPENDED, set()),
        (AccountState.ENDED, set(READING)),
    ],
)
def test_the_state_of_an_account_narrows_its_scopes(state: AccountState, left: set[Scope]) -> None:
    """Features B0."""
    assert access.scopes_in(state, USER_SCOPES) == left


def test_the_strictest_state_counts() -> None:
    assert strictest(AccountState.ACTIVE, AccountState.SUSPENDED, AccountState.OUTBOUND_SUSPENDED) == "suspended"
    assert strictest(AccountState.ENDED, AccountState.ACTIVE) == "ended"


def test_an_operator_administrates_and_reads_no_faxes() -> None:
    assert OPERATOR.may(Scope.ADMIN) and OPERATOR.may(Scope.OPERATOR) and not OPERATOR.may(Scope.FAXES_READ)
    login = Caller("acme", "acme/bert", "bert", "", frozenset({Scope.ADMIN}), "192.0.2.1")
    assert login.may(Scope.ADMIN) and not login.may(Scope.OPERATOR)


def test_a_caller_has_a_name_for_events_and_a_principal_for_submissions() -> None:
    login = Caller("acme", "acme/bert", "bert", "", frozenset(), "")
    token = Caller("acme", "", "", "tok_1", frozenset(), "")
    assert (login.name, token.name, OPERATOR.name) == ("login:bert", "token:tok_1", "operator")
    assert login.principal("a@example.org").login == "bert" and login.principal("a@example.org").how == "login"
    assert (token.principal().login, token.principal().how, token.principal().address) == ("tok_1", "token", "")


def test_scopes_are_known_ones() -> None:
    assert access.check_scopes(["inbox:read", "faxes:read", "inbox:read"]) == (Scope.FAXES_READ, Scope.INBOX_READ)
    for bad in (["faxes:read", "root"], []):
        with pytest.raises(ValueError, match="faxes:read, faxes:write"):
            access.check_scopes(bad)


def test_networks_are_brought_into_one_form() -> None:
    assert access.check_networks(["192.0.2.7", " 2001:DB8::/32"]) == ("192.0.2.7/32", "2001:db8::/32")
    for bad in (["192.0.2.7/24"], ["everywhere"], ["192.0.2.7"] * 51):
        with pytest.raises(ValueError, match="networks"):
            access.check_networks(bad)


@pytest.mark.parametrize(
    "address, allowed",
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("2001:db8::1", True),
        ("192.0.3.7", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_an_address_list_decides(address: str, allowed: bool) -> None:
    assert access.is_allowed(address, ["192.0.2.0/24", "2001:db8::/32"]) is allowed
    assert access.is_allowed(address, [])
