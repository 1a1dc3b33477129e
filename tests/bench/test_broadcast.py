"""A broadcast in short, by its bench: whole, rendered once, and nobody's single fax waits for its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.broadcast import CHANNELS, measure

RECIPIENTS = 600
FEW = 120


def starved_nobody(found: dict[str, Any]) -> None:
    """Calls chosen before a single fax was ready, then one turn of the broadcast's; never more."""
    singles = found["dispatch"]["singles"]
    assert set(singles) == {"other customer", "same customer", "same customer, express"}
    for waited in singles.values():
        assert waited["calls_before"] <= CHANNELS + 1, singles


async def test_a_broadcast_is_rendered_once_and_starves_nobody(tmp_path: Path) -> None:
    found = await measure(RECIPIENTS, tmp_path)
    assert (found["report"]["recipients"], found["report"]["status"]) == (RECIPIENTS, ["PENDING"])
    assert (found["render"]["documents"], found["render"]["covers"]) == (1, RECIPIENTS)
    starved_nobody(found)
    assert found["dispatch"]["calls"] < RECIPIENTS


@pytest.mark.parametrize(
    ("way", "covers", "reports"),
    [
        ("soap", FEW, {"status_mail": 1}),
        ("sftp", FEW, {"status_mail": 1, "result_file": 1}),
        ("mail", 0, {"status_mail": 1}),
    ],
)
async def test_by_every_way_it_comes_to_its_end_with_one_report(
    tmp_path: Path, way: str, covers: int, reports: dict[str, int]
) -> None:
    """Each recipient has his fax once, the sender one report of all of them, in each form that he is owed."""
    found = await measure(FEW, tmp_path, way=way, to_the_end=True)
    assert (found["render"]["documents"], found["render"]["covers"]) == (1, covers)
    starved_nobody(found)
    end = found["end"]
    assert (end["faxes"], end["reports"], end["numbers_called_twice"]) == ({"sent": FEW}, reports, 0)
