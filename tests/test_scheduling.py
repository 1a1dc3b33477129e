"""A run of tests comes to its end whatever becomes of its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = 12
LIMIT_S = 120

CONFTEST = """
import pytest
from tests.scheduling import FileScheduling

def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return FileScheduling(config, log)
"""
GOOD = "import pytest\n\n@pytest.mark.parametrize('number', range(5))\ndef test_passes(number):\n    pass\n"
DEADLY = GOOD + "\ndef test_dies():\n    import os\n    os._exit(9)\n\ndef test_comes_after():\n    pass\n"


def test_what_is_left_of_a_dead_process_is_run_and_the_run_ends(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for number in range(FILES):
        (tmp_path / f"test_{number:02d}.py").write_text(DEADLY if number in (7, FILES - 1) else GOOD)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={**{name: value for name, value in os.environ.items() if "PYTEST" not in name}, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert f"2 failed, {5 * FILES + 2} passed" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("test_dies") >= 2
