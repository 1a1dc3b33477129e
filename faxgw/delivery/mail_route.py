"""Where a mail goes on its way to a domain, and how safe that way must be (docs/mail-out.md).

Without a route everything goes to the relay. A route may name another server, or lead to the domain's own servers by
its MX records (RFC 5321 section 5.1, RFC 7505). With `tls = "enforced"` a mail leaves over checked TLS or not at all:
it waits, and is given up in the end, rather than go out in clear.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from pydantic import Field, field_validator, model_validator

from faxgw.delivery.mail_ways import RELAY
from faxgw.fax.errors import FaxError, Refused
from faxgw.settings import Listener, Secret, Section

if TYPE_CHECKING:
    from faxgw.delivery.mail import RelaySettings

MAX_HOPS = 5
"""Servers of a domain that are tried, the best first."""
ASK_WITHIN = 10.0
"""Seconds for a question to DNS."""
_STRICTNESS = {"none": 0, "opportunistic": 1, "enforced": 2, "implicit": 3}
_DOMAIN = r"(?:\*|\.?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)"


class NoWay(FaxError):
    """There is no server to hand the mail to at present."""

    default_public = "The mail's domain has no server that can be reached."


class NeverAWay(Refused):
    """The domain takes no mail."""

    default_public = "The domain takes no mail."


class MailRouteSettings(Section):
    """`[[mail_route]]`: where mails to some domain go, and how safely."""

    domain: Annotated[str, Field(pattern=f"^{_DOMAIN}$")] = Field(examples=["example.org"])
    """`example.org`, `.example.org` for everything below it, or `*`; the closest one counts."""
    to: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,255}$")] = "relay"
    """`relay`, `mx` for the domain's own servers, or the name or address of a server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    """Of the server; the relay has its own."""
    tls: Literal["relay", "none", "opportunistic", "enforced", "implicit"] = "enforced"
    """`enforced`: STARTTLS with a certificate that bears the server's name, or the mail waits; `implicit`: the same,
    from the first octet; `opportunistic`: encrypted when offered, without proof; `relay`: as the relay has it."""
    certificate_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{0,255}$")] = ""
    """Name that the certificate must bear; empty: the server's own."""
    require_tls: bool = False
    """Ask the server to hand the mail on over TLS only (RFC 8689); the mail waits where it cannot."""
    ca_file: Path | None = None
    """PEM file of certificate authorities to trust instead of the system's."""
    login: Annotated[str, Field(max_length=255)] = ""
    """User name there; empty for none. The relay has its own."""
    password: Secret | None = None

    @field_validator("domain")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.login) != (self.password is not None):
            raise ValueError("login and password belong together")
        if self.login and self.to in ("relay", "mx"):
            raise ValueError("a login is for a server that is named")
        if self.login and self.tls not in ("enforced", "implicit"):
            raise ValueError('a password needs tls = "enforced" or "implicit"')
        if self.certificate_name and self.tls != "enforced":
            raise ValueError('certificate_name is for tls = "enforced"')
        if self.to != "relay" and self.tls == "relay":
            raise ValueError('tls = "relay" is for to = "relay"')
        if self.to == "mx" and self.tls == "implicit":
            raise ValueError('servers of a domain take mail with tls = "enforced" (STARTTLS), not "implicit"')
        return self


@dataclass(frozen=True, slots=True)
class Hop:
    """One server that may take the mail."""

    host: str
    port: int
    tls: Literal["none", "opportunistic", "enforced", "implicit"]
    context: ssl.SSLContext
    name: str
    """That its certificate must bear; empty: whatever."""
    login: str = ""
    password: Secret | None = None
    require_tls: bool = False
    oauth: bool = False
    """The login is proved by the relay's access token, not by a password."""
    way: str = ""
    """Under which name it is watched; empty: it is a stranger's."""


class Lookup(Protocol):
    """Finds the servers of a domain."""

    async def servers(self, domain: str) -> Sequence[tuple[int, str]]:
        """(preference, host) of its MX records, or itself when it has none (RFC 5321 section 5.1).

        Raises:
            NeverAWay: If it takes no mail, or is none.
            NoWay: If nobody answers.
        """
        ...


