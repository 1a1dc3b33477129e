"""The end of calls this process knows nothing of: those of an earlier one, and answers nobody waits for.

RFC 3261 sections 9.1, 13.2.2.4 and 15, as spine section 5 wants it: CANCEL for what may be ringing, ACK and BYE for
what is answered, never media.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from faxgw.foip.call import CSEQ_MARGIN, Farewell, branch_of
from faxgw.foip.dialog import Dialog, DialogRecord
from faxgw.foip.digest import Credentials
from faxgw.foip.errors import LocalProtocolError, RemoteProtocolError
from faxgw.foip.events import By, CallId, CallIdentity, Ended
from faxgw.foip.message import Headers, Request, Response
from faxgw.foip.session import call_name
from faxgw.foip.stack import Stack
from faxgw.foip.transaction import Address, ClientTransaction, Timers, cancel_for

MAX_STRANGERS = 256
"""Dialogs nobody knows that are said goodbye to within 64·T1; more of them are ignored."""

Dismiss = Callable[[Response, Address, float], None]
"""Says goodbye to the dialog of a 2xx."""


class Strangers:
    """The dialogs of one listener that are said goodbye to."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._farewells: OrderedDict[tuple[str, str, str], tuple[Farewell, float]] = OrderedDict()

    def cancel(
        self, identity: CallIdentity, invite: Request, destination: Address, attempts: int, now: float
    ) -> CallId:
        """CANCEL the INVITEs that an earlier process may have sent for a call; Ended follows after 64·T1 at most.

        Args:
            identity: What was committed.
            invite: The INVITE as it was; each attempt has its own CSeq number and branch.
            destination: Where they went.
            attempts: How many there may have been.
            now: Loop time in seconds.
        """
        call = call_name(identity.call_id, identity.from_tag)
        user = _Cancelled(self._stack, call, self.dismiss)
        for attempt in range(attempts):
            request = Request("INVITE", invite.uri, invite.headers.copy())
            request.headers.set("CSeq", f"{identity.cseq + attempt} INVITE")
            self._stack.resume_invite(request, destination, user, now, branch_of(identity, attempt))
            self._stack.send_cancel(cancel_for(request), destination, user, now)
        user.start(now + self._stack.timers.timeout)
        self._stack.touch(user)
        return call

    def bye(self, record: DialogRecord, now: float, credentials: Credentials | None) -> CallId:
        """ACK and BYE for a stored dialog; Ended follows.

        Raises:
            LocalProtocolError: If the record is none of a dialog.
        """
        try:
            dialog = Dialog(record)
        except RemoteProtocolError as exc:
            raise LocalProtocolError(f"no dialog record: {exc}") from exc
        dialog.local_seq += CSEQ_MARGIN
        invite = None
        if record.invite_seq:
            invite = Request("INVITE", record.remote_target, Headers([("CSeq", f"{record.invite_seq} INVITE")]))
        farewell = Farewell(self._stack, dialog, credentials, silent=False)
        self._farewells[record.call_id, dialog.local.tag, dialog.remote.tag] = (farewell, now)
        farewell.start(now, invite)
        return farewell.call

    def dismiss(self, response: Response, destination: Address, now: float) -> None:
        """ACK and BYE for the dialog of a 2xx that nobody waits for; a repeated one gets its ACK again.

        Raises:
            RemoteProtocolError: If the response makes no dialog.
        """
        key = (response.call_id, response.from_.tag, response.to.tag)
        if key in self._farewells:
            self._farewells[key][0].on_2xx(response.to.tag, response.cseq.number)
            return
        while self._farewells and next(iter(self._farewells.values()))[1] < now - self._stack.timers.timeout:
            self._farewells.popitem(last=False)
        if len(self._farewells) >= MAX_STRANGERS:
            return
        copied = [(name, value) for name, value in response.headers if name in ("From", "To", "Call-ID", "CSeq")]
        contacts = response.contacts
        invite = Request("INVITE", str(contacts[0].uri if contacts else response.to.uri), Headers(copied))
        dialog = Dialog.of_caller(invite, response, destination)
        dialog.local_seq += CSEQ_MARGIN
        farewell = Farewell(self._stack, dialog)
        self._farewells[key] = (farewell, now)
        farewell.start(now, invite)


class _Cancelled:
    """The INVITEs of an earlier process that are being cancelled."""

    def __init__(self, stack: Stack, call: CallId, dismiss: Dismiss) -> None:
        self._stack = stack
        self._call = call
        self._dismiss = dismiss
        self._timers = Timers()
        self._done = False

    @property
    def deadline(self) -> float | None:
        return self._timers.deadline

    def start(self, until: float) -> None:
        self._timers.start("end", until)

    def handle_timer(self, now: float) -> None:
        for _ in self._timers.due(now):
            self._end()

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if transaction.request.method != "INVITE" or response.status < 200:
            return
        if response.status < 300:
            self._dismiss(response, transaction.destination, now)
        self._end()

    def on_timeout(self, transaction: ClientTransaction, status: int, now: float) -> None:
        if transaction.request.method == "INVITE":
            self._end()

    def _end(self) -> None:
        if not self._done:
            self._done = True
            self._timers.clear()
            self._stack.emit(Ended(self._call, By.LOCAL, "recovered"))
