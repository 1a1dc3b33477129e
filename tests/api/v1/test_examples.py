"""The examples of docs/api.md, run as they stand."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from tests.api.v1.world import PDF, native
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCS = Path(__file__).parents[3] / "docs/api.md"


def examples() -> list[str]:
    """Every curl command, its lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl ")]


async def test_every_command_is_answered(house: House, tmp_path: Path) -> None:
    (tmp_path / "letter.pdf").write_bytes(PDF)
    async with native(house, stream_s=0.3) as api:
        environment = {
            **os.environ,
            "SERVER": str(api.desk.client._base_url).rstrip("/"),
            "TOKEN": api.auth["Authorization"].split()[1],
        }
        answers = []
        for command in examples():
            process = await asyncio.create_subprocess_shell(
                command.replace("curl ", "curl -sS --fail-with-body --max-time 20 ", 1),
                cwd=tmp_path,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            assert process.returncode == 0, (command, out, err)
            answers.append(out.decode())
    form, text, listed, came, stream = answers
    assert json.loads(form)["count"] == 1
    assert [fax["job"] for fax in json.loads(listed)["faxes"]] == [json.loads(text)["job"]]
    assert json.loads(came)["faxes"] == [] and "event: ready" in stream
