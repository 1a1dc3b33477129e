"""The four transaction machines of RFC 3261 section 17, with the corrections of RFC 6026 (state Accepted, L and M).

A transaction turns a lossy hop into one request and its responses. It appends what it sends to an outbox shared
with its owner, returns what its user must learn, and names the moment it wants to be called again. It knows
nothing of dialogs. Timers bear their letters:

    A, B, D      INVITE client: retransmission, time-out, wait for repeated final responses
    E, F, K      non-INVITE client: the same
    G, H, I      INVITE server: retransmission of the final response, time-out without ACK, wait for repeated ACKs
    J            non-INVITE server: wait for repeated requests
    L, M         INVITE server and client in Accepted: wait for repeated INVITEs or 2xx (RFC 6026 section 8)
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from faxgw.foip.errors import LocalProtocolError
from faxgw.foip.message import Headers, Request, Response

Address = tuple[str, int]
"""IP literal without brackets, and port."""
Outbox = list[tuple[bytes, Address]]
"""Datagrams waiting to be sent, oldest first."""


@dataclass(frozen=True, slots=True)
class TimerValues:
    """The base values of all timers, in seconds (RFC 3261 table 4)."""

    t1: float = 0.5
    """Estimate of the round trip."""
    t2: float = 4.0
    """Longest interval between retransmissions."""
    t4: float = 5.0
    """Longest time a message stays in the network."""
    d: float = 32.0
    """Timer D over unreliable transports: at least 32 s."""
    reliable: bool = False
    """TCP or TLS: nothing is retransmitted, D, I, J and K are zero."""

    @property
    def timeout(self) -> float:
        """64·T1: timers B, F, H, J, L and M."""
        return 64 * self.t1


class State(enum.Enum):
    """States of RFC 3261 figures 5 to 8 and RFC 6026 section 7."""

    CALLING = "Calling"
    TRYING = "Trying"
    PROCEEDING = "Proceeding"
    COMPLETED = "Completed"
    CONFIRMED = "Confirmed"
    ACCEPTED = "Accepted"
    TERMINATED = "Terminated"


class Timers:
    """Named deadlines of one owner; the caller asks for the next one and for those that are due."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    @property
    def deadline(self) -> float | None:
        """The next moment, or None if nothing is running."""
        return min(self._at.values()) if self._at else None

    def start(self, name: str, at: float) -> None:
        """Start or restart a timer."""
        self._at[name] = at

    def stop(self, *names: str) -> None:
        """Stop timers; those that are not running are left alone."""
        for name in names:
            self._at.pop(name, None)

    def running(self, name: str) -> bool:
        """Whether the timer is running."""
        return name in self._at

    def clear(self) -> None:
        """Stop all."""
        self._at.clear()

    def due(self, now: float) -> Iterator[str]:
        """Take out the timers that are due, earliest first; those that a due one starts are looked at again."""
        while self._at:
            name = min(self._at, key=lambda key: self._at[key])
            if self._at[name] > now:
                return
            del self._at[name]
            yield name


