"""A call we place: challenges, session intervals, redirections, forks, reliable provisional responses, CANCEL.

RFC 3261 sections 8.1.3.4, 9.1, 13.2 and 22, RFC 3262 section 4, RFC 4028 section 7. Every further INVITE of the call
has the next CSeq number and a branch that a later process can name (`call.branch_of`); there are MAX_ATTEMPTS.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from faxgw.foip.call import Farewell, branch_of
from faxgw.foip.dialog import Dialog
from faxgw.foip.digest import Authenticator, Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import Answered, By, CallIdentity, Ended, Provisional, Rejected
from faxgw.foip.headers import NameAddr
from faxgw.foip.message import REASONS, Headers, Request, Response, clean_text
from faxgw.foip.options import RELIABLE, TIMER
from faxgw.foip.refusal import Refusal
from faxgw.foip.reliable import RAck, RSeqOrder, rseq_of
from faxgw.foip.reoffer import NegotiatedSession, mirrored, put_sdp
from faxgw.foip.sdp import SessionDescription, same_media
from faxgw.foip.session import MAX_FORKS, CallState, readable_sdp
from faxgw.foip.stack import Stack
from faxgw.foip.transaction import Address, ClientTransaction, InviteClient, ServerTransaction
from faxgw.foip.uri import SipUri

MAX_ATTEMPTS = 5
"""INVITEs of one call at most: the first, those with credentials or a longer session interval, those redirected."""
MAX_RAISES = 1
"""INVITEs of one call at most that ask for a longer session interval after a 422 (RFC 4028 section 7.3)."""
MAX_REDIRECTS = 3
"""Contacts of 3xx responses that one call tries at most."""
MAX_PRACKS = 32
"""Reliable provisional responses that one call acknowledges at most: each costs us a transaction."""
MAX_CONTACTS = 10
"""Contacts read from one 3xx at most."""
ANSWER_LIMIT = 32.0
"""Seconds our user has to acknowledge a 2xx: the peer repeats it no longer (64·T1)."""
_FOLLOWED = (300, 301, 302)
"""Redirections that name other places of the called side; 305 is for proxies, 380 another service (section 21.3)."""

Redirect = Callable[[str], Address | None]
"""Where the INVITE for a URI of a 3xx may go, or None if it may not (spine section 5: only where a trunk leads)."""


@dataclass(slots=True)
class EarlyDialog:
    """A dialog that provisional responses have made (section 12.1)."""

    dialog: Dialog
    order: RSeqOrder = field(default_factory=RSeqOrder)
    sdp: SessionDescription | None = None
    """The answer of the called side, so far."""
    is_answered: bool = False
    """The answer came reliably: it is the answer (RFC 3262 section 5)."""


class OutgoingCall(NegotiatedSession):
    """A call we place.

    Args:
        identity: Committed by our user.
        stack: What it stands on.
        request: The INVITE without Via, CSeq of its own and body.
        destination: Where it goes.
        credentials: For 401 and 407.
        redirect: Which targets of a 3xx may be tried; None: none.
        reliable: Whether PRACK is offered.
    """

    def __init__(
        self,
        identity: CallIdentity,
        stack: Stack,
        request: Request,
        destination: Address,
        credentials: Credentials | None,
        redirect: Redirect | None = None,
        *,
        reliable: bool = True,
    ) -> None:
        super().__init__((identity.call_id, identity.from_tag), stack, CallState.CALLING, True, credentials)
        self._identity = identity
        self._template = request
        self._template.headers.set("Supported", f"{TIMER}, {RELIABLE}" if reliable else TIMER)
        self._reliable = reliable
        self._destination = destination
        self._credentials = credentials
        self._redirect = redirect
        self._targets: deque[tuple[str, Address]] = deque()
        self._tried = {request.uri}
        self._redirects = 0
        self._raises = 0
        self._pracks = 0
        self._attempt = 0
        self._invite: InviteClient | None = None
        self._cancel_sent = False
        self._early: dict[str, EarlyDialog] = {}
        self._forks: dict[str, Farewell] = {}

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

    @property
    def is_unanswered(self) -> bool:
        """Whether nothing at all has come back for the last INVITE, not even 100."""
        return self._invite is not None and self._invite.is_unanswered

    # Towards the stack

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Take in a response to the INVITE, or leave it to the session."""
        method = transaction.request.method
        if method == "CANCEL":
            return  # whatever it says, the INVITE's own final response counts (section 9.1)
        if method == "PRACK":
            self._on_prack_response(transaction, response, now)
        elif not self._is_first_invite(transaction):
            super().on_response(transaction, response, now)
        elif response.status < 200:
            if transaction is self._invite:
                self._on_provisional(response, now)
        elif response.status < 300:
            self._on_2xx(transaction.request, response, now)
        elif transaction is self._invite:
            self._on_refusal(response, now)

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        """Nobody answered the INVITE, or the session's business."""
        if transaction.request.method in ("CANCEL", "PRACK"):
            return  # the INVITE's own end counts (RFC 3262 section 4)
        if not self._is_first_invite(transaction):
            super().on_timeout(transaction, status, now)
        elif transaction is not self._invite:
            return
        elif self.state is CallState.CANCELLING:
            self._finish(Ended(self.call, By.LOCAL, "cancel"))
        elif self.state is CallState.CALLING and not self._try_next(now):
            self._finish(Rejected(self.call, status, REASONS[status], local=True))

    def _fire(self, name: str, now: float) -> None:
        if name == "unacknowledged":
            self._hang_up("not acknowledged", By.TIMEOUT, now)
        elif name == "cancelled" and self._invite is not None:  # 64·T1 after CANCEL: given up (section 9.1)
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
        self._session_timer.ask(request.headers, first=True)
        for name, value in self._auth.headers("INVITE", request.uri, request.body):
            request.headers.add(name, value)
        self._early.clear()
        branch = branch_of(identity, number)
        transaction = self._stack.send_request(request, self._destination, self, now, branch)
        if isinstance(transaction, InviteClient):
            self._invite = transaction

    # Provisional responses

    def _on_provisional(self, response: Response, now: float) -> None:
        if response.status > 100 and self.state in (CallState.CALLING, CallState.CANCELLING):
            early = self._early_dialog(response)
            if not self._acknowledge_provisional(response, early, now):
                return
            sdp = readable_sdp(response)
            if early is not None and sdp is not None and not early.is_answered:
                early.sdp = sdp
                early.is_answered = self._reliable and rseq_of(response) is not None
            if self.state is CallState.CALLING:
                self._emit(Provisional(self.call, response.status, sdp))
        if self.state is CallState.CANCELLING:
            self._try_cancel(now)

    def _early_dialog(self, response: Response) -> EarlyDialog | None:
        """The early dialog of a provisional response with a tag (section 12.1.2); at most MAX_FORKS."""
        tag = response.to.tag
        if tag in self._early or not tag or self._invite is None or len(self._early) >= MAX_FORKS:
            return self._early.get(tag)
        try:
            dialog = Dialog.of_caller(self._invite.request, response, self._destination)
        except RemoteProtocolError:
            return None
        self._early[tag] = EarlyDialog(dialog)
        return self._early[tag]

    def _acknowledge_provisional(self, response: Response, early: EarlyDialog | None, now: float) -> bool:
        """Send PRACK for a reliable response (RFC 3262 section 4); False: it is to be ignored."""
        rseq = rseq_of(response) if self._reliable else None
        if rseq is None:
            return True
        if early is None or self._pracks >= MAX_PRACKS or not early.order.take(rseq):
            return False  # a repetition, or one that overtook another: the called side sends it again
        self._pracks += 1
        early.dialog.refresh_target(response)
        self._learn(response)
        self._send_prack(early.dialog, str(RAck(rseq, response.cseq.number, "INVITE")), now)
        return True

    def _send_prack(self, dialog: Dialog, rack: str, now: float) -> None:
        prack = dialog.build("PRACK")
        prack.headers.add("RAck", rack)
        with contextlib.suppress(LocalProtocolError):  # too many transactions: the called side repeats itself
            self._send(prack, now, dialog)

    def _on_prack_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Only a challenge matters; what else comes of it, the called side's final response tells."""
        request = transaction.request
        early = self._early.get(request.to.tag)
        if response.status >= 300 and early is not None and self._challenged(response):
            self._send_prack(early.dialog, request.headers.get("RAck") or "", now)

    # Requests in early dialogs

    def owns(self, request: Request) -> bool:
        """Whether a request belongs to the dialog or, before an answer, to an early one."""
        if super().owns(request):
            return True
        early = self._early.get(request.from_.tag)
        return self.dialog is None and early is not None and early.dialog.matches(request)

    def on_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """Take in a new request within the dialog or an early one."""
        early = self._early.get(request.from_.tag)
        if self.dialog is not None or early is None or self.ended:
            super().on_request(request, transaction, now)
            return
        try:
            early.dialog.accept(request)
        except RemoteProtocolError as exc:
            self._stack.reply(request, transaction, exc.status, now)
            return
        if request.method == "UPDATE":
            self._on_early_update(early, request, transaction, now)
        elif request.method == "INVITE":
            self._stack.reply(request, transaction, 491, now)  # section 14.2: ours is open
        elif request.method == "BYE":
            self._stack.reply(request, transaction, 403, now)  # section 15: not before an answer
        else:
            super()._on_other(request, transaction, now)

    def _on_early_update(
        self, early: EarlyDialog, request: Request, transaction: ServerTransaction, now: float
    ) -> None:
        """RFC 3311 section 5.2: 491 while our offer has no answer; a change before the answer needs our user: 504."""
        status = 200
        offer = readable_sdp(request)
        if request.body:
            known = early.is_answered and early.sdp is not None and offer is not None and same_media(early.sdp, offer)
            status = 491 if not early.is_answered else 200 if known else 504
        if status == 200:
            early.dialog.refresh_target(request)
            self._learn(request)
            self._stack.respond(transaction, self._early_ok(early, request, offer), now)
        else:
            self._stack.reply(request, transaction, status, now)

    def _early_ok(self, early: EarlyDialog, request: Request, offer: SessionDescription | None) -> Response:
        response = self._accepting(request, None)
        if offer is not None and self._offer is not None:
            put_sdp(response, mirrored(self._offer, offer))
        return response

    # The answer

    def _on_2xx(self, invite: Request, response: Response, now: float) -> None:
        tag, number = response.to.tag, invite.cseq.number
        if (tag, number) in self._acks:
            self._stack.outbox.append(self._acks[tag, number])
            return
        if self.dialog is not None and self.dialog.remote.tag == tag:
            return  # a repetition while our user commits
        try:
            dialog = self._confirmed(invite, response)
        except RemoteProtocolError as exc:  # cannot be talked to; the peer gives up by itself after 64·T1
            if self.state in (CallState.CALLING, CallState.CANCELLING):
                self._finish(Rejected(self.call, exc.status, "answer that makes no dialog", local=True))
            return
        if self.state is CallState.CALLING:
            self._answered(dialog, response, now)
        elif self.state is CallState.CANCELLING:
            self.dialog = dialog
            self.state = CallState.ANSWERED
            self._hang_up("cancel", By.LOCAL, now)
        else:
            self._reject_fork(dialog, invite, now)

    def _confirmed(self, invite: Request, response: Response) -> Dialog:
        """The dialog of a 2xx; that of an early one goes on with its sequence numbers (section 13.2.2.4)."""
        dialog = Dialog.of_caller(invite, response, self._destination)
        early = self._early.get(response.to.tag)
        if early is not None:
            dialog.local_seq = max(dialog.local_seq, early.dialog.local_seq)
            dialog.remote_seq = early.dialog.remote_seq
        return dialog

    def _answered(self, dialog: Dialog, response: Response, now: float) -> None:
        early = self._early.get(dialog.remote.tag)
        self.dialog = dialog
        self.local_sdp, self._offer = self._offer, None
        self.remote_sdp = readable_sdp(response) or (early.sdp if early is not None else None)
        self.state = CallState.ANSWERED
        self._auth.accepted()
        self._learn(response)
        self._session_timer.confirm(response)
        self._rearm(now)
        self._timers.start("unacknowledged", now + ANSWER_LIMIT)
        self._emit(Answered(self.call, self.remote_sdp, dialog.record()))

    def _reject_fork(self, dialog: Dialog, invite: Request, now: float) -> None:
        """Another leg of a fork, or an answer after the end: ACK and BYE, never media (spine section 5)."""
        if dialog.remote.tag in self._forks:
            self._forks[dialog.remote.tag].on_2xx(dialog.remote.tag, invite.cseq.number)
        elif len(self._forks) < MAX_FORKS:
            self._forks[dialog.remote.tag] = Farewell(self._stack, dialog, self._credentials)
            self._forks[dialog.remote.tag].start(now, invite)

    # Refusals, and what may follow

    def _on_refusal(self, response: Response, now: float) -> None:
        refusal = Refusal.of(response)
        if self.state is CallState.CANCELLING:
            self._finish(Ended(self.call, By.LOCAL, "cancel", refusal.causes))
        elif self.state is CallState.CALLING and not self._try_again(response, now):
            reason = clean_text(response.reason)
            self._finish(
                Rejected(
                    self.call,
                    response.status,
                    reason,
                    refusal.causes,
                    retry_after=refusal.retry_after,
                    warnings=refusal.warnings,
                )
            )

    def _try_again(self, response: Response, now: float) -> bool:
        """Whether another INVITE of this call went out: with credentials, a longer interval, or to another target."""
        if self._attempt + 1 >= MAX_ATTEMPTS:
            return False
        if self._challenged(response) or self._asks_for_longer(response):
            self._attempt += 1
            self._send_invite(now)
            return True
        if response.status in _FOLLOWED:
            self._add_targets(response)
        return response.status < 600 and self._try_next(now)

    def _asks_for_longer(self, response: Response) -> bool:
        """Whether a 422 is worth another INVITE, with the interval it names."""
        if response.status != 422 or self._raises >= MAX_RAISES:
            return False
        self._raises += 1
        return self._session_timer.may_retry(response)

    def _add_targets(self, response: Response) -> None:
        """The Contacts of a 3xx that we may follow, best first (sections 8.1.3.4 and 20.10)."""
        if self._redirect is None:
            return
        for contact in sorted(response.contacts[:MAX_CONTACTS], key=_preference):
            uri = str(_plain(contact))
            if uri in self._tried:
                continue
            self._tried.add(uri)
            destination = self._redirect(uri)
            if destination is not None:
                self._targets.append((uri, destination))

    def _try_next(self, now: float) -> bool:
        """Whether the INVITE went out to the next target of a redirection (section 8.1.3.4)."""
        if not self._targets or self._redirects >= MAX_REDIRECTS or self._attempt + 1 >= MAX_ATTEMPTS:
            return False
        uri, destination = self._targets.popleft()
        headers = self._template.headers
        if destination != self._destination:
            headers = Headers((name, value) for name, value in headers if name != "Route")  # that proxy is not asked
            self._auth = Authenticator(self._credentials, self._stack.random)  # nor told what we told another
        self._template = Request("INVITE", uri, headers)
        self._destination = destination
        self._redirects += 1
        self._attempt += 1
        self._send_invite(now)
        return True

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


def _preference(contact: NameAddr) -> float:
    """Sort key of a Contact: q falling, 1 without one (section 20.10)."""
    try:
        return -float(contact.param("q") or "1")
    except ValueError:
        return 0.0


def _plain(contact: NameAddr) -> object:
    """The URI of a Contact without header fields and method: those it names are none of ours (section 19.1.5)."""
    uri = contact.uri
    if not isinstance(uri, SipUri):
        return uri
    return replace(uri, headers="", params=tuple(pair for pair in uri.params if pair[0].lower() != "method"))
