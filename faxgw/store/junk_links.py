"""What a link in the daily mail about junk may see and do: one fax, by one of its owners (fax/release_link.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, select

from faxgw.fax import release_link
from faxgw.fax.account import from_snapshot
from faxgw.store import junk, link_keys
from faxgw.store import schema as t
from faxgw.store.junk import State, Verdict
from faxgw.store.junk_mail import owners_of

_RECEPTION = re.compile("rcv_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Linked:
    """A fax as its owner's link shows it."""

    state: State
    owner: str
    number: str
    """Ours, E.164."""
    caller: str
    """As the trunk gave it; empty: withheld."""
    ident: str
    """What the machine called itself; a stranger's words."""
    at: float
    """When it came, Unix seconds."""
    pages: int
    language: str
    time_zone: str

    @property
    def waits(self) -> bool:
        """Whether it can be released."""
        return self.state in (State.ASIDE, State.JUNK)


def look(conn: Connection, reception: str, token: str, *, now: float) -> Linked | None:
    """The fax that a link is for; None: there is no such link, now or ever. Reads only."""
    if not _RECEPTION.fullmatch(reception):  # PostgreSQL takes no NUL
        return None
    key = link_keys.find(conn, link_keys.JUNK)
    c = t.receptions.c
    columns = (t.junk.c.state, c.number, c.caller, c.ident, c.started_at, c.pages, c.settings)
    row = conn.execute(select(*columns).join(t.receptions, c.id == t.junk.c.reception).where(c.id == reception)).first()
    settings = from_snapshot({} if row is None else row.settings)
    owners = owners_of(settings) if row is not None else ()
    owner = release_link.owner(key or b"", reception, token, owners, now=now)
    if row is None or key is None or owner is None:
        return None
    facts = (row.number, row.caller, row.ident, row.started_at, row.pages)
    return Linked(State(row.state), owner, *facts, settings["language"], settings["time_zone"])


def release(conn: Connection, reception: str, token: str, *, now: float) -> Linked | None:
    """Release the fax that a link is for, as it was before; one that goes or went already stays as it is.

    It is learned for the sender, as whenever an owner says that a fax is none (`junk.settle`).
    """
    found = look(conn, reception, token, now=now)
    if found is not None and found.waits:
        who = f"link to {found.owner}"
        junk.settle(conn, reception=reception, verdict=Verdict.GOOD, customer="", who=who, now=now)
    return found
