"""The real gateway with the harness's hooks: `python -m tests.faults.daemon_under_test JSON`, run by a world.

The JSON names the settings file, and optionally a step to die at, a broken variant, and call workers to strike:
`{"strikes": {"+33199000000": ["exposed", 9]}}` sends signal 9 to the worker of the first call to that number once
the mark is durable and the worker was told.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any  # what is wrapped

from faxgw.line.outgoing import OutgoingFaxCall
from tests.faults.steps import Steps

STRIKES = ("planned", "answered", "exposed", "confirmed", "closing")
"""When a call worker may be struck: INVITE out, media begun, gate opened, page 1 confirmed, phase E reported."""


def strike_workers(strikes: dict[str, tuple[str, int]]) -> None:
    """Send signals to call workers at marks of their calls."""

    def strike(call: Any, mark: str) -> None:
        number = call._plan.number
        if number in strikes and strikes[number][0] == mark:
            os.kill(call._media.place._worker.pid, strikes.pop(number)[1])

    dial = OutgoingFaxCall._dial

    async def dialled(self: OutgoingFaxCall) -> bool:
        left = await dial(self)
        strike(self, "planned")
        return left

    OutgoingFaxCall._dial = dialled  # type: ignore[method-assign]
    _after("_start_media", lambda call, _: strike(call, "answered"))
    _after("_on_marked", lambda call, arguments: strike(call, arguments[0].kind))
    _after("_on_phase_e", lambda call, _: strike(call, "closing"))


def _after(name: str, then: Callable[[Any, tuple[Any, ...]], None]) -> None:
    original = getattr(OutgoingFaxCall, name)

    def wrapped(self: OutgoingFaxCall, *arguments: Any) -> Any:
        result = original(self, *arguments)
        then(self, arguments)
        return result

    setattr(OutgoingFaxCall, name, wrapped)


def count_line(steps: Steps) -> None:
    """Count the physical steps of the real line: each datagram of SIP, each acknowledgement to a worker."""
    from faxgw.line.endpoint import SipEndpoint
    from faxgw.line.workers import Place

    steps.around(SipEndpoint, "pump", before=False)
    steps.around(Place, "send")


def main() -> None:
    plan = json.loads(sys.argv[1])
    if plan.get("fatal"):
        steps = Steps(plan["fatal"], Path(plan["steps"]))
        steps.rig()
        count_line(steps)
    strikes = {number: (mark, number_) for number, (mark, number_) in plan.get("strikes", {}).items()}
    assert all(mark in STRIKES for mark, _ in strikes.values())
    strike_workers(strikes)
    from faxgw.cli import main as faxgw

    faxgw(["--config", plan["config"], "run"])


if __name__ == "__main__":
    main()
