"""The real gateway under kill: SIP and T.38 to the simulator, in real time. The long form: `python -m tests.faults`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from tests.faults.ledger import Load
from tests.faults.real_world import real_world
from tests.patience import PATIENCE_S


@pytest.mark.realtime
async def test_a_daemon_killed_in_its_calls_leaves_no_worker_and_no_silence(tmp_path: Path) -> None:
    """SIGKILL for the daemon alone, in the second page of one call and about the first of another."""
    loads = [Load(1, "report", 3, ("+33199000000",)), Load(2, "report", 2, ("+33199000001",))]
    async with real_world(tmp_path / "world") as world:
        await world.start()
        await world.client.hand_in_all(loads, 2)
        await world.until("SELECT 1 FROM attempt_faxes WHERE confirmed > 0")
        children = world.children()
        await world.kill(children=False)
        _gone, alive = await asyncio.to_thread(psutil.wait_procs, children, PATIENCE_S)
        assert not alive, "a worker without pings ends (docs/spine.md section 5)"
        await world.start()
        await world.drain(world.hand_in([]))
        assert await world.stop() == 0, world.log_tail()
        violations = world.check()
        assert not violations, "\n".join(map(str, violations))
        states = dict(world.ask("SELECT e164, state FROM faxes"))
        assert states["+33199000000"] == "unknown"
