"""Word templates: made by hand part by part, made by LibreOffice, and what strangers may send instead of one."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from faxgw.formats import cover_docx, cover_values
from faxgw.formats.cover_template import TemplateRefused
from tests.formats.word_files import WRITER, Office, document, docx, part

VALUES = {"ToName": "Ann & Bob <Lee>", "comment": "one\ntwo\tthree", "empty": "", "subject": "Offer"}


def run(text: str, properties: str = "") -> str:
    return f"<w:r>{properties}<w:t>{text}</w:t></w:r>"


def p(*runs: str) -> str:
    return f"<w:p>{''.join(runs)}</w:p>"


def mark(kind: str) -> str:
    return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'


def code(text: str) -> str:
    return f'<w:r><w:instrText xml:space="preserve">{text}</w:instrText></w:r>'


def said(body: str, **values: str) -> str:
    """The filled body, without what surrounds it."""
    xml = part(cover_docx.parse(docx(body)).fill({**VALUES, **values}))
    return xml[xml.index("<w:body>") + 8 : xml.index("<w:sectPr/>")]


T = '<w:t xml:space="preserve">'
ANN = "Ann &amp; Bob &lt;Lee&gt;"


def test_a_typed_name_is_filled_and_the_rest_is_kept_to_the_octet() -> None:
    assert said(p(run("Dear ${ToName}, &#xe9;")) + p(run("a &#xe9;"))) == p(f"<w:r>{T}Dear {ANN}, é</w:t></w:r>") + p(
        run("a &#xe9;")
    )


def test_a_name_that_word_cut_into_runs_is_filled_where_it_begins() -> None:
    bold = "<w:rPr><w:b/></w:rPr>"
    body = p(run("x $"), '<w:proofErr w:type="spellStart"/>', run("{To", bold), run("Name"), run("} y ${subject}"))
    assert said(body) == p(
        f"<w:r>{T}x {ANN}</w:t></w:r>",
        '<w:proofErr w:type="spellStart"/>',
        f"<w:r>{bold}{T}</w:t></w:r>",
        f"<w:r>{T}</w:t></w:r>",
        f"<w:r>{T} y Offer</w:t></w:r>",
    )


def test_paragraphs_are_not_joined() -> None:
    body = p(run("${To")) + p(run("Name}"))
    assert said(body) == body


def test_lines_and_tabs_become_those_of_the_document() -> None:
    assert said(p(run("${comment}"))) == p(f"<w:r>{T}one</w:t><w:br/>{T}two</w:t><w:tab/>{T}three</w:t></w:r>")


def test_characters_that_xml_cannot_hold_are_left_out() -> None:
    assert said(p(run("${ToName}")), ToName="a\x00\x0bb\ufffe\U0001f600") == p(f"<w:r>{T}ab\U0001f600</w:t></w:r>")


def test_a_complex_field_becomes_the_text_it_showed() -> None:
    """ISO/IEC 29500-1 section 17.16.18; the instruction may be cut into runs, too."""
    field = mark("begin") + code(" MERGE") + code("FIELD ToName ") + mark("separate")
    field += run("«To", "<w:rPr><w:b/></w:rPr>") + run("Name»") + mark("end")
    assert said(p(run("To: "), field)) == p(
        run("To: "),
        "<w:r></w:r>" * 4,
        f"<w:r><w:rPr><w:b/></w:rPr>{T}{ANN}</w:t></w:r>",
        "<w:r></w:r>",
        "<w:r></w:r>",
    )


def test_a_field_without_a_result_is_filled_all_the_same() -> None:
    assert said(p(mark("begin"), code("MERGEFIELD ToName"), mark("end"))) == p(
        f"<w:r>{T}{ANN}</w:t></w:r>", "<w:r></w:r>", "<w:r></w:r>"
    )
    assert said(p('<w:fldSimple w:instr=" DOCVARIABLE subject "/>')) == p(f"<w:r>{T}Offer</w:t></w:r>")


def test_a_simple_field_is_filled() -> None:
    assert said(p(f'<w:fldSimple w:instr=" MERGEFIELD ToName \\* Upper ">{run("x")}{run("y")}</w:fldSimple>')) == p(
        f"<w:r>{T}ANN &amp; BOB &lt;LEE&gt;</w:t></w:r>", "<w:r></w:r>"
    )


def test_fields_that_are_not_ours_stay() -> None:
    body = p(mark("begin"), code(" PAGE "), mark("separate"), run("1"), mark("end"))
    assert said(body) == body


def test_text_within_a_field_that_stays_is_filled() -> None:
    """A hyperlink that shows a name."""
    link = mark("begin") + code(' HYPERLINK "http://example.org" ') + mark("separate")
    assert said(p(link, run("${subject}"), mark("end"))) == p(link, f"<w:r>{T}Offer</w:t></w:r>", mark("end"))


def control(inner: str, *properties: str) -> str:
    return f"<w:sdt><w:sdtPr>{''.join(properties)}</w:sdtPr><w:sdtContent>{inner}</w:sdtContent></w:sdt>"


TAG, ALIAS = '<w:tag w:val="ToName"/>', '<w:alias w:val="subject"/>'


def test_a_content_control_is_filled_by_its_tag_or_else_its_title() -> None:
    """ISO/IEC 29500-1 section 17.5.2; what it was bound to does not outrank the value."""
    bound = "<w:dataBinding w:xpath='/x'/>"
    assert said(p(control(run("click") + run("me"), ALIAS, TAG, bound))) == p(
        f"<w:r>{T}{ANN}</w:t></w:r>", "<w:r></w:r>"
    )
    assert said(control(p(run("click me")), ALIAS)) == p(f"<w:r>{T}Offer</w:t></w:r>")


def test_the_look_of_a_prompt_goes_with_it() -> None:
    grey = '<w:rPr><w:rStyle w:val="Platzhaltertext"/></w:rPr>'
    assert said(p(control(run("click", grey), TAG, "<w:showingPlcHdr/>"))) == p(
        f"<w:r><w:rPr></w:rPr>{T}{ANN}</w:t></w:r>"
    )


def test_an_empty_content_control_is_filled() -> None:
    assert said(p(control("", TAG))) == p(f"<w:r>{T}{ANN}</w:t></w:r>")
    assert said(control(p(), TAG)) == p(f"<w:r>{T}{ANN}</w:t></w:r>")


@pytest.mark.parametrize("inside", ["<w:picture/>", "<w:docPartObj/>", "<w:group/>"])
def test_content_controls_without_text_of_ours_stay(inside: str) -> None:
    body = control(p(run("x")), TAG, inside)
    assert said(body) == body


def test_a_content_control_without_a_name_stays() -> None:
    body = control(p(run("x")), "<w:id w:val='1'/>")
    assert said(body) == body


def test_a_field_within_a_content_control_gives_way_to_it() -> None:
    field = mark("begin") + code("MERGEFIELD subject") + mark("separate") + run("x") + mark("end")
    assert said(p(control(field, TAG))).count("<w:t") == 1
    assert ANN in said(p(control(field, TAG)))


def test_headers_footers_and_text_boxes_are_filled() -> None:
    box = f"<w:pict><w:txbxContent>{p(run('${subject}'))}</w:txbxContent></w:pict>"
    header = document(p(run("H ${ToName}")), "hdr")
    data = docx(
        p(f"<w:r>{box}</w:r>", run("Name}"), run(" ${To")), {"word/header1.xml": header, "word/styles.xml": header}
    )
    filled = cover_docx.parse(data).fill(VALUES)
    assert f"H {ANN}" in part(filled, "word/header1.xml")
    assert "Offer" in part(filled) and run("Name}") in part(filled)


def test_every_name_that_is_needed_is_known() -> None:
    body = p(run("${ToName} ${Matter!}"), '<w:fldSimple w:instr="MERGEFIELD Case"/>') + control(p(), TAG)
    assert cover_docx.parse(docx(body)).required() == {"ToName", "Case"}
    with pytest.raises(TemplateRefused) as refused:
        cover_docx.parse(docx(body)).fill(VALUES)
    assert "Case" in refused.value.public


def test_a_default_namespace_and_utf_16_are_read() -> None:
    plain = document(p(run("${ToName}"))).replace("w:", "").replace("xmlns:w", "xmlns")
    plain = plain.replace('xmlns="http', 'xmlns="http', 1)
    data = docx("", document_xml=plain.replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16"))
    xml = part(cover_docx.parse(data).fill(VALUES))
    assert ANN in xml and "UTF-16" not in xml


def test_parts_that_are_no_text_pass_through() -> None:
    data = docx(p(run("x")), {"word/media/logo.png": b"\x89PNG logo", "customXml/item1.xml": "<a>${ToName}</a>"})
    filled = cover_docx.parse(data).fill(VALUES)
    with zipfile.ZipFile(io.BytesIO(filled)) as archive, zipfile.ZipFile(io.BytesIO(data)) as was:
        assert archive.namelist() == was.namelist()
        assert archive.read("word/media/logo.png") == b"\x89PNG logo"
        assert archive.read("customXml/item1.xml") == b"<a>${ToName}</a>"


# ------------------------------------------------------------------------------------------------------ bad input


def bomb() -> bytes:
    return docx("", {"word/media/a.bin": b"\0" * (cover_docx.MAX_UNPACKED + 1)})


@pytest.mark.parametrize(
    "data, why",
    [
        (b"junk", "damaged"),
        (b"PK\x03\x04" + b"\0" * 50, "damaged"),
        (docx(p(run("x")))[:-30], "damaged"),
        (docx("", {f"x{n}": b"" for n in range(cover_docx.MAX_PARTS)}), "parts"),
        (docx("", document_xml="<w:document"), "damaged"),
        (docx("", document_xml=b"\xff\xfe\x00"), "damaged"),
        (docx("", document_xml=b"\x80abc"), "damaged"),
        (docx("", document_xml="<a/>"), "no Word document"),
        (docx("", document_xml='<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>'), "document type"),
        (docx("<w:p>" * 300 + "</w:p>" * 300), "within one another"),
        (docx("<w:p/>" * 160_000), "tags and texts"),
        (docx(p(run("x" * 2_100_000))), "octets"),
        (b"\0" * 2_000_001, "octets"),
        (docx(p(run("${a}")) * 1_001), "fields"),
        (docx(p(run("${a b}"))), "${a b}"),
        (docx(p(run("<#if x>".replace("<", "&lt;")))), "<#if"),
        (docx(p('<w:fldSimple w:instr="IF 1 = 1 x"/>')), "IF"),
    ],
)
def test_what_is_no_template_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(TemplateRefused) as refused:
        cover_docx.parse(data)
    assert why in refused.value.public


def test_a_bomb_is_not_unpacked() -> None:
    """reliability P-06: the directory's word is not taken for sizes."""
    honest = bomb()
    size = (cover_docx.MAX_UNPACKED + 1).to_bytes(4, "little")
    for data in (honest, honest.replace(size, (10).to_bytes(4, "little"))):
        with pytest.raises(TemplateRefused):
            cover_docx.parse(data)


