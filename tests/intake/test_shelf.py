"""Flat folders: names below an open folder, no link, no second name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faxgw.intake.shelf import MAX_NAME, Shelf, is_name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "a\n", "é" * MAX_NAME, "\ud800"])
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name) and is_name("a b.é")


def test_only_plain_files_of_one_name_are_there(tmp_path: Path) -> None:
    """Reliability X-03."""
    (tmp_path / "secret").write_bytes(b"root")
    with Shelf(tmp_path / "shelf") as shelf:
        shelf.put("plain", b"1")
        (shelf.folder / "soft").symlink_to(tmp_path / "secret")
        (shelf.folder / "hard").hardlink_to(tmp_path / "secret")
        (shelf.folder / "folder").mkdir()
        os.mkfifo(shelf.folder / "pipe")
        assert [entry.name for entry in shelf.entries()] == ["plain"]
        for name in ("soft", "hard", "pipe", "folder", "none"):
            assert shelf.entry(name) is None
            with pytest.raises(FileNotFoundError):
                shelf.open_read(name)
        for name in ("soft", "hard", "folder"):
            with pytest.raises(OSError):
                shelf.open_write(name, truncate=True)
    assert (tmp_path / "secret").read_bytes() == b"root"


def test_a_folder_that_is_swapped_for_a_link_changes_nothing(tmp_path: Path) -> None:
    """Reliability X-03: the race of a folder against a link to elsewhere cannot be won, for it was opened once."""
    (tmp_path / "elsewhere").mkdir()
    with Shelf(tmp_path / "shelf") as shelf:
        shelf.put("a", b"1")
        (tmp_path / "shelf").rename(tmp_path / "moved")
        (tmp_path / "shelf").symlink_to(tmp_path / "elsewhere")
        shelf.put("b", b"2")
        assert shelf.read("a", 10) == b"1" and shelf.remove("a")
    assert list((tmp_path / "elsewhere").iterdir()) == [] and (tmp_path / "moved" / "b").read_bytes() == b"2"
    with pytest.raises(OSError):
        Shelf(tmp_path / "shelf")


def test_what_is_put_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Shelf(tmp_path / "shelf") as shelf:
        shelf.put("a", b"old")

        def fail(fd: int) -> None:
            raise OSError(5, "broken")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(OSError):
                shelf.put("a", b"new")
        assert shelf.read("a", 10) == b"old" and [e.name for e in shelf.entries()] == ["a"]


def test_listings_are_bounded(tmp_path: Path) -> None:
    with Shelf(tmp_path / "shelf") as shelf:
        for number in range(5):
            (shelf.folder / str(number)).touch()
        assert len(shelf.entries(3)) == 3


def test_what_is_skipped_does_not_count_and_the_newest_are_listed(tmp_path: Path) -> None:
    """Results that lie beside documents must not hide the documents."""
    with Shelf(tmp_path / "shelf") as shelf:
        for number in range(6):
            shelf.put(f"{number}", b"")
            os.utime(shelf.folder / str(number), (number, (number * 5) % 6))
        assert [e.name for e in shelf.entries(2, lambda name: name in "0123")] == ["4", "5"]
        assert [e.name for e in shelf.newest(2)] == ["1", "2"]


def test_however_many_there_are_the_old_ones_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = Shelf.entries
    monkeypatch.setattr(Shelf, "entries", lambda self, limit=1: entries(self, limit))
    with Shelf(tmp_path / "shelf") as shelf:
        for number in range(5):
            shelf.put(f"{number}", b"")
            os.utime(shelf.folder / str(number), (number, number))
        assert shelf.prune(4.0) == 4 and [e.name for e in shelf.entries(9)] == ["4"]
