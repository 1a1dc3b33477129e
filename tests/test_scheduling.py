"""A run of tests comes to its end whatever becomes of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.scheduling import FileScheduling

ROOT = Path(__file__).resolve().parents[1]
FILES = 12
LIMIT_S = 300
"""Guards against a run without end; on a loaded machine each of the five processes takes its time to begin."""

CONFTEST = """
from tests.scheduling import FileScheduling

def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return FileScheduling(config, log)
"""
GOOD = "import pytest\n\n@pytest.mark.parametrize('number', range(5))\ndef test_passes(number):\n    pass\n"
DEADLY = GOOD + "\ndef test_dies():\n    import os\n    os._exit(9)\n\ndef test_comes_after():\n    pass\n"


class Process:
    """A process of a run, as the scheduler sees it."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.dead = self.shutting_down = False
        self.gateway = SimpleNamespace(id="gw")

    def send_runtest_some(self, indices: list[int]) -> None:
        if self.dead:
            raise OSError("cannot send (already closed?)")
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduling(*processes: Process) -> FileScheduling:
    config: Any = SimpleNamespace(  # what it asks of pytest's
        getvalue=lambda name: ["popen"] * len(processes), option=SimpleNamespace(loadscopereorder=False)
    )
    scheduler = FileScheduling(config)
    for process in processes:
        scheduler.add_node(process)
    return scheduler


TESTS = [f"test_{file}.py::test_{number}" for file in "abcdef" for number in range(2)]


def test_a_process_dead_before_that_is_known_is_given_no_more_and_ends_nothing() -> None:
    first, second = Process(), Process()
    scheduler = scheduling(first, second)
    for process in (first, second):
        scheduler.add_node_collection(process, TESTS)
    scheduler.schedule()
    assert (first.given, second.given) == ([0, 1, 4, 5], [2, 3, 6, 7])
    first.dead = second.dead = True
    for test in (0, 1):
        scheduler.mark_test_complete(first, test)
    assert (first.given, second.given) == ([0, 1, 4, 5], [2, 3, 6, 7])
    assert scheduler.remove_node(first) == TESTS[4]
    assert scheduler.remove_node(second) == TESTS[2]
    third = Process()
    scheduler.add_node(third)
    scheduler.add_node_collection(third, TESTS)
    scheduler.schedule()
    for test in third.given:
        scheduler.mark_test_complete(third, test)
    assert sorted(third.given) == sorted({*range(12)} - {0, 1, 4, 2})
    assert third.shutting_down
    assert scheduler.tests_finished


def test_a_process_that_dies_once_it_has_collected_is_waited_for_in_its_place() -> None:
    first, second, third = Process(), Process(), Process()
    scheduler = scheduling(first, second)
    scheduler.add_node_collection(first, TESTS)
    assert scheduler.remove_node(first) is None
    scheduler.add_node(third)
    scheduler.add_node_collection(second, TESTS)
    assert not scheduler.collection_is_completed
    scheduler.add_node_collection(third, TESTS)
    scheduler.schedule()
    assert second.given == [0, 1, 4, 5]
    assert third.given == [2, 3, 6, 7]


def test_what_is_left_of_a_dead_process_is_run_and_the_run_ends(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for number in range(FILES):
        (tmp_path / f"test_{number:02d}.py").write_text(DEADLY if number in (7, FILES - 1) else GOOD)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "xdist", "-p", "no:cacheprovider", "--rootdir", "."],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    assert f"2 failed, {5 * FILES + 2} passed" in done.stdout, done.stdout
    assert done.stdout.count("test_dies") >= 2
