"""A session of a PostgreSQL server, set up so that a COMMIT is a promise, and what its errors mean.

Spine section 7, reliability rule 1 and finding 15. The driver begins no transaction by itself; whoever holds the
session sends BEGIN and COMMIT. The server ends what stands still: a unit lasts at most 100 ms, so a transaction
that idles or a statement that takes seconds belongs to a node that is frozen or gone.

SQLSTATE: PostgreSQL documentation, appendix A. Settings: chapter 20.
"""

from __future__ import annotations

import contextlib
import enum
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any  # a URL's query and a driver's row know no types

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, NullPool, create_engine, event, exc
from sqlalchemy import Engine as Database
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import IsolationLevel

from faxgw.store.errors import OutOfSpace, SchemaMismatch, StoreBusy, StoreDown, StoreError

CONNECT_S = 3
"""Seconds a connection may take to come about."""
LOCK_TIMEOUT_MS = 3_000
"""How long the server lets a statement wait for another session's lock."""
STATEMENT_TIMEOUT_MS = 4_000
"""How long the server lets a statement run, its waiting included."""
IDLE_TIMEOUT_MS = 2_000
"""How long the server lets a transaction wait for its client: a frozen node holds the others up no longer."""
STALL_S = 9.0
"""Seconds of silence after which a session is cut: above all that the server itself ends, below 10 s."""
PREPARED_STATEMENTS = 500
"""Prepared statements kept per session."""
OLDEST_SERVER = 140_000
"""PostgreSQL 14: the first with idle_session_timeout, which ends a leader that stands still."""

_SETTINGS = (
    "SET timezone = 'UTC'; SET jit = off; SET client_min_messages = warning; SET standard_conforming_strings = on; "
    f"SET lock_timeout = {LOCK_TIMEOUT_MS}; SET statement_timeout = {STATEMENT_TIMEOUT_MS}; "
    f"SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}"
)
_NEEDED: dict[str, tuple[str, ...]] = {
    "synchronous_commit": ("on", "remote_apply"),
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "data_sync_retry": ("off",),
    "server_encoding": ("UTF8",),
}
"""Server settings without which an acknowledged commit may be lost (or a name not be written)."""
_ABSENT = {"full_page_writes", "data_sync_retry"}
"""Those that a server which works otherwise may not have."""
_WIRE: dict[str, str | int] = {
    "connect_timeout": CONNECT_S,
    "application_name": "faxgw",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8_000,
    "target_session_attrs": "read-write",
}
"""Connection parameters of libpq; those of the settings' URL go before them."""


class Trouble(enum.Enum):
    """What an error means for the transaction it happened in."""

    LOST = enum.auto()
    """The session is gone: connect again."""
    CONFLICT = enum.auto()
    """Serialisation failure or deadlock: run the transaction again."""
    BUSY = enum.auto()
    """A lock or statement timeout."""
    FULL = enum.auto()
    """No room on the server."""
    DAMAGED = enum.auto()
    """The database is corrupt: nothing more may be promised (reliability rule 2)."""


_STATES: dict[str, Trouble] = {
    "25P03": Trouble.LOST,  # idle_in_transaction_session_timeout
    "40001": Trouble.CONFLICT,
    "40P01": Trouble.CONFLICT,
    "53100": Trouble.FULL,
    "53200": Trouble.BUSY,
    "53300": Trouble.LOST,  # too_many_connections
    "55P03": Trouble.BUSY,
    "57014": Trouble.BUSY,
    "57P01": Trouble.LOST,
    "57P02": Trouble.LOST,
    "57P03": Trouble.LOST,
    "57P05": Trouble.LOST,
    "XX001": Trouble.DAMAGED,
    "XX002": Trouble.DAMAGED,
}


