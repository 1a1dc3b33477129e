"""TIFF files of received pages: the fax's own data passed through, turned or coded again, in one file or one a page."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import pytest
from PIL import Image, ImageSequence

from faxgw.document.limits import Limits
from faxgw.document.refusal import DocumentRefused
from faxgw.document.tiff_out import make
from faxgw.document.types import TiffMade, TiffOptions, TiffPart
from tests.document.test_strips import ROWS, WIDTH, changed, page

PAGES = (page(), page("group3"), page())


def made(pages: Sequence[bytes], **options: object) -> TiffMade:
    descriptor = os.memfd_create("pages", os.MFD_CLOEXEC)
    parts, at = [], 0
    for octets in pages:
        os.write(descriptor, octets)
        parts.append(TiffPart(at, len(octets)))
        at += len(octets)
    try:
        return make(descriptor, TiffOptions(tuple(parts), **options), Limits())  # type: ignore[arg-type]
    finally:
        os.close(descriptor)


def files(result: TiffMade) -> list[bytes]:
    found = [os.pread(result.fd, part.octets, part.offset) for part in result.parts]
    assert sum(map(len, found)) == os.fstat(result.fd).st_size, "the parts are all of it"
    result.close()
    return found


def pixels(octets: bytes) -> list[tuple[tuple[int, int], bytes]]:
    with Image.open(io.BytesIO(octets)) as image:
        return [(one.size, one.convert("1").tobytes()) for one in ImageSequence.Iterator(image)]


def strip_of(octets: bytes) -> bytes:
    with Image.open(io.BytesIO(octets)) as image:
        tags = getattr(image, "tag_v2")  # noqa: B009 - only TIFF images have it
        (offset,), (length,) = tags[273], tags[279]
    return octets[offset : offset + length]


def test_one_file_holds_all_pages_in_order_and_a_reader_finds_each() -> None:
    (whole,) = files(made(PAGES))
    assert pixels(whole) == [pixels(octets)[0] for octets in PAGES]
    with Image.open(io.BytesIO(whole)) as image:
        numbers = [one.tag_v2[297] for one in ImageSequence.Iterator(image)]  # type: ignore[attr-defined]
    assert numbers == [(0, 3), (1, 3), (2, 3)]


def test_separate_files_are_whole_each_by_itself() -> None:
    found = files(made(PAGES, separate=True))
    assert [pixels(octets) for octets in found] == [pixels(octets) for octets in PAGES]


def test_the_faxs_own_data_go_through_untouched() -> None:
    """Nothing is decoded that need not be."""
    (first, second, _third) = files(made(PAGES, separate=True))
    assert (strip_of(first), strip_of(second)) == (strip_of(PAGES[0]), strip_of(PAGES[1]))


def test_coded_again_every_page_is_g4_and_shows_the_same() -> None:
    for before, after in zip(PAGES, files(made(PAGES, separate=True, recode=True)), strict=True):
        with Image.open(io.BytesIO(after)) as image:
            assert image.info["compression"] == "group4"
        assert pixels(after) == pixels(before)


@pytest.mark.parametrize(("turn", "size"), [(90, (ROWS, WIDTH)), (180, (WIDTH, ROWS)), (270, (ROWS, WIDTH))])
def test_a_turned_page_changes_places_of_its_sides_and_resolutions(turn: int, size: tuple[int, int]) -> None:
    (found,) = files(made(PAGES[:1], turns=(turn,)))
    with Image.open(io.BytesIO(found)) as image:
        across, down = image.tag_v2[282], image.tag_v2[283]  # type: ignore[attr-defined]
        assert image.size == size and (across < down) is (turn != 180)
        expected = Image.open(io.BytesIO(PAGES[0])).convert("L").rotate(-turn, expand=True)
        assert image.convert("L").tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "bad",
    [b"no TIFF at all", page()[:80], changed(page(), 279, 10_000_000), changed(page(), 256, 0)],
    ids=["no TIFF", "cut off", "a strip outside", "no width"],
)
def test_a_page_that_is_none_is_refused_by_its_number(bad: bytes) -> None:
    with pytest.raises(DocumentRefused) as refused:
        made((PAGES[0], bad))
    assert refused.value.refused.page == 2
