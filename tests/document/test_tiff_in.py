"""TIFF of every fax and office flavour: each page comes out black on white, upright, and in its size."""

from __future__ import annotations

import itertools
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faxgw.document import bitmap, sniff, tiff_in
from faxgw.document.fit import Target
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Kind, Reason, Resolution

Make = Any  # conftest's class; tests import nothing from one another
FINE = Target()
WIDTH, HEIGHT = 800, 600
DPI_200 = (101.6, 76.2)
"""Millimetres of the picture at 200 dots per inch."""
DPI_96 = (800 / 96 * 25.4, 600 / 96 * 25.4)
"""Millimetres where a file says no size that can be believed."""
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def letter(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A black F: none of its eight positions looks like another, nor like its negative. 0 = black."""
    grey = np.full((height, width), 255, np.uint8)
    across, down = width // 8, height // 6
    grey[down : 5 * down, across : 2 * across] = 0
    grey[down : 2 * down, across : 7 * across] = 0
    grey[3 * down : 4 * down, across : 5 * across] = 0
    return grey


GREY = Image.fromarray(letter())
MONO = GREY.convert("1")
COLOUR = GREY.convert("RGB")
PICTURES = {
    "1": MONO, "L": GREY, "RGB": COLOUR, "CMYK": COLOUR.convert("CMYK"), "YCbCr": COLOUR.convert("YCbCr"),
    "P": COLOUR.quantize(16), "LA": GREY.convert("LA"), "RGBA": COLOUR.convert("RGBA"),
    "I;16": Image.fromarray(letter().astype(np.uint16) * 257), "F": Image.fromarray(letter() / np.float32(255)),
    "LAB": Image.merge("LAB", (GREY, Image.new("L", GREY.size, 128), Image.new("L", GREY.size, 128))),
}  # fmt: skip


def seen(bits: bitmap.Bits) -> tuple[float, float]:
    """Width and height in millimetres of the picture whose F is on the page, which must be an upright black F."""
    black = bitmap.unpack(bits)
    rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
    found = black[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(bool)
    wanted = letter()[100:500, 100:700]  # without its margins
    wanted = np.asarray(Image.fromarray(wanted).resize(found.shape[::-1], Image.Resampling.NEAREST)) < 128
    assert (wanted == found).mean() > 0.98
    return found.shape[1] * 215 / 1728 * 8 / 6, found.shape[0] / 7.7 * 6 / 4


def check(data: bytes, size_mm: tuple[float, float] = DPI_200) -> None:
    assert sniff.kind_of(data) is Kind.TIFF
    ((number, bits),) = list(tiff_in.pages(data, "a.tif", FINE))
    assert number == 1
    assert seen(bits) == pytest.approx(size_mm, abs=0.5)


def copied(data: bytes, folder: Path, *options: str) -> bytes:
    """The same picture written anew by libtiff's tiffcp."""
    (folder / "in.tif").write_bytes(data)
    subprocess.run(["tiffcp", *options, folder / "in.tif", folder / "out.tif"], check=True, capture_output=True)
    return (folder / "out.tif").read_bytes()


def retagged(data: bytes, folder: Path, tag: int, value: int) -> bytes:
    """The same file with another value in a tag."""
    (folder / "in.tif").write_bytes(data)
    subprocess.run(["tiffset", "-s", str(tag), str(value), folder / "in.tif"], check=True, capture_output=True)
    return (folder / "in.tif").read_bytes()


@pytest.mark.parametrize(
    ("mode", "coding"),
    [
        *itertools.product(PICTURES, ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]),
        *itertools.product(["L", "RGB", "CMYK", "YCbCr"], ["jpeg"]),
        *itertools.product(["1"], ["group3", "group4", "tiff_ccitt"]),
    ],
)
def test_every_mode_in_every_coding(make: Make, mode: str, coding: str) -> None:
    check(make.image(PICTURES[mode], "TIFF", compression=coding, dpi=(200, 200)))


MONO_COPIES = [
    "-c g3:1d", "-c g3:2d", "-c g3:1d:fill", "-c g3:2d:fill", "-c g4", "-c lzw", "-c zip", "-c packbits", "-c none",
    "-c g3:1d -f lsb2msb", "-c g3:2d -f lsb2msb", "-c g4 -f lsb2msb", "-c none -f lsb2msb", "-c packbits -f lsb2msb",
    "-c g4 -B", "-c none -B -r 5", "-c g4 -8", "-c zip -8", "-c g4 -r 16", "-c g4 -r 600", "-c zip -r 7",
    "-c none -t -w 128 -l 64", "-c lzw -t -w 256 -l 256", "-c g4 -t -w 128 -l 64",
]  # fmt: skip


@pytest.mark.parametrize("options", MONO_COPIES)
@pytest.mark.parametrize("white", [0, 1])
def test_one_bit_in_every_layout_and_polarity(make: Make, tmp_path: Path, options: str, white: int) -> None:
    """PhotometricInterpretation 0 (min-is-white) and 1, FillOrder, octet order, BigTIFF, strips and tiles."""
    data = make.image(MONO, "TIFF", compression="raw", tiffinfo={262: white}, dpi=(200, 200))
    check(copied(data, tmp_path, *options.split()))


