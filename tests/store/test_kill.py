"""Reliability rule 1: whatever was acknowledged survives kill -9 at any step, and nothing else stays.

The kernel keeps what a killed process wrote, so this proves the order of the steps; test_power_cut.py proves
the syncs. Every harness has to catch a broken variant (rule 21).
"""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from faxgw.fax.ports import StoredFile
from faxgw.store.errors import ObjectDamaged
from faxgw.store.files import Files
from faxgw.store.locks import LOCKS, WRITE_LOCK
from tests.postgres import Server

LIFE = Path(__file__).parent / "life.py"
MAILS = 4
STEPS = 300
"""More than a life has."""

TABLE = "CREATE TABLE mails (id INTEGER PRIMARY KEY, key TEXT, sha256 TEXT, size INTEGER)"
SELECT = "SELECT id, key, sha256, size FROM mails"


class Lives:
    """Runs lives that end at a given step, each on an empty data folder and SQLite database."""

    def __init__(self, root: Path, process: subprocess.Popen[str]) -> None:
        self._root = root
        self._process = process
        self._folder = root / "data"
        self._folder.mkdir(parents=True)
        self._prepare()

    @property
    def url(self) -> str:
        return f"sqlite:///{self._folder}/faxgw.db"

    def _prepare(self) -> None:
        self._template = self._root / "template.db"
        with closing(sqlite3.connect(self._template)) as conn:
            conn.execute("PRAGMA journal_mode=WAL")
            conn.execute(TABLE)

    def _empty(self) -> None:
        shutil.copy(self._template, self._folder / "faxgw.db")

    def rows(self) -> dict[int, StoredFile]:
        """What the database holds, asked by somebody else."""
        with closing(sqlite3.connect(self._folder / "faxgw.db")) as conn:
            return {row[0]: StoredFile(*row[1:]) for row in conn.execute(SELECT)}

    def run(self, variant: str, step: int) -> tuple[Path, bool]:
        """Return the folder a life left behind, and whether it was killed."""
        folder = self._folder
        for path in objects(folder) + [path for path in folder.iterdir() if path.is_file()]:
            path.unlink()
        self._empty()
        assert self._process.stdin is not None and self._process.stdout is not None
        print(f"{variant}|{step}|{folder}|{self.url}", file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return folder, True
        assert os.WEXITSTATUS(status) == 0
        return folder, False


class PostgresLives(Lives):
    """The same on a PostgreSQL database."""

    def __init__(
        self, root: Path, process: subprocess.Popen[str], url: str, conn: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        self._url = url
        self._conn = conn
        super().__init__(root, process)

    @property
    def url(self) -> str:
        return self._url

    def _prepare(self) -> None:
        self._conn.execute(TABLE)

    def _empty(self) -> None:
        self._conn.execute("TRUNCATE mails")  # waits for what the killed life's sessions still did

    def rows(self) -> dict[int, StoredFile]:
        self._conn.execute(
            f"SELECT pg_advisory_lock({LOCKS}, {WRITE_LOCK}), pg_advisory_unlock({LOCKS}, {WRITE_LOCK})".encode()
        )  # the server may not have noticed yet that the life is over: what it commits now it may
        found = self._conn.execute(SELECT).fetchall()
        return {int(str(row[0])): StoredFile(str(row[1]), str(row[2]), int(str(row[3]))) for row in found}


@pytest.fixture
def lives(tmp_path: Path, database: str, postgres: Server) -> Iterator[Lives]:
    with subprocess.Popen(
        [sys.executable, str(LIFE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if database.startswith("sqlite"):
            yield Lives(tmp_path / "lives", process)
        else:
            name = database.rpartition("?")[0].rpartition("/")[2]
            with postgres.connect(name) as conn:
                yield PostgresLives(tmp_path / "lives", process, database, conn)


def objects(folder: Path) -> list[Path]:
    return [path for pattern in ("tmp/*", "spool/*/*", "objects/*/*") for path in folder.glob(pattern)]


def acknowledged(folder: Path) -> dict[int, StoredFile]:
    ledger = folder / "ledger"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    fields = [line.split() for line in lines]
    return {int(number): StoredFile(key, sha256, int(size)) for number, key, sha256, size in fields}


async def violations(lives: Lives, folder: Path) -> list[str]:
    """What the next life of the node finds, its sweep included."""
    kept, promised = lives.rows(), acknowledged(folder)
    found = [f"mail {number} was acknowledged and has no row" for number in promised if number not in kept]
    found += [f"mail {number} is another one" for number in promised.keys() & kept if promised[number] != kept[number]]
    files = Files(folder, "n1", 2)
    await files.start()
    for number, stored in kept.items():
        try:
            os.close(await files.open_read(stored))
        except ObjectDamaged as error:
            found.append(f"mail {number} has a row and no sound file: {error}")
    keys = {stored.key for stored in kept.values()}

    async def known(asked: Sequence[str]) -> Collection[str]:
        return keys.intersection(asked)

    await files.sweep(known)
    await files.close()
    left = {str(path.relative_to(folder)) for path in objects(folder)}
    found += [f"{path} stays without a row" for path in left - keys]
    return found


async def test_no_kill_loses_or_leaves_anything(lives: Lives) -> None:
    answered: set[int] = set()
    for step in itertools.count(1):
        assert step < STEPS
        folder, killed = lives.run("sound", step)
        assert await violations(lives, folder) == [], f"killed at step {step}"
        answered.add(len(acknowledged(folder)))
        if not killed:
            break
    assert step > 40, "the steps are not counted any more"
    assert {0, MAILS} <= answered and len(acknowledged(folder)) == MAILS


@pytest.mark.parametrize(
    ("variant", "database"),
    [("early 250", "sqlite"), ("early 250", "postgresql"), ("row before file", "sqlite")],
    indirect=["database"],
)
async def test_the_harness_catches_a_broken_order(lives: Lives, variant: str) -> None:
    for step in itertools.count(1):
        assert step < STEPS, "no kill was caught"
        folder, killed = lives.run(variant, step)
        assert killed, "no kill was caught"
        if await violations(lives, folder):
            break
