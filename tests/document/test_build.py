"""Compiling the work on pixels: with a compiler, without one, and with one that fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from faxgw.document import build, native


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where it is put."""
    path = tmp_path / "lib.so"
    for module in (build, native):
        monkeypatch.setattr(module, "LIBRARY", path)
    return path


def test_what_is_built_is_used(library: Path) -> None:
    assert build.build()
    assert native.library.__wrapped__() is not None
    assert list(library.parent.iterdir()) == [library]


def test_without_a_compiler_nothing_happens(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    build.main()
    assert "numpy" in capsys.readouterr().out
    assert not library.exists()
    assert native.library.__wrapped__() is None


def test_a_compiler_that_fails_leaves_what_is_there(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library.write_bytes(b"before")
    with pytest.raises(subprocess.CalledProcessError):
        build.build("/bin/false")
    assert library.read_bytes() == b"before"
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/false")
    with pytest.raises(SystemExit, match="not built"):
        build.main()
    assert list(library.parent.iterdir()) == [library]
