"""Whole calls over TCP and TLS: a line with a fake worker against a far end, both directions."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.fax.ports import CallPlan
from faxgw.foip.stack import Transport
from faxgw.line.ports import PortRange
from faxgw.line.sip import LineNotStarted, SipLine
from faxgw.line.streams import StreamPolicy, TlsClient
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener, Tls
from tests.conftest import MakeCertificate
from tests.foip.wire import AUDIO
from tests.line.far_end import FarEnd, Marks, plan, until

FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
PORTS = PortRange(23000, 23999)


@dataclass(frozen=True)
class Ground:
    """What both ends need for one transport."""

    transport: str
    far: FarEnd
    ca_file: Path | None
    tls: Tls | None

    def trunk(self, **changes: object) -> TrunkSettings:
        host = "localhost" if self.tls is not None else "127.0.0.1"
        values: dict[str, object] = {
            "name": "t", "host": host, "port": self.far.port, "transport": self.transport, "ca_file": self.ca_file,
            "ring_time": Duration(2.0), "peers": ("127.0.0.1",), **changes,
        }  # fmt: skip
        return TrunkSettings(**values)  # type: ignore[arg-type]

    def settings(self, *, listens: bool) -> SipSettings:
        values: dict[str, object] = {
            "listen": Listener("127.0.0.1", 0), "media_ports": PORTS, "t38_wait": Duration(0.05),
        }  # fmt: skip
        if listens:
            values[f"listen_{self.transport}"] = Listener("127.0.0.1", 0)
            values["tls"] = self.tls
        return SipSettings(**values)  # type: ignore[arg-type]

    @asynccontextmanager
    async def line(self, *, listens: bool = False, **changes: object) -> AsyncIterator[SipLine]:
        made = SipLine(self.settings(listens=listens), [self.trunk(**changes)], FAKE)
        await made.start()
        try:
            yield made
        finally:
            await made.stop()


@pytest.fixture(params=["tcp", "tls"])
async def ground(request: pytest.FixtureRequest, make_certificate: MakeCertificate) -> AsyncIterator[Ground]:
    certificate, key = make_certificate()
    if request.param == "tcp":
        policy, tls, ca_file = StreamPolicy(is_known=lambda host: True), None, None
    else:
        tls, ca_file = Tls(certificate=certificate, key=key), certificate
        security = TlsClient(ssl.create_default_context(cafile=certificate), "localhost")
        policy = StreamPolicy(
            server_context=tls.server_context(),
            is_secure=True,
            is_known=lambda host: True,
            security=lambda destination: security,
        )
    async with FarEnd(Transport(request.param.upper()), policy) as far:
        yield Ground(request.param, far, ca_file, tls)


async def send(line: SipLine, marks: Marks, made: CallPlan) -> Outcome:
    try:
        async with asyncio.timeout(60):
            return await line.call(made, marks)
    finally:
        for document in made.documents:
            os.close(document.descriptor)


async def dial(line: SipLine, marks: Marks | None = None, script: str = "ok", **options: object) -> Outcome:
    return await send(line, marks or Marks(), plan(line.new_identity("t"), script=script, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("listens", [True, False])
async def test_a_fax_is_sent_over_t38(ground: Ground, listens: bool) -> None:
    ground.far.after_ack = ground.far.propose_t38
    async with ground.line(listens=listens) as line:
        marks = Marks()
        outcome = await dial(line, marks)
        assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome.detail
        assert marks.log[0] == "answered"
        assert set(line.ports) == {"udp", ground.transport}
        assert "Reoffered" not in ground.far.log or ground.far.ended


async def test_refusals_are_told(ground: Ground) -> None:
    async with ground.line() as line:
        outcome = await dial(line, number="+486")
        assert (outcome.cause, outcome.sip_status) == (Cause.BUSY, 486)


async def test_without_a_listener_the_far_end_reaches_us_by_our_connection(ground: Ground) -> None:
    """Our Contact is the address that our connection starts from: a peer finds it (and by `alias`, RFC 5923)."""
    ground.far.after_ack = ground.far.hang_up
    async with ground.line() as line:
        outcome = await dial(line, script="wait")
    assert (outcome.cause, outcome.connected, outcome.exposed) == (Cause.HUNG_UP_BEFORE_FAX, True, False)


async def test_a_later_line_ends_a_call_of_an_earlier_one(ground: Ground) -> None:
    marks = Marks()
    async with ground.line() as first:
        identity = first.new_identity("t")
        call = asyncio.create_task(send(first, marks, plan(identity, script="hold")))
        await marks.until("page")
        first._endpoints.of(ground.transport).cut_off()
        async with ground.line() as second:
            await second.end_stranger("t", identity, "+200", marks.dialog)
            await until(lambda: bool(ground.far.ended))
        await first.hangup("att_1")
        await call
    assert [ended.why for ended in ground.far.ended] == ["bye"]


async def test_a_server_that_is_not_there_fails_the_call_before_its_invite(ground: Ground) -> None:
    async with ground.line(port=9) as line:
        outcome = await dial(line)
    assert (outcome.cause, outcome.connected, outcome.exposed) == (Cause.CARRIER_FAULT, False, False)
    assert "not reached" in outcome.detail
    assert ground.far.log == []


async def test_a_server_that_dies_during_the_invite_fails_the_call(ground: Ground) -> None:
    """RFC 3261 section 8.1.3.1: as with 503, at once and not after timer B."""

    async with ground.line() as line:
        reach = ground.far.endpoint.agent.receive_datagram
        ground.far.endpoint.agent.receive_datagram = (  # type: ignore[method-assign]
            lambda data, source, now: ground.far.endpoint.cut_off()
        )
        outcome = await dial(line)
        ground.far.endpoint.agent.receive_datagram = reach  # type: ignore[method-assign]
    assert (outcome.cause, outcome.sip_status) == (Cause.CARRIER_FAULT, 503)


async def incoming_status(ground: Ground, line: SipLine) -> int:
    """The far end calls the line; the status it gets."""
    inbox: asyncio.Queue[object] = asyncio.Queue()
    endpoint = ground.far.endpoint
    call = endpoint.agent.invite(
        endpoint.agent.new_identity(),
        "sip:1@127.0.0.1",
        ("127.0.0.1", line.ports[ground.transport]),
        AUDIO,
        from_="sip:2@127.0.0.1",
        now=endpoint.now,
    )
    endpoint.listen(call, inbox)
    endpoint.pump()
    async with asyncio.timeout(40):
        return int(getattr(await inbox.get(), "status", 0))


async def test_calls_to_us_come_to_the_listener(ground: Ground) -> None:
    async with ground.line(listens=True) as line:
        assert await incoming_status(ground, line) == 480  # nobody takes calls yet


async def test_strangers_are_refused_and_their_connection_ends(ground: Ground) -> None:
    async with ground.line(listens=True, host="192.0.2.1", peers=()) as line:
        assert await incoming_status(ground, line) == 404
        carrier = line._endpoints.of(ground.transport)._carrier
        await until(lambda: not carrier._connections)  # type: ignore[attr-defined]


async def test_nobody_can_connect_where_nothing_listens(ground: Ground) -> None:
    async with ground.line() as line:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", line.ports[ground.transport])


async def test_a_certificate_nobody_vouches_for_is_refused(
    make_certificate: MakeCertificate, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 5922: verified by default, by host name."""
    certificate, key = make_certificate()
    other, _ = make_certificate()
    policy = StreamPolicy(server_context=Tls(certificate=certificate, key=key).server_context(), is_secure=True)
    async with FarEnd(Transport.TLS, policy) as far:
        ground = Ground("tls", far, other, Tls(certificate=certificate, key=key))
        for ca_file, host in ((other, "localhost"), (certificate, "127.0.0.1")):
            async with ground.line(ca_file=ca_file, host=host) as line:
                outcome = await dial(line)
                assert outcome.cause is Cause.CARRIER_FAULT
                assert "certificate verify failed" in outcome.detail
        assert far.log == []


