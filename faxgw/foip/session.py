"""A call within its dialog: ACK, re-INVITE with glare, BYE, and what the peer sends in between.

RFC 3261 sections 12.2, 13.2.2.4, 13.3.1.4, 14 and 15. How the dialog came about is `foip.call`'s business.
"""

from __future__ import annotations

import enum

from faxgw.foip.dialog import Dialog
from faxgw.foip.digest import Authenticator, Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import By, CallId, Ended, Event, ReofferAnswered, Reoffered, ReofferRefused
from faxgw.foip.headers import Cause
from faxgw.foip.message import Request, Response, clean_text, response_to
from faxgw.foip.sdp import CONTENT_TYPE, SessionDescription, same_media
from faxgw.foip.stack import ALLOW, Stack
from faxgw.foip.transaction import (
    Address,
    ClientTransaction,
    InviteServer,
    ServerTransaction,
    State,
    Timers,
)

MAX_GLARE = 4
"""How often a re-INVITE is tried again after 491."""
MAX_FORKS = 8
"""Different 2xx of one INVITE that are acknowledged at most."""
MAX_CAUSES = 4
"""Reason values read from one message at most."""
REOFFER_LIMIT = 20.0
"""Seconds our user has to answer a re-INVITE before it is refused for it."""
ANSWER_LIMIT = 32.0
"""Seconds our user has to acknowledge a 2xx: the peer repeats it no longer (64·T1)."""


class CallState(enum.Enum):
    """Where a call is."""

    CALLING = "calling"
    """UAC: INVITE sent, no final response."""
    CANCELLING = "cancelling"
    """UAC: to be cancelled, no final response yet."""
    ANSWERED = "answered"
    """UAC: 2xx received, not acknowledged."""
    RINGING = "ringing"
    """UAS: INVITE received, no final response."""
    ACCEPTED = "accepted"
    """UAS: 2xx sent, no ACK yet."""
    ESTABLISHED = "established"
    """The session stands."""
    ENDING = "ending"
    """BYE sent."""
    ENDED = "ended"
    """Over."""


