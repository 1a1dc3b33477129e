"""Distribution lists of a mail: found by a page process, read by the account's dial plan, bounded by its entitlements.

Asked twice: before the promise, where a fault is the answer to the final dot, and when the mail is walked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from faxgw.document import types as pages
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.fax import recipients
from faxgw.fax.account import Effective
from faxgw.fax.fault_texts import Said
from faxgw.fax.number import DialPlan
from faxgw.fax.ports import StoredFile
from faxgw.formats.distribution_list import Entry, Faults, Listed, entries, listed
from faxgw.store.errors import ObjectDamaged
from faxgw.store.files import Files

NUMBERS_AT_ONCE = 50
"""Numbers that are read before others get their turn: some 10 ms."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The recipients of a mail's lists, or why there are none."""

    recipients: tuple[Listed, ...] = ()
    fault: Said | None = None
    """One sentence for the sender; None when all is well."""
    too_many: bool = False
    """The fault is their number."""


async def find(files: Files, client: PageClient, mail: StoredFile, settings: Effective) -> Sequence[str]:
    """The texts of a mail's distribution lists.

    Raises:
        ListsRefused: If the mail cannot be read.
        FaxError: If it cannot be read now.
    """
    try:
        descriptor = await files.open_read(mail)
    except ObjectDamaged as exc:
        raise PagesUnavailable(str(exc)) from exc
    try:
        walked = await client.walk(descriptor, pages.WalkOptions(list_name=settings["list_name"], lists_only=True))
    finally:
        os.close(descriptor)
    if isinstance(walked, pages.Refused):
        raise ListsRefused(walked.public)
    walked.close()
    return walked.lists


class ListsRefused(Exception):
    """A mail in which lists were to be found cannot be read, and never will; the text says why."""


async def read(
    texts: Sequence[str],
    settings: Effective,
    plan: DialPlan,
    *,
    wanted: bool,
    beside: frozenset[tuple[str, str]] = frozenset(),
) -> Listing:
    """Read the lists of a mail.

    Args:
        texts: What they say.
        settings: The account's.
        plan: How its numbers are read.
        wanted: The mail is addressed to its list, so there must be one.
        beside: Number (E.164) and sub-address of everybody in the envelope: they count, but only once.
    """
    name, most = settings["list_name"], settings["max_list"]
    if not texts:
        said = "The mail is addressed to its distribution list and has no attachment {name}."
        return Listing(fault=Said(said, {"name": name}) if wanted else None)
    if not most:
        return Listing(fault=Said("Distribution lists are not open to this account."))
    lines: list[Entry] = [entry for text in texts for entry in islice(entries(text), most + 1)]
    if len(lines) > most:
        return Listing(
            fault=Said("{name} has more than {limit} recipients.", {"name": name, "limit": most}), too_many=True
        )
    if not lines:
        return Listing(fault=Said("{name} names nobody.", {"name": name}))
    faults, known = Faults(name, []), dict[str, Listed]()
    for start in range(0, len(lines), NUMBERS_AT_ONCE):
        listed(lines[start : start + NUMBERS_AT_ONCE], plan, faults, known)
        await asyncio.sleep(0)
    fault = faults.sentence()
    if fault is None:
        people = beside.union((one.number.e164, one.number.sub_address) for one in known.values())
        if (many := recipients.refusal(settings, len(people))) is not None:
            return Listing(fault=many, too_many=True)
    return Listing(() if fault else tuple(known.values()), fault)
