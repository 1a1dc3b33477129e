"""`faxgw explain` and `faxgw destinations`, the commands, beside a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.end_to_end.world import ALICE, DOMAIN, Gateway, gateway_at, mail_with, pdf, submit

pytestmark = pytest.mark.realtime

BUSY = "0199000010"
CHANGES = {
    "[settings.values]": '[[route]]\ntrunk = "far-end"\nprefixes = ["+33"]\ncost = 0.02\n\n[settings.values]',
    "channels = 16": 'channels = 16\nidentity = "from+pai"\ncaller = "+33188000000"\nnumber_format = "national"',
}


async def faxgw(gateway: Gateway, *words: str) -> tuple[int, str]:
    """Run a command; exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw", "--data", str(gateway.data), *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "TZ": "UTC"},
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_the_next_call_is_explained_before_and_after_a_call(tmp_path: Path) -> None:
    async with gateway_at(tmp_path, changes=CHANGES) as gateway:
        code, before = await faxgw(gateway, "explain", BUSY, "--sender", ALICE)
        assert code == 0
        for words in (
            "“0199000010” is +33199000010, an ordinary number (FR). acme may dial it.",
            "It goes over far-end: route +33, 0.02 per minute, order 100; 0 of 16 channels in use.",
            "INVITE sip:0199000010@127.0.0.1",
            "From: <sip:0188000000@127.0.0.1>",
            "P-Asserted-Identity: <sip:0188000000@127.0.0.1>",
            "Nothing: it was not called yet, or it was forgotten.",
            "Nothing stands in the way",
        ):
            assert words in before
        message = submit(gateway.smtp_port, mail_with(pdf(1), f"{BUSY}@{DOMAIN}"), [f"{BUSY}@{DOMAIN}"])
        await gateway.finished(message)
        assert "+33199000010" in (await faxgw(gateway, "destinations"))[1]
        assert "The number was busy (not answered)" in (await faxgw(gateway, "explain", BUSY))[1]
        found = json.loads((await faxgw(gateway, "explain", BUSY, "--json"))[1])
        assert found["calls"][0]["cause"] == "busy"
        assert (await faxgw(gateway, "explain", "112"))[1].endswith("Emergency numbers are never dialled.\n")
        assert await faxgw(gateway, "destinations", BUSY, "--forget") == (0, "+33199000010 is forgotten\n")
        assert (await faxgw(gateway, "destinations", BUSY))[0] == 1
    assert "No gateway runs on this data folder." in (await faxgw(gateway, "explain", BUSY))[1]
