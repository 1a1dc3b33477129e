"""Settings of the SIP line and what they mean for one call: addresses and number formats.

`[sip]` is this machine's side, each `[[trunk]]` a carrier or PBX. Where its servers are and how they do is the business
of `line.targets`, its registration that of `line.registrar_client` (docs/trunks.md).
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from faxgw.foip.digest import Credentials
from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.location import Target, default_port
from faxgw.foip.registration import Account, Registration
from faxgw.foip.session_timer import LEAST_INTERVAL
from faxgw.foip.stack import Transport
from faxgw.foip.transaction import Address
from faxgw.foip.uri import SipUri, bracket, is_ip_literal, parse_uri, sip_uri
from faxgw.line import identity
from faxgw.line.dns import Resolver
from faxgw.line.identity import Caller
from faxgw.line.ports import PortRange
from faxgw.line.targets import Targets
from faxgw.settings import Duration, Listener, Secret, Section, Tls

LINE_PARAM = "line"
"""URI parameter of the contact that we register; only the registrar knows its value, so that calls which bear it are
the trunk's wherever they come from."""
_PROXY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.\-]{1,253}))(?::(?P<port>\d{1,5}))?")


class SipSettings(Section):
    """`[sip]`: the telephone side of this machine."""

    listen: Listener = Listener("127.0.0.1", 5060)
    """`address:port` for SIP over UDP; port 0 lets the system choose."""
    listen_tcp: Listener | None = Field(default=None, examples=["192.0.2.1:5060"])
    """The same for SIP over TCP. Without it trunks with `transport = "tcp"` reach us by the connection we opened."""
    listen_tls: Listener | None = Field(default=None, examples=["192.0.2.1:5061"])
    """The same for SIP over TLS; `tls` is needed then."""
    tls: Tls | None = None
    """Certificate and key of `listen_tls`: `{ certificate = "…", key = "…" }`; read anew on SIGHUP."""
    public_address: str = ""
    """IP address that carriers reach us at; needed with `listen = "0.0.0.0:…"`, else empty."""
    media_ports: PortRange = PortRange(20000, 29999)
    """UDP ports for audio and T.38; four per call."""
    calls_per_worker: Annotated[int, Field(ge=1, le=256)] = 32
    """Calls of one call worker; fewer lose less when the fax engine crashes, more cost less."""
    t38_wait: Duration = Duration(2.0)
    """How long after the answer tone the far end may propose T.38 before we do."""
    session_timer: Duration = Duration(1800.0)
    """How long a call may go without a sign of life of the other side (RFC 4028), 90 s at least; `0s`: ask for none."""
    record: Literal["none", "failed", "all"] = "none"
    """Calls whose datagrams are recorded, to be looked at afterwards (docs/calls.md): they hold the pages sent."""
    record_keep: Duration = Duration(7 * 86_400.0)
    """How long a recording is kept."""
    nameservers: tuple[Listener, ...] = Field(default=(), examples=[["192.0.2.53:53"]])
    """Name servers to ask for the trunks' hosts, `address:port`; none: those of the system, and its hosts file."""

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        listeners = [listener for listener in (self.listen, self.listen_tcp, self.listen_tls) if listener is not None]
        if self.public_address:
            ipaddress.ip_address(self.public_address)
        elif any(listener.host in ("0.0.0.0", "::") for listener in listeners):
            raise ValueError("public_address is needed when listening on every address")
        if 0 < float(self.session_timer) < LEAST_INTERVAL:
            raise ValueError(f"session_timer must be {LEAST_INTERVAL} s at least (RFC 4028 section 5), or 0s")
        if (self.listen_tls is None) != (self.tls is None):
            raise ValueError("listen_tls and tls belong together")
        return self


