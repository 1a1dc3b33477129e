"""Runs T.30 attacks in child processes, so that one which kills the library costs one seed and is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
BATCH: Final = 250
"""Seeds of one child."""
PATIENCE: Final = 300.0
"""Seconds a child may take in all; a seed that takes the rest of it is a hang."""


@dataclass
class Sessions:
    """What came of many attacks."""

    played: int = 0
    crashes: dict[int, str] = field(default_factory=dict)
    """Seed, and how the process ended."""
    faults: dict[int, str] = field(default_factory=dict)
    """Seed, and what must not have been."""
    reasons: dict[str, int] = field(default_factory=dict)
    """How the calls ended: the reason of PhaseE, or its code."""
    worst_tick: float = 0.0
    """Seconds of CPU."""
    longest: float = 0.0
    """Virtual seconds."""

    def add(self, played: dict[str, Any]) -> None:
        """Count one."""
        self.played += 1
        if played["fault"]:
            self.faults[played["seed"]] = played["fault"]
        why = played["reason"] or f"code {played['code']}"
        self.reasons[why] = self.reasons.get(why, 0) + 1
        self.worst_tick = max(self.worst_tick, played["worst_tick"])
        self.longest = max(self.longest, played["seconds"])


def run(first: int, count: int, tell: Callable[[Sessions], None] = lambda _so_far: None) -> Sessions:
    """Play `count` seeds from `first` on; `tell` is called after each child."""
    sessions, seed = Sessions(), first
    while seed < first + count:
        batch = min(BATCH, first + count - seed)
        seed += _child(seed, batch, sessions)
        tell(sessions)
    return sessions


def _child(first: int, count: int, sessions: Sessions) -> int:
    """Play a batch; returns how many seeds are dealt with, the one that killed the child among them."""
    command = [sys.executable, "-m", "tests.hostile.sessions", "--first", str(first), "--count", str(count)]
    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as exc:
        out = exc.stdout.decode() if isinstance(exc.stdout, bytes) else exc.stdout or ""
        status = "hangs"
    else:
        out, status = ended.stdout, f"exit status {ended.returncode}"
        if ended.returncode == 0:
            status = ""
    done = 0
    for played in _read(out):
        sessions.add(played)
        done += 1
    if status and done < count:
        sessions.crashes[first + done] = status
        sessions.played += 1
        done += 1
    return max(done, 1)


def _read(out: str) -> Iterator[dict[str, Any]]:
    for line in out.splitlines():
        if line.endswith("}"):
            yield json.loads(line)
