"""Files of what was read: every format that is named is written, and nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import WriteOptions
from faxgw.document.written import load, write
from faxgw.fax.reading import Barcode, Box, PageReading, Symbology, to_json
from faxgw.fax.received_document import WRITTEN, Format

OPTIONS = WriteOptions(
    Format.TEXT,
    "rcv_1",
    "Fax from Anna",
    "+33199000099",
    "+498955500",
    "ANNA",
    datetime(2026, 11, 22, tzinfo=UTC),
    3,
    True,
)


def said(*readings: PageReading) -> int:
    descriptor = os.memfd_create("readings", os.MFD_CLOEXEC)
    os.write(descriptor, json.dumps([to_json(reading) for reading in readings]).encode())
    return descriptor


def octets(form: Format, *readings: PageReading) -> bytes:
    made = write(said(*readings), replace(OPTIONS, form=form))
    found = os.pread(made.fd, os.fstat(made.fd).st_size, 0)
    made.close()
    return found


def test_text_keeps_a_place_for_a_page_that_was_not_read() -> None:
    """Page 2 of 3 says nothing: pages 1 and 3 stay what they are."""
    pages = PageReading(3, 1728, 2200, "third\n"), PageReading(1, 1728, 2200, "first\n")
    assert octets(Format.TEXT, *pages) == b"first\n\f\fthird\n"


@pytest.mark.parametrize("form", sorted(WRITTEN))
def test_every_format_that_is_offered_can_be_written(form: Format) -> None:
    code = Barcode(Symbology.CODE128, "4711", Box(0, 0, 9, 9))
    assert octets(form, PageReading(1, 1728, 2200, "Rechnung 4711 <&>\n", barcodes=(code,)))


@pytest.mark.parametrize("form", sorted(set(Format) - set(WRITTEN)))
def test_no_other_is(form: Format) -> None:
    with pytest.raises(DocumentRefused):
        write(said(), replace(OPTIONS, form=form))


def test_what_was_read_is_found_by_page() -> None:
    first, third = PageReading(1, 8, 9, "a"), PageReading(3, 8, 9, "c")
    assert load(said(third, first)) == {1: first, 3: third}
