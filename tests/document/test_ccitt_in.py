"""Damage in fax codings: found row by row, and told instead of sent."""

from __future__ import annotations

import io
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from faxgw.document import ccitt_in, office, render, tiff_in
from faxgw.document.fit import Target
from faxgw.document.limits import Limits
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Document, Reason, RenderOptions

Make = Any  # conftest's class; tests import nothing from one another
ROWS = 2286
CODINGS = ["g3:1d", "g3:2d", "g3:1d:fill", "g4"]


def letter() -> Image.Image:
    page = Image.new("1", (1728, ROWS), 1)
    draw = ImageDraw.Draw(page)
    for y in range(100, 2200, 40):
        draw.text((100, y), f"Row {y}: the quick brown fox jumps over the lazy dog " * 4, fill=0, font_size=26)
    return page


def coded(folder: Path, options: str, rows_per_strip: int = ROWS, pages: int = 1) -> bytes:
    """A TIFF of so many letters, coded by libtiff's own tool."""
    first, *others = [letter() for _ in range(pages)]
    first.save(folder / "a.tif", save_all=True, append_images=others, dpi=(204, 196))
    words = ["tiffcp", "-c", options, "-r", str(rows_per_strip), str(folder / "a.tif"), str(folder / "b.tif")]
    subprocess.run(words, check=True)
    return (folder / "b.tif").read_bytes()


def damaged(data: bytes, page: int, octets: int, first: float = 0.5) -> bytes:
    """Some octets of a page's strips changed."""
    with Image.open(io.BytesIO(data)) as image:
        image.seek(page)
        starts, sizes = image.tag_v2[273], image.tag_v2[279]  # type: ignore[attr-defined]
    start, end = starts[0], starts[-1] + sizes[-1]
    at, chance = int(start + (end - start) * first), random.Random(1)
    noise = bytes(each ^ chance.randrange(1, 256) for each in data[at : at + octets])
    return data[:at] + noise + data[at + octets :]


def refused(data: bytes) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as found:
        list(tiff_in.pages(data, "fax.tif", Target()))
    return found.value


@pytest.mark.parametrize("rows_per_strip", [100, ROWS])
@pytest.mark.parametrize("options", CODINGS)
def test_a_whole_page_has_no_bad_row(tmp_path: Path, options: str, rows_per_strip: int) -> None:
    data = coded(tmp_path, options, rows_per_strip, pages=2)
    assert len(list(tiff_in.pages(data, "fax.tif", Target()))) == 2
    with ccitt_in.Listener(data) as listener, Image.open(io.BytesIO(data)) as image:
        for page in range(2):
            image.seek(page)
            offset = image._frame_pos[page]  # type: ignore[attr-defined]
            assert listener.bad_rows(offset, ROWS) == []


@pytest.mark.parametrize("options", CODINGS)
def test_a_page_of_which_half_is_missing_is_refused_by_its_number(tmp_path: Path, options: str) -> None:
    data = damaged(coded(tmp_path, options, pages=3), 1, octets=4_000)
    found = refused(data)
    assert (found.refused.reason, found.refused.page, found.refused.document) == (Reason.DAMAGED, 2, "fax.tif")
    assert str(found).startswith("Page 2 of the document “fax.tif” is damaged: ")
    assert "of its 2,286 rows cannot be read. Please check the file and send it again." in str(found)


def test_one_wrong_octet_loses_the_rest_of_a_page_in_t6(tmp_path: Path) -> None:
    data = damaged(coded(tmp_path, "g4"), 0, octets=1)
    assert refused(data).refused.reason is Reason.DAMAGED


@pytest.mark.parametrize("options", ["g3:1d", "g3:2d"])
def test_a_bad_row_is_taken_as_a_fax_machine_takes_it(tmp_path: Path, options: str) -> None:
    """T.4 finds its place again at the next end of line."""
    data = damaged(coded(tmp_path, options), 0, octets=3)
    with ccitt_in.Listener(data) as listener:
        bad = listener.bad_rows(int.from_bytes(data[4:8], "little"), ROWS)
    assert 1 <= len(bad) <= tiff_in.MAX_BAD_RUN
    assert len(list(tiff_in.pages(data, "fax.tif", Target()))) == 1


@pytest.mark.parametrize(
    ("bad", "taken"),
    [
        ([], True),
        ([7], True),
        ([5, 6, 7, 8], True),
        ([5, 6, 7, 8, 9], False),
        (list(range(0, 400, 20)), True),
        (list(range(0, 440, 20)), True),
        (list(range(0, 480, 20)), False),
        (list(range(2266, 2286)), True),
        (list(range(2256, 2286)), False),
        (list(range(2286)), False),
    ],
)
def test_what_is_taken(bad: list[int], taken: bool) -> None:
    if taken:
        tiff_in._check_rows(bad, ROWS, 1, "a")
    else:
        with pytest.raises(DocumentRefused):
            tiff_in._check_rows(bad, ROWS, 1, "a")


def test_what_libtiff_does_not_open_is_said() -> None:
    with pytest.raises(ValueError, match="does not open"):
        ccitt_in.Listener(b"II*\0" + bytes(4))


def test_damage_that_is_let_pass_is_told_of_its_page(tmp_path: Path, make: Make) -> None:
    """Up to 1 % of a page's rows are mended as a fax machine does it; the sender is told, and of no other page."""
    data = damaged(coded(tmp_path, "g3:1d", pages=3), 1, 3)
    documents = [Document(make.fd(data), "scan.tif"), Document(make.fd(b"a text"), "b.txt")]
    found = render.render(documents, RenderOptions(), Limits(), lambda _progress: None, office.NONE)
    told = [(page.document, page.page) for page in found.pages if page.repaired]
    assert [(page.document, page.page) for page in found.pages] == [(0, 1), (0, 2), (0, 3), (1, 1)]
    assert told == [(0, 2)]
    assert 1 <= found.pages[1].repaired <= tiff_in.MAX_BAD_RUN
    found.close()
