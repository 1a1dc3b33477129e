"""Looks whether a trunk's servers live: OPTIONS to each of them now and then (RFC 3261 section 11).

That keeps the way through a NAT open as well (RFC 5626 section 4.4.2 asks for 24 to 29 s over UDP). Any answer but 503
is a sign of life. While a server is dead, or has just failed a call, it is asked more often, so that a trunk that works
again is used again within seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from faxgw.foip.client import Sending
from faxgw.foip.events import Why
from faxgw.foip.location import Draw, Target
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.exchange import ask
from faxgw.line.trunk import Trunk

log = logging.getLogger(__name__)

DEAD_PAUSE: Final = 2.0
"""Seconds between two rounds while a server is dead, where the setting is longer."""


class KeepAlive:
    """The rounds of one trunk.

    Args:
        trunk: Whose servers are asked.
        endpoint: What asks them.
        on_change: Told when the trunk has gone down, or is up again.
        draw: Spreads the rounds of several trunks: each pause is 90 to 100 % of the setting.
    """

    def __init__(
        self,
        trunk: Trunk,
        endpoint: SipEndpoint,
        on_change: Callable[[], None] = lambda: None,
        draw: Draw = random.random,
    ) -> None:
        self._trunk = trunk
        self._endpoint = endpoint
        self._on_change = on_change
        self._draw = draw
        self._was_down = False

    async def run(self) -> None:
        """Look at the servers until cancelled."""
        suspicious = self._trunk.targets.suspicious
        while True:
            suspicious.clear()
            dead = await self._round()
            pause = float(self._trunk.settings.keepalive) * (0.9 + 0.1 * self._draw())
            try:
                async with asyncio.timeout(min(pause, DEAD_PAUSE) if dead else pause):
                    await suspicious.wait()
            except TimeoutError:
                pass

    async def _round(self) -> bool:
        """Ask each server once, all at the same time. True when one of them is dead."""
        try:
            servers = await self._trunk.servers(self._endpoint.family)
        except OSError:
            return True  # the name may be resolved soon
        async with asyncio.TaskGroup() as group:
            for server in servers:
                group.create_task(self._probe(server), name=f"OPTIONS to {server}")
        self._tell()
        return any(self._trunk.targets.is_dead(server) for server in servers)

    async def _probe(self, server: Target) -> None:
        trunk, targets = self._trunk, self._trunk.targets
        uri, from_ = trunk.probe()
        sending = Sending(
            "OPTIONS", uri, server.address, from_, headers=[("Accept", "application/sdp")], route=trunk.route
        )
        done = await ask(self._endpoint, sending, float(trunk.settings.answer_within))
        if done.why is Why.ANSWERED and done.status != 503:
            targets.probe_answered(server)
        else:
            targets.probe_failed(server, unreachable=done.why is Why.TRANSPORT)

    def _tell(self) -> None:
        down = self._trunk.targets.is_down
        if down != self._was_down:
            self._was_down = down
            extra = {"event": "trunk.down" if down else "trunk.up", "trunk": self._trunk.name}
            log.warning("trunk changed", extra=extra)
            self._on_change()