class MxLookup:
    """Asks DNS.

    Args:
        nameservers: Whom; none: those of the system.
    """

    def __init__(self, nameservers: Sequence[Listener] = ()) -> None:
        self._nameservers = [dns.nameserver.Do53Nameserver(one.host, one.port) for one in nameservers]

    async def servers(self, domain: str) -> Sequence[tuple[int, str]]:
        """See the port."""
        if domain.startswith("["):
            return [(0, domain.strip("[]").removeprefix("IPv6:"))]
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers = list(self._nameservers)
            answer = await resolver.resolve(domain, "MX", lifetime=ASK_WITHIN, search=False)
        except dns.resolver.NoAnswer:
            return [(0, domain)]
        except dns.resolver.NXDOMAIN as exc:
            raise NeverAWay(f"{domain} does not exist") from exc
        except (dns.exception.DNSException, OSError, ValueError) as exc:
            raise NoWay(f"MX of {domain}: {type(exc).__name__}") from exc
        found = [(r.preference, r.exchange.to_text(omit_final_dot=True)) for r in answer if isinstance(r, MX)]
        if found == [(0, ".")] or found == [(0, "")] or all(host in ("", ".") for _, host in found):
            raise NeverAWay(f"{domain} takes no mail (RFC 7505)")
        return found


class MailRoutes:
    """Finds the way of each mail.

    Args:
        relay: Where mails without a route go.
        routes: The routes.
        lookup: Finds the servers of domains.
    """

    def __init__(
        self, relay: RelaySettings, routes: Sequence[MailRouteSettings] = (), lookup: Lookup | None = None
    ) -> None:
        self._routes = {route.domain: route for route in routes}
        self._lookup = lookup or MxLookup()
        modes: dict[str, Literal["none", "opportunistic", "enforced", "implicit"]] = {
            "none": "none", "opportunistic": "opportunistic", "starttls": "enforced", "implicit": "implicit",
        }  # fmt: skip
        mode = modes[relay.tls]
        self._relay = Hop(
            relay.host,
            relay.port,
            mode,
            _context(relay.ca_file, mode),
            relay.host,
            relay.login,
            relay.password,
            oauth=bool(relay.oauth_token_url),
            way=RELAY,
        )
        self._contexts = {route.domain: _context(route.ca_file, route.tls) for route in routes}

    @property
    def ways(self) -> Collection[str]:
        """Names of the ways that are watched."""
        return {RELAY, *self._routes}

    def route(self, domain: str) -> MailRouteSettings | None:
        """The closest route to a domain: its own, then that of what it lies below, then `*`."""
        domain = domain.lower().rstrip(".")
        if domain in self._routes:
            return self._routes[domain]
        above = domain
        while above:
            above = above.partition(".")[2]
            if above and f".{above}" in self._routes:
                return self._routes[f".{above}"]
        return self._routes.get("*")

    async def hops(self, domain: str) -> Sequence[Hop]:
        """The servers to try, in order.

        Raises:
            FaxError: If there is none; `temporary` says whether there may be one later.
        """
        route = self.route(domain)
        if route is None:
            return [self._relay]
        context = self._contexts[route.domain]
        if route.to == "relay":
            return [self._by_relay(route, context)]
        assert route.tls != "relay"  # the settings refuse it
        if route.to != "mx":
            name = route.certificate_name or route.to
            hop = Hop(route.to, route.port, route.tls, context, name, route.login, route.password, route.require_tls)
            return [replace(hop, way=route.domain)]
        found = sorted(await self._lookup.servers(domain), key=lambda one: (one[0], random.random()))
        return [
            Hop(host, route.port, route.tls, context, route.certificate_name or host, require_tls=route.require_tls)
            for _, host in found[:MAX_HOPS]
        ]

    async def to_relay(self) -> Sequence[Hop]:
        """The relay alone, whatever the routes say."""
        return [self._relay]

    def _by_relay(self, route: MailRouteSettings, context: ssl.SSLContext) -> Hop:
        """The relay as it is, or stricter: its password must not leave in clear because some domain needs no TLS."""
        relay = self._relay
        if route.tls == "relay" or _STRICTNESS[relay.tls] > _STRICTNESS[route.tls]:
            mode, context = relay.tls, relay.context
        else:
            mode = route.tls
        name = route.certificate_name or relay.name
        return replace(relay, tls=mode, context=context, name=name, require_tls=route.require_tls, way=route.domain)


def _context(ca_file: Path | None, mode: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mode == "opportunistic":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
