"""Compiling the media loop; what compiling is stands in `compiled`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from faxgw.t30 import build, native


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


def test_without_a_compiler_the_twin_works(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    build.main()
    assert "Python" in capsys.readouterr().out
    assert native.library.__wrapped__() is None
