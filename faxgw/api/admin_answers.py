"""What the administration answers with, for its description: times are Unix seconds, secrets never come out."""

from __future__ import annotations

from typing import Any, Literal  # Any: settings have the types that their keys name

from pydantic import Field

from faxgw.api.v1.types import Answer
from faxgw.fax.account import AccountState

Origin = Literal["assigned", "ported"]


class Managed(Answer):
    """A thing that somebody keeps."""

    managed: str
    """`file`: the settings file keeps it, and it is changed there; else who does, or empty."""


class CustomerShown(Managed):
    """A customer."""

    id: str
    name: str
    state: AccountState
    settings: dict[str, Any]


class Customers(Answer):
    """Customers, by id."""

    customers: list[CustomerShown]


class ProfileShown(Managed):
    """A profile."""

    id: str
    customer: str
    name: str
    settings: dict[str, Any]


class Profiles(Answer):
    """Profiles, by name."""

    profiles: list[ProfileShown]


class UserShown(Managed):
    """A user."""

    id: str
    customer: str
    profile: str | None
    name: str
    state: AccountState
    settings: dict[str, Any]


class Users(Answer):
    """Users, by name."""

    users: list[UserShown]


class NumberShown(Managed):
    """A number of the register."""

    e164: str
    last: str | None
    """Last number of a range; null: one number."""
    customer: str
    profile: str | None
    state: AccountState
    settings: dict[str, Any]
    inbound: bool
    clip: bool
    """The customer may be seen to call from it."""
    clip_until: float | None
    origin: Origin


class Numbers(Answer):
    """Numbers, in their order."""

    numbers: list[NumberShown]


class DomainShown(Managed):
    """A fax domain."""

    name: str
    customer: str | None
    settings: dict[str, Any]


class Domains(Answer):
    """Fax domains, by name."""

    domains: list[DomainShown]


class LoginShown(Managed):
    """A login."""

    name: str
    customer: str
    user: str | None
    scopes: list[str]
    allow: list[str]
    state: AccountState
    created_at: float
    last_used_at: float | None


class LoginMade(LoginShown):
    """A login, and its password where the gateway drew one."""

    password: str | None = None
    """In this answer alone."""


class Logins(Answer):
    """Logins, by name."""

    logins: list[LoginShown]


class SettingInForce(Answer):
    """A setting as it holds."""

    value: Any
    origin: str
    """The level that it comes from."""


class SettingsInForce(Answer):
    """Every setting as it holds for a user, or the customer as a whole."""

    customer: str
    user: str
    settings: dict[str, SettingInForce]


class ChangeEvent(Answer):
    """One change of a customer's accounts."""

    serial: int
    at: float
    what: str
    who: str
    data: dict[str, Any]


class Changes(Answer):
    """Changes, newest first."""

    events: list[ChangeEvent]


class SenderShown(Managed):
    """Somebody who may send without a login."""

    kind: str
    value: str
    customer: str
    user: str | None


class Senders(Answer):
    """Everybody who may send without a login."""

    senders: list[SenderShown]


class SenderMade(Answer):
    """What was allowed."""

    kind: str
    value: str
    user: str | None


class KeyShown(Answer):
    """A public key of a login."""

    login: str
    fingerprint: str
    key: str
    comment: str
    created_at: float
    created_by: str
    last_used_at: float | None


class Keys(Answer):
    """Public keys, oldest first."""

    keys: list[KeyShown]


class KeyMade(Answer):
    """A key that was added."""

    login: str
    fingerprint: str
    comment: str


class TokenShown(Answer):
    """A token, without its secret."""

    id: str
    customer: str | None
    user: str
    name: str
    scopes: list[str]
    allow: list[str]
    state: AccountState
    created_at: float
    created_by: str
    expires_at: float | None
    last_used_at: float | None


class Tokens(Answer):
    """Tokens, newest first."""

    tokens: list[TokenShown]


class TokenMade(Answer):
    """A new token."""

    id: str
    name: str
    scopes: list[str]
    expires_at: float | None
    token: str
    """The secret, in this answer alone."""


class DirectoryNames(Answer):
    """Directories that may be imported."""

    directories: list[str]


class Imported(Answer):
    """What an import did, or would do."""

    name: str
    created: int
    changed: int
    ended: int
    unchanged: int
    unused: dict[str, int]
    """Columns without an effect here → entries that fill them."""
    refused: str
    dry_run: bool


class TargetMade(Answer):
    """A target of received faxes; of its secrets the names."""

    id: str
    customer: str
    name: str
    kind: str
    address: str
    params: dict[str, str]
    formats: list[str]
    searchable: bool
    upright: bool
    file_name: str
    encryption: str
    recipient_key: str
    secrets: list[str]
    active: bool


