"""A backup of a gateway in a call, restored into a new folder: nothing is dialled until the operator says so."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.end_to_end.world import DOMAIN, Gateway, gateway_at, mail_with, pdf, submit

pytestmark = pytest.mark.realtime

RINGS = "+33199000011"
"""Rings and is not answered: a call in which no page is exposed."""


async def faxgw(gateway: Gateway, *words: str) -> str:
    """Run a command of the operator on the gateway's data folder."""
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw", "--config", str(gateway.config), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(run.communicate(), 60)
    assert run.returncode == 0, err.decode()
    return out.decode()


def marked(data: Path) -> list[tuple[str, int]]:
    conn = sqlite3.connect(f"file:{data}/faxgw.db?mode=ro", uri=True)
    try:
        return conn.execute("SELECT state, mark_from FROM faxes").fetchall()
    finally:
        conn.close()


async def test_a_restored_gateway_dials_nothing_until_its_release(tmp_path: Path) -> None:
    """Spine section 9."""
    async with gateway_at(tmp_path, media="36000-36999") as gateway:
        mail = mail_with(pdf(1, 3), f"{RINGS}@{DOMAIN}")
        message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [f"{RINGS}@{DOMAIN}"])
        await gateway.until(message, lambda f: any(fax["state"] == "calling" for fax in f["faxes"]))
        refused = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "faxgw", "--config", str(gateway.config), "migrate", stderr=asyncio.subprocess.PIPE
        )
        _out, err = await asyncio.wait_for(refused.communicate(), 60)
        assert refused.returncode == 1
        assert "running" in err.decode()
        await faxgw(gateway, "backup", str(tmp_path / "backup.tar"))
        await gateway.stop()
        assert "already" in await faxgw(gateway, "migrate")

        new = tmp_path / "new"
        assert "1 faxes are held" in await faxgw(gateway, "restore", str(tmp_path / "backup.tar"), "--data", str(new))
        gateway.config.write_text(gateway.config.read_text().replace(str(gateway.data), str(new)))
        gateway.move_to(new)
        dialled = len(gateway.received_by("11"))
        await gateway.start()
        found = await gateway.control.find(message)
        assert [(fax["state"], fax["reason"]) for fax in found["faxes"]] == [("held", "restore")]
        assert (await gateway.control.status())["calls"] == []
        await asyncio.sleep(3)  # three times the pause after which it would be dialled again
        assert len(gateway.received_by("11")) == dialled
        assert [line["event"] for line in gateway.log_lines() if "restore" in line["event"]] == ["restore.pending"]

        told = await faxgw(gateway, "release", "--restored")
        assert told.startswith("1 faxes go on, each page marked")
        found = await gateway.until(message, lambda f: any(fax["state"] == "calling" for fax in f["faxes"]))
        assert len(found["faxes"][0]["attempts"]) == 2
        assert marked(new) == [("calling", 1)]
        assert "0 faxes go on" in await faxgw(gateway, "release", "--restored")
