"""Whether a PDF is there to its end (page process only; ISO 32000-1 sections 7.5.5, 7.5.6 and annex F).

PDFium puts a cut-off file together again from what it finds, and draws pages without what is missing. A fax of half a
contract is worse than none: such a file is refused, and its sender sends the whole one.
"""

from __future__ import annotations

import re

NEAR_END = 4_096
"""Octets at the end where a file without the last line may still say where its cross-references are."""
MAX_AFTER = 1_024
"""Octets that may follow the last line: mail gateways and web servers leave some."""

_LENGTH = re.compile(rb"/Linearized\b[^>]{0,300}?/L\s{0,10}(\d{1,12})\b")
_OBJECT = re.compile(rb"[\r\n]\d{1,10} \d{1,5} obj\b")


def is_there(data: bytes) -> bool:
    """True for a file that ends as a PDF does. A file of which an update was cut off is none, nor a linearized one."""
    linearized = _LENGTH.search(data[:NEAR_END])
    if linearized is not None and int(linearized[1]) > len(data):
        return False
    last = data.rfind(b"%%EOF")
    if last < 0 or (len(data) - last > MAX_AFTER and _OBJECT.search(data, last)):
        return data.find(b"startxref", max(last, len(data) - NEAR_END, 0)) >= 0
    return True
