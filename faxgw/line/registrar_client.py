"""Keeps one trunk registered: sends what `foip.registration` asks for to the trunk's servers, one after the other.

A server that does not answer, or says that it cannot, is passed over for a while (`line.targets`) and the next one is
asked at once; when none is left the machine names a pause. At the end the binding is removed, within STOP_WITHIN.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from faxgw.foip.client import Sending
from faxgw.foip.events import RequestDone, Why
from faxgw.foip.location import Target, targets_of
from faxgw.foip.registration import MAX_AGAIN, Registration, Verdict
from faxgw.foip.uri import SipUri
from faxgw.line.dns import Resolver
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.exchange import ask
from faxgw.line.trunk import Trunk

log = logging.getLogger(__name__)

STOP_WITHIN: Final = 2.0
"""Seconds for removing the binding when we stop; a registrar forgets it by itself later."""


class RegistrarClient:
    """One trunk's registration at work.

    Args:
        trunk: Whose.
        endpoint: What it is sent over, and where calls to us come in.
        resolver: For the hosts of redirections.
        on_change: Told when the trunk has become registered, or is no more.
    """

    def __init__(
        self, trunk: Trunk, endpoint: SipEndpoint, resolver: Resolver, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._trunk = trunk
        self._endpoint = endpoint
        self._resolver = resolver
        self._on_change = on_change
        stack = endpoint.agent.stack
        self._machine = Registration(trunk.account(), trunk.credentials, stack.random, stack.config.host)
        trunk.registration = self._machine
        self._server: Target | None = None
        self._was_bound = False
        self.wake = asyncio.Event()
        """Look at the deadline again."""

    async def run(self) -> None:
        """Register, and stay registered, until cancelled."""
        while True:
            self.wake.clear()
            await self._round()
            self._tell()
            await self._wait()

    async def stop(self) -> None:
        """Remove the binding; `run` has been cancelled before."""
        server = self._server
        sending = None if server is None else self._machine.removal(server.address, self._route)
        if sending is not None:
            done = await ask(self._endpoint, sending, STOP_WITHIN)
            self._machine.done(done, self._endpoint.now)
            self._log("unregistered" if done.status < 300 else "not unregistered")

    @property
    def _route(self) -> tuple[str, ...]:
        return self._trunk.proxy_route

    async def _wait(self) -> None:
        """Until the next request is due, or the binding is over without one."""
        deadline = self._machine.deadline
        try:
            async with asyncio.timeout_at(deadline):
                await self.wake.wait()
        except TimeoutError:
            pass
        if self.wake.is_set():
            self._machine.hasten(self._endpoint.now)

    async def _round(self) -> None:
        """One request at each server, until one of them binds or refuses us."""
        now = self._endpoint.now
        if self._machine.deadline is None or now < self._machine.deadline:
            return
        try:
            servers = await self._trunk.servers(self._endpoint.family)
        except OSError as exc:
            self._machine.detail = f"not resolved: {exc or 'in time'}"
            self._machine.exhausted(self._endpoint.now)
            return
        for place, server in enumerate(servers):
            last = place == len(servers) - 1
            if await self._at(server, None if last else float(self._trunk.settings.answer_within)):
                return
        self._machine.exhausted(self._endpoint.now)

    async def _at(self, server: Target, within: float | None) -> bool:
        """Register at one server. False: it does not work."""
        destination = server
        for _ in range(MAX_AGAIN + 2):  # the machine ends it earlier
            done = await ask(self._endpoint, self._next(destination), within)
            self._judge(destination, done)
            verdict = self._machine.done(done, self._endpoint.now)
            if verdict is Verdict.ELSEWHERE:
                return False
            if verdict is not Verdict.AGAIN:
                if verdict is Verdict.BOUND:
                    self._server = destination
                return True
            if self._machine.redirected is not None:
                found = await self._follow(self._machine.redirected)
                if found is None:
                    return False
                destination = found
        return False

    def _next(self, server: Target) -> Sending:
        config = self._endpoint.agent.stack.config
        host, port = config.host, config.port
        if self._trunk.settings.learn_address and self._machine.learnt is not None:
            host, port = self._machine.learnt
        return self._machine.request(server.address, [self._trunk.contact(host, port)], self._route)

    async def _follow(self, uri: SipUri) -> Target | None:
        """Where a redirection leads, over the trunk's own transport."""
        try:
            found = await self._resolver.locate(uri.host, uri.port, self._trunk.transport)
        except OSError:
            return None
        ipv6 = ":" in self._endpoint.host
        targets = targets_of(found.servers, self._trunk.transport, lambda: 0.0, ipv6=ipv6)
        return targets[0] if targets else None

    def _judge(self, server: Target, done: RequestDone) -> None:
        targets = self._trunk.targets
        if done.why is not Why.ANSWERED:
            targets.failed(server, unreachable=done.why is Why.TRANSPORT)
        elif done.status == 503:
            targets.overloaded(server)
        else:
            targets.served(server)

    def _tell(self) -> None:
        bound = self._machine.is_bound(self._endpoint.now)
        if bound != self._was_bound:
            self._was_bound = bound
            self._log("registered" if bound else "registration lost")
            self._on_change()
        elif not bound:
            self._log("not registered")

    def _log(self, what: str) -> None:
        log.info(
            "registration",
            extra={
                "event": f"trunk.{what.replace(' ', '_')}",
                "trunk": self._trunk.name,
                "detail": self._machine.detail,
                "server": str(self._server or ""),
            },
        )
