"""MH, MR and MMR in pure Python: read back as written, and read by libtiff too (ITU-T T.4, T.6)."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from faxgw.simulator import coding
from faxgw.simulator.coding import Page, Row
from faxgw.simulator.scripted import rows_of

WIDTH = 1728
ROWS = st.lists(st.sets(st.integers(0, WIDTH - 1), max_size=30).map(lambda edges: tuple(sorted(edges))), max_size=12)
CODINGS: dict[str, tuple[Callable[[list[Row], int], bytes], Callable[[bytes], Page]]] = {
    "MH": (coding.mh, lambda octets: coding.read_t4(octets, WIDTH, two_dimensional=False)),
    "MR": (coding.mr, lambda octets: coding.read_t4(octets, WIDTH, two_dimensional=True)),
    "MMR": (coding.mmr, lambda octets: coding.read_mmr(octets, WIDTH)),
}


@pytest.mark.parametrize("name", CODINGS)
@given(rows=ROWS)
def test_what_is_written_is_read(name: str, rows: list[Row]) -> None:
    write, read = CODINGS[name]
    assert read(write(rows, WIDTH)) == Page(tuple(rows), 0, ended=True)


@given(rows=ROWS.filter(bool))
def test_libtiff_reads_our_mmr(rows: list[Row]) -> None:
    """Another decoder: no misreading shared with our own."""
    strip = coding.mmr(rows, WIDTH)
    entries = [(256, 4, WIDTH), (257, 4, len(rows)), (258, 3, 1), (259, 3, 4), (262, 3, 0), (273, 4, 8),
               (278, 4, len(rows)), (279, 4, len(strip))]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    padded = strip + b"\0" * (len(strip) % 2)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(padded))
    tiff = head + padded + struct.pack("<H", len(entries)) + directory + b"\0" * 4
    assert rows_of(tiff) == [rows]


@pytest.mark.parametrize("run", [0, 1, 63, 64, 65, 1727, 1728, 2560, 2561, 6000])
def test_runs_of_any_length(run: int) -> None:
    width = run + 20
    rows: list[Row] = [(run, run + 10), (10, 10 + run)]
    octets = coding.mh(rows, width)
    assert coding.read_t4(octets, width, two_dimensional=False).rows == tuple(rows)


@given(octets=st.binary(max_size=200))
def test_garbage_is_read_to_some_end(octets: bytes) -> None:
    for _write, read in CODINGS.values():
        assert len(read(octets).rows) <= coding.MAX_ROWS


def test_a_bad_row_is_the_one_above() -> None:
    good = coding.EOL + coding.row_bits((100, 200), WIDTH)
    page = coding.read_t4(coding.pack(good + coding.EOL + "000000001" + "1" * 9 + good), WIDTH, two_dimensional=False)
    assert (page.rows, page.bad_rows, page.ended) == (((100, 200),) * 3, 1, False)


def test_the_codes_are_those_of_the_recommendation() -> None:
    """Samples of T.4 tables 2 and 3: white 3 and 1728, black 3 and 64."""
    assert coding.row_bits((3, 6), 6 + 1728) == "1000" + "10" + "010011011" + "00110101"
    assert coding.row_bits((0, 64), 67) == "00110101" + "0000001111" + "0000110111" + "1000"


def test_a_picture_and_its_rows() -> None:
    image = Image.new("1", (16, 2), 1)
    image.putpixel((0, 1), 0)
    image.putpixel((15, 1), 0)
    out = io.BytesIO()
    image.save(out, "TIFF", compression="group4")
    assert rows_of(out.getvalue()) == [[(), (0, 1, 15)]]
