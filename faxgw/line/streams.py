"""SIP over TCP and TLS: listening, connections of ours, and which of them a message goes by.

RFC 3261 section 18 and, as far as it serves, RFC 5923 (a peer that says `alias` gets our requests by the connection it
opened) and RFC 5626 (keep-alive). A response goes back by the connection its request came by, else by a new one to the
sent-by of its Via. A request goes to its destination; if that takes no connection, by one that its host has opened.

Connections of addresses that are no trunk's are few, short and never opened by us in return.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.framing import PING, Broken
from faxgw.foip.headers import Via
from faxgw.foip.message import parse
from faxgw.foip.transaction import Address
from faxgw.foip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT
from faxgw.line.connection import MAX_CARRIED, Connection, StreamTimes, prepare
from faxgw.settings import Listener, Tls

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 1024
"""Connections of one listener, both directions."""
MAX_PER_ADDRESS: Final = 64
"""Connections that one trunk's address may open."""
MAX_STRANGERS: Final = 64
"""Connections that addresses which are no trunk's may open together."""
MAX_PER_STRANGER: Final = 4
"""Connections that one such address may open."""
STRANGERS_PER_SECOND: Final = 20
"""Connections of such addresses in a second: a TLS handshake costs us a millisecond."""
MAX_ALIASES: Final = 1024
"""Names remembered under which a connection is wanted for our requests."""
REACH_WITHIN: Final = 1.5
"""Seconds a call waits for its connection: an INVITE leaves within 2 s of its commit or not at all."""
BACKLOG: Final = 128
"""Connections the system keeps until we accept them."""
ACCEPT_AGAIN: Final = 1.0
"""Seconds until we accept again when the system has no descriptor left."""
COUNTED_FOR: Final = 60.0
"""Seconds for which refused connections are counted before they are told."""


@dataclass(frozen=True, slots=True)
class TlsClient:
    """How a connection of ours is secured."""

    context: ssl.SSLContext
    """Verifies the peer's certificate, and holds ours if it wants one."""
    server_name: str
    """The name its certificate must bear; sent as SNI."""


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """What the line knows and the connections must."""

    listens: bool = True
    """Whether anybody may connect to us; if not, the listener's host is only where our connections start."""
    server_context: ssl.SSLContext | None = None
    """Certificate and key for those that connect to us over TLS."""
    is_secure: bool = False
    """Whether this is TLS."""
    is_known: Callable[[str], bool] = lambda host: False
    """Whether an address is a trunk's."""
    security: Callable[[Address], TlsClient | None] = lambda destination: None
    """Whose certificate is expected at a destination; None: nobody's, we do not connect."""
    times: StreamTimes = field(default_factory=StreamTimes)
    """Deadlines of connections."""


