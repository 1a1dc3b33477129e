"""The head of a mail that hangs on another: who wrote it to whom, when and about what (page process only).

A page with a forwarded text alone does not say whose text it is. What stands above it is what RFC 5322 calls these
fields, in the words of the mail itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html import escape

from faxgw.document import html, mime
from faxgw.document.mime import Part
from faxgw.fax import charsets

FIELDS = ("From", "Date", "To", "Cc", "Subject")
"""RFC 5322 section 3.6, in the order in which they are shown."""
MAX_SHOWN = 300
"""Characters of a field: a message to hundreds names the first."""
_BODY = re.compile(r"<body\b[^>]{0,2000}>", re.I)
_STYLE = "font: 10pt sans-serif; border-bottom: 1px solid black; padding-bottom: 6pt; margin-bottom: 10pt"
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def head(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names and values of the fields that a message has.

    Args:
        headers: Its fields by lower-case name, encoded.
    """
    said = ((name, _shown(headers.get(name.lower(), ""))) for name in FIELDS)
    return tuple((name, value) for name, value in said if value)


def above(part: Part, fields: tuple[tuple[str, str], ...]) -> Part:
    """A text with the head of its message above it; itself where the message has none.

    Args:
        part: `text/plain` or `text/html`.
        fields: What `head` found.
    """
    if not fields:
        return part
    data = part.decoded()
    if part.media_type == "text/html":
        text = _above_markup(charsets.decode(data, part.charset or html.charset_of(data)), fields)
    else:
        text = "".join(f"{name}: {value}\n" for name, value in fields) + "\n" + charsets.decode(data, part.charset)
    headers = {name: value for name, value in part.headers.items() if name != "content-transfer-encoding"}
    parameters = {**part.parameters, "charset": "utf-8"}
    return replace(part, raw=text.encode("utf-8", "replace"), headers=headers, parameters=parameters)


def _above_markup(markup: str, fields: tuple[tuple[str, str], ...]) -> str:
    lines = "<br>".join(f"<b>{name}:</b> {escape(value)}" for name, value in fields)
    begin = _BODY.search(markup)
    at = begin.end() if begin else 0
    return f'{markup[:at]}<div style="{_STYLE}">{lines}</div>{markup[at:]}'


def _shown(value: str) -> str:
    said = " ".join(_UNSEEN.sub(" ", mime.decode_words(value)).split())
    return said if len(said) <= MAX_SHOWN else said[: MAX_SHOWN - 1] + "…"
