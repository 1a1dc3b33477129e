"""What was read on pages: bounds, JSON, what a number's settings ask for."""

from __future__ import annotations

import json

import pytest

from faxgw.fax.account import SETTINGS, Level, Origin, check_settings, resolve
from faxgw.fax.reading import (
    MAX_BARCODES,
    MAX_WORD,
    MAX_WORDS,
    Barcode,
    Box,
    PageReading,
    Readings,
    ReadingState,
    ReadPage,
    Symbology,
    Wanted,
    Word,
    bounded,
    from_json,
    to_json,
    wanted,
)

BOX = Box(1, 2, 30, 40)
PAGE = PageReading(
    page=2,
    width=1728,
    rows=1145,
    text="Grüße\n",
    words=(Word("Grüße", BOX, 96, 0, 0),),
    barcodes=(Barcode(Symbology.QR, "a\x1db", BOX),),
    language="deu+fra",
    turned=180,
    seconds=1.25,
    problem="text: too slow",
)


def test_a_reading_goes_through_json() -> None:
    assert from_json(json.loads(json.dumps(to_json(PAGE)))) == PAGE


def test_a_reading_is_bounded_and_clean() -> None:
    word = Word("x" * 1000 + "\0", BOX, 1, 0, 0)
    code = Barcode(Symbology.QR, "1\x1d2\0\x1b[31m\ud800", BOX)
    found = bounded(PageReading(1, 1, 1, text="a\0b\n\x1b", words=(word,) * 30_000, barcodes=(code,) * 100))
    assert found.text == "ab\n"
    assert len(found.words) == MAX_WORDS and found.words[0].text == "x" * MAX_WORD
    assert len(found.barcodes) == MAX_BARCODES and found.barcodes[0].text == "1\x1d2[31m"


def test_what_is_known_of_a_fax() -> None:
    whole = PageReading(1, 1728, 2290, text="one\n")
    known = Readings(
        (
            ReadPage(1, ReadingState.READ, whole),
            ReadPage(2, ReadingState.READ, PAGE),
            ReadPage(3, ReadingState.WAITING),
            ReadPage(4, ReadingState.FAILED, why="damaged"),
        )
    )
    assert (known.waiting, known.missing) == ((3,), (2, 4))
    assert known.text == "one\n\fGrüße\n"
    assert known.barcodes == ((2, PAGE.barcodes[0]),)
    assert PAGE.confidence == 96.0 and whole.confidence == 0.0


@pytest.mark.parametrize(
    "values, expected",
    [
        ({}, Wanted()),
        ({"ocr": True}, Wanted(("eng",))),
        ({"ocr": True, "language": "fr"}, Wanted(("fra",))),
        ({"ocr": True, "ocr_languages": ["deu", "eng"], "barcodes": True}, Wanted(("deu", "eng"), True)),
        ({"barcodes": True}, Wanted((), True)),
    ],
)
def test_the_settings_of_a_number_say_what_is_read(values: dict[str, object], expected: Wanted) -> None:
    settings = resolve([(Origin(Level.NUMBER, "+33"), values)])
    assert wanted(settings.values) == expected
    assert bool(expected) == bool(values)


def test_reading_is_an_entitlement() -> None:
    """Features B5: what system or customer refuse, a number cannot take."""
    settings = resolve([(Origin(Level.CUSTOMER, "acme"), {"ocr": False}), (Origin(Level.NUMBER, "+33"), {"ocr": True})])
    assert settings["ocr"] is False


@pytest.mark.parametrize("value", ["eng", ["english"], ["eng"] * 5, ["../eng"], [1]])
def test_a_language_is_a_name_of_a_model(value: object) -> None:
    _values, faults = check_settings({"ocr_languages": value})
    assert len(faults) == 1 and faults[0].startswith("ocr_languages: must be")


def test_the_defaults_read_nothing() -> None:
    assert not wanted({key: setting.default for key, setting in SETTINGS.items()})
