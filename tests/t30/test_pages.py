"""What a call is to send, made ready for the library."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from faxgw.foip.control import Document
from faxgw.t30 import pages
from faxgw.t30.terminal import PageRange
from faxgw.t30.tiff import PageFault
from tests.t30.conftest import memory_file, page_image, pixels, receive_start, send_start, tiff

FILE = tiff([page_image(n) for n in (1, 2, 3)])


@pytest.fixture
def files() -> Iterator[list[int]]:
    made: list[int] = []
    yield made
    for file in made:
        os.close(file)


def load(files: list[int], octets: bytes, *documents: Document) -> tuple[tuple[PageRange, ...], float]:
    descriptor = memory_file(octets)
    try:
        return pages.load(replace(send_start(), documents=documents), [descriptor], files)
    finally:
        os.close(descriptor)


def test_a_document_is_copied_with_its_range_and_its_resolution(files: list[int]) -> None:
    (page_range,), finest = load(files, FILE, Document("FN1", 3, 2, 3))
    assert pixels(Path(page_range.path).read_bytes()) == pixels(FILE)
    assert (page_range.first, page_range.last) == (2, 3)
    assert finest == pytest.approx(196 / 0.0254)


@pytest.mark.parametrize(
    "document", [Document("FN1", 2, 1, 2), Document("FN1", 3, 3, 2), Document("FN1", 3, 0, 1), Document("FN1", 3, 1, 4)]
)
def test_a_range_that_is_none_of_the_files_is_refused(files: list[int], document: Document) -> None:
    with pytest.raises(ValueError, match="the file has 3"):
        load(files, FILE, document)
    assert len(files) == 1, "its copy is the caller's to close"


def test_what_is_no_tiff_is_refused(files: list[int]) -> None:
    with pytest.raises(PageFault):
        load(files, b"fax", Document("FN1", 1, 1, 1))


def test_as_many_descriptors_as_documents(files: list[int]) -> None:
    with pytest.raises(ValueError, match="zip"):
        load(files, FILE)


def test_a_receiver_gets_an_empty_file(files: list[int]) -> None:
    path = pages.receiving(files)
    assert Path(path).read_bytes() == b""
    profile = pages.profile(receive_start(), (), path, 7)
    assert (profile.documents, profile.receive_path, profile.resolutions) == ((), path, 7)
    with pytest.raises(ValueError, match="identification"):
        pages.profile(replace(receive_start(), station_id="fax!"), (), path, 7)


@pytest.mark.parametrize(
    ("rows_per_inch", "dots"),
    [(0, "204x98"), (98, "204x98"), (100, "204x98"), (196, "204x196"), (200, "204x196"), (391, "204x391"),
     (400, "204x391")],
)  # fmt: skip
def test_what_a_far_end_must_take(rows_per_inch: float, dots: str) -> None:
    """ITU-T T.30 Table 2, bits 15 and 41."""
    assert pages.needed(rows_per_inch / 0.0254) == dots
