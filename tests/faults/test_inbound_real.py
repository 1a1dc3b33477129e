"""The real gateway killed while machines send to it. The long form: `python -m tests.faults --inbound-real`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import inbound_real
from tests.faults.real_world import real_world
from tests.faults.test_scripted import SEED


@pytest.mark.realtime
async def test_what_was_confirmed_to_machines_is_delivered_after_two_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spine section 5: SIGKILL at random moments of five calls each, T.38 and G.711, with and without ECM."""
    monkeypatch.setattr(inbound_real, "PAGES", (2, 3))
    monkeypatch.setattr(inbound_real, "LONGEST", 6.0)
    monkeypatch.setattr(inbound_real, "AFTER_A_PAGE", 1.0)
    async with real_world(tmp_path / "world", channels=10) as world:
        found = await inbound_real.kills(world, 2, random.Random(SEED), calls=5)
    assert not found.violations, "\n".join(map(str, found.violations))
    assert (found.kills, found.calls) == (2, 10)
    assert found.answered >= 8
    assert found.pages_delivered >= found.pages_confirmed > 0
