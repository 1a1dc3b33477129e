"""The directory of a received page's TIFF file: what is read of it, and everything that is refused."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from faxgw.document import strips

WIDTH, ROWS, PIXELS = 1728, 40, 1728 * 40


def page(coding: str = "group4", **tags: int) -> bytes:
    """A page with a black bar; `tags` by number, as `t266`."""
    image = Image.new("1", (WIDTH, ROWS), 1)
    image.paste(0, (100, 10, 400, 20))
    out = io.BytesIO()
    info = {278: ROWS, 296: 3} | {int(name[1:]): value for name, value in tags.items()}
    image.save(out, "TIFF", compression=coding, dpi=(204, 196), tiffinfo=info)
    return out.getvalue()


def changed(data: bytes, tag: int, value: int, *, kind: int | None = None, count: int | None = None) -> bytes:
    """The file with another value in its directory."""
    octets = bytearray(data)
    (at,) = struct.unpack_from("<I", octets, 4)
    (entries,) = struct.unpack_from("<H", octets, at)
    for entry in range(entries):
        place = at + 2 + 12 * entry
        number, old_kind, old_count = struct.unpack_from("<HHI", octets, place)
        if number == tag:
            struct.pack_into("<HHI", octets, place, number, kind or old_kind, old_count if count is None else count)
            struct.pack_into("<I", octets, place + 8, value)
    return bytes(octets)


def test_the_directory_is_read_as_it_stands() -> None:
    found = strips.facts(page(), PIXELS)
    assert (found.width, found.rows, found.coding) == (WIDTH, ROWS, strips.T6)
    assert round(found.x_resolution, -1) == 8030 and round(found.y_resolution, -1) == 7720
    assert strips.inverted(found)
    assert not strips.inverted(strips.facts(changed(page(), 262, 0), PIXELS))


def test_a_page_of_more_pixels_than_are_allowed_is_refused_before_it_is_decoded() -> None:
    assert strips.facts(page(), PIXELS).rows == ROWS
    with pytest.raises(ValueError, match="too large"):
        strips.facts(page(), PIXELS - 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no TIFF"),
        (b"MM\0*" + bytes(100), "no TIFF"),
        (b"II*\0\xff\xff\xff\x7f", "cut off"),
        (b"II*\0\x08\0\0\0\0\0", "damaged"),
        (b"II*\0\x08\0\0\0\x41\0", "damaged"),
        (page()[:60], "cut off"),
        (changed(page(), 273, 8, count=2), "more than one strip"),
        (changed(page(), 256, 0), "too large"),
    ],
    ids=["nothing", "big-endian", "nowhere", "no entries", "65 entries", "cut off", "two strips", "no width"],
)
def test_what_the_call_worker_does_not_write_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        strips.facts(data, PIXELS)


def test_a_resolution_that_no_fax_has_is_refused() -> None:
    data = page()
    (at,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, at)
    places = {
        struct.unpack_from("<H", data, at + 2 + 12 * entry)[0]: at + 2 + 12 * entry + 8 for entry in range(entries)
    }
    (rational,) = struct.unpack_from("<I", data, places[282])
    for above, below in ((0, 1), (80, 0), (1, 1), (2**31, 1)):
        octets = bytearray(data)
        struct.pack_into("<II", octets, rational, above, below)
        with pytest.raises(ValueError, match="no resolution"):
            strips.facts(bytes(octets), PIXELS)


@pytest.mark.parametrize(("tag", "value"), [(279, 10_000_000), (279, 0), (273, 10_000_000), (278, ROWS - 1)])
def test_a_strip_that_does_not_lie_in_the_file_is_not_read(tag: int, value: int) -> None:
    data = changed(page(), tag, value)
    found = strips.facts(data, PIXELS)
    with pytest.raises(ValueError, match="outside"):
        strips.as_is(data, found)


def test_a_directory_without_a_strip_is_a_fault_of_the_file() -> None:
    data = changed(page(), 273, 8, kind=2)
    with pytest.raises(KeyError):
        strips.as_is(data, strips.facts(data, PIXELS))


def test_bits_in_the_other_order_are_put_right_unless_they_are_kept() -> None:
    data = page()
    other = data  # the same strip, said to be the other way round
    found = strips.facts(other, PIXELS)
    turned = strips.Facts(
        found.width, found.rows, found.x_resolution, found.y_resolution, found.coding, {**found.tags, 266: 2}
    )
    strip = strips.as_is(data, found)
    assert strips.as_is(data, turned) == strip.translate(strips.REVERSED) != strip
    assert strips.as_is(data, turned, keep_order=True) == strip
    assert strip.translate(strips.REVERSED).translate(strips.REVERSED) == strip


@pytest.mark.parametrize(("turn", "bar"), [(0, (100, 10)), (90, (20, 100)), (180, (1328, 20)), (270, (10, 1328))])
def test_a_page_is_turned_clockwise(turn: int, bar: tuple[int, int]) -> None:
    """Where the black bar's upper left corner lies afterwards."""
    strip = strips.coded_again(page(), turn)
    size = (WIDTH, ROWS) if turn in (0, 180) else (ROWS, WIDTH)
    head = io.BytesIO()
    Image.new("1", size).save(head, "TIFF", compression="group4", tiffinfo={278: size[1]})
    rebuilt = bytearray(head.getvalue())
    rebuilt = bytearray(changed(bytes(rebuilt), 279, len(strip)))
    whole = bytes(rebuilt) + strip
    whole = changed(changed(whole, 273, len(rebuilt)), 262, 0)  # 1 is black
    with Image.open(io.BytesIO(whole)) as image:
        ink = image.convert("L").point(lambda value: 255 - value).getbbox()
    assert ink is not None and ink[:2] == bar


def test_octets_that_are_no_picture_are_not_decoded() -> None:
    with pytest.raises((ValueError, OSError)):
        strips.coded_again(b"II*\0" + bytes(64))
