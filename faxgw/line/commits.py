"""What a call must have durable, asked for in order beside the call, so that a slow database holds up no BYE.

Each answer comes back through the call's inbox. A commit that raises is not durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faxgw.line.workers import Inbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit came back."""

    what: object
    """As it was asked for."""
    durable: bool


@dataclass(frozen=True, slots=True)
class _Asked:
    what: object
    commit: Callable[[], Awaitable[bool]]
    dispose: Callable[[], None]


class Commits:
    """The commits of one call, one after the other.

    Args:
        inbox: Gets a `Committed` for each.
        name: The attempt's or reception's id, for the log.
    """

    def __init__(self, inbox: Inbox, name: str) -> None:
        self._inbox = inbox
        self._name = name
        self._asked: asyncio.Queue[_Asked | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; to be ended by `close`."""
        self._task = asyncio.create_task(self._commit_for_ever(), name=f"commits {self._name}")

    def ask(
        self, what: object, commit: Callable[[], Awaitable[bool]], dispose: Callable[[], None] = lambda: None
    ) -> None:
        """Have something committed.

        Args:
            what: Named in the answer.
            commit: Does it; True when it is durable.
            dispose: Called once when it is done or given up: closes what `commit` needed.
        """
        self._asked.put_nowait(_Asked(what, commit, dispose))

    async def finish(self) -> None:
        """Wait until all that was asked for has come back; nothing may be asked for afterwards."""
        self._asked.put_nowait(None)
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """Give up what is not done. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._asked.empty():
            item = self._asked.get_nowait()
            if item is not None:
                item.dispose()

    async def _commit_for_ever(self) -> None:
        while (item := await self._asked.get()) is not None:
            try:
                durable = await item.commit()
            except Exception:
                log.exception("commit failed", extra={"event": "call.mark_failed", "call": self._name})
                durable = False
            finally:
                item.dispose()
            self._inbox.put_nowait(Committed(item.what, durable))
