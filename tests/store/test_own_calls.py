"""What a customer's own calls taught of a number, and nobody else's."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from faxgw.fax.outcome import Cause, Outcome
from faxgw.store import own_calls
from faxgw.store import schema as t
from faxgw.store.own_calls import OwnCalls
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"
NOTHING = OwnCalls(0, 0, None, None, "", "", 0, False)


def spoke(cause: Cause = Cause.OK, **facts: object) -> Outcome:
    known = {"connected": True, "exposed": True, "transport": "t38", "bit_rate": 14400, "ecm": True, **facts}
    return Outcome(cause, **known)  # type: ignore[arg-type]


async def test_nothing_is_known_of_a_number_that_was_never_called(house: House) -> None:
    assert await house.ask(own_calls.to_number, "acme", FAR) == NOTHING


async def test_a_fax_that_waits_is_counted_and_was_not_called(house: House) -> None:
    await house.ready_fax(FAR)
    assert await house.ask(own_calls.to_number, "acme", FAR) == OwnCalls(1, 0, None, None, "", "", 0, False)


async def test_the_newest_call_that_talked_says_how(house: House) -> None:
    """A busy call after it changes the cause, not what the machine is known to do."""
    fax = await house.ready_fax(FAR)
    await house.call(fax, spoke(remote_ident="FAR MACHINE"), confirmed=2)
    house.clock.now += 100
    again = await house.ready_fax(FAR)
    called = house.now
    await house.call(again, Cause.BUSY)
    found = await house.ask(own_calls.to_number, "acme", FAR)
    assert found == OwnCalls(2, 1, called, Cause.BUSY, "FAR MACHINE", "t38", 14400, True)


async def test_a_call_in_progress_is_the_newest_and_has_no_cause_yet(house: House) -> None:
    await house.call(await house.ready_fax(FAR), spoke(Cause.REMOTE_HUNG_UP, bit_rate=0), confirmed=0)
    house.clock.now += 100
    called = house.now
    await house.plan(await house.ready_fax(FAR))
    found = await house.ask(own_calls.to_number, "acme", FAR)
    assert (found.called_at, found.cause, found.bit_rate) == (called, Cause.REMOTE_HUNG_UP, 0)


async def test_neither_another_customers_calls_nor_another_users_are_told(house: House) -> None:
    """Features B2: a number's history is its customer's; a user sees only what it sent itself."""
    await house.change(insert(t.users).values(id="acme/ann", customer="acme", name="ann", state="active", settings={}))
    await house.call(await house.ready_fax(FAR, user="acme/ann"), spoke(remote_ident="X"), confirmed=2)
    assert await house.ask(own_calls.to_number, "beta", FAR) == NOTHING
    assert await house.ask(own_calls.to_number, "acme", FAR, user="acme/bob") == NOTHING
    assert (await house.ask(own_calls.to_number, "acme", FAR, user="acme/ann")).sent == 1
    assert (await house.ask(own_calls.to_number, "acme", FAR)).station_id == "X"


async def test_calls_to_an_alternative_number_are_not_this_numbers(house: House) -> None:
    """The fax moved on to its second number: what was learned there says nothing of the first."""
    fax = await house.ready_fax(FAR, "+33199000002")
    await house.call(fax, Cause.WRONG_NUMBER)
    assert (await house.fax(fax)).e164 == "+33199000002"
    await house.wait(fax)
    await house.call(fax, spoke(remote_ident="SECOND"), confirmed=2)
    assert (await house.ask(own_calls.to_number, "acme", "+33199000002")).station_id == "SECOND"
    assert (await house.ask(own_calls.to_number, "acme", FAR)).station_id == ""
