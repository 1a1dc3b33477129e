"""The gates: what opens them, what does not, and when it is too late (docs/spine.md section 5)."""

from __future__ import annotations

import pytest

from faxgw.foip.control import Ack, Document, Gate, Limits
from faxgw.t30.gates import Gates, plan

LIMITS = Limits(gate=2.0, between_pages=1.0)
PAGES = (("FN1", 1), ("FN1", 2), ("FN2", 4))


@pytest.fixture
def gates() -> Gates:
    return Gates(PAGES, LIMITS)


def test_the_plan_holds_every_page_of_every_range_in_order() -> None:
    assert plan([Document("FN1", 2, 1, 2), Document("FN2", 9, 4, 4)]) == PAGES


def test_after_the_last_page_the_next_one_is_still_the_last(gates: Gates) -> None:
    assert [gates.next_page(done) for done in (0, 1, 2, 3)] == [*PAGES, PAGES[-1]]


def test_pages_are_cleared_up_to_the_first_fax_that_is_not_exposed(gates: Gates) -> None:
    """The second fax alone clears nothing: its pages come after the first's."""
    assert gates.cleared == 0
    gates.acknowledge(Ack(1, Gate.EXPOSED, "FN2", 4), 0.0)
    assert (gates.cleared, gates.is_exposed("FN2"), gates.is_exposed("FN1")) == (0, True, False)
    gates.acknowledge(Ack(1, Gate.EXPOSED, "FN1", 1), 0.0)
    assert gates.cleared == 3


@pytest.mark.parametrize("gate", list(Gate))
def test_a_gate_opens_once_with_its_own_acknowledgement(gates: Gates, gate: Gate) -> None:
    gates.close(gate, "FN1", 1, 10.0)
    assert gates.acknowledge(Ack(1, gate, "FN1", 1), 10.5)
    assert not gates.acknowledge(Ack(1, gate, "FN1", 1), 10.6)
    assert gates.overdue(99.0) is None


@pytest.mark.parametrize(
    "other",
    [
        Ack(1, Gate.PAGE, "FN1", 1),
        Ack(1, Gate.EXPOSED, "FN1", 1),
        Ack(1, Gate.CONFIRMED, "FN1", 2),
        Ack(1, Gate.CONFIRMED, "FN2", 1),
    ],
    ids=["another gate", "the exposure", "another page", "another fax"],
)
def test_no_other_acknowledgement_opens_it(gates: Gates, other: Ack) -> None:
    gates.close(Gate.CONFIRMED, "FN1", 1, 10.0)
    assert not gates.acknowledge(other, 10.5)
    assert gates.acknowledge(Ack(1, Gate.CONFIRMED, "FN1", 1), 10.6)


def test_the_exposure_of_a_fax_counts_whatever_page_it_names(gates: Gates) -> None:
    """The daemon answers PhaseB with the page it was asked about; CFR may stand before another by then."""
    gates.close(Gate.EXPOSED, "FN1", 2, 10.0)
    assert gates.acknowledge(Ack(1, Gate.EXPOSED, "FN1", 1), 10.5)


@pytest.mark.parametrize(("gate", "budget"), [(Gate.EXPOSED, 2.0), (Gate.PAGE, 2.0), (Gate.CONFIRMED, 1.0)])
def test_an_acknowledgement_after_the_budget_opens_nothing(gates: Gates, gate: Gate, budget: float) -> None:
    """A late release would be worse than none: the far end may have repeated its question."""
    gates.close(gate, "FN1", 1, 10.0)
    assert gates.overdue(10.0 + budget) is None
    assert gates.overdue(10.01 + budget) is gate
    assert not gates.acknowledge(Ack(1, gate, "FN1", 1), 10.01 + budget)
    assert gates.overdue(10.02 + budget) is gate


def test_a_call_that_is_over_waits_for_no_gate(gates: Gates) -> None:
    gates.close(Gate.CONFIRMED, "FN1", 1, 10.0)
    gates.forget()
    assert gates.overdue(99.0) is None
