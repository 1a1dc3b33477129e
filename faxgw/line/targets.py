"""The servers of one trunk: found by name, put in order, and judged by what they answer.

An address that was found serves until its time is over, and longer while name servers are silent (RFC 8767). Servers
that failed a call are passed over for a while (`foip.location.HoldDown`); servers that are dead are tried last, and a
trunk whose servers are all dead is down.

Dead is a server that cannot be reached, or that leaves a probe (OPTIONS) unanswered although it has answered one before
or has just left a call unanswered. Others are given the benefit of the doubt: there are carriers that never answer
OPTIONS.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from faxgw.foip.events import CallIdentity
from faxgw.foip.location import Draw, HoldDown, Target, targets_of
from faxgw.foip.stack import Transport
from faxgw.line.dns import Found, Resolver

RESOLVE_WITHIN: Final = 1.5
"""Seconds a call waits for the look-up of its trunk's host: an INVITE leaves within 2 s of its commit or not at all."""
ASK_AGAIN: Final = 5.0
"""Seconds after a look-up that failed until the next one."""


class Targets:
    """The servers of one trunk.

    Args:
        host: Name or IP literal of the trunk's host, or of its outbound proxy.
        port: Its port; None: as DNS says, else the transport's.
        transport: What is spoken there.
        resolver: Asks DNS.
        draw: Source of random numbers for SRV weights.
        clock: Monotonic seconds.
        watched: Whether servers are probed; otherwise none is ever taken for dead, for nobody would see it live again.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        transport: Transport,
        resolver: Resolver,
        draw: Draw = random.random,
        clock: Callable[[], float] | None = None,
        *,
        watched: bool = True,
    ) -> None:
        self._host = host
        self._port = port
        self._transport = transport
        self._resolver = resolver
        self._draw = draw
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._watched = watched
        self._found: Found | None = None
        self._fresh_until = 0.0
        self._look_up: asyncio.Task[None] | None = None
        self._hold = HoldDown()
        self._dead: set[Target] = set()
        self._answers: set[Target] = set()
        """Those that have answered a probe: silence of theirs means something."""
        self._silent: set[Target] = set()
        """Those that have left a call unanswered since they last said anything."""
        self._family = socket.AF_INET
        self.suspicious = asyncio.Event()
        """Set when a server failed a call: look whether it lives."""

    @property
    def hosts(self) -> frozenset[str]:
        """The addresses that the name had when it was last looked up."""
        return frozenset({self._host}) if self._found is None else self._found.hosts | {self._host}

    @property
    def fresh_until(self) -> float:
        """When the addresses are to be looked up again."""
        return self._fresh_until

    async def find(self, family: socket.AddressFamily) -> list[Target]:
        """Where to send a request, in this order; SRV weights are drawn anew each time.

        Args:
            family: That of our socket: it reaches no address of another one.

        Raises:
            OSError: If the name cannot be resolved within RESOLVE_WITHIN, or has no address of that family.
        """
        self._family = family
        if self._clock() >= self._fresh_until:
            await self._renew()
        found = self._known()
        if not found:
            raise OSError(f"{self._host} has no {family.name} address")
        return sorted(self._hold.sort(found, self._clock()), key=lambda target: target in self._dead)

    async def _renew(self) -> None:
        """Look the name up; one at a time, for each may wait long while name servers are silent."""
        if self._look_up is None or self._look_up.done():
            self._look_up = asyncio.create_task(self._resolve(), name=f"address of {self._host}")
            self._look_up.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(RESOLVE_WITHIN):
                await asyncio.shield(self._look_up)
        except OSError:  # TimeoutError among them
            if self._found is None:
                raise

    async def _resolve(self) -> None:
        try:
            found = await self._resolver.locate(self._host, self._port, self._transport)
        except OSError:
            if self._found is not None:
                self._fresh_until = self._clock() + ASK_AGAIN
            raise
        if not found.certain and self._found is not None:
            self._fresh_until = self._clock() + ASK_AGAIN
            return
        self._found = found
        self._fresh_until = self._clock() + (found.ttl if found.certain else ASK_AGAIN)
        known = set(self._known())
        for kept in (self._dead, self._answers, self._silent):
            kept &= known

    def _known(self) -> list[Target]:
        if self._found is None:
            return []
        return targets_of(self._found.servers, self._transport, self._draw, ipv6=self._family == socket.AF_INET6)

    # What is known of them

    @property
    def is_down(self) -> bool:
        """Whether every server is dead."""
        known = self._known()
        return bool(known) and self._dead.issuperset(known)

    def served(self, target: Target) -> None:
        """It has answered a call or a registration, whatever it said."""
        self._hold.served(target)
        self._dead.discard(target)
        self._silent.discard(target)

    def overloaded(self, target: Target, retry_after: float | None = None) -> float:
        """It has answered that it cannot serve now (503); returns the seconds for which it is passed over."""
        self._silent.discard(target)
        return self._hold.failed(target, self._clock(), retry_after)

    def failed(self, target: Target, *, unreachable: bool) -> float:
        """It left a call or a registration unanswered, or cannot be reached; returns the same."""
        self._silent.add(target)
        if unreachable and self._watched:
            self._dead.add(target)
        self.suspicious.set()
        return self._hold.failed(target, self._clock())

    def probe_answered(self, target: Target) -> None:
        """It has answered OPTIONS: it lives. What it held against calls stays."""
        self._answers.add(target)
        self._dead.discard(target)
        if target in self._silent:
            self._silent.discard(target)
            self._hold.served(target)

    def probe_failed(self, target: Target, *, unreachable: bool) -> None:
        """It has left OPTIONS unanswered, or cannot be reached, or says 503."""
        if unreachable or target in self._answers or target in self._silent:
            self._dead.add(target)

    def is_dead(self, target: Target) -> bool:
        """Whether a server is dead."""
        return target in self._dead


def leg_of(identity: CallIdentity, server: Target, *, alone: bool) -> CallIdentity:
    """What identifies the INVITE of a call to one of several servers.

    The Call-ID is the committed one; tag and branch are the committed ones with a mark of the server, so that a later
    process, which knows the servers but not which of them was tried, can cancel each INVITE that may have left. With
    another tag the servers of one carrier do not take the second INVITE for the first one that has gone in circles
    (RFC 3261 section 8.2.2.2).

    Args:
        identity: As committed.
        server: Where the INVITE goes.
        alone: There is but one server: the identity stays as it is.
    """
    if alone:
        return identity
    mark = hashlib.sha256(str(server).encode()).hexdigest()[:8]
    return replace(identity, from_tag=f"{identity.from_tag}.{mark}", branch=f"{identity.branch}-{mark}")


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take a look-up's exception: who waited has had it, and nobody need wait."""
    if not task.cancelled():
        task.exception()
