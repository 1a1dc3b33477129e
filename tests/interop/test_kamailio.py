"""The line behind Kamailio: registered there with digest, faxes both ways through its record-routing proxy.

Real engines in real time, over UDP and over TLS at once; the machines are the simulator's (docs/interop.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.line.workers import COMMAND
from faxgw.settings import Duration, Listener, Secret
from tests.interop.kamailio import LOGIN, PASSWORD, RECEIVER, Kamailio
from tests.interop.park import Inside, Park, call_us, document, send
from tests.interop.peers import HOST, Authority, running, until
from tests.patience import PATIENCE_S
from tests.t30.conftest import pixels

pytestmark = pytest.mark.realtime

FAKE = (sys.executable, str(Path(__file__).parents[1] / "line" / "fake_worker.py"))
PORTS = {"udp": PortRange(26000, 26199), "tcp": PortRange(26200, 26399), "tls": PortRange(26400, 26599)}
NUMBER = "+33199000000"


def trunk(carrier: Kamailio, transport: str = "udp", **changes: object) -> TrunkSettings:
    port = {"udp": carrier.udp, "tcp": carrier.tcp, "tls": carrier.tls}[transport]
    values: dict[str, object] = {
        "name": "t", "host": HOST, "port": port, "transport": transport, "registration": True, "login": LOGIN,
        "password": Secret(PASSWORD), "dialled_from": "to", "keepalive": Duration(1.0), **changes,
    }  # fmt: skip
    return TrunkSettings(**values)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def registered(settings: TrunkSettings, *, engines: bool) -> AsyncIterator[tuple[SipLine, Inside]]:
    """A line whose trunk is up."""
    sip = SipSettings(listen=Listener(HOST, 0), media_ports=PORTS[settings.transport])
    line, inside = SipLine(sip, [settings], COMMAND if engines else FAKE), Inside()
    try:
        await line.start()
        line.take_calls(inside)
        await until(lambda: not line.faults)
        yield line, inside
    finally:
        await line.stop()


async def fax_both_ways(carrier: Kamailio, park: Park, folder: Path, transport: str, ca: Path | None) -> None:
    """One fax to the park and one from it at the same time, both through the carrier."""
    settings = trunk(carrier, transport, ca_file=ca)
    ours, theirs = document(folder, 1), document(folder, 2)
    uri = f"sip:{RECEIVER}@{HOST}:{carrier.udp}"
    async with registered(settings, engines=True) as (line, inside):
        outcome, record = await asyncio.gather(send(line, NUMBER, ours), call_us(uri, theirs, folder / "called"))
        assert (record["code"], record["pages_confirmed"]) == (0, 1), record
        async with asyncio.timeout(PATIENCE_S):
            received = await inside.outcomes.get()
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome.detail
    assert (received.cause, received.transport) == (Cause.OK, "t38"), received.detail
    assert park.pages() == pixels(ours.read_bytes())
    assert inside.pages == pixels(theirs.read_bytes())
    assert inside.numbers == [RECEIVER]


async def one_carrier(folder: Path, transport: str, algorithm: str) -> None:
    authority = Authority.make(folder / "ca")
    park = Park(folder / "park")
    async with running(park):
        carrier = Kamailio(folder / "carrier", park.port, authority if transport == "tls" else None, algorithm)
        async with running(carrier):
            await fax_both_ways(carrier, park, folder, transport, authority.ca if transport == "tls" else None)
            # Every request inside a dialog followed the Record-Route, in both calls and directions.
            for method in ("ACK", "INVITE", "BYE"):
                assert len(carrier.told("LOOSE", method)) >= 2, (method, carrier.said())
            assert len(carrier.told("SAVED")) >= 3  # the first, refreshes after half of what is granted, the last
            assert carrier.told("SAVED")[-1].endswith("expires 0")
            assert not carrier.told("DENIED")


async def test_faxes_both_ways_through_a_registrar_and_proxy(tmp_path: Path) -> None:
    """RFC 3261 sections 10 and 16.12: registration, loose routing of ACK, re-INVITE and BYE; MD5 and SHA-256."""
    await asyncio.gather(
        one_carrier(tmp_path / "udp", "udp", "MD5"),
        one_carrier(tmp_path / "tls", "tls", "SHA-256"),
    )


async def test_a_registrar_that_restarts_gets_the_registration_again(tmp_path: Path) -> None:
    """The trunk is down meanwhile; OPTIONS find out that the registrar is back."""
    await asyncio.gather(*(restart(tmp_path / transport, transport) for transport in ("udp", "tcp")))


async def restart(folder: Path, transport: str) -> None:
    carrier = Kamailio(folder, park=9)
    async with running(carrier), registered(trunk(carrier, transport), engines=False) as (line, _inside):
        await carrier.stop()
        await until(lambda: bool(line.faults))
        before = len(carrier.told("SAVED"))
        await carrier.start()
        await until(lambda: not line.faults)
        await until(lambda: len(carrier.told("SAVED")) > before)


async def test_a_wrong_password_leaves_the_trunk_down(tmp_path: Path) -> None:
    """One try; the trunk says why it takes no calls, and a call on it does not leave."""
    carrier = Kamailio(tmp_path / "carrier", park=9)
    settings = trunk(carrier, password=Secret("wrong"))
    line = SipLine(SipSettings(listen=Listener(HOST, 0), media_ports=PORTS["udp"]), [settings], FAKE)
    async with running(carrier):
        try:
            await line.start()
            await until(lambda: "401" in line.faults.get("t", ""))
            assert line.trunks() == {"t": 0}
            await until(lambda: len(carrier.told("REQUEST OPTIONS")) >= 2)
            assert len(carrier.told("REQUEST REGISTER")) == 2  # without credentials, and with them
            assert len(carrier.told("DENIED")) == 1 and not carrier.told("SAVED")
        finally:
            await line.stop()
