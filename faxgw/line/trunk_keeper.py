"""What is done for the trunks beside calls: addresses kept fresh, registrations, keep-alive; and who is up.

A trunk that is not registered, or whose servers are all dead, has no channels for calls of ours; calls to us are taken
from it all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Final

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Request
from faxgw.foip.uri import SipUri
from faxgw.line.dns import TTL_FLOOR, Resolver
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.keepalive import KeepAlive
from faxgw.line.registrar_client import RegistrarClient
from faxgw.line.trunk import Trunk

log = logging.getLogger(__name__)

FAULT_PAUSE: Final = 10.0
"""Seconds until a task of ours that has failed begins again."""
MAX_WELCOME: Final = 256
"""Call-IDs for our registered contacts that are remembered until their call begins."""


class TrunkKeeper:
    """All trunks of a line.

    Args:
        trunks: By name, in the order of preference.
        resolver: The one the trunks ask.
    """

    def __init__(self, trunks: Mapping[str, Trunk], resolver: Resolver) -> None:
        self._trunks = trunks
        self._resolver = resolver
        self._tasks: list[asyncio.Task[None]] = []
        self._registrars: dict[str, RegistrarClient] = {}
        self._welcome: OrderedDict[str, Trunk] = OrderedDict()
        self._clock: Callable[[], float] | None = None
        self.when_changed: Callable[[], None] = lambda: None
        """Told when a trunk has gone down or is up again."""

    def start(self, endpoint_of: Callable[[Trunk], SipEndpoint]) -> None:
        """Begin; the endpoints are bound."""
        self._clock = asyncio.get_running_loop().time
        for trunk in self._trunks.values():
            endpoint = endpoint_of(trunk)
            endpoint.agent.welcome = self._is_welcome
            self._spawn(partial(_refresh, trunk, endpoint), f"addresses of {trunk.name}")
            if trunk.settings.registration:
                registrar = RegistrarClient(trunk, endpoint, self._resolver, self._tell)
                self._registrars[trunk.name] = registrar
                self._spawn(registrar.run, f"registration of {trunk.name}")
            if trunk.settings.keepalive > 0:
                self._spawn(KeepAlive(trunk, endpoint, self._changed).run, f"keep-alive of {trunk.name}")

    async def stop(self) -> None:
        """End everything, and remove our registrations as far as their registrars answer in time. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.gather(*(registrar.stop() for registrar in self._registrars.values()))
        self._registrars.clear()

    def faults(self) -> dict[str, str]:
        """The trunks that take no calls of ours now, and why; none before the start."""
        if self._clock is None:
            return {}
        now = self._clock()
        faults = {name: trunk.fault(now) for name, trunk in self._trunks.items()}
        return {name: fault for name, fault in faults.items() if fault}

    def usable(self, channels: Mapping[str, int]) -> dict[str, int]:
        """The same trunks: those that are up first, the others last and without channels."""
        faults = self.faults()
        up = {name: free for name, free in channels.items() if name not in faults}
        return up | {name: 0 for name in channels if name in faults}

    def called(self, call_id: str) -> Trunk | None:
        """The trunk whose registered contact a new call is for, if it is for one; asked once per call."""
        return self._welcome.pop(call_id, None)

    def _is_welcome(self, request: Request) -> bool:
        try:
            uri = request.request_uri
        except RemoteProtocolError:
            return False
        if not isinstance(uri, SipUri):
            return False
        trunk = next((trunk for trunk in self._trunks.values() if trunk.is_ours(uri)), None)
        if trunk is None:
            return False
        self._welcome[request.call_id] = trunk
        while len(self._welcome) > MAX_WELCOME:
            self._welcome.popitem(last=False)
        return True

    def _changed(self) -> None:
        """A trunk's servers have died, or live again: a registration that waits for that need not wait longer."""
        for registrar in self._registrars.values():
            registrar.wake.set()
        self._tell()

    def _tell(self) -> None:
        self.when_changed()

    def _spawn(self, work: Callable[[], Coroutine[None, None, None]], name: str) -> None:
        self._tasks.append(asyncio.create_task(_for_ever(work, name), name=name))


async def _for_ever(work: Callable[[], Coroutine[None, None, None]], name: str) -> None:
    """Begin a task again that has failed: no fault of one trunk ends the others."""
    while True:
        try:
            await work()
        except Exception:  # the task's owner
            log.exception("trunk task failed", extra={"event": "trunk.fault", "task": name})
        await asyncio.sleep(FAULT_PAUSE)


async def _refresh(trunk: Trunk, endpoint: SipEndpoint) -> None:
    """Keep a trunk's addresses known: calls to us are told by them."""
    while True:
        with contextlib.suppress(OSError):
            await trunk.servers(endpoint.family)
        await asyncio.sleep(TTL_FLOOR)