class Transaction:
    """What the four machines share."""

    def __init__(self, outbox: Outbox, destination: Address, values: TimerValues, state: State) -> None:
        self.state = state
        self.destination = destination
        self.timers = Timers()
        self._outbox = outbox
        self._values = values
        self._interval = 0.0

    @property
    def terminated(self) -> bool:
        """Whether the transaction is over and may be forgotten."""
        return self.state is State.TERMINATED

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` wants to be called, or None."""
        return self.timers.deadline

    def _send(self, data: bytes) -> None:
        self._outbox.append((data, self.destination))

    def _terminate(self) -> None:
        self.state = State.TERMINATED
        self.timers.clear()

    def _wait_or_terminate(self, timer: str, seconds: float, now: float) -> None:
        """Start a wait that absorbs repetitions; over reliable transports there are none."""
        if self._values.reliable or seconds <= 0:
            self._terminate()
        else:
            self.timers.start(timer, now + seconds)


class InviteClient(Transaction):
    """INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2)."""

    def __init__(
        self, request: Request, destination: Address, outbox: Outbox, now: float, values: TimerValues | None = None
    ) -> None:
        super().__init__(outbox, destination, values or TimerValues(), State.CALLING)
        self.request = request
        self._data = request.to_bytes()
        self._ack = b""
        self._send(self._data)
        if not self._values.reliable:
            self._interval = self._values.t1
            self.timers.start("A", now + self._interval)
        self.timers.start("B", now + self._values.timeout)

    @classmethod
    def resume(
        cls, request: Request, destination: Address, outbox: Outbox, now: float, values: TimerValues | None = None
    ) -> InviteClient:
        """The transaction of an INVITE that an earlier process sent: Proceeding, for 64·T1 at most. Sends nothing."""
        machine = cls(request, destination, [], now, values)
        machine._outbox = outbox
        machine.timers.clear()
        machine.state = State.PROCEEDING
        machine.timers.start("B", now + machine._values.timeout)
        return machine

    @property
    def is_unanswered(self) -> bool:
        """Whether nothing has come back yet."""
        return self.state is State.CALLING

    def receive(self, response: Response, now: float) -> Response | None:
        """Take in a response; what the user must see is returned, repetitions are not."""
        if response.status < 200:
            if self.state in (State.CALLING, State.PROCEEDING):
                if self.state is State.CALLING:
                    self.timers.stop("A", "B")
                self.state = State.PROCEEDING
                return response
            return None
        if response.status < 300:
            if self.state in (State.CALLING, State.PROCEEDING):
                self.timers.clear()
                self.state = State.ACCEPTED
                self.timers.start("M", now + self._values.timeout)
                return response
            return response if self.state is State.ACCEPTED else None
        if self.state in (State.CALLING, State.PROCEEDING):
            self.timers.clear()
            self.state = State.COMPLETED
            self._ack = self._build_ack(response).to_bytes()
            self._send(self._ack)
            self._wait_or_terminate("D", self._values.d, now)
            return response
        if self.state is State.COMPLETED:
            self._send(self._ack)
        return None

    def handle_timer(self, now: float) -> bool:
        """Fire due timers. True when timer B has run out: nobody answered (section 17.1.1.2)."""
        for name in self.timers.due(now):
            if name == "A":
                self._send(self._data)
                self._interval *= 2
                self.timers.start("A", now + self._interval)
            else:  # B, D, M
                self._terminate()
                return name == "B"
        return False

    def abandon(self) -> None:
        """Forget the transaction: CANCEL brought no final response in 64·T1, or the transport failed (9.1, 17.1.4)."""
        self._terminate()

    def build_cancel(self) -> Request:
        """The CANCEL for this INVITE (section 9.1).

        Raises:
            LocalProtocolError: Before a provisional or after a final response.
        """
        if self.state is not State.PROCEEDING:
            raise LocalProtocolError(f"no CANCEL in state {self.state.value}")
        return cancel_for(self.request)

    def _build_ack(self, response: Response) -> Request:
        """The ACK of a final response above 299 (section 17.1.1.3)."""
        original = self.request.headers
        headers = Headers([("Via", original.get_all("Via")[0]), ("Max-Forwards", "70")])
        for route in original.get_all("Route"):
            headers.add("Route", route)
        headers.add("From", original.get("From") or "")
        headers.add("To", response.headers.get("To") or "")
        headers.add("Call-ID", original.get("Call-ID") or "")
        headers.add("CSeq", f"{self.request.cseq.number} ACK")
        return Request("ACK", self.request.uri, headers)


class NonInviteClient(Transaction):
    """Non-INVITE client transaction (RFC 3261 section 17.1.2)."""

    def __init__(
        self, request: Request, destination: Address, outbox: Outbox, now: float, values: TimerValues | None = None
    ) -> None:
        super().__init__(outbox, destination, values or TimerValues(), State.TRYING)
        self.request = request
        self._data = request.to_bytes()
        self._send(self._data)
        if not self._values.reliable:
            self._interval = self._values.t1
            self.timers.start("E", now + self._interval)
        self.timers.start("F", now + self._values.timeout)

    @property
    def is_unanswered(self) -> bool:
        """Whether nothing has come back yet."""
        return self.state is State.TRYING

    def receive(self, response: Response, now: float) -> Response | None:
        """Take in a response; repetitions are not returned."""
        if self.state not in (State.TRYING, State.PROCEEDING):
            return None
        if response.status < 200:
            self.state = State.PROCEEDING
            return response
        self.timers.clear()
        self.state = State.COMPLETED
        self._wait_or_terminate("K", self._values.t4, now)
        return response

    def handle_timer(self, now: float) -> bool:
        """Fire due timers. True when timer F has run out: nobody answered (section 17.1.2.2)."""
        for name in self.timers.due(now):
            if name == "E":
                self._send(self._data)
                proceeding = self.state is State.PROCEEDING
                self._interval = self._values.t2 if proceeding else min(2 * self._interval, self._values.t2)
                self.timers.start("E", now + self._interval)
            else:  # F, K
                self._terminate()
                return name == "F"
        return False

    def abandon(self) -> None:
        """Forget the transaction: the transport failed (section 17.1.4)."""
        self._terminate()


class InviteServer(Transaction):
    """INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).

    The 2xx belongs to the user, which repeats it until the ACK (section 13.3.1.4); everything else is repeated here.
    """

    def __init__(self, request: Request, source: Address, outbox: Outbox, values: TimerValues | None = None) -> None:
        super().__init__(outbox, source, values or TimerValues(), State.PROCEEDING)
        self.request = request
        self._last = b""

    def send(self, response: Response, now: float) -> None:
        """Send a response of the user.

        Raises:
            LocalProtocolError: After a final response; a 2xx may be repeated.
        """
        data = response.to_bytes()
        if self.state is State.ACCEPTED and 200 <= response.status < 300:
            self._send(data)
            return
        if self.state is not State.PROCEEDING:
            raise LocalProtocolError(f"no response {response.status} in state {self.state.value}")
        self._last = data
        self._send(data)
        if response.status < 200:
            return
        if response.status < 300:
            self.state = State.ACCEPTED
            self.timers.start("L", now + self._values.timeout)
            return
        self.state = State.COMPLETED
        if not self._values.reliable:
            self._interval = self._values.t1
            self.timers.start("G", now + self._interval)
        self.timers.start("H", now + self._values.timeout)

    def receive(self, request: Request, now: float) -> Request | None:
        """Take in a repeated INVITE, or the ACK of a final response. Only an ACK in Accepted is for the user."""
        if request.method == "ACK":
            if self.state is State.COMPLETED:
                self.timers.clear()
                self.state = State.CONFIRMED
                self._wait_or_terminate("I", self._values.t4, now)
            return request if self.state is State.ACCEPTED else None
        if self.state in (State.PROCEEDING, State.COMPLETED) and self._last:
            self._send(self._last)
        return None

    def handle_timer(self, now: float) -> bool:
        """Fire due timers. True when timer H has run out: no ACK came (section 17.2.1)."""
        for name in self.timers.due(now):
            if name == "G":
                self._send(self._last)
                self._interval = min(2 * self._interval, self._values.t2)
                self.timers.start("G", now + self._interval)
            else:  # H, I, L
                self._terminate()
                return name == "H"
        return False


class NonInviteServer(Transaction):
    """Non-INVITE server transaction (RFC 3261 section 17.2.2)."""

    def __init__(self, request: Request, source: Address, outbox: Outbox, values: TimerValues | None = None) -> None:
        super().__init__(outbox, source, values or TimerValues(), State.TRYING)
        self.request = request
        self._last = b""

    def send(self, response: Response, now: float) -> None:
        """Send a response of the user.

        Raises:
            LocalProtocolError: After a final response.
        """
        if self.state not in (State.TRYING, State.PROCEEDING):
            raise LocalProtocolError(f"no response {response.status} in state {self.state.value}")
        self._last = response.to_bytes()
        self._send(self._last)
        if response.status < 200:
            self.state = State.PROCEEDING
            return
        self.state = State.COMPLETED
        self._wait_or_terminate("J", self._values.timeout, now)

    def receive(self, request: Request, now: float) -> Request | None:
        """Take in a repeated request: the last response is sent again, nothing is for the user."""
        if self.state in (State.PROCEEDING, State.COMPLETED):
            self._send(self._last)
        return None

    def handle_timer(self, now: float) -> bool:
        """Fire due timers. Always False: nothing here is an error of the peer."""
        for _ in self.timers.due(now):  # J
            self._terminate()
        return False


ClientTransaction = InviteClient | NonInviteClient
ServerTransaction = InviteServer | NonInviteServer


def cancel_for(invite: Request) -> Request:
    """The CANCEL of an INVITE: same Request-URI, Via, Route, From, To, Call-ID and CSeq number (section 9.1)."""
    original = invite.headers
    headers = Headers([("Via", original.get_all("Via")[0]), ("Max-Forwards", "70")])
    for name in ("Route", "From", "To", "Call-ID"):
        for value in original.get_all(name):
            headers.add(name, value)
    headers.add("CSeq", f"{invite.cseq.number} CANCEL")
    return Request("CANCEL", invite.uri, headers)


def client_key(message: Request | Response) -> tuple[str, ...]:
    """What matches a response to its client transaction: branch and method of CSeq (section 17.1.3)."""
    return (message.via.branch, message.cseq.method)


def server_key(request: Request) -> tuple[str, ...]:
    """What matches a request to its server transaction (section 17.2.3).

    An ACK and its INVITE have one key; a CANCEL has its own, and `cancelled_key` is its INVITE's. A request of an
    RFC 2543 element, or with an empty branch (RFC 4475 badbranch), is matched by its fields.
    """
    return _key(request, "INVITE" if request.method == "ACK" else request.method)


def cancelled_key(request: Request) -> tuple[str, ...]:
    """The key of the INVITE that a CANCEL means (section 9.2)."""
    return _key(request, "INVITE")


def _key(request: Request, method: str) -> tuple[str, ...]:
    via = request.via
    if via.has_unique_branch:
        return (via.branch, via.host.lower(), str(via.port or ""), method)
    from_tag, number = request.from_.tag, str(request.cseq.number)
    return (request.uri, from_tag, request.call_id, number, via.host.lower(), str(via.port or ""), via.branch, method)
