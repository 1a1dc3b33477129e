"""File servers and watched folders: what stands in the settings is hung up, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from faxgw.intake.ftp_data import PassivePorts
from faxgw.parts import files
from faxgw.webserver import PartState
from tests.house import House
from tests.parts.gateway import started

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_without_settings_there_is_nothing(house: House, tmp_path: Path) -> None:
    async with started(house, tmp_path, files.PART) as one:
        assert (one.doors, one.gateway.ways, one.tasks, one.gateway.files) == ([], {}, set(), None)


async def test_each_server_is_a_door_and_results_are_written(house: House, tmp_path: Path) -> None:
    text = "[sftp]\nlisten = ['127.0.0.1:0']\n[ftp]\nallow_plain = true\n"
    async with started(house, tmp_path, files.PART, text=text) as one:
        assert one.doors == ["sftp", "ftp"] and set(one.gateway.ways) == {"result_file"}
        assert {"files of accounts", "old files"} <= one.tasks and one.gateway.files is not None


async def test_a_watched_folder_needs_no_server(house: House, tmp_path: Path) -> None:
    watched = tmp_path / "drop"
    watched.mkdir()
    text = f"[[folder]]\nname = 'scanner'\npath = '{watched}'\ncustomer = 'acme'\n"
    async with started(house, tmp_path, files.PART, text=text) as one:
        assert one.doors == [] and one.gateway.files is None
        assert {"folder scanner", "folders"} <= one.tasks and set(one.gateway.ways) == {"result_file"}


async def test_ports_that_are_used_up_are_said_where_an_operator_looks(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm, and no reason to send anybody elsewhere: mail, REST and SFTP go on."""
    text = "[sftp]\nlisten = ['127.0.0.1:0']\n[ftp]\nallow_plain = true\npassive_ports = '0-0'\n"
    async with started(house, tmp_path, files.PART, text=text) as one:
        (part,) = [state for name, state in one.gateway.health.check().items() if name == "ftp"]
        assert part.ok and b"faxgw_ftp_ports_refused 0.0" in await one.gateway.metrics.render()
        monkeypatch.setattr(PassivePorts, "fault", "no port")
        assert one.gateway.health.check()["ftp"] == PartState(False, "no port", True)
