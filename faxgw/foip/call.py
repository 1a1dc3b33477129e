"""How a call comes about: the caller's side with challenges, forks and CANCEL, and the called side.

RFC 3261 sections 9, 13 and 22; what follows once there is a dialog is in `foip.session`.
"""

from __future__ import annotations

from faxgw.foip.dialog import Dialog
from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import (
    Acknowledged,
    Answered,
    By,
    CallIdentity,
    Ended,
    Event,
    IncomingCall,
    Provisional,
    Rejected,
)
from faxgw.foip.headers import NameAddr, parse_seconds
from faxgw.foip.message import REASONS, Headers, Request, Response, clean_text, response_to
from faxgw.foip.sdp import CONTENT_TYPE, SessionDescription
from faxgw.foip.session import ANSWER_LIMIT, MAX_FORKS, CallState, Session, causes_of, sdp_of
from faxgw.foip.stack import ALLOW, Stack
from faxgw.foip.transaction import Address, ClientTransaction, InviteClient, InviteServer
from faxgw.foip.uri import SipUri, Uri

MAX_ATTEMPTS = 5
"""INVITEs of one call at most: the first and those with credentials."""
RING_LIMIT = 180.0
"""Seconds our user has to answer or reject an incoming call (the proxies' timer C, section 16.6)."""
CSEQ_MARGIN = 100
"""What a later process adds to the stored CSeq: more than any call sends requests in its dialog."""


