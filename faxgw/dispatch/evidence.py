"""Proofs that a mail comes from the domain in its envelope: SPF at RCPT, DKIM or a trusted ARC chain at the final dot.

Asked of senders whose account wants it (setting `sender_evidence`) and who neither logged in nor come from a network of
their customer's. The `From:` line proves nothing and is not looked at. DNS is asked here, signatures are judged in a
page process, which has no network (docs/smtp.md).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT
from pydantic import Field

from faxgw.dispatch.seat import Seat
from faxgw.dispatch.spf import Verdict, check_host
from faxgw.document import types as pages
from faxgw.document.client import PageClient
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import MailSubmission, Principal, Rejection
from faxgw.settings import Listener, Section

log = logging.getLogger(__name__)

AUTO: Final = "auto"
"""Setting `sender_evidence`: strangers prove themselves, hosts of this machine and of networks at hand do not."""
DKIM: Final = "dkim"
"""`Principal.how` of a sender who is accepted until the final dot, where his domain's signature decides; what SPF said
before stands behind a colon."""
ASK_WITHIN: Final = 5.0
"""Seconds for one question to DNS."""
KEYS_WITHIN: Final = 10.0
"""Seconds for all keys of a mail."""
MAX_RECORD: Final = 4_096
"""Octets of a key's record; more is cut off, and then no key."""
MIN_PREFIX: Final = {4: 8, 6: 16}
"""Bits of a network that a listener names, at least, for its hosts to be no strangers: 0.0.0.0/0 names nobody."""
_AT_HAND: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""Loopback, private and link-local networks (RFC 1918, RFC 3927, RFC 4193, RFC 4291)."""
_LATER = Rejection(451, "4.4.3", "Who sent this cannot be proven at present, DNS does not answer; try again later.")


_BY_SPF: Final = {
    Verdict.NONE: "{} has no SPF record",
    Verdict.PERMERROR: "the SPF record of {} is wrong",
    **dict.fromkeys(
        (Verdict.NEUTRAL, Verdict.SOFTFAIL, Verdict.FAIL),
        "the SPF record of {} does not allow the host that brought it ({})",
    ),
}


def waits_for_signature(how: str) -> bool:
    """Whether a sender who was let in so far has still to be proven, by the mail's signatures.

    Args:
        how: `Principal.how`.
    """
    return how.partition(":")[0] == DKIM


def is_stranger(peer: str, neighbours: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()) -> bool:
    """Whether a host is neither of a private network nor of one that the operator named.

    Args:
        peer: IP address.
        neighbours: Networks that listeners name; too wide ones do not count.
    """
    try:
        host = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return True
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    named = (network for network in neighbours if network.prefixlen >= MIN_PREFIX[network.version])
    return not any(host in network for network in (*_AT_HAND, *named))


class EvidenceSettings(Section):
    """`[evidence]`: how it is proven that a mail comes from its sender's domain."""

    nameservers: Annotated[tuple[Listener, ...], Field(max_length=8)] = ()
    """Name servers to ask, `address:port`; empty: those of the system."""
    sealers: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """Domains whose ARC seals are believed, such as those of a mail provider that passes your mails on."""


class Dns:
    """Asks name servers.

    Args:
        nameservers: Whom; none: those of the system.
    """

    def __init__(self, nameservers: Sequence[Listener] = ()) -> None:
        self._own = bool(nameservers)
        self._nameservers = [dns.nameserver.Do53Nameserver(one.host, one.port) for one in nameservers]
        self._stub: dns.asyncresolver.Resolver | None = None

    async def ask(self, name: str, kind: str) -> Sequence[str]:
        """What records say; empty: there are none. Of TXT the joined strings, of MX the hosts by preference.

        Raises:
            OSError: If nobody answers.
        """
        try:
            answer = await self._resolver().resolve(name, kind, lifetime=ASK_WITHIN, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError, ValueError) as exc:
            self._stub = None  # the system may have others to ask by now
            raise OSError(f"{kind} of {name}: {exc}") from exc
        records = list(answer)
        if kind == "TXT":
            return [b"".join(r.strings).decode("utf-8", "replace") for r in records if isinstance(r, TXT)]
        if kind == "MX":
            hosts = sorted((r for r in records if isinstance(r, MX)), key=lambda r: r.preference)
            return [r.exchange.to_text(omit_final_dot=True) for r in hosts]
        return [r.to_text().rstrip(".") for r in records]

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._stub is None:
            self._stub = dns.asyncresolver.Resolver(configure=not self._own)
            if self._own:
                self._stub.nameservers = list(self._nameservers)
        return self._stub


