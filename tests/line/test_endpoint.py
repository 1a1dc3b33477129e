"""The endpoint: RFC 4475 over real sockets, strangers, what the carrier tells."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.events import Rejected
from faxgw.foip.framing import PING, StreamDecoder, Whole
from faxgw.foip.message import Response, parse
from faxgw.foip.stack import Transport
from faxgw.foip.transaction import Address
from faxgw.line.connection import StreamTimes
from faxgw.line.endpoint import SipEndpoint
from faxgw.line.streams import StreamPolicy
from faxgw.settings import Listener
from tests.foip.conftest import rfc4475  # noqa: F401 -- a fixture
from tests.foip.test_agent_torture import ANSWERS
from tests.foip.wire import AUDIO, request
from tests.patience import PATIENCE_S

HERE, CALLER = "127.0.0.1", "127.1.4.75"
"""CALLER is an address of loopback that no other test uses, so that the ports of the messages are free there."""

# Over a stream a message without a readable Content-Length, or one that does not end, is a 400 and the end of the
# connection (RFC 3261 sections 18.3 and 20.14; RFC 4475 sections 3.1.2.2 and 3.1.2.3); the others are as over UDP.
OVER_TCP: dict[str, int | None] = {**ANSWERS, "inv2543": 400}


@contextlib.asynccontextmanager
async def endpoint(
    transport: Transport, screen: Callable[[Address], int | None] = lambda source: None, host: str = HERE
) -> AsyncIterator[SipEndpoint]:
    policy = StreamPolicy(is_known=lambda host: True, times=StreamTimes(message=0.1))
    made = SipEndpoint(Listener(host, 0), "", lambda event: None, screen=screen, transport=transport, streams=policy)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def over_udp(port: int, data: bytes) -> int | None:
    """The first status that answers; the answer to a probe behind it tells that there is none.

    Without rport an answer goes to the port of the Via (RFC 3261 section 18.2.2): a second socket waits there.
    """
    loop = asyncio.get_running_loop()
    probe = request("OPTIONS", ("Via", f"SIP/2.0/UDP {CALLER};rport;branch=z9hG4bKprobe"), ("Call-ID", "probe"))
    with udp(0) as sender, udp(via_port(data)) as named:
        await loop.sock_sendto(sender, data, (HERE, port))
        await loop.sock_sendto(sender, probe, (HERE, port))
        answers: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            while not answers or parse(answers[-1]).call_id != "probe":
                answers.append(await loop.sock_recv(sender, 65536))
        answers.pop()
        with contextlib.suppress(BlockingIOError):
            answers.append(named.recv(65536))
    statuses = [answer.status for answer in map(parse, answers) if isinstance(answer, Response)]
    assert len(statuses) <= 1
    return statuses[0] if statuses else None


def udp(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((CALLER, port))
    return sock


def via_port(data: bytes) -> int:
    try:
        return parse(data).via.port or 5060
    except RemoteProtocolError:
        return 0


async def over_tcp(port: int, data: bytes) -> int | None:
    """The first status that answers, over a connection of its own; None if it ends without one, or a ping is first."""
    reader, writer = await asyncio.open_connection(HERE, port)
    decoder = StreamDecoder()
    found: int | None = None
    writer.write(data)
    writer.write(b"" if data.endswith(b"9999") else PING)
    async with asyncio.timeout(PATIENCE_S):
        while found is None and (octets := await reader.read(65536)):
            frames = [frame for frame in decoder.feed(octets) if isinstance(frame, Whole)]
            answers = [parse(frame.data) for frame in frames]
            statuses = [answer.status for answer in answers if isinstance(answer, Response)]
            if statuses:
                found = statuses[0]
            elif octets == b"\r\n":
                break
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return found


async def test_each_torture_message_over_udp(rfc4475: dict[str, bytes]) -> None:  # noqa: F811
    """RFC 4475, all 49, through real sockets."""
    seen: dict[str, int | None] = {}
    for name, data in rfc4475.items():
        async with endpoint(Transport.UDP) as callee:
            seen[name] = await over_udp(callee.port, data)
    assert len(seen) == 49
    assert seen == ANSWERS


async def test_each_torture_message_over_tcp(rfc4475: dict[str, bytes]) -> None:  # noqa: F811
    """RFC 4475, all 49, through real connections; the gateway answers others after each."""
    seen: dict[str, int | None] = {}
    async with endpoint(Transport.TCP) as callee:
        for name, data in rfc4475.items():
            seen[name] = await over_tcp(callee.port, data)
        assert await over_tcp(callee.port, request("OPTIONS", ("Call-ID", "after"))) == 200
    assert len(seen) == 49
    assert seen == OVER_TCP


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_who_is_refused_gets_one_answer(transport: Transport) -> None:
    asked: list[Address] = []

    def screen(source: Address) -> int:
        asked.append(source)
        return 404

    async with endpoint(transport, screen) as callee:
        if transport is Transport.UDP:
            assert await over_udp(callee.port, request("INVITE")) == 404
        else:
            reader, writer = await asyncio.open_connection(HERE, callee.port)
            writer.write(request("INVITE") + request("INVITE", ("Call-ID", "second")))
            octets = await reader.read()
            assert octets.count(b"SIP/2.0 404") == 1  # and the connection ends
            writer.close()
            await writer.wait_closed()
        assert len(asked) == (2 if transport is Transport.UDP else 1)  # the OPTIONS after it is judged as well
        assert callee.agent.calls == 0


async def test_a_stranger_who_gets_no_answer_loses_the_connection() -> None:
    async with endpoint(Transport.TCP, lambda source: 0) as callee:
        reader, writer = await asyncio.open_connection(HERE, callee.port)
        writer.write(request("INVITE"))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_nobody_at_a_port_is_told_by_icmp_at_once(host: str) -> None:
    """Over IPv6 as over IPv4, and not after timer F."""
    async with endpoint(Transport.UDP, host=host) as caller:
        inbox: asyncio.Queue[object] = asyncio.Queue()
        agent = caller.agent
        call = agent.invite(
            agent.new_identity(), "sip:1@example.net", (host, 9), AUDIO, from_="sip:2@example.net", now=caller.now
        )
        caller.listen(call, inbox)
        caller.pump()
        async with asyncio.timeout(PATIENCE_S):
            event = await inbox.get()
        assert isinstance(event, Rejected)
        assert (event.status, event.local) == (503, True)


async def test_via_and_contact_name_the_transport() -> None:
    """RFC 3261 sections 18.1.1 and 19.1.1, RFC 5923 section 5."""
    for transport, wanted in (
        (Transport.UDP, ""),
        (Transport.TCP, ";transport=tcp"),
        (Transport.TLS, ";transport=tls"),
    ):
        async with endpoint(transport) as made:
            made.agent.invite(
                made.agent.new_identity(), "sip:1@example.net", (HERE, 9), AUDIO, from_="sip:2@example.net", now=0.0
            )
            [(data, _destination)] = made.agent.datagrams_to_send()
            invite = parse(data)
            assert str(invite.contacts[0].uri) == f"sip:fax@{HERE}:{made.port}{wanted}"
            assert (invite.via.transport, invite.via.port) == (transport.value, made.port)
            assert (invite.via.param("alias") is None) == (transport is Transport.UDP)


@pytest.mark.parametrize("seconds", [0.0, 90.0])
async def test_the_session_timer_asked_for_is_that_of_the_settings(seconds: float) -> None:
    endpoint = SipEndpoint(Listener("127.0.0.1", 0), "", lambda event: None, session_timer=seconds)
    await endpoint.start()
    try:
        agent = endpoint.agent
        agent.invite(
            agent.new_identity(), "sip:1@127.0.0.1", ("127.0.0.1", 9), AUDIO, from_="<sip:2@127.0.0.1>",
            now=endpoint.now,
        )  # fmt: skip
        (data, _destination), *_ = agent.datagrams_to_send()
        assert parse(data).headers.get("Session-Expires") == (None if seconds == 0 else "90")
    finally:
        await endpoint.stop()
