"""Every state that one fax can come to, with kills at every step, explored exhaustively (docs/spine.md).

Breadth-first over the model with the project's own table and laws; and the same states, in the same number, through
the store's units of work on a real SQLite database, so that model and code cannot part.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any  # sizes

import pytest
from sqlalchemy import Connection

from faxgw.fax.job import FaxState, InDoubt
from faxgw.fax.outcome import Cause, Outcome
from tests.house import House
from tests.model.rows import Rows
from tests.model.world import Far, Model, Size, View, Violation, World, act, actions, check

pytestmark = pytest.mark.asyncio(loop_scope="session")

State = tuple[View, Far]


def explore(size: Size, make: Callable[[Size], Model] = Model) -> tuple[set[State], int]:
    """All states of a model; every open one can still end. Returns states and number of transitions."""
    start = make(size)
    far = Far((frozenset(),) * size.numbers)
    first = (start.world, far)
    found: set[tuple[World, Far]] = {first}
    before: dict[tuple[World, Far], list[tuple[World, Far]]] = defaultdict(list)
    waiting, transitions = deque([first]), 0
    while waiting:
        node = waiting.popleft()
        view = node[0].view()
        for what in set(actions(view, node[1])) - size.without:
            fax = make(size)
            fax.world = node[0]
            after = act(fax, view, node[1], what)
            check(fax.view(), after, size)
            transitions += 1
            following = (fax.world, after)
            before[following].append(node)
            if following not in found:
                found.add(following)
                waiting.append(following)
    ends = deque(node for node in found if node[0].state.final)
    ending = set(ends)
    while ends:
        for node in before[ends.popleft()]:
            if node not in ending:
                ending.add(node)
                ends.append(node)
    assert ending == found, "some fax can never end"
    return {(w.view(), f) for w, f in found}, transitions


SIZES: Mapping[str, Any] = {
    "one number": {"pages": 2, "numbers": 1, "max_dials": 3, "max_tries": 2},
    "an alternative": {"pages": 2, "numbers": 2, "max_dials": 2, "max_tries": 2},
}


@pytest.mark.parametrize("policy", list(InDoubt))
@pytest.mark.parametrize("size", SIZES)
async def test_no_state_loses_a_fax_or_doubles_a_page_silently(size: str, policy: InDoubt) -> None:
    states, transitions = explore(Size(policy, **SIZES[size]))
    assert {view.state for view, _far in states} == set(FaxState)
    assert len(states) > 1000 and transitions > 5000


WISHES = frozenset({"cancel", "hold", "release", "expire"})
PAGES = frozenset({"lease lost", "refused"})
KILLS: Mapping[str, Any] = {
    "max_dials": 2,
    "max_tries": 2,
    "without": WISHES | PAGES | {"busy", "wrong number", "resume"},
}
SHORT: Mapping[str, Size] = {
    "kills, report": Size(InDoubt.REPORT, pages=1, **KILLS),
    "kills, remaining": Size(InDoubt.REMAINING, pages=2, **KILLS),
    "kills, marked": Size(InDoubt.MARKED, pages=1, **KILLS),
    "wishes": Size(InDoubt.REPORT, pages=1, max_dials=1, max_tries=1, without=frozenset({"lease lost"})),
}
LONG: Mapping[str, Size] = {
    **{f"everything, {policy.value}": Size(policy) for policy in InDoubt},
    **{f"alternative, {policy.value}": Size(policy, pages=1, numbers=2, without=WISHES | PAGES) for policy in InDoubt},
}
"""Minutes long: FAXGW_LONG=1."""
ROWS = LONG if os.environ.get("FAXGW_LONG") else SHORT


@pytest.mark.parametrize("part", ROWS)
async def test_the_stores_units_of_work_come_to_the_same_states(house: House, part: str) -> None:
    """Depth-first in savepoints of one transaction: each state once, from each every action."""
    size = ROWS[part]
    expected, _transitions = explore(size)
    found: set[State] = set()

    class Enough(Exception):
        """Everything is rolled back."""

    def unit(conn: Connection) -> None:
        rows = Rows(conn, size, house.fence)

        def visit(far: Far) -> None:
            view = rows.view()
            check(view, far, size)
            key = (view, far, rows.memory())
            if key in seen:
                return
            seen.add(key)
            found.add((view, far))
            for what in set(actions(view, far)) - size.without:
                with rows.tried():
                    visit(act(rows, view, far, what))

        seen: set[object] = set()
        visit(Far((frozenset(),) * size.numbers))
        raise Enough

    with pytest.raises(Enough):
        await house.store.run(unit)
    assert found == expected


# Broken variants: a model that cannot fail shows nothing.


class ForgetsTheDoubt(Model):
    """A page left in doubt is sent again without its mark."""

    def done(self, outcome: Outcome) -> object:
        return super().done(replace(outcome, doubtful=False))


class BelievesTheWorker(Model):
    """A worker's death is taken for a known end of the call."""

    def done(self, outcome: Outcome) -> object:
        return super().done(replace(outcome, worker_died=False))


class ForgetsToReport(Model):
    def expire(self) -> object:
        super().expire()
        self.world = replace(self.world, finished=0)
        return True


class ExposesBeforeConfirming(Model):
    """The daemon dies between page k's confirmation and its commit, and page k is not taken for doubtful."""

    def recover(self) -> object:
        if not self.world.mark:
            return None
        self.world = self.world.after_close(Outcome(Cause.REMOTE_HUNG_UP), known=True)
        return True


@pytest.mark.parametrize("broken", [ForgetsTheDoubt, BelievesTheWorker, ForgetsToReport, ExposesBeforeConfirming])
async def test_the_model_catches_a_broken_gateway(broken: type[Model]) -> None:
    with pytest.raises(Violation):
        explore(Size(InDoubt.REMAINING), broken)
