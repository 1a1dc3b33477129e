"""Templates of cover pages, whatever they are written in: read once, filled for each recipient. Pure.

A format is a reader of octets: what it gives says which values it cannot do without, and fills them in. What comes out
is a document like those that senders hand in, and is made into pages like them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from faxgw.formats import cover_template
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


READERS: Mapping[str, Reader] = {"html": read_html}
"""Formats of templates, by their names in the store, which are those of `document.types.Kind`."""
_ENDINGS = {"htm": "html", "ftl": "html", "xhtml": "html"}


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
