"""Numbers of the register: from the settings file, with their settings, customer and state."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select, update

from faxgw.fax.account import AccountState, Level
from faxgw.store import directory, seed
from faxgw.store import schema as t
from faxgw.store.seed import CustomerSection
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

NUMBER = "+33199000099"


def customer(**number: Any) -> CustomerSection:
    return CustomerSection(
        id="acme",
        profile={"desk": {"language": "fr", "deliver_to": ["desk@example.org"]}},
        settings={"language": "de", "time_zone": "Europe/Paris"},
        number=({"e164": NUMBER, **number},),  # type: ignore[arg-type]
    )


async def laid(house: House, section: CustomerSection) -> directory.NumberEntry:
    seeds, clear = seed.to_seed([section])
    assert clear == {}
    await house.do(seed.lay, seeds, {})
    entry = await house.ask(directory.number, {"csid": "+1"}, ("+1", NUMBER))
    assert entry is not None
    return entry


async def test_settings_come_from_number_profile_customer_and_system(house: House) -> None:
    entry = await laid(house, customer(profile="desk", csid="+33 1 99"))
    assert (entry.e164, entry.customer, entry.state) == (NUMBER, "acme", AccountState.ACTIVE)
    assert entry.settings["csid"] == "+33 1 99"
    assert entry.settings["language"] == "fr"
    assert entry.settings["time_zone"] == "Europe/Paris"
    assert entry.settings["deliver_to"] == ("desk@example.org",)
    assert entry.settings.origins["csid"].level is Level.NUMBER
    assert entry.settings.origins["language"].level is Level.PROFILE


async def test_a_number_names_itself_and_its_own_mailboxes_outrank_the_profiles(house: House) -> None:
    entry = await laid(house, customer(profile="desk", deliver_to=["own@example.org"]))
    assert entry.settings["csid"] == NUMBER
    assert entry.settings["deliver_to"] == ("own@example.org",)


async def test_a_state_that_an_operator_set_survives_the_seed(house: House) -> None:
    await laid(house, customer())
    await house.change(update(t.numbers).values(state=AccountState.SUSPENDED))
    entry = await laid(house, customer(deliver_to=["own@example.org"]))
    assert entry.state is AccountState.SUSPENDED
    assert len(await house.rows(select(t.numbers))) == 1


async def test_the_stricter_state_counts(house: House) -> None:
    await laid(house, customer())
    await house.change(update(t.customers).values(state=AccountState.ENDED))
    entry = await house.ask(directory.number, {}, (NUMBER,))
    assert entry is not None and entry.state is AccountState.ENDED
    assert await house.ask(directory.number, {}, ("+33199000098",)) is None
    assert await house.ask(directory.number, {}, ()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"e164": "0199000099"},
        {"e164": "+0199"},
        {"deliver_to": ["nobody"]},
        {"csid": "Acme GmbH"},
        {"settings": {"no_such": 1}},
    ],
)
async def test_a_wrong_number_is_named_when_the_settings_are_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        customer(**wrong)


async def test_a_number_stands_once_and_its_profile_exists() -> None:
    twice = [customer(), CustomerSection(id="beta", number=({"e164": NUMBER},))]  # type: ignore[arg-type]
    assert any("stands twice" in fault for fault in seed.faults(twice))
    assert any("no profile none" in fault for fault in seed.faults([customer(profile="none")]))
    assert seed.faults([customer(profile="desk")]) == []
