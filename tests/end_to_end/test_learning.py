"""A machine that refuses T.38 is called in the audio the third time, and T.38 is tried again when that has expired.

The real line and the real far end; the store's clock is the test's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from faxgw.dispatch.explain import Explainer
from faxgw.dispatch.outbound import Outbound
from faxgw.dispatch.routes import Routes
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax import explain
from faxgw.fax.destination import HOLD
from faxgw.fax.job import FaxState
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.rig import Simulator
from faxgw.settings import Duration, Listener
from faxgw.store import schema as t
from tests.dispatch.doubles import Pages, memory
from tests.house import House, house, house_store
from tests.t30.conftest import page_image, tiff

__all__ = ["house", "house_store"]

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="session")]

REFUSES_T38 = "+33199000002"


class OnePage(Pages):
    """Composes a page of a few lines."""

    async def compose(self, body_fd: int, options: pages.ComposeOptions) -> pages.Composed:
        return pages.Composed(memory(tiff([page_image(1, rows=60)])), (), pages.Resolution.FINE)


@dataclass
class World:
    """A gateway's calling part, and the far end."""

    house: House
    outbound: Outbound
    explainer: Explainer

    async def explained(self) -> str:
        return explain.explain(await self.explainer.explain(REFUSES_T38), day)

    async def call(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send one fax; how its call was to be made, and what came of it."""
        fax = await self.house.ready_fax(REFUSES_T38, pages=1)
        await self.outbound.call(fax)
        assert await self.house.state(fax) == FaxState.SENT
        query = select(t.attempts.c.manner, t.attempts.c.outcome).order_by(t.attempts.c.planned_at.desc()).limit(1)
        (row,) = await self.house.rows(query)
        self.house.clock.now += 3600
        return row.manner, row.outcome


def day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d.%m.%Y")


@contextlib.asynccontextmanager
async def world(house: House, folder: Path) -> AsyncIterator[World]:
    simulator = Simulator(folder)
    await simulator.start()
    trunk = TrunkSettings(name="t1", host="127.0.0.1", port=simulator.port)
    listen = Listener("127.0.0.1", 0)
    line = SipLine(SipSettings(listen=listen, media_ports=PortRange(24000, 24999), t38_wait=Duration(0.2)), [trunk])
    try:
        await line.start()
        routes = Routes(line)
        outbound = Outbound(house.seat(), cast(PageClient, OnePage()), line, routes=routes)
        yield World(house, outbound, Explainer(house.seat(), routes, line))
    finally:
        await line.stop()
        await simulator.stop()


async def test_what_two_calls_taught_holds_for_a_week(house: House, tmp_path: Path) -> None:
    async with world(house, tmp_path) as made:
        assert "T.38 is proposed by us" in await made.explained()
        for _ in range(2):
            manner, outcome = await made.call()
            assert (manner["t38"], outcome["far"]["t38"], outcome["transport"]) == ("late", "refused", "g711")
        told = await made.explained()
        since = house.clock.now - 3600
        assert "T.38 is not proposed by us" in told
        assert f"its far end refused our proposal of T.38 (2 calls, the last {day(since)})" in told
        assert f"better is tried again after {day(since + HOLD)} or 2 more successful calls" in told
        manner, outcome = await made.call()
        assert (manner["t38"], outcome["far"]["t38"], outcome["transport"]) == ("never", "", "g711")
        house.clock.now = since + HOLD
        assert "T.38 is proposed by us" in await made.explained()
        manner, outcome = await made.call()
        assert (manner["t38"], outcome["far"]["t38"]) == ("late", "refused")
