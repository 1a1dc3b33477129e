"""A customer's own mails: name, colours, logo and footer for the shipped designs, or whole texts of its own. Pure.

A mail template is one file: `mail.toml` alone, or a ZIP package with `mail.toml`, a logo and any of the parts
`<occasion>[.<language>].<subject|txt|html>` in the language of `cover_template`. What lacks is taken from the shipped
design. Strangers' files: everything is bounded, names that mean nothing are refused, nothing is fetched or run.
"""

from __future__ import annotations

import enum
import re
import struct
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any  # what TOML holds

from faxgw.formats import cover_template
from faxgw.formats.cover_template import Template, TemplateRefused
from faxgw.formats.zip_faults import ZIP_FAULTS, archive_of, is_encrypted

MAX_FILES = 60
"""Files of a package: 36 parts, the settings and a logo at most."""
MAX_UNPACKED = 2_000_000
"""Octets of all files of a package."""
MAX_LOGO = 100_000
"""Octets of a logo: every mail carries it."""
MAX_LOGO_PX = 2_000
"""Pixels of a logo in each direction."""
MAX_FOOTER = 2_000
"""Characters of a footer."""
MAX_NAME = 60
"""Characters of an organisation's name."""
LANGUAGES = ("en", "fr", "de")
SETTINGS_FILE = "mail.toml"
CONTENT_MARK = "<!--content-->"
"""What an HTML part says where the shipped design's content shall stand."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_PART = re.compile(r"(status|list|refused|received)(?:\.(en|fr|de))?\.(subject|txt|html)")
_LITTER = re.compile(r"(?:__MACOSX/.*|(?:.*/)?(?:\.DS_Store|Thumbs\.db|desktop\.ini))")
_SOF = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF))
"""Markers of a JPEG frame (ITU-T T.81 table B.1)."""


class Occasion(enum.StrEnum):
    """What a mail tells of."""

    STATUS = "status"
    """One fax."""
    LIST = "list"
    """Several faxes of one job."""
    REFUSED = "refused"
    """A mail that became no fax."""
    RECEIVED = "received"
    """A fax that was received."""


class Part(enum.StrEnum):
    """What of a mail a template gives."""

    SUBJECT = "subject"
    TEXT = "txt"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture that stands at the head of the HTML."""

    octets: bytes
    subtype: str
    """`png`, `jpeg` or `gif`."""
    width: int
    """CSS pixels at which it is shown."""
    height: int


@dataclass(frozen=True, slots=True)
class Brand:
    """How the shipped designs look in a house."""

    organisation: str = ""
    """Name in From, at the head and in the footer; empty: that of the gateway."""
    colour: str = "#2f6fb3"
    """Of the line at the head, `#rrggbb`."""
    footer: Mapping[str, str] = field(default_factory=dict)
    """Language → address, legal text, …; `*` for every language."""
    page_picture: bool = True
    """Whether page 1 is shown."""
    logo: Logo | None = None

    def footer_in(self, language: str) -> tuple[str, ...]:
        """Lines of the footer in a language."""
        text = self.footer.get(language, self.footer.get("*", self.footer.get("en", "")))
        return tuple(line.strip() for line in text.splitlines() if line.strip())


@dataclass(frozen=True, slots=True)
class MailTemplate:
    """A template that was read."""

    brand: Brand = Brand()
    parts: Mapping[str, Template] = field(default_factory=dict)
    """Name such as `list.fr.html` → the part."""

    def part(self, occasion: Occasion, language: str, part: Part) -> Template | None:
        """What the house gives itself; None: the shipped design."""
        own = self.parts.get(f"{occasion}.{language}.{part}")
        return own or self.parts.get(f"{occasion}.{part}")


def read(content: bytes) -> MailTemplate:
    """Read a template.

    Raises:
        TemplateRefused: If it is wrong; the text names the file in it.
    """
    files = _unpacked(content) if content[:2] == b"PK" else {SETTINGS_FILE: content}
    logo_name, brand = _brand(files.pop(SETTINGS_FILE, b""))
    logo = files.pop(logo_name, None) if logo_name else None
    if logo_name and logo is None:
        raise refused(SETTINGS_FILE, f"the logo {logo_name} is not in the package")
    parts: dict[str, Template] = {}
    for name, octets in files.items():
        if not _PART.fullmatch(name):
            raise refused(name, "is neither a part (status.html, list.fr.txt, refused.subject, …) nor the logo")
        parts[name] = _parsed(name, octets)
    if logo is not None:
        brand = Brand(brand.organisation, brand.colour, brand.footer, brand.page_picture, _logo(logo_name, logo, brand))
    return MailTemplate(brand, parts)


def format_of(content: bytes) -> str:
    """What a template is, for lists."""
    return "package" if content[:2] == b"PK" else "toml"


def refused(name: str, what: str) -> TemplateRefused:
    """The error of a file of a template."""
    shown = name if len(name) <= 80 and name.isprintable() else ascii(name[:60])
    return TemplateRefused(f"{shown}: {what}", public=f"{shown}: {what}.")


# ---------------------------------------------------------------------------------------------------------- package


