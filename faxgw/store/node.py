"""Who works on a data folder: the lock on it, and the node's lease with its incarnation and fence.

Spine section 9. An incarnation is one life of a node; its serial stands in the names of spool objects. A fence
is drawn anew by each incarnation, higher than all before it, and stands in every attempt and reception: whoever
holds an older one may change nothing more. On SQLite there is one daemon, the holder of the folder's lock: a new
incarnation voids all earlier leases, and time alone ends none. On PostgreSQL a new incarnation voids its own node's
earlier ones, and any node voids (`expire`) the leases that have run out on the database's clock.

Rows say under which fence they are worked on; they are free again when that fence is void (`voided`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self  # Any: columns of either nullability

from sqlalchemy import ColumnElement, Connection, Double, cast, extract, func, insert, or_, select, update

from faxgw.store.durable import sync_folder
from faxgw.store.errors import FenceLost, FolderLocked, StoreDown
from faxgw.store.schema import nodes

LEASE_S = 30.0
"""Seconds a lease lasts without renewal (spine section 9)."""
RENEW_S = 10.0
"""Seconds between renewals: a lease outlives two that fail."""
PID_BYTES = 20
"""Most octets read from the lock file: a decimal process id."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A node's right to change the rows that bear its fence."""

    node: str
    """Name of the node."""
    incarnation: int
    """Serial of this life of the node, from 1."""
    fence: int
    """Higher than every fence drawn before."""
    until: float
    """When it ends without renewal, Unix seconds; on PostgreSQL by the database's clock."""


def register(conn: Connection, node: str, now: float) -> Lease:
    """Unit of work: begin a new incarnation of `node`; its earlier leases are void from the commit on.

    Args:
        conn: The unit's connection.
        node: Name of the node.
        now: Unix seconds; on PostgreSQL the database is asked instead.
    """
    now = _clock(conn, now)
    known = {row.name: row for row in conn.execute(select(nodes).with_for_update())}
    fence = max((abs(row.fence) for row in known.values()), default=0) + 1
    incarnation = known[node].incarnation + 1 if node in known else 1
    values = {"incarnation": incarnation, "fence": fence, "lease_until": now + LEASE_S, "started_at": now}
    if node in known:
        conn.execute(update(nodes).where(nodes.c.name == node).values(values))
    else:
        conn.execute(insert(nodes).values(name=node, **values))
    if conn.dialect.name == "sqlite":
        conn.execute(update(nodes).where(nodes.c.name != node).values(fence=0, lease_until=0.0))
    return Lease(node, incarnation, fence, now + LEASE_S)


def renew(conn: Connection, lease: Lease, now: float) -> Lease:
    """Unit of work: prolong a lease that still holds, even one that ran out and was not voided yet.

    Raises:
        FenceLost: If another incarnation took its place, or another node voided it.
    """
    until = _clock(conn, now) + LEASE_S
    renewed = conn.execute(update(nodes).where(*_is_current(lease)).values(lease_until=until))
    if renewed.rowcount != 1:
        raise FenceLost(f"{lease.node} incarnation {lease.incarnation}")
    return replace(lease, until=until)


def require(conn: Connection, lease: Lease) -> None:
    """Check, inside a unit that plans, marks or confirms, that the lease still holds.

    Raises:
        FenceLost: If another incarnation took its place, or another node voided it.
    """
    if conn.execute(select(nodes.c.name).where(*_is_current(lease))).first() is None:
        raise FenceLost(f"{lease.node} incarnation {lease.incarnation}")


def expire(conn: Connection) -> Sequence[str]:
    """Unit of work: void the leases that have run out on the database's clock; return their nodes.

    Whoever voids them may then close what bears their fences. A voided fence stays, negative: none is drawn twice.
    On SQLite there is no other node, hence nothing to do.
    """
    if conn.dialect.name == "sqlite":
        return []
    over = (nodes.c.fence > 0) & (nodes.c.lease_until < _clock(conn, 0.0))
    return list(conn.execute(update(nodes).where(over).values(fence=-nodes.c.fence).returning(nodes.c.name)).scalars())


def living(conn: Connection, node: str) -> Sequence[str]:
    """Unit of work: void leases that have run out; return the other nodes whose leases hold."""
    expire(conn)
    return list(conn.execute(select(nodes.c.name).where(nodes.c.fence > 0, nodes.c.name != node)).scalars())


def voided(fence: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a row's fence (NULL: never worked on) is no living incarnation's."""
    return or_(fence.is_(None), fence.not_in(select(nodes.c.fence).where(nodes.c.fence > 0)))


class FolderLock:
    """The exclusive right to a data folder; ends with `release` or the process.

    The kernel's lock belongs to the open file, which no child process inherits across exec.

    Args:
        folder: The data folder; made, with mode 0700, if it does not exist.

    Raises:
        FolderLocked: If another daemon holds it.
        StoreDown: If the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreDown(f"{folder}: {error.strerror}", temporary=False) from error
        try:
            self._take(folder)
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Give the folder up; may be called again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.ftruncate(fd, 0)
            fcntl.flock(fd, fcntl.LOCK_UN)  # at once, even if a child is just between fork and exec
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()

    def _take(self, folder: Path) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = _pid(os.pread(self._fd, PID_BYTES, 0))
            owner = f"process {pid}" if pid else "another process"
            raise FolderLocked(f"{owner} uses the data folder {folder}", pid) from error
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
            sync_folder(folder)
        except OSError as error:
            raise StoreDown(f"{folder}: {error.strerror}") from error


def _clock(conn: Connection, now: float) -> float:
    """Return the time leases are measured by: `now` where there is one node, else the database's."""
    if conn.dialect.name == "sqlite":
        return now
    seconds: float = conn.execute(select(cast(extract("epoch", func.clock_timestamp()), Double))).scalar_one()
    return seconds


def _is_current(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return nodes.c.name == lease.node, nodes.c.incarnation == lease.incarnation, nodes.c.fence == lease.fence


def _pid(text: bytes) -> int | None:
    return int(text) if text.strip().isdigit() else None
