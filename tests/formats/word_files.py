"""Word documents and office conversions for the tests of templates."""

from __future__ import annotations

import io
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pypdfium2

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


def document(body: str, root: str = "document") -> str:
    """The XML of a part with text."""
    inner = f"<w:body>{body}<w:sectPr/></w:body>" if root == "document" else body
    return f'{XML}<w:{root} xmlns:w="{W}" xmlns:r="{_OFFICE}">{inner}</w:{root}>'


def docx(body: str, more: Mapping[str, str | bytes] | None = None, document_xml: str | bytes = b"") -> bytes:
    """A package around a body, with further parts."""
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": f'{XML}<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType="application/vnd.'
        f'openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        f'<Default Extension="png" ContentType="image/png"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_WORD}.document.main+xml"/></Types>',
        "_rels/.rels": f'{XML}<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": document_xml or document(body),
        **(more or {}),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def part(data: bytes, name: str = "word/document.xml") -> str:
    """One part's XML."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name).decode()


class Office:
    """LibreOffice of this machine, with a profile of its own.

    Args:
        folder: For its profile and its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def convert(self, source: bytes, was: str, to: str) -> bytes:
        """A document in another format; the names are extensions."""
        file = self._folder / f"document.{was}"
        file.write_bytes(source)
        profile = f"-env:UserInstallation=file://{self._folder}/profile"
        out = self._folder / "out"
        command = ["soffice", profile, "--headless", "--convert-to", to, "--outdir", str(out), str(file)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return (out / f"document.{to}").read_bytes()

    def text(self, source: bytes, was: str) -> str:
        """What a document says once it is pages, line by line."""
        with pypdfium2.PdfDocument(self.convert(source, was, "pdf")) as pdf:
            return "\n".join(page.get_textpage().get_text_range() for page in pdf)

    def pictures(self, source: bytes, was: str) -> int:
        """How many pictures its pages have."""
        with pypdfium2.PdfDocument(self.convert(source, was, "pdf")) as pdf:
            wanted = [pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]
            return sum(len(list(page.get_objects(filter=wanted))) for page in pdf)


WRITER = """<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:xlink="http://www.w3.org/1999/xlink"
 xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
 xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
 xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0"
 office:version="1.2" office:mimetype="application/vnd.oasis.opendocument.text">
<office:automatic-styles><style:style style:name="B" style:family="text">
<style:text-properties fo:font-weight="bold"/></style:style>
<style:page-layout style:name="pm"><style:page-layout-properties fo:page-width="21cm" fo:page-height="29.7cm"
 fo:margin-top="2cm" fo:margin-bottom="2cm" fo:margin-left="2cm" fo:margin-right="2cm"/>
<style:header-style><style:header-footer-properties fo:min-height="1cm"/></style:header-style></style:page-layout>
</office:automatic-styles>
<office:master-styles><style:master-page style:name="Standard" style:page-layout-name="pm">
<style:header><text:p>Header for ${ToCompanyName}</text:p></style:header></style:master-page></office:master-styles>
<office:body><office:text>
<text:user-field-decls><text:user-field-decl office:value-type="string" office:string-value="subj"
 text:name="subject"/></text:user-field-decls>
<text:p><draw:frame text:anchor-type="as-char" svg:width="3cm" svg:height="2cm"><draw:image>
<office:binary-data>@PICTURE@</office:binary-data></draw:image></draw:frame></text:p>
<text:p>To: <text:database-display text:table-name="t" text:table-type="table" text:column-name="ToName"
 text:database-name="d">&lt;ToName&gt;</text:database-display>!</text:p>
<text:p>Subject: <text:user-field-get text:name="subject">subj</text:user-field-get></text:p>
<text:p>Typed: $<text:span text:style-name="B">{To</text:span>CompanyName} and ${recipient_number}.</text:p>
<table:table><table:table-column/><table:table-row><table:table-cell><text:p>Matter ${Matter!"none"}</text:p>
</table:table-cell></table:table-row></table:table>
<text:p>${comment}</text:p><text:p>The end</text:p>
</office:text></office:body></office:document>
"""
"""A template made with a word processor: a logo, fields, typed names, one of them half bold; in flat OpenDocument."""
