"""What was read on a received fax as a text to be read: HTML that stands alone, and RTF."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from faxgw.fax.reading import PageReading
from faxgw.formats.readings import ReadFax

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#111;background:#fff}"
    "section{border-top:1px solid #888;padding-top:.5em}h2{font-size:1em;color:#555}"
    "td,th{text-align:left;padding:.1em 1em .1em 0;vertical-align:top}td{overflow-wrap:anywhere}"
)


def html(fax: ReadFax) -> bytes:
    """One file without scripts, links or pictures."""
    by_page = {reading.page: reading for reading in fax.readings}
    language = _LANGUAGES.get(next((r.language[:3] for r in fax.readings if r.language), ""), "")
    facts = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in _facts(fax) if value)
    sections = "".join(_section(page, by_page.get(page)) for page in range(1, fax.pages + 1))
    return (
        f"<!DOCTYPE html>\n<html{f' lang={chr(34)}{language}{chr(34)}' if language else ''}>\n<head>\n"
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(fax.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(fax.title)}</h1>\n<table>{facts}</table>\n{sections}</body>\n</html>\n"
    ).encode()


def rtf(fax: ReadFax) -> bytes:
    """RTF 1.5: paragraphs as they stood, a new page for each of the fax's."""
    by_page = {reading.page: reading for reading in fax.readings}
    pages = []
    for page in range(1, fax.pages + 1):
        reading = by_page.get(page)
        found = [_rtf(paragraph).replace("\n", "\\line\n") for paragraph in _paragraphs(reading)]
        if reading is not None:
            found += [_rtf(f"{code.kind.value}: {code.text}") for code in reading.barcodes]
        pages.append("".join(f"{paragraph}\\par\\par\n" for paragraph in found))
    head = "".join(f"{_rtf(name)}: {_rtf(value)}\\par\n" for name, value in _facts(fax) if value)
    return (
        "{\\rtf1\\ansi\\ansicpg1252\\deff0\\uc1{\\fonttbl{\\f0\\fswiss Arial;}}\n"
        f"{{\\info{{\\title {_rtf(fax.title)}}}}}\n\\f0\\fs22\n"
        f"{{\\b {_rtf(fax.title)}}}\\par\n{head}\\par\n" + "\\page\n".join(pages) + "}\n"
    ).encode("ascii")


_LANGUAGES = {"eng": "en", "fra": "fr", "deu": "de"}


def _facts(fax: ReadFax) -> Iterator[tuple[str, str]]:
    yield "Received", fax.received_at.strftime("%Y-%m-%d %H:%M:%S %z")
    yield "To", fax.number
    yield "From", " / ".join(part for part in (fax.caller, fax.ident) if part)
    yield "Pages", f"{fax.pages}" if fax.complete else f"{fax.pages}, incomplete"
    yield "Not read", ", ".join(map(str, fax.unread))
    yield "Fax", fax.reception


def _section(page: int, reading: PageReading | None) -> str:
    paragraphs = "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>\n" for part in _paragraphs(reading))
    codes = (
        ""
        if reading is None
        else "".join(
            f"<tr><td>{escape(code.kind.value)}</td><td>{escape(code.text)}</td></tr>" for code in reading.barcodes
        )
    )
    table = f"<table>{codes}</table>\n" if codes else ""
    return f'<section id="page-{page}">\n<h2>{page}</h2>\n{paragraphs}{table}</section>\n'


def _paragraphs(reading: PageReading | None) -> list[str]:
    return [] if reading is None else [part for part in reading.text.strip("\n").split("\n\n") if part.strip()]


def _rtf(text: str) -> str:
    """Escaped: what is not ASCII as UTF-16 units, signed, with a question mark for old readers."""
    out = []
    for c in text:
        if c in "\\{}":
            out.append(f"\\{c}")
        elif c == "\n" or " " <= c <= "~":
            out.append(c)
        elif c == "\t":
            out.append("\\tab ")
        elif c > "\x7f":
            units = c.encode("utf-16-be", "replace")
            for at in range(0, len(units), 2):
                unit = int.from_bytes(units[at : at + 2], "big", signed=True)
                out.append(f"\\u{unit}?")
    return "".join(out)