def client_context(ca_file: Path | None, client: Tls | None) -> ssl.SSLContext:
    """A context that verifies certificate and host name: TLS 1.2 or later (RFC 9325, RFC 5922).

    Args:
        ca_file: Authorities to trust instead of those of the system.
        client: Certificate and key to show to a server that asks.

    Raises:
        OSError: If a file cannot be read or is no PEM.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client is not None:
        context.load_cert_chain(client.certificate, client.key, password="")
    return context


class Streams:
    """The connections of one listener.

    Args:
        listener: Where to listen.
        policy: What the line knows.
        receive: Told of each message and where it came from.
        refuse: Told of the head of a message that broke its stream, where it came from, and the status that answers it.
        unreachable: Told of destinations that nothing reaches.
    """

    def __init__(
        self,
        listener: Listener,
        policy: StreamPolicy,
        receive: Callable[[bytes, Address], None],
        refuse: Callable[[bytes, Address, int], None],
        unreachable: Callable[[Address], None],
    ) -> None:
        self._listener = listener
        self._policy = policy
        self._receive = receive
        self._refuse = refuse
        self._unreachable = unreachable
        self._server_context = policy.server_context
        self._sockets: list[socket.socket] = []
        self._source: Address | None = None
        """Where our connections start, port 0 for any; None: anywhere."""
        self._connections: set[Connection] = set()
        self._by_peer: dict[Address, Connection] = {}
        self._aliases: dict[Address, Connection] = {}
        self._opening: dict[Connection, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost = asyncio.Event()
        self._refused = (0.0, 0)
        self._strangers = (0.0, 0)
        self._stopped = False

    # The endpoint's side

    async def start(self) -> int:
        """Bind, and listen if so wanted; the port that goes into Via and Contact.

        Without a listener it is the one our connections start from, so that a peer which looks for a connection to our
        Contact finds the one it has.

        Raises:
            OSError: If the address cannot be bound.
        """
        host = self._listener.host
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            prepare(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, self._listener.port))
            if self._policy.listens:
                sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        self._sockets.append(sock)
        port = int(sock.getsockname()[1])
        is_any = ipaddress.ip_address(host).is_unspecified
        if not self._policy.listens:
            self._source = (host, port)
        else:
            self._source = None if is_any else (host, 0)
            self._keep(self._accept_for_ever(sock), f"SIP connections to port {port}")
        return port

    async def stop(self) -> None:
        """Close all connections; what waits on them is sent first, within the time for a farewell."""
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for sock in self._sockets:
            sock.close()
        for connection in list(self._connections):
            connection.finish()
        try:
            async with asyncio.timeout(self._policy.times.farewell):
                await self._all_lost()
        except TimeoutError:
            for connection in list(self._connections):
                connection.abort("stopped")
            await self._all_lost()
        await asyncio.sleep(0)  # asyncio closes the sockets in the next turn

    async def _all_lost(self) -> None:
        while self._connections:
            self._lost.clear()
            await self._lost.wait()

    def cut_off(self) -> None:
        """End every connection without a word."""
        for connection in list(self._connections):
            connection.abort("cut off")

    def renew(self, context: ssl.SSLContext) -> None:
        """Use another certificate for connections to us from now on."""
        self._server_context = context

    async def reach(self, destination: Address) -> None:
        """Have a connection there before a call is begun.

        Raises:
            OSError: If there is none within REACH_WITHIN.
        """
        connection = self._route(destination) or self._open(_normal(destination))
        if connection is None:
            raise OSError("too many SIP connections")
        opening = self._opening.get(connection)
        if opening is not None:
            async with asyncio.timeout(REACH_WITHIN):
                await asyncio.wait([opening])
        if self._route(destination) is None:
            raise OSError(f"no SIP connection: {connection.why or 'it was closed'}")

    def send(self, data: bytes, destination: Address) -> None:
        """Send a message by the connection that is right for it, opening one if need be."""
        if self._stopped:
            return
        target = _normal(destination)
        connection = self._route(target)
        if connection is None and data.startswith(b"SIP/"):
            sent_by = self._sent_by(data, target)
            if sent_by is None:
                return
            target = sent_by
            connection = self._route(target)
        if connection is None:
            connection = self._open(target)
        if connection is None:
            asyncio.get_running_loop().call_soon(self._unreachable, destination)
            return
        if len(connection.carried) < MAX_CARRIED:
            connection.carried.add(destination)
        connection.send(data)

    def dismiss(self, source: Address) -> None:
        """End the connection of somebody who was turned away, once what was answered has left."""
        connection = self._by_peer.get(_normal(source))
        if connection is not None and not connection.is_outgoing:
            connection.finish()

    # The connections' side (connection.Owner)

    @property
    def times(self) -> StreamTimes:
        """The deadlines."""
        return self._policy.times

    def is_known(self, host: str) -> bool:
        """Whether this address is a trunk's."""
        return self._policy.is_known(host)

    def on_message(self, connection: Connection, data: bytes) -> None:
        """A message came: remember by which names the connection is wanted, and pass it on."""
        if b"alias" in data and self.is_known(connection.peer[0]):
            self._remember_alias(connection, data)
        self._receive(data, connection.peer)

    def on_broken(self, connection: Connection, broken: Broken) -> None:
        """Have the request answered that broke the stream."""
        if broken.head:
            self._refuse(broken.head, connection.peer, broken.status)

    def on_lost(self, connection: Connection) -> None:
        """A connection is gone: requests that nothing answered yet fail, if no other connection takes them."""
        self._connections.discard(connection)
        self._lost.set()
        if self._by_peer.get(connection.peer) is connection:
            del self._by_peer[connection.peer]
        for name in [name for name, known in self._aliases.items() if known is connection]:
            del self._aliases[name]
        if self._stopped:
            return
        waiting = connection.take_waiting()
        other = self._other(connection) if waiting else None
        if other is not None:
            self._alias(connection.peer, other)
            other.carried |= connection.carried
            for data in waiting:
                other.send(data)
            return
        for destination in connection.carried or {connection.peer}:
            asyncio.get_running_loop().call_soon(self._unreachable, destination)

    # Which connection

    def _route(self, destination: Address) -> Connection | None:
        """The connection there is for a destination, open or being opened."""
        for table in (self._by_peer, self._aliases):
            connection = table.get(destination)
            if connection is not None and connection.is_usable:
                return connection
        return None

    def _other(self, lost: Connection) -> Connection | None:
        """A connection that the same trunk's host has opened, for what could not be brought to it."""
        host = lost.peer[0]
        if not self.is_known(host):
            return None
        found = (other for other in self._connections if other.peer[0] == host and other.is_open)
        return next(found, None)

    def _sent_by(self, data: bytes, source: Address) -> Address | None:
        """Where a response goes whose connection is gone (RFC 3261 section 18.2.2); never to who is no trunk."""
        if not self.is_known(source[0]):
            return None
        via = _top_via(data)
        return None if via is None else (source[0], via.port or self._default_port)

    def _remember_alias(self, connection: Connection, data: bytes) -> None:
        via = _top_via(data)
        if via is not None and via.param("alias") is not None and not data.startswith(b"SIP/"):
            self._alias((connection.peer[0], via.port or self._default_port), connection)

    def _alias(self, name: Address, connection: Connection) -> None:
        if len(self._aliases) < MAX_ALIASES or name in self._aliases:
            self._aliases[name] = connection

    @property
    def _default_port(self) -> int:
        return DEFAULT_TLS_PORT if self._policy.is_secure else DEFAULT_PORT

    @property
    def _family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self._listener.host else socket.AF_INET

    # Connections of ours

    def _open(self, destination: Address) -> Connection | None:
        if len(self._connections) >= MAX_CONNECTIONS:
            return None
        connection = Connection(self, destination, is_outgoing=True)
        self._connections.add(connection)
        self._by_peer[destination] = connection
        task = self._keep(self._connect(connection), f"SIP connection to {destination[0]}")
        self._opening[connection] = task
        task.add_done_callback(lambda _done: self._opening.pop(connection, None))
        return connection

    async def _connect(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            security = self._policy.security(connection.peer) if self._policy.is_secure else None
            if self._policy.is_secure and security is None:
                raise OSError("no trunk with TLS has this address: nobody's certificate could be verified")
            async with asyncio.timeout(self.times.connect):
                sock = await self._dial(connection.peer)
                await loop.create_connection(
                    lambda: connection,
                    sock=sock,
                    ssl=None if security is None else security.context,
                    server_hostname=None if security is None else security.server_name,
                    ssl_shutdown_timeout=None if security is None else self.times.farewell,
                )
        except (OSError, ValueError) as exc:  # ValueError: a server name that is none
            connection.why = str(exc) or "not in time"
            log.warning(
                "SIP connection failed",
                extra={"event": "sip.unreachable", "destination": connection.peer[0], "why": connection.why},
            )
        finally:
            if not connection.is_made:
                connection.fail()

    async def _dial(self, destination: Address) -> socket.socket:
        """A connected socket, from our own port if we listen nowhere and the system lets us."""
        sources = [self._source]
        if self._source is not None and self._source[1]:
            sources.append((self._source[0], 0))
        for source in sources:
            sock = socket.socket(self._family, socket.SOCK_STREAM)
            try:
                prepare(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if source is not None:
                    sock.bind(source)
                await asyncio.get_running_loop().sock_connect(sock, destination)
            except OSError as exc:
                sock.close()
                # An earlier connection from that port may still be in TIME_WAIT.
                if exc.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE) or source is sources[-1]:
                    raise
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise OSError("no address to start from")

    # Connections to us

    async def _accept_for_ever(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as exc:
                log.warning("no SIP connection accepted", extra={"event": "sip.accept", "why": str(exc)})
                await asyncio.sleep(ACCEPT_AGAIN)
                continue
            peer = _normal((address[0], address[1]))
            if not self._is_admitted(peer[0], loop.time()):
                sock.close()
                self._count_refusal(loop.time())
                continue
            prepare(sock)
            connection = Connection(self, peer, is_outgoing=False)
            self._connections.add(connection)
            self._by_peer[peer] = connection
            self._keep(self._take(connection, sock), f"SIP connection from {peer[0]}")

    async def _take(self, connection: Connection, sock: socket.socket) -> None:
        """Bring a connection to us to stand, TLS included."""
        context, times = self._server_context if self._policy.is_secure else None, self.times
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=context,
                ssl_handshake_timeout=None if context is None else times.handshake,
                ssl_shutdown_timeout=None if context is None else times.farewell,
            )
        except OSError as exc:  # TLS errors and time-outs among them
            log.info(
                "no TLS with a peer", extra={"event": "sip.handshake", "peer": connection.peer[0], "why": str(exc)}
            )
        finally:
            if not connection.is_made:
                connection.fail()

    def _is_admitted(self, host: str, now: float) -> bool:
        """Whether an address may open one more connection."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        theirs = Counter(connection.peer[0] for connection in self._connections if not connection.is_outgoing)
        if self.is_known(host):
            return theirs[host] < MAX_PER_ADDRESS
        second, count = self._strangers
        if now - second >= 1.0:
            second, count = now, 0
        self._strangers = (second, count + 1)
        strangers = sum(number for peer, number in theirs.items() if not self.is_known(peer))
        return count < STRANGERS_PER_SECOND and strangers < MAX_STRANGERS and theirs[host] < MAX_PER_STRANGER

    def _count_refusal(self, now: float) -> None:
        since, count = self._refused
        if now - since >= COUNTED_FOR:
            log.warning("SIP connections refused", extra={"event": "sip.refused", "connections": count + 1})
            since, count = now, -1
        self._refused = (since, count + 1)

    def _keep(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _normal(address: Address) -> Address:
    """One spelling of each IPv6 address."""
    return (str(ipaddress.ip_address(address[0])), address[1]) if ":" in address[0] else (address[0], address[1])


def _top_via(data: bytes) -> Via | None:
    try:
        return parse(data[: data.find(PING) + len(PING)]).via
    except RemoteProtocolError:
        return None
