"""An HTML body and its pictures as one document."""

from __future__ import annotations

import pytest

from faxgw.document import related
from faxgw.document.refusal import DocumentRefused
from faxgw.document.related import Page


def test_a_page_without_pictures_stays_what_it_is() -> None:
    assert related.pack(Page(b"<p>x", "utf-8", {})) == b"<p>x"
    assert related.unpack(b"<p>x", "koi8-r") == Page(b"<p>x", "koi8-r", {})


@pytest.mark.parametrize("data", [b"", b"\r\n--x--\r\n", bytes(range(256)) * 3, b"\r\n"])
def test_pictures_come_back_octet_for_octet(data: bytes) -> None:
    page = Page(b"<p>\xff</p>\r\n", "iso-8859-1", {"one@x": data, "t\u00e9o": b"y"})
    assert related.unpack(related.pack(page), None) == page


def test_a_content_id_cannot_begin_a_header_of_its_own() -> None:
    page = related.unpack(related.pack(Page(b"x", "a\r\nb", {"i\r\nContent-Transfer-Encoding: base64": b"abcd"})), None)
    assert list(page.pictures.values()) == [b"abcd"]


def test_what_only_begins_like_a_page_is_refused() -> None:
    with pytest.raises(DocumentRefused):
        related.unpack(b"MIME-Version: 1.0\r\nContent-Type: multipart/related\r\n\r\nx", None)
