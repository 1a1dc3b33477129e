"""One SIP connection over TCP or TLS: framing, keep-alive, deadlines and what may wait on it.

It knows its peer, not who that is: `Streams` decides that, and where messages go. A peer that does not read is cut off
once MAX_UNSENT octets wait for it; nobody else waits with it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import Final, Protocol, cast

from faxgw.foip.framing import PING, PONG, Broken, Ping, StreamDecoder, Whole
from faxgw.foip.transaction import Address

log = logging.getLogger(__name__)

MAX_UNSENT: Final = 262_144
"""Octets that may wait for a peer that does not read; four messages of the largest size, hundreds of usual ones."""
MAX_WAITING: Final = 64
"""Messages that may wait for a connection that is being opened."""
MAX_STRANGERS_MESSAGES: Final = 8
"""Messages of one connection of nobody we know; then it ends."""
MAX_CARRIED: Final = 1024
"""Destinations remembered that a connection carried requests to."""
UNACKNOWLEDGED: Final = 20_000
"""Milliseconds after which TCP gives up a peer that acknowledges nothing (TCP_USER_TIMEOUT, tcp(7))."""


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Seconds that things on connections may take; only tests say otherwise."""

    connect: float = 5.0
    """From SYN to the end of the TLS handshake, of a connection that we open."""
    handshake: float = 5.0
    """The TLS handshake of a connection that we accept."""
    message: float = 5.0
    """From the first octet of a message to its last."""
    stranger: float = 10.0
    """A connection of nobody we know without a message."""
    idle: float = 6 * 3600.0
    """A connection of a trunk or of ours without a message: longer than any call, for its BYE may come by it."""
    ping: float = 110.0
    """Silence on a connection of ours before a ping (RFC 5626 section 4.4.1: 95 to 120 s)."""
    pong: float = 10.0
    """How long an answer may take of a peer that has answered before (RFC 5626 section 4.4.1)."""
    farewell: float = 2.0
    """From our last octet to the end of the connection, for a peer that keeps it open."""


