"""The ground the calls of one agent stand on: outbox, events, transactions and timers of one SIP listener.

It makes client and server transactions, brings responses to their users, and keeps all deadlines in one heap.
It knows no dialogs and no calls: a `TransactionUser` is whoever sent the request.
"""

from __future__ import annotations

import enum
import heapq
import secrets
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from faxgw.foip.digest import Random
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import Event
from faxgw.foip.headers import BRANCH_MAGIC, Via
from faxgw.foip.message import Request, Response, response_to
from faxgw.foip.transaction import (
    Address,
    ClientTransaction,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    Outbox,
    ServerTransaction,
    TimerValues,
    Transaction,
    client_key,
    server_key,
)
from faxgw.foip.uri import DEFAULT_PORT, Params, SipUri, bracket, sip_uri

MAX_SERVER_TRANSACTIONS = 4096
"""Server transactions at most; each lives 32 s, so this bounds unsolicited requests to some 128 a second."""
MAX_CLIENT_TRANSACTIONS = 8192
"""Client transactions at most."""
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, PRACK, UPDATE"
"""What we answer with anything but 405, within a dialog at least."""


class Transport(enum.StrEnum):
    """What carries the messages."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"

    @property
    def reliable(self) -> bool:
        """Whether lost messages are the transport's business."""
        return self is not Transport.UDP


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Settings of one user agent: one listener."""

    host: str
    """Our address as others reach it: IP literal or name, put into Via and Contact."""
    port: int = DEFAULT_PORT
    """Our port."""
    transport: Transport = Transport.UDP
    """What the listener speaks."""
    user: str = "fax"
    """User part of our Contact."""
    product: str = "faxgw"
    """User-Agent and Server."""
    max_calls: int = 1000
    """Calls at once, both directions; beyond it the next one gets 503."""
    session_expires: int = 1800
    """Seconds of session interval we ask for with an INVITE (RFC 4028 section 7.1); 0: we ask for none."""
    min_se: int = 90
    """Shortest session interval in seconds that we take; less gets 422 (RFC 4028 section 5: at least 90)."""
    timers: TimerValues = field(default_factory=TimerValues)
    """Base values of all timers; `reliable` is taken from the transport."""


class TransactionUser(Protocol):
    """Whoever has sent a request and waits for what comes of it."""

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` wants to be called."""

    def handle_timer(self, now: float) -> None:
        """Fire the user's own timers."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response came that the user must see."""

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """No final response came (408), or the transport failed (503)."""


