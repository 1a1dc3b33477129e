"""Compiling what is written in C: with a compiler, without one, with one that fails, from another source."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from faxgw.compiled import Library, version_of
from faxgw.document import native as pixels
from faxgw.document.build import PIXELS
from faxgw.store import rounds
from faxgw.store.build import ROUNDS
from faxgw.t30 import native as media
from faxgw.t30.build import MEDIA

OURS = pytest.mark.parametrize(
    "built, used", [(MEDIA, media), (PIXELS, pixels), (ROUNDS, rounds)], ids=["media", "pixels", "rounds"]
)


@pytest.fixture
def some(tmp_path: Path) -> Library:
    source = tmp_path / "some.c"
    source.write_text("const char *some_version(void) { return SOME_VERSION; }\n")
    return Library(source, tmp_path / "some.so", "SOME_VERSION", "it", "all stays as it is")


def test_a_library_says_of_which_source_it_is(some: Library) -> None:
    assert some.build()
    say = ctypes.CDLL(str(some.path)).some_version
    say.restype = ctypes.c_char_p
    assert say().decode() == version_of(some.source.read_bytes()) != version_of(b"another")
    assert sorted(some.path.parent.iterdir()) == [some.source, some.path]


def test_without_a_compiler_nothing_happens(
    some: Library, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    some.main()
    assert capsys.readouterr().out == "no C compiler: all stays as it is\n"
    assert not some.path.exists()


def test_a_compiler_that_fails_leaves_what_is_there(some: Library) -> None:
    some.path.write_bytes(b"before")
    some.source.write_text("this is no C")
    with pytest.raises(subprocess.CalledProcessError):
        some.build()
    with pytest.raises(SystemExit, match="it not built"):
        some.main()
    assert some.path.read_bytes() == b"before"
    assert sorted(some.path.parent.iterdir()) == [some.source, some.path]


def loaded(used: ModuleType) -> object:
    """What is found of a library now, whatever was found before."""
    look: Callable[[], object] = used.library.__wrapped__
    return look()


@OURS
def test_what_is_built_is_used(
    built: Library, used: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(used, "LIBRARY", tmp_path / "lib.so")
    assert loaded(used) is None
    assert replace(built, path=tmp_path / "lib.so").build()
    assert loaded(used) is not None


@OURS
def test_it_lies_where_it_is_looked_for(built: Library, used: ModuleType) -> None:
    assert (built.source, built.path) == (used.SOURCE, used.LIBRARY)
