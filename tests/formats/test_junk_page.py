"""The pages of a link that releases junk: in three languages, nothing of a stranger's that a browser would run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faxgw.formats.junk_page import Fax, Shown, no_link, page

FAX = Fax("+33199000099", "+498955500", "BEST OFFERS", 1_795_000_000.0, 2, "en", "Europe/Berlin")


@pytest.mark.parametrize(
    "language, word", [("en", "Release"), ("fr", "Libérer"), ("de", "Freigeben"), ("xx", "Release")]
)
def test_a_fax_that_waits_is_shown_with_a_button(language: str, word: str) -> None:
    text = page(Shown.ASKED, replace(FAX, language=language))
    assert f'<form method="post"><button>{word}</button></form>' in text
    assert "BEST OFFERS, +49 89 55500" in text and "+33 1 99 00 00 99" in text
    assert f'lang="{language if language != "xx" else "en"}"' in text


@pytest.mark.parametrize("shown", [Shown.RELEASED, Shown.OVER])
@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_what_is_done_has_no_button(shown: Shown, language: str) -> None:
    text = page(shown, replace(FAX, language=language))
    assert "<form" not in text and "{" not in text


def test_what_a_stranger_wrote_is_text() -> None:
    text = page(Shown.ASKED, replace(FAX, ident='<script>alert("1")</script>\r\n&'))
    assert "<script" not in text and "&lt;script&gt;alert(" in text
    assert "an unknown caller" in page(Shown.ASKED, replace(FAX, ident="", caller=""))


def test_a_link_that_is_none_is_told_in_every_language_and_says_nothing_more() -> None:
    assert all(word in no_link() for word in ("not valid", "valable", "gilt nicht"))
