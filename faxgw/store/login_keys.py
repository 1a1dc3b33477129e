"""Public keys by which a login proves itself, as SSH clients do: stored whole, found by their SHA-256.

Nothing here is secret. Which kinds of key are taken is said where one is added; who may use a login, and from where,
is the login's own business (store/credentials.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # rows

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from sqlalchemy import Connection, delete, func, insert, select, update

from faxgw.fax.errors import Refused
from faxgw.store import accounts, credentials
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from faxgw.store.credentials import Credential
from faxgw.store.journal import note

MAX_KEYS = 20
"""Keys of one login at most."""
MAX_KEY = 4_000
"""Characters of a key: RSA of 16,384 bits has 2,800."""
MIN_RSA_BITS = 2_048


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as OpenSSH writes it in one line."""

    text: str
    """Type and base64, without the comment."""
    comment: str
    fingerprint: str
    """SHA-256 of the key, hexadecimal."""

    @property
    def shown(self) -> str:
        """The fingerprint as `ssh-keygen -l` shows it."""
        return shown(self.fingerprint)


def shown(fingerprint: str) -> str:
    """A fingerprint as `ssh-keygen -l` shows it."""
    return "SHA256:" + base64.b64encode(bytes.fromhex(fingerprint)).decode().rstrip("=")


def read_key(line: str) -> PublicKey:
    """Read a line of a `.pub` file.

    Raises:
        Refused: If it is none, or of a kind that is not taken: Ed25519, ECDSA, and RSA from 2,048 bits are.
    """
    words = line.strip().split(None, 2)
    if len(words) < 2 or len(line) > MAX_KEY or "\n" in line.strip():
        raise Refused(public="This is not a public key in one line, such as ssh-ed25519 AAAA….")
    try:
        blob = base64.b64decode(words[1], validate=True)
        key = load_ssh_public_key(" ".join(words[:2]).encode())
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as exc:
        raise Refused(public="This is not a public key that is known here.") from exc
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
        raise Refused(public=f"RSA keys must have at least {MIN_RSA_BITS} bits.")
    if not isinstance(key, (rsa.RSAPublicKey, ed25519.Ed25519PublicKey, ec.EllipticCurvePublicKey)):
        raise Refused(public="Only keys of Ed25519, ECDSA and RSA are taken.")
    comment = words[2][:200] if len(words) == 3 and words[2].isprintable() else ""
    return PublicKey(" ".join(words[:2]), comment, hashlib.sha256(blob).hexdigest())


def find(conn: Connection, system: Mapping[str, object], name: str, fingerprint: str) -> Credential | None:
    """The login of a name, if the key is one of its own; None otherwise.

    Args:
        conn: The unit's connection.
        system: Settings of the system level.
        name: As the client gave it.
        fingerprint: SHA-256 of the key, hexadecimal.
    """
    c = t.login_keys.c
    known = conn.execute(select(c.login).where(c.login == name, c.fingerprint == fingerprint)).first()
    return None if known is None else credentials.find_login(conn, system, name)


def used_at(conn: Connection, name: str, fingerprint: str) -> float:
    """When a key was used, in Unix seconds, roughly; 0.0: never."""
    c = t.login_keys.c
    found = conn.execute(select(c.last_used_at).where(c.login == name, c.fingerprint == fingerprint)).scalar()
    return float(found or 0.0)


def touch(conn: Connection, name: str, fingerprint: str, *, now: float) -> None:
    """Note that a key was used."""
    c = t.login_keys.c
    conn.execute(update(t.login_keys).where(c.login == name, c.fingerprint == fingerprint).values(last_used_at=now))


def rows(conn: Connection, customer: str, name: str) -> Sequence[Mapping[str, Any]]:
    """A login's keys, oldest first. Raises NotFound."""
    accounts.row(conn, customer, accounts.LOGIN, name)
    c = t.login_keys.c
    query = select(t.login_keys).where(c.login == name).order_by(c.created_at, c.fingerprint)
    found = conn.execute(query.limit(MAX_KEYS)).mappings()
    return [{**row, "fingerprint": shown(row["fingerprint"])} for row in found]


def add(conn: Connection, customer: str, name: str, key: PublicKey, *, by: Author) -> None:
    """Give a login a key; one that it has already stays as it is.

    Raises:
        NotFound: If there is no such login.
        Refused: If it has too many.
    """
    accounts.row(conn, customer, accounts.LOGIN, name)
    c = t.login_keys.c
    if conn.execute(select(c.login).where(c.login == name, c.fingerprint == key.fingerprint)).first() is not None:
        return
    if conn.execute(select(func.count()).select_from(t.login_keys).where(c.login == name)).scalar_one() >= MAX_KEYS:
        raise Refused(public=f"The login has {MAX_KEYS} keys already; remove some.")
    conn.execute(
        insert(t.login_keys).values(
            login=name,
            fingerprint=key.fingerprint,
            key=key.text,
            comment=key.comment,
            created_at=by.now,
            created_by=by.who[:130],
        )
    )
    _note(conn, customer, name, "added", key.shown, by)


def remove(conn: Connection, customer: str, name: str, wanted: str, *, by: Author) -> None:
    """Take a key away.

    Args:
        conn: The unit's connection.
        customer: Whose login.
        name: The login.
        wanted: The fingerprint as `rows` shows it.
        by: Who does it.

    Raises:
        NotFound: If there is no such login or key.
    """
    accounts.row(conn, customer, accounts.LOGIN, name)
    c = t.login_keys.c
    owned = conn.execute(select(c.fingerprint).where(c.login == name)).scalars()
    found = next((fingerprint for fingerprint in owned if shown(fingerprint) == wanted), None)
    if found is None:
        raise accounts.NotFound
    conn.execute(delete(t.login_keys).where(c.login == name, c.fingerprint == found))
    _note(conn, customer, name, "removed", wanted, by)


def _note(conn: Connection, customer: str, name: str, what: str, key: str, by: Author) -> None:
    data = {"customer": customer, "key": name, "fingerprint": key}
    note(conn, customer[: accounts.ENTITY], f"account.key.{what}", now=by.now, who=by.who, data=data)
