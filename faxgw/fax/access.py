"""Who is asking and what they may do: scopes, interfaces, account states. Values only; nothing is looked up here.

A caller is a login (name and password) or an API token. Both belong to one customer, and to a user of it or to the
customer as a whole; an operator's token belongs to none. What a caller may do is what it was given, narrowed by the
state of the account (features B0): outbound suspended takes sending away, ended leaves reading, suspended nothing.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from faxgw.fax.account import AccountState
from faxgw.fax.ports import Principal

MAX_NETWORKS = 50
"""Networks in the address list of one login or token at most."""


class Scope(enum.StrEnum):
    """What a login or token is for."""

    FAXES_READ = "faxes:read"
    """Faxes that were sent, their reports and pages."""
    FAXES_WRITE = "faxes:write"
    """Send, cancel, resend; delete reports."""
    INBOX_READ = "inbox:read"
    """Faxes received."""
    INBOX_WRITE = "inbox:write"
    """Acknowledge, assign and delete received faxes."""
    TEMPLATES = "templates"
    """Cover pages, letterheads and mail templates."""
    WEBHOOKS = "webhooks"
    """Webhooks and their log."""
    ADMIN = "admin"
    """The accounts of the own customer: users, logins, tokens, numbers, settings."""
    OPERATOR = "operator"
    """The accounts of all customers, their entitlements and states."""


USER_SCOPES = (
    Scope.FAXES_READ,
    Scope.FAXES_WRITE,
    Scope.INBOX_READ,
    Scope.INBOX_WRITE,
    Scope.TEMPLATES,
    Scope.WEBHOOKS,
)
"""Scopes of a login that was given none in particular."""
READING = frozenset({Scope.FAXES_READ, Scope.INBOX_READ})
"""What an ended account still may, until its archive runs out."""


class Interface(enum.StrEnum):
    """Ways in, which a customer may have or not (entitlement `interfaces`)."""

    SMTP = "smtp"
    REST = "rest"
    """The vendor's REST, section 1 of its interfaces."""
    SOAP = "soap"
    API = "api"
    """The native API under /api/v1."""
    SFTP = "sftp"
    FTP = "ftp"
    FOLDER = "folder"
    PORTAL = "portal"


class Denial(enum.Enum):
    """Why nobody was let in."""

    UNKNOWN = "unknown"
    """No such login or token, wrong password, expired, ended, or not from this address: all alike."""
    BARRED = "barred"
    """Too many failures, by this client or for this login."""
    SUSPENDED = "suspended"
    """The credentials are right, but the account is suspended."""
    CLOSED = "closed"
    """The credentials are right, but the account does not have this interface."""
    BUSY = "busy"
    """Too many passwords wait to be checked."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, after the credentials were checked."""

    customer: str
    """Customer id; empty for an operator."""
    user: str
    """User id (`customer/name`); empty: the customer as a whole."""
    login: str
    """Login name; empty for a token."""
    token: str
    """Token id; empty for a login."""
    scopes: frozenset[Scope]
    """What it may do now, the account's state already taken into account."""
    address: str
    """IP address of the client."""
    interfaces: frozenset[str] = frozenset(Interface)
    """Interfaces that the account may use."""
    proof: str = ""
    """Which key or password let it in, as the implementation marks them; empty: not known. Never the secret itself."""
    barred: frozenset[Scope] = frozenset()
    """What it was given and may not do now, for the state of its account."""

    @property
    def name(self) -> str:
        """Who it is in events and for isolation: jobs of one login are not another's."""
        return f"login:{self.login}" if self.login else f"token:{self.token}" if self.token else "operator"

    def may(self, scope: Scope) -> bool:
        """Whether it may do this; an operator may administrate every customer."""
        return scope in self.scopes or (scope is Scope.ADMIN and Scope.OPERATOR in self.scopes)

    def principal(self, sender: str = "") -> Principal:
        """As the one who submits.

        Args:
            sender: The mail address that reports go to, where one is known.
        """
        return Principal(self.customer, self.user, self.login or self.token, sender, "login" if self.login else "token")


def why_not(caller: Caller, *scopes: Scope) -> tuple[str, str]:
    """Code and text for a caller who may do none of these: his account's state, or what he was given, is why."""
    if caller.barred.intersection(scopes):
        what = "send or change faxes" if Scope.FAXES_WRITE in scopes else "do this"
        return "account_suspended", f"This account may not {what} at present."
    return "scope_missing", f"These credentials are not for {' or '.join(scopes)}."


class Logins(Protocol):
    """Who somebody is, for ways in that are not HTTP (implemented by `api.access`)."""

    async def login(self, name: str, password: str, address: str, interface: Interface) -> Caller | Denial:
        """Whom a name and a password stand for."""
        ...

    async def key(self, name: str, fingerprint: str, address: str, interface: Interface) -> Caller | Denial:
        """Whom a name and a public key stand for; that the client has the private one, the way in has to prove.

        Args:
            name: The login.
            fingerprint: SHA-256 of the key, hexadecimal.
            address: The client's address.
            interface: The way in, which the account must have.
        """
        ...

    async def again(self, name: str, customer: str, interface: Interface) -> Caller | Denial:
        """What a login that was let in before may do now: what it left is dealt with later, or after a restart."""
        ...

    async def holds(self, callers: Sequence[Caller], interface: Interface) -> Sequence[bool]:
        """Whether each who was let in before would still be let in, by the same key or password, to do the same."""
        ...


OPERATOR = Caller("", "", "", "", frozenset({Scope.OPERATOR}), "")
"""The operator on the gateway's own machine, who came by the control socket."""


def scopes_in(state: AccountState, scopes: Iterable[Scope]) -> frozenset[Scope]:
    """What is left of some scopes in an account of this state."""
    given = frozenset(scopes)
    match state:
        case AccountState.ACTIVE:
            return given
        case AccountState.OUTBOUND_SUSPENDED:
            return given - {Scope.FAXES_WRITE}
        case AccountState.ENDED:
            return given & READING
        case _:
            return frozenset()


def check_scopes(given: Sequence[str]) -> tuple[Scope, ...]:
    """The scopes, each once, in their order.

    Raises:
        ValueError: If one is unknown, or there is none.
    """
    unknown = sorted(set(given) - {scope.value for scope in Scope})
    if unknown or not given:
        known = ", ".join(scope.value for scope in Scope)
        raise ValueError(f"must be some of {known}" + (f"; not {', '.join(unknown)[:200]}" if unknown else ""))
    return tuple(scope for scope in Scope if scope.value in given)


def check_networks(given: Sequence[str]) -> tuple[str, ...]:
    """Networks of an address list, in their usual form; a plain address is a network of one.

    Raises:
        ValueError: If one is none, or there are too many.
    """
    if len(given) > MAX_NETWORKS:
        raise ValueError(f"must be at most {MAX_NETWORKS} networks")
    try:
        return tuple(str(ipaddress.ip_network(network.strip())) for network in given)
    except ValueError as exc:
        raise ValueError("must be networks such as 192.0.2.0/24 or 2001:db8::/32") from exc


def is_allowed(address: str, networks: Sequence[str]) -> bool:
    """Whether a client's address is on a list; no list allows all, and an unreadable address is on none."""
    if not networks:
        return True
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    return any(host in ipaddress.ip_network(network) for network in networks)
