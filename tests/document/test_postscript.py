"""What PostScript says of itself."""

from __future__ import annotations

import struct

import pytest

from faxgw.document import postscript


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0\nshowpage\n",
        b"\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE = POSTSCRIPT\r\n%!PS-Adobe-3.0\nshowpage\n",
        b"\x04%!PS-Adobe-3.0\nshowpage\n",
        postscript.PREVIEW + struct.pack("<IIIIII", 30, 24, 54, 3, 0, 0) + b"xx" + b"%!PS-Adobe-3.0\nshowpage\nTIF",
    ],
)
def test_what_is_around_postscript_is_taken_off(data: bytes) -> None:
    assert postscript.bare(data) == b"%!PS-Adobe-3.0\nshowpage\n"


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        (b"%!PS-Adobe-3.0\n%%Pages: 7\n", 7),
        (b"%!PS-Adobe-3.0\n%%Pages: (atend)\n" + b"x" * 9000 + b"\n%%Trailer\n%%Pages: 12\n%%EOF\n", 12),
        (b"%!PS\n", 0),
    ],
)
def test_it_may_say_its_pages(data: bytes, pages: int) -> None:
    assert postscript.pages(data) == pages
