"""The library as it is installed, and G.711 (ITU-T G.711 Tables 1 and 2)."""

from __future__ import annotations

import numpy as np
import pytest

from faxgw.t30 import binding
from faxgw.t30.binding import LibraryFault, completion_text, ffi, g711_decode, g711_encode, library, string


def test_the_structure_of_statistics_is_the_one_of_soname_2() -> None:
    assert ffi.sizeof("t30_stats_t") == binding.STATS_SIZE
    assert library() is library()


def test_a_missing_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "SONAME", "libspandsp.so.99")
    library.cache_clear()
    try:
        with pytest.raises(LibraryFault, match="libspandsp2"):
            library()
    finally:
        library.cache_clear()


def test_codes_have_words() -> None:
    assert completion_text(0) == "OK"
    assert completion_text(49) == "The call dropped prematurely"
    assert len({completion_text(code) for code in range(62)}) == 62


def test_strings_lose_what_cannot_be_printed() -> None:
    assert string(ffi.new("char[]", b"a\x07b\xfc")) == "abü"
    assert string(ffi.NULL) == ""


@pytest.mark.parametrize(
    ("payload_type", "octet", "value"),
    [
        (0, 0xFF, 0), (0, 0x7F, 0), (0, 0x80, 32124), (0, 0x00, -32124), (0, 0xF0, 120),
        (8, 0xD5, 8), (8, 0x55, -8), (8, 0xAA, 32256), (8, 0x2A, -32256), (8, 0x80, 5504),
    ],
)  # fmt: skip
def test_g711_values_of_the_tables(payload_type: int, octet: int, value: int) -> None:
    assert g711_decode(bytes((octet,)), payload_type).tolist() == [value]


@pytest.mark.parametrize("payload_type", [0, 8])
def test_g711_encodes_to_the_nearest_value(payload_type: int) -> None:
    table = np.unique(g711_decode(bytes(range(256)), payload_type).astype(int))
    linear = np.arange(-32768, 32768, 7).astype(np.int16)
    coded = g711_decode(g711_encode(linear, payload_type), payload_type).astype(int)
    error = np.abs(coded - linear.astype(int))
    best = np.abs(table[None, :] - linear.astype(int)[:, None]).min(axis=1)
    assert (error == best).all()
