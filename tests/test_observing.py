"""What the gateway counts of itself."""

from __future__ import annotations

import pytest

from faxgw.metrics import Metrics
from faxgw.observing import Counting


@pytest.mark.parametrize(
    ("given_up", "closed", "said"),
    [
        (0, "", ""),
        (1, "", "reports were given up"),
        (0, "relay: closed", "relay: closed"),
        (2, "relay: closed", "reports were given up; relay: closed"),
    ],
)
def test_what_keeps_reports_from_their_readers_is_told(given_up: int, closed: str, said: str) -> None:
    counting = Counting(Metrics())
    for _ in range(given_up):
        counting.dead()
    assert counting.untold(closed) == said
