"""Keys that links in mails are signed with, one for each purpose, the same for every node and after every start.

Whoever can read the database or a backup of it can make such links, as he can do what they do.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from faxgw.store import schema as t

KEY_OCTETS = 32
"""Octets of a key: those of the hash that signs (RFC 2104 section 3)."""
JUNK = "junk release"
"""Name of the key of links that release a fax which was set aside as junk."""


def find(conn: Connection, name: str) -> bytes | None:
    """The key of a purpose; None while nothing was signed for it."""
    found = conn.execute(select(t.link_keys.c.key).where(t.link_keys.c.name == name)).scalar()
    return None if found is None else bytes(found)


def obtain(conn: Connection, name: str, *, drawn: bytes, now: float) -> bytes:
    """The key of a purpose, made now when there is none.

    Args:
        conn: The unit's connection.
        name: The purpose.
        drawn: KEY_OCTETS random octets, drawn before the unit, which may run again.
        now: Unix seconds.
    """
    if len(drawn) != KEY_OCTETS:
        raise ValueError(f"a key has {KEY_OCTETS} octets")
    if (found := find(conn, name)) is not None:
        return found
    conn.execute(insert(t.link_keys).values(name=name, key=drawn, made_at=now))
    return drawn
