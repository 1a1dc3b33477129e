"""The types that settings are made of: Secret, Listener, Duration, Tls.

Each is written in TOML as a short text (a secret also as a table that says where it lies), checks itself when the
settings are read, and is a plain value afterwards. Adapters import them from `faxgw.settings`.
"""

from __future__ import annotations

import hmac
import os
import re
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo, model_validator
from pydantic_core import CoreSchema, core_schema

MAX_SECRET = 65_536
"""Octets of a secret's file at most; a private key in PEM is a tenth of it."""
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 with forward secrecy and authenticated encryption only (RFC 9325 section 4.2); TLS 1.3 has its own."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_LISTENER = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:\s]+)):(?P<port>\d{1,5})")


def world_readable(path: Path) -> bool:
    """Whether every user of the machine may read the file.

    Raises:
        OSError: If it cannot be looked at.
    """
    return bool(path.stat().st_mode & stat.S_IROTH)


class Secret:
    """A password, token or key, kept from being shown by accident.

    In TOML a text, or a table with one of `file` (absolute path, not readable by all), `env` (name of a variable) or
    `credential` (name of a systemd credential). `reveal` gives the text; everything else gives asterisks.
    """

    __slots__ = ("_text", "literal")

    def __init__(self, text: str, *, literal: bool = True) -> None:
        self._text = text
        self.literal = literal
        """True when the text itself was written into the settings."""

    @classmethod
    def parse(cls, value: object, environ: Mapping[str, str]) -> Self:
        """Take a secret from what stands in the settings.

        Raises:
            ValueError: If it is none, or cannot be had from where it is said to lie.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            text, literal = value, True
        elif isinstance(value, Mapping) and len(value) == 1:
            ((kind, name),) = value.items()
            text, literal = _fetch(kind, name, environ), False
        else:
            raise ValueError('must be a text, or one of { file = "/path" }, { env = "NAME" }, { credential = "name" }')
        if not text:
            raise ValueError("is an empty secret")
        return cls(text, literal=literal)

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(********)"

    def __str__(self) -> str:
        return "********"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # Any: pydantic
        def check(value: object, info: ValidationInfo) -> Secret:
            return cls.parse(value, (info.context or {}).get("environ", os.environ))

        return core_schema.with_info_plain_validator_function(
            check, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def _fetch(kind: object, name: object, environ: Mapping[str, str]) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError("the place of a secret must be a text")
    if kind == "env":
        if name not in environ:
            raise ValueError("the variable that should hold the secret is not set")
        return environ[name]
    if kind == "credential":
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ValueError("there are no systemd credentials: CREDENTIALS_DIRECTORY is not set")
        if "/" in name or name in {".", ".."}:
            raise ValueError("the name of a credential is no path")
        return _read(Path(folder) / name)
    if kind == "file":
        path = Path(name)
        if not path.is_absolute():
            raise ValueError("the path of a secret must be absolute")
        return _read(path)
    raise ValueError("a secret lies in a `file`, an `env` variable or a `credential`")


def _read(path: Path) -> str:
    try:
        if world_readable(path):
            raise ValueError("the secret's file can be read by every user: chmod o-r")
        with path.open("rb") as file:
            octets = file.read(MAX_SECRET + 1)
        if len(octets) > MAX_SECRET:
            raise ValueError(f"the secret's file is larger than {MAX_SECRET} octets")
        return octets.decode().rstrip("\r\n")
    except OSError as exc:
        raise ValueError(f"the secret's file cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ValueError("the secret's file is not UTF-8") from exc


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a server listens: `127.0.0.1:2525`, `[::1]:2525`, `0.0.0.0:25` for every IPv4 address."""

    host: str
    """Address or host name, without brackets."""
    port: int
    """0 to 65535; 0 lets the system choose."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `host:port`.

        Raises:
            ValueError: If it is not of that form.
        """
        if isinstance(text, cls):
            return text
        found = _LISTENER.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError('must be "host:port", such as "127.0.0.1:2525", "[::1]:2525" or "0.0.0.0:25"')
        port = int(found["port"])
        if port > 65535:
            raise ValueError("a port is at most 65535")
        return cls(found["v6"] or found["host"], port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # Any: pydantic
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


class Duration(float):
    """A span of time in seconds, written with units: `250ms`, `30s`, `5m`, `1h30m`, `5d`, `2w`."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a span of time.

        Raises:
            ValueError: If it has no unit or is not of that form.
        """
        if isinstance(text, cls):
            return text
        found = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
        if found is None:
            raise ValueError('must be a span of time with its units, such as "30s", "5m" or "1h30m"')
        factors = [_UNITS[unit] for unit in ("w", "d", "h", "m", "s", "ms")]
        return cls(sum(float(number) * f for number, f in zip(found.groups(), factors, strict=True) if number))

    def __str__(self) -> str:
        rest = round(float(self) * 1000)
        text = ""
        for unit in ("w", "d", "h", "m", "s", "ms"):
            count, rest = divmod(rest, round(_UNITS[unit] * 1000))
            text += f"{count}{unit}" if count else ""
        return text or "0s"

    def __repr__(self) -> str:
        return f"Duration({float(self)!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # Any: pydantic
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


class Tls(BaseModel):
    """A server's certificate and key; that they can be read and belong together is checked with the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    certificate: Path = Field(examples=["/etc/faxgw/server.pem"])
    """PEM file: the server's certificate, then the intermediate ones."""
    key: Path = Field(examples=["/etc/faxgw/server.key"])
    """PEM file of the private key, without a passphrase, not readable by all."""

    def server_context(self) -> ssl.SSLContext:
        """A new context for a server: TLS 1.2 or later (RFC 9325). Reads the files anew.

        Raises:
            OSError: If a file cannot be read, is no PEM, or the two do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.load_cert_chain(self.certificate, self.key, password="")  # an empty one fails; none would ask a tty
        return context

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        for path in (self.certificate, self.key):
            try:
                with path.open("rb"):
                    pass
            except OSError as exc:
                raise ValueError(f"{path} cannot be read: {exc.strerror}") from exc
        if world_readable(self.key):
            raise ValueError("the key's file can be read by every user: chmod o-r")
        try:
            self.server_context()
        except OSError as exc:
            raise ValueError("the certificate and the key are no PEM files that belong together") from exc
        return self
