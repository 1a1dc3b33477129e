"""A broadcast in short, by its bench: whole, rendered once, and nobody's single fax waits for its end."""

from __future__ import annotations

from pathlib import Path

from bench.broadcast import CHANNELS, measure

RECIPIENTS = 600


async def test_a_broadcast_is_rendered_once_and_starves_nobody(tmp_path: Path) -> None:
    found = await measure(RECIPIENTS, tmp_path)
    assert (found["report"]["recipients"], found["report"]["status"]) == (RECIPIENTS, ["PENDING"])
    assert (found["render"]["documents"], found["render"]["covers"]) == (1, RECIPIENTS)
    singles = found["dispatch"]["singles"]
    assert set(singles) == {"other customer", "same customer", "same customer, express"}
    for waited in singles.values():  # calls chosen before it was ready, then one turn of the broadcast's
        assert waited["calls_before"] <= CHANNELS + 1, singles
    assert found["dispatch"]["calls"] < RECIPIENTS