class Owner(Protocol):
    """What a connection tells the table it stands in."""

    @property
    def times(self) -> StreamTimes:
        """The deadlines."""

    def is_known(self, host: str) -> bool:
        """Whether this address is a trunk's."""

    def on_message(self, connection: Connection, data: bytes) -> None:
        """A whole message came."""

    def on_broken(self, connection: Connection, broken: Broken) -> None:
        """The stream cannot be read on: answer what can be answered; the connection ends itself afterwards."""

    def on_lost(self, connection: Connection) -> None:
        """The connection is gone, or came to nothing."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        owner: The table.
        peer: Address and port of the other side.
        is_outgoing: Whether we opened it.
    """

    def __init__(self, owner: Owner, peer: Address, *, is_outgoing: bool) -> None:
        self.peer = peer
        self.is_outgoing = is_outgoing
        self.carried: set[Address] = set()
        """Where the requests were meant for that it carried; MAX_CARRIED at most."""
        self.why = ""
        """Why it came to nothing."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._decoder = StreamDecoder()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        now = self._loop.time()
        self._last_message = now
        self._last_octet = now
        self._message_since: float | None = None
        self._pinged_at: float | None = None
        self._answers_pings = False
        self._received = 0
        self._ends_at: float | None = None
        self._is_lost = False

    @property
    def is_usable(self) -> bool:
        """Whether messages may be given to it: open, or being opened."""
        return self._ends_at is None and not self._is_lost

    @property
    def is_made(self) -> bool:
        """Whether it stood at any time."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        """Whether it stands."""
        return self._transport is not None and self.is_usable

    def send(self, data: bytes) -> None:
        """Send a message, or keep it until the connection stands. A peer that does not read loses its connection."""
        if not self.is_usable:
            return
        self._last_message = self._loop.time()
        if self._transport is None:
            if len(self._waiting) >= MAX_WAITING:
                self.abort("too many messages wait")
                return
            self._waiting.append(data)
        elif self._transport.get_write_buffer_size() + len(data) > MAX_UNSENT:
            self.abort("the peer does not read")
        else:
            self._transport.write(data)

    def take_waiting(self) -> list[bytes]:
        """Take out what waits for the connection to stand."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def finish(self) -> None:
        """Read nothing more, send what waits, end. A peer that keeps it open is cut off after `farewell` seconds."""
        if not self.is_usable:
            return
        self._ends_at = self._loop.time() + self._owner.times.farewell
        if self._transport is None:
            self.abort("not wanted any more")
        elif self._transport.can_write_eof():
            self._transport.write_eof()  # and read on: closing with octets unread would take back our answer (RST)
            self._arm()
        else:
            self._transport.close()
            self._arm()

    def abort(self, why: str) -> None:
        """End at once; what waits is lost."""
        log.info("SIP connection ended", extra={"event": "sip.cut", "peer": self.peer[0], "why": why})
        if self._transport is not None:
            self._transport.abort()  # connection_lost follows
            self._ends_at = self._loop.time()
        else:
            self.fail()

    def fail(self) -> None:
        """It came to nothing, or is gone."""
        if self._is_lost:
            return
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._owner.on_lost(self)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, TLS included."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)
        if self._is_lost:  # aborted while it was being opened
            self._transport.abort()
            return
        self._last_octet = self._last_message = self._loop.time()
        for data in self.take_waiting():
            self.send(data)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        if not self.is_usable:
            return
        now = self._last_octet = self._loop.time()
        if self._pinged_at is not None and data == PONG:
            self._answers_pings = True
        self._pinged_at = None
        for frame in self._decoder.feed(data):
            match frame:
                case Whole():
                    self._last_message, self._message_since = now, None
                    self._owner.on_message(self, frame.data)
                    self._count()
                case Ping():
                    self._answer_ping()
                case Broken():
                    self._break(frame)
            if not self.is_usable:
                return
        if not self._decoder.is_inside:
            self._message_since = None
        elif self._message_since is None:
            self._message_since = now
        self._arm()

    def eof_received(self) -> bool:
        """The peer sends nothing more: neither do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.fail()

    @property
    def _is_strangers(self) -> bool:
        """Whether somebody opened it who is no trunk; who we connect to ourselves is none."""
        return not self.is_outgoing and not self._owner.is_known(self.peer[0])

    def _count(self) -> None:
        self._received += 1
        if self._received >= MAX_STRANGERS_MESSAGES and self._is_strangers:
            self.finish()

    def _answer_ping(self) -> None:
        if not self.is_outgoing and self._transport is not None and self._transport.get_write_buffer_size() == 0:
            self._transport.write(PONG)

    def _break(self, broken: Broken) -> None:
        self._owner.on_broken(self, broken)
        self.finish()

    # Deadlines

    def _deadlines(self) -> dict[str, float]:
        if self._ends_at is not None:
            return {"end": self._ends_at}
        times = self._owner.times
        found = {"idle": self._last_message + (times.stranger if self._is_strangers else times.idle)}
        if self._message_since is not None:
            found["message"] = self._message_since + times.message
        if self._pinged_at is not None and self._answers_pings:
            found["pong"] = self._pinged_at + times.pong
        elif self.is_outgoing:
            found["ping"] = max(self._last_octet, self._pinged_at or 0.0) + times.ping
        return found

    def _arm(self) -> None:
        """Set the timer, unless one that is due earlier looks again by itself."""
        at = min(self._deadlines().values())
        if self._timer is not None and not self._timer.cancelled() and self._timer.when() <= at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_lost:
            return
        now = self._loop.time()
        due = {name for name, at in self._deadlines().items() if at <= now}
        if "end" in due:
            self._cut()
            return
        if "pong" in due:
            self.abort("no answer to a ping")
            return
        if "message" in due:
            self._break(self._decoder.give_up())
        elif "idle" in due:
            self.finish()
        elif "ping" in due and self._transport is not None:
            self._transport.write(PING)
            self._pinged_at = now
        self._arm()

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def prepare(sock: socket.socket) -> None:
    """Make a TCP socket notice a dead path: unacknowledged octets at once, silence by the system's keep-alive."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
