"""Pages cut out of a received file, and files that must not pass."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from faxgw.t30.tiff import PageFault, count_pages, cut_page, finest_rows
from tests.t30.conftest import memory_file, page_image, pixels, tiff

IMAGES = [page_image(n) for n in (1, 2, 3)]
FILE = tiff(IMAGES)


@pytest.fixture
def opened() -> Iterator[Callable[[bytes], int]]:
    descriptors: list[int] = []

    def make(octets: bytes) -> int:
        descriptors.append(memory_file(octets))
        return descriptors[-1]

    yield make
    for descriptor in descriptors:
        os.close(descriptor)


def big_endian(image: Image.Image) -> bytes:
    """One page as a Motorola TIFF."""
    out = io.BytesIO()
    image.save(out, "TIFF", compression="group4", dpi=(204, 196))
    with Image.open(io.BytesIO(out.getvalue())) as read:
        assert isinstance(read, TiffImagePlugin.TiffImageFile)
        offset, size = read.tag_v2[273][0], read.tag_v2[279][0]
    strip = out.getvalue()[offset : offset + size]
    tags = [(256, 4, image.width), (257, 4, image.height), (259, 3, 4), (273, 4, 8), (279, 4, size)]
    directory = struct.pack(">H", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack(">HHI", tag, kind, 1)
        directory += struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
    return struct.pack(">2sHI", b"MM", 42, 8 + size) + strip + directory + bytes(4)


def test_the_last_page_is_cut_out_pixel_by_pixel(opened: Callable[[bytes], int]) -> None:
    for number in (1, 2, 3):
        page = cut_page(opened(tiff(IMAGES[:number])), number, 300, 8031, 7700)
        assert pixels(page.octets) == pixels(FILE)[number - 1 : number]
        assert (page.rows, page.width) == (300, 1728)


def test_a_cut_page_says_its_resolution(opened: Callable[[bytes], int]) -> None:
    page = cut_page(opened(FILE), 3, 300, 8031, 3850)
    with Image.open(io.BytesIO(page.octets)) as image:
        assert [round(float(value), 1) for value in image.info["dpi"]] == [204.0, 97.8]


def test_either_byte_order_is_read(opened: Callable[[bytes], int]) -> None:
    octets = big_endian(IMAGES[0])
    page = cut_page(opened(octets), 1, 300, 8031, 7700)
    assert pixels(page.octets)[0][0] == (1728, 300)


@pytest.mark.parametrize(
    ("octets", "number", "rows"),
    [
        (FILE, 2, 300),
        (FILE, 4, 300),
        (FILE, 3, 299),
        (b"", 1, 300),
        (b"II*\0\x08\0\0\0", 1, 300),
        (FILE[:-60], 3, 300),
    ],
    ids=["page too many", "page too few", "other height", "empty", "no directory", "cut off"],
)
def test_a_file_without_the_page_is_refused(
    opened: Callable[[bytes], int], octets: bytes, number: int, rows: int
) -> None:
    with pytest.raises(PageFault):
        cut_page(opened(octets), number, rows, 8031, 7700)


def test_a_strip_beyond_the_file_is_refused(opened: Callable[[bytes], int]) -> None:
    """What is left when the memory was full while the strip was written."""
    one = tiff(IMAGES[:1])
    entry = one.index(struct.pack("<HHI", 279, 4, 1))
    broken = one[: entry + 8] + struct.pack("<I", 10_000_000) + one[entry + 12 :]
    with pytest.raises(PageFault, match="beyond"):
        cut_page(opened(broken), 1, 300, 8031, 7700)


def test_directories_in_a_circle_are_refused(opened: Callable[[bytes], int]) -> None:
    loop = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8)
    with pytest.raises(PageFault, match="loop"):
        count_pages(opened(loop))


def test_pages_are_counted(opened: Callable[[bytes], int]) -> None:
    assert count_pages(opened(FILE)) == 3


@settings(max_examples=200)
@given(st.integers(0, len(FILE) - 1), st.binary(min_size=1, max_size=4))
def test_damaged_files_are_cut_or_refused(at: int, damage: bytes) -> None:
    descriptor = memory_file(FILE[:at] + damage + FILE[at + len(damage) :])
    try:
        assert cut_page(descriptor, 3, 300, 8031, 7700).rows == 300
    except PageFault:
        pass
    finally:
        os.close(descriptor)


def of_resolutions(*resolutions: tuple[float, float]) -> bytes:
    out = io.BytesIO()
    writer = TiffImagePlugin.AppendingTiffWriter(out, True)
    for resolution in resolutions:
        page_image(1).save(writer, "TIFF", compression="group4", dpi=resolution)
        writer.newFrame()
    return out.getvalue()


@pytest.mark.parametrize(("first", "last", "rows"), [(1, 1, 3858), (2, 2, 7717), (1, 3, 7717), (3, 3, 3858)])
def test_the_finest_page_of_a_range_counts(opened: Callable[[bytes], int], first: int, last: int, rows: int) -> None:
    file = opened(of_resolutions((204, 98), (204, 196), (204, 98)))
    assert round(finest_rows(file, first, last)) == rows


def test_a_page_that_does_not_say_its_resolution_is_not_taken_for_fine(opened: Callable[[bytes], int]) -> None:
    octets = FILE.replace(struct.pack("<HHI", 283, 5, 1), struct.pack("<HHI", 284, 5, 1))
    assert finest_rows(opened(octets), 1, 3) == 0.0


def test_received_pages_say_their_resolution_in_centimetres(opened: Callable[[bytes], int]) -> None:
    page = cut_page(opened(FILE), 3, 300, 8031, 7700)
    assert finest_rows(opened(page.octets), 1, 1) == 7700.0
