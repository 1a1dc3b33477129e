"""What every part of the dispatch needs: the store, the files, who we are, what time it is."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar  # Any: what units return

from sqlalchemy import Connection

from faxgw.fax import ids
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError
from faxgw.store.files import Files

T = TypeVar("T")
log = logging.getLogger(__name__)

PERSIST_PAUSE = 1.0
"""Seconds between tries to write down what has already happened on the wire."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One node at work."""

    store: Store
    files: Files
    node: str
    fence: int
    clock: Callable[[], float]
    """Wall clock, Unix seconds."""
    system: Mapping[str, object] = field(default_factory=dict)
    """Settings of the system level."""
    _writing: set[asyncio.Task[Any]] = field(default_factory=set, init=False, repr=False, compare=False)

    def id(self, prefix: str) -> str:
        """A fresh prefixed id."""
        return ids.prefixed(prefix, self.clock(), secrets.token_bytes(ids.RANDOM_OCTETS))

    async def persist(self, unit: Callable[[Connection], T]) -> T:
        """Write down what has already happened, however long the database is away (spine section 5).

        Shielded from cancellation: the wire cannot be taken back.
        """
        task = asyncio.create_task(self._until_written(unit), name="persist")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def _until_written(self, unit: Callable[[Connection], T]) -> T:
        while True:
            try:
                return await self.store.run(unit)
            except StoreError as exc:
                if not exc.temporary:
                    raise
                log.warning("result not written yet", extra={"event": "store.away", "why": str(exc)})
                await asyncio.sleep(PERSIST_PAUSE)
