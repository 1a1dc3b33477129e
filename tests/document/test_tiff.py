"""Our TIFF-F container and the bitmaps in it."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faxgw.document import bitmap, libtiff, native, tiff
from faxgw.document.types import Resolution

Make = Any  # conftest's class; tests import nothing from one another


def noise(rows: int, seed: int = 1) -> bitmap.Bits:
    return np.random.default_rng(seed).integers(0, 256, (rows, bitmap.ROW_OCTETS), np.uint8)


def file_of(resolution: Resolution, *pages: bitmap.Bits) -> bytes:
    out = io.BytesIO()
    tiff.write(out, map(bitmap.encode, pages), resolution, len(pages))
    return out.getvalue()


@pytest.mark.parametrize("resolution", list(Resolution))
def test_pages_come_back_pixel_for_pixel(make: Make, resolution: Resolution) -> None:
    pages = [noise(100), bitmap.white(1143), noise(1, seed=2), ~bitmap.white(33)]
    fd = make.fd(file_of(resolution, *pages))
    found = tiff.read(fd)
    assert [(page.rows, page.resolution) for page in found] == [(len(page), resolution) for page in pages]
    for wanted, page in zip(pages, found, strict=True):
        assert (bitmap.decode(tiff.read_strip(fd, page), resolution) == wanted).all()


def test_other_readers_see_the_same_pixels() -> None:
    """Black is black: min-is-white, one strip, exact resolution (transport.md F.3)."""
    page = noise(50)
    with Image.open(io.BytesIO(file_of(Resolution.STANDARD, page, page))) as image:
        image.seek(1)
        seen = np.asarray(image.convert("L"))
        assert image.info["dpi"] == (204, 98)
        tags = image.tag_v2  # type: ignore[attr-defined]
        assert (tags[259], tags[262], tags[266], tags[278], tags[297]) == (4, 0, 1, 50, (1, 2))
    assert ((seen == 0) == bitmap.unpack(page).astype(bool)).all()


def test_libtiff_has_no_complaint(tmp_path: Path) -> None:
    path = tmp_path / "fax.tif"
    path.write_bytes(file_of(Resolution.FINE, noise(100), bitmap.white(2286)))
    done = subprocess.run(["tiffinfo", "-D", str(path)], capture_output=True, check=True)
    assert b"Warning" not in done.stderr + done.stdout
    assert done.stdout.count(b"CCITT Group 4") == 2


@pytest.mark.parametrize("resolution", list(Resolution))
def test_libtiff_makes_a_pdf_of_it(tmp_path: Path, resolution: Resolution) -> None:
    """tiff2pdf takes the strips over as they are, and says nothing."""
    path, pages = tmp_path / "fax.tif", [noise(100), bitmap.white(1143)]
    path.write_bytes(file_of(resolution, *pages))
    done = subprocess.run(["tiff2pdf", "-o", tmp_path / "fax.pdf", path], capture_output=True, check=True)
    assert done.stderr == b""
    made = (tmp_path / "fax.pdf").read_bytes()
    assert made.count(b"/CCITTFaxDecode") == 2
    assert all(bitmap.encode(page).data in made for page in pages)


def test_a_file_cut_anywhere_is_refused(make: Make) -> None:
    """transport.md F.3: libspandsp would send what is left and report success."""
    whole = file_of(Resolution.FINE, noise(20), noise(20, seed=2))
    for end in range(0, len(whole) - 1, 7):
        with pytest.raises(tiff.BadTiff):
            tiff.read(make.fd(whole[:end]))


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 600), octet=st.integers(0, 255))
def test_a_changed_octet_is_refused_or_harmless(place: int, octet: int) -> None:
    data = bytearray(file_of(Resolution.FINE, bitmap.white(20), bitmap.white(30)))
    data[place % len(data)] = octet
    fd = os.memfd_create("changed")
    try:
        os.write(fd, data)
        for page in tiff.read(fd):
            assert page.offset + page.octets <= len(data)
            assert 0 < page.rows <= tiff.MAX_ROWS
    except tiff.BadTiff:
        pass
    finally:
        os.close(fd)


def test_a_loop_of_directories_is_refused(make: Make) -> None:
    data = bytearray(file_of(Resolution.FINE, bitmap.white(20), bitmap.white(20)))
    second = tiff.read(make.fd(bytes(data)))[1]
    link = second.offset - 6 - 16 - 4  # behind the second directory's entries
    assert data[link : link + 4] == bytes(4)
    data[link : link + 4] = (8).to_bytes(4, "little")
    with pytest.raises(tiff.BadTiff):
        tiff.read(make.fd(bytes(data)))


@pytest.mark.parametrize("data", [b"", b"II*\0", b"II*\0\0\0\0\0", b"MM\0*\0\0\0\x08", b"x" * 100])
def test_what_is_not_ours_is_refused_or_empty(make: Make, data: bytes) -> None:
    fd = make.fd(data)
    try:
        assert tiff.read(fd) == []
    except tiff.BadTiff:
        return
    assert data == b"II*\0\0\0\0\0"


def test_the_writer_counts() -> None:
    strip = bitmap.encode(bitmap.white(10))
    with pytest.raises(ValueError, match="1 pages instead of 2"):
        tiff.write(io.BytesIO(), [strip], Resolution.FINE, 2)
    with pytest.raises(ValueError, match="more than 1"):
        tiff.write(io.BytesIO(), [strip, strip], Resolution.FINE, 1)


def test_a_damaged_strip_is_told() -> None:
    strip = bitmap.encode(noise(100))
    with pytest.raises(tiff.BadTiff):
        bitmap.decode(tiff.Strip(b"\0\0\0\0", 100), Resolution.FINE)
    assert (bitmap.decode(strip, Resolution.FINE) == noise(100)).all()


def test_rows_are_halved_without_losing_a_stroke() -> None:
    page = bitmap.white(5)
    page[1, 3] = page[2, 4] = page[4, 5] = 0x80
    assert np.argwhere(bitmap.halve_rows(page)).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert (bitmap.halve_rows(bitmap.double_rows(page)) == page).all()


def test_any_resolution_is_made_of_any_other() -> None:
    page = noise(8)
    standard, fine, superfine = Resolution
    assert (bitmap.rescale(page, standard, superfine) == page.repeat(4, 0)).all()
    assert (bitmap.rescale(page, superfine, standard) == page[0::4] | page[1::4] | page[2::4] | page[3::4]).all()
    assert (bitmap.rescale(page, fine, standard) == bitmap.halve_rows(page)).all()
    assert bitmap.rescale(page, fine, fine) is page


def test_columns_are_halved_without_losing_a_stroke() -> None:
    wide = np.zeros((1, 2 * bitmap.ROW_OCTETS), np.uint8)
    wide[0, 0], wide[0, -1] = 0b01100000, 0b00000001
    black = bitmap.unpack(bitmap.halve_columns(wide))
    assert np.argwhere(black).tolist() == [[0, 0], [0, 1], [0, 1727]]


def test_black_is_counted() -> None:
    page = bitmap.white(10)
    assert bitmap.black_ratio(page) == 0
    page[:5] = 0xFF
    assert bitmap.black_ratio(page) == 0.5


def test_a_thumbnail_has_square_pixels_and_a_bounded_length() -> None:
    for resolution, rows in ((Resolution.FINE, 2286), (Resolution.STANDARD, 1143)):
        page = bitmap.white(rows)
        page[: rows // 2] = 0xFF
        with Image.open(io.BytesIO(bitmap.thumbnail(page, resolution, 300))) as image:
            assert image.size == (300, round(2286 * 300 / 1728 * 204 / 196))
            grey = np.asarray(image.convert("L"))
        assert grey[10, 150] == 0 and grey[-10, 150] == 255
    with Image.open(io.BytesIO(bitmap.thumbnail(bitmap.white(20_000), Resolution.FINE, 100))) as image:
        assert image.size == (100, 300)


def test_a_page_is_coded_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """rendering.md section 2: a coder that takes the page row by row, and turns its pixels round, takes 340 ms."""
    calls: list[str] = []

    class Counted:
        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(library, name)

    library = libtiff._library
    monkeypatch.setattr(libtiff, "_library", Counted())
    monkeypatch.setattr(native, "library", lambda: None)
    page = bitmap.white(2286)
    page[::40, 20:190] = 0xA5
    strip = bitmap.encode(page)
    assert [name for name in calls if name != "TIFFSetField"] == [
        "TIFFFdOpen", "TIFFWriteEncodedStrip", "TIFFRawStripSize64", "TIFFCleanup"
    ]  # fmt: skip
    assert (bitmap.decode(strip, Resolution.FINE) == page).all()
    monkeypatch.setattr(Image, "fromarray", None)
    monkeypatch.setattr(Image, "frombytes", None)
    assert bitmap.encode(page) == strip, "without a picture object in between"


def test_a_view_of_every_other_row_is_coded_as_it_looks() -> None:
    page = noise(64)
    assert bitmap.encode(page[::2]) == bitmap.encode(page[::2].copy())