class OutgoingCall(Session):
    """A call we place."""

    def __init__(
        self,
        identity: CallIdentity,
        stack: Stack,
        request: Request,
        destination: Address,
        credentials: Credentials | None,
    ) -> None:
        super().__init__((identity.call_id, identity.from_tag), stack, CallState.CALLING, True, credentials)
        self._identity = identity
        self._template = request
        self._destination = destination
        self._attempt = 0
        self._invite: InviteClient | None = None
        self._cancel_sent = False
        self._forks: dict[str, Farewell] = {}
        self._credentials = credentials

    def start(self, offer: SessionDescription, now: float) -> None:
        """Send the INVITE."""
        self._offer = offer
        self._send_invite(now)

    def acknowledge(self, now: float) -> None:
        """Send the ACK: the call stands.

        Raises:
            LocalProtocolError: Unless the call was answered and not yet acknowledged.
        """
        if self.state is not CallState.ANSWERED:
            raise LocalProtocolError(f"no ACK in state {self.state.value}")
        self._acknowledge(now)
        self._timers.stop("unacknowledged")
        self.state = CallState.ESTABLISHED

    def cancel(self, now: float) -> None:
        """Give up before an answer. The CANCEL waits for a provisional response (section 9.1).

        Raises:
            LocalProtocolError: If there was a final response.
        """
        if self.state is CallState.CANCELLING:
            return
        if self.state is not CallState.CALLING:
            raise LocalProtocolError(f"no CANCEL in state {self.state.value}")
        self.state = CallState.CANCELLING
        self._try_cancel(now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take in a response to the INVITE, or leave it to the session."""
        if transaction.request.method == "CANCEL":
            return  # whatever it says, the INVITE's own final response counts (section 9.1)
        if not self._is_first_invite(transaction):
            super().on_response(transaction, response, now)
        elif response.status < 200:
            self._on_provisional(response, now)
        elif response.status < 300:
            self._on_2xx(transaction.request, response, now)
        elif transaction is self._invite:
            self._on_refusal(response, now)

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """Nobody answered the INVITE, or the session's business."""
        if transaction.request.method == "CANCEL":
            return
        if not self._is_first_invite(transaction):
            super().on_timeout(transaction, status, now)
        elif self.state is CallState.CANCELLING:
            self._finish(Ended(self.call, By.LOCAL, "cancel"))
        elif self.state is CallState.CALLING:
            self._finish(Rejected(self.call, status, REASONS[status], local=True))

    def _fire(self, name: str, now: float) -> None:
        if name == "cancelled" and self._invite is not None:  # 64·T1 after CANCEL: given up (section 9.1)
            self._stack.abandon(self._invite)
            self._finish(Ended(self.call, By.LOCAL, "cancel"))
        else:
            super()._fire(name, now)

    def _is_first_invite(self, transaction: ClientTransaction) -> bool:
        """Whether it is an INVITE without To tag: the one that began the call, not one in its dialog."""
        return transaction.request.method == "INVITE" and not transaction.request.to.tag

    def _send_invite(self, now: float) -> None:
        if self._offer is None:
            raise LocalProtocolError("nothing to offer")
        identity, number = self._identity, self._attempt
        request = Request("INVITE", self._template.uri, self._template.headers.copy(), self._offer.to_bytes())
        request.headers.set("CSeq", f"{identity.cseq + number} INVITE")
        for name, value in self._auth.headers("INVITE", request.uri, request.body):
            request.headers.add(name, value)
        branch = branch_of(identity, number)
        transaction = self._stack.send_request(request, self._destination, self, now, branch)
        if isinstance(transaction, InviteClient):
            self._invite = transaction

    def _on_provisional(self, response: Response, now: float) -> None:
        if self.state is CallState.CANCELLING:
            self._try_cancel(now)
        elif self.state is CallState.CALLING and response.status > 100:
            self._emit(Provisional(self.call, response.status, _readable_sdp(response)))

    def _on_2xx(self, invite: Request, response: Response, now: float) -> None:
        tag, number = response.to.tag, invite.cseq.number
        if (tag, number) in self._acks:
            self._stack.outbox.append(self._acks[tag, number])
            return
        if self.dialog is not None and self.dialog.remote.tag == tag:
            return  # a repetition while our user commits
        try:
            dialog = Dialog.of_caller(invite, response, self._destination)
        except RemoteProtocolError as exc:  # cannot be talked to; the peer gives up by itself after 64·T1
            if self.state in (CallState.CALLING, CallState.CANCELLING):
                self._finish(Rejected(self.call, exc.status, "answer that makes no dialog", local=True))
            return
        if self.state is CallState.CALLING:
            self.dialog = dialog
            self.local_sdp, self._offer = self._offer, None
            self.remote_sdp = _readable_sdp(response)
            self.state = CallState.ANSWERED
            self._auth.accepted()
            self._timers.start("unacknowledged", now + ANSWER_LIMIT)
            self._emit(Answered(self.call, self.remote_sdp, dialog.record()))
        elif self.state is CallState.CANCELLING:
            self.dialog = dialog
            self.state = CallState.ANSWERED
            self._hang_up("cancel", By.LOCAL, now)
        else:
            self._reject_fork(dialog, invite, now)

    def _reject_fork(self, dialog: Dialog, invite: Request, now: float) -> None:
        """Another leg of a fork, or an answer after the end: ACK and BYE, never media (spine section 5)."""
        if dialog.remote.tag in self._forks:
            self._forks[dialog.remote.tag].on_2xx(dialog.remote.tag, invite.cseq.number)
        elif len(self._forks) < MAX_FORKS:
            self._forks[dialog.remote.tag] = Farewell(self._stack, dialog, self._credentials)
            self._forks[dialog.remote.tag].start(now, invite)

    def _on_refusal(self, response: Response, now: float) -> None:
        if self.state is CallState.CALLING and self._attempt + 1 < MAX_ATTEMPTS and self._challenged(response):
            self._attempt += 1
            self._send_invite(now)
        elif self.state is CallState.CALLING:
            reason = clean_text(response.reason)
            self._finish(
                Rejected(self.call, response.status, reason, causes_of(response), retry_after=_retry_after(response))
            )
        elif self.state is CallState.CANCELLING:
            self._finish(Ended(self.call, By.LOCAL, "cancel", causes_of(response)))

    def _try_cancel(self, now: float) -> None:
        if self._cancel_sent or self._invite is None:
            return
        try:
            cancel = self._invite.build_cancel()
        except LocalProtocolError:
            return  # no provisional response yet; timer B bounds the wait
        self._cancel_sent = True
        self._stack.send_cancel(cancel, self._destination, self, now)
        self._timers.start("cancelled", now + self._stack.timers.timeout)

    def _acknowledge(self, now: float) -> None:
        if self.dialog is not None and self._invite is not None:
            self._send_ack(self.dialog, self.dialog.invite_seq, self.dialog.remote.tag, self._invite.request)


class IncomingCallLeg(Session):
    """A call somebody places to us."""

    def __init__(self, stack: Stack, transaction: InviteServer, local_tag: str) -> None:
        request = transaction.request
        super().__init__((request.call_id, local_tag), stack, CallState.RINGING, False, None)
        self._tag = local_tag
        self._invite = transaction
        self._source = transaction.destination

    def start(self, source: Address, now: float) -> None:
        """Tell our user; 100 Trying goes out at once.

        Raises:
            RemoteProtocolError: If the body cannot be used (400, 415) or the route is too long.
        """
        request = self._invite.request
        offer = sdp_of(request)
        self.dialog = Dialog.of_callee(request, self._tag, source)
        self._peer_offer = offer
        self._stack.respond(self._invite, response_to(request, 100), now)
        self._timers.start("ring", now + RING_LIMIT)
        caller = request.from_
        headers = tuple((name, clean_text(value, 1000)) for name, value in request.headers)
        event = IncomingCall(
            self.call,
            clean_text(_user(request.request_uri)),
            clean_text(_user(caller.uri)),
            clean_text(caller.display),
            offer,
            source,
            headers,
        )
        self._emit(event)

    @property
    def local_tag(self) -> str:
        """Our tag."""
        return self._tag

    @property
    def invite(self) -> InviteServer:
        """The transaction of the first INVITE."""
        return self._invite

    def ring(self, now: float) -> None:
        """Send 180.

        Raises:
            LocalProtocolError: After a final response.
        """
        self._check_ringing()
        self._stack.respond(
            self._invite, self._with_contact(response_to(self._invite.request, 180, tag=self._tag)), now
        )

    def answer(self, sdp: SessionDescription, now: float) -> None:
        """Send 200 with our answer, or our offer if the peer made none.

        Raises:
            LocalProtocolError: After a final response.
        """
        self._check_ringing()
        self.remote_sdp, self._peer_offer = self._peer_offer, None
        self._timers.stop("ring")
        self.state = CallState.ACCEPTED
        self._send_2xx(self._invite, sdp, now)

    def reject(self, status: int, now: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Refuse the call; there is no further event.

        Raises:
            LocalProtocolError: After a final response, or if the status refuses nothing.
        """
        self._check_ringing()
        if status < 300:
            raise LocalProtocolError("not a refusal")
        response = response_to(self._invite.request, status, tag=self._tag)
        for name, value in headers:
            response.headers.add(name, value)
        self._stack.respond(self._invite, response, now)
        self._forget()

    def on_cancel(self, cancel: Request, now: float) -> None:
        """The caller gives up; too late after a final response (section 9.2)."""
        if self.state is CallState.RINGING:
            self._stack.respond(self._invite, response_to(self._invite.request, 487, tag=self._tag), now)
            self._finish(Ended(self.call, By.REMOTE, "cancel", causes_of(cancel)))

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK of the first answer makes the call stand."""
        first = self.state is CallState.ACCEPTED and self._server is not None
        super().on_ack(request, now)
        if first and self._server is None:
            self.state = CallState.ESTABLISHED
            sdp = _readable_sdp(request)
            if sdp is not None and self.remote_sdp is None:
                self.remote_sdp = sdp
            self._emit(Acknowledged(self.call, sdp))

    def _fire(self, name: str, now: float) -> None:
        if name == "ring":
            self._stack.respond(self._invite, response_to(self._invite.request, 480, tag=self._tag), now)
            self._finish(Ended(self.call, By.TIMEOUT, "not answered"))
        else:
            super()._fire(name, now)

    def _check_ringing(self) -> None:
        if self.state is not CallState.RINGING:
            raise LocalProtocolError(f"no response to the INVITE in state {self.state.value}")

    def _with_contact(self, response: Response) -> Response:
        for route in self._invite.request.headers.get_all("Record-Route"):
            response.headers.add("Record-Route", route)
        response.headers.add("Contact", self._stack.contact)
        return response


class Farewell(Session):
    """Says goodbye for a dialog that is nobody's: a fork's second leg, a forgotten call, one of an earlier process.

    Its end passes in silence, except for a call of an earlier process.
    """

    def __init__(
        self, stack: Stack, dialog: Dialog, credentials: Credentials | None = None, *, silent: bool = True
    ) -> None:
        key = (dialog.call_id, dialog.local.tag)
        super().__init__(key, stack, CallState.ESTABLISHED, True, credentials)
        self.dialog = dialog
        self._silent = silent

    def start(self, now: float, invite: Request | None = None) -> None:
        """Send BYE; before it the ACK of the 2xx, unless `invite` is None."""
        if invite is not None and self.dialog is not None:
            self._send_ack(self.dialog, invite.cseq.number, self.dialog.remote.tag, invite)
        self._hang_up("recovered", By.LOCAL, now)

    def on_2xx(self, tag: str, number: int) -> None:
        """The 2xx came again: so does its ACK."""
        if (tag, number) in self._acks:
            self._stack.outbox.append(self._acks[tag, number])

    def _emit(self, event: Event) -> None:
        if not self._silent:
            super()._emit(event)

    def _forget(self) -> None:
        self.state = CallState.ENDED  # it is in no table of calls


def new_invite(
    identity: CallIdentity,
    target: str,
    from_: NameAddr,
    to: NameAddr,
    contact: str,
    headers: tuple[tuple[str, str], ...],
) -> Request:
    """The INVITE of a call, without Via and body (section 8.1.1)."""
    fields = Headers(
        [("Max-Forwards", "70"), ("From", str(from_.tagged(identity.from_tag))), ("To", str(to.tagged("")))]
    )
    fields.add("Call-ID", identity.call_id)
    fields.add("CSeq", f"{identity.cseq} INVITE")
    fields.add("Contact", contact)
    fields.add("Allow", ALLOW)
    for name, value in headers:
        fields.add(name, value)
    fields.add("Content-Type", CONTENT_TYPE)
    return Request("INVITE", target, fields)


def branch_of(identity: CallIdentity, attempt: int) -> str:
    """The branch of the n-th INVITE of a call, so that a later process can name them all."""
    return identity.branch if attempt == 0 else f"{identity.branch}.{attempt}"


def _user(uri: Uri) -> str:
    return uri.username if isinstance(uri, SipUri) else uri.opaque


def _readable_sdp(message: Request | Response) -> SessionDescription | None:
    try:
        return sdp_of(message)
    except RemoteProtocolError:
        return None


def _retry_after(response: Response) -> int | None:
    value = response.headers.get("Retry-After")
    try:
        return None if value is None else parse_seconds(value)
    except RemoteProtocolError:
        return None
