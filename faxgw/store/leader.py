"""Standing for a leadership among nodes: an advisory lock of PostgreSQL, held by a session of its own.

Spine section 6. The lock ends with the session: at once when the leader's process dies or the server ends the
session, after `SESSION_S` without a sign of life when its machine is frozen or cut off. The leader stops believing
in itself `TRUST_S` after the last sign, hence before the server gives the lock to another.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable

import psycopg
from sqlalchemy import Engine as Database

from faxgw.store.errors import StoreError
from faxgw.store.locks import LEADERS
from faxgw.store.session import Session

SESSION_S = 5
"""Seconds of silence after which the server ends a candidate's session (idle_session_timeout)."""
TRUST_S = 4.0
"""Seconds a sign of life is good for, from when it was sent; below SESSION_S."""
BEAT_S = 1.0
"""Seconds between signs of life, and between tries to take the lock: another leads within 10 s."""

log = logging.getLogger(__name__)


class Candidate:
    """Takes the lock when it is free and holds it until stopped, in a thread of its own.

    Args:
        database: From `session.open_database`.
        name: Of the leadership.
        changed: Told, from the thread, until when (monotonic seconds) we lead; 0 when we do not.
    """

    def __init__(self, database: Database, name: str, changed: Callable[[float], None]) -> None:
        self.session: Session | None = None
        """For the engine's watcher."""
        self._database = database
        self._name = name
        self._changed = changed
        self._held = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"store-lead-{name}", daemon=True)

    def start(self) -> None:
        """Begin to stand."""
        self._thread.start()

    def stop(self) -> None:
        """Resign and stand no more; blocking, may be called again."""
        self._stop.set()
        if (session := self.session) is not None:
            session.cut()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._beat()
            except (psycopg.Error, StoreError) as error:
                self._lose(str(error))
            self._stop.wait(BEAT_S)
        self._lose("resigned")

    def _beat(self) -> None:
        """Take the lock if it is free, or show that we still hold it.

        Raises:
            psycopg.Error: If the session is lost, and the lock with it.
            StoreError: If there is no database.
        """
        if self.session is None:
            self.session = Session(self._database)
            self.session.execute(f"SET idle_session_timeout = {SESSION_S * 1000}")
        sent = time.monotonic()
        with self.session.watched():
            if self._held:
                self.session.ask("SELECT 1")
            else:
                row = self.session.ask(f"SELECT pg_try_advisory_lock({LEADERS}, {lock_key(self._name)})")
                self._held = row is not None and row[0] is True
                if self._held:
                    log.warning("this node leads", extra={"event": "leader.gained", "leadership": self._name})
        if self._held:
            self._changed(sent + TRUST_S)

    def _lose(self, why: str) -> None:
        session, self.session = self.session, None
        if session is not None:
            session.close()
        if self._held:
            self._held = False
            log.warning("this node leads no more", extra={"event": "leader.lost", "leadership": self._name, "why": why})
            self._changed(0.0)


def lock_key(name: str) -> int:
    """Return the second key of a leadership's advisory lock: 31 bits of its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1
