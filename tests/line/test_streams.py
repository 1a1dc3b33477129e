"""Connections over real sockets: routing, bounds, deadlines, keep-alive. The agent above is a list."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from faxgw.foip.framing import PING, PONG
from faxgw.foip.transaction import Address
from faxgw.line import connection as connection_module
from faxgw.line import streams as streams_module
from faxgw.line.connection import StreamTimes
from faxgw.line.streams import StreamPolicy, Streams, TlsClient, client_context
from faxgw.settings import Listener, Tls
from tests.conftest import MakeCertificate
from tests.line.far_end import until

HERE = "127.0.0.1"


def options(number: int = 1, *, port: int = 5060, extra: str = "") -> bytes:
    return (
        f"OPTIONS sip:fax@{HERE} SIP/2.0\r\nVia: SIP/2.0/TCP {HERE}:{port};branch=z9hG4bK{number}{extra}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def response(port: int) -> bytes:
    return f"SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP {HERE}:{port};branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n".encode()


class Ground:
    """One listener, and what it tells."""

    def __init__(self, **policy: object) -> None:
        self.received: list[tuple[bytes, Address]] = []
        self.broken: list[tuple[bytes, Address, int]] = []
        self.lost: list[Address] = []
        self.known = True
        values: dict[str, object] = {"is_known": lambda host: self.known, **policy}
        self.streams = Streams(
            Listener(HERE, 0),
            StreamPolicy(**values),  # type: ignore[arg-type]
            lambda data, source: self.received.append((data, source)),
            lambda head, source, status: self.broken.append((head, source, status)),
            self.lost.append,
        )
        self.port = 0

    async def connect(self, **how: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HERE, self.port, **how)  # type: ignore[arg-type]


Make = Callable[..., Awaitable[Ground]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    grounds: list[Ground] = []

    async def made(**policy: object) -> Ground:
        ground = Ground(**policy)
        ground.port = await ground.streams.start()
        grounds.append(ground)
        return ground

    yield made
    for ground in grounds:
        await ground.streams.stop()
        assert not ground.streams._connections


class Peer:
    """A TCP server that keeps what comes and can answer."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.writers: list[asyncio.StreamWriter] = []
        self.sources: list[Address] = []

    async def __aenter__(self) -> Peer:
        self.server = await asyncio.start_server(self._serve, HERE, 0)
        self.port = int(self.server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.sources.append(writer.get_extra_info("peername")[:2])
        while octets := await reader.read(65536):
            self.octets += octets


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_messages_come_in_and_the_answer_goes_back_the_same_way(make: Make) -> None:
    """RFC 3261 section 18.2.2."""
    ground = await make()
    reader, writer = await ground.connect()
    writer.write(b"\r\n" + options(1) + options(2)[:40])
    await until(lambda: len(ground.received) == 1)
    writer.write(options(2)[40:])
    await until(lambda: len(ground.received) == 2)
    source = ground.received[0][1]
    assert [data for data, _ in ground.received] == [options(1), options(2)]
    assert source == writer.get_extra_info("sockname")
    ground.streams.send(response(1), source)
    assert await reader.readuntil(PING) == response(1)
    await close(writer)
    await until(lambda: ground.lost == [source])


async def test_a_ping_is_answered(make: Make) -> None:
    """RFC 5626 section 4.4.1."""
    ground = await make()
    reader, writer = await ground.connect()
    writer.write(PING)
    assert await reader.readexactly(2) == PONG
    await close(writer)


async def test_one_connection_for_each_destination(make: Make) -> None:
    ground = await make()
    async with Peer() as peer:
        for number in range(3):
            ground.streams.send(options(number), (HERE, peer.port))
        await until(lambda: len(peer.octets) == 3 * len(options()))
        await ground.streams.reach((HERE, peer.port))
        assert bytes(peer.octets) == b"".join(options(number) for number in range(3))
        assert len(peer.writers) == 1
        peer.writers[0].write(options(9))
        await until(lambda: ground.received == [(options(9), (HERE, peer.port))])
        await ground.streams.stop()


async def test_a_refused_connection_fails_its_destination(make: Make) -> None:
    ground = await make()
    with pytest.raises(OSError, match="Connect call failed"):
        await ground.streams.reach((HERE, 9))
    assert ground.lost == [(HERE, 9)]
    ground.streams.send(options(), (HERE, 9))
    await until(lambda: ground.lost == [(HERE, 9)] * 2)


async def test_a_connection_that_is_lost_fails_what_it_carried(make: Make) -> None:
    ground = await make()
    async with Peer() as peer:
        ground.streams.send(options(), (HERE, peer.port))
        await until(lambda: bool(peer.octets))
        peer.writers[0].transport.abort()
        await until(lambda: ground.lost == [(HERE, peer.port)])


async def test_a_response_whose_connection_is_gone_goes_to_the_sent_by(make: Make) -> None:
    """RFC 3261 section 18.2.2; only to trunks."""
    ground = await make()
    async with Peer() as peer:
        ground.known = False
        ground.streams.send(response(peer.port), (HERE, 1))
        assert not ground.streams._connections
        ground.known = True
        ground.streams.send(b"SIP/2.0 200 OK\r\nVia: ?\r\n\r\n", (HERE, 1))
        assert not ground.streams._connections
        ground.streams.send(response(peer.port), (HERE, 1))
        await until(lambda: bytes(peer.octets) == response(peer.port))
        await ground.streams.stop()


async def test_requests_take_the_connection_that_a_trunk_wants_them_on(make: Make) -> None:
    """RFC 5923: `alias`, of a trunk only."""
    ground = await make()
    reader, writer = await ground.connect()
    writer.write(options(1, port=7777, extra=";alias"))
    await until(lambda: bool(ground.received))
    ground.streams.send(options(5), (HERE, 7777))
    assert await reader.readuntil(PING) == options(5)
    await close(writer)
    await until(lambda: set(ground.lost) == {(HERE, 7777)})
    assert not ground.streams._aliases


async def test_a_stranger_gets_no_alias(make: Make) -> None:
    ground = await make()
    ground.known = False
    _reader, writer = await ground.connect()
    writer.write(options(1, port=9, extra=";alias"))
    await until(lambda: bool(ground.received))
    ground.streams.send(options(5), (HERE, 9))
    await until(lambda: ground.lost == [(HERE, 9)])
    await close(writer)


async def test_what_cannot_be_brought_to_a_trunk_takes_the_connection_it_has_opened(make: Make) -> None:
    """Its Contact lies behind a firewall: port 9 refuses."""
    ground = await make()
    reader, writer = await ground.connect()
    writer.write(options(1))
    await until(lambda: bool(ground.received))
    ground.streams.send(options(5), (HERE, 9))
    assert await reader.readuntil(PING) == options(5)
    ground.streams.send(options(6), (HERE, 9))
    assert await reader.readuntil(PING) == options(6)
    assert ground.lost == []
    await close(writer)


async def test_a_stream_that_breaks_is_answered_and_closed(make: Make) -> None:
    ground = await make()
    reader, writer = await ground.connect()
    bad = options(1).replace(b"Content-Length: 0", b"Content-Length: x")
    writer.write(bad + options(2))
    assert await reader.read() == b""
    await close(writer)
    [(head, _source, status)] = ground.broken
    assert (head, status) == (bad, 400)
    assert ground.received == []


async def test_what_is_no_sip_is_closed_without_an_answer(make: Make) -> None:
    ground = await make()
    for octets in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"):
        reader, writer = await ground.connect()
        writer.write(octets)
        assert await reader.read() == b""
        await close(writer)
    assert [head[:3] for head, _source, _status in ground.broken] == [b"GET"]  # the agent cannot read it either


async def test_half_a_message_is_not_waited_for_without_end(make: Make) -> None:
    """RFC 4475 clerr over TCP: answered 400 as far as it can be read, then closed."""
    ground = await make(times=StreamTimes(message=0.05))
    reader, writer = await ground.connect()
    writer.write(options(1).replace(b"Length: 0", b"Length: 5") + b"ab")
    assert await reader.read() == b""
    assert [status for _head, _source, status in ground.broken] == [400]
    await close(writer)


async def test_a_stranger_who_says_nothing_is_closed_soon_a_trunk_is_not(make: Make) -> None:
    ground = await make(times=StreamTimes(stranger=0.05))
    _kept_reader, kept = await ground.connect()
    await until(lambda: len(ground.streams._connections) == 1)
    [connection] = ground.streams._connections
    assert connection._deadlines()["idle"] > asyncio.get_running_loop().time() + 3600
    ground.known = False
    reader, writer = await ground.connect()
    assert await reader.read() == b""
    await close(writer)
    ground.known = True
    assert connection.is_open
    await close(kept)


async def test_a_stranger_gets_few_connections_and_few_messages(make: Make) -> None:
    ground = await make()
    ground.known = False
    opened = [await ground.connect() for _ in range(streams_module.MAX_PER_STRANGER)]
    await until(lambda: len(ground.streams._connections) == streams_module.MAX_PER_STRANGER)
    reader, writer = await ground.connect()
    assert await reader.read() == b""  # one too many
    await close(writer)
    reader, writer = opened[0]
    writer.write(b"".join(options(number) for number in range(100)))
    assert await reader.read() == b""
    assert len(ground.received) == connection_module.MAX_STRANGERS_MESSAGES
    for _, opened_writer in opened:
        await close(opened_writer)


async def test_all_strangers_together_are_bounded_and_leave_room_for_trunks(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "MAX_STRANGERS", 2)
    ground = await make()
    ground.known = False
    opened = [await ground.connect() for _ in range(2)]
    await until(lambda: len(ground.streams._connections) == 2)
    reader, writer = await ground.connect()
    assert await reader.read() == b""
    await close(writer)
    ground.known = True
    opened.append(await ground.connect())
    await until(lambda: len(ground.streams._connections) == 3)
    for _, opened_writer in opened:
        await close(opened_writer)


async def test_connections_are_bounded_altogether(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MAX_CONNECTIONS", 1)
    ground = await make()
    _reader, writer = await ground.connect()
    await until(lambda: len(ground.streams._connections) == 1)
    ground.streams.send(options(), (HERE, 9))
    await until(lambda: ground.lost == [(HERE, 9)])
    with pytest.raises(OSError, match="too many"):
        await ground.streams.reach((HERE, 9))
    await close(writer)


async def test_who_does_not_read_loses_the_connection_and_holds_up_nobody(make: Make) -> None:
    ground = await make()
    slow = socket.create_connection((HERE, ground.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(options(1))
    reader, writer = await ground.connect()
    writer.write(options(2))
    await until(lambda: len(ground.received) == 2)
    sources = dict(ground.received)
    ground.known = False  # no new connection for what is left
    large = response(1) + b"x" * 60_000
    for _ in range(200):
        ground.streams.send(large, sources[options(1)])
    await until(lambda: ground.lost == [sources[options(1)]])
    ground.streams.send(response(2), sources[options(2)])
    assert await reader.readuntil(PING) == response(2)
    slow.close()
    await close(writer)


async def test_what_waits_for_a_connection_is_bounded(make: Make) -> None:
    ground = await make()
    async with Peer() as peer:
        for number in range(connection_module.MAX_WAITING + 1):
            ground.streams.send(options(number), (HERE, peer.port))
        await until(lambda: ground.lost == [(HERE, peer.port)])
        await ground.streams.stop()
        assert not peer.octets


async def test_who_was_turned_away_loses_the_connection_with_the_answer(make: Make) -> None:
    ground = await make()
    reader, writer = await ground.connect()
    writer.write(options(1) + b"x" * 5)
    await until(lambda: bool(ground.received))
    source = ground.received[0][1]
    ground.streams.send(response(1), source)
    ground.streams.dismiss(source)
    assert await reader.read() == response(1)
    ground.streams.send(response(1), (HERE, 1))  # nobody there
    await close(writer)


async def test_a_dismissed_peer_that_keeps_the_connection_is_cut_off(make: Make) -> None:
    ground = await make(times=StreamTimes(farewell=0.05))
    _reader, writer = await ground.connect()
    writer.write(options(1))
    await until(lambda: bool(ground.received))
    ground.streams.dismiss(ground.received[0][1])
    await until(lambda: not ground.streams._connections)
    await close(writer)


async def test_our_connections_are_kept_alive_and_a_dead_peer_is_noticed(make: Make) -> None:
    """RFC 5626 section 4.4.1: who has answered a ping once and does not any more is dead."""
    ground = await make(times=StreamTimes(ping=0.05, pong=0.05))
    async with Peer() as peer:
        ground.streams.send(options(), (HERE, peer.port))
        await until(lambda: peer.octets.count(PING + PING + PING) > 0)  # never answered: that is no fault
        assert ground.lost == []
        peer.writers[0].write(PONG)
        await until(lambda: ground.lost == [(HERE, peer.port)])


async def test_without_a_listener_connections_start_from_the_port_of_our_contact(make: Make) -> None:
    ground = await make(listens=False)
    async with Peer() as peer, Peer() as other:
        for destination in (peer, other):
            ground.streams.send(options(), (HERE, destination.port))
        await until(lambda: bool(peer.octets) and bool(other.octets))
        assert peer.sources == other.sources == [(HERE, ground.port)]
        await ground.streams.stop()


async def test_where_that_port_is_taken_they_start_from_any(make: Make) -> None:
    ground = await make(listens=False)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HERE, ground.port))
        taken.listen()
        async with Peer() as peer:
            ground.streams.send(options(), (HERE, peer.port))
            await until(lambda: bool(peer.octets))
            assert peer.sources[0][1] != ground.port
            await ground.streams.stop()


async def test_the_same_address_over_ipv6_in_two_spellings_is_one_destination() -> None:
    assert streams_module._normal(("0:0:0:0:0:0:0:1", 5060)) == streams_module._normal(("::1", 5060))


async def test_tls_without_a_trunk_to_verify_is_not_opened(make: Make) -> None:
    ground = await make(is_secure=True)
    with pytest.raises(OSError, match="nobody's certificate"):
        await ground.streams.reach((HERE, 9))


async def test_a_tls_handshake_that_never_comes_ends(make: Make, make_certificate: MakeCertificate) -> None:
    certificate, key = make_certificate()
    context = Tls(certificate=certificate, key=key).server_context()
    ground = await make(is_secure=True, server_context=context, times=StreamTimes(handshake=0.05))
    reader, writer = await ground.connect()
    assert await reader.read() == b""
    await until(lambda: not ground.streams._connections)
    await close(writer)


async def test_a_client_certificate_is_shown_to_a_server_that_asks(
    make: Make, make_certificate: MakeCertificate
) -> None:
    """Mutual TLS towards a carrier; of those that connect to us none is asked."""
    certificate, key = make_certificate()
    tls = Tls(certificate=certificate, key=key)
    demanding = tls.server_context()
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.load_verify_locations(certificate)
    server = await make(is_secure=True, server_context=demanding)
    for own, count in ((tls, 1), (None, 0)):
        security = TlsClient(client_context(certificate, own), "localhost")
        client = await make(is_secure=True, listens=False, security=lambda destination, given=security: given)
        server.received.clear()
        client.streams.send(options(), (HERE, server.port))
        await until(lambda seen=client: bool(server.received or seen.lost))  # type: ignore[misc]
        assert len(server.received) == count


def test_our_contexts_verify_names_and_take_no_old_tls(make_certificate: MakeCertificate) -> None:
    context = client_context(make_certificate()[0], None)
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