def test_a_value_cannot_make_a_page_endless() -> None:
    template = cover_docx.parse(docx(p(run("${comment}")) * 999))
    with pytest.raises(TemplateRefused):
        template.fill({**VALUES, "comment": "\n" * 8_000})


# ----------------------------------------------------------------------------------------- with a real word processor


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office(tmp_path_factory.mktemp("office"))


def logo() -> str:
    out = io.BytesIO()
    Image.radial_gradient("L").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_template_made_with_a_word_processor_is_filled_for_each_recipient(office: Office, tmp_path: Path) -> None:
    template = cover_docx.parse(office.convert(WRITER.replace("@PICTURE@", logo()).encode(), "fodt", "docx"))
    assert template.required() == {"ToName", "ToCompanyName", "subject", "recipient_number", "comment"}
    filled = template.fill(cover_values.values(cover_values.sample("de")))
    text = office.text(filled, "docx")
    for line in (
        "Header for Nordwind GmbH",
        "To: Frau Jördis Müller!",
        "Subject: Angebot 2026-1178",
        "Typed: Nordwind GmbH and +33 1 99 00 12 34.",
        "Matter none",
        "Mit freundlichen Grüßen",
        "The end",
    ):
        assert line in [each.strip() for each in text.splitlines()], text
    assert "$" not in text and "«" not in text
    assert office.pictures(filled, "docx") == 1