class Session:
    """What both sides of a call have in common once there is a dialog; base of the two kinds of call."""

    def __init__(
        self, key: tuple[str, str], stack: Stack, state: CallState, owns_call_id: bool, credentials: Credentials | None
    ) -> None:
        self.key = key
        """Call-ID and our tag."""
        self.call = call_name(*key)
        self.state = state
        self.dialog: Dialog | None = None
        self.local_sdp: SessionDescription | None = None
        """What we have last offered or answered with success."""
        self.remote_sdp: SessionDescription | None = None
        """The same of the peer."""
        self._stack = stack
        self._timers = Timers()
        self._auth = Authenticator(credentials, stack.random)
        self._owns_call_id = owns_call_id
        self._acks: dict[tuple[str, int], tuple[bytes, Address]] = {}
        self._reinvite: ClientTransaction | None = None
        self._offer: SessionDescription | None = None
        self._glares = 0
        self._bye_why = "bye"
        self._bye_by = By.LOCAL
        self._server: ServerTransaction | None = None
        """The peer's INVITE that has no final response or no ACK yet."""
        self._answer: Response | None = None
        self._answer_interval = 0.0
        self._peer_offer: SessionDescription | None = None

    # Towards the stack

    @property
    def deadline(self) -> float | None:
        """The next of the call's own timers."""
        return self._timers.deadline

    @property
    def ended(self) -> bool:
        """Whether the call may be forgotten."""
        return self.state is CallState.ENDED

    def handle_timer(self, now: float) -> None:
        """Fire due timers: repeated 2xx, missing ACK, glare, patience with our own user."""
        for name in self._timers.due(now):
            self._fire(name, now)

    def _fire(self, name: str, now: float) -> None:
        if name == "2xx":
            self._repeat_answer(now)
        elif name == "ack":
            self._ack_missing(now)
        elif name == "glare":
            self._retry_reinvite(now)
        elif name == "reoffer":
            self.refuse_reinvite(488, now)
        elif name == "unacknowledged":
            self._hang_up("not acknowledged", By.TIMEOUT, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take in a response to a request in the dialog."""
        if response.status < 200:
            return
        if transaction.request.method == "BYE":
            self._on_bye_response(transaction, response, now)
        elif transaction.request.method == "INVITE":
            self._on_reinvite_response(transaction, response, now)

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """A request in the dialog was never answered (section 12.2.1.2: the dialog is gone)."""
        if transaction.request.method == "BYE":
            self._finish(Ended(self.call, self._bye_by, self._bye_why))
        elif transaction is self._reinvite:
            self._reinvite = None
            self._emit(ReofferRefused(self.call, status))
            self._hang_up("dialog gone", By.TIMEOUT, now)

    # Commands

    def bye(self, now: float) -> None:
        """Hang up. In ANSWERED the 2xx is acknowledged first (section 13.2.2.4).

        Raises:
            LocalProtocolError: Without a dialog, or when the call is over.
        """
        if self.state not in (CallState.ANSWERED, CallState.ACCEPTED, CallState.ESTABLISHED):
            raise LocalProtocolError(f"no BYE in state {self.state.value}")
        self._hang_up("bye", By.LOCAL, now)

    def reinvite(self, offer: SessionDescription, now: float) -> None:
        """Offer a changed session.

        Raises:
            LocalProtocolError: Before the call stands, or while another re-INVITE of either side is open.
        """
        if self.state is not CallState.ESTABLISHED or not self.may_reinvite:
            raise LocalProtocolError("no re-INVITE now")
        self._offer = offer
        self._glares = 0
        self._send_reinvite(now)

    @property
    def may_reinvite(self) -> bool:
        """Whether no re-INVITE of either side is open (section 14.1)."""
        return self._reinvite is None and self._server is None and not self._timers.running("glare")

    def answer_reinvite(self, sdp: SessionDescription, now: float) -> None:
        """Accept the peer's re-INVITE.

        Raises:
            LocalProtocolError: If there is none.
        """
        if self._server is None or self._peer_offer is None or self.dialog is None:
            raise LocalProtocolError("no re-INVITE to answer")
        self.remote_sdp, self._peer_offer = self._peer_offer, None
        self._timers.stop("reoffer")
        self._send_2xx(self._server, sdp, now)

    def refuse_reinvite(self, status: int, now: float) -> None:
        """Refuse the peer's re-INVITE; the session stays as it is (section 14.2).

        Raises:
            LocalProtocolError: If there is none.
        """
        if self._server is None or self._peer_offer is None:
            raise LocalProtocolError("no re-INVITE to refuse")
        server, self._server, self._peer_offer = self._server, None, None
        self._timers.stop("reoffer")
        self._stack.reply(server.request, server, status, now)

    # What the peer sends

    def on_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """Take in a new request within the dialog, anything but ACK and CANCEL."""
        if self.dialog is None or self.state in (CallState.ENDING, CallState.ENDED):
            status = 200 if request.method == "BYE" else 481
            self._stack.reply(request, transaction, status, now)
            return
        try:
            self.dialog.accept(request)
        except RemoteProtocolError as exc:
            self._stack.reply(request, transaction, exc.status, now)
            return
        if request.method == "BYE":
            self._on_bye(request, transaction, now)
        elif request.method == "INVITE" and isinstance(transaction, InviteServer):
            self._on_reinvite(request, transaction, now)
        else:
            self._on_other(request, transaction, now)

    def on_ack(self, request: Request, now: float) -> None:
        """Take in the ACK of a 2xx of ours."""
        if self._answer is None or self._server is None or request.cseq.number != self._answer.cseq.number:
            return
        self._timers.stop("2xx", "ack")
        self._server = None
        self._answer = None

    def _on_bye(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        self._stack.reply(request, transaction, 200, now)
        if self._server is not None and self._answer is None:
            self._stack.reply(self._server.request, self._server, 487, now)  # section 15.1.2
        if self.state is CallState.ANSWERED:
            self._acknowledge(now)  # stops the peer's 2xx
        self._finish(Ended(self.call, By.REMOTE, "bye", causes_of(request)))

    def _on_reinvite(self, request: Request, transaction: InviteServer, now: float) -> None:
        if self._server is not None and self._answer is None:
            reply = response_to(request, 500, tag=self._stack.new_tag())
            reply.headers.add("Retry-After", int(self._stack.random(2), 16) % 11)  # section 14.2: 0 to 10 s
            self._stack.respond(transaction, reply, now)
            return
        if self._reinvite is not None or self.state is not CallState.ESTABLISHED:
            self._stack.reply(request, transaction, 491, now)
            return
        try:
            offer = sdp_of(request)
        except RemoteProtocolError as exc:
            self._stack.reply(request, transaction, exc.status, now)
            return
        if self.dialog is not None:
            self.dialog.refresh_target(request)
        self._timers.stop("2xx", "ack")  # a new INVITE says that the last answer has arrived
        self._answer = None
        self._server = transaction
        if self.local_sdp is not None and (offer is None or self._is_refresh(offer)):
            self._send_2xx(transaction, self.local_sdp, now)
        elif offer is None:
            self._server = None
            self._stack.reply(request, transaction, 488, now)
        else:
            self._overtaken()
            self._peer_offer = offer
            self._timers.start("reoffer", now + REOFFER_LIMIT)
            self._emit(Reoffered(self.call, offer))

    def _is_refresh(self, offer: SessionDescription) -> bool:
        return self.remote_sdp is not None and same_media(self.remote_sdp, offer)

    def _on_other(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """OPTIONS, INFO without a body and UPDATE without an offer are granted; the rest has no meaning for a fax."""
        has_body = bool(request.body)
        status = {
            "OPTIONS": 200,
            "INFO": 415 if has_body else 200,  # RFC 6086 section 4.2.2
            "UPDATE": 488 if has_body else 200,  # RFC 3311 section 5.2: a bare one refreshes the target
            "NOTIFY": 481,  # RFC 6665 section 4.1.3: no subscription
        }.get(request.method, 405)
        if request.method == "UPDATE" and not has_body and self.dialog is not None:
            self.dialog.refresh_target(request)
        reply = response_to(request, status, tag=self._stack.new_tag())
        if status in (200, 405):
            reply.headers.add("Allow", ALLOW)
        if request.method == "UPDATE":
            reply.headers.add("Contact", self._stack.contact)
        self._stack.respond(transaction, reply, now)

    # Our 2xx until its ACK

    def _send_2xx(self, transaction: ServerTransaction, sdp: SessionDescription, now: float) -> None:
        local_tag = self.dialog.local.tag if self.dialog is not None else self._stack.new_tag()
        response = response_to(transaction.request, 200, tag=local_tag)
        for route in transaction.request.headers.get_all("Record-Route"):
            response.headers.add("Record-Route", route)
        response.headers.add("Contact", self._stack.contact)
        response.headers.add("Allow", ALLOW)
        response.headers.add("Content-Type", CONTENT_TYPE)
        response.body = sdp.to_bytes()
        self._server = transaction
        self._answer = response
        self.local_sdp = sdp
        self._stack.respond(transaction, response, now)
        self._answer_interval = self._stack.timers.t1
        self._timers.start("2xx", now + self._answer_interval)  # over TCP too: section 13.3.1.4
        self._timers.start("ack", now + self._stack.timers.timeout)

    def _repeat_answer(self, now: float) -> None:
        if self._server is None or self._answer is None or self._server.state is not State.ACCEPTED:
            return
        self._stack.respond(self._server, self._answer, now)
        self._answer_interval = min(2 * self._answer_interval, self._stack.timers.t2)
        self._timers.start("2xx", now + self._answer_interval)

    def _ack_missing(self, now: float) -> None:
        self._hang_up("no ACK", By.TIMEOUT, now)

    # Our re-INVITE

    def _send_reinvite(self, now: float) -> None:
        if self.dialog is None or self._offer is None:
            raise LocalProtocolError("no dialog, or nothing to offer")
        request = self.dialog.build("INVITE")
        request.headers.add("Contact", self._stack.contact)
        request.headers.add("Allow", ALLOW)
        request.headers.add("Content-Type", CONTENT_TYPE)
        request.body = self._offer.to_bytes()
        self._reinvite = self._send(request, now)

    def _on_reinvite_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 300:
            self._acknowledge_reinvite(transaction, response, now)
            return
        if transaction is not self._reinvite:
            return
        self._reinvite = None
        if self.state is not CallState.ESTABLISHED:
            return
        if self._challenged(response):
            self._send_reinvite(now)
        elif response.status == 491 and self._glares < MAX_GLARE:
            self._glares += 1
            self._timers.start("glare", now + self._glare_delay())
        else:
            self._offer = None
            self._emit(ReofferRefused(self.call, response.status))
            if response.status in (408, 481):  # section 12.2.1.2
                self._hang_up("dialog gone", By.REMOTE, now)

    def _acknowledge_reinvite(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if self.dialog is None:
            return
        number = transaction.request.cseq.number
        key = (response.to.tag, number)
        if key in self._acks:
            self._stack.outbox.append(self._acks[key])
            return
        if transaction is self._reinvite:
            self.dialog.refresh_target(response)
        self._send_ack(self.dialog, number, response.to.tag, transaction.request)
        if transaction is not self._reinvite:
            return
        self._reinvite = None
        self._auth.accepted()
        if self.state is not CallState.ESTABLISHED:
            return
        try:
            sdp = sdp_of(response)
        except RemoteProtocolError:
            sdp = None
        if sdp is None:
            self._offer = None
            self._emit(ReofferRefused(self.call, 488))
            self._hang_up("answer without session description", By.LOCAL, now)
            return
        self.local_sdp, self.remote_sdp, self._offer = self._offer, sdp, None
        self._emit(ReofferAnswered(self.call, sdp))

    def _glare_delay(self) -> float:
        """RFC 3261 section 14.1: 2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other; units of 10 ms."""
        drawn = int(self._stack.random(3), 16)
        return 2.1 + drawn % 191 / 100 if self._owns_call_id else drawn % 201 / 100

    def _retry_reinvite(self, now: float) -> None:
        if self.state is not CallState.ESTABLISHED:
            return
        if self._server is not None:  # the peer's is open: let it be done first
            self._timers.start("glare", now + self._glare_delay() + 0.1)
            return
        self._send_reinvite(now)

    def _overtaken(self) -> None:
        """The peer's re-INVITE came while ours was waiting for another try: theirs counts."""
        if self._timers.running("glare"):
            self._timers.stop("glare")
            self._offer = None
            self._emit(ReofferRefused(self.call, 491))

    # Goodbye

    def _hang_up(self, why: str, by: By, now: float) -> None:
        if self.dialog is None or self.state in (CallState.ENDING, CallState.ENDED):
            return
        if self.state is CallState.ANSWERED:
            self._acknowledge(now)
        if self._server is not None and self._answer is None:
            self._stack.reply(self._server.request, self._server, 487, now)
        self._server = None
        self._answer = None
        self._timers.clear()
        self.state = CallState.ENDING
        self._bye_why, self._bye_by = why, by
        self._send(self.dialog.build("BYE"), now)

    def _on_bye_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if self.state is not CallState.ENDING or self.dialog is None:
            return
        if self._challenged(response):
            self._send(self.dialog.build("BYE"), now)
            return
        self._finish(Ended(self.call, self._bye_by, self._bye_why))

    def _finish(self, event: Event) -> None:
        """The last event of the call."""
        self._timers.clear()
        if self.state is not CallState.ENDED:
            self._forget()
            self._emit(event)

    def _forget(self) -> None:
        self._timers.clear()
        self.state = CallState.ENDED
        self._stack.finished.append(self.key)

    # Bits

    def _acknowledge(self, now: float) -> None:
        """Send the ACK of the answer; the calling side fills this in."""

    def _send(self, request: Request, now: float) -> ClientTransaction:
        if self.dialog is None:
            raise LocalProtocolError("no dialog")
        for name, value in self._auth.headers(request.method, request.uri, request.body):
            request.headers.add(name, value)
        return self._stack.send_request(request, self.dialog.next_hop, self, now)

    def _send_ack(self, dialog: Dialog, number: int, tag: str, invite: Request) -> None:
        """Send the ACK of a 2xx and keep it for repeated 2xx; it bears the INVITE's credentials (section 22.1)."""
        if len(self._acks) >= MAX_FORKS:
            self._acks.pop(next(iter(self._acks)))
        ack = dialog.build_ack(number)
        for name in ("Authorization", "Proxy-Authorization"):
            for value in invite.headers.get_all(name):
                ack.headers.add(name, value)
        self._acks[tag, number] = (self._stack.send_ack(ack, dialog.next_hop), dialog.next_hop)

    def _challenged(self, response: Response) -> bool:
        """Whether the request should go out again with credentials."""
        return response.status in (401, 407) and self._auth.challenged(response.status, challenges_of(response))

    def _emit(self, event: Event) -> None:
        self._stack.emit(event)


def call_name(call_id: str, local_tag: str) -> CallId:
    """The name of a call within its agent."""
    return CallId(f"{call_id}/{local_tag}")


def sdp_of(message: Request | Response) -> SessionDescription | None:
    """The session description in a body, also as a part of multipart (SIP-I); None without a body.

    Raises:
        RemoteProtocolError: 415 if the body is something else, 400 if it cannot be read.
    """
    if not message.body:
        return None
    if message.content_type == CONTENT_TYPE:
        return SessionDescription.parse(message.body)
    if message.content_type.startswith("multipart/"):
        part = _sdp_part(message)
        if part is not None:
            return SessionDescription.parse(part)
    raise RemoteProtocolError("body is no session description", 415)


def _sdp_part(message: Request | Response) -> bytes | None:
    parameters = (message.headers.get("Content-Type") or "").split(";")[1:]
    values = [value.strip().strip('"') for name, _, value in (p.partition("=") for p in parameters)
              if name.strip().lower() == "boundary"]  # fmt: skip
    if not values or not values[0]:
        return None
    for part in message.body.split(b"--" + values[0].encode("utf-8", "surrogateescape"))[1:]:
        head, _, body = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        if b"application/sdp" in head.lower():
            return body
    return None


def causes_of(message: Request | Response) -> tuple[Cause, ...]:
    """The Reason values that can be read (RFC 3326), texts cleaned."""
    causes = []
    try:
        values = message.headers.values("Reason")
    except RemoteProtocolError:
        return ()
    for value in values[:MAX_CAUSES]:
        try:
            cause = Cause.parse(value)
        except RemoteProtocolError:
            continue
        causes.append(Cause(clean_text(cause.protocol, 20), cause.code, clean_text(cause.text)))
    return tuple(causes)


def challenges_of(response: Response) -> list[str]:
    """The challenges of a 401 or 407, one per field."""
    return response.headers.get_all("WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate")
