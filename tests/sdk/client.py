"""The vendor's Python client in its own virtual environment, driven step by step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-sdk/bin/python"
WITHIN = 100.0
"""Seconds for all steps."""


async def drive(
    how: str,
    base: str,
    steps: Sequence[Sequence[Any]],
    *,
    customer: str = "acme",
    login: str = "erp",
    password: str = "secret",
) -> list[Any]:
    """What the client returns for each step; `raised` and `text` where it raised something."""
    if not PYTHON.exists():
        pytest.fail("the vendor's client is not installed: run script/setup --tests")
    given = {"how": how, "base": base, "customer": customer, "login": login, "password": password, "do": list(steps)}
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(ROOT / "tests/sdk/drive.py"),
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert process.returncode == 0, err.decode()[-2000:]
    found: list[Any] = json.loads(out.splitlines()[-1])
    return found
