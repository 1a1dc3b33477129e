"""Targets and rules from the settings file: `[[target]]` and `[[rule]]`, laid over the tables at start and reload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self  # Any: what a rule says

from pydantic import Field, model_validator
from sqlalchemy import Connection

from faxgw.fax.account import Level
from faxgw.fax.routing_rule import Rule
from faxgw.fax.rule_form import RuleDefect, from_json
from faxgw.fax.target import Encryption, Format, Target, TargetDefect, TargetKind, check
from faxgw.settings import Secret, Section
from faxgw.store import rules, targets


class TargetSection(Section):
    """`[[target]]`: where received faxes can go."""

    name: str
    """As rules name it: small letters, digits and . _ -."""
    customer: str = ""
    """Whose it is; empty: every customer's rules may name it."""
    kind: TargetKind
    """`mail`, `sftp`, `ftp`, `webhook`, `pull`, `pickup`, `folder`, `print`."""
    address: str
    """Mail address, host, URL, topic, login, folder or printer, as the kind has it."""
    params: dict[str, str] = Field(default_factory=dict)
    """What else the kind wants to know."""
    formats: tuple[Format, ...] = (Format.PDF,)
    """Documents to deliver."""
    searchable: bool = False
    """PDF files bear the text that was read."""
    upright: bool = False
    """Pages that lie on their side or upside down are turned."""
    file_name: str = ""
    """Template of file names, such as {account}-{date}-{time}-{id}."""
    encryption: Encryption = Encryption.NONE
    """`password`, `certificate`, `pgp`."""
    recipient_key: str = ""
    """Certificate (PEM) or OpenPGP key (ASCII armour) to encrypt for."""
    secrets: dict[str, Secret] = Field(default_factory=dict)
    """Passwords and keys, by name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            check(self.target)
        except TargetDefect as exc:
            raise ValueError("; ".join(exc.faults)) from exc
        return self

    @property
    def target(self) -> Target:
        """As the store has it."""
        return Target(
            targets.seed_id(self.customer, self.name),
            self.customer,
            self.name,
            self.kind,
            self.address,
            self.params,
            self.formats,
            self.searchable,
            self.upright,
            self.file_name,
            self.encryption,
            self.recipient_key,
            tuple(sorted(self.secrets)),
        )

    @property
    def own_secrets(self) -> dict[str, str]:
        """In clear."""
        return {name: secret.reveal() for name, secret in self.secrets.items()}


class RuleSection(Section):
    """`[[rule]]`: what happens to received faxes."""

    name: str
    """Unique at its place."""
    customer: str = ""
    """Whose faxes it is asked about; empty: everybody's."""
    number: str = ""
    """Only this number of the customer's, as its entry has it."""
    profile: str = ""
    """Only numbers of this profile of the customer's."""
    position: int = Field(default=100, ge=0, le=rules.MAX_POSITION)
    """Lower is asked first."""
    when: dict[str, Any] = Field(default_factory=dict)
    """Conditions; none: every fax."""
    then: dict[str, Any] = Field(default_factory=dict)
    """Actions."""
    stop: bool = True
    """No rule after it is asked when it fits."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if ((self.number or self.profile) and not self.customer) or (self.number and self.profile):
            raise ValueError("number or profile stand with a customer, and not both")
        try:
            from_json({"when": self.when, "then": self.then, "stop": self.stop})
        except RuleDefect as exc:
            raise ValueError("; ".join(exc.faults)) from exc
        return self

    @property
    def rule(self) -> Rule:
        """As the store has it."""
        conditions, actions, stop = from_json({"when": self.when, "then": self.then, "stop": self.stop})
        level, scope = (Level.CUSTOMER, "") if self.customer else (Level.SYSTEM, "")
        if self.number or self.profile:
            level, scope = (Level.NUMBER, self.number) if self.number else (Level.PROFILE, self.profile)
        return Rule("", self.name, self.customer, level, scope, self.position, conditions, actions, stop)


def faults(given: Sequence[TargetSection], ruled: Sequence[RuleSection]) -> list[str]:
    """What is wrong between the tables: names that stand twice."""
    names = [("target", one.customer, "", one.name) for one in given]
    names += [("rule", one.customer, one.number or one.profile, one.name) for one in ruled]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"{kind} {name} of {owner or 'the gateway'} stands twice" for kind, owner, _scope, name in twice]


def lay(conn: Connection, given: Sequence[TargetSection], ruled: Sequence[RuleSection], *, now: float) -> None:
    """Lay the tables over the store, after the customers. Raises Refused when a rule names what is not there."""
    targets.seed(conn, [(one.target, one.own_secrets) for one in given], now=now)
    rules.seed(conn, [one.rule for one in ruled], now=now)
