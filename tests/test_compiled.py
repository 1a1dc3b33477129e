"""Compiling what is written in C: with a compiler, without one, with one that fails, from another source."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from faxgw import compiled


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "some.c"
    path.write_text("const char *some_version(void) { return SOME_VERSION; }\n")
    return path


@pytest.fixture
def library(source: Path) -> Path:
    """Where the result is put."""
    return source.with_name("some.so")


def test_a_library_says_of_which_source_it_is(source: Path, library: Path) -> None:
    assert compiled.build(source, library, "SOME_VERSION")
    say = ctypes.CDLL(str(library)).some_version
    say.restype = ctypes.c_char_p
    assert say().decode() == compiled.version_of(source.read_bytes()) != compiled.version_of(b"another")
    assert sorted(source.parent.iterdir()) == [source, library]


def test_without_a_compiler_nothing_happens(
    source: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    compiled.tell(lambda: compiled.build(source, library, "SOME_VERSION"), "it", "all stays as it is")
    assert capsys.readouterr().out == "no C compiler: all stays as it is\n"
    assert not library.exists()


def test_a_compiler_that_fails_leaves_what_is_there(source: Path, library: Path) -> None:
    library.write_bytes(b"before")
    source.write_text("this is no C")

    def build() -> bool:
        return compiled.build(source, library, "SOME_VERSION")

    with pytest.raises(subprocess.CalledProcessError):
        build()
    with pytest.raises(SystemExit, match="it not built"):
        compiled.tell(build, "it", "")
    assert library.read_bytes() == b"before"
    assert sorted(source.parent.iterdir()) == [source, library]
