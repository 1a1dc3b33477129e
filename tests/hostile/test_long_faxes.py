"""A caller who sends five hundred pages in one call."""

from __future__ import annotations

from tests.t30.conftest import Line, page_image, pixels, receive_start, tiff

PAGES = 500


def test_five_hundred_pages_arrive_in_one_call() -> None:
    """Half an hour of V.17 in virtual time; each page is handed over, and confirmed, before the next."""
    document = tiff([page_image(1 + number % 7, 60) for number in range(PAGES)])
    line = Line([document], receiver=receive_start())
    try:
        line.run(7_000.0)
        assert line.receiver.result.code == 0
        assert [page for octets in line.receiver.pages for page in pixels(octets)] == pixels(document)
        assert line.receiver.frames.count(">MCF") == PAGES
    finally:
        line.close()
