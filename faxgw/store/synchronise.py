"""Brings users or numbers of a customer into line with a directory: planned first, refused as a whole, then applied.

Only what an import made is an import's to change or end; what the settings file or people made is left alone, and a
directory that names it is at fault. An entry that is gone is ended, not removed: its faxes stay. It works again when
the directory names it again. Faults of a single entry refuse the whole file, for leaving the entry out would end it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from faxgw.fax.account import AccountState
from faxgw.fax.directory import Wanted
from faxgw.fax.errors import Refused
from faxgw.store import schema as t
from faxgw.store.accounts import ENTITY, NUMBER, USER, Author, Kind, customer_row
from faxgw.store.directory import DIRECTORY, FILE
from faxgw.store.journal import note

SLICE = 200
"""Entries written in one transaction: some 50 ms (spine section 7: a unit lasts 100 ms at most)."""
MAX_FAULTS = 50
"""Faults that are told."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import would do."""

    create: tuple[Wanted, ...]
    change: tuple[Wanted, ...]
    end: tuple[str, ...]
    """Keys."""
    unchanged: int
    existing: int
    """Entries that the directory made and that are not ended."""

    @property
    def deletion_rate(self) -> float:
        """Percent of the existing entries that would be ended."""
        return 100.0 * len(self.end) / self.existing if self.existing else 0.0


def plan(
    conn: Connection, customer: str, kind: Kind, wanted: Sequence[Wanted], *, beginnings: Sequence[str] = ()
) -> Plan:
    """Compare a directory with what there is.

    Args:
        conn: The unit's connection.
        customer: Whose.
        kind: USER or NUMBER.
        wanted: All that the directory names.
        beginnings: Beginnings of numbers that the directory may enter into the register.

    Raises:
        NotFound: If there is no such customer.
        Refused: With all faults, if an entry cannot be taken.
    """
    customer_row(conn, customer)
    mine = {str(row[kind.key]): row for row in _rows(conn, customer, kind)}
    profiles = set(conn.execute(select(t.profiles.c.name).where(t.profiles.c.customer == customer)).scalars())
    alike = {key.casefold(): key for key in mine}
    faults: list[str] = []
    create, change = [], []
    for one in wanted:
        row = mine.get(one.key)
        if one.profile and one.profile not in profiles:
            faults.append(f"{one.shown}: there is no profile {one.profile}")
        if row is None:
            if kind is NUMBER and not one.key.startswith(tuple(beginnings)):
                faults.append(f"{one.key} is none of the numbers that this directory may enter")
            if (other := alike.get(one.key.casefold())) is not None:
                faults.append(f"{one.shown} differs only in case from the user {other}")
            create.append(one)
        elif row["managed"] != DIRECTORY:
            where = "in the settings file" if row["managed"] == FILE else "in the accounts"
            faults.append(f"{one.shown} is kept {where}, not by the directory")
        elif _differs(customer, kind, row, one):
            change.append(one)
    taken = _taken(conn, customer, kind, [one.shown for one in create])
    faults += [f"{key} is somebody else's" for key in taken]
    if faults:
        raise Refused(public=told(faults))
    kept = {one.key for one in wanted}
    living = [k for k, row in mine.items() if row["managed"] == DIRECTORY and row["state"] != AccountState.ENDED]
    end = tuple(sorted(key for key in living if key not in kept))
    return Plan(tuple(create), tuple(change), end, len(wanted) - len(create) - len(change), len(living))


def told(faults: Sequence[str]) -> str:
    """The first faults as one text, and how many more there are."""
    more = len(faults) - MAX_FAULTS
    return "; ".join([*faults[:MAX_FAULTS], *([f"and {more} more faults"] if more > 0 else [])]) + "."


def slices(made: Plan) -> Sequence[tuple[Sequence[Wanted], Sequence[Wanted], Sequence[str]]]:
    """The plan in pieces for one transaction each: what to create, to change and to end."""
    pieces: list[tuple[Sequence[Wanted], Sequence[Wanted], Sequence[str]]] = []
    for start in range(0, len(made.create), SLICE):
        pieces.append((made.create[start : start + SLICE], (), ()))
    for start in range(0, len(made.change), SLICE):
        pieces.append(((), made.change[start : start + SLICE], ()))
    for start in range(0, len(made.end), SLICE):
        pieces.append(((), (), made.end[start : start + SLICE]))
    return pieces


