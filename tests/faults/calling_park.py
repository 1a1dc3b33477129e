"""Fax machines that call us, in a process that outlives the gateway: `python -m tests.faults.calling_park FOLDER`.

Each line of its input is a call (JSON: id, uri, host, port, file, caller, machine, t38); each line of its output is a
call that is over, with the machine's own record of it: how many of its pages were confirmed to it. `{"id": ""}` says
that it is ready.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any  # a call is JSON

from faxgw.simulator.behaviour import BEHAVIOURS, Fax
from faxgw.simulator.park import Park, ParkConfig

GIVES_UP = 90.0
"""Seconds after which a machine that is not answered gives up."""


def say(**what: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def call(park: Park, plan: dict[str, Any]) -> None:
    """Place one call and say what became of it."""
    document = await asyncio.to_thread(Path(plan["file"]).read_bytes)
    behaviour = replace(BEHAVIOURS[plan["machine"]], fax=Fax(plan["t38"]))
    record = await park.place(
        plan["uri"],
        (plan["host"], plan["port"]),
        document,
        caller=plan["caller"],
        behaviour=behaviour,
        give_up=GIVES_UP,
    )
    say(id=plan["id"], record=asdict(record))


async def serve(folder: Path) -> None:
    """Place calls until the input ends and every call is over."""
    park = Park(ParkConfig(folder))
    await park.start()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(id="")
    try:
        async with asyncio.TaskGroup() as calls:
            while line := await reader.readline():
                calls.create_task(call(park, json.loads(line)))
    finally:
        await park.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
