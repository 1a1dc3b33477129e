"""A SOAP client in the virtual environment of the vendor's, driven step by step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.sdk.client import PYTHON, ROOT, WITHIN


async def drive_soap(
    wsdl: str, steps: Sequence[Sequence[Any]], *, login: str, password: str, port: str = "Soap11"
) -> list[Any]:
    """What each operation returned; `fault` and `code` where there was one."""
    given = {"wsdl": wsdl, "login": login, "password": password, "port": port, "do": list(steps)}
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(ROOT / "tests/sdk/drive_soap.py"),
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert process.returncode == 0, err.decode()[-2000:]
    found: list[Any] = json.loads(out.splitlines()[-1])
    return found
