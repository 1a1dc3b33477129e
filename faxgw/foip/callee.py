"""A call somebody places to us: ringing, also reliably, the answer, and what may cross it.

RFC 3261 sections 9.2, 13.3 and 15, RFC 3262 sections 3 and 5. Provisional responses are reliable where the caller
requires it, and where they bear an answer of ours and the caller can take it so.
"""

from __future__ import annotations

from faxgw.foip.dialog import Dialog
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import Acknowledged, By, Ended, IncomingCall
from faxgw.foip.message import Request, Response, clean_text, response_to
from faxgw.foip.options import RELIABLE, lists
from faxgw.foip.refusal import causes_of
from faxgw.foip.reliable import MAX_FIRST, ReliableResponse
from faxgw.foip.reoffer import NegotiatedSession, put_sdp
from faxgw.foip.sdp import SessionDescription
from faxgw.foip.session import CallState, readable_sdp, sdp_of
from faxgw.foip.stack import ALLOW, Stack
from faxgw.foip.transaction import Address, InviteServer, ServerTransaction
from faxgw.foip.uri import SipUri, Uri

RING_LIMIT = 180.0
"""Seconds our user has to answer or reject an incoming call (the proxies' timer C, section 16.6)."""


class IncomingCallLeg(NegotiatedSession):
    """A call somebody places to us."""

    def __init__(self, stack: Stack, transaction: InviteServer, local_tag: str) -> None:
        request = transaction.request
        super().__init__((request.call_id, local_tag), stack, CallState.RINGING, False, None)
        self._tag = local_tag
        self._invite = transaction
        self._rseq = 1 + int(stack.random(4), 16) % MAX_FIRST  # RFC 3262 section 3
        self._reliable: ReliableResponse | None = None
        """Our provisional response without a PRACK yet."""
        self._early_sdp: SessionDescription | None = None
        """The answer that a reliable provisional response bore."""
        self._held: SessionDescription | None = None
        """Our answer, which waits for a PRACK."""
        self._leaving = False
        """Our BYE waits for the ACK."""

    def start(self, source: Address, now: float) -> None:
        """Tell our user; 100 Trying goes out at once.

        Raises:
            RemoteProtocolError: If the body cannot be used (400, 415), the route is too long (513), or the session
                interval too small (422).
        """
        request = self._invite.request
        offer = sdp_of(request)
        self.dialog = Dialog.of_callee(request, self._tag, source)
        self._granted = self._session_timer.grant(request)
        self._learn(request)
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

    def ring(self, now: float, early: SessionDescription | None = None) -> None:
        """Send 180, or 183 with an early answer.

        Nothing is sent while an earlier one waits for its PRACK (RFC 3262 section 3), and none to a caller that
        wants all of them reliable and made no offer: the first one would have to bear ours (section 5).

        Raises:
            LocalProtocolError: After a final response, or with an early answer the caller cannot take reliably.
        """
        self._check_ringing()
        request = self._invite.request
        required = lists(request.headers, "Require", RELIABLE)
        if early is not None and not (
            self._peer_offer is not None and (required or lists(request.headers, "Supported", RELIABLE))
        ):
            raise LocalProtocolError("no early answer without an offer and PRACK")
        if self._reliable is not None or (required and self._peer_offer is None):
            return
        response = self._provisional(180 if early is None else 183)
        if early is not None:
            put_sdp(response, early)
            self._early_sdp = early
        if required or early is not None:
            self._reliable = ReliableResponse(response, self._rseq, now, self._stack.timers.t1)
            self._rseq += 1
            self._arm_reliable()
        self._stack.respond(self._invite, response, now)

    def answer(self, sdp: SessionDescription, now: float) -> None:
        """Send 200 with our answer, or our offer if the peer made none.

        It waits for the PRACK of a provisional response that bears a session description (RFC 3262 section 3), and
        after one it bears none of its own: the early answer stands (section 5).

        Raises:
            LocalProtocolError: After a final response.
        """
        self._check_ringing()
        self._timers.stop("ring")
        if self._reliable is not None and self._reliable.holds_2xx:
            self._held = sdp
        else:
            self._accept(sdp, now)

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

    def bye(self, now: float) -> None:
        """Hang up; before the ACK of our 2xx the BYE is held back until it comes or 64·T1 are over (section 15).

        Raises:
            LocalProtocolError: Before our answer, or when the call is over.
        """
        if self.state is CallState.RINGING and self._held is not None:
            self._refuse_invite(480, now)
            self._finish(Ended(self.call, By.LOCAL, "bye"))
        elif self.state is CallState.ACCEPTED and self._answer is not None:
            self._leaving = True
        else:
            super().bye(now)

    # What the caller sends

    def on_cancel(self, cancel: Request, now: float) -> None:
        """The caller gives up; too late after a final response (section 9.2)."""
        if self.state is CallState.RINGING:
            self._refuse_invite(487, now)
            self._finish(Ended(self.call, By.REMOTE, "cancel", causes_of(cancel)))

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK of the first answer makes the call stand, or lets our BYE go."""
        first = self.state is CallState.ACCEPTED and self._server is not None
        super().on_ack(request, now)
        if not first or self._server is not None:
            return
        self.state = CallState.ESTABLISHED
        sdp = readable_sdp(request)
        if sdp is not None and self.remote_sdp is None:
            self.remote_sdp = sdp
        if self._leaving:
            self._hang_up("bye", By.LOCAL, now)
        else:
            self._emit(Acknowledged(self.call, sdp))

    def _on_other(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if request.method == "PRACK":
            self._on_prack(request, transaction, now)
        else:
            super()._on_other(request, transaction, now)

    def _on_prack(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """RFC 3262 section 3: 481 unless it means the provisional response that waits; then what waited may go."""
        try:
            meant = self._reliable is not None and self._reliable.is_acknowledged_by(request)
        except RemoteProtocolError as exc:
            self._stack.reply(request, transaction, exc.status, now)
            return
        if not meant:
            self._stack.reply(request, transaction, 481, now)
            return
        self._reliable = None
        self._timers.stop("reliable", "prack")
        # A further offer in a PRACK is not for a fax that is not there yet (RFC 3262 section 5).
        self._stack.reply(request, transaction, 488 if request.body else 200, now)
        held, self._held = self._held, None
        if held is not None and self.state is CallState.RINGING:
            self._accept(held, now)

    # Bits

    def _fire(self, name: str, now: float) -> None:
        if name == "ring":
            self._refuse_invite(480, now)
            self._finish(Ended(self.call, By.TIMEOUT, "not answered"))
        elif name == "reliable":
            self._repeat_provisional(now)
        elif name == "prack":  # RFC 3262 section 3: 64·T1 without a PRACK
            if self.state is CallState.RINGING:
                self._refuse_invite(504, now)
                self._finish(Ended(self.call, By.TIMEOUT, "no PRACK"))
        else:
            super()._fire(name, now)

    def _accept(self, sdp: SessionDescription, now: float) -> None:
        self.remote_sdp, self._peer_offer = self._peer_offer, None
        self._timers.stop("reliable", "prack")  # a PRACK may still come
        self.state = CallState.ACCEPTED
        if self._early_sdp is not None:
            self.local_sdp = self._early_sdp
        self._send_2xx(self._invite, None if self._early_sdp is not None else sdp, now)

    def _arm_reliable(self) -> None:
        if self._reliable is not None:
            self._timers.start("reliable", self._reliable.repeat_at)
            self._timers.start("prack", self._reliable.give_up_at)

    def _repeat_provisional(self, now: float) -> None:
        if self._reliable is not None and self.state is CallState.RINGING:
            self._stack.respond(self._invite, self._reliable.response, now)
            self._reliable.repeated()
            self._arm_reliable()

    def _refuse_invite(self, status: int, now: float) -> None:
        self._stack.respond(self._invite, response_to(self._invite.request, status, tag=self._tag), now)

    def _refuse_open(self, now: float) -> None:
        if self.state is CallState.RINGING:  # a BYE in the early dialog (section 15.1.2)
            self._refuse_invite(487, now)
        super()._refuse_open(now)

    def _ack_missing(self, now: float) -> None:
        if self._leaving:
            self._hang_up("bye", By.LOCAL, now)
        else:
            super()._ack_missing(now)

    def _check_ringing(self) -> None:
        if self.state is not CallState.RINGING or self._held is not None:
            raise LocalProtocolError(f"no response to the INVITE in state {self.state.value}")

    def _provisional(self, status: int) -> Response:
        """A provisional response that makes an early dialog (section 12.1.1)."""
        response = response_to(self._invite.request, status, tag=self._tag)
        for route in self._invite.request.headers.get_all("Record-Route"):
            response.headers.add("Record-Route", route)
        response.headers.add("Contact", self._stack.contact)
        response.headers.add("Allow", ALLOW)
        return response


def _user(uri: Uri) -> str:
    return uri.username if isinstance(uri, SipUri) else uri.opaque
