"""Cover templates made with Word (ISO/IEC 29500-1, WordprocessingML): octets and values in, octets out. Pure.

What is filled: MERGEFIELD and DOCVARIABLE fields (section 17.16), content controls with a tag or title (section
17.5.2), and `${Name}` typed as text, though Word may have cut it into runs. A filled field becomes the text that it
showed, in the format of its first run. What is no field stays as it was, octet for octet: logos, styles, headers,
footers, text boxes in both their forms.

A package is not trusted: parts, octets and depth are bounded while they are unpacked, entities and document types
are refused before any XML is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from faxgw.formats import cover_fields
from faxgw.formats.cover_fields import MAX_FIELDS, MAX_OCTETS
from faxgw.formats.cover_story import Story, filled, read
from faxgw.formats.cover_template import Value
from faxgw.formats.zip_faults import ZIP_FAULTS, archive_of, is_encrypted

MAX_PARTS = 500
"""Parts of a package; a letter has about 15."""
MAX_UNPACKED = 16_000_000
"""Octets of all parts."""
_PACKED = (".png", ".jpg", ".jpeg", ".gif", ".emf.gz")
_WHEN = (1980, 1, 1, 0, 0, 0)

_Part: TypeAlias = "bytes | Story"


@dataclass(frozen=True, slots=True)
class DocxTemplate:
    """A template that was read."""

    parts: tuple[tuple[str, _Part], ...]
    """Name and content."""

    def required(self) -> frozenset[str]:
        """The names without whose values the page cannot be made."""
        stories = (part for _name, part in self.parts if isinstance(part, Story))
        return frozenset(name for story in stories for field in story.fields() for name in field.required)

    def fill(self, values: Mapping[str, Value]) -> bytes:
        """The document for these values.

        Raises:
            TemplateRefused: If a value is missing, or the page gets too long.
        """
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, part in self.parts:
                octets = filled(part, values) if isinstance(part, Story) else part
                packed = name.lower().endswith(_PACKED)
                info = zipfile.ZipInfo(name, _WHEN)
                archive.writestr(info, octets, zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)
        return out.getvalue()


def parse(data: bytes) -> DocxTemplate:
    """Read a template.

    Raises:
        TemplateRefused: If it is damaged, too large, or has a field that is not known here; the text says what.
    """
    if len(data) > MAX_OCTETS:
        raise cover_fields.refused(f"a template may have {MAX_OCTETS:,} octets")
    parts = tuple((name, _read(name, octets)) for name, octets in _unpack(data))
    stories = [part for _name, part in parts if isinstance(part, Story)]
    if not stories:
        raise cover_fields.refused("this is no Word document")
    if sum(len(story.fields()) for story in stories) > MAX_FIELDS:
        raise cover_fields.refused(f"more than {MAX_FIELDS} fields")
    return DocxTemplate(parts)


def _read(name: str, octets: bytes) -> _Part:
    """A part that is printed as a story, every other as it is."""
    story = read(name, octets) if name.startswith("word/") and name.endswith(".xml") else None
    return octets if story is None else story


def _unpack(data: bytes) -> list[tuple[str, bytes]]:
    """The parts, each octet counted as it comes: what the directory says of sizes is not believed."""
    try:
        with archive_of(data) as archive:
            listed = archive.infolist()
            names = [part.filename for part in listed]
            if len(names) > MAX_PARTS or len(set(names)) < len(names):
                raise cover_fields.refused(f"the package has more than {MAX_PARTS} parts, or one twice")
            if any(is_encrypted(part) for part in listed):
                raise cover_fields.refused("the document is protected by a password")
            found, left = [], MAX_UNPACKED
            for part in listed:
                with archive.open(part) as stream:
                    octets = stream.read(left + 1)
                left -= len(octets)
                if left < 0:
                    raise cover_fields.refused(f"the document unpacks to more than {MAX_UNPACKED:,} octets")
                found.append((part.filename, octets))
            return found
    except ZIP_FAULTS as exc:
        raise cover_fields.refused("this is no Word document, or it is damaged") from exc
