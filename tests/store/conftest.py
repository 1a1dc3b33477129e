"""A store on a migrated database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from faxgw.store.engine import Store, open_store
from faxgw.store.errors import StoreError
from faxgw.store.migrate import upgrade
from tests.house import house, house_store
from tests.postgres import Server, postgres, postgres_template

__all__ = ["house", "house_store", "postgres", "postgres_template"]


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def house_engine(request: pytest.FixtureRequest) -> str:
    """The units of work are the same on each engine."""
    engine: str = request.param
    return engine


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at the newest revision, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "faxgw.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def database_path(tmp_path: Path, migrated: Path) -> Path:
    """A migrated database file of this test's own."""
    path = tmp_path / "faxgw.db"
    path.write_bytes(migrated.read_bytes())
    return path


@pytest.fixture
def postgres_url(postgres: Server, postgres_template: str) -> str:
    """A migrated PostgreSQL database of this test's own."""
    return postgres.url(postgres.create(postgres_template))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """URL of a migrated database of this test's own, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('database_path')}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def fatal() -> list[StoreError]:
    """What the store reported as the end of its database."""
    return []


@pytest.fixture
async def start_store(database: str, fatal: list[StoreError]) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Starts stores on this test's database; they are closed at the end."""
    started: list[Store] = []

    async def start(on_full: Callable[[], bool] | None = None) -> Store:
        store = open_store(database, fatal.append, on_full)
        await store.start()
        started.append(store)
        return store

    yield start
    for store in started:
        await store.close()


@pytest.fixture
async def store(start_store: Callable[..., Awaitable[Store]]) -> Store:
    """A running store on a migrated database."""
    return await start_store()
