"""How files of tests are shared out among the processes of one run.

A file stays in one process, as with pytest-xdist's own `--dist loadfile`, with two differences. When a process dies,
the plain scheduler gives its finished files to the others as well, which then wait without end for results of nothing:
here only what is left of them goes on, without the test that died. It also gives work to a process that has died
without its knowing yet, and then ends the whole run with an error. And files whose tests wait for real calls come
first, so that a run does not end with long ones.
"""

from __future__ import annotations

import contextlib

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

LONG = (
    "tests/end_to_end/",
    "tests/systemd/",
    "tests/faults/",
    "tests/bench/",
    "tests/simulator/",
    "tests/document/test_service",
    "tests/document/test_hostile",
    "tests/document/test_beside",
    "tests/document/test_paper",
    "tests/document/test_layout",
    "tests/interop/",
)
"""What a run begins with, in this order: waits for calls, for clocks, or for limits to be reached."""


def rank(item: pytest.Item) -> int:
    """Where in a run the file of a test belongs."""
    return next((place for place, begin in enumerate(LONG) if item.nodeid.startswith(begin)), len(LONG))


class FileScheduling(LoadFileScheduling):  # type: ignore[misc]
    """One file after the other to whoever is free; what is left of a dead process's files to the others."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a process out. Returns: the test it died in, None if it had nothing left to do."""
        if self.collection is None:  # nothing is shared out before the one in its place has collected too
            self.registered_collections.pop(node, None)
        left = [unit for unit in self.assigned_work.pop(node).items() if self._pending_of(dict([unit]))]
        if not left:
            return None
        crashed: str = next(test for _file, tests in left for test, done in tests.items() if not done)
        left[0][1][crashed] = True  # it is told as failed, not tried again
        self.workqueue.update((file, tests) for file, tests in left if not all(tests.values()))
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        if node in self.registered_collections:  # one that replaces a dead one may still be collecting
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        with contextlib.suppress(OSError):  # it is dead, and hands the file back when that is told: `remove_node`
            super()._assign_work_unit(node)
