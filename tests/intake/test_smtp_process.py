"""The process that strangers talk to: what is sent to everybody does not end it, and it has room for its clients."""

from __future__ import annotations

import asyncio
import os
import resource
import signal

import pytest

import tests.intake.world as world_module
from faxgw.intake.smtp_processes import ProcessRoom
from tests.intake.world import Connect, Start, settings


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions take place in one process."""
    monkeypatch.setattr(world_module, "PROCESSES", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_for_the_gateway_cost_no_session(start: Start, connect: Connect, number: signal.Signals) -> None:
    """A key on a terminal, or a service manager that is asked to signal, reaches all processes of the gateway."""
    world = await start()
    (room,) = world.server._rooms
    assert isinstance(room, ProcessRoom)
    client = await connect(world.port)
    os.kill(room.pid, number)
    assert (await client.say("NOOP")).startswith("250")
    await client.begin()
    assert (await client.data(b"Subject: x\r\n\r\nx")).startswith("250")


async def test_more_clients_than_a_process_usually_has_descriptors(start: Start, connect: Connect) -> None:
    """Where the usual limit is below that of connections the sessions are not cut: a process takes what it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        world = await start(settings(client_connection_limit=100))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    clients = [await connect(world.port) for _ in range(80)]  # each is greeted
    replies = await asyncio.gather(*(client.say("NOOP") for client in clients))
    assert {reply[:3] for reply in replies} == {"250"}
