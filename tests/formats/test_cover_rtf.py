"""RTF templates: made by hand, made by LibreOffice, and what strangers may send instead of one."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faxgw.formats import cover_rtf, cover_values
from faxgw.formats.cover_template import TemplateRefused
from tests.formats.word_files import WRITER, Office

VALUES = {
    "ToName": "Zoë {Lee} \\ €",
    "comment": "one\ntwo\tthree",
    "subject": "Offer",
    "smile": "\U0001f600",
    "empty": "",
}
ZOE = "{\\uc1 Zo\\u235? \\{Lee\\} \\\\ \\u8364?}"


def said(body: str) -> str:
    """The filled body."""
    made = cover_rtf.parse(b"{\\rtf1 " + body.encode("latin-1") + b"}").fill(VALUES).decode("latin-1")
    assert made.startswith("{\\rtf1 ") and made.endswith("}")
    return made[7:-1]


@pytest.mark.parametrize(
    "body, filled",
    [
        ("To $\\{ToName\\}.\\par x", f"To {ZOE}.\\par x"),
        ("$\\{comment\\}", "{\\uc1 one\\line two\\tab three}"),
        ("$\\{smile\\}", "{\\uc1 \\u-10179?\\u-8704?}"),
        ("a$\\{empty\\}b", "ab"),
        ("{\\b $\\{To}{\\i Name}\\} x", f"{{\\b {ZOE}}}{{\\i }} x"),
        ("$\r\n\\{To\nName\\}", f"{ZOE}\r\n\n"),
        ("$\\{To\\par Name\\}", "$\\{To\\par Name\\}"),
        ("$\\'7bToName\\'7d", ZOE),
        ("\\u36?\\u123?ToName\\u125?", ZOE),
        ("{\\uc2 \\u36 $$\\{ToName\\}}", f"{{\\uc2 {ZOE}}}"),
        ("\\u36\n?\\{ToName\\}", ZOE),
        ("$\\{Matter!\\ldblquote none\\rdblquote\\}", "{\\uc1 none}"),
        ("\\b$\\{ToName\\i\\}x", f"\\b{ZOE}\\i x"),
        ("\\f1\\fs20 caf\\'e9 \\{x\\}", "\\f1\\fs20 caf\\'e9 \\{x\\}"),
    ],
)
def test_a_typed_name_is_filled_and_the_rest_is_kept_to_the_octet(body: str, filled: str) -> None:
    """RTF 1.9.1: a brace of text is escaped; `\\u` has a character behind it for readers that do not know it."""
    assert said(body) == filled


@pytest.mark.parametrize(
    "body, filled",
    [
        ("{\\field{\\*\\fldinst MERGEFIELD ToName }{\\fldrslt x}}", f"{{{{{ZOE}}}}}"),
        (
            "{\\field\\flddirty{\\*\\fldinst {\\b MERGE}{FIELD ToName}}{\\fldrslt {\\i x}{y}}}",
            f"{{{{{{\\i {ZOE}}}{{}}}}}}",
        ),
        ("{\\field{\\*\\fldinst DOCVARIABLE  subject \\\\* Upper}{\\fldrslt }}", "{{\\uc1 OFFER}{}}"),
        ("{\\field{\\*\\fldinst MERGEFIELD subject}}", "{{\\uc1 Offer}}"),
        ("{\\field{\\*\\fldinst  PAGE }{\\fldrslt 1}}", "{\\field{\\*\\fldinst  PAGE }{\\fldrslt 1}}"),
        (
            '{\\field{\\*\\fldinst HYPERLINK "a"}{\\fldrslt $\\{subject\\}}}',
            '{\\field{\\*\\fldinst HYPERLINK "a"}{\\fldrslt {\\uc1 Offer}}}',
        ),
    ],
)
def test_a_field_becomes_the_text_it_showed(body: str, filled: str) -> None:
    assert said(body) == filled


@pytest.mark.parametrize(
    "body",
    [
        "{\\fonttbl{\\f0 $\\{ToName\\};}}",
        "{\\info{\\title $\\{ToName\\}}}",
        "{\\*\\generator $\\{ToName\\};}",
        "{\\pict\\pngblip 24\\{x\\}}",
        "{\\*\\shppict{\\pict\\wmetafile8\\bin12 $\\{ToName\\}}{}}}",
    ],
)
def test_what_is_not_printed_stays(body: str) -> None:
    assert said(body) == body


def test_text_boxes_headers_and_cells_are_filled() -> None:
    box = "{\\shp{\\*\\shpinst{\\sp{\\sn a}{\\sv $\\{x\\}}}{\\shptxt $\\{subject\\}}}}"
    filled = said("{\\header $\\{subject\\}\\par}\\trowd $\\{sub\\cell ject\\}\\cell $\\{subject\\}\\cell\\row" + box)
    assert filled.count("{\\uc1 Offer}") == 3
    assert "$\\{x\\}" in filled and "$\\{sub\\cell ject\\}" in filled


def test_every_name_that_is_needed_is_known() -> None:
    body = b"{\\rtf1 $\\{ToName\\} $\\{Matter!\\} {\\field{\\*\\fldinst MERGEFIELD Case}{\\fldrslt x}}}"
    assert cover_rtf.parse(body).required() == {"ToName", "Case"}
    with pytest.raises(TemplateRefused) as refused:
        cover_rtf.parse(body).fill(VALUES)
    assert "Case" in refused.value.public


def test_names_are_read_in_the_code_page_of_the_document() -> None:
    body = '{\\rtf1\\ansicpg1251 $\\{a!"\\\'e6"\\}}'
    assert cover_rtf.parse(body.encode()).fill({}).endswith(b"{\\uc1 \\u1078?}}")


@pytest.mark.parametrize(
    "data, why",
    [
        (b"junk", "no RTF document"),
        (b"{\\rtf1 x", "cut off"),
        (b"{\\rtf1 x}}", "damaged"),
        (b"{\\rtf1 x\\", "damaged"),
        (b"{\\rtf1 " + b"{" * 200 + b"}" * 200 + b"}", "within one another"),
        (b"{\\rtf1 " + b"x" * 400_000 + b"}", "signs and words"),
        (b"{\\rtf1 " + b" " * 2_000_000, "octets"),
        (b"{\\rtf1 " + b"$\\{a\\} " * 1_001 + b"}", "fields"),
        (b"{\\rtf1 $\\{a b\\}}", "${a b}"),
        (b"{\\rtf1 <#list a as b>}", "<#list"),
        (
            b"{\\rtf1 {\\field{\\*\\fldinst IF {\\field{\\*\\fldinst MERGEFIELD a}{\\fldrslt x}} = 1}{\\fldrslt x}}}",
            "IF",
        ),
    ],
)
def test_what_is_no_template_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        cover_rtf.parse(data)
    assert why in refused.value.public


def test_a_value_cannot_make_a_page_endless() -> None:
    template = cover_rtf.parse(b"{\\rtf1 " + b"$\\{comment\\} " * 999 + b"}")
    with pytest.raises(TemplateRefused):
        template.fill({"comment": "€" * 8_000})


def test_a_template_made_with_a_word_processor_is_filled_for_each_recipient(tmp_path: Path) -> None:
    office, out = Office(tmp_path), io.BytesIO()
    Image.radial_gradient("L").save(out, "PNG")
    source = WRITER.replace("@PICTURE@", base64.b64encode(out.getvalue()).decode()).encode()
    template = cover_rtf.parse(office.convert(source, "fodt", "rtf"))
    assert template.required() == {"ToName", "ToCompanyName", "subject", "recipient_number", "comment"}
    filled = template.fill(cover_values.values(cover_values.sample("fr")))
    text = office.text(filled, "rtf")
    for line in (
        "Header for Nordwind GmbH",
        "To: Mme Hélène Lefèvre!",
        "Subject: Offre n° 2026-1178",
        "Typed: Nordwind GmbH and +33 1 99 00 12 34.",
        "Matter none",
        "Cordialement",
        "The end",
    ):
        assert line in [each.strip() for each in text.splitlines()], text
    assert "$" not in text
    assert office.pictures(filled, "rtf") == 1


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "{",
                    "}",
                    "{\\field",
                    "{\\*\\fldinst",
                    "{\\fldrslt",
                    "MERGEFIELD a",
                    "\\par",
                    "\\u8364?",
                    "\\uc0 ",
                    "\\uc3 ",
                ),
                *("\\bin3 ", "\\'e9", "$\\{a\\}", "$\\{", "a\\}", "{\\pict", "\\*", "\\", "\n", " ", "x", "\\~"),
            ]
        ),
        max_size=14,
    )
)
def test_whatever_comes_is_filled_or_refused(pieces: list[str]) -> None:
    """And what was filled is RTF again: its groups are closed."""
    try:
        filled = cover_rtf.parse(b"{\\rtf1 " + "".join(pieces).encode("latin-1") + b"}").fill({"a": "v\u20ac{}"})
    except TemplateRefused:
        return
    cover_rtf.parse(filled)


def test_a_template_made_to_be_slow_is_not() -> None:
    """Bounded by tokens and nesting, not by time: the work is in step with the size."""
    with pytest.raises(TemplateRefused, match="within one another"):
        cover_rtf.parse(b"{\\rtf1 " + b"{\\field{\\fldrslt " * 40 + b"x" * 1000 + b"}}" * 40 + b"}")
