"""The gateway's health tells of a relay that takes no mails, over a reload, until it takes one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from faxgw.daemon import Daemon
from faxgw.delivery import mail_ways
from faxgw.settings import Settings, load
from faxgw.tables import SECTIONS
from faxgw.webserver import PartState
from tests.delivery.test_mail import Relay, parcel, serving

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

[relay]
host = "127.0.0.1"
port = {relay}
tls = "none"
"""


def settings(folder: Path, relay: int) -> Settings:
    path = folder / "faxgw.toml"
    path.write_text(SETTINGS.format(data=folder / "data", relay=relay))
    return load(path, SECTIONS, environ={})


async def test_a_closed_relay_is_told_by_health_until_it_takes_a_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_ways, "CLOSED_AFTER_S", 0.0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        daemon = Daemon(settings(tmp_path, closed.getsockname()[1]))
        await daemon.start()
        try:
            assert daemon.health.check()["delivery"] == PartState(True, "", True)
            for _ in range(2):
                assert not (await daemon._ways["status_mail"].deliver(parcel())).delivered
            told = daemon.health.check()["delivery"]
            assert (told.ok, told.serves) == (False, True)
            assert told.detail.startswith(
                "relay: the server cannot be reached, or not as the settings want it (since 20"
            )
            assert daemon.status()["health"]["delivery"] == {"ok": False, "detail": told.detail}
            async with serving(Relay()) as port:
                await daemon.reload(settings(tmp_path, port))
                assert daemon.health.check()["delivery"] == told, "settings that were changed prove nothing"
                assert (await daemon._ways["status_mail"].deliver(parcel())).delivered
            assert daemon.health.check()["delivery"] == PartState(True, "", True)
        finally:
            await daemon.stop()
