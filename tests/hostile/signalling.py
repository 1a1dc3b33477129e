"""Mutated requests against a real `SipLine`: over UDP, TCP and TLS, by a stranger and by a trunk, in and out of calls.

After each one the trunk asks OPTIONS and must hear 200 within a bound. A fax of a real worker runs meanwhile and must
arrive pixel by pixel; somebody who has nothing to do with it listens whether anything is sent to him.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.fax.ports import Admission, CallDocument, CallProgress, Ringing
from faxgw.fax.reception import ReceivedPage
from faxgw.foip.agent import MAX_EVENTS
from faxgw.foip.stack import MAX_CLIENT_TRANSACTIONS, MAX_SERVER_TRANSACTIONS
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener, Tls
from tests.hostile.invites import AUDIO, T38, THIRD_PARTY, Draft, mutate
from tests.line.far_end import Marks, plan
from tests.patience import PATIENCE_S
from tests.t30.conftest import page_image, pixels, tiff

TRUNK, STRANGER = "127.0.0.1", "127.0.0.2"
ANSWER_WITHIN: Final = 2.0
"""Seconds to the 200 of an OPTIONS."""
METHODS: Final = ("INVITE", "UPDATE", "PRACK", "BYE", "ACK", "CANCEL", "INFO", "OPTIONS", "REFER", "NOTIFY", "MESSAGE")
MAX_ANSWER: Final = 3
"""Octets of answers to a stranger for each octet of his over UDP, beyond which we were worth the trouble of forging."""
MAX_GROWTH: Final = 64 << 20
"""Octets the process may grow by in the course of it."""
LARGEST: Final = 60_000
"""Octets of one datagram."""


class Inside:
    """Admits every call and keeps its pages nowhere."""

    async def admit(self, ringing: Ringing) -> Admission | int:
        return Admission("rcv_1", "+49 1", True, 14400)

    async def answered(self, reception: str) -> bool:
        return True

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        return True

    def progress(self, reception: str, what: CallProgress) -> None:
        pass

    async def ended(self, reception: str, outcome: object, *, acknowledged: int, farewell: bool) -> None:
        pass


@dataclass
class Siege:
    """What came of it."""

    sent: int = 0
    in_dialog: int = 0
    unanswered: list[int] = field(default_factory=list)
    """Seeds after which the line did not answer the trunk."""
    worst_answer: float = 0.0
    """Seconds to the 200 of an OPTIONS at worst."""
    statuses: dict[str, int] = field(default_factory=dict)
    """What we answered."""
    calls_placed: int = 0
    reflected: int = 0
    """Datagrams that reached the third party though only strangers had named him."""
    stranger_sent: int = 0
    stranger_received: int = 0
    """Octets over UDP."""
    grown: int = 0
    """Octets of resident memory."""
    errors: list[str] = field(default_factory=list)
    """Log records of level ERROR, and tables beyond their constants."""
    log_records: int = 0
    fax: str = ""
    """What became of the fax; `identical` is right."""


class _Ear(asyncio.DatagramProtocol):
    """A UDP socket that remembers who answered what."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.count = self.octets = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.count += 1
        self.octets += len(data)
        if self.messages.qsize() < 1000:
            self.messages.put_nowait(data)


class _Log(logging.Handler):
    def __init__(self, siege: Siege) -> None:
        super().__init__()
        self._siege = siege

    def emit(self, record: logging.LogRecord) -> None:
        self._siege.log_records += 1
        if record.levelno >= logging.ERROR and len(self._siege.errors) < 20:
            self._siege.errors.append(f"{record.getMessage()} {getattr(record, 'why', '')} {record.exc_info}")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    public, private = folder / "cert.pem", folder / "cert.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", str(private), "-out", str(public)],
        check=True, capture_output=True,
    )  # fmt: skip
    private.chmod(0o600)
    return public, private


