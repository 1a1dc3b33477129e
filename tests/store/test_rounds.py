"""Rounds of small files: in C and in Python the same becomes of each file, whatever fails."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from faxgw.store import rounds

Write = Callable[[str, Sequence[tuple[str, bytes]]], list[OSError | None]]
BOTH = pytest.mark.parametrize("write", [rounds.write_native, rounds.write_python], ids=["in C", "in Python"])


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@BOTH
@pytest.mark.parametrize("sizes", [[0], [1], [20_000] * 12, [262_144, 0, 5]])
def test_what_is_written_is_there_and_private(write: Write, tmp_path: Path, sizes: list[int]) -> None:
    files = [(str(tmp_path / f"file{n}"), secrets.token_bytes(size)) for n, size in enumerate(sizes)]
    before = open_files()
    assert write(str(tmp_path), files) == [None] * len(sizes)
    assert open_files() == before
    for path, data in files:
        assert Path(path).read_bytes() == data
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


@BOTH
def test_one_that_fails_fails_alone_and_touches_nobody_else_s(write: Write, tmp_path: Path) -> None:
    """A name that is taken, a link, one that is too long: the others are there, and what was there is as it was."""
    (tmp_path / "taken").write_bytes(b"somebody else's")
    (tmp_path / "link").symlink_to(tmp_path / "taken")
    names = ["a", "taken", "link", "x" * 300, "b"]
    faults = write(str(tmp_path), [(str(tmp_path / name), b"mail") for name in names])
    codes = [fault.errno if fault else 0 for fault in faults]
    assert codes == [0, errno.EEXIST, errno.EEXIST, errno.ENAMETOOLONG, 0]
    assert (tmp_path / "taken").read_bytes() == b"somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "link", "taken"]


@BOTH
def test_where_the_folder_cannot_be_synced_nothing_stays(write: Write, tmp_path: Path) -> None:
    (tmp_path / "there").symlink_to(tmp_path)
    faults = write(str(tmp_path / "there"), [(str(tmp_path / name), b"mail") for name in "ab"])
    assert [fault.errno for fault in faults if fault is not None] == [errno.ENOTDIR] * 2
    assert len(set(map(id, faults))) == 2
    assert not list(tmp_path.glob("[ab]"))


@BOTH
def test_without_the_folder_nothing_is_written(write: Write, tmp_path: Path) -> None:
    (fault,) = write(str(tmp_path / "none"), [(str(tmp_path / "none" / "a"), b"mail")])
    assert isinstance(fault, FileNotFoundError)


@pytest.mark.parametrize("which", ["write_native", "write_python"])
def test_what_does_not_fit_is_taken_back(which: str, tmp_path: Path) -> None:
    """A file above the process's limit, as on a full disk: the first part was written, and is removed."""
    code = (
        "import resource, signal, sys\n"
        "from faxgw.store import rounds\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"faults = rounds.{which}(sys.argv[1], [(sys.argv[1] + '/a', bytes(9000)), (sys.argv[1] + '/b', b'x')])\n"
        "print([fault.errno if fault else 0 for fault in faults])\n"
    )
    done = subprocess.run((sys.executable, "-c", code, str(tmp_path)), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"[{errno.EFBIG}, 0]"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_file_system_that_takes_no_advice_keeps_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in C: beginning to write early is an offer."""

    def refused(*args: object) -> None:
        raise OSError(errno.ENOSYS, "no advice")

    monkeypatch.setattr(os, "posix_fadvise", refused)
    assert rounds.write_python(str(tmp_path), [(str(tmp_path / "a"), b"mail")]) == [None]
    assert (tmp_path / "a").read_bytes() == b"mail"


def test_c_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    used: list[str] = []
    for name in ("write_native", "write_python"):
        monkeypatch.setattr(rounds, name, lambda folder, files, name=name: used.append(name))
    rounds.write(str(tmp_path), [])
    monkeypatch.setattr(rounds, "library", lambda: None)
    rounds.write(str(tmp_path), [])
    assert used == ["write_native", "write_python"]


def test_a_library_of_another_source_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "_rounds.c"
    source.write_bytes(rounds.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(rounds, "SOURCE", source)
    with caplog.at_level(logging.WARNING):
        assert rounds.library.__wrapped__() is None
    assert "another source" in caplog.text
    monkeypatch.setattr(rounds, "LIBRARY", tmp_path / "none.so")
    assert rounds.library.__wrapped__() is None


def test_any_round_stays_within_its_memory(tmp_path: Path) -> None:
    """The source with the address and undefined behaviour sanitisers: rounds whose files fail in every step."""
    harness, program = tmp_path / "rounds.c", tmp_path / "rounds"
    harness.write_text(
        f'#include "{rounds.SOURCE}"\n'
        """
        #include <stdlib.h>
        #include <stdio.h>
        int main(int argc, char **argv) {
            srand(1);
            for (int round = 0; round < 300; round++) {
                int count = rand() % 13;
                file *files = calloc((size_t)count + 1, sizeof(file));
                for (int i = 0; i < count; i++) {
                    char *path = malloc(400);
                    files[i].size = rand() % 3 ? rand() % 5000 : 0;
                    uint8_t *data = malloc((size_t)files[i].size + 1);
                    snprintf(path, 400, rand() % 5 ? "%s/%d-%d" : "%s/none/%d-%d", argv[1], round, rand() % 9);
                    files[i].path = path;
                    files[i].data = data;
                    for (int64_t n = 0; n < files[i].size; n++) data[n] = (uint8_t)n;
                }
                rounds_write(files, count, round % 7 ? argv[1] : "/none");
                for (int i = 0; i < count; i++) {
                    if (files[i].descriptor != -1) return 1;
                    if (files[i].fault == 0 && access(files[i].path, F_OK)) return 2;
                    free((void *)files[i].path);
                    free((void *)files[i].data);
                }
                free(files);
            }
            return argc != 2;
        }
        """
    )
    flags = ("-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    subprocess.run(("cc", *flags, "-o", str(program), str(harness)), check=True)
    (tmp_path / "work").mkdir()
    done = subprocess.run((str(program), str(tmp_path / "work")), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
