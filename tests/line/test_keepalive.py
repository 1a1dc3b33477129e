"""OPTIONS to a trunk's servers: what is dead, what is down, what comes back by itself; seen from the line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from faxgw.line import keepalive as module
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener
from tests.line.far_end import until
from tests.line.registrar import Registrar
from tests.line.test_failover import dead_port

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
Peer = Registrar
"""It answers OPTIONS with 200, remembers what came, and can be made to be silent."""


@asynccontextmanager
async def watching(*ports: int, **changes: object) -> AsyncIterator[SipLine]:
    """A line with a trunk for each port, `t0`, `t1` …"""
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "keepalive": Duration(0.1),
        "answer_within": Duration(1.0),
        **changes,
    }
    entries = [TrunkSettings(name=f"t{n}", port=port, **values) for n, port in enumerate(ports)]  # type: ignore[arg-type]
    line = SipLine(SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PortRange(24000, 24999)), entries, FAKE)
    await line.start()
    try:
        yield line
    finally:
        await line.stop()


async def test_a_server_that_nobody_runs_takes_its_trunk_down_and_the_other_first() -> None:
    """Faxes wait, or take the other trunk; the order of preference is that of the settings among those that are up."""
    async with Peer() as peer, watching(dead_port(), peer.port) as line:
        assert list(line.channels) == ["t0", "t1"]
        await until(lambda: line.trunks() == {"t1": 2, "t0": 0})
        assert list(line.trunks()) == ["t1", "t0"]
        assert line.faults == {"t0": "no server answers"}


async def test_a_server_that_falls_silent_is_down_and_comes_back_by_itself() -> None:
    changes: list[bool] = []
    async with Peer() as peer, watching(peer.port) as line:
        line.keeper.when_changed = lambda: changes.append(bool(line.faults))
        await until(lambda: len(peer.requests) >= 2)
        assert line.trunks() == {"t0": 2}
        peer.silent = True
        await until(lambda: line.trunks() == {"t0": 0})
        peer.silent = False
        await until(lambda: line.trunks() == {"t0": 2})
        assert changes == [True, False]


async def test_a_server_that_never_answers_options_is_not_taken_for_dead() -> None:
    async with Peer(silent=True) as peer, watching(peer.port) as line:
        await until(lambda: len({request.one("Call-ID") for request in peer.requests}) >= 3)
        assert line.trunks() == {"t0": 2}


async def test_options_say_who_asks_and_want_nothing_but_an_answer() -> None:
    """RFC 3261 section 11.1."""
    async with Peer() as peer, watching(peer.port):
        await until(lambda: bool(peer.requests))
        request = peer.requests[0]
        assert (request.method, request.uri) == ("OPTIONS", f"sip:127.0.0.1:{peer.port}")
        assert request.one("From").startswith("<sip:fax@127.0.0.1>;tag=")
        assert request.one("Accept") == "application/sdp"
        assert request.body == ""


async def test_without_keepalive_nothing_is_asked_and_nothing_is_down() -> None:
    async with Peer() as peer, watching(peer.port, dead_port(), keepalive=Duration(0)) as line:
        await asyncio.sleep(0.3)
        assert peer.requests == []
        assert line.trunks() == {"t0": 2, "t1": 2}


async def test_a_call_that_fails_makes_us_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEAD_PAUSE", 0.1)
    async with Peer() as peer, watching(peer.port, keepalive=Duration(600)) as line:
        await until(lambda: len(peer.requests) == 1)
        peer.silent = True
        trunk = line._trunks["t0"]
        (server,) = await trunk.servers()
        trunk.targets.failed(server, unreachable=False)
        await until(lambda: line.trunks() == {"t0": 0})
        peer.silent = False
        await until(lambda: line.trunks() == {"t0": 2})


async def test_a_stopped_line_asks_no_more() -> None:
    async with Peer() as peer:
        async with watching(peer.port):
            await until(lambda: bool(peer.requests))
        await asyncio.sleep(0.05)
        asked = len(peer.requests)
        await asyncio.sleep(0.3)
        assert len(peer.requests) == asked