COLOUR_COPIES = [
    "-c none", "-c lzw:2", "-c zip:2", "-c none -p separate", "-c zip -p separate", "-c jpeg -r 16", "-c jpeg:r -r 16",
    "-c none -t -w 128 -l 64", "-c jpeg -t -w 128 -l 64", "-c lzw:2 -t -w 128 -l 64 -p separate", "-c none -B",
    "-c lzw:2 -B", "-c zip -8",
]  # fmt: skip


@pytest.mark.parametrize("options", COLOUR_COPIES)
def test_colour_in_every_layout(make: Make, tmp_path: Path, options: str) -> None:
    check(copied(make.image(COLOUR, "TIFF", dpi=(200, 200)), tmp_path, *options.split()))


@pytest.mark.parametrize("mode", ["L", "I;16"])
@pytest.mark.parametrize("options", ["-c none", "-c lzw:2", "-c none -B", "-c zip -8"])
def test_deep_grey_in_both_polarities(make: Make, tmp_path: Path, mode: str, options: str) -> None:
    data = copied(make.image(PICTURES[mode], "TIFF", dpi=(200, 200)), tmp_path, *options.split())
    check(data)
    if mode == "I;16" and "-B" in options:
        return  # Pillow 13.0 opens no big-endian one that is min-is-white
    negative = Image.fromarray(~np.asarray(PICTURES[mode]))
    data = copied(make.image(negative, "TIFF", dpi=(200, 200)), tmp_path, *options.split())
    check(retagged(data, tmp_path, 262, 0))


