"""Settings of the SIP line and what they mean for one call: addresses, number formats, media ports.

`[sip]` is this machine's side, each `[[trunk]]` a carrier or PBX. A trunk's host is resolved when a call starts;
registration, TCP, TLS and DNS SRV are not known here yet.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
import socket
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from faxgw.fax.errors import FaxError
from faxgw.foip.digest import Credentials
from faxgw.foip.transaction import Address
from faxgw.foip.uri import sip_uri
from faxgw.settings import Duration, Listener, Secret, Section

RESOLVED_FOR = 60.0
"""Seconds for which an address of a trunk's host is used again."""
BIND_TRIES = 50
"""Pairs of ports tried before we say that there is none free."""
RECEIVE_BUFFER = 256 * 1024
"""Octets of a media socket's receive buffer: some seconds of either medium while a worker is busy."""

_RANGE = re.compile(r"(\d{4,5})-(\d{4,5})")


class NoMediaPorts(FaxError):
    """No pair of UDP ports is free."""

    default_public = "The fax gateway has no free line at the moment."


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports for media, both ends included: `20000-29999`."""

    first: int
    """First port, at least 1024."""
    last: int
    """Last port, at most 65535."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `first-last`.

        Raises:
            ValueError: If it is not of that form, or has no room for ten calls.
        """
        if isinstance(text, cls):
            return text
        found = _RANGE.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError('must be "first-last", such as "20000-29999"')
        ports = cls(int(found[1]), int(found[2]))
        if ports.first < 1024 or ports.last > 65535 or ports.last - ports.first < 39:
            raise ValueError("must lie between 1024 and 65535 and hold 40 ports at least")
        return ports

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # Any: pydantic
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


class SipSettings(Section):
    """`[sip]`: the telephone side of this machine."""

    listen: Listener = Listener("127.0.0.1", 5060)
    """`address:port` for SIP over UDP; port 0 lets the system choose."""
    public_address: str = ""
    """IP address that carriers reach us at; needed with `listen = "0.0.0.0:…"`, else empty."""
    media_ports: PortRange = PortRange(20000, 29999)
    """UDP ports for audio and T.38; four per call."""
    calls_per_worker: Annotated[int, Field(ge=1, le=256)] = 32
    """Calls of one call worker; fewer lose less when the fax engine crashes, more cost less."""
    t38_wait: Duration = Duration(2.0)
    """How long after the answer tone the far end may propose T.38 before we do."""

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        if self.public_address:
            ipaddress.ip_address(self.public_address)
        elif self.listen.host in ("0.0.0.0", "::"):
            raise ValueError("public_address is needed when listening on every address")
        return self


class TrunkSettings(Section):
    """`[[trunk]]`: a carrier or PBX that takes our calls and brings us calls."""

    name: str = Field(min_length=1, max_length=64)
    """Short name, unique."""
    host: str = Field(min_length=1, max_length=253, examples=["sip.example.net"])
    """Name or address of its SIP server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5060
    """Its port."""
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
    ring_time: Duration = Duration(60.0)
    """How long a call may ring."""
    peers: tuple[str, ...] = Field(default=(), examples=[["192.0.2.0/28"]])
    """Addresses or networks that its calls to us come from, besides the addresses of `host`; others are refused."""
    inbound_channels: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Calls to us at a time, at most; the caller gets "busy" beyond it. None: as many as `channels`."""
    dialled_from: Literal["request_uri", "to", "diversion"] = "request_uri"
    """Where its calls to us say the number dialled; `diversion` for calls forwarded by a PBX (RFC 5806)."""

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if bool(self.login) != (self.password is not None):
            raise ValueError("login and password belong together")
        if not self.audio:
            raise ValueError("audio must name one coding at least")
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
        self._resolved: tuple[float, Address] | None = None
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
        return str(sip_uri(self._dialled(number), self.settings.host, self.settings.port))

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

    async def address(self) -> Address:
        """Where its SIP server is.

        Raises:
            OSError: If its name cannot be resolved.
        """
        now = time.monotonic()
        if self._resolved is None or self._resolved[0] < now:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self.settings.host, self.settings.port, type=socket.SOCK_DGRAM)
            host, port = found[0][4][:2]
            self._resolved = (now + RESOLVED_FOR, (str(host), int(port)))
            self._hosts = frozenset({str(entry[4][0]) for entry in found})
        return self._resolved[1]

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


@dataclass(frozen=True, slots=True)
class MediaSockets:
    """The two bound UDP sockets of a call; whoever holds them closes them."""

    rtp: socket.socket
    """For audio, on an even port."""
    udptl: socket.socket
    """For T.38, two ports above: the port between is the peer's to send RTCP to."""

    @property
    def rtp_port(self) -> int:
        """Port for audio."""
        return int(self.rtp.getsockname()[1])

    @property
    def udptl_port(self) -> int:
        """Port for T.38."""
        return int(self.udptl.getsockname()[1])

    def close(self) -> None:
        """Close both."""
        self.rtp.close()
        self.udptl.close()


def bind_media(host: str, ports: PortRange) -> MediaSockets:
    """Bind the sockets of a call before anything is offered (docs/transport.md D.3 rule 8).

    Raises:
        NoMediaPorts: If none of BIND_TRIES random places in the range is free.
    """
    places = (ports.last - ports.first + 1) // 4
    for _ in range(BIND_TRIES):
        port = ports.first + ports.first % 2 + 4 * random.randrange(places)
        rtp = _bind(host, port)
        if rtp is None:
            continue
        udptl = _bind(host, port + 2)
        if udptl is not None:
            return MediaSockets(rtp, udptl)
        rtp.close()
    raise NoMediaPorts(f"no free media ports in {ports}")


def _bind(host: str, port: int) -> socket.socket | None:
    if port > 65535:
        return None
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((host, port))
    except OSError:
        sock.close()
        return None
    return sock
