"""Office documents made by hand, part by part, so that a test knows every octet of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_EXTERNAL = ' TargetMode="External"'
_HIDDEN = ' state="hidden"'
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

Parts = dict[str, bytes]


def package(parts: Mapping[str, bytes | str], stored: str = "") -> bytes:
    """A zip file; the part named `stored` is not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data, zipfile.ZIP_STORED if name == stored else zipfile.ZIP_DEFLATED)
    return out.getvalue()


def types(overrides: Mapping[str, str]) -> str:
    """`[Content_Types].xml`."""
    said = "".join(f'<Override PartName="{part}" ContentType="{kind}"/>' for part, kind in overrides.items())
    return (
        f'{_XML}<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package'
        f'.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Default Extension="png" ContentType="image/png"/>'
        f'<Default Extension="bin" ContentType="application/vnd.openxmlformats-officedocument.oleObject"/>'
        f"{said}</Types>"
    )


def relations(items: Sequence[tuple[str, str, str, bool]]) -> str:
    """A `.rels` part of (id, type's last word, target, external)."""
    said = "".join(
        f'<Relationship Id="{each}" Type="{_OFFICE}/{kind}" Target="{target}"{_EXTERNAL if external else ""}/>'
        for each, kind, target, external in items
    )
    return f'{_XML}<Relationships xmlns="{_RELATIONS}">{said}</Relationships>'


def paragraph(text: str, properties: str = "") -> str:
    """One of a Word document."""
    return f"<w:p>{properties}<w:r><w:t xml:space='preserve'>{text}</w:t></w:r></w:p>"


PAGE_BREAK = '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'


def docx_parts(body: str, links: Sequence[tuple[str, str, str, bool]] = ()) -> dict[str, bytes | str]:
    """The parts of a Word document."""
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    return {
        "[Content_Types].xml": types({"/word/document.xml": f"{word}.document.main+xml"}),
        "_rels/.rels": relations([("rId1", "officeDocument", "word/document.xml", False)]),
        "word/document.xml": f"{_XML}<w:document {_W} {_R}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": relations(links),
    }


def docx(*texts: str) -> bytes:
    """A Word document with these paragraphs; "\\f" is a page break."""
    return package(docx_parts("".join(PAGE_BREAK if text == "\f" else paragraph(text) for text in texts)))


def column(index: int) -> str:
    """A column's letters, from 0."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def sheet(rows: Sequence[Sequence[object]], extra: str = "", columns: str = "") -> str:
    """One worksheet's part."""
    said = []
    for number, row in enumerate(rows, 1):
        cells = "".join(
            f'<c r="{column(at)}{number}"><v>{cell}</v></c>'
            if isinstance(cell, int | float)
            else f'<c r="{column(at)}{number}" t="inlineStr"><is><t>{cell}</t></is></c>'
            for at, cell in enumerate(row)
        )
        said.append(f'<row r="{number}">{cells}</row>')
    return f"{_XML}<worksheet {_S} {_R}>{columns}<sheetData>{''.join(said)}</sheetData>{extra}</worksheet>"


def xlsx_parts(sheets: Mapping[str, str], hidden: Sequence[str] = ()) -> dict[str, bytes | str]:
    """The parts of an Excel workbook of named worksheets."""
    excel = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    names = list(sheets)
    listed = "".join(
        f'<sheet name="{name}" sheetId="{at}" r:id="rId{at}"{_HIDDEN if name in hidden else ""}/>'
        for at, name in enumerate(names, 1)
    )
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": types(
            {"/xl/workbook.xml": f"{excel}.sheet.main+xml"}
            | {f"/xl/worksheets/sheet{at}.xml": f"{excel}.worksheet+xml" for at in range(1, len(names) + 1)}
        ),
        "_rels/.rels": relations([("rId1", "officeDocument", "xl/workbook.xml", False)]),
        "xl/workbook.xml": f"{_XML}<workbook {_S} {_R}><sheets>{listed}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(
            [(f"rId{at}", "worksheet", f"worksheets/sheet{at}.xml", False) for at in range(1, len(names) + 1)]
        ),
    }
    for at, name in enumerate(names, 1):
        parts[f"xl/worksheets/sheet{at}.xml"] = sheets[name]
    return parts


def xlsx(rows: Sequence[Sequence[object]], columns: str = "") -> bytes:
    """An Excel workbook of one sheet."""
    return package(xlsx_parts({"Table": sheet(rows, columns=columns)}))


_P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_TREE = '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'  # of every slide
_MAP = "".join(
    f'{name}="{value}" '
    for name, value in (
        *(("bg1", "lt1"), ("tx1", "dk1"), ("bg2", "lt2"), ("tx2", "dk2"), ("hlink", "hlink"), ("folHlink", "folHlink")),
        *((f"accent{n}", f"accent{n}") for n in range(1, 7)),
    )
)


