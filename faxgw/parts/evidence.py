"""Proofs of who sent a mail, for accounts that want them, and who is believed without any (docs/smtp.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from faxgw.dispatch.evidence import MIN_PREFIX, Evidence, EvidenceSettings, is_stranger
from faxgw.fax.account import Level, Origin, resolve
from faxgw.intake.smtp_settings import SmtpListener, SmtpSettings
from faxgw.parts.house import House, Part
from faxgw.settings import Settings
from faxgw.store.seed import AccountSection, CustomerSection

MAX_NAMED = 5
"""Senders whom a finding names."""


async def start(house: House) -> None:
    """Let the gate ask."""
    settings = house.settings.one("evidence", EvidenceSettings)
    listeners = house.settings.one("smtp", SmtpSettings).listeners
    neighbours = [network for listener in listeners for network in listener.allow]
    house.gate.believe(Evidence(house.seat, house.pages, settings, neighbours=neighbours))


def open_listeners(settings: Settings) -> Sequence[str]:
    """Names of the listeners that strangers reach: not on loopback or a private address, and open to every network."""
    return [entry.name for entry in settings.one("smtp", SmtpSettings).listeners if _is_open(entry)]


def _is_open(entry: SmtpListener) -> bool:
    wide = any(network.prefixlen < MIN_PREFIX[network.version] for network in entry.allow)
    return (wide or not entry.allow) and is_stranger(entry.listen.host) and entry.listen.host != "localhost"


def by_address_alone(settings: Settings) -> Sequence[str]:
    """Senders of the settings file who are believed as their mails say, by their accounts' `sender_evidence`."""
    system = settings.one("settings", AccountSection).values
    return [one for customer in settings.many("customer", CustomerSection) for one in _alone(customer, system)]


def _alone(customer: CustomerSection, system: Mapping[str, object]) -> Iterator[str]:
    levels = [(Origin(Level.SYSTEM, ""), system), (Origin(Level.CUSTOMER, customer.id), customer.settings)]
    if resolve(levels)["sender_evidence"] == "none":
        yield from customer.addresses
    for user in customer.user:
        own = [*levels, (Origin(Level.USER, user.name), user.settings)]
        if user.profile:
            own.insert(2, (Origin(Level.PROFILE, user.profile), customer.profile.get(user.profile, {})))
        if resolve(own)["sender_evidence"] == "none":
            yield from user.addresses


def look(settings: Settings) -> tuple[bool, str]:
    """For `faxgw check`: whether no stranger sends by writing somebody's address, and what to do about it."""
    opened, believed = open_listeners(settings), by_address_alone(settings)
    if not opened:
        return True, "strangers reach no smtp listener"
    if not believed:
        return True, f"strangers who reach smtp {', '.join(opened)} log in, or prove who they are"
    named = ", ".join(believed[:MAX_NAMED]) + (" …" if len(believed) > MAX_NAMED else "")
    return False, (
        f"whoever reaches smtp {', '.join(opened)} and writes {named} as the sender sends faxes at your expense: "
        'sender_evidence = "none" asks for no proof. Set "auto", or name in the listener\'s allow who may connect'
    )


PART = Part("evidence", start, sections={"evidence": EvidenceSettings})
