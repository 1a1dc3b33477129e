"""`[ftp]`: the FTP server, for those who cannot do SFTP."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from faxgw.settings import Duration, Listener, Section, Tls

_PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")


class FtpListener(Section):
    """One address on which FTP is spoken."""

    listen: Listener = Listener("127.0.0.1", 2121)
    """`address:port`."""
    security: Literal["explicit", "implicit"] = "explicit"
    """`explicit`: TLS after AUTH TLS (RFC 4217); `implicit`: from the first octet, as `ftps://` means it."""


class FtpSettings(Section):
    """`[ftp]`: the folders of SFTP by FTP over TLS; without this table there is no FTP server."""

    listeners: Annotated[tuple[FtpListener, ...], Field(min_length=1, max_length=16)] = (FtpListener(),)
    """Where it listens."""
    tls: Tls | None = None
    """Certificate and key; without them only `allow_plain` makes sense."""
    allow_plain: bool = False
    """Take passwords and files without TLS: only in a network that you trust like yourself."""
    passive_ports: Annotated[str, Field(examples=["40000-40199"])] = "40000-40199"
    """Ports for data connections, to be opened in the firewall."""
    passive_address: Annotated[str, Field(pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3})?$")] = ""
    """IPv4 address for PASV where clients reach another one than the machine has; empty: the machine's."""
    connection_limit: Annotated[int, Field(ge=1)] = 100
    """Connections at a time."""
    client_connection_limit: Annotated[int, Field(ge=1)] = 10
    """Connections at a time of one address, IPv6 /64."""
    idle: Annotated[Duration, Field(ge=10)] = Duration(300)
    """A connection that asks for nothing for so long is ended."""

    @property
    def ports(self) -> range:
        """Ports for data connections; 0 alone lets the system choose."""
        first, last = (int(port) for port in self.passive_ports.split("-"))
        return range(first, last + 1)

    @field_validator("passive_ports")
    @classmethod
    def _check_ports(cls, value: str) -> str:
        match = _PORTS.fullmatch(value)
        if match is None or not int(match[1]) <= int(match[2]) <= 65_535:
            raise ValueError("must be two ports such as 40000-40199")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        implicit = any(listener.security == "implicit" for listener in self.listeners)
        if self.tls is None and (implicit or not self.allow_plain):
            raise ValueError("FTP needs [ftp.tls], or allow_plain")
        return self
