"""The documents of the accounts interface: what may be sent, checked before anything is asked of the store."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal  # Any: a setting's value has the type its key names

from pydantic import Field, WithJsonSchema, field_validator, model_validator
from typing_extensions import TypeAliasType

from faxgw.api.v1 import patterns
from faxgw.api.v1.types import Document
from faxgw.fax.access import MAX_NETWORKS, USER_SCOPES, Scope, check_networks
from faxgw.fax.account import SETTINGS, AccountState
from faxgw.fax.pattern import MAX_TEXT
from faxgw.fax.target import MAX_VALUE, Encryption, Format, TargetKind
from faxgw.store.passwords import MAX_PASSWORD

MIN_PASSWORD = 10
"""Characters of a password at least."""

Name = Annotated[str, Field(pattern=patterns.NAME)]
"""A short name."""
UserName = Annotated[str, Field(pattern=patterns.USER)]
"""Of a user that is there: those of a directory are called as their mail address."""
E164 = Annotated[str, Field(pattern=patterns.E164)]
"""A number in international form."""
LoginName = Annotated[str, Field(pattern=patterns.LOGIN)]


def _shape(*, null: bool) -> WithJsonSchema:
    """What settings may be, each by its own rule (`fax.account`)."""
    values = {key: dict(setting.shape) for key, setting in SETTINGS.items()}
    for shape in values.values() if null else ():
        shape["type"] = [shape["type"], "null"]
        if "enum" in shape:
            shape["enum"] = [*shape["enum"], None]
    return WithJsonSchema({"type": "object", "additionalProperties": False, "properties": values})


Settings = TypeAliasType("Settings", Annotated[dict[str, Any], Field(max_length=200), _shape(null=False)])
"""Keys of `faxgw settings --keys`; what each may be is checked where they are stored."""
SettingsChange = TypeAliasType("SettingsChange", Annotated[dict[str, Any], Field(max_length=200), _shape(null=True)])
"""The same; null takes one away."""
Text = Annotated[str, Field(max_length=200, pattern=patterns.PRINTABLE)]
Networks = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=MAX_NETWORKS)]
Domain = Annotated[str, Field(pattern=patterns.DOMAIN, min_length=4, max_length=253)]


Word = Annotated[str, Field(max_length=64)]
Value = Annotated[str, Field(max_length=MAX_VALUE)]
When = Annotated[str, Field(max_length=40)]


class CustomerNew(Document):
    """A customer to be made."""

    id: Name
    """Unique for ever."""
    name: Text = ""
    settings: Settings = Field(default_factory=dict)


class CustomerChange(Document):
    """What is to change of a customer; a setting that is null is taken away."""

    name: Text | None = None
    settings: SettingsChange | None = None


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

    settings: SettingsChange


class UserNew(Document):
    """A user to be made."""

    name: Name
    profile: Name | None = None
    settings: Settings = Field(default_factory=dict)


class UserChange(Document):
    """What is to change of a user."""

    profile: Name | None = None
    settings: SettingsChange = Field(default_factory=dict)


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
    settings: SettingsChange = Field(default_factory=dict)


class NumberNew(NumberChange):
    """A number to be entered into the register."""

    e164: E164
    last: E164 | None = None
    """Last number of a range of equal length; null: one number."""
    settings: Settings = Field(default_factory=dict)


class DomainNew(Document):
    """A fax domain."""

    name: Domain

    @field_validator("name")
    @classmethod
    def _lower(cls, value: str) -> str:
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


CustomerScopes = Annotated[
    tuple[
        Annotated[
            Scope,
            Field(strict=False),
            WithJsonSchema({"type": "string", "enum": [scope.value for scope in Scope if scope is not Scope.OPERATOR]}),
        ],
        ...,
    ],
    Field(min_length=1, max_length=len(Scope)),
]
"""A customer has no operators."""


class LoginNew(_Allowed):
    """A login to be made."""

    name: LoginName
    password: Password | None = None
    """None: one is drawn, and shown in the answer alone."""
    user: UserName | None = None
    """Short name of a user; null: the customer as a whole."""
    scopes: CustomerScopes = USER_SCOPES


class LoginChange(_Allowed):
    """What is to change of a login."""

    password: Password | None = None
    scopes: CustomerScopes = USER_SCOPES


class TokenNew(_Allowed):
    """A token to be made."""

    name: Text
    """For people: where it is used."""
    scopes: Scopes
    user: UserName | None = None
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
    user: UserName | None = None

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
            case "domain" if not (4 <= len(self.value) <= 253 and re.fullmatch(patterns.DOMAIN[1:-1], self.value)):
                raise ValueError("must be a domain name")
            case "network":
                ipaddress.ip_network(self.value)
        return self


class TargetChange(Document):
    """What is to change of a target; secrets that are not named stay, empty ones go."""

    kind: Annotated[TargetKind, Field(strict=False)] = TargetKind.MAIL
    address: Annotated[str, Field(max_length=1_000)] = ""
    params: Annotated[dict[Word, Value], Field(max_length=50)] = Field(default_factory=dict)
    formats: Annotated[list[Annotated[Format, Field(strict=False)]], Field(max_length=20)] = Field(
        default_factory=lambda: [Format.PDF]
    )
    searchable: bool = False
    upright: bool = False
    file_name: Annotated[str, Field(max_length=200)] = ""
    encryption: Annotated[Encryption, Field(strict=False)] = Encryption.NONE
    recipient_key: Annotated[str, Field(max_length=100_000)] = ""
    secrets: Annotated[dict[Word, Value], Field(max_length=20)] = Field(default_factory=dict)
    active: bool = True


class TargetNew(TargetChange):
    """A target to be made; docs/inbound-routing.md says what each kind wants."""

    name: Annotated[str, Field(max_length=64)]
    kind: Annotated[TargetKind, Field(strict=False)]
    address: Annotated[str, Field(max_length=1_000)]


class RuleChange(Document):
    """What is to change of a rule; its name and place stay."""

    when: Annotated[dict[str, Any], Field(max_length=50)] = Field(default_factory=dict)
    """Conditions; none: every fax."""
    then: Annotated[dict[str, Any], Field(max_length=50)] = Field(default_factory=dict)
    """Actions."""
    stop: bool = True
    """No rule after it is asked when it fits."""
    position: Annotated[int, Field(ge=0)] = 100
    """Lower is asked first."""
    active: bool = True


class RuleNew(RuleChange):
    """A rule to be made."""

    name: Annotated[str, Field(pattern=patterns.RULE_NAME)]
    number: Annotated[str, Field(max_length=20)] = ""
    """Only for this number."""
    profile: Annotated[str, Field(max_length=64)] = ""
    """Only for numbers of this profile."""


class RoutingTry(Document):
    """A fax: a stored one by its id, or what is assumed of one."""

    reception: Annotated[str, Field(max_length=64)] | None = None
    number: Annotated[str, Field(max_length=40)] = ""
    caller: Annotated[str, Field(max_length=160)] = ""
    csid: Annotated[str, Field(max_length=40)] = ""
    sub_address: Annotated[str, Field(max_length=24)] = ""
    at: Annotated[str, Field(max_length=40)] | None = None
    """RFC 3339; null: now."""
    pages: Annotated[int, Field(ge=0, le=100_000)] | None = None
    complete: bool = True
    junk: Annotated[int, Field(ge=0, le=100)] = 0
    texts: Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=1_000)] = Field(
        default_factory=list
    )
    """What would be read, a text a page."""
    barcodes: Annotated[list[Annotated[list[Value], Field(min_length=2, max_length=2)]], Field(max_length=1_000)] = (
        Field(default_factory=list)
    )
    """Pairs of kind and text."""


class DeliverAgain(Document):
    """Where a stored fax goes once more."""

    target: Annotated[str, Field(min_length=1, max_length=320)]
    """Name of a target of its customer, or a mail address."""


class HoldNew(Document):
    """What is kept, and why; at least one of customer, number and entity."""

    customer: Annotated[str, Field(max_length=64)] = ""
    number: Annotated[str, Field(max_length=40)] = ""
    entity: Annotated[str, Field(max_length=64)] = ""
    """A fax."""
    since: float | When | None = None
    """Unix seconds, or a date or time as in RFC 3339."""
    until: float | When | None = None
    reason: Annotated[str, Field(max_length=1_000)] = ""


class HoldLift(Document):
    """Why a hold is over."""

    reason: Annotated[str, Field(max_length=1_000)] = ""
