"""Trunks as a node sees them: failover at once, held trunks, what an account names (features D9)."""

from __future__ import annotations

from typing import cast

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.routes import Routes, RouteSettings, named
from faxgw.document.client import PageClient
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallMarks, CallPlan
from faxgw.fax.retry import FAILOVER_PAUSE, NO_CARRIER_PAUSES
from faxgw.fax.route import HOLD, Route
from faxgw.store import schema as t
from tests.dispatch.doubles import Pages, ScriptedLine, receives_well
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"
ROUTES = [Route("dear", "+", 0.09), Route("cheap", "+33", 0.01), Route("none", "+44", 0.001)]


def line_of(**scripts: object) -> ScriptedLine:
    """A line on which each trunk does one thing."""

    async def one(plan: CallPlan, marks: CallMarks) -> Outcome:
        does = scripts[plan.trunk]
        return does if isinstance(does, Outcome) else await receives_well(plan, marks)

    return ScriptedLine([one], dict.fromkeys(scripts, 2))


async def carried(house: House, line: ScriptedLine, routes: Routes, fax: str) -> list[str]:
    """Call a fax until it is final; the trunks of its calls."""
    outbound = Outbound(house.seat(), cast(PageClient, Pages()), line, routes=routes)
    while await house.state(fax) in (FaxState.READY, FaxState.WAITING):
        await outbound.call(fax)
        await house.wait(fax)
    rows = await house.rows(select(t.attempts.c.trunk).order_by(t.attempts.c.planned_at))
    return [row.trunk for row in rows]


FAULT = Outcome(Cause.CARRIER_FAULT, sip_status=503, detail="SIP 503")


async def test_the_cheapest_trunk_that_carries_the_number_is_taken(house: House) -> None:
    line = line_of(dear=None, cheap=None, none=None)
    assert await carried(house, line, Routes(line, ROUTES), await house.ready_fax(FAR)) == ["cheap"]


async def test_a_fax_goes_on_over_the_next_trunk_at_once_and_the_dial_counts(house: House) -> None:
    line = line_of(dear=None, cheap=FAULT, none=None)
    routes, fax, began = Routes(line, ROUTES), await house.ready_fax(FAR), house.now
    assert await carried(house, line, routes, fax) == ["cheap", "dear"]
    row = await house.fax(fax)
    assert (row.state, row.dials, house.now - began) == (FaxState.SENT, 2, FAILOVER_PAUSE)
    held = routes.held("cheap", house.now)
    assert held is not None and held.why == "SIP 503" and routes.held("dear", house.now) is None
    assert await carried(house, line, routes, await house.ready_fax("+33199000002")) == ["cheap", "dear", "dear"]
    assert routes.held("cheap", house.now + HOLD) is None


async def test_when_every_trunk_has_failed_the_fax_waits_as_usual_and_begins_again(house: House) -> None:
    line = line_of(dear=FAULT, cheap=FAULT)
    fax = await house.ready_fax(FAR, max_dials=4)
    began = house.now
    assert await carried(house, line, Routes(line, ROUTES), fax) == ["cheap", "dear", "cheap", "dear"]
    assert await house.state(fax) == FaxState.FAILED
    assert house.now - began >= FAILOVER_PAUSE + NO_CARRIER_PAUSES[1]


async def test_a_refusal_of_one_number_moves_the_fax_and_holds_nobody(house: House) -> None:
    line = line_of(cheap=Outcome(Cause.CARRIER_FAULT, sip_status=403), dear=None)
    routes = Routes(line, ROUTES)
    assert await carried(house, line, routes, await house.ready_fax(FAR)) == ["cheap", "dear"]
    assert routes.held("cheap", house.now) is None


async def test_a_busy_number_is_not_called_over_another_trunk(house: House) -> None:
    line = line_of(cheap=Outcome(Cause.BUSY, sip_status=486), dear=None)
    fax = await house.ready_fax(FAR, max_dials=2)
    assert await carried(house, line, Routes(line, ROUTES), fax) == ["cheap", "cheap"]


async def test_a_trunk_without_a_free_channel_is_passed_over_where_routes_name_others(house: House) -> None:
    line = line_of(dear=None, cheap=None)
    line.channels["cheap"] = 0
    assert await carried(house, line, Routes(line, ROUTES), await house.ready_fax(FAR)) == ["dear"]


async def test_an_account_names_its_trunks_in_their_order(house: House) -> None:
    line = line_of(dear=None, cheap=None, none=FAULT)
    fax = await house.ready_fax(FAR, trunk="none, dear")
    assert await carried(house, line, Routes(line, ROUTES), fax) == ["none", "dear"]


async def test_a_number_that_no_route_carries_waits_with_the_reason(house: House) -> None:
    line = line_of(none=None)
    outbound = Outbound(house.seat(), cast(PageClient, Pages()), line, routes=Routes(line, ROUTES))
    fax = await house.ready_fax(FAR)
    await outbound.call(fax)
    row = await house.fax(fax)
    assert (row.state, row.reason, line.calls) == (FaxState.WAITING, "no trunk carries this number", [])


@pytest.mark.parametrize(
    ("setting", "trunks"), [("", ()), ("a", ("a",)), ("a, b", ("a", "b")), (" a ,, b,", ("a", "b"))]
)
async def test_how_an_account_names_trunks(setting: str, trunks: tuple[str, ...]) -> None:
    assert named(setting) == trunks


async def test_a_table_of_the_settings_is_one_route_a_prefix() -> None:
    made = RouteSettings(trunk="a", prefixes=("+33", "+352"), cost=0.5, order=3)
    assert made.routes() == [Route("a", "+33", 0.5, 3), Route("a", "+352", 0.5, 3)]
    for wrong in ({"prefixes": ("33",)}, {"cost": -1.0}, {"prefixes": ()}):
        with pytest.raises(ValidationError):
            RouteSettings(trunk="a", **wrong)


async def test_a_trunk_to_a_simulator_carries_what_names_it_and_nothing_else() -> None:
    line = line_of(carrier=Outcome(Cause.OK), toy=Outcome(Cause.OK))
    routes = Routes(line, (), ["toy"])
    assert [way.trunk for way in routes.of(FAR, "", "acme")] == ["carrier"]
    assert [way.trunk for way in routes.of(FAR, "toy", "acme")] == ["toy"]


async def test_the_trunk_of_a_customer_carries_its_faxes_only() -> None:
    line = line_of(carrier=Outcome(Cause.OK), pbx=Outcome(Cause.OK))
    routes = Routes(line, (), (), {"pbx": "acme"})
    assert [way.trunk for way in routes.of(FAR, "", "acme")] == ["carrier", "pbx"]
    assert [way.trunk for way in routes.of(FAR, "", "beta")] == ["carrier"]
    assert routes.of(FAR, "pbx", "beta") == ()
