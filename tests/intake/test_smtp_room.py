"""Connections on their way to a session: hurried under stress, and told to be gone once, whenever the room stops."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from faxgw.intake.smtp_logins import CountedLogins
from faxgw.intake.smtp_mail import Counters
from faxgw.intake.smtp_room import SessionRoom
from faxgw.settings import Tls
from faxgw.store.files import Files
from tests.conftest import MakeCertificate
from tests.intake.world import Connect, Gate, Start, listener, settings
from tests.patience import PATIENCE_S


@pytest.fixture
def tls(make_certificate: MakeCertificate) -> Tls:
    certificate, key = make_certificate()
    return Tls(certificate=certificate, key=key)


async def test_under_stress_handshakes_that_wait_already_are_hurried(start: Start, connect: Connect, tls: Tls) -> None:
    """Who connects and says nothing holds a connection as long as a session that says nothing, and no longer."""
    world = await start(
        settings(connection_limit=10, stress_deadline=0.2, tls=tls, listeners=(listener(security="tls"),))
    )
    silent = [await connect(world.port, greeting=False) for _ in range(9)]  # one above the share that is no stress
    for client in silent:
        assert await client.ended()
    await world.until_ended(9)
    assert world.sessions == ["tls_failed"] * 9


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("security", ["plain", "tls"])
async def test_a_connection_at_the_stop_is_gone_once(tmp_path: Path, tls: Tls, security: str, turns: int) -> None:
    """Even one whose task has not taken its first step."""
    told: list[str] = []
    chosen = settings(tls=tls, listeners=(listener(security=security),))
    files, gate = Files(tmp_path, "node", 1), Gate()
    room = SessionRoom(chosen, gate, CountedLogins(chosen, gate), files, Counters(session=told.append))
    await room.start()
    theirs, ours = socket.socketpair()
    gone: list[bool] = []
    theirs.setblocking(False)
    with theirs:
        ours.setblocking(False)
        room.enter(ours, chosen.listeners[0], "127.0.0.1", lambda: gone.append(True))
        for _ in range(turns):
            await asyncio.sleep(0)
        await room.stop(0)
        assert gone == [True]
        assert len(told) == 1
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.get_running_loop().sock_recv(theirs, 1000):
                pass
    assert ours.fileno() == -1
    await files.close()
