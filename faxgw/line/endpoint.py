"""A SIP listener: what carries the octets, one timer and the sans-IO user agent between them.

One endpoint speaks one transport: `Datagrams` carries UDP, `Streams` TCP and TLS.
All it decides is where an event goes: to the inbox of its call, or, for a call somebody places, to one function.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from faxgw.foip.agent import AgentConfig, Screen, UserAgent
from faxgw.foip.events import CallId, Event, IncomingCall
from faxgw.foip.stack import Transport
from faxgw.foip.transaction import Address
from faxgw.line.datagrams import Datagrams
from faxgw.line.signalling import Tap, call_id_of
from faxgw.line.streams import StreamPolicy, Streams
from faxgw.line.workers import Inbox
from faxgw.settings import Listener

_MAX_TURN = 4
"""Messages kept for a call that begins: its INVITE, our 100 Trying and what else is said at once."""


class Carrier(Protocol):
    """What `Datagrams` and `Streams` have in common."""

    async def start(self) -> int:
        """Bind; the port. Raises OSError."""

    async def stop(self) -> None:
        """Close."""

    def cut_off(self) -> None:
        """Close without a word."""

    async def reach(self, destination: Address) -> None:
        """Have a way there; raises OSError if there is none."""

    def send(self, data: bytes, destination: Address) -> None:
        """Send a message."""

    def dismiss(self, source: Address) -> None:
        """Somebody was turned away, and the answer was given to `send`."""

    def renew(self, context: ssl.SSLContext) -> None:
        """Use another certificate."""


class SipEndpoint:
    """One listener's carrier and agent.

    Args:
        listener: Where to listen.
        public_address: Address for Via, Contact and SDP; empty: the listener's own.
        on_incoming: Told of calls that somebody places.
        max_calls: Calls at once, both directions.
        screen: Who may call at all.
        transport: What the listener speaks.
        streams: How connections are dealt with, for TCP and TLS.
        session_timer: Session-Expires that is asked for, seconds; 0: none (RFC 4028).
    """

    def __init__(
        self,
        listener: Listener,
        public_address: str,
        on_incoming: Callable[[IncomingCall], None],
        max_calls: int = 1000,
        screen: Screen = lambda source: None,
        transport: Transport = Transport.UDP,
        streams: StreamPolicy | None = None,
        session_timer: float = 1800.0,
    ) -> None:
        self._screen = screen
        self._kind = transport
        self._carrier: Carrier
        if transport.reliable:
            policy = streams or StreamPolicy(is_secure=transport is Transport.TLS)
            self._carrier = Streams(listener, policy, self._received, self._broken, self._unreachable)
        else:
            self._carrier = Datagrams(listener, self._received, self._unreachable)
        self._port = 0
        self._turned_away: list[Address] = []
        self._listener = listener
        self._public_address = public_address
        self._on_incoming = on_incoming
        self._max_calls = max_calls
        self._session_timer = round(session_timer)
        self._timer: asyncio.TimerHandle | None = None
        self._inboxes: dict[CallId, Inbox] = {}
        self._taps: dict[str, Tap] = {}
        self._turn: list[tuple[bool, bytes]] = []
        """Messages since the last one came: a call that begins with it sees them too."""
        self._pumping = False
        self._agent: UserAgent | None = None

    async def start(self) -> None:
        """Bind.

        Raises:
            OSError: If the address cannot be bound.
        """
        self._port = await self._carrier.start()
        config = AgentConfig(
            self.media_address,
            self._port,
            self._kind,
            max_calls=self._max_calls,
            session_expires=self._session_timer,
        )
        self._agent = UserAgent(config, screen=self._judge)

    async def stop(self) -> None:
        """Close the socket. What is still under way on it is lost."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        await self._carrier.stop()
        if self._timer is not None:  # a last message came
            self._timer.cancel()

    def cut_off(self) -> None:
        """Close without a word, as a process that dies."""
        self._carrier.cut_off()

    async def reach(self, destination: Address) -> None:
        """Have a connection there before a call is begun, if the transport needs one.

        Raises:
            OSError: If there is none in time.
        """
        await self._carrier.reach(destination)

    def renew(self, context: ssl.SSLContext) -> None:
        """Use another certificate for connections to us from now on."""
        self._carrier.renew(context)

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
        return self._port

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

    # The carrier's side

    def _received(self, data: bytes, source: Address) -> None:
        """A message came."""
        if self._agent is None:
            return  # it was faster than `start`
        self._see(False, data)
        self.agent.receive_datagram(data, source, self.now)
        self._settle()

    def _broken(self, head: bytes, source: Address, status: int) -> None:
        """A request came whose end cannot be found."""
        self.agent.refuse_broken(head, source, status)
        self._settle()

    def _unreachable(self, destination: Address) -> None:
        """Nothing reaches a destination."""
        self.agent.handle_transport_error(destination, self.now)
        self.pump()

    def _judge(self, source: Address) -> int | None:
        """Ask who may call, and remember who may not: his connection ends with the answer."""
        verdict = self._screen(source)
        if verdict is not None:
            self._turned_away.append(source)
        return verdict

    def _settle(self) -> None:
        self.pump()
        for source in self._turned_away:
            self._carrier.dismiss(source)
        self._turned_away.clear()

    def _send_all(self) -> bool:
        messages = self.agent.datagrams_to_send()
        for data, destination in messages:
            self._see(True, data)
            self._carrier.send(data, destination)
        return bool(messages)

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
