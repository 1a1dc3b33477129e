"""A store on a migrated database of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from faxgw.store.engine import Store, open_store
from faxgw.store.errors import StoreError
from faxgw.store.migrate import upgrade
from tests.house import house, house_store

__all__ = ["house", "house_store"]


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
def fatal() -> list[StoreError]:
    """What the store reported as the end of its database."""
    return []


@pytest.fixture
async def start_store(database_path: Path, fatal: list[StoreError]) -> AsyncIterator[Callable[..., Awaitable[Store]]]:
    """Starts stores on this test's database; they are closed at the end."""
    started: list[Store] = []

    async def start(on_full: Callable[[], bool] | None = None) -> Store:
        store = open_store(f"sqlite:///{database_path}", fatal.append, on_full)
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
