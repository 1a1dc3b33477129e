"""Customers from the settings file: `[[customer]]` tables, laid over the directory at start.

The directory is the truth; the seed is a convenience for small sites and for the first start. What it names is made
or changed, nothing is removed. Every value is checked when the settings are read, with its key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self  # Any: settings of an account: each key has its own type, checked by fax.account

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import Field, field_validator, model_validator
from sqlalchemy import Connection, Table, select, true

from faxgw.fax.account import check_settings
from faxgw.fax.errors import Refused
from faxgw.settings import Secret, Section
from faxgw.store import directory, named_templates
from faxgw.store import schema as t
from faxgw.store.directory import CustomerSeed, NumberSeed, UserSeed
from faxgw.store.namesakes import namesake
from faxgw.store.register import MAX_RANGE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESS = re.compile(r"[^\s@<>]{0,64}@[^\s@<>]{1,255}")
_E164 = re.compile(r"\+[1-9][0-9]{3,14}")


def _checked(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a table of settings")
    values, faults = check_settings(value)
    if faults:
        raise ValueError("; ".join(faults))
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def _named(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be a short name of letters, digits, dots, dashes and underscores")
    return value


class UserSection(Section):
    """`[[customer.user]]`: somebody who may send faxes."""

    name: str
    """Short name, unique within the customer."""
    login: str | None = None
    """Name for SMTP AUTH; none: the user cannot log in."""
    password: Secret | None = None
    """Password, or its argon2id hash as `faxgw password` prints it."""
    profile: str | None = None
    """Profile whose settings the user inherits."""
    addresses: tuple[str, ...] = ()
    """Envelope senders that are this user."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of this user."""

    _check_name = field_validator("name")(_named)
    _check_settings = field_validator("settings", mode="before")(_checked)

    @field_validator("addresses")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ADDRESS.fullmatch(a) and not a.startswith("@") for a in value):
            raise ValueError("must be mail addresses")
        return value


class NumberSection(Section):
    """`[[customer.number]]`: a number that receives faxes."""

    e164: str
    """The number in international form, +33123456789; a fax to another number is refused with 404."""
    last: str | None = Field(default=None, examples=["+33199000199"])
    """Last number of a range, of equal length; none: this number alone. A number of its own outranks the range."""
    deliver_to: tuple[str, ...] = ()
    """Mailboxes that get its faxes; empty: as in `settings`, else the fallback mailbox."""
    csid: str | None = None
    """Identification shown to the sender's machine (CSI), at most 20 of + 0-9 and space; none: the number itself."""
    profile: str | None = None
    """Profile whose settings the number inherits."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of this number."""

    _check_settings = field_validator("settings", mode="before")(_checked)

    @field_validator("e164")
    @classmethod
    def _check_number(cls, value: str) -> str:
        if not _E164.fullmatch(value):
            raise ValueError("must be a number in international form, +33123456789")
        return value

    @model_validator(mode="after")
    def _check_own(self) -> Self:
        if self.last is not None:
            if not _E164.fullmatch(self.last) or len(self.last) != len(self.e164) or self.last <= self.e164:
                raise ValueError("last must be a number of equal length that comes after e164")
            if int(self.last) - int(self.e164) >= MAX_RANGE:
                raise ValueError(f"a range has at most {MAX_RANGE} numbers")
        _checked({"deliver_to": list(self.deliver_to), "csid": self.csid or ""})
        return self

    @property
    def own_settings(self) -> dict[str, Any]:
        """The settings with those that have a key of their own."""
        number = "" if self.last else self.e164  # of a range each number shows itself
        own: dict[str, Any] = {"csid": number if self.csid is None else self.csid}
        if self.deliver_to:
            own["deliver_to"] = list(self.deliver_to)
        return {**own, **self.settings}


