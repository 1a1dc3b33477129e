"""Who may do what: customers, profiles, users, senders, fax domains, and the settings in force for each.

Everything that acts for a customer asks here; a row of another customer is never returned (docs/spine.md
section 1). The TOML seed is laid over the tables at start: what it names is made or changed, nothing is removed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select, update

from faxgw.fax.access import USER_SCOPES
from faxgw.fax.account import AccountState, Effective, Level, Origin, resolve, strictest
from faxgw.store import register
from faxgw.store import schema as t
from faxgw.store.journal import ACCOUNTS_TOPIC
from faxgw.store.unit import notify

FILE = "file"
"""Mark of what the settings file names: the file alone decides it, but not its state."""
DIRECTORY = "directory"
"""Mark of what an import of a directory made (store/synchronise.py)."""
_FILE = {"managed": FILE}


@dataclass(frozen=True, slots=True)
class UserSeed:
    """A user as the seed gives it."""

    name: str
    login: str | None = None
    password_hash: str | None = None
    profile: str | None = None
    addresses: tuple[str, ...] = ()
    """Envelope senders that are this user."""
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NumberSeed:
    """A fax number of a customer as the seed gives it."""

    e164: str
    profile: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    last: str | None = None
    """Last number of a range; None: one number."""


@dataclass(frozen=True, slots=True)
class CustomerSeed:
    """A customer as the seed gives it."""

    id: str
    name: str
    domains: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """Envelope senders that may send without being a user; `@example.org` is a whole domain."""
    networks: tuple[str, ...] = ()
    """CIDR networks whose hosts may send."""
    profiles: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    users: tuple[UserSeed, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    numbers: tuple[NumberSeed, ...] = ()
    """Numbers that faxes are received at."""


@dataclass(frozen=True, slots=True)
class NumberEntry:
    """A number of the register."""

    e164: str
    """The number itself."""
    entry: str
    """First number of its entry: the same, unless it lies in a range."""
    customer: str
    state: AccountState
    """The stricter of the number's and its customer's."""
    settings: Effective


@dataclass(frozen=True, slots=True)
class Login:
    """What is needed to check a login."""

    user: str
    customer: str
    password: str
    state: AccountState


@dataclass(frozen=True, slots=True)
class Sender:
    """Who an envelope sender, a domain or a network belongs to."""

    customer: str
    user: str


def _upsert(conn: Connection, table: Table, key: Mapping[str, object], values: Mapping[str, object]) -> None:
    where = [table.c[name] == value for name, value in key.items()]
    if conn.execute(select(table.c[next(iter(key))]).where(*where)).first() is None:
        conn.execute(insert(table).values(**key, **values))
    elif values:
        conn.execute(update(table).where(*where).values(**values))


def seed(conn: Connection, customers: Sequence[CustomerSeed]) -> None:
    """Lay the seed over the directory. States stay as they are: they are the operator's."""
    notify(conn, ACCOUNTS_TOPIC)
    _end_stale_logins(conn, customers)
    _let_go(conn)
    for c in customers:
        state = conn.execute(select(t.customers.c.state).where(t.customers.c.id == c.id)).scalar()
        _upsert(
            conn,
            t.customers,
            {"id": c.id},
            {"name": c.name, "settings": dict(c.settings), "state": state or AccountState.ACTIVE.value, **_FILE},
        )
        for name, settings in c.profiles.items():
            _upsert(
                conn,
                t.profiles,
                {"id": f"{c.id}/{name}"},
                {"customer": c.id, "name": name, "settings": dict(settings), **_FILE},
            )
        for domain in c.domains:
            _upsert(conn, t.domains, {"name": domain.lower()}, {"customer": c.id, "settings": {}, **_FILE})
        for network in c.networks:
            _sender(conn, "network", str(ipaddress.ip_network(network)), c.id, None)
        for address in c.addresses:
            _sender(conn, "domain" if address.startswith("@") else "address", address.lower().lstrip("@"), c.id, None)
        for user in c.users:
            _seed_user(conn, c.id, user)
        for number in c.numbers:
            _seed_number(conn, c.id, number)


def _seed_user(conn: Connection, customer: str, user: UserSeed) -> None:
    key = f"{customer}/{user.name}"
    state = conn.execute(select(t.users.c.state).where(t.users.c.id == key)).scalar()
    values: dict[str, object] = {
        "customer": customer,
        "name": user.name,
        "profile": f"{customer}/{user.profile}" if user.profile else None,
        "settings": dict(user.settings),
        "state": state or AccountState.ACTIVE.value,
        **_FILE,
    }
    _upsert(conn, t.users, {"id": key}, values)
    _seed_login(conn, customer, key, user)
    for address in user.addresses:
        _sender(conn, "address", address.lower(), customer, key)


