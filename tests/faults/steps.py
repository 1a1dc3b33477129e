"""Counted steps: the durable operations and the physical steps of a daemon under test, each a place to die at.

Only the processes of this harness import this; the product knows nothing of it. A step is counted just before or
just after an operation, over all threads; at the fatal one the process kills itself with SIGKILL.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any  # the functions that are wrapped

_write = os.write


class Steps:
    """Kills this process at a given step.

    Args:
        fatal: The step to die at, from 1; 0: none; or `name:n`, the n-th step of that name.
        report: A file that gets the counts when `save` is called, and the name of the fatal step.
    """

    def __init__(self, fatal: int | str, report: Path) -> None:
        self._fatal = fatal
        self._report = report
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def step(self, name: str) -> None:
        """Count one step; do not return from the fatal one."""
        with self._lock:
            number = next(self._numbers)
            self.counts[name] += 1
            if self._fatal in (number, f"{name}:{self.counts[name]}"):
                self.save(name)
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    def save(self, fatal: str = "") -> None:
        """Write the counts down."""
        text = json.dumps({"steps": sum(self.counts.values()), "fatal": fatal, "by_name": dict(self.counts)})
        fd = os.open(self._report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        _write(fd, text.encode())
        os.close(fd)

    def around(self, owner: Any, name: str, *, before: bool = True, after: bool = True) -> None:
        """Make each call of a function one or two steps."""
        original: Callable[..., object] = getattr(owner, name)

        @functools.wraps(original)
        def counted(*args: object, **kwargs: object) -> object:
            if before:
                self.step(f"before {name}")
            result = original(*args, **kwargs)
            if after:
                self.step(f"after {name}")
            return result

        setattr(owner, name, counted)

    def rig(self) -> None:
        """Count the durable operations of this process: files and the database."""
        from faxgw.store import rounds
        from faxgw.store.postgres import PostgresEngine
        from faxgw.store.sqlite import SqliteEngine

        setattr(rounds, "library", lambda: None)  # noqa: B010 - in C they would be one step

        self.around(os, "write", before=False)
        self.around(os, "fsync")
        self.around(os, "rename")
        self.around(os, "unlink")
        self.around(SqliteEngine, "_commit")
        self.around(PostgresEngine, "_commit")
