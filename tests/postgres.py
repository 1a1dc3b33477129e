"""A PostgreSQL server of the tests' own, from Debian's packages: on a socket, without a port, ended by its pid."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any  # keyword arguments of subprocess

import psycopg
import pytest
from psycopg import sql

from faxgw.store.migrate import upgrade
from tests.patience import PATIENCE_S

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
"""Where Debian 12 has them; they are not in PATH."""
USER = "faxgw"
START_S = 120.0
"""Seconds a start may take, crash recovery included."""
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "autovacuum": "off",
    "log_min_messages": "warning",
}


class Server:
    """One server with its data in a folder; databases are made for a test and dropped with the folder.

    Args:
        folder: Empty, with a path short enough for a socket (107 octets).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._serial = itertools.count(1)
        # PostgreSQL refuses to run as root.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._call("initdb", "-D", "data", "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def start(self, **settings: str) -> None:
        """Start it and wait until it takes connections."""
        given = [f"--{name}={value}" for name, value in (SETTINGS | settings).items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(PROGRAMS / "postgres"), "-D", "data", f"--unix_socket_directories={self.folder}", *given],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as_user(),
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                assert self._process.poll() is None and time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            else:
                return

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def stop(self) -> None:
        """End it as an administrator would who cannot wait (immediate shutdown)."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """End it with all its processes, as the kernel would: nothing is written any more."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True)
        self._end(signal.SIGKILL)
        for pid in children.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def freeze(self) -> None:
        """Stop every process of the server, without a word to anybody."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self.folder), dbname=database, user=USER, autocommit=True)

    def create(self, template: str = "template0") -> str:
        """Make a database; return its name."""
        name = f"t{next(self._serial)}"
        with self.connect("postgres") as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return name

    def _signal_all(self, number: int) -> None:
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], capture_output=True, text=True)
        for pid in [self.pid, *map(int, children.stdout.split())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_S)
            self._process = None

    def _call(self, program: str, *arguments: str) -> None:
        path = PROGRAMS / program
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: script/setup installs postgresql-15, or apt-get install it")
        done = subprocess.run(
            [str(path), *arguments], cwd=self.folder, capture_output=True, text=True, check=False, **self._as_user()
        )
        assert done.returncode == 0, done.stderr

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


class Proxy:
    """Stands between a store and its server, and cuts a connection at a COMMIT.

    Args:
        folder: Where its socket lies; short.
        server: What it stands before.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.lose_commits = 0
        """How many COMMITs of units are still kept from the server."""
        self.lose_answers = 0
        """How many answers to COMMITs of units are still kept from the store."""
        self.refuse = False
        """True: nobody gets through any more once something was lost."""
        self.lost = threading.Event()
        """Set when something was lost."""
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(50)
        self._spawn(self._accept)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self._folder}"

    def cut_all(self) -> None:
        """End every connection."""
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut_all()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse and self.lost.is_set():
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._server.socket))
            with self._lock:
                self._open |= {near, far}
            self._spawn(self._serve, near, far)

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        try:
            for source in itertools.cycle((near, far)):
                ready, _, _ = select.select([near, far], [], [])
                if source in ready and not self._pass_on(source, near, far):
                    return
        except OSError:
            return
        finally:
            with self._lock:
                self._open -= {near, far}
            near.close()
            far.close()

    def _pass_on(self, source: socket.socket, near: socket.socket, far: socket.socket) -> bool:
        """Move what has come from one side; False when the connection is to end."""
        data = source.recv(65536)
        commit = source is near and b"INSERT INTO commits" in data and b"COMMIT" in data
        if commit and self.lose_commits > 0:
            self.lose_commits -= 1
            self.lost.set()
            return False
        (far if source is near else near).sendall(data)
        if commit and self.lose_answers > 0:
            self.lose_answers -= 1
            far.recv(65536)
            self.lost.set()
            return False
        return bool(data)


@contextlib.contextmanager
def server(**settings: str) -> Iterator[Server]:
    """A running server, ended and removed afterwards."""
    memory = Path("/dev/shm")  # no power is cut here: every commit is synced, and need not wait for a disk
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=memory if os.access(memory, os.W_OK) else "/tmp"))
    try:
        made = Server(folder)
        made.start(**settings)
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server of this test run."""
    with server() as made:
        yield made


@pytest.fixture(scope="session")
def postgres_template(postgres: Server) -> str:
    """Name of a migrated database, to be copied."""
    name = postgres.create()
    upgrade(postgres.url(name))
    return name
