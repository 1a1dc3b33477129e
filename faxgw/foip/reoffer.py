"""How the session within a call changes, and how it is kept alive: re-INVITE, UPDATE, session timer.

RFC 3261 section 14 with its glare, RFC 3311 (UPDATE), RFC 4028 (refreshes). A re-INVITE or UPDATE of the peer that
changes no media is a refresh and answered here; our user learns only of changes. We ourselves change the session by
re-INVITE alone and refresh it by UPDATE where the peer takes it, else by a re-INVITE with the same description.
"""

from __future__ import annotations

from dataclasses import replace

from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import By, MediaMoved, ReofferAnswered, Reoffered, ReofferRefused
from faxgw.foip.message import Request, Response, response_to
from faxgw.foip.options import SUPPORTED, lists
from faxgw.foip.refusal import Refusal, retry_after_of
from faxgw.foip.sdp import CONTENT_TYPE, MediaLine, SessionDescription, same_media
from faxgw.foip.session import CallState, Session, sdp_of
from faxgw.foip.session_timer import SessionTimer, Terms
from faxgw.foip.stack import ALLOW, Stack
from faxgw.foip.transaction import ClientTransaction, InviteServer, ServerTransaction, State

MAX_GLARE = 4
"""How often a re-INVITE is tried again after 491, or 500 with Retry-After."""
REOFFER_LIMIT = 20.0
"""Seconds our user has to answer a re-INVITE or UPDATE before it is refused for it."""
REFRESH_AGAIN = 10.0
"""Seconds until a refresh that could not be sent, or that was refused, is tried again; the expiry bounds it."""
MAX_RETRY_AFTER = 10
"""Seconds a peer is told to wait at most with a request that came too early (section 14.2, RFC 3311 section 5.2)."""