class Stack:
    """Transactions and timers of one listener."""

    def __init__(self, config: AgentConfig, random: Random = secrets.token_hex) -> None:
        self.config = config
        self.random = random
        self.outbox: Outbox = []
        self.events: deque[Event] = deque()
        self.finished: list[tuple[str, str]] = []
        """Call-ID and our tag of calls that have ended; the agent takes them out of its tables."""
        self.timers = TimerValues(
            config.timers.t1, config.timers.t2, config.timers.t4, config.timers.d, config.transport.reliable
        )
        self._clients: dict[tuple[str, ...], tuple[ClientTransaction, TransactionUser]] = {}
        self._servers: dict[tuple[str, ...], ServerTransaction] = {}
        self._merged: dict[tuple[str, str, int, str], tuple[str, ...]] = {}
        self._heap: list[tuple[float, int, Transaction | TransactionUser]] = []
        self._serial = count()

    # Names and addresses of ours

    def new_branch(self) -> str:
        """A branch unique in space and time (RFC 3261 section 8.1.1.7)."""
        return BRANCH_MAGIC + self.random(12)

    def new_tag(self) -> str:
        """A tag with more than the 32 random bits RFC 3261 section 19.3 wants."""
        return self.random(8)

    def via(self, branch: str) -> Via:
        """Our Via value; on streams with the wish that requests to us come by the same connection (RFC 5923)."""
        params: Params = (("branch", branch), ("rport", None))
        if self.config.transport.reliable:
            params += (("alias", None),)
        return Via(self.config.transport.value, bracket(self.config.host), self.config.port, params)

    @property
    def contact(self) -> str:
        """Our Contact value."""
        uri = sip_uri(self.config.user, self.config.host, self.config.port)
        if self.config.transport is not Transport.UDP:
            uri = SipUri(uri.host, uri.user, uri.port, params=(("transport", self.config.transport.value.lower()),))
        return f"<{uri}>"

    def is_ours(self, via: Via) -> bool:
        """Whether a Via value is ours: a response with another one on top went astray (section 18.1.2)."""
        default = 5061 if self.config.transport is Transport.TLS else DEFAULT_PORT
        return via.host.lower() == bracket(self.config.host).lower() and (via.port or default) == self.config.port

    # Sending

    def emit(self, event: Event) -> None:
        """Hand an event to the user of the agent."""
        self.events.append(event)

    def send_request(
        self, request: Request, destination: Address, user: TransactionUser, now: float, branch: str = ""
    ) -> ClientTransaction:
        """Put our Via on top and start a client transaction.

        Raises:
            LocalProtocolError: If there are too many, or the branch is in use.
        """
        self._sign(request, branch or self.new_branch())
        key = client_key(request)
        if key in self._clients or len(self._clients) >= MAX_CLIENT_TRANSACTIONS:
            raise LocalProtocolError("branch in use, or too many client transactions")
        transaction: ClientTransaction
        if request.method == "INVITE":
            transaction = InviteClient(request, destination, self.outbox, now, self.timers)
        else:
            transaction = NonInviteClient(request, destination, self.outbox, now, self.timers)
        self._clients[key] = (transaction, user)
        self.touch(transaction)
        return transaction

    def send_cancel(self, request: Request, destination: Address, user: TransactionUser, now: float) -> None:
        """Send a CANCEL, which bears the Via of its INVITE (section 9.1)."""
        request.headers.set("User-Agent", self.config.product)
        transaction = NonInviteClient(request, destination, self.outbox, now, self.timers)
        self._clients[client_key(request)] = (transaction, user)
        self.touch(transaction)

    def resume_invite(
        self, request: Request, destination: Address, user: TransactionUser, now: float, branch: str
    ) -> InviteClient:
        """A client transaction for an INVITE that an earlier process has sent; sends nothing."""
        self._sign(request, branch)
        transaction = InviteClient.resume(request, destination, self.outbox, now, self.timers)
        self._clients[client_key(request)] = (transaction, user)
        self.touch(transaction)
        return transaction

    def send_ack(self, request: Request, destination: Address) -> bytes:
        """Send the ACK of a 2xx, which is no part of any transaction (section 13.2.2.4); returns it for repetition."""
        self._sign(request, self.new_branch())
        data = request.to_bytes()
        self.outbox.append((data, destination))
        return data

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response through its transaction."""
        response.headers.set("Server", self.config.product)
        transaction.send(response, now)
        self._after(server_key(transaction.request), transaction)

    def respond_stateless(self, request: Request, source: Address, response: Response) -> None:
        """Send a response and remember nothing; repeated requests get it again."""
        if request.method == "ACK":
            return
        response.headers.set("Server", self.config.product)
        self.outbox.append((response.to_bytes(), self.response_address(request, source)))

    def reply(
        self, request: Request, transaction: ServerTransaction, status: int, now: float, *, tag: str = ""
    ) -> None:
        """Send a response without a body."""
        self.respond(transaction, response_to(request, status, tag=tag or self.new_tag()), now)

    # Receiving

    def find_server(self, key: tuple[str, ...]) -> ServerTransaction | None:
        """The server transaction of a key."""
        return self._servers.get(key)

    def start_server(self, request: Request, source: Address) -> ServerTransaction | None:
        """A server transaction for a new request, or None when there are too many."""
        if len(self._servers) >= MAX_SERVER_TRANSACTIONS:
            return None
        address = self.response_address(request, source)
        transaction: ServerTransaction
        if request.method == "INVITE":
            transaction = InviteServer(request, address, self.outbox, self.timers)
        else:
            transaction = NonInviteServer(request, address, self.outbox, self.timers)
        key = server_key(request)
        self._servers[key] = transaction
        if not request.to.tag:
            self._merged.setdefault(_merge_key(request), key)
        return transaction

    def is_merged(self, request: Request) -> bool:
        """Whether the same request came here by another path (section 8.2.2.2)."""
        other = None if request.to.tag else self._merged.get(_merge_key(request))
        return other is not None and other != server_key(request)

    def repeat(self, transaction: ServerTransaction, request: Request, now: float) -> Request | None:
        """Give a repeated request or an ACK to its transaction; returns what the user must see."""
        passed = transaction.receive(request, now)
        self._after(server_key(transaction.request), transaction)
        return passed

    def receive_response(self, response: Response, now: float) -> bool:
        """Bring a response to its transaction's user; False if there is none."""
        key = client_key(response)
        found = self._clients.get(key)
        if found is None:
            return False
        transaction, user = found
        passed = transaction.receive(response, now)
        self._after(key, transaction)
        if passed is not None:
            user.on_response(transaction, passed, now)
            self.touch(user)
        return True

    def abandon(self, transaction: ClientTransaction) -> None:
        """Forget a client transaction."""
        transaction.abandon()
        self._clients.pop(client_key(transaction.request), None)

    def transport_failed(self, destination: Address, now: float) -> None:
        """Nothing reaches a destination: its unanswered requests fail as with 503 (section 8.1.3.1)."""
        for transaction, user in list(self._clients.values()):
            if transaction.destination == destination and transaction.is_unanswered:
                self.abandon(transaction)
                user.on_timeout(transaction, 503, now)
                self.touch(user)

    def response_address(self, request: Request, source: Address) -> Address:
        """Where responses go: rport, else received with the sent-by port (section 18.2.2, RFC 3581).

        maddr is not followed: it would let a stranger aim our answers at anybody.
        """
        try:
            via = request.via
        except RemoteProtocolError:
            return source
        if self.config.transport.reliable or via.param("rport") is not None:
            return source
        return source[0], via.port or DEFAULT_PORT

    # Time

    def touch(self, owner: Transaction | TransactionUser) -> None:
        """Look at an owner's deadline again; to be called whenever it may have changed."""
        if (at := owner.deadline) is not None:
            heapq.heappush(self._heap, (at, next(self._serial), owner))

    def get_timer(self) -> float | None:
        """When `handle_timer` must be called at the latest, or None."""
        while self._heap and self._heap[0][2].deadline != self._heap[0][0]:
            heapq.heappop(self._heap)  # moved or stopped since
        return self._heap[0][0] if self._heap else None

    def handle_timer(self, now: float) -> None:
        """Fire everything that is due."""
        while (at := self.get_timer()) is not None and at <= now:
            owner = heapq.heappop(self._heap)[2]
            if isinstance(owner, Transaction):
                self._fire(owner, now)
            else:
                owner.handle_timer(now)
                self.touch(owner)

    def _fire(self, transaction: Transaction, now: float) -> None:
        if isinstance(transaction, InviteServer | NonInviteServer):
            transaction.handle_timer(now)
            self._after(server_key(transaction.request), transaction)
        elif isinstance(transaction, InviteClient | NonInviteClient):
            key = client_key(transaction.request)
            user = self._clients[key][1]
            failed = transaction.handle_timer(now)
            self._after(key, transaction)
            if failed:
                user.on_timeout(transaction, 408, now)
                self.touch(user)

    def _after(self, key: tuple[str, ...], transaction: ServerTransaction | ClientTransaction) -> None:
        if not transaction.terminated:
            self.touch(transaction)
        elif isinstance(transaction, InviteServer | NonInviteServer):
            self._servers.pop(key, None)
            merge_key = _merge_key(transaction.request)
            if self._merged.get(merge_key) == key:
                del self._merged[merge_key]
        else:
            self._clients.pop(key, None)

    def _sign(self, request: Request, branch: str) -> None:
        request.headers = type(request.headers)([("Via", str(self.via(branch))), *request.headers])
        request.headers.set("User-Agent", self.config.product)


def _merge_key(request: Request) -> tuple[str, str, int, str]:
    return (request.call_id, request.from_.tag, request.cseq.number, request.cseq.method)
