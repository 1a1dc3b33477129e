"""`[[directory]]`: where a customer's directory of users or numbers comes from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from faxgw.formats.directory_csv import Direction
from faxgw.settings import Duration, Secret, Section

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")


class LdapSection(Section):
    """`[directory.ldap]`: a directory that is asked by LDAP (RFC 4511)."""

    url: Annotated[str, Field(pattern=r"^ldaps?://[A-Za-z0-9.:\[\]-]{1,255}/?$")]
    """`ldaps://host`, or `ldap://host` with `start_tls`; the certificate is checked."""
    start_tls: bool = True
    """With `ldap://`: TLS before anything else (RFC 4511 section 4.14); none only on this machine."""
    base: Annotated[str, Field(min_length=1, max_length=1000)]
    """Where to search, such as `ou=people,dc=example,dc=org`."""
    filter: Annotated[str, Field(min_length=3, max_length=4000)] = "(mail=*)"
    """Which entries (RFC 4515)."""
    bind: str = ""
    """Name to log in as; empty: anonymously."""
    password: Secret | None = None
    """Its password."""
    attributes: dict[str, str] = Field(default_factory=lambda: {"e-mail": "mail"})
    """Column of the CSV → attribute that fills it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        host = urlsplit(self.url).hostname or ""
        if self.url.startswith("ldap://") and not self.start_tls and host not in _LOOPBACK:
            raise ValueError("without TLS only to this machine")
        if bool(self.bind) != (self.password is not None):
            raise ValueError("bind and password belong together")
        if not all(_ATTRIBUTE.fullmatch(name) for name in self.attributes.values()):
            raise ValueError("attributes must be names of attributes")
        return self


class DirectorySettings(Section):
    """`[[directory]]`: a directory of a customer's users or numbers, imported again and again."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    """Short name, unique."""
    customer: Annotated[str, Field(min_length=1, max_length=64)]
    """Whose directory it is."""
    direction: Direction = Direction.OUTBOUND
    """`outbound`: users, 25 columns; `inbound`: numbers, 11 columns."""
    folder: Path | None = Field(default=None, examples=["/srv/directory"])
    """Watched folder: each `*.csv` that is laid there is imported and moved to `done` or `refused`."""
    url: str | None = None
    """CSV that is fetched by HTTPS; the certificate is checked."""
    login: str = ""
    """Name for HTTP Basic at `url`; empty: none."""
    password: Secret | None = None
    """Its password."""
    ca_file: Path | None = None
    """PEM file of certificate authorities to trust instead of the system's, for `url` and LDAP."""
    ldap: LdapSection | None = None
    """Directory that is asked by LDAP."""
    every: Annotated[Duration, Field(ge=60)] = Duration(3600)
    """How often `url` or LDAP are asked."""
    max_deletion: Annotated[float, Field(ge=0, le=100)] = 10.0
    """Percent of the entries that an import may end; above it the whole import is refused."""
    notify: tuple[str, ...] = ()
    """Mail addresses that get the result."""
    numbers: tuple[str, ...] = ()
    """Inbound: beginnings of numbers, +3312345, that the directory may enter into the register."""

    @field_validator("notify")
    @classmethod
    def _check_notify(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[^\s@<>]{1,64}@[^\s@<>]{1,255}", address) for address in value):
            raise ValueError("must be mail addresses")
        return value

    @field_validator("numbers")
    @classmethod
    def _check_numbers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"\+[1-9][0-9]{1,14}", beginning) for beginning in value):
            raise ValueError("must be beginnings of numbers in international form, +3312345")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(source is not None for source in (self.folder, self.url, self.ldap)) > 1:
            raise ValueError("folder, url and ldap exclude one another")
        if self.url is not None:
            parts = urlsplit(self.url)
            if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
                raise ValueError("url must begin with https://")
        if bool(self.login) != (self.password is not None):
            raise ValueError("login and password belong together")
        if self.ldap is not None and not set(self.ldap.attributes) <= set(self.direction.columns):
            raise ValueError("ldap.attributes must be named like the columns of this direction")
        return self


def faults(directories: tuple[DirectorySettings, ...]) -> list[str]:
    """What is wrong between the tables."""
    found, names, targets = [], set(), set()
    for directory in directories:
        target = (directory.customer, directory.direction)
        if directory.name in names:
            found.append(f"directory {directory.name} stands twice")
        if target in targets:
            found.append(
                f"customer {directory.customer} has two {directory.direction} directories: they would undo one another"
            )
        names.add(directory.name)
        targets.add(target)
    return found
