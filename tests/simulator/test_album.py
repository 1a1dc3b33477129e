"""The folder of received pages."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from faxgw.simulator import album as module
from faxgw.simulator.album import Album, CallRecord
from tests.t30.conftest import STANDARD, page_image, tiff

ROOT = Path(__file__).resolve().parents[2]


def record(name: str, caller: str = "+49301") -> CallRecord:
    return CallRecord(name, "in", "4930100", caller, "good", "2026-11-21T20:00:00Z", code=0, result="OK")


def test_a_page_at_standard_resolution_is_drawn_with_its_true_height(tmp_path: Path) -> None:
    album = Album(tmp_path)
    call = record("a")
    album.store_page(call, tiff([page_image(1, 1143)], STANDARD), 1143, 1728, 0)
    album.finish(call)
    with Image.open(io.BytesIO((tmp_path / call.pages[0].png).read_bytes())) as png:
        assert png.size == (864, 1190)


def test_what_a_caller_calls_itself_is_text_and_no_markup(tmp_path: Path) -> None:
    Album(tmp_path).finish(record("a", caller="<script>alert(1)</script>"))
    index = (tmp_path / "index.html").read_text()
    assert "<script>" not in index
    assert "&lt;script&gt;" in index


def test_calls_of_earlier_runs_stay_in_the_index(tmp_path: Path) -> None:
    Album(tmp_path).finish(record("a", caller="first caller"))
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    Album(tmp_path)
    assert "first caller" in (tmp_path / "index.html").read_text()


def test_the_folder_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CALLS", 2)
    album = Album(tmp_path)
    for name in ("a-1", "b-2", "c-3"):
        call = record(name)
        album.store_page(call, tiff([page_image(1, 50)]), 50, 1728, 0)
        album.finish(call)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "b-2-001.png", "b-2-001.tif", "b-2.json", "c-3-001.png", "c-3-001.tif", "c-3.json", "index.html",
    ]  # fmt: skip
    assert json.loads((tmp_path / "c-3.json").read_text())["pages"][0]["rows"] == 50


def test_two_simulators_may_write_into_one_folder(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from faxgw.simulator.album import Album\n"
        "from tests.simulator.test_album import record\n"
        "album = Album(Path(sys.argv[1]))\n"
        "for number in range(100): album.finish(record(f'{sys.argv[2]}{number}'))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path, name], cwd=ROOT, stderr=subprocess.PIPE)
        for name in "ab"
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(list(tmp_path.glob("*.json"))) == 200