BOX = """<w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">
<mc:Choice xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" Requires="wps">
<w:drawing>
<wp:anchor xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" distT="0" distB="0"
 distL="0" distR="0" simplePos="0" relativeHeight="2" behindDoc="0" locked="0" layoutInCell="1" allowOverlap="1">
<wp:simplePos x="0" y="0"/><wp:positionH relativeFrom="column"><wp:posOffset>2500000</wp:posOffset></wp:positionH>
<wp:positionV relativeFrom="paragraph"><wp:posOffset>900000</wp:posOffset></wp:positionV>
<wp:extent cx="2500000" cy="700000"/><wp:wrapNone/><wp:docPr id="7" name="Box"/>
<a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">
<a:graphicData uri="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><wps:wsp><wps:cNvSpPr txBox="1"/>
<wps:spPr><a:xfrm><a:off x="0" y="0"/><a:ext cx="2500000" cy="700000"/></a:xfrm><a:prstGeom prst="rect"/></wps:spPr>
<wps:txbx><w:txbxContent>@SAID@</w:txbxContent></wps:txbx><wps:bodyPr/></wps:wsp></a:graphicData></a:graphic></wp:anchor>
</w:drawing></mc:Choice><mc:Fallback><w:pict><v:shape xmlns:v="urn:schemas-microsoft-com:vml"
 style="width:200pt;height:50pt"><v:textbox><w:txbxContent>@SAID@</w:txbxContent></v:textbox></v:shape></w:pict>
</mc:Fallback></mc:AlternateContent></w:r>"""
"""A text box as Word writes it: in two forms."""


