"""A SIP listener: one UDP socket, one timer and the sans-IO user agent between them.

All it decides is where an event goes: to the inbox of its call, or, for a call somebody places, to one function.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import cast

from faxgw.foip.agent import AgentConfig, Screen, UserAgent
from faxgw.foip.events import CallId, Event, IncomingCall
from faxgw.foip.transaction import Address
from faxgw.line.signalling import Tap, call_id_of
from faxgw.line.workers import Inbox
from faxgw.settings import Listener

log = logging.getLogger(__name__)

_IP_RECVERR = 11
"""IP_RECVERR of ip(7): ICMP errors come back to an unconnected socket; the socket module does not name it."""
_MSG_ERRQUEUE = 0x2000
"""recvmsg(2)."""
_LASTING = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM, errno.EINVAL, errno.EAFNOSUPPORT}
)
"""Errors of sendto(2) that a repetition does not heal, as ENOBUFS does."""
_MAX_ERRORS = 64
"""ICMP errors read at a time."""
_MAX_TURN = 4
"""Messages kept for a call that begins: its INVITE, our 100 Trying and what else is said at once."""


class SipEndpoint(asyncio.DatagramProtocol):
    """One listener's socket and agent.

    Args:
        listener: Where to listen.
        public_address: Address for Via, Contact and SDP; empty: the listener's own.
        on_incoming: Told of calls that somebody places.
        max_calls: Calls at once, both directions.
        screen: Who may call at all.
    """

    def __init__(
        self,
        listener: Listener,
        public_address: str,
        on_incoming: Callable[[IncomingCall], None],
        max_calls: int = 1000,
        screen: Screen = lambda source: None,
    ) -> None:
        self._screen = screen
        self._listener = listener
        self._public_address = public_address
        self._on_incoming = on_incoming
        self._max_calls = max_calls
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._inboxes: dict[CallId, Inbox] = {}
        self._taps: dict[str, Tap] = {}
        self._turn: list[tuple[bool, bytes]] = []
        """Messages since the last one came: a call that begins with it sees them too."""
        self._pumping = False
        self._sending: Address | None = None
        self._agent: UserAgent | None = None

    async def start(self) -> None:
        """Bind.

        Raises:
            OSError: If the address cannot be bound.
        """
        host = self._listener.host
        family = self.family
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((host, self._listener.port))
            if family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        except OSError:
            sock.close()
            raise
        self._socket = sock
        address = self._public_address or host
        config = AgentConfig(address, sock.getsockname()[1], max_calls=self._max_calls)
        self._agent = UserAgent(config, screen=self._screen)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)

    async def stop(self) -> None:
        """Close the socket. What is still under way on it is lost."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)  # asyncio closes the socket in the next turn

    @property
    def agent(self) -> UserAgent:
        """The user agent; call `pump` after every command.

        Raises:
            RuntimeError: Before `start`.
        """
        if self._agent is None:
            raise RuntimeError("not started")
        return self._agent

    @property
    def host(self) -> str:
        """The address media sockets are bound to."""
        return self._listener.host

    @property
    def family(self) -> socket.AddressFamily:
        """The address family of the listener, which is that of the media too."""
        return socket.AF_INET6 if ":" in self._listener.host else socket.AF_INET

    @property
    def media_address(self) -> str:
        """The address that goes into SDP."""
        return self._public_address or self._listener.host

    @property
    def port(self) -> int:
        """The bound port."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])

    @property
    def now(self) -> float:
        """Loop time."""
        return asyncio.get_running_loop().time()

    def listen(self, call: CallId, inbox: Inbox) -> None:
        """Send the events of a call there."""
        self._inboxes[call] = inbox

    def forget(self, call: CallId) -> None:
        """Nobody listens to that call any more."""
        self._inboxes.pop(call, None)

    def tap(self, call_id: str, see: Tap) -> None:
        """Show every message of a Call-ID to `see`, whether it was sent and its octets, beginning with this turn's."""
        self._taps[call_id] = see
        for sent, data in self._turn:
            if call_id_of(data) == call_id:
                see(sent, data)

    def untap(self, call_id: str) -> None:
        """Nobody looks at that call any more."""
        self._taps.pop(call_id, None)

    def _see(self, sent: bool, data: bytes) -> None:
        """A message was sent, or came."""
        if not sent:
            self._turn.clear()
        if len(self._turn) < _MAX_TURN:
            self._turn.append((sent, data))
        if self._taps and (see := self._taps.get(call_id_of(data))) is not None:
            see(sent, data)

    def pump(self) -> None:
        """Send what is to be sent, hand out events, set the timer. To be called after every command."""
        if self._pumping:
            return  # from within an event: the loop below goes on
        self._pumping = True
        try:
            moved = True
            while moved:
                moved = self._send_all()
                while (event := self.agent.next_event()) is not None:
                    moved = True
                    self._hand_out(event)
        finally:
            self._pumping = False
            self._arm()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ready."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's class says so only by its methods

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A datagram came."""
        self._see(False, data)
        self.agent.receive_datagram(data, (addr[0], addr[1]), self.now)
        self.pump()

    def error_received(self, exc: Exception) -> None:
        """A destination cannot be reached, by ICMP or because the system sends nothing there: its requests fail now."""
        failed = self._failed_destinations()
        if not failed and self._sending is not None and _is_lasting(exc):
            failed = {self._sending}
        for destination in failed:
            log.info("SIP destination unreachable", extra={"event": "sip.unreachable", "why": str(exc)})
            self.agent.handle_transport_error(destination, self.now)
        self.pump()

    def _failed_destinations(self) -> set[Address]:
        found: set[Address] = set()
        for _ in range(_MAX_ERRORS):
            try:
                _data, _ancillary, _flags, address = self._socket.recvmsg(0, 512, _MSG_ERRQUEUE)  # type: ignore[union-attr]
            except OSError:
                break
            if address:
                found.add((address[0], address[1]))
        return found

    def _send_all(self) -> bool:
        datagrams = self.agent.datagrams_to_send()
        for data, destination in datagrams:
            if self._transport is not None and not self._transport.is_closing():
                self._sending = destination
                self._see(True, data)
                self._transport.sendto(data, destination)
                self._sending = None
        return bool(datagrams)

    def _hand_out(self, event: Event) -> None:
        inbox = self._inboxes.get(event.call)
        if inbox is not None:
            inbox.put_nowait(event)
        elif isinstance(event, IncomingCall):
            self._on_incoming(event)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.agent.get_timer()
        if at is not None:
            self._timer = asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.agent.handle_timer(self.now)
        self.pump()


def _is_lasting(exc: Exception) -> bool:
    """Whether the system will send nothing to that destination: no route, forbidden, another address family."""
    return isinstance(exc, socket.gaierror) or (isinstance(exc, OSError) and exc.errno in _LASTING)