class CustomerSection(Section):
    """`[[customer]]`: who sends and receives faxes over this gateway."""

    id: str
    """Short name, unique, for ever."""
    name: str = ""
    """Name shown to people."""
    domains: tuple[str, ...] = ()
    """Fax domains: mail to number@domain is faxed."""
    addresses: tuple[str, ...] = ()
    """Envelope senders that may send without AUTH; `@example.org` is everybody there; strangers prove it."""
    networks: tuple[str, ...] = ()
    """Networks whose hosts may send without AUTH, such as 192.0.2.0/24."""
    profile: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """`[customer.profile.NAME]`: settings that users may inherit."""
    user: tuple[UserSection, ...] = ()
    """Users."""
    number: tuple[NumberSection, ...] = ()
    """Numbers that faxes are received at."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of this customer."""

    _check_id = field_validator("id")(_named)
    _check_settings = field_validator("settings", mode="before")(_checked)

    @field_validator("profile", mode="before")
    @classmethod
    def _check_profiles(cls, value: object) -> dict[str, dict[str, Any]]:
        if not isinstance(value, Mapping):
            raise ValueError("must be a table of profiles")
        return {_named(str(name)): _checked(settings) for name, settings in value.items()}

    @field_validator("addresses")
    @classmethod
    def _check_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ADDRESS.fullmatch(a) for a in value):
            raise ValueError("must be mail addresses, or @domain")
        return value

    @field_validator("networks")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)
        return value


class AccountSection(Section):
    """`[settings]`: the system level of the settings hierarchy; `faxgw settings` lists the keys."""

    values: dict[str, Any] = Field(default_factory=dict)
    """`[settings.values]`: settings in force where no customer, profile or user says otherwise."""

    _check_values = field_validator("values", mode="before")(_checked)


def faults(customers: Sequence[CustomerSection]) -> list[str]:
    """What is wrong between the tables: names that stand twice, profiles that do not exist."""
    found = []
    seen: dict[str, str] = {}
    for c in customers:
        names = [(f"customer {c.id}", c.id)] + [(f"domain {d.lower()}", c.id) for d in c.domains]
        names += [(f"address {a.lower()}", c.id) for a in c.addresses]
        names += [(f"network {ipaddress.ip_network(n)}", c.id) for n in c.networks]
        for user in c.user:
            names += [(f"user {c.id}/{user.name}", c.id), *((f"address {a.lower()}", c.id) for a in user.addresses)]
            names += [(f"login {user.login}", c.id)] if user.login else []
            if user.profile and user.profile not in c.profile:
                found.append(f"customer {c.id}, user {user.name}: there is no profile {user.profile}")
            if (user.login is None) != (user.password is None):
                found.append(f"customer {c.id}, user {user.name}: login and password go together")
        for number in c.number:
            names.append((f"number {number.e164}", c.id))
            if number.profile and number.profile not in c.profile:
                found.append(f"customer {c.id}, number {number.e164}: there is no profile {number.profile}")
        for name, owner in names:
            if name in seen:
                found.append(f"{name} stands twice (customers {seen[name]} and {owner})")
            seen[name] = owner
    return found


def to_seed(customers: Sequence[CustomerSection]) -> tuple[list[CustomerSeed], dict[str, str]]:
    """The seed, and the passwords in clear by user id that `lay` hashes."""
    seeds, clear = [], {}
    for c in customers:
        users = []
        for u in c.user:
            secret = u.password.reveal() if u.password else None
            hashed = secret if secret and secret.startswith("$argon2") else None
            if secret and hashed is None:
                clear[f"{c.id}/{u.name}"] = secret
            users.append(UserSeed(u.name, u.login, hashed, u.profile, u.addresses, u.settings))
        numbers = tuple(NumberSeed(n.e164, n.profile, n.own_settings, n.last) for n in c.number)
        seeds.append(
            CustomerSeed(
                c.id, c.name or c.id, c.domains, c.addresses, c.networks, c.profile, tuple(users), c.settings, numbers
            )
        )
    return seeds, clear


