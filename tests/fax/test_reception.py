"""The states of a reception and the law that closes it (docs/spine.md section 4)."""

from __future__ import annotations

import itertools

import pytest

from faxgw.fax.errors import IllegalTransition
from faxgw.fax.reception import OPEN, TRANSITIONS, UNROUTED, PageEnd, ReceptionState, check_transition, close

S = ReceptionState


@pytest.mark.parametrize(
    "pages, end, state",
    [
        (0, None, S.EMPTY),
        (1, PageEnd.MPS, S.PARTIAL),
        (3, PageEnd.MPS, S.PARTIAL),
        (1, PageEnd.EOM, S.COMPLETE),
        (1, PageEnd.EOP, S.COMPLETE),
        (500, PageEnd.EOP, S.COMPLETE),
    ],
)
def test_the_pages_close_a_reception(pages: int, end: PageEnd | None, state: ReceptionState) -> None:
    assert close(pages, end) is state


@pytest.mark.parametrize("old, new", list(itertools.product([None, *S], S)))
def test_only_the_table_changes_a_state(old: ReceptionState | None, new: ReceptionState) -> None:
    if (old, new) in TRANSITIONS:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransition):
            check_transition(old, new)


def test_every_state_can_be_reached_and_only_three_are_ends() -> None:
    reached = {new for _old, new in TRANSITIONS}
    left = {old for old, _new in TRANSITIONS}
    assert reached == set(S)
    assert set(S) - left == {S.EMPTY, S.DELIVERED, S.RETAINED}


def test_whatever_close_says_may_follow_receiving() -> None:
    for pages, end in [(0, None), *((1, end) for end in PageEnd)]:
        check_transition(S.RECEIVING, close(pages, end))


def test_a_reception_that_holds_pages_never_ends_without_being_routed() -> None:
    """Spine section 4: complete and partial lead to routed, and nowhere else."""
    assert {new for old, new in TRANSITIONS if old in UNROUTED} == {S.ROUTED}
    assert [s.open for s in S] == [s in OPEN for s in S]
