"""`[[customer]]` of the settings file: checked when it is read, laid over the directory at start."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import ValidationError

from faxgw.store import directory, seed
from faxgw.store.seed import AccountSection, CustomerSection
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD: dict[str, Any] = {
    "id": "delta",
    "domains": ["fax.delta.example"],
    "networks": ["203.0.113.0/24"],
    "profile": {"office": {"resolution": "standard"}},
    "user": [{"name": "dora", "login": "dora", "password": "secret", "profile": "office"}],
}


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"id": "de lta"}, "short name"),
        ({"networks": ["203.0.113.1/24"]}, "host bits"),
        ({"addresses": ["nobody"]}, "mail addresses"),
        ({"settings": {"resolutoin": "fine"}}, "there is no such setting"),
        ({"profile": {"office": {"paper": "A3"}}}, "paper: must be one of"),
        ({"user": [{"name": "dora", "addresses": ["@example.org"]}]}, "mail addresses"),
    ],
)
async def test_faults_are_named_when_the_settings_are_read(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CustomerSection.model_validate({**GOOD, **changed})


async def test_the_system_level_is_checked_too() -> None:
    assert AccountSection.model_validate({"values": {"country": "DE"}}).values == {"country": "DE"}
    with pytest.raises(ValidationError, match="country"):
        AccountSection.model_validate({"values": {"country": "Germany"}})


async def test_what_stands_twice_or_does_not_exist_is_a_fault() -> None:
    one = CustomerSection.model_validate({**GOOD, "addresses": ["A@x.test"]})
    two = CustomerSection.model_validate(
        {
            "id": "echo",
            "domains": ["FAX.delta.example"],
            "networks": ["203.0.113.0/24"],
            "addresses": ["a@x.test"],
            "user": [{"name": "x", "login": "dora", "password": "p", "profile": "none"}, {"name": "y", "login": "y"}],
        }
    )
    assert seed.faults([one]) == []
    found = "\n".join(seed.faults([one, two]))
    for words in ("domain fax.delta.example", "network 203.0.113.0/24", "address a@x.test", "login dora"):
        assert f"{words} stands twice (customers delta and echo)" in found
    assert "there is no profile none" in found and "login and password go together" in found


async def test_passwords_are_hashed_once_and_only_when_they_change(house: House) -> None:
    seeds, clear = seed.to_seed([CustomerSection.model_validate(GOOD)])
    assert clear == {"delta/dora": "secret"}
    hashed = seed.hash_passwords({}, clear)
    assert PasswordHasher().verify(hashed["delta/dora"], "secret")
    assert seed.hash_passwords(hashed, clear) == hashed
    await house.do(seed.lay, seeds, hashed)
    found = await house.ask(directory.login, "dora")
    assert found is not None and found.password == hashed["delta/dora"]
    settings = await house.ask(directory.effective, {}, "delta", "delta/dora")
    assert settings["resolution"] == "standard"


async def test_a_hash_in_the_file_is_taken_as_it_is() -> None:
    digest = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    user = {"name": "dora", "login": "dora", "password": digest}
    seeds, clear = seed.to_seed([CustomerSection.model_validate({**GOOD, "user": [user]})])
    assert clear == {}
    assert seeds[0].users[0].password_hash == digest
    assert "secret" not in repr(seeds) and seeds[0].name == "delta"
