"""Codes of a page: each counted once, where it stands, from the top down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import zxingcpp

from faxgw.document import barcode
from faxgw.document.barcode import QUIET, NoBarcodes, Seen
from faxgw.fax.reading import MAX_BARCODES, Symbology


def drawn(kind: str, text: str, scale: int = 4) -> Any:
    """A code without a margin."""
    made = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    grey = np.array(zxingcpp.write_barcode_to_image(made, scale=scale))
    across, down = np.where((grey < 128).any(axis=0))[0], np.where((grey < 128).any(axis=1))[0]
    return grey[down[0] : down[-1] + 1, across[0] : across[-1] + 1]


def placed(*codes: tuple[Any, int, int], rows: int = 700, width: int = 900) -> Any:
    page = np.full((rows, width), 255, np.uint8)
    for code, left, top in codes:
        page[top : top + code.shape[0], left : left + code.shape[1]] = code
    return page


def test_codes_are_found_where_they_stand_from_the_top_down() -> None:
    low, high = drawn("Code128", "LOW-1", 2), drawn("QRCode", "https://a.example/")
    found = barcode.read(placed((low, 500, 550), (high, 60, 40)))
    assert [(seen.kind, seen.text) for seen in found] == [
        (Symbology.QR, "https://a.example/"), (Symbology.CODE128, "LOW-1"),
    ]  # fmt: skip
    square = found[0]
    for value, wanted in ((square.left, 60), (square.top, 40), (square.right, 60 + high.shape[1])):
        assert abs(value - wanted) <= 6


def test_a_code_that_the_margin_cut_close_is_read() -> None:
    """Its quiet zone is put around the page."""
    code = drawn("QRCode", "corner")
    assert [seen.text for seen in barcode.read(placed((code, 0, 0), rows=code.shape[0], width=code.shape[1]))] == [
        "corner"
    ]


def test_what_both_readers_see_counts_once() -> None:
    code = drawn("EAN13", "4006381333931", 3)
    page = placed((code, 200, 200))
    assert len(barcode.read(page, zbar=False)) == 1
    assert [seen.text for seen in barcode.read(page)] == ["4006381333931"]


def test_the_same_text_in_two_places_are_two_codes() -> None:
    code = drawn("QRCode", "twice")
    assert len(barcode.read(placed((code, 40, 40), (code, 600, 500)))) == 2


def test_a_code_that_is_named_with_a_leading_zero_is_the_same() -> None:
    """UPC-A is an EAN-13 that begins with 0 (ISO/IEC 15420)."""
    one = Seen(Symbology.UPCA, "12345678905"[:12], 10, 10, 100, 50)
    other = Seen(Symbology.EAN13, "0" + one.text, 12, 11, 99, 49)
    assert barcode._same(one, other)
    assert not barcode._same(one, Seen(one.kind, one.text, 10, 51 + QUIET, 100, 90 + QUIET))


def test_there_is_an_end_to_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a stranger may hold thousands."""

    def many(_picture: Any, _scale: int, **_more: Any) -> Sequence[Seen]:
        return [
            Seen(Symbology.QR, str(number), 0, 100 * number, 9, 100 * number + 9) for number in range(MAX_BARCODES + 9)
        ]

    monkeypatch.setattr(barcode, "_by_zxing", many)
    found = barcode.read(placed(), zbar=False)
    assert [seen.text for seen in found] == [str(number) for number in range(MAX_BARCODES)]


def test_without_the_reader_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barcode, "_zxing", lambda: None)
    with pytest.raises(NoBarcodes):
        barcode.read(placed())