class TargetShown(TargetMade):
    """A target in a list."""

    in_settings_file: bool


class Targets(Answer):
    """Targets, by name."""

    targets: list[TargetShown]


class TargetTried(Answer):
    """What became of a test."""

    delivered: bool
    detail: str


class RuleMade(Answer):
    """A rule: where it is asked, what it asks, what it does. `number` or `profile` says whose faxes it is for."""

    id: str
    name: str
    customer: str
    level: str
    number: str = ""
    profile: str = ""
    position: int
    when: dict[str, Any] = Field(default_factory=dict)
    then: dict[str, Any] = Field(default_factory=dict)
    stop: bool = True
    active: bool


class RuleShown(RuleMade):
    """A rule in a list."""

    in_settings_file: bool


class Rules(Answer):
    """Rules, in the order in which they are asked."""

    rules: list[RuleShown]


class RuleAsked(Answer):
    """A rule that was asked, and what it said."""

    rule: str
    level: str
    scope: str
    verdict: str
    why: str


class DeliveryForeseen(Answer):
    """A delivery that there would be."""

    target: str
    kind: str
    address: str
    formats: list[str]
    searchable: bool
    waits_for_reading: bool
    rule: str
    why: str


class Happening(Answer):
    """What the rules would do with a fax."""

    customer: str
    number: str
    caller: list[str]
    rules: list[RuleAsked]
    waits_for_reading: list[str]
    deliveries: list[DeliveryForeseen]
    missing: list[str]
    tags: list[str]
    language: str
    reply: str
    extracted: dict[str, Any]


class DeliveryMade(Answer):
    """A delivery once more."""

    reception: str
    item: str
    target: str


class PaperShown(Answer):
    """A paper of a number, without its document."""

    id: str
    number: str
    customer: str
    kind: str
    name: str
    content_type: str
    size: int
    sha256: str
    until: float | None
    added_at: float
    added_by: str


class Papers(Answer):
    """Papers."""

    papers: list[PaperShown]


class TemplateFacts(Answer):
    """A template."""

    kind: str
    name: str
    format: str
    of: Literal["customer", "everybody", "shipped"]
    own: bool
    size: int
    sha256: str
    changed_at: float
    changed_by: str


class TemplateList(Answer):
    """Templates that a customer's jobs may name."""

    templates: list[TemplateFacts]


class TemplateShown(TemplateFacts):
    """A template, and the names that somebody has to give a value."""

    needs: list[str]


class TemplateKept(TemplateShown):
    """A template that was taken in."""

    pages: int


class ArchivedFax(Answer):
    """A fax of the archive; its other members are facts of its direction."""

    id: str
    direction: Literal["sent", "received"]
    customer: str
    at: float
    documents: list[str]


class ArchiveFound(Answer):
    """Part of a search."""

    faxes: list[ArchivedFax]
    next: str | None
    """`after` of the following part."""


class PurgeDue(Answer):
    """What a purge would do to a fax now."""

    entity: str
    customer: str
    since: float
    step: str
    held: str
    """The hold that keeps it; else empty."""


class PurgePlan(Answer):
    """What a purge would do now, and how much is kept."""

    due: list[PurgeDue]
    kept: dict[str, int]


class PurgeDone(Answer):
    """What a purge has done since the start."""

    documents: int
    faxes: int
    files: int
    rows: int
    held: int
    last_at: float


class HoldMade(Answer):
    """A legal hold."""

    id: str
    customer: str
    number: str
    entity: str
    since: float | None
    until: float | None
    reason: str


class Holds(Answer):
    """Holds, newest first; with who set and lifted them."""

    holds: list[dict[str, Any]]


class HoldLifted(Answer):
    """A hold that is over."""

    lifted: str


class AuditRecord(Answer):
    """A record of the audit."""

    serial: int
    at: float
    who: str
    way: str
    what: str
    entity: str
    customer: str
    data: str
    """JSON."""
    hash: str


class AuditRecords(Answer):
    """Records, by number."""

    records: list[AuditRecord]


class AuditAnchor(Answer):
    """The newest record."""

    anchor: str
    serial: int
    hash: str


class BrokenChain(Answer):
    """The first record at which the chain does not hold."""

    serial: int
    why: str


class AuditVerified(Answer):
    """Whether the chain holds."""

    ok: bool
    checked: int
    broken: BrokenChain | None


class JunkList(Answer):
    """Received faxes that are set aside, or were judged."""

    faxes: list[dict[str, Any]]


class JunkJudged(Answer):
    """What became of a received fax."""

    fax: str
    state: str
