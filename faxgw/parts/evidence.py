"""Proofs of who sent a mail, for accounts that want them (docs/smtp.md)."""

from __future__ import annotations

from faxgw.dispatch.evidence import Evidence, EvidenceSettings
from faxgw.parts.house import House, Part


async def start(house: House) -> None:
    """Let the gate ask."""
    settings = house.settings.one("evidence", EvidenceSettings)
    house.gate.believe(Evidence(house.seat, house.pages, settings))


PART = Part("evidence", start, sections={"evidence": EvidenceSettings})
