"""One document to its fax pages: looks what it is and asks the right converter (page process only)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from faxgw.document import (
    html,
    images,
    layout,
    office,
    pdf,
    pdf_end,
    refusal,
    related,
    scripts,
    sniff,
    text,
    tiff_in,
)
from faxgw.document.bitmap import Bits
from faxgw.document.fit import Target
from faxgw.document.limits import MAX_TEXT
from faxgw.document.office import NONE, Programs
from faxgw.document.types import OUTSIDE, Kind
from faxgw.fax import charsets


def pages(
    data: bytes,
    kind: Kind | None,
    charset: str | None,
    name: str,
    target: Target,
    programs: Programs = NONE,
) -> Iterator[tuple[int, Bits]]:
    """Render a document.

    Args:
        data: Its octets.
        kind: What its sender's side already found out; pictures and PDF are looked at again.
        charset: Of a text.
        name: For refusals.
        target: What for.
        programs: What converts outside this process.

    Yields:
        The document's page, from 1, and its pixels; at least one, or the document was refused.

    Raises:
        DocumentRefused: If it cannot be faxed.
        Unavailable: If a program outside fails without its fault.
    """
    found = kind_of(data, kind)
    if not data:
        raise refusal.blank(name)
    if isinstance(found, sniff.Unknown):
        raise refusal.unsupported(name, found.what)
    if found in OUTSIDE and found not in programs.kinds:
        raise refusal.unsupported(name, sniff.NAMES[found])
    match found:
        case Kind.PDF:
            if not pdf_end.is_there(data):
                raise refusal.damaged(name, how="its end is missing")
            return pdf.pages(data, name, target)
        case Kind.TIFF:
            return tiff_in.pages(data, name, target)
        case Kind.TEXT:
            return text.pages(data, charset, name, target)
        case Kind.HTML:
            return _html(data, charset, name, target)
        case outside if outside in OUTSIDE:
            return office.pages(data, outside, name, target, programs)
        case _:
            return images.pages(data, found, name, target)


def kind_of(data: bytes, kind: Kind | None) -> Kind | sniff.Unknown:
    """What a document is: texts as their sender's side says, all else by its octets."""
    if kind in (Kind.TEXT, Kind.HTML):
        return kind
    return sniff.kind_of(data)


def _html(data: bytes, charset: str | None, name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    page = related.unpack(data, charset)
    octets = len(page.markup)
    if octets > MAX_TEXT:
        what = "a text may have {limit} KiB, this one has {count}"
        raise refusal.too_large(name, what, limit=MAX_TEXT // 1024, count=octets // 1024)
    markup = charsets.decode(page.markup, page.charset or html.charset_of(page.markup))
    markup = scripts.printable_markup(markup, name)
    try:
        drawn = layout.to_pdf(markup, page.pictures, target)
    except layout.Refused as exc:
        sys.stderr.write(f"HTML is printed as text: {exc}\n")
        return _as_text(markup, page.pictures, name, target)
    target.begin(1, 1)
    return pdf.pages(drawn, name, target)


def _as_text(markup: str, pictures: Mapping[str, bytes], name: str, target: Target) -> Iterator[tuple[int, Bits]]:
    """What HTML says, then the pictures that it would have shown: nothing of the mail is missing."""
    target.begin(1, 1)
    number = 0
    for number, bits in text.set_text(html.to_text(markup), name, target):
        yield number, bits
    for picture in pictures.values():
        found = sniff.kind_of(picture)
        if found in images.FORMATS and isinstance(found, Kind):
            number += 1
            for _one, bits in images.pages(picture, found, name, target):
                yield number, bits
