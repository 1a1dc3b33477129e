"""What a PostScript file says of itself, without running it (page process only; Adobe TN 5001 and TN 5002)."""

from __future__ import annotations

import re
import struct

START = b"%!PS"
PREVIEW = b"\xc5\xd0\xd3\xc6"
"""How an EPS file with a preview picture begins (TN 5002 section 5.2)."""
NEAR = 8_192
"""Octets at the start and at the end in which a file says how many pages it has."""

_PAGES = re.compile(rb"^%%Pages:[ \t]{0,4}(\d{1,6})", re.M)


def bare(data: bytes) -> bytes:
    """The PostScript of a file: without a printer job's commands before it, without a preview picture."""
    if data.startswith(PREVIEW) and len(data) >= 12:
        start, size = struct.unpack_from("<II", data, 4)
        return data[start : start + size]
    at = data[:NEAR].find(START)
    return data[at:] if at > 0 else data


def pages(data: bytes) -> int:
    """How many pages it says that it has; 0 if it does not."""
    said = _PAGES.findall(data[-NEAR:]) or _PAGES.findall(data[:NEAR])
    return int(said[-1]) if said else 0
