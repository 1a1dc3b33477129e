"""The order of a start: nothing is taken from the store before every part has hung up what it knows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from faxgw.daemon import Daemon
from faxgw.parts.house import House, Part
from faxgw.settings import load
from faxgw.tables import SECTIONS

SETTINGS = """
[node]
data = "{data}"
ballast = "64KiB"

[smtp]
processes = 0

[[smtp.listeners]]
listen = "127.0.0.1:0"

[http]
listen = "127.0.0.1:0"

[sip]
listen = "127.0.0.1:0"
"""


def stations() -> set[str]:
    """Stations that look for work."""
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("station ")}


async def test_no_station_takes_anything_before_the_last_part_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier life left undelivered is due at once: without its part it would fail, and wait for its pause."""
    seen: list[set[str]] = []

    async def start(house: House) -> None:
        seen.append(stations())

    monkeypatch.setattr("faxgw.daemon.PARTS", (Part("last", start),))
    path = tmp_path / "faxgw.toml"
    path.write_text(SETTINGS.format(data=tmp_path / "data"))
    daemon = Daemon(load(path, SECTIONS, environ={}))
    await daemon.start()
    try:
        assert seen == [set()]
        assert {"station deliver", "station call", "station walk", "station render"} <= stations()
    finally:
        await daemon.stop()
