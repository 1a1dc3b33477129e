"""Rules and the moments they hold at; numbers and the machines they mean."""

from __future__ import annotations

import pytest

from faxgw.fax.outcome import Cause
from faxgw.simulator.behaviour import BEHAVIOURS, behaviour_of, zoo_table
from faxgw.simulator.script import Act, Expected, Rule, Script

NONE = Act(frames=())
LATE = Act(delay=3.0)
MACHINE = Script("x", "name", "text", Expected(Cause.OK, 2, ()), (Rule("MCF", NONE, 2, 3), Rule("MCF", LATE, 3)))


@pytest.mark.parametrize(("time", "act"), [(1, Act()), (2, NONE), (3, NONE), (4, LATE), (99, LATE)])
def test_the_first_rule_that_holds_decides(time: int, act: Act) -> None:
    assert MACHINE.act("MCF", time) == act
    assert MACHINE.act("CFR", time) == Act()


def test_pages_at_the_receiving_end() -> None:
    assert Expected(Cause.OK, 2, ()).pages_kept == 2
    assert Expected(Cause.OK, 1, (), kept=0).pages_kept == 0


@pytest.mark.parametrize(
    ("number", "suffix"),
    [("4930122", "22"), ("+49 30 0901", "0901"), ("49300899", "99"), ("0901", "0901"), ("4930140", "40"), ("77", "00")],
)
def test_four_digits_come_before_two(number: str, suffix: str) -> None:
    assert behaviour_of(number).suffix == suffix


def test_machines_that_call_are_never_dialled() -> None:
    assert behaviour_of("S01").suffix == "01"
    assert not BEHAVIOURS["S01"].answers and BEHAVIOURS["S01"].calls
    assert BEHAVIOURS["0901"].answers and not BEHAVIOURS["0901"].calls
    assert BEHAVIOURS["00"].answers and BEHAVIOURS["00"].calls


def test_the_table_says_what_it_comes_to() -> None:
    assert zoo_table([MACHINE]).splitlines()[-1] == "| …x | name | text | `ok`, 2 of 2 |"