def hash_passwords(known: Mapping[str, str], clear: Mapping[str, str]) -> dict[str, str]:
    """Hash what has changed; some 60 ms of one core and 64 MiB each (RFC 9106 section 4, second choice).

    Args:
        known: User id → hash in the directory.
        clear: User id → password.
    """
    hasher, hashed = PasswordHasher(), {}
    for user, password in clear.items():
        try:
            hasher.verify(known.get(user, ""), password)
        except (VerificationError, InvalidHashError):
            hashed[user] = hasher.hash(password)
        else:
            hashed[user] = known[user]
    return hashed


def lay(
    conn: Connection,
    seeds: Sequence[CustomerSeed],
    hashed: Mapping[str, str],
    system: Mapping[str, Any] | None = None,
) -> None:
    """Lay the seed over the directory.

    Args:
        conn: The unit's connection.
        seeds: What the file names.
        hashed: User id → hash, where the file has the password itself.
        system: Settings of the system level, where they are new.

    Raises:
        UnknownName: If a setting that is new names a template that there is not; with all of them.
        Refused: If a new name differs only in case from another.
    """
    faults = [f"settings: {fault}" for fault in named_templates.faults(conn, "", system or {})]
    for one in seeds:
        faults += _unknown_names(conn, one)
    if alike := _namesakes(conn, seeds):
        text = "; ".join(alike)
        raise Refused(text, public=f"In the settings file names differ only in case: {text}.")
    if faults:
        text = "; ".join(faults)
        raise named_templates.UnknownName(text, public=f"The settings file names what is not there: {text}.")
    directory.seed(conn, [_with_hashes(c, hashed) for c in seeds])


def _namesakes(conn: Connection, seeds: Sequence[CustomerSeed]) -> list[str]:
    """New names that differ only in case from others, in the directory or in the file; those that are there stay."""
    found: list[str] = []
    seen: dict[tuple[str, str], str] = {}

    def look(what: str, table: Table, key: str, name: str, of: str = "") -> None:
        within = table.c.customer == of if of else true()
        if conn.execute(select(table.c[key]).where(table.c[key] == name, within).limit(1)).first() is None:
            other = namesake(conn, table.c[key], name, within) or seen.get((f"{what} {of}", name.casefold()))
            if other not in (None, name):
                found.append(f"{what} {name} and {other}" + (f" of customer {of}" if of else ""))
        seen.setdefault((f"{what} {of}", name.casefold()), name)

    for seed in seeds:
        look("customer", t.customers, "id", seed.id)
        for profile in seed.profiles:
            look("profile", t.profiles, "name", profile, seed.id)
        for user in seed.users:
            look("user", t.users, "name", user.name, seed.id)
            if user.login:
                look("login", t.logins, "name", user.login)
    return found


def _unknown_names(conn: Connection, seed: CustomerSeed) -> list[str]:
    """Templates that a customer's settings name and that are not there, but for what the directory has already."""
    levels: list[tuple[str, Table, str, Mapping[str, Any]]] = [
        (f"customer {seed.id}", t.customers, seed.id, seed.settings)
    ]
    for name, settings in seed.profiles.items():
        levels.append((f"profile {seed.id}/{name}", t.profiles, f"{seed.id}/{name}", settings))
    for user in seed.users:
        levels.append((f"user {seed.id}/{user.name}", t.users, f"{seed.id}/{user.name}", user.settings))
    for number in seed.numbers:
        levels.append((f"number {number.e164}", t.numbers, number.e164, number.settings))
    found = []
    for called, table, key, settings in levels:
        if not named_templates.KINDS.keys() & settings.keys():
            continue
        (primary,) = table.primary_key
        before = conn.execute(select(table.c.settings).where(primary == key)).scalar()
        found += [f"{called}: {fault}" for fault in named_templates.faults(conn, seed.id, settings, before)]
    return found


def _with_hashes(customer: CustomerSeed, hashed: Mapping[str, str]) -> CustomerSeed:
    users = tuple(
        replace(user, password_hash=hashed.get(f"{customer.id}/{user.name}", user.password_hash))
        for user in customer.users
    )
    return replace(customer, users=users)