@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("white", [0, 1])
def test_few_levels_of_grey_in_both_polarities(depth: int, white: int) -> None:
    full = (1 << depth) - 1
    levels = (letter() > 127) * full if white else (letter() < 128) * full
    packed = np.zeros((HEIGHT, WIDTH * depth // 8), np.uint8)
    for place in range(8 // depth):
        packed |= (levels[:, place :: 8 // depth] << (8 - depth * (place + 1))).astype(np.uint8)
    check(plain(packed.tobytes(), {258: depth, 262: white}), DPI_96)


def plain(pixels: bytes, tags: dict[int, int], after: int = 0) -> bytes:
    """A little-endian file with one uncompressed strip."""
    entries = {256: WIDTH, 257: HEIGHT, 258: 1, 259: 1, 262: 1, 273: 0, 277: 1, 278: HEIGHT, 279: len(pixels), **tags}
    entries[273] = 8 + 2 + 12 * len(entries) + 4
    out = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag, value in sorted(entries.items()):
        out += struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
    return out + struct.pack("<I", after) + pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
@pytest.mark.parametrize("coding", ["raw", "tiff_lzw"])
def test_orientation_is_followed(make: Make, orientation: int, mode: str, coding: str) -> None:
    """TIFF 6.0 section 8, tag 274; the resolutions are those of the rows and columns as they are stored."""
    picture = PICTURES[mode]
    stored = picture.transpose(UNDO[orientation]) if orientation > 1 else picture
    stored = stored.resize((stored.width, stored.height // 2), Image.Resampling.NEAREST)
    check(make.image(stored, "TIFF", compression=coding, tiffinfo={274: orientation}, dpi=(200, 100)))


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_a_fax_that_lies_on_its_head_is_turned_pixel_for_pixel(make: Make, orientation: int) -> None:
    pattern = make.pattern(1728, 1000)
    data = make.image(
        pattern.transpose(UNDO[orientation]), "TIFF", compression="group4", tiffinfo={274: orientation}, dpi=(204, 196)
    )
    ((_number, bits),) = list(tiff_in.pages(data, "a.tif", FINE))
    assert (bitmap.unpack(bits) == ~np.asarray(pattern)).all()


@pytest.mark.parametrize(
    ("options", "size_mm"),
    [
        ({"dpi": (100, 100)}, (203.2, 152.4)),
        ({"dpi": (200, 100)}, (101.6, 152.4)),
        ({"dpi": (204, 98)}, (800 / 204 * 25.4, 600 / 98 * 25.4)),
        ({"dpi": (300, 300)}, (800 / 300 * 25.4, 600 / 300 * 25.4)),
        ({"resolution_unit": "cm", "x_resolution": 80.0, "y_resolution": 60.0}, (100, 100)),
        ({}, DPI_96),
        ({"resolution_unit": 1, "x_resolution": 1.0, "y_resolution": 1.0}, DPI_96),
        ({"dpi": (0, 0)}, DPI_96),
        ({"dpi": (1, 1)}, DPI_96),
        ({"dpi": (10**6, 10**6)}, DPI_96),
    ],
    ids=str,
)
def test_every_resolution_gives_its_size(make: Make, options: dict[str, Any], size_mm: tuple[float, float]) -> None:
    check(make.image(MONO, "TIFF", compression="group4", **options), size_mm)


def test_pages_of_mixed_size_orientation_and_coding(make: Make, tmp_path: Path) -> None:
    """What one page says of its size is not taken for the next."""
    made = [
        make.image(MONO, "TIFF", compression="group4", dpi=(200, 200)),
        make.image(MONO, "TIFF", compression="group3"),
        make.image(
            GREY.transpose(UNDO[6]), "TIFF", compression="tiff_lzw", tiffinfo={274: 6}, dpi=(100, 100)
        ),
        make.image(COLOUR, "TIFF", compression="jpeg", dpi=(300, 300)),
    ]  # fmt: skip
    for number, data in enumerate(made):
        (tmp_path / f"{number}.tif").write_bytes(data)
    parts = [tmp_path / f"{number}.tif" for number in range(len(made))]
    for big in ([], ["-8"]):
        subprocess.run(["tiffcp", *big, *parts, tmp_path / "all.tif"], check=True, capture_output=True)
        found = list(tiff_in.pages((tmp_path / "all.tif").read_bytes(), "all.tif", FINE))
        assert [number for number, _bits in found] == [1, 2, 3, 4]
        sizes = [seen(bits) for _number, bits in found]
        wanted = [DPI_200, DPI_96, (203.2, 152.4), (800 / 300 * 25.4, 600 / 300 * 25.4)]
        assert np.ravel(sizes) == pytest.approx(np.ravel(wanted), abs=0.5)


def test_a_thumbnail_is_no_page(make: Make) -> None:
    """NewSubfileType bit 0; a file of nothing else is taken as it is."""
    small = Image.fromarray(letter(80, 60))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    data = make.image(GREY, "TIFF", save_all=True, append_images=[small], dpi=(200, 200))
    check(data)
    check(make.image(GREY, "TIFF", tiffinfo={254: 1}, dpi=(200, 200)))


def test_pages_are_announced_before_they_are_made(make: Make) -> None:
    announced = []
    target = Target(Resolution.STANDARD, begin=lambda page, pages: announced.append((page, pages)))
    data = make.image(MONO, "TIFF", save_all=True, append_images=[MONO, MONO])
    assert len(list(tiff_in.pages(data, "a.tif", target))) == 3
    assert announced == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("back", [0, 1])
def test_a_loop_of_directories_is_refused(big: bool, back: int) -> None:
    """The last directory names the first or itself as the next."""
    entry = struct.pack("<HHQQ", 256, 3, 1, 1) if big else struct.pack("<HHII", 256, 3, 1, 1)
    count, place, start = ("<Q", "<Q", 16) if big else ("<H", "<I", 8)
    size = struct.calcsize(count) + len(entry) + struct.calcsize(place)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHI", b"II", 42, start)
    data = head
    for following in (start + size, start + back * size):
        data += struct.pack(count, 1) + entry + struct.pack(place, following)
    with pytest.raises(DocumentRefused) as refused:
        list(tiff_in.pages(data, "a.tif", FINE))
    assert refused.value.refused.reason is Reason.DAMAGED


@pytest.mark.parametrize("options", ["-c g4", "-c g4 -r 16", "-c lzw -8", "-c none -t -w 128 -l 64"])
def test_a_file_cut_anywhere_is_refused(make: Make, tmp_path: Path, options: str) -> None:
    """libtiff puts the directory behind the strips: whatever is missing, the directory or a part of it is."""
    data = copied(make.image(MONO, "TIFF", dpi=(200, 200)), tmp_path, *options.split())
    for end in range(8, len(data) - 100, max(1, len(data) // 50)):
        with pytest.raises(DocumentRefused) as refused:
            list(tiff_in.pages(data[:end], "a.tif", FINE))
        assert refused.value.refused.reason is Reason.DAMAGED


def test_a_strip_beyond_the_end_is_refused() -> None:
    pixels = np.packbits(letter() > 127, axis=1).tobytes()
    check(plain(pixels, {}), DPI_96)
    with pytest.raises(DocumentRefused):
        list(tiff_in.pages(plain(pixels, {})[:-1], "a.tif", FINE))
    with pytest.raises(DocumentRefused):
        list(tiff_in.pages(plain(pixels, {}, after=10**6), "a.tif", FINE))


@pytest.mark.parametrize("coding", [6, 34676, 34712, 34925, 50000, 50001])
def test_a_rare_coding_is_refused_by_its_name(coding: int) -> None:
    with pytest.raises(DocumentRefused) as refused:
        list(tiff_in.pages(plain(bytes(100), {259: coding}), "a.tif", FINE))
    assert refused.value.refused.reason is Reason.UNSUPPORTED
    assert "rare kind of compression" in refused.value.refused.public


def test_a_bigtiff_bomb_is_refused_before_it_is_decoded() -> None:
    entries = [(256, 4, 1_000_000), (257, 4, 1_000_000), (258, 3, 1), (259, 3, 1), (273, 16, 16), (279, 16, 8)]
    data = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries))
    data += b"".join(struct.pack("<HHQQ", tag, kind, 1, value) for tag, kind, value in entries) + bytes(8)
    with pytest.raises(DocumentRefused) as refused:
        list(tiff_in.pages(data, "a.tif", FINE))
    assert refused.value.refused.reason is Reason.TOO_LARGE
