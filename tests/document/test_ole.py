"""Compound files made sector by sector."""

from __future__ import annotations

import struct

import pytest

from faxgw.document import ole

END, FREE, FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def compound(streams: dict[str, bytes]) -> bytes:
    """A compound file of up to three large streams: FAT in sector 0, directory in sector 1, then the streams."""
    fat = [FAT, END]
    entries = [entry("Root Entry", 5, END, 0)]
    body = b""
    for name, data in streams.items():
        count = -(-len(data) // 512)
        start = len(fat)
        fat += [start + at + 1 for at in range(count - 1)] + [END]
        entries.append(entry(name, 2, start, len(data)))
        body += data.ljust(count * 512, b"\0")
    fat += [FREE] * (128 - len(fat))
    header = ole.MAGIC + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, END, 0, END, 0) + struct.pack("<109I", 0, *[FREE] * 108)
    return header + struct.pack("<128I", *fat) + b"".join(entries).ljust(512, b"\0") + body


def entry(name: str, kind: int, start: int, size: int) -> bytes:
    raw = name.encode("utf-16-le")
    said = raw.ljust(64, b"\0") + struct.pack("<HBBIII", len(raw) + 2, kind, 1, FREE, FREE, FREE)
    return said + bytes(16 + 4 + 16) + struct.pack("<IQ", start, size)


def test_streams_are_found_and_read() -> None:
    file = ole.Ole(compound({"WordDocument": b"\xec\xa5" + bytes(5000)}))
    assert file.names == {"Root Entry", "WordDocument"}
    assert file.start_of("WordDocument", 2) == b"\xec\xa5"
    assert file.start_of("Workbook", 2) == b""
    file.check()


@pytest.mark.parametrize("kept", [8, 511, 600, 1100, 2000, 6000])
def test_one_that_is_cut_off_is_bad(kept: int) -> None:
    whole = compound({"WordDocument": bytes(6000)})
    with pytest.raises(ole.BadOle):
        ole.Ole(whole[:kept]).check()


def test_a_chain_in_a_circle_ends() -> None:
    whole = bytearray(compound({"WordDocument": bytes(6000)}))
    struct.pack_into("<I", whole, 512 + 4 * 3, 2)  # the stream's second sector leads to its first
    with pytest.raises(ole.BadOle):
        ole.Ole(bytes(whole)).check()


def test_tables_larger_than_the_file_are_bad() -> None:
    whole = bytearray(compound({}))
    struct.pack_into("<I", whole, 44, 0x7FFFFFFF)
    with pytest.raises(ole.BadOle):
        ole.Ole(bytes(whole))
