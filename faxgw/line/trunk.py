"""Settings of the SIP line and what they mean for one call: addresses and number formats.

`[sip]` is this machine's side, each `[[trunk]]` a carrier or PBX. A trunk's host is resolved when a call starts;
registration, TCP, TLS and DNS SRV are not known here yet.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from faxgw.foip.digest import Credentials
from faxgw.foip.transaction import Address
from faxgw.foip.uri import sip_uri
from faxgw.line.ports import PortRange
from faxgw.settings import Duration, Listener, Secret, Section, Tls

RESOLVED_FOR = 60.0
"""Seconds for which an address of a trunk's host is used again."""
RESOLVE_WITHIN = 1.5
"""Seconds a call waits for the look-up of its trunk's host: an INVITE leaves within 2 s of its commit or not at all."""


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
    record: Literal["none", "failed", "all"] = "none"
    """Calls whose datagrams are recorded, to be looked at afterwards (docs/calls.md): they hold the pages sent."""
    record_keep: Duration = Duration(7 * 86_400.0)
    """How long a recording is kept."""

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        listeners = [listener for listener in (self.listen, self.listen_tcp, self.listen_tls) if listener is not None]
        if self.public_address:
            ipaddress.ip_address(self.public_address)
        elif any(listener.host in ("0.0.0.0", "::") for listener in listeners):
            raise ValueError("public_address is needed when listening on every address")
        if (self.listen_tls is None) != (self.tls is None):
            raise ValueError("listen_tls and tls belong together")
        return self


class TrunkSettings(Section):
    """`[[trunk]]`: a carrier or PBX that takes our calls and brings us calls."""

    name: str = Field(min_length=1, max_length=64)
    """Short name, unique."""
    host: str = Field(min_length=1, max_length=253, examples=["sip.example.net"])
    """Name or address of its SIP server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5060
    """Its port; with `transport = "tls"` usually 5061."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """What carries the signalling; audio and T.38 go over UDP and are not encrypted."""
    ca_file: Path | None = Field(default=None, examples=["/etc/faxgw/carrier-ca.pem"])
    """PEM file of the authorities that its certificate must come from; none: those of the system. Only with `tls`."""
    client_certificate: Tls | None = None
    """Certificate and key that we show it when it asks: `{ certificate = "…", key = "…" }`. Only with `tls`."""
    channels: Annotated[int, Field(ge=1, le=1000)] = 2
    """Calls at a time."""
    domain: str = ""
    """Domain of the addresses in From and To; empty: `host`."""
    login: str = ""
    """User name, when it asks for one; empty: it knows us by our address."""
    password: Secret | None = None
    """Its password."""
    caller: str = ""
    """Caller number, E.164, of faxes that have none of their own; empty: `login`, or anonymous."""
    number_format: Literal["plus", "digits", "zeros"] = "plus"
    """How numbers are dialled: `+33…`, `33…` or `0033…`."""
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
    peers: tuple[str, ...] = Field(default=(), examples=[["192.0.2.0/28"]])
    """Addresses or networks that its calls to us come from, besides the addresses of `host`; others are refused."""
    inbound_channels: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Calls to us at a time, at most; the caller gets "busy" beyond it. None: as many as `channels`."""
    dialled_from: Literal["request_uri", "to", "diversion"] = "request_uri"
    """Where its calls to us say the number dialled; `diversion` for calls forwarded by a PBX (RFC 5806)."""
    record: Literal["", "none", "failed", "all"] = ""
    """Calls of this trunk that are recorded; empty: as `[sip]` says."""

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if bool(self.login) != (self.password is not None):
            raise ValueError("login and password belong together")
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

    def __init__(self, settings: TrunkSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.credentials = (
            Credentials(settings.login, settings.password.reveal()) if settings.password is not None else None
        )
        self._found: tuple[Address, ...] = ()
        self._fresh_until = 0.0
        self._look_up: asyncio.Task[None] | None = None
        self._peers = tuple(ipaddress.ip_network(peer) for peer in settings.peers)
        self._hosts: frozenset[str] = frozenset({settings.host})

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
        uri = sip_uri(self._dialled(number), self.settings.host, self.settings.port)
        transport = self.settings.transport
        return str(uri) if transport == "udp" else f"{uri};transport={transport}"

    def to(self, number: str) -> str:
        """The To value."""
        return f"<{sip_uri(self._dialled(number), self._domain)}>"

    def from_(self, caller: str) -> str:
        """The From value for a caller number; RFC 3323's anonymous address when there is none."""
        number = caller or self.settings.caller
        if number:
            return f"<{sip_uri(self._dialled(number), self._domain)}>"
        if self.settings.login:
            return f"<{sip_uri(self.settings.login, self._domain)}>"
        return '"Anonymous" <sip:anonymous@anonymous.invalid>'

    async def address(self, family: socket.AddressFamily = socket.AF_INET) -> Address:
        """Where its SIP server is; the last known address while its name cannot be resolved (RFC 8767).

        Args:
            family: That of our listener: a socket reaches no address of another one.

        Raises:
            OSError: If its name cannot be resolved within RESOLVE_WITHIN, or has no address of that family.
        """
        if time.monotonic() >= self._fresh_until:
            if self._look_up is None or self._look_up.done():  # one at a time: each blocks a thread while DNS is silent
                self._look_up = asyncio.create_task(self._resolve(), name=f"address of {self.name}")
                self._look_up.add_done_callback(_retrieve)
            try:
                async with asyncio.timeout(RESOLVE_WITHIN):
                    await asyncio.shield(self._look_up)
            except OSError:  # TimeoutError among them
                if not self._found:
                    raise
        found = [address for address in self._found if (":" in address[0]) == (family == socket.AF_INET6)]
        if not found:
            raise OSError(f"{self.settings.host} has no {family.name} address")
        return found[0]

    async def _resolve(self) -> None:
        host, port = self.settings.host, self.settings.port
        try:
            entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except UnicodeError as exc:  # no host name at all, such as `a..b`
            raise OSError(f"{host}: {exc}") from exc
        self._found = tuple((str(entry[4][0]), int(entry[4][1])) for entry in entries)
        self._hosts = frozenset(address for address, _port in self._found)
        self._fresh_until = time.monotonic() + RESOLVED_FOR

    def is_known_host(self, host: str) -> bool:
        """Whether a packet from this address is the trunk's: one of its host's, as last resolved, or of its peers."""
        if host in self._hosts:
            return True
        address = ipaddress.ip_address(host) if self._peers else None
        return address is not None and any(address in network for network in self._peers)

    @property
    def _domain(self) -> str:
        return self.settings.domain or self.settings.host

    def _dialled(self, number: str) -> str:
        if not number.startswith("+"):
            return number
        return {"plus": "+", "digits": "", "zeros": "00"}[self.settings.number_format] + number[1:]


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take a look-up's exception: who waited has had it, and nobody need wait."""
    if not task.cancelled():
        task.exception()
