"""The calls in progress, in both directions, as one plain list for whoever looks (docs/calls.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any  # JSON

from faxgw.dispatch.inbound import Arriving
from faxgw.dispatch.outbound import Live


def calls_in_progress(leaving: Iterable[Live], arriving: Iterable[Arriving]) -> list[Mapping[str, Any]]:
    """One plain object a call, oldest first; the keys are documented in docs/calls.md."""
    found: list[Mapping[str, Any]] = []
    for out in leaving:
        names = {"direction": "out", "call": out.attempt, "fax": out.fax, "number": out.number, "caller": ""}
        found.append({**names, **_common(out), "pages": out.pages})
    for call in arriving:
        names = {"direction": "in", "call": call.reception, "fax": "", "number": call.number, "caller": call.caller}
        found.append({**names, **_common(call), "pages": 0})
    return sorted(found, key=lambda call: float(call["started_at"]))


def _common(call: Live | Arriving) -> dict[str, Any]:
    return {"trunk": call.trunk, "started_at": call.started_at, **asdict(call.progress)}
