"""schemathesis against a server by its own description, in the virtual environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-schema/bin/schemathesis"
ANSWERED_WITHIN = 120
"""Seconds; the program's own ten are too few for a page process that starts on a busy machine."""
WITHIN = 1200.0
"""Seconds; a guard against a run without end. Its test is given more than others are (`timeout`)."""
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
"""What may answer a request that breaks its schema: one that is too large does so too, with more than the program's own
list has."""


@dataclass(frozen=True)
class Run:
    """A run without a finding."""

    selected: int
    """Operations that were asked."""
    total: int
    """That the description has."""
    text: str
    """What the program said."""


async def without_a_finding(
    url: str,
    authorization: str,
    examples: int,
    folder: Path,
    not_accepting: Sequence[str] = (),
    not_covered: Sequence[str] = (),
) -> Run:
    """Run all checks.

    Args:
        url: Of the description.
        authorization: Value of that header.
        examples: Random requests per operation and phase, beside those that cover each rule of the schema.
        folder: Where the program may write.
        not_accepting: Operations that need more to be right than their schema can say: what it allows may be refused.
        not_covered: Operations that get random requests only, and those that follow from the answers of others.
    """
    if not PROGRAM.exists():
        pytest.fail("schemathesis is not installed: run script/setup --tests")
    (folder / "schemathesis.toml").write_text(
        f"[checks]\nenabled = true\nnegative_data_rejection.expected-statuses = {json.dumps(REFUSED)}\n"
        + "".join(
            f"[[operations]]\ninclude-name = {json.dumps(name)}\n"
            + "[operations.checks.positive_data_acceptance]\nenabled = false\n" * (name in not_accepting)
            + "[operations.phases.coverage]\nenabled = false\n" * (name in not_covered)
            for name in sorted({*not_accepting, *not_covered})
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(str(PROGRAM), "--no-color", "run", url, "-H", f"Authorization: {authorization}"),
        *("-n", str(examples), "--seed", "1", "--request-timeout", str(ANSWERED_WITHIN)),
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(ROOT / "tests/schema")},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), WITHIN)
    text = out.decode()
    assert process.returncode == 0, text.partition(" FAILURES ")[2][:30_000] or text[-8000:]
    assert "mostly returned 429" not in text, "what was refused for its number was not tried"
    selected = re.search(r"Operations: +(\d+) selected / (\d+) total", text)
    assert selected is not None, text
    return Run(int(selected[1]), int(selected[2]), text)
