"""What a field of a word processor's template shows, and which are refused by name."""

from __future__ import annotations

import pytest

from faxgw.formats.cover_fields import check_text, instruction, lines, named, placeholder
from faxgw.formats.cover_template import TemplateRefused

VALUES = {
    "ToName": "Ann “Q” <Lee>",
    "empty": "",
    "subject": "an offer",
    "properties": ({"key": "a", "value": "b"}, "c"),
}


@pytest.mark.parametrize(
    "said, shown",
    [
        ("ToName", "Ann “Q” <Lee>"),
        (" ToName ", "Ann “Q” <Lee>"),
        ('Matter!"none"', "none"),
        ("Matter!“none”", "none"),
        ("Matter!", ""),
        ("subject?upper_case", "AN OFFER"),
        ("properties", "a: b\nc"),
    ],
)
def test_a_typed_name_is_read_as_in_html_templates(said: str, shown: str) -> None:
    """Word makes curly quotes of straight ones; values are no markup here."""
    assert placeholder(said).text(VALUES) == shown


@pytest.mark.parametrize(
    "said, shown",
    [
        (" MERGEFIELD ToName ", "Ann “Q” <Lee>"),
        (' mergefield "ToName" \\* MERGEFORMAT', "Ann “Q” <Lee>"),
        (" DOCVARIABLE  subject \\* Upper ", "AN OFFER"),
        (" MERGEFIELD subject \\* FirstCap", "An offer"),
        (" MERGEFIELD subject \\* Caps", "An Offer"),
        (' MERGEFIELD subject \\b "Re: " \\f "."', "Re: an offer."),
        (' MERGEFIELD empty \\b "Re: " \\f "."', ""),
        ("MERGEFIELD properties", "a: b\nc"),
    ],
)
def test_a_field_follows_its_switches(said: str, shown: str) -> None:
    """ISO/IEC 29500-1 sections 17.16.4.3 and 17.16.5.35."""
    found = instruction(said)
    assert found is not None
    assert found.text(VALUES) == shown


@pytest.mark.parametrize("said", ["PAGE", " NUMPAGES \\* arabic", 'HYPERLINK "http://example.org"', "", "   "])
def test_fields_of_the_word_processor_itself_are_left_alone(said: str) -> None:
    assert instruction(said) is None


@pytest.mark.parametrize("kind", ["IF", "NEXT", "ASK", "INCLUDETEXT", "DDEAUTO", "DATABASE", "ADDRESSBLOCK"])
def test_fields_that_choose_ask_or_fetch_are_refused_by_name(kind: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        instruction(f" {kind.lower()} x ")
    assert kind in refused.value.public


def test_what_needs_a_value_says_so_and_what_has_a_default_does_not() -> None:
    assert placeholder("ToName").required == {"ToName"}
    assert placeholder("Matter!").required == frozenset()
    found = instruction("MERGEFIELD Matter")
    assert found is not None and found.required == {"Matter"}
    for field in (found, placeholder("Matter"), named("Matter")):
        with pytest.raises(TemplateRefused) as refused:
            field.text(VALUES)
        assert "Matter" in refused.value.public


@pytest.mark.parametrize("said", ["", "a b", "1+1", "x" * 500, 'a!"b', "a?nonsense"])
def test_what_cannot_be_read_is_refused(said: str) -> None:
    with pytest.raises(TemplateRefused):
        placeholder(said)


@pytest.mark.parametrize("said", ["MERGEFIELD", "MERGEFIELD \\* Upper", f"MERGEFIELD {'x' * 70}"])
def test_a_field_that_names_nothing_good_is_refused(said: str) -> None:
    with pytest.raises(TemplateRefused):
        instruction(said)


def test_directives_of_html_templates_are_refused_where_they_would_be_printed() -> None:
    with pytest.raises(TemplateRefused) as refused:
        check_text("Dear <#if ToName??>")
    assert "<#if" in refused.value.public
    check_text("a < b, #1 <# x")


def test_line_ends_are_one_sign() -> None:
    assert lines("a\r\nb\rc\nd") == "a\nb\nc\nd"