def test_what_word_writes_is_filled_and_shown(office: Office) -> None:
    """Content controls that are bound to other parts, a prompt in grey, a text box in both its forms."""
    cell = f"<w:tc>{p(run('cell'))}</w:tc>"
    bound = "<w:dataBinding w:xpath='/x' w:storeItemID='{0}'/><w:text/>"
    body = (
        p(run("Box: "), BOX.replace("@SAID@", p(run("In the box: ${sub"), run("ject}"))))
        + p(
            run("Mr:"),
            control(run("Click here", '<w:rPr><w:rStyle w:val="X"/></w:rPr>'), TAG, "<w:showingPlcHdr/>", bound),
        )
        + control(p(run("Name of the matter")), '<w:alias w:val="comment"/>')
        + f"<w:tbl><w:tr>{control(cell, ALIAS)}<w:tc>{p(run('next'))}</w:tc></w:tr></w:tbl>"
        + p(run("The end"))
    )
    filled = cover_docx.parse(docx(body)).fill(VALUES)
    assert "sdt" not in part(filled)
    text = office.text(filled, "docx")
    for said_ in ("In the box: Offer", "Mr:Ann & Bob <Lee>", "one", "two", "Offer", "next", "The end"):
        assert said_ in text, text
    for gone in ("Click", "Name of", "cell", "$"):
        assert gone not in text, text
