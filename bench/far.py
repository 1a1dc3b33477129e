"""`python -m bench.far`: the far end of `bench.calls --direction in`, machines of the simulator that call the gateway.

It reads one JSON object from standard input (where to call, how many, how fast, the document's file) and prints one:
what each call came to, seconds from INVITE to 100 Trying, and the CPU it took itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import Any

from faxgw.foip.transaction import Address
from faxgw.simulator.behaviour import BEHAVIOURS
from faxgw.simulator.park import Park, ParkConfig

_CALL_ID = re.compile(rb"\r\n(?:Call-ID|i)[ \t]*:[ \t]*([^\r\n]+)", re.IGNORECASE)


class Stopwatch:
    """The simulator's transport, with an eye on INVITE and 100 Trying."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.sent: dict[bytes, float] = {}
        self.trying: dict[bytes, float] = {}

    def sendto(self, octets: bytes, address: Address) -> None:
        if octets.startswith(b"INVITE ") and (found := _CALL_ID.search(octets)):
            self.sent.setdefault(found[1], time.perf_counter())
        self._transport.sendto(octets, address)

    def arrived(self, octets: bytes) -> None:
        if octets.startswith(b"SIP/2.0 100") and (found := _CALL_ID.search(octets)):
            self.trying.setdefault(found[1], time.perf_counter())

    def delays(self) -> list[float]:
        """Seconds from INVITE to 100, or to now."""
        now = time.perf_counter()
        return [self.trying.get(call, now) - at for call, at in self.sent.items()]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class TimedPark(Park):
    """The park, timed."""

    watch: Stopwatch

    def receive(self, datagram: bytes, source: Address) -> None:
        self.watch.arrived(datagram)
        super().receive(datagram, source)


async def run(order: dict[str, Any]) -> dict[str, Any]:
    park = TimedPark(ParkConfig(Path(order["received"]), "127.0.0.1", 0, None, 0.5))
    await park.start()
    watch: Any = Stopwatch(park._transport)
    park.watch = park._transport = watch
    document = await asyncio.to_thread(Path(order["document"]).read_bytes)
    # T.38: the gateway offers it, as it should; G.711: this end refuses it.
    machine = BEHAVIOURS["01" if order["mode"] == "t38" else "02"]
    print(json.dumps({"port": park.address[1]}), flush=True)
    gateway = json.loads(await asyncio.to_thread(sys.stdin.readline))
    destination = ("127.0.0.1", int(gateway["port"]))

    async def one(index: int) -> bool:
        await asyncio.sleep(index / order["rate"])
        uri = f"sip:+4930555{index:04}@127.0.0.1:{destination[1]}"
        record = await park.place(uri, destination, document, behaviour=machine, give_up=60.0)
        return bool(record.pages_confirmed >= order["pages"])

    begun = time.process_time()
    results = await asyncio.gather(*(one(index) for index in range(order["calls"])), return_exceptions=True)
    await park.stop()
    good = sum(result is True for result in results)
    faults = sorted({repr(result)[:200] for result in results if isinstance(result, BaseException)})
    used = time.process_time() - begun
    return {"ok": good, "faults": faults, "trying_s": watch.delays(), "cpu": used}


def main() -> None:
    logging.disable(logging.ERROR)
    print(json.dumps(asyncio.run(run(json.loads(sys.stdin.readline())))), flush=True)


if __name__ == "__main__":
    main()
