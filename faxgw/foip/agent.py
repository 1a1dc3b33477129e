"""The user agent: octets and time in, octets and events out (RFC 3261 section 8).

Five verbs for the shell around it: `receive_datagram`, `get_timer`, `handle_timer`, `datagrams_to_send`,
`next_event`. All the rest are commands; each takes `now`, loop time in seconds. The agent never asks the time,
opens no socket and resolves no name. It acknowledges no 2xx by itself: the user commits first.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence

from faxgw.foip.call import new_invite
from faxgw.foip.callee import IncomingCallLeg
from faxgw.foip.caller import MAX_ATTEMPTS, MAX_RAISES, OutgoingCall, Redirect
from faxgw.foip.client import Exchanges, Sending
from faxgw.foip.dialog import DialogRecord
from faxgw.foip.digest import Authenticator, Credentials, Random
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from faxgw.foip.events import CallId, CallIdentity, Event
from faxgw.foip.headers import NameAddr
from faxgw.foip.inspection import check_content, check_extensions, mark_source, method_status, refusal
from faxgw.foip.message import Request, Response, check, parse, response_to
from faxgw.foip.options import SUPPORTED
from faxgw.foip.sdp import CONTENT_TYPE, SessionDescription
from faxgw.foip.stack import ALLOW, AgentConfig, Stack, Transport
from faxgw.foip.stranger import Strangers
from faxgw.foip.transaction import (
    Address,
    InviteServer,
    ServerTransaction,
    cancelled_key,
    server_key,
)

MAX_EVENTS = 100_000
"""Events nobody has fetched; beyond it datagrams are dropped: the shell has stopped."""

Screen = Callable[[Address], int | None]
"""Looks at where an INVITE for a new call came from: None lets it pass, a status refuses it, 0 leaves it unanswered."""


class UserAgent:
    """One listener's user agent, caller and called at once.

    Args:
        config: What it is called and where it is.
        random: Hexadecimal digits of so many random octets.
        screen: Asked before anything is kept of a call that somebody places; what it refuses is answered statelessly.
    """

    def __init__(
        self, config: AgentConfig, random: Random = secrets.token_hex, screen: Screen = lambda source: None
    ) -> None:
        self._screen = screen
        self.welcome: Callable[[Request], bool] = lambda request: False
        """Lets an INVITE pass whatever its source: it is for a contact that only our registrar knows."""
        self._stack = Stack(config, random)
        self._config = config
        self._calls: dict[CallId, OutgoingCall | IncomingCallLeg] = {}
        self._dialogs: dict[tuple[str, str], OutgoingCall | IncomingCallLeg] = {}
        self._ringing: dict[tuple[str, ...], IncomingCallLeg] = {}
        self._exchanges = Exchanges(self._stack)
        self._strangers = Strangers(self._stack)
        self._is_known = False
        """Whether the request at hand belongs to a call of ours, or its source was judged already."""

    # The five verbs

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take in one datagram. Never raises: what cannot be read is dropped, what is wrong is answered.

        Args:
            data: One datagram, or one message cut out of a stream.
            source: IP literal and port it came from.
            now: Loop time in seconds.
        """
        if not data.strip(b"\r\n\0 ") or len(self._stack.events) >= MAX_EVENTS:
            return  # keep-alive (RFC 5626 section 3.5.1), or nobody at home
        try:
            message = parse(data)
        except RemoteProtocolError:
            return
        if isinstance(message, Response):
            self._receive_response(message, source, now)
            return
        mark_source(message, source)
        self._is_known = False
        try:
            check(message)
            self._receive_request(message, source, now)
        except RemoteProtocolError as exc:
            if self._is_known or not self._is_flood(source):
                self._refuse(message, source, exc.status)
        except TooLarge:
            pass  # the answer would not fit a datagram: this request is nobody we know
        self._forget_ended()

    def refuse_broken(self, head: bytes, source: Address, status: int) -> None:
        """Answer a request whose end cannot be found in its stream (`foip.framing.Broken`), if its head can be read."""
        try:
            message = parse(head)
        except RemoteProtocolError:
            return
        if isinstance(message, Request):
            mark_source(message, source)
            self._refuse(message, source, status)

    def get_timer(self) -> float | None:
        """When `handle_timer` must be called at the latest, or None."""
        return self._stack.get_timer()

    def handle_timer(self, now: float) -> None:
        """Fire everything that is due at `now`."""
        self._stack.handle_timer(now)
        self._forget_ended()

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        """What is to be sent now, in this order; taken out by the call."""
        datagrams = self._stack.outbox[:]
        self._stack.outbox.clear()
        return datagrams

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self._stack.events.popleft() if self._stack.events else None

    def handle_transport_error(self, destination: Address, now: float) -> None:
        """A destination cannot be reached (ICMP, connection refused): its unanswered requests fail with 503."""
        self._stack.transport_failed(destination, now)
        self._forget_ended()

    # Calling

    @property
    def calls(self) -> int:
        """Calls in progress, both directions."""
        return len(self._calls)

    def new_identity(self) -> CallIdentity:
        """Draw what identifies a call on the wire. The caller commits it before `invite`."""
        random = self._stack.random
        cseq = 1 + int(random(2), 16)
        return CallIdentity(f"{random(12)}@{self._config.host}", self._stack.new_tag(), self._stack.new_branch(), cseq)

    def invite(
        self,
        identity: CallIdentity,
        target: str,
        destination: Address,
        offer: SessionDescription,
        *,
        from_: str,
        to: str = "",
        credentials: Credentials | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        route: Sequence[str] = (),
        redirect: Redirect | None = None,
        reliable: bool = True,
        now: float,
    ) -> CallId:
        """Place a call.

        Args:
            identity: From `new_identity`, committed.
            target: Request-URI.
            destination: Where to send it: IP literal and port.
            offer: What we offer.
            from_: From value (name-addr or URI) without a tag.
            to: To value; the target by default.
            credentials: For 401 and 407; without them a challenge is a refusal.
            headers: Further header fields (P-Asserted-Identity …).
            route: Preloaded Route values: an outbound proxy (section 8.1.2).
            redirect: Asked where the INVITE for a target of a 3xx may go; without it a 3xx is a refusal.
            reliable: Whether provisional responses may be reliable (RFC 3262).
            now: Loop time in seconds.

        Raises:
            LocalProtocolError: If an address is malformed, the identity is in use, or there are too many calls.
        """
        if len(self._calls) >= self._config.max_calls:
            raise LocalProtocolError("too many calls")
        request = self._invite_request(identity, target, from_, to, headers, route)
        call = OutgoingCall(identity, self._stack, request, destination, credentials, redirect, reliable=reliable)
        if call.call in self._calls:
            raise LocalProtocolError("identity in use")
        call.start(offer, now)
        self._calls[call.call] = call
        self._dialogs[identity.call_id, identity.from_tag] = call
        return call.call

    def acknowledge(self, call: CallId, now: float) -> None:
        """Acknowledge the answer: the call stands."""
        found = self._outgoing(call)
        found.acknowledge(now)
        self._stack.touch(found)

    def is_unanswered(self, call: CallId) -> bool:
        """Whether nothing at all has come back for the INVITE of a call of ours, not even 100."""
        return self._outgoing(call).is_unanswered

    def cancel(self, call: CallId, now: float) -> None:
        """Give up a call that is not answered; ends with Ended(LOCAL, "cancel"), also when an answer crosses it."""
        found = self._outgoing(call)
        found.cancel(now)
        self._stack.touch(found)
        self._forget_ended()

    def request(
        self,
        method: str,
        target: str,
        destination: Address,
        *,
        from_: str,
        to: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        credentials: Credentials | Authenticator | None = None,
        route: Sequence[str] = (),
        call_id: str = "",
        from_tag: str = "",
        cseq: int = 0,
        now: float,
    ) -> CallId:
        """Send a request outside any dialog (OPTIONS, REGISTER …): RequestDone follows. See `client.Sending`.

        Raises:
            LocalProtocolError: If an address is malformed, the name is in use, or there are too many.
        """
        sending = Sending(
            method, target, destination, from_, to, headers, body, route, call_id, from_tag, cseq, credentials
        )
        return self._exchanges.start(sending, now)

    def abandon(self, call: CallId) -> None:
        """Forget a request of `request`; no RequestDone follows."""
        self._exchanges.abandon(call)

    @property
    def stack(self) -> Stack:
        """What the calls stand on, for transaction users beside them (`foip.registration`)."""
        return self._stack

    # Being called

    def ring(self, call: CallId, now: float, early: SessionDescription | None = None) -> None:
        """Send 180 Ringing, or 183 with an early answer; repeated until its PRACK where the caller wants that."""
        found = self._incoming(call)
        found.ring(now, early)
        self._stack.touch(found)

    def answer(self, call: CallId, sdp: SessionDescription, now: float) -> None:
        """Send 200 OK; repeated until Acknowledged, or Ended(TIMEOUT) after 32 s."""
        found = self._incoming(call)
        found.answer(sdp, now)
        self._stack.touch(found)

    def dialog_of(self, call: CallId) -> DialogRecord:
        """The dialog that our answer will make, to be committed before it: `bye_stranger` can end it later."""
        found = self._incoming(call)
        if found.dialog is None:
            raise LocalProtocolError("no dialog")
        return found.dialog.record()

    def reject(self, call: CallId, status: int, now: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Refuse a call; no event follows."""
        self._incoming(call).reject(status, now, headers)
        self._forget_ended()

    # During the call

    def bye(self, call: CallId, now: float) -> None:
        """Hang up; Ended follows when the peer has answered, or after 32 s.

        Between our answer and its ACK the BYE is held back, for 32 s at most (RFC 3261 section 15).
        """
        found = self._find(call)
        found.bye(now)
        self._stack.touch(found)
        self._forget_ended()

    def reinvite(self, call: CallId, offer: SessionDescription, now: float) -> None:
        """Offer a changed session: ReofferAnswered, ReofferRefused or Ended follows. Glare is handled here."""
        found = self._find(call)
        found.reinvite(offer, now)
        self._stack.touch(found)

    def may_reinvite(self, call: CallId) -> bool:
        """Whether `reinvite` is allowed now: no re-INVITE of either side is open."""
        return self._find(call).may_reinvite

    def answer_reinvite(self, call: CallId, sdp: SessionDescription, now: float) -> None:
        """Accept the peer's re-INVITE."""
        found = self._find(call)
        found.answer_reinvite(sdp, now)
        self._stack.touch(found)

    def refuse_reinvite(self, call: CallId, status: int, now: float) -> None:
        """Refuse the peer's re-INVITE; the session stays as it is."""
        found = self._find(call)
        found.refuse_reinvite(status, now)
        self._stack.touch(found)

    # For calls of an earlier process

    def cancel_stranger(
        self,
        identity: CallIdentity,
        target: str,
        destination: Address,
        *,
        from_: str,
        to: str = "",
        with_credentials: bool = False,
        with_redirects: bool = False,
        route: Sequence[str] = (),
        now: float,
    ) -> CallId:
        """End a call that an earlier process has placed and that may be ringing.

        Sends CANCEL with the stored branch and those of the INVITEs after it (a longer session interval, and with
        credentials or redirections if there may have been any), acknowledges what comes of it, and says BYE if it is
        answered after all. What rings at the target of a redirection hears no CANCEL: its answer gets ACK and BYE.
        Ended follows after 64·T1 at most.
        """
        invite = self._invite_request(identity, target, from_, to, (), route)
        attempts = MAX_ATTEMPTS if with_credentials or with_redirects else 1 + MAX_RAISES
        return self._strangers.cancel(identity, invite, destination, attempts, now)

    def bye_stranger(self, record: DialogRecord, now: float, credentials: Credentials | None = None) -> CallId:
        """End a call that an earlier process had answered or been answered in: ACK, BYE, then Ended.

        Raises:
            LocalProtocolError: If the record is none of a dialog.
        """
        return self._strangers.bye(record, now, credentials)

    # Receiving

    def _receive_response(self, response: Response, source: Address, now: float) -> None:
        try:
            check(response)
            vias = response.vias
            if len(vias) != 1 or not self._stack.is_ours(vias[0]):
                return  # went astray (RFC 3261 sections 8.1.3.3 and 18.1.2)
            if not self._stack.receive_response(response, now):
                self._receive_stray(response, source, now)
        except (RemoteProtocolError, TooLarge):
            return
        self._forget_ended()

    def _receive_stray(self, response: Response, source: Address, now: float) -> None:
        """A 2xx to an INVITE nobody remembers: ACK and BYE, never media (spine section 5).

        Anybody can forge one, and the BYE is repeated: the many that come from elsewhere than our peers are dropped.
        """
        if response.cseq.method != "INVITE" or not 200 <= response.status < 300 or not response.to.tag:
            return
        if self._is_flood(source):
            return
        self._strangers.dismiss(response, source, now)
        known = self._dialogs.get((response.call_id, response.from_.tag))
        if known is not None and known.dialog is not None and known.dialog.remote.tag == response.to.tag:
            known.lose(now)  # a re-INVITE of ours, answered long after we gave it up: the two sides no longer agree

    def _receive_request(self, request: Request, source: Address, now: float) -> None:
        key = server_key(request)
        known = self._stack.find_server(key)
        if known is not None:
            passed = self._stack.repeat(known, request, now)
            if passed is not None:
                self._receive_ack(passed, now)
        elif request.method == "ACK":
            self._receive_ack(request, now)
        elif request.method == "CANCEL":
            self._receive_cancel(request, source, now)
        elif request.to.tag:
            self._receive_in_dialog(request, source, now)
        else:
            self._receive_outside(request, source, now)

    def _receive_ack(self, request: Request, now: float) -> None:
        call = self._dialogs.get((request.call_id, request.to.tag))
        if call is not None and call.dialog is not None and call.dialog.matches(request):
            call.on_ack(request, now)
            self._stack.touch(call)

    def _receive_cancel(self, request: Request, source: Address, now: float) -> None:
        invite = self._stack.find_server(cancelled_key(request))
        if not isinstance(invite, InviteServer):
            raise RemoteProtocolError("nothing to cancel", 481)
        self._is_known = True
        call = self._ringing.get(cancelled_key(request))
        transaction = self._start(request, source)
        self._stack.reply(request, transaction, 200, now, tag=call.local_tag if call is not None else "")
        if call is not None:
            call.on_cancel(request, now)
            self._stack.touch(call)

    def _receive_in_dialog(self, request: Request, source: Address, now: float) -> None:
        call = self._dialogs.get((request.call_id, request.to.tag))
        if call is None or not call.owns(request):
            raise RemoteProtocolError("no such dialog", 481)
        self._is_known = True
        check_extensions(request)
        transaction = self._start(request, source)
        call.on_request(request, transaction, now)
        self._stack.touch(call)

    def _receive_outside(self, request: Request, source: Address, now: float) -> None:
        """Requests that begin something, inspected in the order of RFC 3261 section 8.2."""
        if request.method not in ("INVITE", "OPTIONS"):
            raise RemoteProtocolError("method", method_status(request.method))
        if request.method == "OPTIONS" and not self._stack.timers.reliable:
            self._is_known = True
            self._on_options(request, source, now)
            return
        stranger = request.method == "INVITE" and not self.welcome(request)
        verdict = self._screen(source) if stranger else None
        self._is_known = request.method == "INVITE"
        if verdict is not None:
            if verdict:
                raise RemoteProtocolError("not a peer of ours", verdict)
            return
        if self._stack.is_merged(request):
            raise RemoteProtocolError("came by two paths", 482)
        check_extensions(request)
        check_content(request)
        if request.method == "OPTIONS":
            self._stack.respond(self._start(request, source), self._capabilities(request), now)
            return
        if len(self._calls) >= self._config.max_calls:
            raise RemoteProtocolError("too many calls", 503)
        transaction = self._start(request, source)
        if isinstance(transaction, InviteServer):
            self._begin(transaction, source, now)

    def _begin(self, transaction: InviteServer, source: Address, now: float) -> None:
        tag = self._stack.new_tag()
        call = IncomingCallLeg(self._stack, transaction, tag)
        try:
            call.start(source, now)
        except RemoteProtocolError as exc:
            self._stack.respond(transaction, refusal(transaction.request, exc.status, tag, self._config.min_se), now)
            return
        self._calls[call.call] = call
        self._dialogs[transaction.request.call_id, tag] = call
        self._ringing[server_key(transaction.request)] = call
        self._stack.touch(call)

    def _is_flood(self, source: Address) -> bool:
        """Whether a source that may be forged has been answered often enough for now."""
        return not self._stack.timers.reliable and self._screen(source) == 0

    def _on_options(self, request: Request, source: Address, now: float) -> None:
        """OPTIONS over UDP: our peers' have a transaction; of strangers a few are answered, and nothing is kept.

        A transaction lives 32 s: 128 forged requests a second would leave none for our peers.
        """
        verdict = self._screen(source)
        if verdict == 0:
            return
        if verdict is None and self._stack.is_merged(request):
            raise RemoteProtocolError("came by two paths", 482)
        check_extensions(request)
        check_content(request)
        response = self._capabilities(request)
        if verdict is None:
            self._stack.respond(self._start(request, source), response, now)
        else:
            self._stack.respond_stateless(request, source, response)

    def _capabilities(self, request: Request) -> Response:
        """What we can do (section 11.2)."""
        response = response_to(request, 200, tag=self._stack.new_tag())
        for name, value in (
            ("Allow", ALLOW),
            ("Accept", CONTENT_TYPE),
            ("Supported", ", ".join(SUPPORTED)),
            ("Contact", self._stack.contact),
        ):
            response.headers.add(name, value)
        return response

    def _start(self, request: Request, source: Address) -> ServerTransaction:
        transaction = self._stack.start_server(request, source)
        if transaction is None:
            raise RemoteProtocolError("too many transactions", 503)
        return transaction

    def _refuse(self, request: Request, source: Address, status: int) -> None:
        """Answer without keeping anything: the same request gets the same answer (section 8.2.7)."""
        seed = "".join(value for name, value in request.headers if name in ("Via", "From", "Call-ID", "CSeq"))
        tag = hashlib.sha256(seed.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        try:
            self._stack.respond_stateless(request, source, refusal(request, status, tag, self._config.min_se))
        except TooLarge:
            return

    # Book-keeping

    def _invite_request(
        self,
        identity: CallIdentity,
        target: str,
        from_: str,
        to: str,
        headers: tuple[tuple[str, str], ...],
        route: Sequence[str],
    ) -> Request:
        try:
            caller = NameAddr.parse(from_)
            callee = NameAddr.parse(to or f"<{target}>")
            request = new_invite(identity, target, caller, callee, self._stack.contact, headers, route)
            _ = request.request_uri
        except RemoteProtocolError as exc:
            raise LocalProtocolError(f"malformed address: {exc}") from exc
        return request

    def _find(self, call: CallId) -> OutgoingCall | IncomingCallLeg:
        if call not in self._calls:
            raise LocalProtocolError("no such call")
        return self._calls[call]

    def _outgoing(self, call: CallId) -> OutgoingCall:
        found = self._find(call)
        if not isinstance(found, OutgoingCall):
            raise LocalProtocolError("not a call of ours")
        return found

    def _incoming(self, call: CallId) -> IncomingCallLeg:
        found = self._find(call)
        if not isinstance(found, IncomingCallLeg):
            raise LocalProtocolError("not a call to us")
        return found

    def _forget_ended(self) -> None:
        for key in self._stack.finished:
            call = self._dialogs.pop(key, None)
            if call is not None:
                self._calls.pop(call.call, None)
            if isinstance(call, IncomingCallLeg):
                self._ringing.pop(server_key(call.invite.request), None)
        self._stack.finished.clear()


__all__ = ["AgentConfig", "Transport", "UserAgent"]
