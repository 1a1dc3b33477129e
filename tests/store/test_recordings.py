"""The folder of recordings: whole or not at all, bounded, forgotten in time."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from faxgw.store import recordings
from faxgw.store.errors import ObjectDamaged, ObjectMissing
from faxgw.store.recordings import FOLDER, RecordingFolder


@pytest.fixture
def folder(tmp_path: Path) -> RecordingFolder:
    return RecordingFolder(tmp_path)


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / FOLDER).iterdir()}


def test_a_recording_is_kept_small_and_for_our_eyes_only(folder: RecordingFolder, tmp_path: Path) -> None:
    octets = b"the same again " * 10_000
    size = folder.keep("att_1", octets)
    path = tmp_path / FOLDER / "att_1.faxrec"
    assert size == path.stat().st_size < len(octets) / 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert folder.read("att_1") == octets
    assert names(tmp_path) == {"att_1.faxrec"}


@pytest.mark.parametrize("call", ["../../etc/passwd", "att_/..", "", "att_1.faxrec", "att_" + "1" * 65, "ATT_1"])
def test_a_name_that_is_no_call_leads_nowhere(folder: RecordingFolder, call: str) -> None:
    with pytest.raises(ObjectMissing):
        folder.read(call)
    with pytest.raises(ObjectMissing):
        folder.keep(call, b"")


def test_what_is_not_there_or_damaged_is_said(folder: RecordingFolder, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing):
        folder.read("att_1")
    folder.keep("att_1", bytes(range(256)) * 10)
    path = tmp_path / FOLDER / "att_1.faxrec"
    whole = path.read_bytes()
    for damaged in (whole[:-9], b"nonsense", b""):
        path.write_bytes(damaged)
        with pytest.raises(ObjectDamaged):
            folder.read("att_1")


def test_what_unpacks_to_more_than_a_recording_is_refused(
    folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.keep("att_1", bytes(5000))
    monkeypatch.setattr(recordings, "MAX_RECORDING", 4999)
    with pytest.raises(ObjectDamaged):
        folder.read("att_1")


def test_a_disk_that_takes_nothing_leaves_nothing_behind(
    folder: RecordingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.keep("att_1", b"first")

    def full(_self: Path, _target: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError):
        folder.keep("att_2", b"second")
    assert names(tmp_path) == {"att_1.faxrec"}


def test_old_recordings_go_and_so_does_what_was_never_finished(folder: RecordingFolder, tmp_path: Path) -> None:
    for number, at in enumerate((100, 200, 300)):
        folder.keep(f"att_{number}", b"x")
        os.utime(tmp_path / FOLDER / f"att_{number}.faxrec", (at, at))
    (tmp_path / FOLDER / "att_9.tmp").write_bytes(b"half")
    assert folder.prune(older_than=200) == 2
    assert names(tmp_path) == {"att_1.faxrec", "att_2.faxrec"}


@pytest.mark.parametrize("bound, value", [("MAX_KEPT", 2), ("MAX_OCTETS", 25)])
def test_of_too_many_the_oldest_go(
    folder: RecordingFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(recordings, bound, value)
    for number in range(5):
        folder.keep(f"att_{number}", b"x")
        os.utime(tmp_path / FOLDER / f"att_{number}.faxrec", (number, number))
    assert folder.prune(older_than=0) == 3
    assert names(tmp_path) == {"att_3.faxrec", "att_4.faxrec"}


def test_there_is_nothing_to_remove_before_the_first_recording(folder: RecordingFolder) -> None:
    assert folder.prune(older_than=1e12) == 0
