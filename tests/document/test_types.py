"""The values of requests and results: who closes what, and a converter's word that is not taken."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from faxgw.document import types
from faxgw.document.types import PNG, Composed, Document, Kind, PageFacts, Picture, Rendered, Resolution, Walked
from faxgw.document.types.descriptors import close_all

FACTS = PageFacts(1728, 100, 10, 0.1)


def file(octets: bytes = b"") -> int:
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(descriptor, octets)
    return descriptor


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_what_is_closed_already_does_not_keep_the_rest_open() -> None:
    first, second = file(), file()
    os.close(first)
    close_all(first, None, second)
    assert not is_open(second)


@pytest.mark.parametrize(
    "made",
    [
        lambda a, b: Rendered(a, (FACTS,), Resolution.FINE, b),
        lambda a, b: Composed(a, (FACTS,), Resolution.FINE, None, b),
        lambda a, b: Walked((Document(a, "one"), Document(b, "two"))),
    ],
    ids=["rendered", "composed", "walked"],
)
def test_a_result_closes_all_that_it_owns(made: Any) -> None:
    descriptors = file(), file()
    made(*descriptors).close()
    assert not any(map(is_open, descriptors))


@pytest.mark.parametrize(
    ("pictures", "shown"),
    [
        (((0, 20), (20, 20)), True),
        (((0, 20),), False),
        (((0, 20), (20, 20), (0, 20)), False),
        (((0, 20), (30, 20)), False),
        (((0, 20), (-20, 20)), False),
        (((0, 20), (21, 19)), False),
    ],
    ids=["both", "one lacks", "one too many", "beyond the file", "before the file", "no PNG there"],
)
def test_a_fax_is_shown_when_each_page_has_a_png_within_the_file(
    pictures: tuple[tuple[int, int], ...], shown: bool
) -> None:
    octets = (PNG + bytes(12)) * 2
    made = Composed(
        file(), (FACTS, FACTS), Resolution.FINE, None, file(octets), tuple(Picture(*place) for place in pictures)
    )
    assert made.is_shown() is shown
    made.close()


@pytest.mark.parametrize("index", [-1, 1])
def test_a_page_without_a_picture_has_none(index: int) -> None:
    made = Composed(file(), (FACTS,), Resolution.FINE, None, file(PNG), (Picture(0, len(PNG)),))
    with pytest.raises(ValueError, match="none of this page"):
        made.picture(index)
    assert made.picture(0) == PNG
    made.close()


def test_what_a_program_outside_converts_are_office_documents_and_page_descriptions() -> None:
    """The page process reads all others itself: nothing else may wait for a program that is not installed."""
    inside = set(Kind) - types.OUTSIDE
    images = {Kind.TIFF, Kind.JPEG, Kind.PNG, Kind.GIF, Kind.BMP, Kind.WEBP}
    assert inside == {Kind.PDF, Kind.TEXT, Kind.HTML} | images


def test_every_value_of_the_pieces_can_be_had_from_the_whole() -> None:
    """Other packages see `faxgw.document.types` alone (the import rules)."""
    folder = Path(types.__file__).parent
    named = {
        node.name
        for piece in folder.glob("[a-z]*.py")
        for node in ast.parse(piece.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    assert named <= set(types.__all__)