def apply(
    conn: Connection,
    customer: str,
    kind: Kind,
    create: Sequence[Wanted],
    change: Sequence[Wanted],
    end: Sequence[str],
    *,
    by: Author,
) -> None:
    """Write one piece; what is done already is not done again, so a piece may be repeated."""
    for one in (*create, *change):
        _put(conn, customer, kind, one)
    for key in end:
        _end(conn, customer, kind, key)
    data: Mapping[str, object] = {
        "customer": customer,
        "key": kind.name,
        "created": [one.key for one in create],
        "changed": [one.key for one in change],
        "ended": list(end),
    }
    note(conn, customer[:ENTITY], "account.directory.applied", now=by.now, who=by.who, data=data)


def _rows(conn: Connection, customer: str, kind: Kind) -> Sequence[Mapping[str, object]]:
    return [dict(row) for row in conn.execute(select(kind.table).where(kind.table.c.customer == customer)).mappings()]


def _taken(conn: Connection, customer: str, kind: Kind, keys: Sequence[str]) -> list[str]:
    """Keys that another customer has: a number, alone or in a range, or a user's address among the senders."""
    column = t.numbers.c.e164 if kind is NUMBER else t.senders.c.value
    table = t.numbers if kind is NUMBER else t.senders
    found: list[str] = []
    for start in range(0, len(keys), SLICE):
        query = select(column).where(column.in_(keys[start : start + SLICE]))
        if kind is USER:
            query = query.where(t.senders.c.kind == "address")
        found += conn.execute(query.where(table.c.customer != customer)).scalars()
    if kind is NUMBER and keys:
        c = t.numbers.c
        ranges = conn.execute(select(c.e164, c.last).where(c.last.is_not(None), c.customer != customer)).all()
        found += [key for key in keys if any(len(key) == len(r.e164) and r.e164 <= key <= r.last for r in ranges)]
    return sorted(set(found))


def _differs(customer: str, kind: Kind, row: Mapping[str, object], one: Wanted) -> bool:
    profile = f"{customer}/{one.profile}" if one.profile else None
    state = _state(kind, one, AccountState(str(row["state"])))
    return (row["settings"], row["profile"], row["state"]) != (dict(one.settings), profile, state)


def _state(kind: Kind, one: Wanted, before: AccountState) -> str:
    """A number is active or not as the directory says; a user whom an operator suspended stays suspended."""
    if kind is USER and before is not AccountState.ENDED:
        return before.value
    return (AccountState.ACTIVE if one.active else AccountState.SUSPENDED).value


def _put(conn: Connection, customer: str, kind: Kind, one: Wanted) -> None:
    key = f"{customer}/{one.key}" if kind is USER else one.key
    column = kind.table.c.id if kind is USER else kind.table.c.e164
    where = (column == key) & (kind.table.c.customer == customer)
    state = conn.execute(select(kind.table.c.state).where(where)).scalar()
    values = {
        "profile": f"{customer}/{one.profile}" if one.profile else None,
        "settings": dict(one.settings),
        "state": _state(kind, one, AccountState(state or AccountState.ENDED)),
        "managed": DIRECTORY,
    }
    if state is not None:
        conn.execute(update(kind.table).where(where).values(**values))
    else:
        own = {"id": key, "name": one.key} if kind is USER else {"e164": key, "clip": False}
        conn.execute(insert(kind.table).values(customer=customer, **own, **values))
    if kind is USER:
        sender = {"kind": "address", "value": one.address}
        mine = (t.senders.c.kind == "address") & (t.senders.c.value == one.address)
        if conn.execute(update(t.senders).where(mine).values(user=key)).rowcount == 0:
            conn.execute(insert(t.senders).values(customer=customer, user=key, managed=DIRECTORY, **sender))


def _end(conn: Connection, customer: str, kind: Kind, key: str) -> None:
    mine = (kind.table.c[kind.key] == key) & (kind.table.c.customer == customer)
    conn.execute(update(kind.table).where(mine).values(state=AccountState.ENDED.value))
    if kind is USER:
        s = t.senders.c
        own = s.user == f"{customer}/{key}"
        conn.execute(delete(t.senders).where(s.kind == "address", own, s.managed == DIRECTORY))
