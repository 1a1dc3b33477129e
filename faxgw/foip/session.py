"""A dialog from the first answer to BYE: what a call says and hears in it, whatever the session in it is.

RFC 3261 sections 12.2, 13.2.2.4 and 15. How the dialog came about is `foip.caller`'s and `foip.callee`'s business,
how the session in it changes `foip.reoffer`'s.
"""

from __future__ import annotations

import enum

from faxgw.foip.dialog import Dialog
from faxgw.foip.digest import Authenticator, Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import By, CallId, Ended, Event
from faxgw.foip.message import KNOWN_METHODS, Request, Response, response_to
from faxgw.foip.options import SUPPORTED
from faxgw.foip.refusal import causes_of
from faxgw.foip.sdp import CONTENT_TYPE, SessionDescription
from faxgw.foip.stack import ALLOW, Stack
from faxgw.foip.transaction import Address, ClientTransaction, ServerTransaction, Timers

MAX_FORKS = 8
"""Different dialogs of one INVITE that are kept or acknowledged at most."""
BYE_ATTEMPTS = 2
"""BYEs sent at most when the connection breaks under them; the shell opens another."""


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
    """What both sides of a call have in common once there is a dialog; by itself the goodbye of one."""

    def __init__(
        self, key: tuple[str, str], stack: Stack, state: CallState, owns_call_id: bool, credentials: Credentials | None
    ) -> None:
        self.key = key
        """Call-ID and our tag."""
        self.call = call_name(*key)
        self.state = state
        self.dialog: Dialog | None = None
        self._stack = stack
        self._timers = Timers()
        self._auth = Authenticator(credentials, stack.random)
        self._owns_call_id = owns_call_id
        self._acks: dict[tuple[str, int], tuple[bytes, Address]] = {}
        self._bye_why = "bye"
        self._bye_by = By.LOCAL
        self._byes = 0

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
        """Fire due timers."""
        for name in self._timers.due(now):
            self._fire(name, now)

    def _fire(self, name: str, now: float) -> None:
        """One timer is due; each layer knows its own."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take in a response to a request in the dialog."""
        if response.status >= 200 and transaction.request.method == "BYE":
            self._on_bye_response(response, now)

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """A request in the dialog was never answered, or nothing reaches the peer (503)."""
        if transaction.request.method != "BYE" or self.state is not CallState.ENDING:
            return
        if status == 503 and self._stack.timers.reliable and self._byes < BYE_ATTEMPTS:
            self._send_bye(now)
        else:
            self._finish(Ended(self.call, self._bye_by, self._bye_why))

    # Commands

    def bye(self, now: float) -> None:
        """Hang up. In ANSWERED the 2xx is acknowledged first (section 13.2.2.4).

        Raises:
            LocalProtocolError: Without a dialog, or when the call is over.
        """
        if self.state not in (CallState.ANSWERED, CallState.ACCEPTED, CallState.ESTABLISHED):
            raise LocalProtocolError(f"no BYE in state {self.state.value}")
        self._hang_up("bye", By.LOCAL, now)

    def lose(self, now: float) -> None:
        """The peer and we no longer agree on the session: hang up, if the call stands at all."""
        if self.state is CallState.ESTABLISHED:
            self._hang_up("session lost", By.REMOTE, now)

    # What the peer sends

    def owns(self, request: Request) -> bool:
        """Whether a request belongs to a dialog of this call: Call-ID and both tags (section 12.2.2)."""
        return self.dialog is not None and self.dialog.matches(request)

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
        else:
            self._on_other(request, transaction, now)

    def on_ack(self, request: Request, now: float) -> None:
        """Take in an ACK of the dialog; without an INVITE of the peer's it means nothing."""

    def _on_bye(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        self._stack.reply(request, transaction, 200, now)
        self._refuse_open(now)
        if self.state is CallState.ANSWERED:
            self._acknowledge(now)  # stops the peer's 2xx
        self._finish(Ended(self.call, By.REMOTE, "bye", causes_of(request)))

    def _on_other(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """OPTIONS and INFO without a body are granted; the rest has no meaning for a fax (section 12.2.2)."""
        status = {
            "OPTIONS": 200,
            "INFO": 415 if request.body else 200,  # RFC 6086 section 4.2.2
            "NOTIFY": 481,  # RFC 6665 section 4.1.3: no subscription
            "PRACK": 481,  # RFC 3262 section 3: nothing it could mean
        }.get(request.method, 405 if request.method in KNOWN_METHODS else 501)  # RFC 3261 section 8.2.1
        reply = response_to(request, status, tag=self._stack.new_tag())
        if status == 405 or request.method == "OPTIONS":
            reply.headers.add("Allow", ALLOW)
        if request.method == "OPTIONS":
            reply.headers.add("Accept", CONTENT_TYPE)
            reply.headers.add("Supported", ", ".join(SUPPORTED))
        if status == 415:
            reply.headers.add("Accept", "")  # RFC 6086 section 4.2.2: no body at all
        self._stack.respond(transaction, reply, now)

    # Goodbye

    def _hang_up(self, why: str, by: By, now: float) -> None:
        if self.dialog is None or self.state in (CallState.ENDING, CallState.ENDED):
            return
        if self.state is CallState.ANSWERED:
            self._acknowledge(now)
        self._refuse_open(now)
        self._timers.clear()
        self.state = CallState.ENDING
        self._bye_why, self._bye_by = why, by
        self._send_bye(now)

    def _send_bye(self, now: float) -> None:
        if self.dialog is not None:
            self._byes += 1
            self._send(self.dialog.build("BYE"), now)

    def _on_bye_response(self, response: Response, now: float) -> None:
        if self.state is not CallState.ENDING:
            return
        if self._challenged(response):
            self._send_bye(now)
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

    # What a layer above fills in

    def _acknowledge(self, now: float) -> None:
        """Send the ACK of the answer; the calling side fills this in."""

    def _refuse_open(self, now: float) -> None:
        """Refuse what the peer has asked and nobody has answered: the dialog ends (section 15.1.2)."""

    # Bits

    def _send(self, request: Request, now: float, dialog: Dialog | None = None) -> ClientTransaction:
        """Send a request in the dialog, or in an early one of it, with what challenges have asked for."""
        found = dialog or self.dialog
        if found is None:
            raise LocalProtocolError("no dialog")
        request.headers.set("Supported", ", ".join(SUPPORTED))
        for name, value in self._auth.headers(request.method, request.uri, request.body):
            request.headers.add(name, value)
        return self._stack.send_request(request, found.next_hop, self, now)

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


def readable_sdp(message: Request | Response) -> SessionDescription | None:
    """The session description in a body; None also if there is none that can be read."""
    try:
        return sdp_of(message)
    except RemoteProtocolError:
        return None


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


def challenges_of(response: Response) -> list[str]:
    """The challenges of a 401 or 407, one per field."""
    return response.headers.get_all("WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate")
