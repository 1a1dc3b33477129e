"""The two UDP sockets of a call, bound in the range of media ports before anything is offered.

docs/transport.md D.3 rule 8. The simulator binds its own in its own way (`simulator/ports.py`): it may import nothing
of the line.
"""

from __future__ import annotations

import random
import re
import socket
from dataclasses import dataclass
from typing import Any, Self  # Any: pydantic

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from faxgw.fax.errors import FaxError

BIND_TRIES = 200
"""Places in the range that are tried before we say that there is none free."""
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
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


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
    """Bind the sockets of a call.

    Places are taken at random, so that a port's late packets meet no new call; each place at most once.

    Raises:
        NoMediaPorts: If BIND_TRIES places, or all there are, are taken, or the process has no descriptor left.
    """
    places = (ports.last - ports.first + 1) // 4
    for place in random.sample(range(places), min(places, BIND_TRIES)):
        port = ports.first + ports.first % 2 + 4 * place
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
    try:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:  # no descriptor left
        return None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((host, port))
    except OSError:
        sock.close()
        return None
    return sock
