"""Letters: whose words stand in them, and which pictures go with them."""

from __future__ import annotations

import pytest

from faxgw.formats.mail_examples import letter_of
from faxgw.formats.mail_letter import MAX_THUMBNAIL, PLAIN, mark_token, thumbnail
from faxgw.formats.mail_template import read
from tests.formats.samples import PNG
from tests.formats.test_mail_template import package, picture


def test_the_words_of_a_house_are_those_of_the_mails_language() -> None:
    style = read(package({"status.subject": "${result}!", "status.de.subject": "Fax: ${result}"}))
    assert letter_of("sent", "en", style).title() == "Delivered!"
    assert letter_of("sent", "de", style).title() == "Fax: Zugestellt"
    assert letter_of("list", "de", style).title() == letter_of("list", "de", PLAIN).subject


def test_page_one_and_the_logo_are_shown_as_the_house_wants() -> None:
    style = read(package({"l.png": picture("PNG")}, 'logo = "l.png"\npage_picture = false'))
    html = letter_of("sent", "en", style).html("page@x", "logo@x")
    assert "cid:logo@x" in html and "cid:page@x" not in html
    assert "cid:page@x" in letter_of("sent", "en", PLAIN).html("page@x")
    logo = letter_of("sent", "en", style).logo("x.example")
    assert logo is not None and logo.content_id.endswith("@x.example")
    assert letter_of("sent", "en", PLAIN).logo("x.example") is None


@pytest.mark.parametrize("octets", [b"", b"GIF89a", PNG + bytes(MAX_THUMBNAIL)])
def test_what_is_no_small_picture_is_not_shown(octets: bytes) -> None:
    assert thumbnail(octets, "<1@x>", "x") is None
    assert thumbnail(PNG, "<1@x>", "x") is not None


def test_a_mark_has_no_signs_that_a_header_does_not_take() -> None:
    assert mark_token("FN_1-a\r\nBcc: x" + "y" * 99).startswith("FN_1-aBccx")
    assert len(mark_token("y" * 99)) == 64
