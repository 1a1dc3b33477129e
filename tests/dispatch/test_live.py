"""The calls in progress as plain data (docs/calls.md)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from faxgw.dispatch.inbound import Arriving
from faxgw.dispatch.live import calls_in_progress
from faxgw.dispatch.outbound import Live
from faxgw.fax.ports import CallProgress

OUT = Live("att_1", "FN1", "F1", "+33199000001", "t", 200.0, 3, CallProgress("page", 2, "X", bit_rate=9600))
IN = Arriving("rcv_1", "+33199000099", "+33199000002", "t", 100.0, 1, CallProgress("phase_b"))
DOCS = Path(__file__).parents[2] / "docs" / "calls.md"


def test_both_directions_stand_in_one_list_oldest_first() -> None:
    calls = calls_in_progress([OUT], [IN])
    assert [(call["direction"], call["call"]) for call in calls] == [("in", "rcv_1"), ("out", "att_1")]
    assert calls[1]["page"] == 2 and calls[1]["pages"] == 3 and calls[1]["bit_rate"] == 9600
    assert json.loads(json.dumps(calls)) == calls


def test_every_key_is_documented() -> None:
    table = DOCS.read_text().partition("| key | meaning |")[2].partition("\n\n")[0]
    documented = {
        key for row in table.splitlines() for key in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    for call in calls_in_progress([OUT], [IN]):
        assert set(call) == documented
