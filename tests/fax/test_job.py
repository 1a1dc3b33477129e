"""The transition table and the law that closes an attempt (spine section 2)."""

import itertools

import pytest

from faxgw.fax.errors import IllegalTransition
from faxgw.fax.job import FINAL, TRANSITIONS, Closing, FaxState, InDoubt, Wish, check_transition, close
from faxgw.fax.outcome import Cause
from faxgw.fax.retry import Again, Stop

NOW = 1_000_000.0
AGAIN = Again(NOW + 60, 0, Cause.BUSY)
STOP = Stop(Cause.WRONG_NUMBER)


def law(
    *,
    known: bool = True,
    exposed: bool = False,
    decision: Again | Stop = AGAIN,
    wish: Wish = Wish.NONE,
    in_doubt: InDoubt = InDoubt.REPORT,
    used: bool = False,
    left: bool = True,
    latest: float | None = None,
) -> Closing:
    return close(
        known=known,
        exposed=exposed,
        decision=decision,
        wish=wish,
        in_doubt=in_doubt,
        in_doubt_used=used,
        ceilings_left=left,
        number=0,
        latest=latest,
        now=NOW,
    )


def test_nothing_leaves_a_final_state() -> None:
    for old, new in itertools.product(FINAL, FaxState):
        with pytest.raises(IllegalTransition):
            check_transition(old, new)


def test_every_state_but_the_first_can_be_reached_and_every_open_state_can_end() -> None:
    reached = {new for _old, new in TRANSITIONS}
    assert reached == set(FaxState)
    for state in set(FaxState) - FINAL:
        assert any(old == state and new in FINAL for old, new in TRANSITIONS), state


def test_a_fax_is_called_only_with_its_pages_made() -> None:
    assert {old for old, new in TRANSITIONS if new is FaxState.CALLING} == {FaxState.READY, FaxState.WAITING}
    assert {old for old, new in TRANSITIONS if new is FaxState.SENT} == {FaxState.CALLING}
    assert {old for old, new in TRANSITIONS if new is FaxState.UNKNOWN} == {FaxState.CALLING}


def test_an_interrupted_call_before_exposure_is_dialled_again() -> None:
    assert law(known=False).state is FaxState.WAITING


@pytest.mark.parametrize("wish", list(Wish))
def test_an_interrupted_call_after_exposure_is_unknown_whatever_was_wished(wish: Wish) -> None:
    """Spine section 2: sent and unknown stand, then cancel, then hold."""
    assert law(known=False, exposed=True, wish=wish).state is FaxState.UNKNOWN


@pytest.mark.parametrize("policy", [InDoubt.REMAINING, InDoubt.MARKED])
def test_the_in_doubt_policy_is_used_once_within_the_ceilings_and_without_a_wish(policy: InDoubt) -> None:
    assert law(known=False, exposed=True, in_doubt=policy) == Closing(
        FaxState.WAITING, Cause.IN_DOUBT, NOW, 0, in_doubt=True
    )
    assert law(known=False, exposed=True, in_doubt=policy, used=True).state is FaxState.UNKNOWN
    assert law(known=False, exposed=True, in_doubt=policy, left=False).state is FaxState.UNKNOWN
    assert law(known=False, exposed=True, in_doubt=policy, wish=Wish.HOLD).state is FaxState.UNKNOWN


def test_a_known_result_follows_the_retry_law() -> None:
    assert law() == Closing(FaxState.WAITING, Cause.BUSY, NOW + 60, 0)
    assert law(decision=STOP) == Closing(FaxState.FAILED, Cause.WRONG_NUMBER)
    assert law(exposed=True).state is FaxState.WAITING


def test_cancel_goes_before_hold_and_both_before_the_retry_law() -> None:
    assert law(wish=Wish.CANCEL, decision=STOP).state is FaxState.CANCELLED
    assert law(wish=Wish.HOLD).state is FaxState.HELD


def test_expiry_counts_only_where_the_law_says_again() -> None:
    assert law(latest=NOW + 30).state is FaxState.EXPIRED
    assert law(latest=NOW + 90).state is FaxState.WAITING
    assert law(latest=NOW - 1, decision=STOP).state is FaxState.FAILED