class NegotiatedSession(Session):
    """A call whose session both sides may change; base of the two kinds of call."""

    def __init__(
        self, key: tuple[str, str], stack: Stack, state: CallState, owns_call_id: bool, credentials: Credentials | None
    ) -> None:
        super().__init__(key, stack, state, owns_call_id, credentials)
        self.local_sdp: SessionDescription | None = None
        """What we have last offered or answered with success."""
        self.remote_sdp: SessionDescription | None = None
        """The same of the peer."""
        self._session_timer = SessionTimer(stack.config.session_expires, stack.config.min_se)
        self._granted: Terms | None = None
        self._peer_takes_update = False
        self._reinvite: ClientTransaction | None = None
        self._refreshing = False
        """The open re-INVITE of ours is only a refresh."""
        self._offer: SessionDescription | None = None
        self._glares = 0
        self._update: ClientTransaction | None = None
        """Our UPDATE under way: a refresh."""
        self._server: ServerTransaction | None = None
        """The peer's INVITE or UPDATE that has no final response yet, or its INVITE without an ACK."""
        self._answer: Response | None = None
        """Our 2xx to its INVITE."""
        self._answer_interval = 0.0
        self._peer_offer: SessionDescription | None = None

    def _fire(self, name: str, now: float) -> None:
        if name == "2xx":
            self._repeat_answer(now)
        elif name == "ack":
            self._ack_missing(now)
        elif name == "glare":
            self._retry_reinvite(now)
        elif name == "reoffer":
            self.refuse_reinvite(488, now)
        elif name == "refresh":
            self._refresh(now)
        elif name == "expiry":  # RFC 4028 section 10
            self._hang_up("session expired", By.TIMEOUT, now)
        else:
            super()._fire(name, now)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take in a response to a request in the dialog."""
        if response.status < 200:
            return
        if transaction.request.method == "INVITE":
            self._on_reinvite_response(transaction, response, now)
        elif transaction.request.method == "UPDATE":
            self._on_update_response(transaction, response, now)
        else:
            super().on_response(transaction, response, now)

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """A re-INVITE that is never answered is refused by it; the call goes on, since its media may well flow.

        Section 12.2.1.2 would end the dialog. Some gateways ignore every re-INVITE and carry the fax on in audio; a
        peer that is gone is found by its silence on the media, or by the session timer's refresh.
        """
        if transaction is self._reinvite:
            self._on_reinvite_failed(Refusal(), status, now, answered=False)
        elif transaction is self._update:
            self._update = None
            self._refresh_refused(status, now)
        else:
            super().on_timeout(transaction, status, now)

    # Commands

    def reinvite(self, offer: SessionDescription, now: float) -> None:
        """Offer a changed session.

        Raises:
            LocalProtocolError: Before the call stands, or while another re-INVITE of either side is open.
        """
        if self.state is not CallState.ESTABLISHED or not self.may_reinvite:
            raise LocalProtocolError("no re-INVITE now")
        self._begin_reinvite(offer, now, refreshing=False)

    @property
    def may_reinvite(self) -> bool:
        """Whether no re-INVITE of either side, and no offer of the peer, is open (section 14.1)."""
        return self._reinvite is None and self._server is None and not self._timers.running("glare")

    def answer_reinvite(self, sdp: SessionDescription, now: float) -> None:
        """Accept what the peer offers, by re-INVITE or UPDATE.

        Raises:
            LocalProtocolError: If there is nothing.
        """
        if self._server is None or self._peer_offer is None or self.dialog is None:
            raise LocalProtocolError("no re-INVITE to answer")
        self.remote_sdp, self._peer_offer = self._peer_offer, None
        self._timers.stop("reoffer")
        self._grant(self._server, sdp, now)

    def refuse_reinvite(self, status: int, now: float) -> None:
        """Refuse what the peer offers; the session stays as it is (section 14.2).

        Raises:
            LocalProtocolError: If there is nothing.
        """
        if self._server is None or self._peer_offer is None:
            raise LocalProtocolError("no re-INVITE to refuse")
        server, self._server, self._peer_offer = self._server, None, None
        self._timers.stop("reoffer")
        self._stack.reply(server.request, server, status, now)

    # What the peer sends

    def on_ack(self, request: Request, now: float) -> None:
        """Take in the ACK of a 2xx of ours."""
        if self._answer is None or self._server is None or request.cseq.number != self._answer.cseq.number:
            return
        self._timers.stop("2xx", "ack")
        self._server = None
        self._answer = None

    def _on_other(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        if request.method == "INVITE" or request.method == "UPDATE":
            self._on_change(request, transaction, now)
        else:
            super()._on_other(request, transaction, now)

    def _on_change(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """A re-INVITE or UPDATE (section 14.2, RFC 3311 section 5.2, RFC 4028 section 9)."""
        bare = request.method == "UPDATE" and not request.body
        status = 0 if bare else self._obstacle()
        if status:
            self._send_back(request, transaction, status, now)
            return
        try:
            offer = sdp_of(request)
            granted = self._session_timer.grant(request)
        except RemoteProtocolError as exc:
            self._send_back(request, transaction, exc.status, now)
            return
        self._learn(request)
        if self.dialog is not None:
            self.dialog.refresh_target(request)
        if bare:
            self._apply(granted, now)
            self._stack.respond(transaction, self._accepting(request, granted), now)
            return
        self._granted = granted
        self._timers.stop("2xx", "ack")  # a new offer says that the last answer has arrived
        self._server, self._answer = transaction, None
        self._take_offer(offer, now)

    def _take_offer(self, offer: SessionDescription | None, now: float) -> None:
        """Answer a refresh at once; ask our user about a change."""
        server = self._server
        if server is None:
            return
        if self.local_sdp is not None and (offer is None or self._is_refresh(offer)):
            self._grant(server, self.local_sdp if offer is None else mirrored(self.local_sdp, offer), now)
        elif offer is None:
            self._server = None
            self._stack.reply(server.request, server, 488, now)
        else:
            self._overtaken()
            self._peer_offer = offer
            self._timers.start("reoffer", now + REOFFER_LIMIT)
            self._emit(Reoffered(self.call, offer))

    def _obstacle(self) -> int:
        """The status that refuses a change now: 500 with ours open, 491 with the peer's; 0: none."""
        if self.state is CallState.RINGING or (self._server is not None and self._answer is None):
            return 500
        return 491 if self._reinvite is not None or self.state is not CallState.ESTABLISHED else 0

    def _is_refresh(self, offer: SessionDescription) -> bool:
        return self.remote_sdp is not None and same_media(self.remote_sdp, offer)

    def _send_back(self, request: Request, transaction: ServerTransaction, status: int, now: float) -> None:
        """Refuse a change, and say what would help."""
        reply = response_to(request, status, tag=self._stack.new_tag())
        if status == 500:
            reply.headers.add("Retry-After", int(self._stack.random(2), 16) % (MAX_RETRY_AFTER + 1))
        elif status == 422:
            reply.headers.add("Min-SE", self._session_timer.min_se)
        elif status == 415:
            reply.headers.add("Accept", CONTENT_TYPE)
        self._stack.respond(transaction, reply, now)

    def _learn(self, message: Request | Response) -> None:
        """Keep in mind whether the peer takes UPDATE (RFC 3311 section 4); a message without Allow says nothing."""
        if "Allow" in message.headers:
            self._peer_takes_update = lists(message.headers, "Allow", "UPDATE")

    # Our 2xx until its ACK

    def _grant(self, transaction: ServerTransaction, sdp: SessionDescription, now: float) -> None:
        """Accept the peer's INVITE or UPDATE."""
        if isinstance(transaction, InviteServer):
            self._send_2xx(transaction, sdp, now)
            return
        response = self._accepting(transaction.request, self._granted)
        put_sdp(response, sdp)
        self._server = None
        self.local_sdp = sdp
        self._apply(self._granted, now)
        self._stack.respond(transaction, response, now)

    def _send_2xx(self, transaction: InviteServer, sdp: SessionDescription | None, now: float) -> None:
        """Send our 2xx; without a description when a reliable provisional response bore the answer already."""
        response = self._accepting(transaction.request, self._granted)
        for route in transaction.request.headers.get_all("Record-Route"):
            response.headers.add("Record-Route", route)
        if sdp is not None:
            put_sdp(response, sdp)
            self.local_sdp = sdp
        self._server, self._answer = transaction, response
        self._apply(self._granted, now)
        self._stack.respond(transaction, response, now)
        self._answer_interval = self._stack.timers.t1
        self._timers.start("2xx", now + self._answer_interval)  # over TCP too: section 13.3.1.4
        self._timers.start("ack", now + self._stack.timers.timeout)

    def _accepting(self, request: Request, granted: Terms | None) -> Response:
        """A 200 to a target refresh request, without a body."""
        tag = self.dialog.local.tag if self.dialog is not None else self._stack.new_tag()
        response = response_to(request, 200, tag=tag)
        response.headers.add("Contact", self._stack.contact)
        response.headers.add("Allow", ALLOW)
        response.headers.add("Supported", ", ".join(SUPPORTED))
        self._session_timer.write(response, granted)
        return response

    def _repeat_answer(self, now: float) -> None:
        if self._server is None or self._answer is None or self._server.state is not State.ACCEPTED:
            return
        self._stack.respond(self._server, self._answer, now)
        self._answer_interval = min(2 * self._answer_interval, self._stack.timers.t2)
        self._timers.start("2xx", now + self._answer_interval)

    def _ack_missing(self, now: float) -> None:
        self._hang_up("no ACK", By.TIMEOUT, now)

    # Our re-INVITE

    def _begin_reinvite(self, offer: SessionDescription, now: float, *, refreshing: bool) -> None:
        self._offer = offer
        self._refreshing = refreshing
        self._glares = 0
        self._send_reinvite(now)

    def _send_reinvite(self, now: float) -> None:
        if self.dialog is None or self._offer is None:
            raise LocalProtocolError("no dialog, or nothing to offer")
        request = self._refresh_request("INVITE")
        request.headers.add("Content-Type", CONTENT_TYPE)
        request.body = self._offer.to_bytes()
        self._reinvite = self._send(request, now)

    def _refresh_request(self, method: str) -> Request:
        """An INVITE or UPDATE in the dialog (RFC 4028 section 7.4), without a body."""
        if self.dialog is None:
            raise LocalProtocolError("no dialog")
        request = self.dialog.build(method)
        request.headers.add("Contact", self._stack.contact)
        request.headers.add("Allow", ALLOW)
        self._session_timer.ask(request.headers)
        return request

    def _on_reinvite_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status < 300:
            self._on_reinvite_accepted(transaction, response, now)
            return
        if transaction is not self._reinvite:
            return
        if self.state is not CallState.ESTABLISHED:
            self._reinvite = None
        elif self._challenged(response) or (response.status == 422 and self._session_timer.may_retry(response)):
            self._send_reinvite(now)
        elif (delay := self._delay_after(response)) is not None and self._glares < MAX_GLARE:
            self._reinvite = None
            self._glares += 1
            self._timers.start("glare", now + delay)
        else:
            self._on_reinvite_failed(Refusal.of(response), response.status, now, by=By.REMOTE)

    def _on_reinvite_failed(
        self, refusal: Refusal, status: int, now: float, by: By = By.TIMEOUT, *, answered: bool = True
    ) -> None:
        self._reinvite, self._offer = None, None
        if self.state is not CallState.ESTABLISHED:
            return
        if self._refreshing:
            self._refresh_refused(status, now, by)
            return
        self._emit(ReofferRefused(self.call, status, refusal.causes, refusal.retry_after, refusal.warnings))
        if answered and status in (408, 481):  # section 12.2.1.2
            self._hang_up("dialog gone", by, now)

    def _on_reinvite_accepted(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if self.dialog is None:
            return
        number = transaction.request.cseq.number
        key = (response.to.tag, number)
        if key in self._acks:
            self._stack.outbox.append(self._acks[key])
            return
        is_open = transaction is self._reinvite
        if is_open:
            self.dialog.refresh_target(response)
        self._send_ack(self.dialog, number, response.to.tag, transaction.request)
        if not is_open:
            return
        self._reinvite = None
        self._auth.accepted()
        if self.state is CallState.ESTABLISHED:
            self._learn(response)
            self._session_timer.confirm(response)
            self._rearm(now)
            self._take_answer(response, now)

    def _take_answer(self, response: Response, now: float) -> None:
        """The answer to the offer in our re-INVITE."""
        try:
            sdp = sdp_of(response)
        except RemoteProtocolError:
            sdp = None
        offered, self._offer = self._offer, None
        if sdp is None and self._refreshing:
            return  # against section 14.1, but nothing has changed
        if sdp is None:
            self._emit(ReofferRefused(self.call, 488))
            self._hang_up("answer without session description", By.LOCAL, now)
            return
        moved = not self._is_refresh(sdp)
        self.local_sdp, self.remote_sdp = offered, sdp
        if not self._refreshing:
            self._emit(ReofferAnswered(self.call, sdp))
        elif moved:
            self._emit(MediaMoved(self.call, sdp))

    def _delay_after(self, response: Response) -> float | None:
        """Seconds until a re-INVITE that came at a bad time is tried again; None: it was refused.

        491 is glare; a peer whose own offer waits for its user says 500 and when (sections 14.1, 14.2 and 21.5.1).
        """
        if response.status == 491:
            return self._glare_delay()
        after = retry_after_of(response) if response.status == 500 else None
        return None if after is None or after > MAX_RETRY_AFTER else after + 0.1

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
        if not self._timers.running("glare"):
            return
        self._timers.stop("glare")
        self._offer = None
        if not self._refreshing:
            self._emit(ReofferRefused(self.call, 491))

    # The session timer

    def _apply(self, granted: Terms | None, now: float) -> None:
        self._session_timer.terms = granted
        self._rearm(now)

    def _rearm(self, now: float) -> None:
        """The session was refreshed: everything begins anew (RFC 4028 section 10)."""
        self._timers.stop("refresh", "expiry")
        terms = self._session_timer.terms
        if terms is None:
            return
        self._timers.start("expiry", now + terms.bye_after)
        if terms.ours:
            self._timers.start("refresh", now + terms.refresh_after)

    def _refresh(self, now: float) -> None:
        """Half the interval is over (RFC 4028 section 7.4); another change that is open refreshes as well."""
        if self.state is not CallState.ESTABLISHED or not self.may_reinvite or self.local_sdp is None:
            self._timers.start("refresh", now + REFRESH_AGAIN)
        elif self._peer_takes_update:
            self._update = self._send(self._refresh_request("UPDATE"), now)
        else:
            self._begin_reinvite(self.local_sdp, now, refreshing=True)

    def _on_update_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if transaction is not self._update:
            return
        self._update = None
        if self.state is not CallState.ESTABLISHED:
            return
        if response.status < 300:
            self._auth.accepted()
            self._learn(response)
            if self.dialog is not None:
                self.dialog.refresh_target(response)
            self._session_timer.confirm(response)
            self._rearm(now)
        elif self._challenged(response) or (response.status == 422 and self._session_timer.may_retry(response)):
            self._update = self._send(self._refresh_request("UPDATE"), now)
        elif response.status in (405, 501):
            self._peer_takes_update = False
            self._refresh(now)
        else:
            self._refresh_refused(response.status, now, By.REMOTE)

    def _refresh_refused(self, status: int, now: float, by: By = By.TIMEOUT) -> None:
        """408 and 481 say that the dialog is gone; anything else is tried again until the expiry (section 10)."""
        if self.state is not CallState.ESTABLISHED:
            return
        if status in (408, 481):
            self._hang_up("dialog gone", by, now)
        elif self._session_timer.terms is not None:
            self._timers.start("refresh", now + REFRESH_AGAIN)

    # Goodbye

    def _refuse_open(self, now: float) -> None:
        if self._server is not None and self._answer is None:
            self._stack.reply(self._server.request, self._server, 487, now)
        self._server = None
        self._answer = None
        self._peer_offer = None


def mirrored(local: SessionDescription, offer: SessionDescription) -> SessionDescription:
    """Our present description as the answer to an offer that changes no media: line by line (RFC 3264 section 6)."""
    left = list(local.media)
    lines = []
    for wanted in offer.media:
        found = next((line for line in left if wanted.port and line.port and _same_kind(line, wanted)), None)
        if found is None:
            lines.append(MediaLine(wanted.media, 0, wanted.proto, wanted.formats))
        else:
            left.remove(found)
            lines.append(found)
    return local if tuple(lines) == local.media else replace(local, media=tuple(lines))


def _same_kind(first: MediaLine, second: MediaLine) -> bool:
    return first.media.lower() == second.media.lower() and first.proto.lower() == second.proto.lower()


def put_sdp(message: Response, sdp: SessionDescription) -> None:
    """Make a session description the body of a response."""
    message.headers.add("Content-Type", CONTENT_TYPE)
    message.body = sdp.to_bytes()
