"""Every interface for machines under kill, with a scripted line: see README.md. The long form is `--machines`."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.faults import machine_world
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
    run = await machine_world.run_random(bench, 2, random.Random(seed), broadcast=5)
    assert not run.violations, f"{run.ends} {run.facts}\n" + "\n".join(map(str, run.violations))
    assert [end.killed for end in run.ends] == [True, True, False]
    assert run.facts["heard"] > run.facts["loads"] > 0