class Besieger:
    """One line, and those who attack it.

    Args:
        line: Started, its trunk at TRUNK.
        siege: Where results go.
    """

    def __init__(self, line: SipLine, siege: Siege) -> None:
        self.line = line
        self.siege = siege
        self._streams: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._serial = 0
        self._dialog: tuple[str, str, str, int] | None = None
        """Call-ID, our tag, the line's tag, CSeq of the call that stands."""

    async def start(self) -> None:
        """Bind."""
        loop = asyncio.get_running_loop()
        self._media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._media.bind((TRUNK, 0))
        ears = []
        for host, port in ((TRUNK, 0), (TRUNK, 0), (STRANGER, 0), (THIRD_PARTY, 5060)):
            transport, ear = await loop.create_datagram_endpoint(_Ear, local_addr=(host, port))
            ears.append((transport, ear))
        (self._trunk, self.trunk), (self._watch, self.watch), (self._stranger, self.stranger), self._third = ears

    async def stop(self) -> None:
        """Close."""
        for _reader, writer in self._streams.values():
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for _reader, writer in self._streams.values()), return_exceptions=True
        )
        self._media.close()
        for transport in (self._trunk, self._watch, self._stranger, self._third[0]):
            transport.close()
        await asyncio.sleep(0)

    @property
    def third_party(self) -> int:
        """Datagrams that reached him."""
        return self._third[1].count

    # One request

    async def attack(self, seed: int, only_strangers: bool = False) -> None:
        """One mutated request, and a look whether the line lives."""
        draw = random.Random(seed)
        way = "stranger" if only_strangers else draw.choice(("trunk",) * 5 + ("tcp", "tls", "stranger", "stranger"))
        if way in ("trunk", "tcp", "tls") and draw.random() < 0.4:
            octets = mutate(await self._inside(draw), draw)
            self.siege.in_dialog += 1
        else:
            octets = mutate(self._outside(draw, way), draw)
        self.siege.sent += 1
        await self._send(way, octets)
        await self._settle(way)
        await self._ask(seed)

    def _outside(self, draw: random.Random, way: str) -> Draft:
        self._serial += 1
        body = draw.choice((AUDIO, T38, (*AUDIO, *T38[5:]), ()))
        return self._draft("INVITE", way, f"h{self._serial}.{draw.randrange(10**9)}", "a", "", 1, body)

    async def _inside(self, draw: random.Random) -> Draft:
        """A request in the dialog of a call that stands, with right and wrong tags."""
        if self._dialog is None:
            await self._call()
        assert self._dialog is not None
        call_id, ours, theirs, number = self._dialog
        number += draw.choice((1, 1, 1, 0, -1, 1000))
        self._dialog = (call_id, ours, theirs, max(number, 1))
        method = draw.choice(("INVITE", *METHODS))
        if draw.random() < 0.3:
            ours, theirs = draw.choice(((ours, "wrong"), ("wrong", theirs), (theirs, ours), (ours, "")))
        body = draw.choice((AUDIO, T38, ())) if method in ("INVITE", "UPDATE", "PRACK", "INFO") else ()
        return self._draft(method, "trunk", call_id, ours, theirs, number, body)

    def _draft(
        self, method: str, way: str, call_id: str, ours: str, theirs: str, number: int, body: tuple[str, ...]
    ) -> Draft:
        self._serial += 1
        kind = {"tcp": "TCP", "tls": "TLS"}.get(way, "UDP")
        host = STRANGER if way == "stranger" else TRUNK
        port = self._media.getsockname()[1]
        headers = [
            f"Via: SIP/2.0/{kind} {host};rport;branch=z9hG4bK{self._serial}",
            "Max-Forwards: 70",
            f'From: "A" <sip:+4989@{host}>;tag={ours}',
            f"To: <sip:0199000099@127.0.0.1>{';tag=' + theirs if theirs else ''}",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:x@{host}:{self._trunk.get_extra_info('sockname')[1]}>",
            "Supported: 100rel, timer",
            "Content-Type: application/sdp",
        ]
        return Draft(
            method, "sip:0199000099@127.0.0.1", headers, [line.format(media=TRUNK, port=port) for line in body]
        )

    async def _call(self) -> None:
        """Place a right call and acknowledge its answer."""
        self._serial += 1
        call_id = f"good{self._serial}"
        _drain(self.trunk)
        self._udp(self._trunk, self._draft("INVITE", "trunk", call_id, "a", "", 1, AUDIO).to_bytes())
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.trunk.messages.get()
                if f"Call-ID: {call_id}".encode() not in message:
                    continue
                status = _status(message)
                if status >= 200:
                    break
        if status == 486:  # those that half came about hold the channels until their own bounds end them
            await asyncio.sleep(1.0)
            await self._call()
            return
        if status != 200:
            raise RuntimeError(f"a right call was refused: {message[:200]!r}")
        tag = re.search(rb"\r\nTo:[^\r\n]*;tag=([^\r\n;]+)", message)
        assert tag is not None
        self._dialog = (call_id, "a", tag[1].decode(), 1)
        self._udp(self._trunk, self._draft("ACK", "trunk", call_id, "a", tag[1].decode(), 1, ()).to_bytes())
        self.siege.calls_placed += 1

    # What comes back

    async def _settle(self, way: str) -> None:
        """Read the answers; calls that came about are ended, so that the next one meets a line that can take it."""
        ear = self.stranger if way == "stranger" else self.trunk
        await asyncio.sleep(0)
        while not ear.messages.empty():
            self._hear(ear.messages.get_nowait())

    def _hear(self, message: bytes) -> None:
        status = _status(message)
        key = str(status) if status else message.split(b" ", 1)[0].decode("ascii", "replace")[:10]
        self.siege.statuses[key] = self.siege.statuses.get(key, 0) + 1
        dialog = self._dialog
        ours = dialog is not None and f"Call-ID: {dialog[0]}".encode() in message
        if status == 0:
            self._answer(message)
            if ours and key == "BYE":
                self._dialog = None
        elif b"CSeq: " in message and b" INVITE" in message and status >= 200:
            self._acknowledge(message, status, ours)
        elif (ours and status == 200 and b" BYE\r\n" in message) or (ours and status == 481):
            self._dialog = None

    def _answer(self, request: bytes) -> None:
        """200 to whatever the line asks of us but INVITE, which a fax machine of this kind refuses."""
        head = request.decode("utf-8", "replace").split("\r\n")
        method = head[0].split(" ", 1)[0]
        if method == "ACK":
            return
        kept = [line for line in head[1:] if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        status = "488 No" if method == "INVITE" else "200 OK"
        self._udp(self._trunk, "\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode())

    def _acknowledge(self, message: bytes, status: int, ours: bool) -> None:
        """ACK, and BYE if a mutated INVITE was good enough for a call."""
        fields = dict(line.split(": ", 1) for line in message.decode("utf-8", "replace").split("\r\n") if ": " in line)
        number = fields.get("CSeq", "1").split(" ")[0]
        common = [
            "Max-Forwards: 70", f"From: {fields.get('From', '')}", f"To: {fields.get('To', '')}",
            f"Call-ID: {fields.get('Call-ID', '')}",
        ]  # fmt: skip
        via = fields.get("Via", "")
        if status < 300:
            self._serial += 1
            via = f"SIP/2.0/UDP {TRUNK};rport;branch=z9hG4bK{self._serial}"
        self._udp(self._trunk, Draft("ACK", "sip:x@y", [f"Via: {via}", *common, f"CSeq: {number} ACK"]).to_bytes())
        if status < 300 and not ours and number.isdigit():
            self.siege.calls_placed += 1
            via = f"SIP/2.0/UDP {TRUNK};rport;branch=z9hG4bKb{self._serial}"
            bye = Draft("BYE", "sip:x@y", [f"Via: {via}", *common, f"CSeq: {int(number) + 1} BYE"])
            self._udp(self._trunk, bye.to_bytes())

    async def _ask(self, seed: int) -> None:
        """OPTIONS of the trunk, answered in time?"""
        _drain(self.watch)
        name = f"o{self._serial}"
        draft = self._draft("OPTIONS", "trunk", name, "a", "", 1, ())
        began = time.perf_counter()
        self._udp(self._watch, draft.to_bytes())
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                while True:
                    message = await self.watch.messages.get()
                    if f"Call-ID: {name}\r\n".encode() in message:
                        break
        except TimeoutError:
            self.siege.unanswered.append(seed)
            return
        self.siege.worst_answer = max(self.siege.worst_answer, time.perf_counter() - began)
        if _status(message) != 200:
            self.siege.unanswered.append(seed)

    # Sending

    def _udp(self, transport: asyncio.DatagramTransport, octets: bytes) -> None:
        transport.sendto(octets[:LARGEST], (TRUNK, self.line.ports["udp"]))

    async def _send(self, way: str, octets: bytes) -> None:
        if way in ("tcp", "tls"):
            await self._stream(way, octets)
            return
        if way == "stranger":
            self.siege.stranger_sent += len(octets[:LARGEST])
        self._udp(self._stranger if way == "stranger" else self._trunk, octets)

    async def _stream(self, way: str, octets: bytes) -> None:
        """By a connection of the trunk; a new one when the line has closed the last."""
        found = self._streams.get(way)
        with contextlib.suppress(OSError):
            if found is None or found[1].is_closing() or found[0].at_eof():
                if found is not None:
                    found[1].close()
                found = self._streams[way] = await self._connect(way)
            reader, writer = found
            writer.write(octets)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    head = await reader.read(65536)
                    key = str(_status(head)) if head else "closed"
                    self.siege.statuses[key] = self.siege.statuses.get(key, 0) + 1
                    if not head:
                        writer.close()

    async def _connect(self, way: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = None
        if way == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await asyncio.open_connection(TRUNK, self.line.ports[way], ssl=context)


def _status(message: bytes) -> int:
    match = re.match(rb"SIP/2\.0 (\d{3}) ", message)
    return int(match[1]) if match else 0


def _drain(ear: _Ear) -> None:
    while not ear.messages.empty():
        ear.messages.get_nowait()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def _besieged(folder: Path, siege: Siege, port: int, ports: PortRange) -> AsyncIterator[Besieger]:
    public, private = certificate(folder)
    settings = SipSettings(
        listen=Listener(TRUNK, 0), listen_tcp=Listener(TRUNK, 0), listen_tls=Listener(TRUNK, 0),
        tls=Tls(certificate=public, key=private), media_ports=ports,
    )  # fmt: skip
    trunk = TrunkSettings(name="t", host=TRUNK, port=port, channels=60, inbound_channels=50, keepalive=Duration(0))
    line = SipLine(settings, [trunk])
    await line.start()
    line.take_calls(Inside())
    handler = _Log(siege)
    logging.getLogger("faxgw").addHandler(handler)
    besieger = Besieger(line, siege)
    await besieger.start()
    try:
        yield besieger
    finally:
        await besieger.stop()
        await line.stop()
        logging.getLogger("faxgw").removeHandler(handler)


async def besiege(count: int, folder: Path, ports: PortRange, first: int = 0) -> Siege:
    """Send `count` mutated requests while a fax is being sent, as many of strangers alone after it."""
    siege = Siege()
    received, document = folder / "received", folder / "fax.tif"
    await asyncio.to_thread(received.mkdir)
    await asyncio.to_thread(document.write_bytes, tiff([page_image(1), page_image(2)]))
    simulator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator", "--bind", "127.0.0.1:0", "--received", str(received),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert simulator.stdout is not None
    try:
        port = int(json.loads(await simulator.stdout.readline())["sip"].rpartition(":")[2])
        async with _besieged(folder, siege, port, ports) as besieger:
            await _strangers(besieger, siege, first, max(count // 10, 50))
            fax = asyncio.create_task(_fax(besieger.line, document, received))
            for seed in range(first, first + count // 5):
                await besieger.attack(seed)
            gc.collect()
            before = _resident()
            for seed in range(first + count // 5, first + count):
                await besieger.attack(seed)
            gc.collect()
            siege.grown = _resident() - before
            siege.fax = await fax
            siege.errors += _tables(besieger.line)
    finally:
        simulator.terminate()
        await simulator.wait()
        simulator._transport.close()  # type: ignore[attr-defined]  # else its pipe lives until the loop is gone
    return siege


async def _strangers(besieger: Besieger, siege: Siege, first: int, count: int) -> None:
    """Strangers alone, so that whatever reaches the third party was their doing."""
    for seed in range(first, first + count):
        await besieger.attack(seed, only_strangers=True)
    await asyncio.sleep(0.1)
    siege.stranger_received = besieger.stranger.octets
    siege.reflected = besieger.third_party


async def _fax(line: SipLine, document: Path, received: Path) -> str:
    descriptor = os.open(document, os.O_RDONLY | os.O_CLOEXEC)
    try:
        made = plan(line.new_identity("t"), "+33199000000", documents=(CallDocument("FN", descriptor, 2, 1, 2),))
        outcome = await line.call(made, Marks())
    finally:
        os.close(descriptor)
    if outcome.cause is not Cause.OK:
        return f"{outcome.cause}: {outcome.detail}"
    return "identical" if await asyncio.to_thread(_is_identical, document, received) else "other pages"


def _is_identical(document: Path, received: Path) -> bool:
    pages = [page for path in received.glob("*.tif*") for page in pixels(path.read_bytes())]
    return sorted(pages) == sorted(pixels(document.read_bytes()))


def _tables(line: SipLine) -> list[str]:
    """What has grown beyond its constant."""
    found = []
    for kind in line.ports:
        endpoint: SipEndpoint = line._endpoints.of(kind)
        stack = endpoint.agent.stack
        sizes = {
            "server transactions": (len(stack._servers), MAX_SERVER_TRANSACTIONS),
            "merged requests": (len(stack._merged), MAX_SERVER_TRANSACTIONS),
            "client transactions": (len(stack._clients), MAX_CLIENT_TRANSACTIONS),
            "events": (len(stack.events), min(MAX_EVENTS, 10)),
            "calls": (endpoint.agent.calls, 200),
            "dialogs": (len(endpoint.agent._dialogs), 200),
            "ringing": (len(endpoint.agent._ringing), 200),
            "inboxes": (len(endpoint._inboxes), 200),
            "taps": (len(endpoint._taps), 200),
            "timers": (len(stack._heap), 10 * MAX_SERVER_TRANSACTIONS),
        }
        found += [f"{kind}: {size} {what}" for what, (size, most) in sizes.items() if size > most]
    return found
