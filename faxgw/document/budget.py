"""Seconds of CPU for a piece of work that may be given up for a simpler one (page process only).

A document's process has a limit of its own that ends it (`render.allow_cpu`). Within it, work in Python can be
stopped and replaced: the soft limit is lowered for a while, and SIGXCPU raises `Overrun` instead of killing.
"""

from __future__ import annotations

import math
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Overrun(Exception):
    """The work took more CPU than it was given."""


@contextmanager
def cpu_seconds(seconds: int) -> Iterator[None]:
    """Let what runs inside use so much CPU, and no more than the process has left.

    The kernel repeats the signal every second, so that a callback that loses one exception does not go on for ever.
    Afterwards the former limit holds again; it counts from the start of the process, so `Target.begin` should grant
    new time to what follows.

    Raises:
        Overrun: If it was used up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(time.process_time()) + seconds
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft - 1)  # before the limit that kills
    before = signal.signal(signal.SIGXCPU, _overrun)
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (max(1, wanted), hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
        signal.signal(signal.SIGXCPU, before)


def _overrun(_signal: int, _frame: FrameType | None) -> None:
    raise Overrun
