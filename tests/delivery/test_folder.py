"""Received faxes into folders of the machine, and into pick-up areas."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faxgw.delivery.folder import FolderWay, PickupWay
from faxgw.fax.target import TargetKind
from tests.delivery.consignments import DOCUMENT, RECEPTION, delivered, target

STEM = f"acme-{RECEPTION}"


async def test_files_lie_there_whole_and_a_second_try_changes_nothing(tmp_path: Path) -> None:
    to = target(TargetKind.FOLDER, str(tmp_path), params={"sidecars": "idx xml"})
    (tmp_path / f".{STEM}.pdf.part").write_bytes(b"half, of a try that was cut off")
    for _try in range(2):
        result = await delivered(FolderWay([tmp_path]), to)
        assert result.delivered, result.detail
    assert sorted(os.listdir(tmp_path)) == [f"{STEM}.idx", f"{STEM}.pdf", f"{STEM}.xml"]
    assert (tmp_path / f"{STEM}.pdf").read_bytes() == DOCUMENT


async def test_another_faxs_file_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "2.pdf").write_bytes(b"another")
    assert (
        await delivered(FolderWay([tmp_path]), target(TargetKind.FOLDER, str(tmp_path), file_name="{pages}"))
    ).delivered
    assert sorted(os.listdir(tmp_path)) == [f"2-{RECEPTION[-12:]}.pdf", "2.pdf"]
    assert (tmp_path / "2.pdf").read_bytes() == b"another"


async def test_the_metadata_file_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    rename = os.rename

    def note(source: str, name: str, **folders: int) -> None:
        seen.append(name)
        rename(source, name, **folders)

    monkeypatch.setattr(os, "rename", note)
    to = target(TargetKind.FOLDER, str(tmp_path), params={"sidecars": "idx xml"})
    assert (await delivered(FolderWay([tmp_path]), to)).delivered
    assert seen == [f"{STEM}.pdf", f"{STEM}.xml", f"{STEM}.idx"]


@pytest.mark.parametrize("case", ["closed", "missing", "link"])
async def test_a_folder_that_is_not_opened_is_refused(tmp_path: Path, case: str) -> None:
    opened, closed = tmp_path / "open", tmp_path / "closed"
    opened.mkdir()
    closed.mkdir()
    (opened / "link").symlink_to(closed)
    path = {"closed": closed, "missing": opened / "none", "link": opened / "link"}[case]
    result = await delivered(FolderWay([opened]), target(TargetKind.FOLDER, str(path)))
    assert (result.delivered, result.permanent) == (False, False)
    assert os.listdir(closed) == []


async def test_a_disk_that_is_full_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = await delivered(FolderWay([tmp_path]), target(TargetKind.FOLDER, str(tmp_path)))
    assert (result.delivered, result.permanent, result.detail) == (False, False, "OSError: No space left on device")
    assert os.listdir(tmp_path) == []


async def test_a_pick_up_area_is_its_logins_own(tmp_path: Path) -> None:
    asked: list[tuple[str, str, str]] = []

    async def area(customer: str, login: str, name: str) -> Path | None:
        asked.append((customer, login, name))
        return tmp_path if login == "erp" else None

    assert (await delivered(PickupWay(area), target(TargetKind.PICKUP, "erp", params={"folder": "invoices"}))).delivered
    assert os.listdir(tmp_path) == [f"{STEM}.pdf"]
    result = await delivered(PickupWay(area), target(TargetKind.PICKUP, "nobody"))
    assert (result.delivered, result.permanent) == (False, False)
    assert asked == [("acme", "erp", "invoices"), ("acme", "nobody", "")]
