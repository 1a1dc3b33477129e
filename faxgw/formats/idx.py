"""The metadata file beside a received fax's document (`.idx`): one `KEY=value` per line, ASCII (docs/deliveries.md).

Keys and forms are those of the vendor's public sample. Pure.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from faxgw.fax.reception import ReceivedReport
from faxgw.formats.received_payload import ReceivedFacts, from_abroad, status


def idx(report: ReceivedReport, facts: ReceivedFacts) -> bytes:
    """The file's octets; lines end with a line feed."""
    when = datetime.fromtimestamp(report.received_at, ZoneInfo(report.time_zone))
    fine = facts.fine or (report.fine,) * report.pages
    values = {
        "RECEIPT.ID": facts.csid or report.number,
        "SENDER.FAXNO": from_abroad(report.caller),
        "SENDER.ID": report.ident,
        "RECEIPT.DATE": f"{when:%Y-%m-%d}",
        "TIMESTAMP": f"{when:%Y-%m-%d-%H.%M.%S}",
        "RESOLUTION": "".join("H" if one else "L" for one in fine),
        "PAGES": str(report.pages),
        "STATUS": status(report),
    }
    return "".join(f"{key}={_one_line(value)}\n" for key, value in values.items()).encode("ascii")


def _one_line(text: str) -> str:
    """Without control characters; what is not ASCII as `?`."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
