"""Reads LDIF content records (RFC 2849), as a search prints them: attributes of entries, nothing to change."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence

from faxgw.fax.errors import Refused

Record = Mapping[str, Sequence[str]]
"""Attribute, lower case and without options, → its values."""


def read_ldif(text: str) -> Iterator[Record]:
    """The entries, without their names.

    Args:
        text: Lines ended by LF; folded lines are unfolded (RFC 2849 note 2).

    Raises:
        Refused: If a line is none of LDIF, or names a file or URL instead of a value.
    """
    for block in text.replace("\n ", "").split("\n\n"):
        found: dict[str, list[str]] = {}
        for line in block.splitlines():
            if not line or line.startswith(("#", "version:")):
                continue
            name, value = _attribute(line)
            found.setdefault(name, []).append(value)
        if found.pop("dn", None) is not None and found:
            yield found


def _attribute(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or value.startswith("<"):
        raise Refused(public="The directory answered with something that is no LDIF.")
    if value.startswith(":"):
        try:
            value = base64.b64decode(value[1:].strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as exc:
            raise Refused(public=f"The directory's attribute {name[:60]} is no text.") from exc
    return name.partition(";")[0].lower(), value.strip()
