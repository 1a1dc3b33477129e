"""The walk of a fax under kill, with a scripted line: see README.md. The long form is `python -m tests.faults`."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.checker import Violation
from tests.faults.scripted import SUFFIXES
from tests.faults.scripted_world import Bench
from tests.faults.variants import CALLERS, LOADS, VARIANTS

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 20
"""Of all random choices here; FAULTS_SEED in the environment takes another."""
POINTS = 4
"""Points of the sweep that the short form tries."""


@pytest.fixture
def random_() -> random.Random:
    seed = int(os.environ.get("FAULTS_SEED", SEED))
    sys.stdout.write(f"FAULTS_SEED={seed}\n")
    return random.Random(seed)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Bench]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        async with Bench(Path(folder)) as made:
            yield made


def shown(violations: list[Violation]) -> str:
    return "\n".join(map(str, violations))


async def test_nothing_is_wrong_where_nobody_dies(bench: Bench) -> None:
    ends, violations = await bench.run(LOADS, (), callers=CALLERS)
    assert not violations, shown(violations)
    assert [end.killed for end in ends] == [False]


async def test_a_kill_at_counted_steps_breaks_no_promise(bench: Bench, random_: random.Random) -> None:
    """One step of each stretch of a life; the long form dies at every one."""
    (end,), _ = await bench.run(LOADS, (), callers=CALLERS)
    stretch = end.steps // POINTS
    for point in range(POINTS):
        step = point * stretch + random_.randint(1, stretch)
        ends, violations = await bench.run(LOADS, (step,), callers=CALLERS)
        assert not violations, f"dead at step {step} ({ends[0].fatal}):\n{shown(violations)}"


@pytest.mark.parametrize("step", ["after INVITE:1", "after data:2", "after MCF:1", "after MCF of ours:2"])
async def test_a_kill_at_a_physical_step_and_another_in_recovery_break_no_promise(
    bench: Bench, random_: random.Random, step: str
) -> None:
    second = random_.randint(1, 40)
    ends, violations = await bench.run(LOADS, (step, second, "after ending a stranger:1"), callers=CALLERS)
    assert ends[0].killed and ends[0].fatal == step.partition(":")[0]
    assert not violations, f"second kill at step {second} ({ends[1].fatal}):\n{shown(violations)}"


async def test_kills_at_random_times_under_load_break_no_promise(bench: Bench, random_: random.Random) -> None:
    ends, violations = await bench.run_random(SUFFIXES, 3, random_, callers=CALLERS)
    assert not violations, f"{ends}\n{shown(violations)}"


@pytest.mark.parametrize("name", VARIANTS)
async def test_a_broken_variant_is_caught(bench: Bench, name: str) -> None:
    variant = VARIANTS[name]
    ends, violations = await bench.run(LOADS, (variant.fatal,) if variant.fatal else (), name, CALLERS)
    assert not variant.fatal or ends[0].killed
    assert variant.rules & {violation.rule for violation in violations}, shown(violations)


@pytest.mark.parametrize("name", ["late confirmation", "redial after exposure"])
async def test_a_broken_variant_looks_well_while_nobody_dies(bench: Bench, name: str) -> None:
    """So it is the kill that shows the mistake, and nothing that the variant breaks besides."""
    _ends, violations = await bench.run(LOADS, (), name)
    assert not violations, shown(violations)
