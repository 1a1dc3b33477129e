"""Logins that fail are counted for all sessions together, whatever was wrong with them."""

from __future__ import annotations

import pytest

from faxgw.fax.ports import MailSession
from faxgw.intake.smtp_logins import ADDRESS_FAILURES, CountedLogins, Verdict
from faxgw.store.passwords import TooManyChecks
from tests.intake.world import Gate, settings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def peer(address: str) -> MailSession:
    return MailSession(address, True, "", "submission")


async def test_a_name_is_barred_and_another_is_not_until_the_address_is() -> None:
    gate, clock = Gate(), Clock()
    logins = CountedLogins(settings(auth_failures=2, auth_window=60.0), gate, clock)
    here, there = peer("192.0.2.1"), peer("192.0.2.2")
    assert [await logins.check("anna", "x", here) for _ in range(3)] == [Verdict.WRONG, Verdict.WRONG, Verdict.BARRED]
    assert await logins.check("anna", "päss", here) is Verdict.BARRED
    assert gate.asked == ["x", "x"]
    assert await logins.check("bert", "secret", here) is Verdict.WELCOME
    assert await logins.check("anna", "päss", there) is Verdict.WELCOME
    for number in range(2 * ADDRESS_FAILURES - 2):
        assert await logins.check(f"name{number}", "x", here) is Verdict.WRONG
    assert await logins.check("bert", "secret", here) is Verdict.BARRED
    clock.now += 60.0
    assert await logins.check("anna", "päss", here) is Verdict.WELCOME


@pytest.mark.parametrize("login, password", [("", "x"), ("anna", "")])
async def test_nothing_is_asked_of_nothing_and_it_counts(login: str, password: str) -> None:
    gate = Gate()
    logins = CountedLogins(settings(auth_failures=1), gate, Clock())
    assert await logins.check(login, password, peer("192.0.2.1")) is Verdict.WRONG
    assert await logins.check(login, password, peer("192.0.2.1")) is Verdict.BARRED
    assert gate.asked == []


async def test_what_was_not_looked_at_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    logins = CountedLogins(settings(auth_failures=1), gate, Clock())

    async def busy(*args: object) -> bool:
        raise TooManyChecks

    with monkeypatch.context() as patch:
        patch.setattr(gate, "authenticate", busy)
        assert [await logins.check("anna", "x", peer("192.0.2.1")) for _ in range(3)] == [Verdict.BUSY] * 3
    assert await logins.check("anna", "päss", peer("192.0.2.1")) is Verdict.WELCOME
