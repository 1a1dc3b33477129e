"""Destinations over the operator's socket: shown, explained, forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from faxgw.api.control import ControlServer, Operations
from faxgw.client import Control, Unwilling
from faxgw.fax.errors import Refused
from faxgw.fax.outcome import Cause
from faxgw.store import destinations
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"


async def explain(number: str, customer: str, sender: str) -> Mapping[str, Any]:
    if customer == "nobody":
        raise Refused(public="There is no account nobody.")
    return {"asked": [number, customer, sender]}


@pytest_asyncio.fixture(loop_scope="session")
async def control(house: House) -> AsyncIterator[Control]:
    server = ControlServer(
        house.folder,
        Operations(house.store, house.files, None, house.seat(), house.clock, dict, explain=explain),  # type: ignore[arg-type]
    )
    await server.start()
    yield Control(house.folder)
    await server.stop()


async def test_an_explanation_is_asked_for_and_a_refusal_is_told_in_words(control: Control) -> None:
    assert await control.explain("+33 1", "acme", "bob") == {"asked": ["+33 1", "acme", "bob"]}
    with pytest.raises(Unwilling) as refused:
        await control.explain("+331", "nobody", "")
    assert refused.value.public == "There is no account nobody."


async def test_destinations_are_listed_and_found_as_they_may_be_typed(house: House, control: Control) -> None:
    for number in (FAR, OTHER):
        await house.call(await house.ready_fax(number), Cause.BUSY)
        house.clock.now += 10
    found = await control.destinations("", 1)
    assert (found["count"], [entry["e164"] for entry in found["destinations"]]) == (2, [OTHER])
    for typed in (FAR, "0199000001", "01 99 00 00 01", "0033199000001"):
        (entry,) = (await control.destinations(typed, 50))["destinations"]
        assert (entry["e164"], entry["calls"][0]["cause"], entry["measures"]) == (FAR, "busy", [])
    with pytest.raises(Unwilling):
        await control.destinations("0199000009", 50)


async def test_a_destination_is_forgotten_once(house: House, control: Control) -> None:
    await house.call(await house.ready_fax(FAR), Cause.BUSY)
    assert await control.forget("0199000001", "root") == FAR
    assert await house.ask(destinations.calls_to, FAR) == ()
    with pytest.raises(Unwilling) as unknown:
        await control.forget("0199000001", "root")
    assert "Nothing is known" in unknown.value.public
