"""One part of a Word document: which parts are read, how fields that hold one another end, what stays untouched."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faxgw.formats.cover_story import Story, filled, read
from faxgw.formats.cover_template import TemplateRefused
from tests.formats.word_files import W, document

VALUES = {"a": "A", "b": "B"}


def story(body: str, root: str = "document") -> Story:
    found = read("word/document.xml", document(body, root).encode())
    assert found is not None
    return found


def text(body: str) -> str:
    xml = filled(story(body), VALUES).decode()
    return xml[xml.index("<w:body>") + 8 : xml.index("<w:sectPr/>")]


def t(said: str) -> str:
    return f"<w:p><w:r><w:t>{said}</w:t></w:r></w:p>"


@pytest.mark.parametrize("root", ["document", "hdr", "ftr", "footnotes", "endnotes"])
def test_parts_that_are_printed_are_read(root: str) -> None:
    assert len(story(t("${a}"), root).fields()) == 1


@pytest.mark.parametrize("root", ["styles", "settings", "comments", "numbering"])
def test_other_parts_are_left_alone(root: str) -> None:
    assert read("word/x.xml", document(t("${a}"), root).encode()) is None
    assert read("word/x.xml", b"<a xmlns='urn:other'>${a}</a>") is None


def test_comments_sections_and_entities_in_a_text_are_text() -> None:
    assert text(t("$<!-- x -->{<![CDATA[a]]>}&#38;")) == (
        '<w:p><w:r><w:t xml:space="preserve">A&amp;</w:t></w:r></w:p>'
    )
    body = t("<![CDATA[<b>]]>&#x263a;") + "<!-- ${a} --><?x ${a}?>"
    assert text(body) == body


def test_a_field_within_anothers_result_is_filled_and_that_one_stays() -> None:
    def mark(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    def code(said: str) -> str:
        return f"<w:r><w:instrText>{said}</w:instrText></w:r>"

    inner = mark("begin") + code("MERGEFIELD a") + mark("separate") + "<w:r><w:t>x</w:t></w:r>" + mark("end")
    outer = mark("begin") + code("HYPERLINK x") + mark("separate") + inner + mark("end")
    made = text(f"<w:p>{outer}</w:p>")
    assert made.count("<w:fldChar ") == 3 and ">A</w:t>" in made and "HYPERLINK x" in made
    assert mark("end") + mark("end") not in made
    never_ended = f"<w:p>{mark('begin')}{code('MERGEFIELD a')}</w:p>"
    assert text(never_ended) == never_ended


def test_attributes_may_hold_angle_brackets_and_either_quotes() -> None:
    body = '<w:p><w:fldSimple w:instr=\'MERGEFIELD "a"\' w:x="a>b"><w:r><w:t>x</w:t></w:r></w:fldSimple></w:p>'
    assert text(body) == '<w:p><w:r><w:t xml:space="preserve">A</w:t></w:r></w:p>'


def test_a_prefix_of_its_own_is_kept() -> None:
    xml = f'<q:document xmlns:q="{W}"><q:body><q:p><q:r><q:t>${{a}}&#10;</q:t></q:r></q:p></q:body></q:document>'
    found = read("word/document.xml", xml.encode())
    assert found is not None
    assert '<q:t xml:space="preserve">A\n</q:t>' in filled(found, VALUES).decode()


@pytest.mark.parametrize(
    "octets",
    [b"", b"<", b"<a", b"<a></b>", b"\xff\xfe", b"\xef\xbb\xbf", "<a>\ud800</a>".encode("utf-8", "surrogatepass")],
)
def test_what_is_no_xml_is_refused(octets: bytes) -> None:
    with pytest.raises(TemplateRefused):
        read("word/document.xml", octets)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["$", "{", "}", "a", "b", "${a}", " ", "&amp;", "</w:t></w:r><w:r><w:t>"]), max_size=12)
)
def test_however_a_text_is_cut_its_names_are_filled_and_the_rest_stays(pieces: list[str]) -> None:
    """Compared with the text as a whole: cutting changes nothing."""
    body = t("".join(pieces))
    whole = "".join("" if piece.startswith("</") else piece for piece in pieces)
    names = re.findall(r"\$\{([^{}]*)\}", whole.replace("&amp;", "&"))
    if any(name.strip() not in VALUES for name in names):
        with pytest.raises(TemplateRefused):
            filled(story(body), VALUES)
        return
    expected = re.sub(r"\$\{ *([ab]) *\}", lambda match: VALUES[match[1]], whole)
    assert re.sub(r"<[^>]*>", "", text(body)) == expected


def test_fields_and_controls_are_within_one_another_only_so_far() -> None:
    """A bound on work that grows with the nesting."""
    control = "<w:sdt><w:sdtPr><w:tag w:val='a'/></w:sdtPr><w:sdtContent>"
    simple = '<w:fldSimple w:instr="MERGEFIELD a">'
    begin = '<w:r><w:fldChar w:fldCharType="begin"/></w:r>'
    for opening, closing in ((control, "</w:sdtContent></w:sdt>"), (simple, "</w:fldSimple>"), (begin, "")):
        assert "<w:t" in text(opening * 3 + t("x") + closing * 3)
        with pytest.raises(TemplateRefused, match="within one another"):
            text(opening * 20 + t("x") + closing * 20)


def test_a_name_cut_between_two_others_is_filled_once() -> None:
    made = text(t("${a}${</w:t></w:r><w:r><w:t>b</w:t></w:r><w:r><w:t>}${a}$</w:t></w:r><w:r><w:t>{b}"))
    assert re.sub(r"<[^>]*>", "", made) == "ABAB"
