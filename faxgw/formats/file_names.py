"""Names of the files that a received fax is delivered as (features G3): of the target's template, or as stored.

`fax.target` knows templates and makes names safe; here its fields are filled, and several documents of one delivery
get names of their own. The same delivery has the same names however often it is tried. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from faxgw.fax import target
from faxgw.fax.reception import ReceivedReport
from faxgw.formats.received_payload import ReceivedFacts, status


def fields(report: ReceivedReport, facts: ReceivedFacts) -> Mapping[str, str]:
    """Values of the template's fields (`target.FILE_NAME_FIELDS`)."""
    when = datetime.fromtimestamp(report.received_at, ZoneInfo(report.time_zone))
    return {
        "account": report.customer,
        "number": _digits(report.number),
        "caller": _digits(report.caller) or "unknown",
        "csid": report.ident,
        "date": f"{when:%Y%m%d}",
        "time": f"{when:%H%M%S}",
        "status": status(report),
        "id": report.reception,
        "pages": str(report.pages),
        "tags": "-".join(facts.tags),
    }


def names(template: str, values: Mapping[str, str], stored: Sequence[str]) -> tuple[str, list[str]]:
    """The common stem, and a name for each document.

    Args:
        template: Of the target; empty: the stem of the first stored name.
        values: Of `fields`.
        stored: Names under which the documents are stored; what follows the last dot is kept.
    """
    endings = [name.rpartition(".")[2] if "." in name else "bin" for name in stored]
    stem = target.file_name(template, values) if template else _common(stored)
    totals, seen = Counter(endings), Counter[str]()
    found = []
    for ending in endings:
        seen[ending] += 1
        found.append(f"{stem}-{seen[ending]}.{ending}" if totals[ending] > 1 else f"{stem}.{ending}")
    return stem, found


def _common(stored: Sequence[str]) -> str:
    stem = stored[0].rpartition(".")[0] or stored[0]
    if len(stored) > 1 and stem.endswith("-1"):
        stem = stem[:-2]
    return target.file_name(stem.replace("{", "").replace("}", ""), {})


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isascii() and c.isdigit())
