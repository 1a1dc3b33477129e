"""The documents of the accounts interface: what may be sent, checked before anything is asked of the store."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal  # Any: a setting's value has the type its key names

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from faxgw.fax.access import USER_SCOPES, Scope, check_networks
from faxgw.fax.account import AccountState
from faxgw.store.passwords import MAX_PASSWORD

MIN_PASSWORD = 10
"""Characters of a password at least."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A short name."""
E164 = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{3,14}$")]
"""A number in international form."""
LoginName = Annotated[str, Field(pattern=r"^[^\x00-\x20\x7f:/][^\x00-\x1f\x7f:/]{0,254}$")]
"""Without a colon, which ends the name in HTTP Basic (RFC 7617 section 2), and without a slash, for it is in paths."""
Settings = Annotated[dict[str, Any], Field(max_length=200)]
"""Keys of `faxgw settings --keys`."""
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Networks = Annotated[tuple[str, ...], Field(max_length=50)]
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class Document(BaseModel):
    """A document that knows all its members."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self) -> dict[str, Any]:
        """The members that were sent."""
        return self.model_dump(mode="json", exclude_unset=True)


class CustomerNew(Document):
    """A customer to be made."""

    id: Name
    """Unique for ever."""
    name: Text = ""
    settings: Settings = Field(default_factory=dict)


class CustomerChange(Document):
    """What is to change of a customer; a setting that is null is taken away."""

    name: Text | None = None
    settings: Settings | None = None


class StateChange(Document):
    """A state to be set."""

    state: AccountState = Field(strict=False)
    reason: Text = ""
    """For the audit."""


class ProfileNew(Document):
    """A profile to be made."""

    name: Name
    settings: Settings = Field(default_factory=dict)


class ProfileChange(Document):
    """Settings to change; null takes one away."""

    settings: Settings


class UserNew(Document):
    """A user to be made."""

    name: Name
    profile: Name | None = None
    settings: Settings = Field(default_factory=dict)


class UserChange(Document):
    """What is to change of a user."""

    profile: Name | None = None
    settings: Settings = Field(default_factory=dict)


class NumberChange(Document):
    """What is to change of a number."""

    profile: Name | None = None
    inbound: bool = True
    """Faxes are received at it."""
    clip: bool = False
    """The customer may be seen to call from it."""
    clip_until: float | None = Field(default=None, ge=0)
    """Until when the consent to that holds, Unix seconds; null: for ever."""
    origin: Literal["assigned", "ported"] = "assigned"
    settings: Settings = Field(default_factory=dict)


class NumberNew(NumberChange):
    """A number to be entered into the register."""

    e164: E164
    last: E164 | None = None
    """Last number of a range of equal length; null: one number."""


class DomainNew(Document):
    """A fax domain."""

    name: str

    @field_validator("name")
    @classmethod
    def _check(cls, value: str) -> str:
        if not _DOMAIN.fullmatch(value.lower()):
            raise ValueError("must be a domain name")
        return value.lower()

    def given(self) -> dict[str, Any]:
        """The columns; a domain has settings in the table."""
        return {"name": self.name, "settings": {}}


class _Allowed(Document):
    allow: Networks = ()
    """Networks from which it may be used; empty: from anywhere."""

    @field_validator("allow")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(value)

    @field_validator("allow", "scopes", mode="before", check_fields=False)
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


Scopes = Annotated[tuple[Annotated[Scope, Field(strict=False)], ...], Field(min_length=1, max_length=len(Scope))]
Password = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]


class LoginNew(_Allowed):
    """A login to be made."""

    name: LoginName
    password: Password | None = None
    """None: one is drawn, and shown in the answer alone."""
    user: Name | None = None
    """Short name of a user; null: the customer as a whole."""
    scopes: Scopes = USER_SCOPES


class LoginChange(_Allowed):
    """What is to change of a login."""

    password: Password | None = None
    scopes: Scopes = USER_SCOPES


class TokenNew(_Allowed):
    """A token to be made."""

    name: Text
    """For people: where it is used."""
    scopes: Scopes
    user: Name | None = None
    expires_at: float | None = Field(default=None, ge=0)
    """Unix seconds; null: never."""


class KeyNew(Document):
    """A public key for a login, for SFTP."""

    login: Annotated[str, Field(min_length=1, max_length=320)]
    key: Annotated[str, Field(min_length=1, max_length=4_000)]
    """One line as in a `.pub` file."""


class SenderNew(Document):
    """Somebody who may send without a login; only for networks you trust."""

    kind: Literal["address", "domain", "network"]
    value: Annotated[str, Field(max_length=320)]
    user: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _lower(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("value"), str):
            return given | {"value": given["value"].strip().lower()}
        return given

    @model_validator(mode="after")
    def _check(self) -> SenderNew:
        match self.kind:
            case "address" if not re.fullmatch(r"[^\s@<>]{1,64}@[^\s@<>]{1,255}", self.value):
                raise ValueError("must be a mail address")
            case "domain" if not _DOMAIN.fullmatch(self.value):
                raise ValueError("must be a domain name")
            case "network":
                ipaddress.ip_network(self.value)
        return self
