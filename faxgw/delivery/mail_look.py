"""A look at the ways out by mail, for `faxgw check`: servers, TLS, logins, and the keys that others find in DNS.

Each look connects as a mail would, and sends none.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from dns.rdtypes.ANY.TXT import TXT

from faxgw.delivery.dkim import DkimSettings
from faxgw.delivery.mail import MailDelivery
from faxgw.delivery.mail_route import ASK_WITHIN, MailRoutes, MailRouteSettings
from faxgw.fax.errors import FaxError
from faxgw.settings import Listener

_TAG = re.compile(r"\s*([a-z]+)\s*=\s*([^;]*)", re.I)


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that was looked at."""

    what: str
    ok: bool
    text: str


class MailLook:
    """Looks at everything.

    Args:
        way: Sends mails.
        routes: Where they go.
        nameservers: Whom to ask for keys; none: those of the system.
    """

    def __init__(self, way: MailDelivery, routes: MailRoutes, nameservers: Sequence[Listener] = ()) -> None:
        self._way = way
        self._routes = routes
        self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(one.host, one.port) for one in nameservers]

    async def relay(self) -> Seen:
        """The relay, as mails without a route meet it."""
        (hop,) = [each async for each in self._hops("")]
        return hop

    async def route(self, route: MailRouteSettings) -> Sequence[Seen]:
        """Each server of a route. What is for many domains by their own servers can only be looked at by name."""
        what = f"mail route {route.domain}"
        if route.to == "mx" and route.domain[:1] in "*.":
            return [Seen(what, True, f"to the servers of each domain, tls {route.tls}")]
        try:
            return [each async for each in self._hops(route.domain)]
        except FaxError as exc:
            return [Seen(what, False, str(exc))]

    async def key(self, settings: DkimSettings) -> Seen:
        """The public half of a key: what stands in DNS, and what should."""
        name, wanted = f"{settings.selector}._domainkey.{settings.domain}", settings.record()
        what, advice = f"dkim {settings.domain}", f'publish {name} TXT "{wanted}"'
        try:
            answer = await self._resolver.resolve(name, "TXT", lifetime=ASK_WITHIN, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Seen(what, False, f"there is no {name}; {advice}")
        except (dns.exception.DNSException, OSError, ValueError) as exc:
            return Seen(what, False, f"{name} cannot be asked for: {type(exc).__name__}; {advice}")
        found = [b"".join(row.strings).decode("utf-8", "replace") for row in answer if isinstance(row, TXT)]
        if any(_key(text) == _key(wanted) for text in found):
            return Seen(what, True, f"{name} has the key that mails are signed with")
        return Seen(what, False, f"{name} has another key, {found[0][:60]}…; {advice}" if found else advice)

    async def _hops(self, domain: str) -> AsyncIterator[Seen]:
        what = f"mail route {domain}" if domain else "mail relay"
        for hop in await (self._routes.hops(domain) if domain else self._routes.to_relay()):
            try:
                yield Seen(what, True, await self._way.try_out(hop))
            except (OSError, FaxError) as exc:
                yield Seen(what, False, f"{hop.host}:{hop.port}: {exc}")


def _key(record: str) -> str:
    """The public key of a record (RFC 6376 section 3.6.1), blanks left out."""
    tags = {name.lower(): value for name, value in _TAG.findall(record)}
    return "".join(tags.get("p", "").split())