class TrunkSettings(Section):
    """`[[trunk]]`: a carrier or PBX that takes our calls and brings us calls."""

    name: str = Field(min_length=1, max_length=64)
    """Short name, unique."""
    host: str = Field(min_length=1, max_length=253, examples=["sip.example.net"])
    """Name or address of its SIP server."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(default=None, examples=[5060])
    """Its port; none: as DNS says (NAPTR, SRV), else 5060, with `transport = "tls"` 5061."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """What carries the signalling; audio and T.38 go over UDP and are not encrypted."""
    ca_file: Path | None = Field(default=None, examples=["/etc/faxgw/carrier-ca.pem"])
    """PEM file of the authorities that its certificate must come from; none: those of the system. Only with `tls`."""
    client_certificate: Tls | None = None
    """Certificate and key that we show it when it asks: `{ certificate = "…", key = "…" }`. Only with `tls`."""
    channels: Annotated[int, Field(ge=1, le=1000)] = 2
    """Calls at a time."""
    sandbox: bool = False
    """It leads to a simulator: it carries faxes of accounts whose setting `sandbox` names it, and no others."""
    domain: str = ""
    """Domain of the addresses in From and To; empty: `host`."""
    login: str = ""
    """User name, when it asks for one; empty: it knows us by our address."""
    password: Secret | None = None
    """Its password."""
    registration: bool = False
    """Register there, and take no calls to it before that is done; else it knows us by our address."""
    registered_user: str = ""
    """User part of the address that is registered, where it is not `login`."""
    registration_time: Annotated[Duration, Field(ge=60.0, le=86400.0)] = Duration(600.0)
    """For how long a registration is asked for; the registrar may say otherwise."""
    learn_address: bool = False
    """Register the public address and port that its answers show, for a NAT that keeps them; else our own."""
    proxy: str = Field(default="", examples=["sbc.example.net:5060"])
    """Outbound proxy, `host` or `host:port`: everything goes there, with a Route; `host` stays in the addresses."""
    keepalive: Annotated[Duration, Field(ge=0.0, le=3600.0)] = Duration(25.0)
    """Pause between our OPTIONS to its servers, which find out dead ones and keep a NAT open; `0s`: none."""
    answer_within: Annotated[Duration, Field(ge=1.0, le=32.0)] = Duration(5.0)
    """How long a server may leave a call without any answer before the next one is tried."""
    caller: str = ""
    """Caller number, E.164, of faxes that have none of their own; empty: `login`, or anonymous."""
    number_format: Literal["plus", "digits", "zeros", "national"] = "plus"
    """How numbers are dialled: `+33…`, `33…`, `0033…`, or `01…` in `country` and `00…` elsewhere."""
    caller_format: Literal["", "plus", "digits", "zeros", "national"] = ""
    """How our own numbers are written; empty: as `number_format`."""
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "FR"
    """Country of the trunk, for the format `national`."""
    dial_prefix: Annotated[str, Field(pattern=r"^[0-9*#]{0,16}$")] = ""
    """Put before every number dialled, such as the `0` of a PBX."""
    strip: Annotated[str, Field(pattern=r"^(\+[0-9]{1,14})?$")] = ""
    """Beginning of numbers, `+331234`, that is not dialled; the rest then is, as it is."""
    uri: Literal["sip", "phone", "tel"] = "sip"
    """How a number becomes an address: `sip:…@host`, the same with `user=phone`, or `tel:…`."""
    identity: Literal["from", "pai", "ppi", "from+pai", "from+ppi"] = "from"
    """Where the caller's number stands: From, P-Asserted-Identity, P-Preferred-Identity; without `from`, From has the
    `login`."""
    asserted: Literal["caller", "trunk"] = "caller"
    """Whose number P-Asserted-Identity or P-Preferred-Identity has: the fax's, or always the trunk's own `caller`."""
    diversion: Annotated[str, Field(pattern=r"^(\+[0-9]{3,15})?$")] = ""
    """Number that our calls are forwarded by, for carriers that want one of theirs beside a foreign caller number."""
    divert_with: Literal["diversion", "history_info", "both"] = "diversion"
    """The header field of `diversion`: Diversion, History-Info or both."""
    audio: tuple[Literal["pcma", "pcmu"], ...] = ("pcma", "pcmu")
    """Audio codings in the order of preference."""
    t38: bool = True
    """Use T.38; without it faxes go as tones in the audio."""
    t38_offer: Literal["later", "first", "only"] = "later"
    """When our calls offer T.38: after the answer, together with the audio in the first INVITE, or alone in it."""
    nat: bool = False
    """It sits behind a NAT and tells no address of media that can be reached: take them from anywhere at first."""
    ring_time: Duration = Duration(60.0)
    """How long a call may ring."""
    customer: Annotated[str, Field(max_length=64)] = ""
    """Customer whose trunk it is, such as that of a PBX: it reaches his numbers only, and carries his faxes only.
    Empty: everybody's."""
    peers: tuple[str, ...] = Field(default=(), examples=[["192.0.2.0/28"]])
    """Addresses or networks that its calls to us come from, besides the addresses of `host`; others are refused."""
    inbound_channels: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Calls to us at a time, at most; the caller gets "busy" beyond it. None: as many as `channels`."""
    dialled_from: Literal["request_uri", "to", "diversion", "history_info"] = "request_uri"
    """Where its calls to us say the number dialled; `diversion` (RFC 5806) and `history_info` (RFC 7044) for calls
    forwarded by a PBX."""
    caller_from: Literal["asserted", "from"] = "asserted"
    """Where its calls to us say who calls: P-Asserted-Identity and else From, or From alone."""
    record: Literal["", "none", "failed", "all"] = ""
    """Calls of this trunk that are recorded; empty: as `[sip]` says."""

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if bool(self.login) != (self.password is not None):
            raise ValueError("login and password belong together")
        if self.registration and not (self.registered_user or self.login):
            raise ValueError("registration needs login or registered_user")
        if self.proxy and _PROXY.fullmatch(self.proxy) is None:
            raise ValueError("proxy must be a host or host:port")
        if self.transport != "tls" and (self.ca_file is not None or self.client_certificate is not None):
            raise ValueError('ca_file and client_certificate are for transport = "tls"')
        if self.ca_file is not None:
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except OSError as exc:
                raise ValueError(f"{self.ca_file} cannot be read, or holds no certificate in PEM form") from exc
        if not self.audio:
            raise ValueError("audio must name one coding at least")
        if self.t38_offer != "later" and not self.t38:
            raise ValueError(f't38_offer = "{self.t38_offer}" needs t38')
        for peer in self.peers:
            ipaddress.ip_network(peer)
        return self


class Trunk:
    """A trunk at work."""

    def __init__(self, settings: TrunkSettings, resolver: Resolver | None = None) -> None:
        self.settings = settings
        self.name = settings.name
        self.credentials = (
            Credentials(settings.login, settings.password.reveal()) if settings.password is not None else None
        )
        self.transport = Transport(settings.transport.upper())
        """What carries its signalling."""
        host, port = _split(settings.proxy) if settings.proxy else (settings.host, settings.port)
        watched = settings.keepalive > 0
        self.targets = Targets(host, port, self.transport, resolver or Resolver(), watched=watched)
        """Its servers."""
        self.registration: Registration | None = None
        """Its registration, once the line has begun with it."""
        self._next_hop = host
        self._peers = tuple(ipaddress.ip_network(peer) for peer in settings.peers)
        self._line = secrets.token_hex(8)

    def fault(self, now: float) -> str:
        """Why no call can be placed now, in a few words; empty when one can."""
        if self.settings.registration and (self.registration is None or not self.registration.is_bound(now)):
            return f"not registered ({'just started' if self.registration is None else self.registration.detail})"
        return "no server answers" if self.targets.is_down else ""

    @property
    def inbound_channels(self) -> int:
        """Calls to us at a time, at most."""
        own = self.settings.inbound_channels
        return self.settings.channels if own is None else min(own, self.settings.channels)

    @property
    def payload_types(self) -> tuple[int, ...]:
        """RTP payload types in the order of preference."""
        return tuple({"pcma": 8, "pcmu": 0}[name] for name in self.settings.audio)

    def target(self, number: str) -> str:
        """The Request-URI for an E.164 number, in the trunk's number format."""
        uri = identity.called(number, self.settings)
        return self._with_transport(uri) if isinstance(uri, SipUri) else str(uri)

    def to(self, number: str) -> str:
        """The To value."""
        return identity.to_value(number, self.settings)

    def from_(self, caller: str, name: str = "", *, withheld: bool = False) -> str:
        """The From value for a caller number; RFC 3323's anonymous address when there is none, or it is withheld."""
        return identity.from_value(Caller(caller, name, withheld), self.settings)

    def identity_headers(self, caller: str, name: str, withheld: bool, number: str) -> tuple[tuple[str, str], ...]:
        """The further header fields of a call to a number that say who calls, and for whom."""
        return identity.headers(Caller(caller, name, withheld), number, self.settings)

    @property
    def proxy_route(self) -> tuple[str, ...]:
        """Preloaded Route values for a registration: the outbound proxy."""
        if not self.settings.proxy:
            return ()
        host, port = _split(self.settings.proxy)
        return (f"<{SipUri(bracket(host), None, port, params=(*self._transport_params, ('lr', None)))}>",)

    @property
    def route(self) -> tuple[str, ...]:
        """Preloaded Route values for all else: the outbound proxy, then what the registrar asked for (RFC 3608)."""
        asked = () if self.registration is None else self.registration.service_route
        if asked and self.settings.proxy and _split(self.settings.proxy)[0] in asked[0]:
            return asked  # it names the proxy itself
        return *self.proxy_route, *asked

    def account(self) -> Account:
        """What is registered where."""
        settings = self.settings
        port = None if settings.domain else settings.port
        return Account(
            self._with_transport(SipUri(bracket(self._domain), None, port)),
            str(sip_uri(self._user, self._domain)),
            int(settings.registration_time),
            settings.learn_address,
        )

    def contact(self, host: str, port: int) -> SipUri:
        """The contact that is registered, at one of our addresses."""
        bare = sip_uri(self._user, host, port)
        return SipUri(bare.host, bare.user, port, params=(*self._transport_params, (LINE_PARAM, self._line)))

    def is_ours(self, uri: SipUri) -> bool:
        """Whether a Request-URI is the contact that we have registered there."""
        given = uri.param(LINE_PARAM) or ""
        return self.settings.registration and secrets.compare_digest(given.encode(), self._line.encode())

    def is_registered_as(self, user: str) -> bool:
        """Whether the contact that we have registered there has this user part."""
        return self.settings.registration and user == self._user

    def probe(self) -> tuple[str, str]:
        """Request-URI and From value of an OPTIONS to its servers."""
        uri = self._with_transport(SipUri(bracket(self.settings.host), None, self.settings.port))
        return uri, f"<{sip_uri(self._user or 'fax', self._domain)}>"

    async def servers(self, family: socket.AddressFamily = socket.AF_INET) -> list[Target]:
        """Its servers in the order to be tried; the last known ones while its name cannot be resolved (RFC 8767).

        Args:
            family: That of our listener: a socket reaches no address of another one.

        Raises:
            OSError: If its name cannot be resolved in time, or has no address of that family.
        """
        return await self.targets.find(family)

    async def address(self, family: socket.AddressFamily = socket.AF_INET) -> Address:
        """The first of `servers`."""
        return (await self.servers(family))[0].address

    @property
    def server_name(self) -> str:
        """The name that its certificate must bear: that of the proxy or host, never one that DNS gave (RFC 5922)."""
        return self._next_hop

    def redirected(self, server: Target, number: str, uri: str) -> Address | None:
        """Where a call that a server redirects may go (RFC 3261 section 8.1.3.4): to a server of the trunk.

        Another number would be one that nobody has allowed, and not the one the sender is told of.

        Args:
            server: The one that says so.
            number: The number called, E.164.
            uri: Whom to call instead.
        """
        try:
            wanted, ours = parse_uri(uri), parse_uri(self.target(number))
        except RemoteProtocolError:
            return None
        if not isinstance(wanted, SipUri) or not isinstance(ours, SipUri) or wanted.username != ours.username:
            return None
        host = wanted.host.strip("[]").lower()
        if self.settings.proxy or host in (self.settings.host.lower(), self._domain.lower()):
            return server.address if self.is_known_host(host) or not is_ip_literal(host) else None
        if host in self.targets.hosts and (":" in host) == (":" in server.host):
            return host, wanted.port or default_port(self.transport)
        return None

    @property
    def has_one_server(self) -> bool:
        """Whether there is one server only, whatever DNS says: its address stands in the settings."""
        return is_ip_literal(self._next_hop)

    def is_known_host(self, host: str) -> bool:
        """Whether a packet from this address is the trunk's: one of its host's, as last resolved, or of its peers."""
        if host in self.targets.hosts:
            return True
        address = ipaddress.ip_address(host) if self._peers else None
        return address is not None and any(address in network for network in self._peers)

    @property
    def _user(self) -> str:
        return self.settings.registered_user or self.settings.login

    @property
    def _transport_params(self) -> tuple[tuple[str, str | None], ...]:
        return () if self.transport is Transport.UDP else (("transport", self.settings.transport),)

    def _with_transport(self, uri: SipUri) -> str:
        return str(SipUri(uri.host, uri.user, uri.port, params=(*uri.params, *self._transport_params)))

    @property
    def _domain(self) -> str:
        return self.settings.domain or self.settings.host


def _split(proxy: str) -> tuple[str, int | None]:
    """Host and port of `proxy`."""
    found = _PROXY.fullmatch(proxy)
    if found is None:
        raise ValueError(f"{proxy} is no host or host:port")
    return found["v6"] or found["host"], int(found["port"]) if found["port"] else None
