"""What the next call will do is asked of those who decide it (`faxgw explain`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import update

from faxgw.dispatch.explain import Explainer
from faxgw.dispatch.routes import Routes
from faxgw.fax import explain as words
from faxgw.fax.account import AccountState
from faxgw.fax.errors import Refused
from faxgw.fax.outcome import Cause, FarEnd, Outcome
from faxgw.fax.route import Route
from faxgw.store import schema as t
from tests.dispatch.doubles import ScriptedLine
from tests.house import ALICE, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR = "+33199000001"
REFUSED = Outcome(
    Cause.OK, connected=True, exposed=True, transport="g711", ecm=True, bit_rate=14400, remote_ident="FAR",
    far=FarEnd("refused", 2.0, 4.0, ("204x98",), ("MH", "MMR")),
)  # fmt: skip


@dataclass
class Trunks(ScriptedLine):
    """A line that tells of its trunks."""

    faults: dict[str, str] = field(default_factory=dict)

    def presentation(self, trunk: str, number: str, caller: str, name: str, *, withheld: bool) -> Mapping[str, Any]:
        headers = [["Privacy", "id"]] if withheld else []
        return {
            "request_uri": f"sip:{number}@{trunk}", "from": f"<sip:{caller}@{trunk}>", "to": f"<sip:{number}@{trunk}>",
            "headers": headers, "t38": trunk != "voice", "t38_offer": "later", "t38_wait": 2.0,
        }  # fmt: skip


@pytest.fixture
def line() -> Trunks:
    return Trunks(channels={"t1": 2, "t2": 4})


@pytest.fixture
def explainer(house: House, line: Trunks) -> Explainer:
    return Explainer(house.seat(), Routes(line, [Route("t1", "+33", 0.02), Route("t2", "+", 0.05)]), line)


async def test_a_number_of_which_nothing_is_known(house: House, explainer: Explainer) -> None:
    found = await explainer.explain("0199000001", "acme", ALICE)
    assert found["number"] == {
        "e164": FAR, "country": "FR", "kind": "ordinary", "sub_address": "", "zone": "Europe/Paris",
    }  # fmt: skip
    assert found["account"] == {"customer": "acme", "user": "", "active": True}
    assert [(way["trunk"], way["prefix"], way["cost"]) for way in found["trunks"]] == [
        ("t1", "+33", 0.02), ("t2", "+", 0.05),
    ]  # fmt: skip
    assert found["wire"]["request_uri"] == f"sip:{FAR}@t1"
    assert (found["measures"], found["obstacles"], found["manner"]["t38"]) == ([], [], "late")
    assert found["manner"] == found["wanted"]


async def test_what_calls_have_taught_and_what_follows(house: House, explainer: Explainer) -> None:
    for _ in range(2):
        attempt = await house.plan(await house.ready_fax(FAR))
        await house.done(attempt, REFUSED)
        house.clock.now += 600
    found = await explainer.explain(FAR)
    assert {measure["kind"] for measure in found["measures"]} == {"no_t38_proposal", "standard_resolution"}
    assert (found["manner"]["t38"], found["manner"]["resolution"]) == ("never", "standard")
    assert found["wanted"]["resolution"] == "fine"
    assert len(found["calls"]) == 2


async def test_what_stands_in_the_way_now(house: House, explainer: Explainer, line: Trunks) -> None:
    await house.ready_fax(FAR)
    await house.plan(await house.ready_fax(FAR))
    line.channels = {"t1": 0, "t2": 0}
    line.faults = {"t1": "not registered (timeout)"}
    found = await explainer.explain(FAR)
    assert [obstacle["what"] for obstacle in found["obstacles"]] == [
        "trunk t1: not registered (timeout)",
        "the number has a call of ours at this moment",
        "1 faxes to this number are in the queue before it",
    ]
    assert found["trunks"][0]["calls"] == 1


async def test_a_number_that_may_not_be_dialled(explainer: Explainer) -> None:
    found = await explainer.explain("112", "acme")
    assert (found["number"], found["refused"]) == (None, "Emergency numbers are never dialled.")
    assert words.explain(found, str) == "“112” is not dialled for acme: Emergency numbers are never dialled."


async def test_a_suspended_account_is_said_so(house: House, explainer: Explainer) -> None:
    await house.change(update(t.customers).values(state=AccountState.SUSPENDED))
    found = await explainer.explain(FAR, "acme")
    assert not found["account"]["active"]
    assert "may not send at present" in words.explain(found, str)


async def test_no_trunk_carries_it(house: House, line: Trunks) -> None:
    found = await Explainer(house.seat(), Routes(line, [Route("t1", "+44"), Route("t2", "+44")]), line).explain(FAR)
    assert (found["trunks"], found["wire"]) == ([], None)
    assert found["obstacles"] == [{"what": "no trunk carries this number"}]
    assert "None carries this number." in words.explain(found, str)


@pytest.mark.parametrize(
    ("customer", "sender"),
    [("nobody", ""), ("acme", "nobody"), ("acme", "nobody@example.com"), ("beta", ALICE)],
)
async def test_who_is_not_known_gets_no_answer(explainer: Explainer, customer: str, sender: str) -> None:
    with pytest.raises(Refused):
        await explainer.explain(FAR, customer, sender)