def _seed_login(conn: Connection, customer: str, user: str, given: UserSeed) -> None:
    if given.login is None or given.password_hash is None:
        return
    state = conn.execute(select(t.logins.c.state).where(t.logins.c.name == given.login)).scalar()
    values: dict[str, object] = {"customer": customer, "user": user, "password": given.password_hash, **_FILE}
    if state is None:
        values |= {"state": AccountState.ACTIVE.value, "scopes": list(USER_SCOPES), "allow": []}
    _upsert(conn, t.logins, {"name": given.login}, values)


def _end_stale_logins(conn: Connection, customers: Sequence[CustomerSeed]) -> None:
    """Remove the logins that the file gave a user before, and gives the same user no more."""
    for c in customers:
        for user in c.users:
            mine = (t.logins.c.user == f"{c.id}/{user.name}") & (t.logins.c.managed == FILE)
            conn.execute(delete(t.logins).where(mine, t.logins.c.name != (user.login or "")))


def _let_go(conn: Connection) -> None:
    """Forget what the file named at the last start: what it names still is marked again, the rest is anybody's."""
    for table in (t.customers, t.profiles, t.users, t.logins, t.senders, t.domains, t.numbers):
        conn.execute(update(table).where(table.c.managed == FILE).values(managed=""))


def _seed_number(conn: Connection, customer: str, number: NumberSeed) -> None:
    state = conn.execute(select(t.numbers.c.state).where(t.numbers.c.e164 == number.e164)).scalar()
    values: dict[str, object] = {
        "customer": customer,
        "profile": f"{customer}/{number.profile}" if number.profile else None,
        "settings": dict(number.settings),
        "state": state or AccountState.ACTIVE.value,
        "last": number.last,
        **_FILE,
    }
    _upsert(conn, t.numbers, {"e164": number.e164}, values)


def _sender(conn: Connection, kind: str, value: str, customer: str, user: str | None) -> None:
    _upsert(conn, t.senders, {"kind": kind, "value": value}, {"customer": customer, "user": user, **_FILE})


def forget_sender(conn: Connection, kind: str, value: str) -> None:
    """Take an authorisation away."""
    notify(conn, ACCOUNTS_TOPIC)
    conn.execute(delete(t.senders).where(t.senders.c.kind == kind, t.senders.c.value == value))


def login(conn: Connection, name: str) -> Login | None:
    """The user of a login, or None."""
    row = conn.execute(select(t.logins).where(t.logins.c.name == name)).mappings().first()
    if row is None:
        return None
    users = t.users.c
    state = conn.execute(select(users.state).where(users.id == row["user"])).scalar() or AccountState.ACTIVE
    return Login(
        row["user"] or "", row["customer"], row["password"], strictest(AccountState(row["state"]), AccountState(state))
    )


def sender(conn: Connection, address: str, peer: str) -> tuple[Sender, str] | None:
    """Who may send as `address` from `peer`, and why: (`sender`, `address` | `network`), or None."""
    address = address.lower()
    _local, at, domain = address.rpartition("@")
    for kind, value in (("address", address), ("domain", domain)) if at else ():
        row = conn.execute(
            select(t.senders.c.customer, t.senders.c.user).where(t.senders.c.kind == kind, t.senders.c.value == value)
        ).first()
        if row is not None:
            return Sender(row.customer, row.user or ""), "address"
    entry = _network_of(conn, peer)
    return None if entry is None else (entry, "network")


def is_inside(conn: Connection, customer: str, peer: str) -> bool:
    """Whether a host is in a network of a customer."""
    entry = _network_of(conn, peer)
    return entry is not None and entry.customer == customer


def _network_of(conn: Connection, peer: str) -> Sender | None:
    """Whom a host belongs to; the narrowest network decides."""
    try:
        host = ipaddress.ip_address(peer)
    except ValueError:
        return None
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    rows = conn.execute(select(t.senders).where(t.senders.c.kind == "network")).all()
    found = [(network.prefixlen, row) for row in rows if host in (network := ipaddress.ip_network(row.value))]
    if not found:
        return None
    _prefix, row = max(found, key=lambda item: item[0])
    return Sender(row.customer, row.user or "")


