"""Make the recordings of calls through a media gateway: `python -m tests.interop.record_gateway [FOLDER]`.

One call each way at once, T.38 on our side, G.711 on the machine's, rtpengine between them (half a minute, loopback).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from faxgw.fax.outcome import Cause
from tests.interop.capture import FOLDER, PAGE
from tests.interop.kamailio import RECEIVER, Kamailio
from tests.interop.park import CALLER, Park, call_us, send
from tests.interop.peers import HOST, running
from tests.interop.record import Keeper
from tests.interop.rtpengine import Rtpengine
from tests.interop.test_kamailio import registered, trunk
from tests.patience import PATIENCE_S

AUDIO_ONLY = "+33199000002"


async def record(scratch: Path) -> list[Path]:
    """Record one call each way; returns the files."""
    engine, park, keeper = Rtpengine(scratch / "rtpengine"), Park(scratch / "park"), Keeper(scratch)
    async with running(engine), running(park):
        carrier = Kamailio(scratch / "carrier", park.port, media=engine.control)
        async with running(carrier), registered(trunk(carrier), engines=True) as (line, inside):
            line.record_to(keeper)
            uri, options = f"sip:{RECEIVER}@{HOST}:{carrier.udp}", ("--t38", "refuses", "--from", CALLER)
            outcome, called = await asyncio.gather(
                send(line, AUDIO_ONLY, PAGE), call_us(uri, PAGE, scratch / "called", options)
            )
            if outcome.cause is not Cause.OK or called["code"] != 0:
                raise SystemExit(f"not recorded: {outcome.detail}, {called['code']}")
            async with asyncio.timeout(PATIENCE_S):
                await inside.outcomes.get()
    return keeper.kept


def main(target: Path) -> None:
    """Put them into a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        for made in asyncio.run(record(Path(scratch))):
            way = "sending" if made.stem == "sending" else "receiving"
            path = target / f"gateway-{way}.faxrec"
            path.write_bytes(made.read_bytes())
            sys.stdout.write(f"{path} {path.stat().st_size}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
