"""What calls in both directions need: the INVITE and its branches, and the goodbye for a dialog that is nobody's.

RFC 3261 sections 8.1.1, 13.1 and 15. The two kinds of call are `foip.caller` and `foip.callee`.
"""

from __future__ import annotations

from collections.abc import Sequence

from faxgw.foip.dialog import Dialog, preloaded
from faxgw.foip.digest import Credentials
from faxgw.foip.events import By, CallIdentity, Event
from faxgw.foip.headers import NameAddr
from faxgw.foip.message import Headers, Request
from faxgw.foip.sdp import CONTENT_TYPE
from faxgw.foip.session import CallState, Session
from faxgw.foip.stack import ALLOW, Stack

CSEQ_MARGIN = 10_000
"""What a later process adds to the stored CSeq: more than any call sends requests in its dialog, refreshes included."""


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
    route: Sequence[str] = (),
) -> Request:
    """The INVITE of a call, without Via and body (section 8.1.1); `route` is preloaded (section 8.1.2).

    Raises:
        RemoteProtocolError: If a route is malformed.
    """
    uri, routes = preloaded(target, route)
    fields = Headers([("Max-Forwards", "70"), *(("Route", value) for value in routes)])
    fields.add("From", from_.tagged(identity.from_tag))
    fields.add("To", to.tagged(""))
    fields.add("Call-ID", identity.call_id)
    fields.add("CSeq", f"{identity.cseq} INVITE")
    fields.add("Contact", contact)
    fields.add("Allow", ALLOW)
    for name, value in headers:
        fields.add(name, value)
    fields.add("Content-Type", CONTENT_TYPE)
    return Request("INVITE", uri, fields)


def branch_of(identity: CallIdentity, attempt: int) -> str:
    """The branch of the n-th INVITE of a call, so that a later process can name them all."""
    return identity.branch if attempt == 0 else f"{identity.branch}.{attempt}"
