"""What a bad network does to the datagrams of one direction: seeded, reproducible, without clock or socket.

`Impairment.put` takes a datagram at its time, `Impairment.take` gives those that arrive until then. Losses come singly
or in bursts (Gilbert's model: a good state that loses nothing, a bad one that loses everything). Jitter keeps the order
as a queue does; what overtakes is set by `reordered`. `ImpairedSocket` puts both directions around a socket.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol  # an address is what the system makes it

from faxgw.foip.control import Address

REORDER_BY: Final = 0.05
"""Seconds that a datagram which others overtake is late: more than one chunk of T.38 (30 ms)."""
MAX_WAITING: Final = 4_096
"""Datagrams on the way at most; what comes on top is lost, as in any queue."""
NEVER: Final = float("inf")
_READS: Final = 64
"""Datagrams taken from a real socket at a look."""
_RECEIVE_SIZE: Final = 2_048


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a network does in one direction; as made, it does nothing."""

    loss: float = 0.0
    """Share of the datagrams that are lost, 0 to 1."""
    burst: float = 1.0
    """Mean length of a loss in datagrams; 1: each is lost on its own account."""
    delay: float = 0.0
    """Seconds that every datagram takes."""
    jitter: float = 0.0
    """Seconds that a datagram takes longer at most; the order is kept."""
    reordered: float = 0.0
    """Share that later ones overtake, by REORDER_BY."""
    duplicated: float = 0.0
    """Share that comes twice."""
    corrupted: float = 0.0
    """Share in which one octet arrives as another."""
    outages: tuple[tuple[float, float], ...] = ()
    """When nothing comes through: first and last second, from the first datagram."""
    silent_from: float = NEVER
    """Second from the first datagram after which nothing comes through any more."""


class Impairment:
    """One direction of a network."""

    def __init__(self, conditions: Conditions, seed: int) -> None:
        """Begin.

        Args:
            conditions: What it does.
            seed: The same seed and the same datagrams at the same times give the same losses.
        """
        self.silenced = False
        """True: nothing comes through any more, whatever the conditions say."""
        self.seen = 0
        """Datagrams that were put in."""
        self.lost = 0
        """Datagrams of those that never come out."""
        self._conditions = conditions
        self._draw = random.Random(seed)
        self._waiting: list[tuple[float, int, bytes, Address]] = []
        self._began: float | None = None
        self._last = 0.0
        self._bad = False

    def put(self, octets: bytes, address: Address, now: float) -> None:
        """A datagram sets out.

        Args:
            octets: The datagram.
            address: Whatever goes with it: where it comes from, or where it goes.
            now: Seconds on a steady clock.
        """
        conditions, draw = self._conditions, self._draw
        self._began = now if self._began is None else self._began
        self.seen += 1
        if self._is_lost(now - self._began) or len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        if draw.random() < conditions.corrupted and octets:
            at = draw.randrange(len(octets))
            octets = octets[:at] + bytes((octets[at] ^ draw.randint(1, 255),)) + octets[at + 1 :]
        due = max(self._last, now + conditions.delay + draw.random() * conditions.jitter)
        if draw.random() < conditions.reordered:
            self._push(due + REORDER_BY, octets, address)
        else:
            self._last = due
            self._push(due, octets, address)
        if draw.random() < conditions.duplicated:
            self._push(due + draw.random() * REORDER_BY, octets, address)

    def take(self, now: float) -> list[tuple[bytes, Address]]:
        """The datagrams that have arrived, in the order of their arrival."""
        arrived = []
        while self._waiting and self._waiting[0][0] <= now:
            _due, _number, octets, address = heapq.heappop(self._waiting)
            arrived.append((octets, address))
        return arrived

    def _is_lost(self, second: float) -> bool:
        """Whether a datagram of that second is lost; the state of the bursts moves on with each."""
        conditions, draw = self._conditions, self._draw
        if conditions.burst <= 1.0:
            self._bad = draw.random() < conditions.loss
        elif self._bad:
            self._bad = draw.random() >= 1.0 / conditions.burst
        elif conditions.loss:
            self._bad = draw.random() < conditions.loss / (conditions.burst * max(1e-9, 1.0 - conditions.loss))
        if self.silenced or second >= conditions.silent_from:
            return True
        return self._bad or any(first <= second < last for first, last in conditions.outages)

    def _push(self, due: float, octets: bytes, address: Address) -> None:
        heapq.heappush(self._waiting, (due, self.seen, octets, address))


class DatagramSocket(Protocol):
    """A non-blocking UDP socket, real or in memory."""

    def recvfrom(self, size: int, /) -> tuple[bytes, Address]:
        """The next datagram; raises BlockingIOError when there is none."""
        ...

    def sendto(self, octets: bytes, address: Address, /) -> int:
        """Send one datagram; raises OSError when the system refuses it."""
        ...

    def getsockname(self) -> Any:
        """Its own address, as a socket says it."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class ImpairedSocket:
    """A socket behind a bad network, in both directions."""

    def __init__(self, sock: DatagramSocket, there: Impairment, here: Impairment, clock: Callable[[], float]) -> None:
        """Begin; the socket is closed with this one.

        Args:
            sock: The socket.
            there: What happens to what is sent.
            here: What happens to what is received.
            clock: Seconds on a steady clock.
        """
        self.there = there
        self.here = here
        self._sock = sock
        self._clock = clock
        self._arrived: list[tuple[bytes, Address]] = []

    def sendto(self, octets: bytes, address: Address, /) -> int:
        """Send a datagram, or lose it."""
        self.there.put(octets, address, self._clock())
        self.flush()
        return len(octets)

    def flush(self) -> None:
        """Send what has been under way long enough; to be called at every tick."""
        for octets, address in self.there.take(self._clock()):
            with contextlib.suppress(OSError):  # lost on the way like any other
                self._sock.sendto(octets, address)

    def recvfrom(self, size: int, /) -> tuple[bytes, Address]:
        """The next datagram that has arrived.

        Raises:
            BlockingIOError: When none has.
        """
        self.flush()
        if not self._arrived:
            self._read(size)
        if not self._arrived:
            raise BlockingIOError
        return self._arrived.pop(0)

    def _read(self, size: int) -> None:
        now = self._clock()
        for _ in range(_READS):
            try:
                octets, address = self._sock.recvfrom(max(size, _RECEIVE_SIZE))
            except (BlockingIOError, InterruptedError):
                break
            self.here.put(octets, (address[0], address[1]), now)
        self._arrived += self.here.take(now)

    def getsockname(self) -> Any:
        """The socket's own address."""
        return self._sock.getsockname()

    def close(self) -> None:
        """Close the socket; what is under way is lost."""
        self._sock.close()