class Evidence:
    """Asks for proofs.

    Args:
        seat: The node.
        pages: Judges signatures.
        settings: `[evidence]`.
        resolver: DNS.
        neighbours: Networks that listeners name in `allow`.

    Attributes:
        neighbours: The same.
    """

    def __init__(
        self,
        seat: Seat,
        pages_: PageClient,
        settings: EvidenceSettings,
        resolver: Dns | None = None,
        neighbours: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
    ) -> None:
        self.neighbours = tuple(neighbours)
        self._seat = seat
        self._pages = pages_
        self._sealers = tuple(sealer.lower() for sealer in settings.sealers)
        self._dns = resolver or Dns(settings.nameservers)

    async def at_rcpt(self, principal: Principal, wanted: str, peer: str) -> Principal | Rejection:
        """Decide by SPF, or put off to the final dot what a signature may decide.

        Args:
            principal: Who it would be.
            wanted: `spf`, `dkim` or `spf_or_dkim`.
            peer: IP address of the client.
        """
        if wanted == "dkim":
            return replace(principal, how=DKIM)
        verdict = await check_host(self._dns.ask, peer, principal.address)
        log.info("spf", extra={"event": "evidence.spf", "peer": peer, "verdict": verdict.value})
        if verdict is Verdict.PASS:
            return replace(principal, how="spf")
        if wanted == "spf_or_dkim":
            return replace(principal, how=f"{DKIM}:{verdict.value}")
        domain = _domain(principal.address)
        if verdict is Verdict.TEMPERROR:
            return _LATER
        if verdict is Verdict.PERMERROR:
            return Rejection(
                550, "5.7.24", f"The SPF record of {domain} is wrong, so that nobody may send for it here."
            )
        if verdict is Verdict.NONE:
            return Rejection(550, "5.7.23", f"{domain} has no SPF record that says who may send for it.")
        return Rejection(550, "5.7.23", f"By the SPF record of {domain}, {peer} may not send for it ({verdict.value}).")

    async def at_final_dot(self, mail: MailSubmission) -> Rejection | None:
        """Decide by the mail's signatures; None: it is proven. Where SPF could not be asked, it is put off at worst."""
        options = pages.SignedOptions(
            domain=_domain(mail.sender),
            recipients=tuple(recipient.address for recipient in mail.recipients),
            sealers=self._sealers,
            now=mail.received_at,
        )
        try:
            descriptor = await self._seat.files.open_read(mail.file)
            try:
                judged = await self._judge(descriptor, options)
            finally:
                os.close(descriptor)
        except OSError:
            return _LATER
        except FaxError as exc:
            return Rejection(451, "4.3.0", exc.public)
        how = judged.how if isinstance(judged, pages.Signed) else ""
        log.info("signatures", extra={"event": "evidence.signed", "mail": mail.message, "how": how or "nothing"})
        if how:
            return None
        spf = mail.principal.how.partition(":")[2]
        if spf == Verdict.TEMPERROR:
            return _LATER
        why = judged.public if isinstance(judged, pages.Refused) else judged.why
        if spf in _BY_SPF:
            why = f"{_BY_SPF[Verdict(spf)].format(options.domain, spf)}; {why}"
        return Rejection(550, "5.7.20", f"Nothing was sent. That {options.domain} sent this mail is not proven: {why}.")

    async def _judge(self, descriptor: int, options: pages.SignedOptions) -> pages.Signed | pages.Refused:
        first = await self._pages.signed(descriptor, options)
        if isinstance(first, pages.Refused):
            return first
        keys = await self._keys(first.wanted)
        return await self._pages.signed(descriptor, replace(options, keys=keys))

    async def _keys(self, names: Sequence[str]) -> tuple[pages.SigningKey, ...]:
        """The keys of these names that there are.

        Raises:
            OSError: If nobody answers.
        """
        async with asyncio.timeout(KEYS_WITHIN):
            answers = await asyncio.gather(*(self._dns.ask(name, "TXT") for name in names), return_exceptions=True)
        found = []
        for name, records in zip(names, answers, strict=True):
            if isinstance(records, BaseException):
                raise records
            if records and len(records[0]) <= MAX_RECORD:
                found.append(pages.SigningKey(name, records[0]))
        return tuple(found)


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
