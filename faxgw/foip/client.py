"""Requests outside any dialog: OPTIONS, REGISTER, MESSAGE … with what a challenge asks for (RFC 3261 sections 8.1, 22).

An `Exchange` is one request and its repetitions with credentials, each a transaction of its own with a CSeq number
that counts up; its outcome is one `RequestDone`. It repeats nothing for any other reason: what 408, 423 or 503 mean
is the user's business (`foip.registration`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from faxgw.foip.dialog import preloaded
from faxgw.foip.digest import Authenticator, Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import CallId, RequestDone, Why
from faxgw.foip.headers import NameAddr
from faxgw.foip.message import REASONS, Headers, Request, Response, clean_text
from faxgw.foip.session import call_name, challenges_of
from faxgw.foip.stack import Stack
from faxgw.foip.transaction import Address, ClientTransaction

MAX_EXCHANGES = 1000
"""Exchanges of one listener under way at most."""
MAX_ATTEMPTS = 5
"""Transactions of one exchange at most: the first and those with credentials."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One request outside a dialog, to be sent."""

    method: str
    """Anything but INVITE, ACK and CANCEL."""
    target: str
    """Request-URI."""
    destination: Address
    """Where it is sent: IP literal and port."""
    from_: str
    """From value (name-addr or URI) without a tag."""
    to: str = ""
    """To value; the target by default."""
    headers: Sequence[tuple[str, str]] = ()
    """Further header fields (Contact, Expires, Content-Type …)."""
    body: bytes = b""
    """Body; its Content-Type is among `headers`."""
    route: Sequence[str] = ()
    """Preloaded Route values: an outbound proxy (RFC 3261 section 8.1.2)."""
    call_id: str = ""
    """Call-ID to go on with (section 10.2: that of the registrations before); drawn by default."""
    from_tag: str = ""
    """Our tag; drawn by default."""
    cseq: int = 0
    """CSeq number of the first transaction; with the Call-ID of an earlier request above `RequestDone.cseq`."""
    credentials: Credentials | Authenticator | None = field(default=None, repr=False)
    """For 401 and 407; an `Authenticator` keeps the nonce from one exchange to the next (section 22.1)."""


class Exchange:
    """One request outside a dialog until its final response.

    Args:
        stack: What it is sent over.
        sending: What is sent.
        on_done: Told of the outcome with the loop time; by default it becomes an event of the agent.

    Raises:
        LocalProtocolError: If an address is malformed or the method is not for this.
    """

    def __init__(
        self, stack: Stack, sending: Sending, on_done: Callable[[RequestDone, float], None] | None = None
    ) -> None:
        if sending.method in ("INVITE", "ACK", "CANCEL"):
            raise LocalProtocolError(f"{sending.method} is no request of its own")
        self._stack = stack
        self._sending = sending
        self._on_done = on_done
        given = sending.credentials
        self._auth = given if isinstance(given, Authenticator) else Authenticator(given, stack.random)
        self._call_id = sending.call_id or f"{stack.random(12)}@{stack.config.host}"
        self._tag = sending.from_tag or stack.new_tag()
        self._cseq = sending.cseq or 1 + int(stack.random(2), 16)
        self._template = self._build()
        self._attempt = 0
        self._transaction: ClientTransaction | None = None
        self.call = call_name(self._call_id, self._tag)
        """Names it among the calls of its agent."""
        self.ended = False
        """Whether there was an outcome."""

    def start(self, now: float) -> None:
        """Send the request.

        Raises:
            LocalProtocolError: If there are too many client transactions.
        """
        self._send(now)

    def abandon(self) -> None:
        """Forget it without an outcome."""
        self.ended = True
        if self._transaction is not None and not self._transaction.terminated:
            self._stack.abandon(self._transaction)

    # As a transaction user

    @property
    def deadline(self) -> float | None:
        """No timer of its own: timer F ends it."""
        return None

    def handle_timer(self, now: float) -> None:
        """Nothing is ever due."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take in a final response, or answer its challenge."""
        if response.status < 200 or self.ended:
            return
        if response.status in (401, 407) and self._attempt + 1 < MAX_ATTEMPTS:
            if self._auth.challenged(response.status, challenges_of(response)):
                self._attempt += 1
                self._send(now)
                return
        elif response.status < 300:
            self._auth.accepted()
        fields = tuple((name, clean_text(value, 1000)) for name, value in response.headers)
        self._finish(response.status, clean_text(response.reason), Why.ANSWERED, fields, now)

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """No final response came, or the transport failed."""
        why = Why.TRANSPORT if status == 503 else Why.TIMEOUT
        self._finish(status, REASONS[status], why, (), now)

    # Bits

    def _build(self) -> Request:
        sending = self._sending
        try:
            caller = NameAddr.parse(sending.from_).tagged(self._tag)
            callee = NameAddr.parse(sending.to or f"<{sending.target}>").tagged("")
            uri, routes = preloaded(sending.target, sending.route)
            fields = Headers([("Max-Forwards", "70"), *(("Route", route) for route in routes)])
            fields.add("From", caller)
            fields.add("To", callee)
            fields.add("Call-ID", self._call_id)
            fields.add("CSeq", f"{self._cseq} {sending.method}")
            for name, value in sending.headers:
                fields.add(name, value)
            request = Request(sending.method, uri, fields, sending.body)
            _ = request.request_uri
        except RemoteProtocolError as exc:
            raise LocalProtocolError(f"malformed address: {exc}") from exc
        return request

    def _send(self, now: float) -> None:
        template = self._template
        request = Request(template.method, template.uri, template.headers.copy(), template.body)
        request.headers.set("CSeq", f"{self._cseq + self._attempt} {template.method}")
        for name, value in self._auth.headers(template.method, template.uri, template.body):
            request.headers.add(name, value)
        self._transaction = self._stack.send_request(request, self._sending.destination, self, now)

    def _finish(self, status: int, reason: str, why: Why, fields: tuple[tuple[str, str], ...], now: float) -> None:
        if self.ended:
            return
        self.ended = True
        done = RequestDone(self.call, self._sending.method, status, reason, fields, why, self._cseq + self._attempt)
        if self._on_done is None:
            self._stack.emit(done)
        else:
            self._on_done(done, now)


class Exchanges:
    """The exchanges of one listener that our user has started."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._open: dict[CallId, Exchange] = {}

    def start(self, sending: Sending, now: float) -> CallId:
        """Send a request; its outcome becomes an event.

        Raises:
            LocalProtocolError: If an address is malformed, the name is in use, or there are too many.
        """
        self._open = {name: exchange for name, exchange in self._open.items() if not exchange.ended}
        exchange = Exchange(self._stack, sending)
        if exchange.call in self._open or len(self._open) >= MAX_EXCHANGES:
            raise LocalProtocolError("name in use, or too many requests")
        exchange.start(now)
        self._open[exchange.call] = exchange
        return exchange.call

    def abandon(self, call: CallId) -> None:
        """Forget one; no outcome follows."""
        if call in self._open:
            self._open.pop(call).abandon()
