"""T.38 on our side and G.711 on the other, and the other way round, with rtpengine between (docs/interop.md).

rtpengine's T.38 gateway is libspandsp's; the signalling goes through Kamailio, which rewrites the descriptions by it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause
from tests.interop.kamailio import RECEIVER, Kamailio
from tests.interop.park import Park, call_us, document, send
from tests.interop.peers import HOST, running
from tests.interop.rtpengine import Rtpengine
from tests.interop.test_kamailio import registered, trunk
from tests.patience import PATIENCE_S
from tests.t30.conftest import pixels

pytestmark = pytest.mark.realtime

AUDIO_ONLY, PROPOSES_T38 = "+33199000002", "+33199000000"


async def fax_both_ways(folder: Path, engine: Rtpengine, *, ours_is_t38: bool) -> None:
    """One fax each way at once, each T.38 at one end and G.711 at the other."""
    park = Park(folder / "park")
    async with running(park):
        carrier = Kamailio(folder / "carrier", park.port, media=engine.control)
        settings = trunk(carrier, "udp" if ours_is_t38 else "tcp", t38=ours_is_t38)
        sent, called = document(folder, 1), document(folder, 2)
        number = AUDIO_ONLY if ours_is_t38 else PROPOSES_T38
        machine = ("--t38", "refuses" if ours_is_t38 else "offers")
        uri = f"sip:{RECEIVER}@{HOST}:{carrier.udp}"
        async with running(carrier), registered(settings, engines=True) as (line, inside):
            outcome, record = await asyncio.gather(
                send(line, number, sent), call_us(uri, called, folder / "called", machine)
            )
            async with asyncio.timeout(PATIENCE_S):
                received = await inside.outcomes.get()
    medium = "t38" if ours_is_t38 else "g711"
    assert (outcome.cause, outcome.transport) == (Cause.OK, medium), outcome
    assert (received.cause, received.transport) == (Cause.OK, medium), received
    assert (record["code"], record["pages_confirmed"]) == (0, 1), record
    assert {record["transport"], park.transport()} == {"g711" if ours_is_t38 else "t38"}
    assert park.pages() == pixels(sent.read_bytes())
    assert inside.pages == pixels(called.read_bytes())


@pytest.mark.parametrize("ours_is_t38", [True, False], ids=["t38", "g711"])
async def test_faxes_between_t38_and_g711(ours_is_t38: bool, tmp_path: Path) -> None:
    engine = Rtpengine(tmp_path / "rtpengine")
    async with running(engine):
        await fax_both_ways(tmp_path / "calls", engine, ours_is_t38=ours_is_t38)
