"""How many recipients an account's fax may have: one limit for every way in (entitlement `max_recipients`). Pure."""

from __future__ import annotations

from faxgw.fax.account import Effective
from faxgw.fax.fault_texts import Said

TOO_MANY = "The fax has {count} recipients; the limit of this account is {limit}."
"""What the sender is told."""


def too_many(count: int, limit: int) -> Said | None:
    """Why a fax with so many recipients is not taken; None: it is.

    Args:
        count: Its recipients, those of its distribution lists included; who stands twice in them counts once.
        limit: What the account may.
    """
    return Said(TOO_MANY, {"count": count, "limit": limit}) if count > limit else None


def refusal(settings: Effective, count: int) -> Said | None:
    """The same, by an account's settings; what a job itself overrides does not count."""
    return too_many(count, settings["max_recipients"])
