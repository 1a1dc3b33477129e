"""Hostile UDPTL and RTP, the short form: the worker lives, and the fax beside the calls under fire arrives."""

from __future__ import annotations

import pytest

from tests.hostile import datagrams


@pytest.mark.realtime
async def test_a_worker_lives_through_hostile_media() -> None:
    result = await datagrams.storm(8000, 2000)
    assert result.crashes == []
    assert result.fax == "identical"
    assert result.sent == {"udptl": 8000, "rtp": 2000}
    assert result.calls >= datagrams.ATTACKED
