"""faxgw.store.register: numbers and ranges as calls to us see them, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from faxgw.store import directory, register
from faxgw.store import schema as t
from faxgw.store.register import BadRange
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def enter(house: House, e164: str, last: str | None = None, customer: str = "acme", **more: object) -> None:
    values = {"e164": e164, "last": last, "customer": customer, "state": "active", "settings": {}} | more
    await house.change(insert(t.numbers).values(**values))


async def test_a_number_of_a_range_is_found_with_its_entry(house: House) -> None:
    await enter(house, "+331990010", "+331990019")
    for number in ("+331990010", "+331990014", "+331990019"):
        found = await house.ask(register.find, [number])
        assert found is not None
        assert (found[0], found[1]["e164"]) == (number, "+331990010")
    for number in ("+331990020", "+331990009", "+33199001", "+3319900140"):
        assert await house.ask(register.find, [number]) is None


async def test_a_number_of_its_own_outranks_the_range(house: House) -> None:
    await enter(house, "+331990010", "+331990019")
    await enter(house, "+331990015", customer="beta")
    await enter(house, "+331990016", inbound=False)
    found = await house.ask(register.find, ["+331990015"])
    assert found is not None
    assert found[1]["customer"] == "beta"
    assert await house.ask(register.find, ["+331990016"]) is None
    assert await house.ask(register.shadowed, "+331990010", "+331990019", "acme") == ["+331990015"]


async def test_the_likeliest_form_counts(house: House) -> None:
    await enter(house, "+331990010", "+331990019")
    found = await house.ask(register.find, ["+9991990011", "+331990011"])
    assert found is not None
    assert found[0] == "+331990011"


async def test_an_entry_knows_the_number_and_where_its_settings_stand(house: House) -> None:
    await enter(house, "+331990010", "+331990019", settings={"csid": "+33 1"})
    entry = await house.ask(directory.number, {}, ["+331990013"])
    assert entry is not None
    assert (entry.e164, entry.entry, entry.settings["csid"]) == ("+331990013", "+331990010", "+33 1")


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        ("+331990010", "+33199001", "equal length"),
        ("+331990010", "+331990010", "comes after"),
        ("+331990010", "+331990009", "comes after"),
        ("+33100000000", "+33101000000", "at most 1000000"),
        ("+331990015", "+331990025", "overlaps that from +331990010 to +331990019"),
        ("+331990000", "+331990099", "overlaps"),
    ],
)
async def test_ranges_that_cannot_be(house: House, first: str, last: str, why: str) -> None:
    await enter(house, "+331990010", "+331990019")
    with pytest.raises(BadRange) as refused:
        await house.do(register.check_range, first, last)
    assert why in refused.value.public


async def test_a_range_may_be_written_again_and_touch_another(house: House) -> None:
    await enter(house, "+331990010", "+331990019")
    await house.do(register.check_range, "+331990010", "+331990018")
    await house.do(register.check_range, "+331990020", "+331990029")