async def test_a_new_certificate_is_taken_on(make_certificate: MakeCertificate) -> None:
    certificate, key = make_certificate()
    newer, newer_key = make_certificate()
    tls = Tls(certificate=certificate, key=key)
    settings = SipSettings(
        listen=Listener("127.0.0.1", 0), media_ports=PORTS, listen_tls=Listener("127.0.0.1", 0), tls=tls
    )
    line = SipLine(settings, [], FAKE)
    await line.start()
    try:
        line.reload_tls(Tls(certificate=newer, key=newer_key))
        with pytest.raises(OSError, match="verif"):
            await _shake_hands(line.ports["tls"], certificate)
        await _shake_hands(line.ports["tls"], newer)
        with pytest.raises(OSError):
            line.reload_tls(Tls.model_construct(certificate=Path("gone"), key=newer_key))
        await _shake_hands(line.ports["tls"], newer)
    finally:
        await line.stop()


async def _shake_hands(port: int, trusted: Path) -> None:
    context = ssl.create_default_context(cafile=trusted)
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    writer.close()
    await writer.wait_closed()


async def test_a_listener_that_is_taken_is_told(ground: Ground) -> None:
    settings = ground.settings(listens=True).model_copy(
        update={f"listen_{ground.transport}": Listener("127.0.0.1", ground.far.port)}
    )
    with pytest.raises(LineNotStarted) as caught:
        await SipLine(settings, [], FAKE).start()
    assert (
        caught.value.public == f"SIP over {ground.transport.upper()} on 127.0.0.1:{ground.far.port} cannot be started."
    )
