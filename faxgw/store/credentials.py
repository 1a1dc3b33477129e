"""Logins and API tokens: what is stored of a credential, and whom it stands for.

Passwords are argon2id hashes. A token's secret is 256 random bits, so its SHA-256 is enough: there is nothing to
guess, and the index finds it at once. The secret is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, Select, select, update

from faxgw.fax.account import AccountState, Level, Origin, resolve, strictest
from faxgw.store import schema as t

TOKEN_OCTETS = 32
"""Random octets of a token's secret."""
TOKEN_MARK = "fxt_"
"""How a token begins, so that scanners for leaked secrets know it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A login or a token as it is stored."""

    login: str
    """Login name; empty for a token."""
    token: str
    """Token id; empty for a login."""
    customer: str
    """Customer id; empty for an operator's token."""
    user: str
    """User id; empty: the customer as a whole."""
    password: str
    """Argon2id hash; empty for a token."""
    scopes: tuple[str, ...]
    allow: tuple[str, ...]
    """Networks from which it may be used; empty: from anywhere."""
    own_state: AccountState
    """Of the login or token alone."""
    state: AccountState
    """The strictest of the login's or token's own, its user's and its customer's."""
    expires_at: float | None
    """Unix seconds; None: never."""
    last_used_at: float
    """Unix seconds, roughly; 0.0: never."""
    interfaces: tuple[str, ...]
    """Entitlement `interfaces` in force for its user."""


def digest_of(secret: str) -> str:
    """What is stored of a token's secret: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def find_login(conn: Connection, system: Mapping[str, object], name: str) -> Credential | None:
    """The login of a name; None when there is none.

    Args:
        conn: The unit's connection.
        system: Settings of the system level.
        name: As the client gave it.
    """
    row = conn.execute(_with_owner(t.logins).where(t.logins.c.name == name)).first()
    return None if row is None else _credential(row, system, login=row.name, password=row.password)


def find_token(conn: Connection, system: Mapping[str, object], secret: str) -> Credential | None:
    """The token of a secret; None when there is none. Arguments as for `find_login`."""
    row = conn.execute(_with_owner(t.tokens).where(t.tokens.c.hash == digest_of(secret))).first()
    return None if row is None else _credential(row, system, token=row.id, expires_at=row.expires_at)


def touch(conn: Connection, credential: Credential, *, now: float) -> None:
    """Note that a credential was used."""
    if credential.login:
        conn.execute(update(t.logins).where(t.logins.c.name == credential.login).values(last_used_at=now))
    else:
        conn.execute(update(t.tokens).where(t.tokens.c.id == credential.token).values(last_used_at=now))


def _with_owner(table: Any) -> Select[Any]:
    joined = table.outerjoin(t.customers, t.customers.c.id == table.c.customer)
    joined = joined.outerjoin(t.users, t.users.c.id == table.c.user)
    joined = joined.outerjoin(t.profiles, t.profiles.c.id == t.users.c.profile)
    return select(
        table,
        t.customers.c.state.label("customer_state"),
        t.customers.c.settings.label("customer_settings"),
        t.users.c.state.label("user_state"),
        t.users.c.settings.label("user_settings"),
        t.profiles.c.settings.label("profile_settings"),
    ).select_from(joined)


def _credential(
    row: Row[Any],
    system: Mapping[str, object],
    *,
    login: str = "",
    token: str = "",
    password: str = "",
    expires_at: float | None = None,
) -> Credential:
    own = AccountState(row.state)
    above = [AccountState(state) for state in (row.customer_state, row.user_state) if state is not None]
    return Credential(
        login=login,
        token=token,
        customer=row.customer or "",
        user=row.user or "",
        password=password,
        scopes=tuple(row.scopes),
        allow=tuple(row.allow),
        own_state=own,
        state=strictest(own, *above),
        expires_at=expires_at,
        last_used_at=row.last_used_at or 0.0,
        interfaces=_interfaces(system, row.customer_settings, row.profile_settings, row.user_settings),
    )


def _interfaces(system: Mapping[str, object], *levels: Mapping[str, object] | None) -> tuple[str, ...]:
    """The one setting that every request asks for, without resolving all others."""
    names = (Level.CUSTOMER, Level.PROFILE, Level.USER)
    given: Sequence[tuple[Origin, Mapping[str, Any]]] = [
        (Origin(level), {key: value for key, value in (settings or {}).items() if key == "interfaces"})
        for level, settings in zip((Level.SYSTEM, *names), (system, *levels), strict=True)
    ]
    found: tuple[str, ...] = resolve(given)["interfaces"]
    return found
