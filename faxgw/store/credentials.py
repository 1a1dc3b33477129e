"""Logins and API tokens: what is stored of a credential, and whom it stands for.

Passwords are argon2id hashes. A token's secret is 256 random bits, so its SHA-256 is enough: there is nothing to
guess, and the index finds it at once. The secret is shown once, when it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from faxgw.fax.account import AccountState, Level, Origin, resolve, strictest
from faxgw.fax.errors import Refused
from faxgw.store import accounts
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from faxgw.store.journal import note

TOKEN_OCTETS = 32
"""Random octets of a token's secret."""
MAX_TOKENS = 1_000
"""Tokens of one customer at most, revoked ones included."""
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


@dataclass(frozen=True, slots=True)
class TokenDraft:
    """A token before it is written."""

    id: str
    hash: str
    """From `digest_of`; the secret itself is never stored."""
    name: str
    """For people."""
    scopes: tuple[str, ...]
    user: str = ""
    """Short name of a user; empty: the customer as a whole."""
    allow: tuple[str, ...] = ()
    expires_at: float | None = None
    """Unix seconds; None: never."""


def create_token(conn: Connection, customer: str, draft: TokenDraft, *, by: Author) -> None:
    """Write a token; without a customer it is an operator's.

    Raises:
        NotFound: If there is no such customer or user.
        Refused: If the customer has too many.
    """
    user = None
    if customer:
        accounts.customer_row(conn, customer)
        user = accounts.row(conn, customer, accounts.USER, draft.user)["id"] if draft.user else None
    owner = t.tokens.c.customer == customer if customer else t.tokens.c.customer.is_(None)
    if conn.execute(select(func.count()).select_from(t.tokens).where(owner)).scalar_one() >= MAX_TOKENS:
        raise Refused(public=f"There are {MAX_TOKENS} tokens already; revoke some.")
    conn.execute(
        insert(t.tokens).values(
            id=draft.id,
            customer=customer or None,
            user=user,
            name=draft.name,
            hash=draft.hash,
            scopes=list(draft.scopes),
            allow=list(draft.allow),
            state=AccountState.ACTIVE.value,
            created_at=by.now,
            created_by=by.who[:130],
            expires_at=draft.expires_at,
        )
    )
    data = {"customer": customer, "name": draft.name, "scopes": list(draft.scopes)}
    note(
        conn,
        customer[: accounts.ENTITY],
        "account.token.created",
        now=by.now,
        who=by.who,
        data=data | {"key": draft.id},
    )


def token_rows(conn: Connection, customer: str) -> Sequence[Mapping[str, Any]]:
    """A customer's tokens, newest first, without their hashes; without a customer the operators'."""
    owner = t.tokens.c.customer == customer if customer else t.tokens.c.customer.is_(None)
    columns = [column for column in t.tokens.c if column.name != "hash"]
    query = select(*columns).where(owner).order_by(t.tokens.c.created_at.desc(), t.tokens.c.id).limit(MAX_TOKENS)
    found = [dict(row) for row in conn.execute(query).mappings()]
    return [row | {"user": (row["user"] or "").partition("/")[2]} for row in found]


def set_token_state(conn: Connection, customer: str, token: str, state: AccountState, *, by: Author) -> None:
    """Suspend, resume or revoke (end) a token. Raises NotFound, Refused."""
    owner = t.tokens.c.customer == customer if customer else t.tokens.c.customer.is_(None)
    before = conn.execute(select(t.tokens.c.state).where(t.tokens.c.id == token, owner)).scalar()
    if before is None:
        raise accounts.NotFound
    if before == AccountState.ENDED and state is not AccountState.ENDED:
        raise Refused(public="A token that was revoked stays revoked.")
    conn.execute(update(t.tokens).where(t.tokens.c.id == token).values(state=state.value))
    data = {"customer": customer, "key": token, "before": before, "after": state.value}
    note(conn, customer[: accounts.ENTITY], "account.token.state", now=by.now, who=by.who, data=data)


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
