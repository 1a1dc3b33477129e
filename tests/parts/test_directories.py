"""Accounts and their directories: the imports are there for the other parts, and the description of all offices."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.parts import directories, papers
from faxgw.settings import load
from faxgw.tables import SECTIONS
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE = "[[directory]]\nname = 'people'\ncustomer = 'acme'\n"


async def test_a_directory_of_the_settings_can_be_imported(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, directories.PART, text=ONE) as one:
        assert one.gateway.imports is not None and one.gateway.imports.owned("acme") == ["people"]
        assert one.gateway.imports.customer_of("people") == "acme" and "directories" in one.tasks


async def test_parts_that_start_later_are_described_too(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, directories.PART, papers.PART) as one:
        assert "/api/v1/admin/openapi.json" in one.paths
        assert [type(office).__name__ for office in one.gateway.offices] == ["AdminRoutes", "PaperRoutes"]


async def test_a_name_that_stands_twice_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "faxgw.toml"
    path.write_text(ONE + ONE)
    faults = directories.PART.faults(load(path, SECTIONS, environ={}))
    assert any("people" in fault and "twice" in fault for fault in faults), faults
