"""Templates of cover pages, whatever they are written in: read once, filled for each recipient. Pure.

A format is a reader of octets: what it gives says which values it cannot do without, and fills them in. What comes out
is a document like those that senders hand in, and is made into pages like them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from faxgw.formats import cover_docx, cover_rtf, cover_template
from faxgw.formats.cover_template import TemplateRefused, Value


class CoverTemplate(Protocol):
    """A template that was read."""

    def required(self) -> frozenset[str]:
        """Names without which the page cannot be made."""
        ...

    def fill(self, values: Mapping[str, Value]) -> bytes:
        """The document for these values.

        Raises:
            TemplateRefused: If a value is missing, or the page gets too long.
        """
        ...


Reader = Callable[[bytes], CoverTemplate]
"""Reads a template; raises TemplateRefused if it is wrong."""


@dataclass(frozen=True, slots=True)
class HtmlTemplate:
    """A page of HTML with FreeMarker's placeholders."""

    template: cover_template.Template

    def required(self) -> frozenset[str]:
        """See CoverTemplate."""
        return self.template.required()

    def fill(self, values: Mapping[str, Value]) -> bytes:
        """See CoverTemplate; UTF-8."""
        return self.template.fill(values).encode("utf-8", "replace")


def read_html(content: bytes) -> HtmlTemplate:
    """Read a template of HTML, UTF-8 or else Windows-1252.

    Raises:
        TemplateRefused: If it is wrong.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("windows-1252", "replace")
    return HtmlTemplate(cover_template.parse(text))


READERS: Mapping[str, Reader] = {"html": read_html, "docx": cover_docx.parse, "rtf": cover_rtf.parse}
"""Formats of templates, by their names in the store, which are those of `document.types.Kind`."""
_ENDINGS = {"htm": "html", "ftl": "html", "xhtml": "html", "dotx": "docx", "docm": "docx", "dotm": "docx"}
_STARTS = {b"PK\x03\x04": "docx", b"{\\rtf": "rtf"}
_STRANGERS = {
    b"\xd0\xcf\x11\xe0": "an old Word document: save it as DOCX",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"II*\0": "a picture",
    b"MM\0*": "a picture",
}
"""What is uploaded by mistake, by its first octets."""


def read(form: str, content: bytes) -> CoverTemplate:
    """Read a template.

    Args:
        form: What it is, a key of READERS.
        content: All of it.

    Raises:
        TemplateRefused: If it is wrong, or of no format that covers have.
    """
    reader = READERS.get(form)
    if reader is None:
        public = f"A cover template is one of: {', '.join(sorted(READERS))}."
        raise TemplateRefused(f"unknown format {form}", public=public)
    return reader(content)


def format_of(name: str) -> str:
    """The format that a file's name tells; html where it tells none."""
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    found = _ENDINGS.get(ending, ending)
    return found if found in READERS else "html"


def format_by_content(content: bytes) -> str:
    """The format that a template's first octets tell; html where they tell no other.

    Raises:
        TemplateRefused: If it is of a kind that covers are not made of.
    """
    head = content.lstrip()[:8]
    for start, form in _STARTS.items():
        if head.startswith(start):
            return form
    for start, what in _STRANGERS.items():
        if head.startswith(start):
            public = f"A cover template is a page of HTML, or a DOCX or RTF document; this one is {what}."
            raise TemplateRefused(f"a template that is {what}", public=public)
    return "html"
