"""Every interface for machines under kill, with a scripted line: see README.md. The long form is `--machines`."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults.machine_world import HOOK, PUSH, MachineWorld, live_through, machine_world
from tests.faults.scripted_world import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 6
"""Of all random choices here; FAULTS_SEED in the environment takes another."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Bench]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        async with Bench(Path(folder)) as made:
            yield made


async def test_kills_while_every_interface_is_used_break_no_promise(bench: Bench) -> None:
    """REST, SOAP, the native API twice, SFTP, FTP, a folder and mail; pushes, webhooks and results with them."""
    seed = int(os.environ.get("FAULTS_SEED", SEED))
    sys.stdout.write(f"FAULTS_SEED={seed}\n")
    random_ = random.Random(seed)
    async with machine_world(bench, random_) as world:
        ends = await live_through(world, 2, random_, 5)
        violations, facts = world.check(), world.facts()
        assert not violations, f"{ends} {facts}\n" + "\n".join(map(str, violations))
        assert any(end.killed for end in ends) and not ends[-1].killed
        assert facts["heard"] > facts["loads"] > 0
        assert {name: caught(world, name) for name in LIES} == LIES


LIES = {"another job": {"M1", "M2"}, "OK": {"M2"}, "no push": {"M3"}, "no event": {"M4"}, "two forms": {"M4"},
        "signature": {"M4"}, "no result": {"M5"}, "another result": {"M5"}}  # fmt: skip
"""What is not so → the rules that find it."""


def caught(world: MachineWorld, lie: str) -> set[str]:
    """The rules that cry when something of a world is not as it was."""
    heard, results = list(world.listener.heard), world.results()
    hook = next(index for index, one in enumerate(heard) if one.path.startswith(HOOK) and one.answered)
    result = next(path for path in results if "/rep-" in path)
    lines: list[Mapping[str, object]] = []
    match lie:
        case "another job":
            lines = [{"what": "load", "load": 999, "by": "rest", "to": [], "policy": "report", "pages": 1},
                     {"what": "accepted", "load": 999, "job": "F"}]  # fmt: skip
            heard += [replace(one, path=f"{PUSH}load-999") for one in heard if one.path.startswith(PUSH)][:1]
        case "OK":
            lines = [{"what": "told", "load": 1, "told": {}}]
        case "no push":
            heard = [one for one in heard if not one.path.startswith(PUSH)]
        case "no event":
            heard = [one for one in heard if one.ident != heard[hook].ident]
        case "two forms":
            heard.append(replace(heard[hook], body=heard[hook].body + b" "))
        case "signature":
            heard[hook] = replace(heard[hook], signed=False)
        case "no result":
            del results[result]
        case "another result":
            results[result] += b" "
    return {violation.rule for violation in world.check_machines(heard, results, lines)}
