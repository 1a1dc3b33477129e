"""Servers, clients and a certificate for the tests of mail in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from faxgw.intake.smtp import SmtpServer
from faxgw.intake.smtp_mail import Counters
from faxgw.intake.smtp_settings import SmtpSettings
from faxgw.store.files import Files
from tests.intake.world import Client, Connect, Gate, Start, World, settings


@pytest.fixture
async def start(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Start]:
    """Start a server; it is stopped, and has no session left, at the end. Spool folders are made once and emptied."""
    worlds: list[World] = []

    async def begin(chosen: SmtpSettings | None = None, *, dsn: bool = False) -> World:
        root = tmp_path_factory.getbasetemp() / f"smtp{len(worlds)}"
        root.mkdir(exist_ok=True)
        files = Files(root, "node", 1)
        await files.start()
        gate, sessions, results, seconds = Gate(), list[str](), list[str](), list[float]()
        chosen = chosen or settings()
        counters = Counters(sessions.append, results.append, seconds.append)
        server = SmtpServer(chosen, gate, files, counters, dsn=dsn, known=gate.known)
        ports = {bound.name: bound.port for bound in await server.start()}
        world = World(gate, files, root, chosen, server, ports, sessions, results, seconds)
        worlds.append(world)
        return world

    yield begin
    for world in worlds:
        await world.server.stop(0)
        assert world.server.connections == 0
        await world.files.close()
        for path in world.spooled():
            (world.root / path).unlink()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect raw clients, the greeting read; closed at the end."""
    clients: list[Client] = []

    async def begin(port: int, *, greeting: bool = True, **how: Any) -> Client:  # Any: of open_connection
        client = Client(*await asyncio.open_connection("127.0.0.1", port, **how))
        clients.append(client)
        if greeting:
            assert (await client.reply()).startswith("220 gateway.example")
        return client

    yield begin
    for client in clients:
        client.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(3):
                await client.writer.wait_closed()