def pptx(*texts: str) -> bytes:
    """A PowerPoint presentation: a slide of 10 by 7.5 inches for each text."""
    power = "application/vnd.openxmlformats-officedocument.presentationml"
    numbers = range(1, len(texts) + 1)
    parts: dict[str, bytes | str] = {
        "[Content_Types].xml": types(
            {
                "/ppt/presentation.xml": f"{power}.presentation.main+xml",
                "/ppt/slideMasters/slideMaster1.xml": f"{power}.slideMaster+xml",
                "/ppt/slideLayouts/slideLayout1.xml": f"{power}.slideLayout+xml",
            }
            | {f"/ppt/slides/slide{n}.xml": f"{power}.slide+xml" for n in numbers}
        ),
        "_rels/.rels": relations([("rId1", "officeDocument", "ppt/presentation.xml", False)]),
        "ppt/presentation.xml": (
            f'{_XML}<p:presentation {_P} {_A} {_R}><p:sldMasterIdLst><p:sldMasterId id="2147483648" r:id="rId1"/>'
            f"</p:sldMasterIdLst><p:sldIdLst>"
            + "".join(f'<p:sldId id="{255 + n}" r:id="rId{n + 1}"/>' for n in numbers)
            + '</p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/><p:notesSz cx="6858000" cy="9144000"/>'
            "</p:presentation>"
        ),
        "ppt/_rels/presentation.xml.rels": relations(
            [("rId1", "slideMaster", "slideMasters/slideMaster1.xml", False)]
            + [(f"rId{n + 1}", "slide", f"slides/slide{n}.xml", False) for n in numbers]
        ),
        "ppt/slideMasters/slideMaster1.xml": (
            f"{_XML}<p:sldMaster {_P} {_A} {_R}><p:cSld><p:spTree>{_TREE}</p:spTree></p:cSld><p:clrMap {_MAP}/>"
            '<p:sldLayoutIdLst><p:sldLayoutId id="2147483649" r:id="rId1"/></p:sldLayoutIdLst></p:sldMaster>'
        ),
        "ppt/slideMasters/_rels/slideMaster1.xml.rels": relations(
            [("rId1", "slideLayout", "../slideLayouts/slideLayout1.xml", False)]
        ),
        "ppt/slideLayouts/slideLayout1.xml": (
            f"{_XML}<p:sldLayout {_P} {_A} {_R}><p:cSld><p:spTree>{_TREE}</p:spTree></p:cSld></p:sldLayout>"
        ),
        "ppt/slideLayouts/_rels/slideLayout1.xml.rels": relations(
            [("rId1", "slideMaster", "../slideMasters/slideMaster1.xml", False)]
        ),
    }
    for n, text in enumerate(texts, 1):
        parts[f"ppt/slides/slide{n}.xml"] = (
            f"{_XML}<p:sld {_P} {_A} {_R}><p:cSld><p:spTree>{_TREE}<p:sp><p:nvSpPr>"
            f'<p:cNvPr id="2" name="Text"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr><p:spPr><a:xfrm>'
            f'<a:off x="500000" y="500000"/><a:ext cx="8000000" cy="1000000"/></a:xfrm>'
            '<a:prstGeom prst="rect"/></p:spPr>'
            f'<p:txBody><a:bodyPr/><a:p><a:r><a:rPr sz="3200"/><a:t>{text}</a:t></a:r></a:p>'
            "</p:txBody></p:sp></p:spTree>"
            f"</p:cSld></p:sld>"
        )
        parts[f"ppt/slides/_rels/slide{n}.xml.rels"] = relations(
            [("rId1", "slideLayout", "../slideLayouts/slideLayout1.xml", False)]
        )
    return package(parts)


_ODF = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
    'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
    'xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0" '
    'xmlns:script="urn:oasis:names:tc:opendocument:xmlns:script:1.0" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.3"'
)


def odf_parts(
    kind: str, body: str, extra: Mapping[str, str] | None = None, prologue: str = ""
) -> dict[str, bytes | str]:
    """The parts of an OpenDocument file.

    Args:
        kind: text, spreadsheet, presentation or graphics.
        body: What stands in office:body.
        extra: More parts: name and media type; their octets are the caller's.
        prologue: What stands before the root of content.xml.
    """
    mime = f"application/vnd.oasis.opendocument.{kind}"
    listed = {"/": mime, "content.xml": "text/xml"} | dict(extra or {})
    entries = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{said}"/>'
        for path, said in listed.items()
    )
    return {
        "mimetype": mime,
        "content.xml": f"{_XML}{prologue}<office:document-content {_ODF}>{body}</office:document-content>",
        "META-INF/manifest.xml": (
            f'{_XML}<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
            f"{entries}</manifest:manifest>"
        ),
    }


def odt(*texts: str, more: str = "") -> bytes:
    """An OpenDocument text."""
    said = "".join(f"<text:p>{text}</text:p>" for text in texts)
    body = f"<office:body><office:text>{said}{more}</office:text></office:body>"
    return package(odf_parts("text", body), stored="mimetype")


def ods(rows: Sequence[Sequence[object]]) -> bytes:
    """An OpenDocument spreadsheet."""
    said = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    body = (
        f'<office:body><office:spreadsheet><table:table table:name="Table">{said}</table:table>'
        "</office:spreadsheet></office:body>"
    )
    return package(odf_parts("spreadsheet", body), stored="mimetype")


def odp(*texts: str) -> bytes:
    """An OpenDocument presentation."""
    said = "".join(
        f'<draw:page draw:name="p{n}"><draw:frame svg:x="2cm" svg:y="2cm" svg:width="18cm" svg:height="3cm">'
        f"<draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame></draw:page>"
        for n, text in enumerate(texts)
    )
    body = f"<office:body><office:presentation>{said}</office:presentation></office:body>"
    return package(odf_parts("presentation", body), stored="mimetype")


def rtf(*texts: str) -> bytes:
    """An RTF text; "\\f" is a page break."""
    said = "".join("\\page " if text == "\f" else f"{text}\\par\n" for text in texts)
    return f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Arial;}}}}\\f0\\fs24 {said}}}".encode("ascii")
