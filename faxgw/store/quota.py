"""Whether an account may accept more today: the entitlements `faxes_per_day` and `pages_per_day` (features B5).

A day is the last 24 hours, so that there is no hour at which everything is allowed at once. The customer's limit counts
the whole customer, a user's his own faxes only. Mails that are promised and not yet walked count by their recipients;
pages count once they are known, so the fax that passes the limit of pages is still sent and the next one is refused.
Nothing is counted for an account without limits.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from faxgw.fax.account import NO_LIMIT, Effective, resolve
from faxgw.fax.fault_texts import Said
from faxgw.store import directory
from faxgw.store import schema as t

DAY_S = 86_400.0
LIMITS = ("faxes_per_day", "pages_per_day")
"""Settings without which an account has no limits."""


def refusal(conn: Connection, system: Mapping[str, object], customer: str, user: str, *, faxes: int, now: float) -> str:
    """What `fault` says, in English; empty when there is nothing against it."""
    found = fault(conn, system, customer, user, faxes=faxes, now=now)
    return found.told() if found else ""


def fault(
    conn: Connection, system: Mapping[str, object], customer: str, user: str, *, faxes: int, now: float
) -> Said | None:
    """Why an account may not have so many more faxes accepted, one sentence; None when it may.

    Args:
        conn: The unit's connection.
        system: Settings of the system level.
        customer: Customer id.
        user: User id; empty: the customer as a whole.
        faxes: How many more.
        now: Unix seconds.
    """
    for owner in dict.fromkeys(("", user)):
        levels = directory.levels_of(conn, system, customer, owner)
        if not any(key in given for _origin, given in levels for key in LIMITS):
            continue  # resolving all settings would cost more than everything else here
        settings = resolve(levels)
        if why := _over(conn, settings, customer, owner, faxes, now):
            return why
    return None


def _over(conn: Connection, settings: Effective, customer: str, user: str, faxes: int, now: float) -> Said | None:
    most_faxes, most_pages = settings["faxes_per_day"], settings["pages_per_day"]
    if most_faxes >= NO_LIMIT and most_pages >= NO_LIMIT:
        return None
    used, pages = _used(conn, customer, user, now - DAY_S)
    if used + faxes > most_faxes:
        return Said("At most {limit} faxes are accepted from this account in 24 hours.", {"limit": most_faxes})
    if pages >= most_pages:
        return Said("At most {limit} pages are accepted from this account in 24 hours.", {"limit": most_pages})
    return None


def _used(conn: Connection, customer: str, user: str, since: float) -> tuple[int, int]:
    """(faxes, pages) accepted since then."""
    jobs = [t.jobs.c.customer == customer, t.jobs.c.accepted_at > since]
    mails = [t.messages.c.customer == customer, t.messages.c.received_at > since, t.messages.c.state == "received"]
    if user:
        jobs.append(t.jobs.c.user == user)
        mails.append(t.messages.c.user == user)
    made = conn.execute(
        select(func.count(), func.coalesce(func.sum(t.faxes.c.pages), 0))
        .select_from(t.faxes.join(t.jobs, t.jobs.c.id == t.faxes.c.job))
        .where(*jobs)
    ).one()
    promised = conn.execute(
        select(func.count())
        .select_from(t.message_recipients.join(t.messages, t.messages.c.id == t.message_recipients.c.message))
        .where(*mails, t.message_recipients.c.duplicate_of.is_(None))
    ).scalar_one()
    return made[0] + promised, made[1]
