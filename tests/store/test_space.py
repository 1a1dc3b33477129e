"""Reliability section 2.3 (ENOSPC): refuse before the promise, keep room for what was promised."""

import errno
import os
from pathlib import Path

import pytest

from faxgw.store.errors import StoreDown
from faxgw.store.space import FREE_INODES, FREE_PERCENT_CAP_BYTES, Ballast, FreeSpace, Watermark

MIB = 2**20
GIB = 2**30


@pytest.mark.parametrize(
    ("total", "expected"),
    [(1 * GIB, 30 * MIB * 3 // 2 + 256 * MIB), (10 * GIB, 1 * GIB), (4000 * GIB, FREE_PERCENT_CAP_BYTES)],
)
def test_the_watermark_is_the_larger_of_share_and_message_with_pages(total: int, expected: int) -> None:
    mark = Watermark(message_limit=30 * MIB)
    assert mark.floor(FreeSpace(0, total, None)) == expected
    assert mark.refuses(FreeSpace(expected - 1, total, None))
    assert not mark.refuses(FreeSpace(expected, total, None))


def test_a_want_of_inodes_is_a_want_of_space() -> None:
    mark = Watermark(message_limit=0, render_budget=0, percent=0)
    assert mark.refuses(FreeSpace(GIB, GIB, FREE_INODES - 1))
    assert not mark.refuses(FreeSpace(GIB, GIB, FREE_INODES))


def test_the_ballast_takes_real_blocks_and_gives_them_back(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", 4 * MIB)
    assert not ballast.in_place() and not ballast.release()
    assert ballast.restore(spare=0) and ballast.restore(spare=0)
    facts = (tmp_path / "ballast").stat()
    assert facts.st_size == 4 * MIB and facts.st_blocks * 512 >= 4 * MIB and facts.st_mode & 0o777 == 0o600
    assert ballast.in_place() and ballast.release()
    assert not (tmp_path / "ballast").exists()


def test_the_ballast_is_not_taken_from_the_last_room(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", 4 * MIB)
    assert not ballast.restore(spare=FreeSpace.of(tmp_path).total)
    assert list(tmp_path.iterdir()) == []


def test_half_a_ballast_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, offset: int, length: int) -> None:
        os.ftruncate(fd, length // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    ballast = Ballast(tmp_path / "ballast", 4 * MIB)
    monkeypatch.setattr(os, "posix_fallocate", fail)
    assert not ballast.restore(spare=0)
    assert list(tmp_path.iterdir()) == []


def test_a_ballast_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "ballast").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreDown):
        Ballast(tmp_path / "ballast", MIB).restore(spare=0)
