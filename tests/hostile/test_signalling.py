"""Mutated SIP requests, the short form (issue: the line; docs/transport.md): the line answers its trunk after each."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.line.ports import PortRange
from tests.hostile import signalling


@pytest.mark.realtime
async def test_the_line_answers_after_each_mutated_request_and_a_fax_arrives(tmp_path: Path) -> None:
    siege = await signalling.besiege(200, tmp_path, PortRange(26000, 26499))
    assert siege.fax == "identical"
    assert siege.unanswered == []
    assert siege.errors == []
    assert siege.reflected == 0, "a stranger made us send something to somebody else"
    assert siege.stranger_received < signalling.MAX_ANSWER * siege.stranger_sent
    assert siege.grown < signalling.MAX_GROWTH
    assert siege.calls_placed > 3, "no mutated request came as far as a call: the attack no longer reaches it"
