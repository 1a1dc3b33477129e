"""A unit of work: a synchronous function of a connection that changes rows and nothing else.

Spine section 7. A unit lasts at most `SLOW_UNIT_S`, may run more than once (busy, serialisation, a batch
that another unit tore), and is committed entirely or not at all. It must not commit, roll back or keep the
connection; it may use `conn.begin_nested()`. What waits for its rows is woken through `notify`.
"""

from __future__ import annotations

import asyncio
import functools
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Unit = Callable[[Connection], T]

SLOW_UNIT_S = 0.1
"""Seconds a unit may last before it is logged: it delays every gate and MCF (spine section 7)."""

LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the latency histogram, seconds; 2 s is the budget of an MCF (spine section 5)."""

BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of the batch size histogram, units per COMMIT."""

EVERY_TOPIC = "*"
"""Delivered by an engine that may have missed what other nodes noted: all listeners are woken."""

_TOPICS = "faxgw.topics"


def notify(conn: Connection, topic: str) -> None:
    """Wake those who listen to `topic` once this unit is committed; forgotten if it is rolled back."""
    conn.info.setdefault(_TOPICS, []).append(topic)


def noted_topics(conn: Connection) -> list[str]:
    """Return the topics noted since the engine last emptied this list; for engines only."""
    topics: list[str] = conn.info.setdefault(_TOPICS, [])
    return topics


def unit_name(unit: Callable[..., object]) -> str:
    """Return a name for logs: module and function, closures under their maker's name."""
    while isinstance(unit, functools.partial):
        unit = unit.func
    name = getattr(unit, "__qualname__", type(unit).__qualname__).replace(".<locals>", "")
    return f"{getattr(unit, '__module__', '?')}.{name}"


@dataclass(slots=True, eq=False)
class Work:
    """One unit on its way through an engine; made on the loop, run in an engine's thread, settled on the loop."""

    unit: Unit[Any]  # Any: each unit has its own result type; Store.run gives it back to the caller
    """The function."""
    future: asyncio.Future[Any]
    """Whom to tell; may be cancelled meanwhile, which changes nothing for the unit."""
    submitted: float
    """When it was handed in, monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a unit, for good."""

    work: Work
    """The unit."""
    result: Any = None  # Any: see Work.unit
    """What it returned, if it is committed."""
    error: BaseException | None = None
    """Why it is not (or, CommitUncertain, perhaps not) committed."""


@dataclass(slots=True)
class Histogram:
    """Counts per bucket, not cumulated; one thread at a time writes, any may read."""

    bounds: tuple[float, ...]
    """Inclusive upper bounds, rising."""
    buckets: list[int] = field(default_factory=list)
    """One count per bound and one for what lies above."""
    total: float = 0.0
    """Sum of all values."""

    def __post_init__(self) -> None:
        self.buckets = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Counters:
    """What an engine has done since its start; plain numbers for metrics to read."""

    units: int = 0
    """Units committed."""
    failed: int = 0
    """Units that were not committed, whatever the reason."""
    slow: int = 0
    """Units that lasted longer than SLOW_UNIT_S."""
    reads: int = 0
    """Read units done, failed ones included."""
    commits: int = 0
    """COMMITs that succeeded."""
    busy: int = 0
    """Times a transaction lost to another process or node and was tried again."""
    torn: int = 0
    """Batches that were rolled back as a whole and run again unit by unit."""
    out_of_space: int = 0
    """Units refused for want of space."""
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS_S))
    """Seconds from hand-in to result, write units."""
    duration: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS_S))
    """Seconds a write unit ran."""
    commit: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS_S))
    """Seconds a COMMIT took."""
    batch: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    """Units per COMMIT."""
