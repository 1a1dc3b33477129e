"""Which fax may be called, and the transaction that plans the call (docs/spine.md sections 5 and 6)."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from faxgw.fax.account import AccountState
from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallIdentity
from faxgw.store import planning
from faxgw.store import schema as t
from faxgw.store.planning import NotPlanned, Planned, Then
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAR, OTHER = "+33199000001", "+33199000002"
BROKEN = Outcome(Cause.REMOTE_HUNG_UP, connected=True, exposed=True)


# ---------------------------------------------------------------------------------------------------------- plan


async def test_a_plan_makes_the_fax_calling_and_counts_the_dial(house: House) -> None:
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    row = await house.fax(fax)
    assert (row.state, row.dials, row.tries) == (FaxState.CALLING, 1, 0)
    assert await house.events(attempt) == ["attempt.planned"]


async def test_a_plan_that_runs_again_finds_its_own_attempt(house: House) -> None:
    """Spine section 7: an uncertain COMMIT is repeated; the unit finds its own id and is done."""
    fax = await house.ready_fax()
    prepared = await house.prepared(fax)
    planned = await house.try_plan(fax, prepared=prepared)
    assert isinstance(planned, Planned)
    row = (await house.rows(select(t.attempts)))[0]
    again = await house.do(
        planning.plan,
        attempt=planned.attempt,
        prepared=prepared,
        tiff=prepared.body,
        trunk=row.trunk,
        channels=1,
        identity=CallIdentity(row.call_id, row.from_tag, row.branch, row.cseq),
        node="n1",
        fence=house.fence,
        now=house.now,
    )
    assert again == planned
    assert (await house.fax(fax)).dials == 1


@pytest.mark.parametrize(
    "values, why, then",
    [
        ({"wish": "hold"}, "wish hold stands", Then.LATER),
        ({"until": 9e9}, "not yet", Then.LATER),
        ({"earliest": 9e9}, "not yet", Then.LATER),
        ({"latest": 1.0}, "latest time passed", Then.LATER),
        ({"dials": 12}, "no further dial is allowed", Then.FAIL),
        ({"tries": 3}, "no further dial is allowed", Then.FAIL),
        ({"state": "held"}, "fax is held", Then.LATER),
        ({"number_index": 1}, "number changed", Then.LATER),
    ],
)
async def test_each_check_of_the_plan_has_its_own_reason(
    house: House, values: dict[str, object], why: str, then: Then
) -> None:
    fax = await house.ready_fax(FAR, OTHER)
    prepared = await house.prepared(fax)
    await house.change(update(t.faxes).values(**values))
    answer = await house.try_plan(fax, prepared=prepared)
    assert answer == NotPlanned(why, then)
    assert await house.rows(select(t.attempts)) == []


async def test_a_plan_under_an_old_fence_is_refused(house: House) -> None:
    fax = await house.ready_fax()
    old = house.fence
    await house.next_life()
    house.fence = old
    assert await house.try_plan(fax) == NotPlanned("another incarnation runs", Then.LATER)


@pytest.mark.parametrize("table", ["customers", "users"])
async def test_a_suspended_account_is_not_called_for(house: House, table: str) -> None:
    fax = await house.ready_fax(user="acme/bert")
    await house.change(update(getattr(t, table)).values(state=AccountState.OUTBOUND_SUSPENDED))
    assert await house.try_plan(fax) == NotPlanned("account suspended", Then.HOLD)


async def test_a_full_trunk_and_a_number_in_use_wait_with_their_reason(house: House) -> None:
    first, second, third = [await house.ready_fax(n) for n in (FAR, FAR, OTHER)]
    await house.plan(first)
    assert await house.try_plan(third, channels=1) == NotPlanned("trunk full", Then.WAIT)
    in_use = await house.try_plan(second)
    assert in_use == NotPlanned("number has a call", Then.WAIT)
    await house.do(planning.set_aside, second, in_use, until=house.now + 10, now=house.now)
    row = await house.fax(second)
    assert (row.state, row.until, row.reason) == (FaxState.WAITING, house.now + 10, "number has a call")


async def test_a_ledger_that_moved_since_the_pages_were_composed_is_not_dialled(house: House) -> None:
    fax = await house.ready_fax()
    prepared = await house.prepared(fax)
    await house.call(fax, BROKEN, confirmed=1)
    await house.wait(fax)
    assert await house.try_plan(fax, prepared=prepared) == NotPlanned("ledger changed", Then.LATER)


async def test_indexes_forbid_a_second_open_attempt_of_a_fax_and_of_a_number(house: House) -> None:
    """Spine section 5, INVITE: unique indexes, whatever the code thinks."""
    fax = await house.ready_fax()
    attempt = await house.plan(fax)
    row = (await house.rows(select(t.attempts)))[0]._asdict()
    part = (await house.rows(select(t.attempt_faxes)))[0]._asdict()
    with pytest.raises(IntegrityError, match=r"attempts\.number|uq_attempts_open_number"):
        await house.change(insert(t.attempts).values(**{**row, "id": "att_2"}))
    await house.change(insert(t.attempts).values(**{**row, "id": "att_3", "number": OTHER}))
    with pytest.raises(IntegrityError, match=r"attempt_faxes\.fax|uq_attempt_faxes_open_fax"):
        await house.change(insert(t.attempt_faxes).values(**{**part, "attempt": "att_3"}))
    await house.done(attempt, Cause.BUSY)
    await house.change(insert(t.attempt_faxes).values(**{**part, "attempt": "att_3"}))


async def test_nothing_is_prepared_for_a_fax_that_is_not_waiting(house: House) -> None:
    fax = await house.ready_fax()
    await house.plan(fax)
    assert await house.ask(planning.prepare, fax) is None


async def test_setting_aside_a_fax_that_has_moved_on_does_nothing(house: House) -> None:
    fax = await house.ready_fax()
    await house.plan(fax)
    await house.do(planning.set_aside, fax, NotPlanned("x", Then.HOLD), until=0, now=house.now)
    assert await house.state(fax) == FaxState.CALLING


async def test_ceilings_without_any_call_fail_with_their_own_cause(house: House) -> None:
    fax = await house.ready_fax()
    await house.do(planning.set_aside, fax, NotPlanned("x", Then.FAIL), until=0, now=house.now)
    assert (await house.fax(fax)).cause == Cause.CEILING.value