def domain_customer(conn: Connection, domain: str) -> tuple[bool, str | None]:
    """(is it a fax domain of ours, the customer it belongs to or None for every customer)."""
    row = conn.execute(select(t.domains.c.customer).where(t.domains.c.name == domain.lower())).first()
    return (False, None) if row is None else (True, row.customer)


def account_states(conn: Connection, customer: str, user: str) -> tuple[AccountState, AccountState]:
    """States of customer and user (active where no user is named); ended where there is no such customer or user."""
    c = conn.execute(select(t.customers.c.state).where(t.customers.c.id == customer)).scalar()
    u = conn.execute(select(t.users.c.state).where(t.users.c.id == user, t.users.c.customer == customer)).scalar()
    unnamed = AccountState.ENDED if user else AccountState.ACTIVE
    return AccountState(c or AccountState.ENDED), AccountState(u or unnamed)


def effective(conn: Connection, system: Mapping[str, object], customer: str, user: str) -> Effective:
    """The settings in force for a user of a customer, each with its origin."""
    return resolve(levels_of(conn, system, customer, user))


def levels_of(
    conn: Connection, system: Mapping[str, object], customer: str, user: str
) -> Sequence[tuple[Origin, Mapping[str, object]]]:
    """What each level gives for a user of a customer, weakest first."""
    levels: list[tuple[Origin, Mapping[str, object]]] = [(Origin(Level.SYSTEM), system)]
    row = conn.execute(select(t.customers).where(t.customers.c.id == customer)).mappings().first()
    if row is not None:
        levels.append((Origin(Level.CUSTOMER, customer), row["settings"]))
    person = (
        conn.execute(select(t.users).where(t.users.c.id == user, t.users.c.customer == customer)).mappings().first()
    )
    if person is not None:
        profile = conn.execute(
            select(t.profiles).where(t.profiles.c.id == person["profile"], t.profiles.c.customer == customer)
        ).mappings()
        levels += [(Origin(Level.PROFILE, p["name"]), p["settings"]) for p in profile]
        levels.append((Origin(Level.USER, person["name"]), person["settings"]))
    return levels


def number(conn: Connection, system: Mapping[str, object], forms: Sequence[str]) -> NumberEntry | None:
    """The number of the register that the first of some E.164 forms means; None when it is none of ours."""
    found = register.find(conn, forms)
    return None if found is None else _number_entry(conn, system, *found)


def _number_entry(conn: Connection, system: Mapping[str, object], e164: str, row: RowMapping) -> NumberEntry:
    customer = conn.execute(select(t.customers).where(t.customers.c.id == row["customer"])).mappings().one()
    levels: list[tuple[Origin, Mapping[str, object]]] = [
        (Origin(Level.SYSTEM), system),
        (Origin(Level.CUSTOMER, customer["id"]), customer["settings"]),
    ]
    profile = conn.execute(
        select(t.profiles).where(t.profiles.c.id == row["profile"], t.profiles.c.customer == customer["id"])
    ).mappings()
    levels += [(Origin(Level.PROFILE, p["name"]), p["settings"]) for p in profile]
    levels.append((Origin(Level.NUMBER, row["e164"]), row["settings"]))
    state = strictest(AccountState(row["state"]), AccountState(customer["state"]))
    return NumberEntry(e164, row["e164"], customer["id"], state, resolve(levels))


def passwords(conn: Connection) -> Mapping[str, str]:
    """User id → password hash of every login that the settings file gives."""
    rows = conn.execute(select(t.logins.c.user, t.logins.c.password).where(t.logins.c.managed == FILE))
    return {row.user: row.password for row in rows}


def exists(conn: Connection, customer: str, user: str) -> bool:
    """Whether there is such a customer and, unless empty, such a user of it (by its short name)."""
    if user:
        where = (t.users.c.customer == customer) & (t.users.c.name == user)
        return conn.execute(select(t.users.c.id).where(where)).first() is not None
    return conn.execute(select(t.customers.c.id).where(t.customers.c.id == customer)).first() is not None


def customers(conn: Connection) -> Sequence[str]:
    """Ids of all customers, in the order of their names."""
    return list(conn.execute(select(t.customers.c.id).order_by(t.customers.c.id)).scalars())


def a_domain_of(conn: Connection, customer: str) -> str:
    """A fax domain of a customer, for submissions that come without one; empty when there is none."""
    query = select(t.domains.c.name).where((t.domains.c.customer == customer) | t.domains.c.customer.is_(None))
    return conn.execute(query.order_by(t.domains.c.name)).scalar() or ""