class Session:
    """One connection; used by one thread, cut by any.

    Args:
        database: From `open_database`.

    Raises:
        StoreDown: If the server does not answer.
        SchemaMismatch: If it is too old or not set up durably.
    """

    def __init__(self, database: Database) -> None:
        self.busy_since: float | None = None
        """Monotonic seconds since which the server is waited for, None while it is not."""
        try:
            self.conn: Connection = database.connect()
        except (exc.DBAPIError, psycopg.Error, OSError) as error:
            raise StoreDown(f"no connection: {_first_line(error)}") from error
        driver = self.conn.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        self._driver: psycopg.Connection[tuple[Any, ...]] = driver
        self._plug = socket.socket(fileno=os.dup(driver.pgconn.socket))
        self._lock = threading.Lock()
        try:
            driver.prepared_max = PREPARED_STATEMENTS
            self.execute(_SETTINGS)
            self._check()
        except psycopg.Error as error:
            self.close()
            raise StoreDown(f"no session: {_first_line(error)}") from error
        except StoreError:
            self.close()
            raise
        _keep_transaction(self.conn)

    @property
    def alive(self) -> bool:
        """False once the driver has seen that the connection is gone."""
        return not self._driver.closed

    @property
    def in_transaction(self) -> bool:
        """True inside a transaction in which no statement has failed."""
        return self._driver.info.transaction_status is TransactionStatus.INTRANS

    @property
    def idle(self) -> bool:
        """True outside a transaction."""
        return self._driver.info.transaction_status is TransactionStatus.IDLE

    def execute(self, statements: str) -> None:
        """Send statements without parameters in one round trip; raises psycopg.Error."""
        self._driver.execute(statements.encode())

    def ask(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row of a query; raises psycopg.Error."""
        return self._driver.execute(statement.encode(), values or None).fetchone()

    def notifications(self, timeout: float) -> Iterator[str]:
        """Yield the payloads of NOTIFY that come within `timeout` seconds; ends after the first few."""
        for note in self._driver.notifies(timeout=timeout, stop_after=1):
            yield note.payload

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note that the server is waited for, so that a silent one can be given up."""
        self.busy_since = time.monotonic()
        try:
            yield
        finally:
            self.busy_since = None

    def stalled(self, now: float) -> bool:
        """True when the server has been waited for too long."""
        since = self.busy_since
        return since is not None and now - since > STALL_S

    def trouble(self, error: BaseException) -> Trouble | None:
        """Return what an error means for the whole transaction, None if it concerns its statement only."""
        if not self.alive:
            return Trouble.LOST
        return next((found for cause in _causes(error) if (found := _trouble(cause)) is not None), None)

    def cut(self) -> None:
        """End the connection under whoever waits for it; from any thread."""
        with self._lock, contextlib.suppress(OSError):
            self._plug.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; what is not committed is rolled back by the server."""
        with self._lock:
            self._driver.close()
            self._plug.close()
        with contextlib.suppress(exc.DBAPIError, psycopg.Error):
            Connection.invalidate(self.conn)
            Connection.close(self.conn)

    def _check(self) -> None:
        version = self._driver.info.server_version
        if version < OLDEST_SERVER:
            raise SchemaMismatch(f"PostgreSQL {OLDEST_SERVER // 10_000} or later is needed, this is {version}")
        names = ", ".join(f"current_setting('{name}', true)" for name in _NEEDED)
        values = self.ask(f"SELECT {names}") or ()
        for (name, good), value in zip(_NEEDED.items(), values, strict=True):
            if value not in good and not (value is None and name in _ABSENT):
                raise SchemaMismatch(f"the server's {name} is {value}, must be {' or '.join(good)}")


def open_database(url: URL, isolation: IsolationLevel = "AUTOCOMMIT") -> Database:
    """Return what sessions of a PostgreSQL database are opened from; nothing is connected yet.

    Args:
        url: `postgresql://…`.
        isolation: AUTOCOMMIT: the driver begins no transaction by itself, as `Session` needs it.
    """
    database = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        isolation_level=isolation,
        use_native_hstore=False,
        connect_args={name: value for name, value in _WIRE.items() if name not in url.query},
    )

    @event.listens_for(database, "handle_error")
    def keep(context: ExceptionContext) -> None:
        context.is_disconnect = False  # the engine, not SQLAlchemy, decides what becomes of a connection

    return database


def store_error(trouble: Trouble, error: BaseException) -> StoreError:
    """Return what a unit's caller is told; nothing of the unit is committed."""
    kinds = {Trouble.FULL: OutOfSpace, Trouble.BUSY: StoreBusy, Trouble.CONFLICT: StoreBusy}
    return kinds.get(trouble, StoreDown)(_first_line(error))


def _trouble(error: BaseException) -> Trouble | None:
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        return None  # of the driver itself: a value it cannot send
    return Trouble.LOST if state.startswith("08") else _STATES.get(state)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _first_line(error: BaseException) -> str:
    while isinstance(error, exc.DBAPIError) and error.orig is not None:
        error = error.orig
    state = getattr(error, "sqlstate", None)
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{text} ({state})" if state else text


def _keep_transaction(conn: Connection) -> None:
    """Let SQLAlchemy believe in one endless transaction: the session's are its holder's, no unit may end them."""

    def forbidden(*_: object) -> None:
        raise RuntimeError("a unit neither commits nor rolls back: it raises, or uses begin_nested()")

    conn.begin()
    for method in ("commit", "rollback", "close", "invalidate", "detach"):
        setattr(conn, method, forbidden)
