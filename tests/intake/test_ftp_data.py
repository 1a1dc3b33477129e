"""Passive ports: shared by all sessions, given back, and missed loudly when there is none left."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from faxgw.intake import ftp_data
from faxgw.intake.ftp import FtpServer
from faxgw.intake.ftp_data import FAULT_S, NoData, Passive, PassivePorts
from faxgw.intake.ftp_settings import FtpListener, FtpSettings
from tests.house import House, house, house_store
from tests.intake.files_world import Ticks, files_world
from tests.intake.test_ftp import HERE, house_engine, raw
from tests.patience import PATIENCE_S
from tests.ports import free_ports

__all__ = ["house", "house_engine", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


def one_port() -> range:
    """A port that nobody has, and no other."""
    (port,) = free_ports(1)
    return range(port, port + 1)


@pytest_asyncio.fixture(loop_scope="session")
async def two(house: House, tmp_path: Path) -> AsyncIterator[FtpServer]:
    """A server with one passive port."""
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        (port,) = one_port()
        settings = FtpSettings(listeners=(FtpListener(listen=HERE),), allow_plain=True, passive_ports=f"{port}-{port}")
        server = FtpServer(settings, world.access, world.accounts.places, world.ticks)
        yield server
        await server.stop(0.1)


async def test_a_session_that_finds_no_port_is_told_and_so_is_the_operator(
    two: FtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    """425 to the client, who may try again; one line in the log, the part's health and a count for the operator."""
    ((_host, port),) = await two.start()
    first, second = await raw(port, "erp"), await raw(port, "erp")
    assert (await first.say("EPSV")).startswith("229")
    assert (two.ports.held, two.ports.fault) == (1, "")
    for command in ("EPSV", "PASV"):
        assert (await second.say(command)).startswith("425 No port for data connections is free")
    assert (await second.say("NLST")).startswith("425"), "and there is none to use"
    assert (two.ports.refused, two.ports.held) == (2, 1) and "passive_ports" in two.ports.fault
    (said,) = [record for record in caplog.records if getattr(record, "event", "") == "ftp.no_port"]
    assert (said.levelno, getattr(said, "why", "")) == (logging.ERROR, "all are held by sessions")
    assert (await first.say("ABOR")).startswith("226")
    assert (await second.say("EPSV")).startswith("229") and two.ports.fault == ""
    for client in (first, second):
        client.writer.close()


async def test_another_program_that_has_the_ports_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ticks, ports = Ticks(), one_port()
    passive = PassivePorts(ports, ticks)
    with socket.create_server(("127.0.0.1", ports[0])):
        for wait in (0.0, 1.0, FAULT_S):
            ticks.now += wait
            with pytest.raises(NoData) as caught:
                passive.take("127.0.0.1")
            assert caught.value.code == 425
    said = [getattr(record, "why", "") for record in caplog.records]
    assert said == ["Address already in use"] * 2, "once in a minute"
    assert passive.fault and passive.refused == 3
    ticks.now += FAULT_S + 1
    assert passive.fault == "", "nobody has asked since"
    passive.take("127.0.0.1").close()


async def test_every_port_is_tried_before_one_is_refused() -> None:
    """However many are taken: one that is free is found."""
    ports = free_ports(40)
    passive = PassivePorts(range(min(ports), max(ports) + 1), Ticks())
    held: list[socket.socket] = []
    try:
        with pytest.raises(NoData):
            while len(held) < 5_000:
                held.append(passive.take("127.0.0.1"))
        freed = held.pop()
        port = freed.getsockname()[1]
        freed.close()
        passive.give_back(port)
        again = passive.take("127.0.0.1")
        held.append(again)
        assert again.getsockname()[1] == port
    finally:
        for each in held:
            each.close()


async def test_a_port_that_is_not_used_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftp_data, "UNUSED_S", 0.01)
    monkeypatch.setattr(ftp_data, "CONNECT_S", 0.05)
    ports = PassivePorts(range(1), Ticks())
    passive = Passive("127.0.0.1", ports)
    await passive.open("127.0.0.1", None)
    async with asyncio.timeout(PATIENCE_S):
        while ports.held:  # noqa: ASYNC110 - the port tells nobody
            await asyncio.sleep(0.01)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", passive.port)
    with pytest.raises(NoData) as caught:
        await passive.connection()
    assert caught.value.code == 425
    passive.close()


async def test_a_port_is_given_back_once() -> None:
    """What was given back may be another session's by then."""
    ports = PassivePorts(one_port(), Ticks())
    first, second = Passive("127.0.0.1", ports), Passive("127.0.0.1", ports)
    await first.open("127.0.0.1", None)
    _reader, writer = await asyncio.open_connection("127.0.0.1", first.port)
    await first.connection()
    await second.open("127.0.0.1", None)
    first.close()
    assert ports.held == 1
    second.close()
    assert ports.held == 0
    writer.close()
