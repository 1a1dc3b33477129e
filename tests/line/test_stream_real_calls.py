"""A fax over T.38 with a real call worker, its signalling over TCP and over TLS; the far end is the simulator.

The simulator speaks UDP: a relay stands at the same port number of TCP and takes our Contact's place towards it.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause
from faxgw.fax.ports import CallDocument
from faxgw.foip.framing import StreamDecoder, Whole
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Listener, Tls
from tests.conftest import MakeCertificate
from tests.line.far_end import Marks, plan
from tests.t30.conftest import page_image, pixels, tiff

pytestmark = pytest.mark.realtime

PORTS = {"tcp": PortRange(24000, 24499), "tls": PortRange(24500, 24999)}


class Relay(asyncio.DatagramProtocol):
    """Messages of one stream as datagrams to the simulator, and back."""

    def __init__(self, simulator: tuple[str, int]) -> None:
        self._simulator = simulator
        self._writer: asyncio.StreamWriter | None = None
        self._datagrams: asyncio.DatagramTransport
        self.methods: list[bytes] = []
        """First word of each message of the line."""

    async def start(self, ours: int, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", ours))
        self._server = await asyncio.start_server(self._serve, *self._simulator, ssl=context)

    async def stop(self) -> None:
        self._server.close()
        if self._writer is not None:
            self._writer.close()
            await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)
        self._datagrams.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        decoder = StreamDecoder()
        while octets := await reader.read(65536):
            for frame in decoder.feed(octets):
                assert isinstance(frame, Whole)
                self.methods.append(frame.data.split()[0])
                self._datagrams.sendto(frame.data, self._simulator)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._writer is not None:
            self._writer.write(data)


async def test_a_fax_over_t38(tmp_path: Path, make_certificate: MakeCertificate) -> None:
    """Re-INVITE of the far end, pages, BYE: all by the one connection that we opened."""
    certificate = make_certificate()
    folders = {transport: tmp_path / transport for transport in ("tcp", "tls")}
    for folder in folders.values():
        folder.mkdir()
    async with asyncio.TaskGroup() as both:  # when one fails, the other ends what it has started
        for transport, folder in folders.items():
            both.create_task(send_a_fax(transport, folder, certificate))


async def send_a_fax(transport: str, tmp_path: Path, pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    is_secure = transport == "tls"
    context = Tls(certificate=certificate, key=key).server_context() if is_secure else None
    received, document = tmp_path / "received", tmp_path / "fax.tif"
    received.mkdir()
    images = [page_image(1), page_image(2)]
    document.write_bytes(tiff(images))
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator", "--bind", "127.0.0.1:0", "--received", str(received),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert simulator.stdout is not None
    port = int(json.loads(await simulator.stdout.readline())["sip"].rpartition(":")[2])
    trunk = TrunkSettings(
        name="t", host="localhost" if is_secure else "127.0.0.1", port=port, transport=transport,  # type: ignore[arg-type]
        ca_file=certificate if is_secure else None, peers=("127.0.0.1",),
    )  # fmt: skip
    line = SipLine(SipSettings(listen=Listener("127.0.0.1", 0), media_ports=PORTS[transport]), [trunk])
    relay = Relay(("127.0.0.1", port))
    descriptor = os.open(document, os.O_RDONLY | os.O_CLOEXEC)
    marks = Marks()
    try:
        await line.start()
        await relay.start(line.ports[transport], context)
        made = plan(line.new_identity("t"), "+33199000000", documents=(CallDocument("FN", descriptor, 2, 1, 2),))
        async with asyncio.timeout(120):
            outcome = await line.call(made, marks)
    finally:
        os.close(descriptor)
        await line.stop()
        await relay.stop()
        simulator.terminate()
        await simulator.wait()
        simulator._transport.close()  # type: ignore[attr-defined]  # else its pipe lives until the loop is gone
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome.detail
    assert [entry for entry in marks.log if entry.startswith("confirmed")] == ["confirmed FN 1", "confirmed FN 2"]
    requests = [word for word in relay.methods if word not in (b"OPTIONS", b"SIP/2.0")]
    assert requests[:2] == [b"INVITE", b"ACK"]
    assert requests.count(b"BYE") <= 1  # the machine may say it first
    sent = pixels(document.read_bytes())
    files = [pixels(path.read_bytes()) for path in received.glob("*.tif*")]
    assert sorted(page for file in files for page in file) == sorted(sent)
