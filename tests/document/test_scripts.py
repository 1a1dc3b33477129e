"""Writings and what fonts have of them."""

from __future__ import annotations

import pytest

from faxgw.document import scripts
from faxgw.document.refusal import DocumentRefused
from faxgw.document.types import Reason


@pytest.mark.parametrize("text", ["", "plain", "Grüße €\t\n", "Привет", "Ελληνικά", "e\u0301", "a\u200bb", "─│┌"])
def test_latin_greek_and_cyrillic_are_simple(text: str) -> None:
    assert scripts.is_simple(text)


@pytest.mark.parametrize("text", ["שלום", "مرحبا", "नमस्ते", "สวัสดี", "你好", "日本", "한국", "a 你"])
def test_other_writings_are_not(text: str) -> None:
    assert not scripts.is_simple(text)


@pytest.mark.parametrize(
    ("line", "turned"),
    [("שלום", True), ("(1) שלום abc", True), ("مرحبا", True), ("abc שלום", False), ("123", False), ("", False)],
)
def test_the_first_letter_gives_a_line_its_direction(line: str, turned: bool) -> None:
    assert scripts.is_right_to_left(line) is turned


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("abc äöü 你好", "abc äöü 你好"),
        ("ok \U0001f984!", "ok [unicorn face]!"),
        ("\U0001f469\u200d\U0001f4bb", "[woman]\u200d[personal computer]"),
        ("\U0001f1e9\U0001f1ea", "DE"),
        ("\U0001f984\ufe0f", "[unicorn face]\ufe0f"),
        ("\U000e0041", ""),
        ("\U0010fffd", "[unknown sign]"),
    ],
)
def test_symbols_that_no_font_has_are_written_out(text: str, printed: str) -> None:
    assert scripts.printable(text, "a").replace("\ufe0f", "").replace("\u200d", "") == (
        printed.replace("\ufe0f", "").replace("\u200d", "")
    )


def test_letters_that_no_font_has_refuse_the_document_by_name() -> None:
    with pytest.raises(DocumentRefused) as refused:
        scripts.printable("abc " + "".join(map(chr, range(0xF40, 0xF48))), "letter.txt")
    assert refused.value.refused.reason is Reason.UNSUPPORTED
    assert "“letter.txt”" in str(refused.value) and "tibetan letter ka" in str(refused.value)
    assert str(refused.value).count("tibetan") == scripts.MAX_NAMED and ", …" in str(refused.value)


def test_characters_by_number_are_looked_at_in_markup() -> None:
    assert scripts.printable_markup("&#129412;&#x1F984; &#60;b&#x3e; &#xD800; &#x110000;", "a") == (
        "[unicorn face][unicorn face] &#60;b&#x3e; &#xD800; &#x110000;"
    )
    with pytest.raises(DocumentRefused):
        scripts.printable_markup("&#3904;", "a")