def _unpacked(content: bytes) -> dict[str, bytes]:
    """The files of a package, by name; one folder around all of them does not count."""
    try:
        with archive_of(content) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir() and not _LITTER.fullmatch(info.filename)]
            if len(infos) > MAX_FILES:
                raise TemplateRefused("too many files", public=f"The package may have {MAX_FILES} files.")
            found: dict[str, bytes] = {}
            left = MAX_UNPACKED
            for info in infos:
                if is_encrypted(info):
                    raise refused(info.filename, "is encrypted")
                with archive.open(info) as member:
                    octets = member.read(left + 1)
                left -= len(octets)
                if left < 0:
                    raise TemplateRefused("too large", public=f"The package may unpack to {MAX_UNPACKED:,} octets.")
                if info.filename in found:
                    raise refused(info.filename, "is twice in the package")
                found[info.filename] = octets
    except ZIP_FAULTS as exc:
        raise TemplateRefused(f"package: {exc}", public="The package cannot be unpacked.") from exc
    folders = {name.partition("/")[0] for name in found if "/" in name}
    if len(folders) == 1 and all("/" in name for name in found):
        found = {name.partition("/")[2]: octets for name, octets in found.items()}
    return found


def _parsed(name: str, octets: bytes) -> Template:
    try:
        text = octets.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as exc:
        raise refused(name, "is not UTF-8") from exc
    if "\r" in text or "\0" in text:
        raise refused(name, "has characters that no text has")
    try:
        return cover_template.parse(text)
    except TemplateRefused as exc:
        raise within(name, exc) from exc


def within(name: str, exc: TemplateRefused) -> TemplateRefused:
    """The same error, naming the part that it is about."""
    return TemplateRefused(f"{name}: {exc}", public=f"{name}: {exc.public}")


# --------------------------------------------------------------------------------------------------------- settings


def _brand(octets: bytes) -> tuple[str, Brand]:
    """Name of the logo's file, and the rest."""
    try:
        table: dict[str, Any] = tomllib.loads(octets.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise refused(SETTINGS_FILE, f"is no TOML: {str(exc)[:200]}") from exc
    readers: dict[str, Callable[[Any], Any]] = {
        "organisation": lambda value: _line(value, MAX_NAME),
        "colour": _colour,
        "footer": _footer,
        "page_picture": _flag,
        "logo": lambda value: _line(value, 80),
        "logo_width": lambda value: _whole(value, 16, 600),
    }
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in readers:
            raise refused(SETTINGS_FILE, f"{key[:40]!r} is not known; there are {', '.join(readers)}")
        try:
            found[key] = readers[key](value)
        except ValueError as exc:
            raise refused(SETTINGS_FILE, f"{key} {exc}") from exc
    logo, width = found.pop("logo", ""), found.pop("logo_width", 0)
    if width and not logo:
        raise refused(SETTINGS_FILE, "logo_width without a logo")
    return logo, Brand(logo=Logo(b"", "", width, 0) if logo else None, **found)


def _line(value: Any, limit: int) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= limit or not value.isprintable():
        raise ValueError(f"must be a printable text of at most {limit} characters")
    return value.strip()


def _colour(value: Any) -> str:
    if not isinstance(value, str) or not _COLOUR.fullmatch(value):
        raise ValueError("must be a colour such as #0b5fa5")
    return value.lower()


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"must be a whole number from {low} to {high}")
    return value


def _footer(value: Any) -> Mapping[str, str]:
    texts = {"*": value} if isinstance(value, str) else value
    if not isinstance(texts, dict) or not set(texts) <= {*LANGUAGES, "*"}:
        raise ValueError(f"must be a text, or a table of texts by language: {', '.join(LANGUAGES)}")
    for text in texts.values():
        good = isinstance(text, str) and len(text) <= MAX_FOOTER
        if not good or not all(line.isprintable() for line in text.splitlines()):
            raise ValueError(f"must be printable, with at most {MAX_FOOTER} characters")
    return texts


# ------------------------------------------------------------------------------------------------------------- logo


def _logo(name: str, octets: bytes, brand: Brand) -> Logo:
    """A logo's facts, by its own first octets; it is shown no larger than it is."""
    if not 0 < len(octets) <= MAX_LOGO:
        raise refused(name, f"has {len(octets):,} octets, and a logo may have {MAX_LOGO:,}: every mail carries it")
    try:
        subtype, width, height = _measured(octets)
    except (struct.error, IndexError, ValueError) as exc:
        raise refused(name, "is no picture that mail programs show: PNG, JPEG or GIF") from exc
    if not (0 < width <= MAX_LOGO_PX and 0 < height <= MAX_LOGO_PX):
        raise refused(name, f"has {width} × {height} pixels; a logo may have {MAX_LOGO_PX} × {MAX_LOGO_PX}")
    asked = brand.logo.width if brand.logo is not None and brand.logo.width else min(width, 180)
    return Logo(octets, subtype, asked, max(1, round(asked * height / width)))


def _measured(octets: bytes) -> tuple[str, int, int]:
    """(subtype, width, height) of a PNG (its clause 11.2.2), GIF (89a section 18) or JPEG (ITU-T T.81 B.2.2)."""
    if octets.startswith(b"\x89PNG\r\n\x1a\n"):
        if octets[12:16] != b"IHDR" or octets[-8:-4] != b"IEND":
            raise ValueError("no whole PNG")
        return "png", *struct.unpack(">II", octets[16:24])
    if octets[:6] in (b"GIF87a", b"GIF89a"):
        return "gif", *struct.unpack("<HH", octets[6:10])
    if octets[:3] != b"\xff\xd8\xff":
        raise ValueError("another format")
    at = 2
    while octets[at] == 0xFF:
        marker, length = octets[at + 1], int.from_bytes(octets[at + 2 : at + 4], "big")
        if marker in _SOF:
            height, width = struct.unpack(">HH", octets[at + 5 : at + 9])
            return "jpeg", width, height
        if length < 2:
            break
        at += 2 + length
    raise ValueError("no frame")
