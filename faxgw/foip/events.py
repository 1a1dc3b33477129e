"""What the agent tells its user: one value per thing that happened (RFC 3261 section 13 to 15 in plain words)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NewType

from faxgw.foip.dialog import DialogRecord
from faxgw.foip.headers import Cause
from faxgw.foip.refusal import WarningValue
from faxgw.foip.sdp import SessionDescription
from faxgw.foip.transaction import Address

CallId = NewType("CallId", str)
"""Names one call within an agent: Call-ID and our tag."""


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What identifies an INVITE on the wire, drawn and committed before it leaves."""

    call_id: str
    """Call-ID."""
    from_tag: str
    """Our tag."""
    branch: str
    """Branch of the first INVITE; each further one (`caller.MAX_ATTEMPTS`) appends `.1`, `.2` …"""
    cseq: int
    """CSeq number of the first INVITE; each further one counts up."""


class By(enum.StrEnum):
    """Who ended a call."""

    LOCAL = "local"
    REMOTE = "remote"
    TIMEOUT = "timeout"
    """The peer stopped answering."""


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls. 100 Trying has been sent; ring, answer or reject."""

    call: CallId
    """The call."""
    target: str
    """User part of the Request-URI, escapes resolved: the number dialled."""
    caller: str
    """User part of the From URI, escapes resolved."""
    display: str
    """Display name of From."""
    offer: SessionDescription | None
    """The peer's offer; None if it wants ours in the answer."""
    source: Address
    """Where the INVITE came from."""
    headers: tuple[tuple[str, str], ...]
    """All header fields, for number presentation and logs."""


@dataclass(frozen=True, slots=True)
class Provisional:
    """The called side is working on it (101 to 199)."""

    call: CallId
    """The call."""
    status: int
    """180, 183 …"""
    sdp: SessionDescription | None
    """Early media, if any; of a reliable response it is the answer (RFC 3262 section 5)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx came. Nothing has been acknowledged: commit, then `acknowledge` or `bye`."""

    call: CallId
    """The call."""
    sdp: SessionDescription | None
    """The peer's answer; None if it has none that can be read."""
    dialog: DialogRecord
    """The dialog, to be committed before the ACK."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The call did not come about."""

    call: CallId
    """The call."""
    status: int
    """SIP status; 408 when nobody answered, 503 when the transport failed."""
    reason: str
    """Reason phrase."""
    causes: tuple[Cause, ...] = ()
    """Reason header fields, for example Q.850."""
    retry_after: int | None = None
    """Seconds the peer asks us to wait, if it does."""
    local: bool = False
    """True when the status was made here: no response came."""
    warnings: tuple[WarningValue, ...] = ()
    """Warning header fields, for example 304 with 488."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The caller's ACK for our answer came: the call stands."""

    call: CallId
    """The call."""
    sdp: SessionDescription | None
    """The answer in the ACK, when our 2xx bore the offer."""


@dataclass(frozen=True, slots=True)
class Reoffered:
    """The peer wants to change the session, by re-INVITE or UPDATE: `answer_reinvite` or `refuse_reinvite`."""

    call: CallId
    """The call."""
    offer: SessionDescription
    """What it wants."""


@dataclass(frozen=True, slots=True)
class ReofferAnswered:
    """Our re-INVITE was accepted; its ACK has been sent."""

    call: CallId
    """The call."""
    sdp: SessionDescription
    """The peer's answer."""


@dataclass(frozen=True, slots=True)
class ReofferRefused:
    """Our re-INVITE was refused or overtaken by the peer's; the session is as it was."""

    call: CallId
    """The call."""
    status: int
    """SIP status; 491 also when the peer's own re-INVITE came first."""
    causes: tuple[Cause, ...] = ()
    """Reason header fields."""
    retry_after: int | None = None
    """Seconds the peer asks us to wait, if it does."""
    warnings: tuple[WarningValue, ...] = ()
    """Warning header fields."""


@dataclass(frozen=True, slots=True)
class MediaMoved:
    """The peer's answer to a session refresh of ours names other media addresses than before; nothing to answer."""

    call: CallId
    """The call."""
    sdp: SessionDescription
    """Where the media go now."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over and forgotten."""

    call: CallId
    """The call."""
    by: By
    """Who ended it."""
    why: str
    """`bye`, `cancel`, `no ACK`, `no PRACK`, `dialog gone`, `session expired`, `not acknowledged`, `not answered`,
    `recovered`."""
    causes: tuple[Cause, ...] = ()
    """Reason header fields of the peer's BYE or CANCEL."""


class Why(enum.StrEnum):
    """What ended a request outside a dialog."""

    ANSWERED = "answered"
    """A final response came."""
    TIMEOUT = "timeout"
    """None came within 64·T1."""
    TRANSPORT = "transport"
    """Nothing reaches the destination."""


@dataclass(frozen=True, slots=True)
class RequestDone:
    """A request outside a dialog is over (`UserAgent.request`)."""

    call: CallId
    """Its name: Call-ID and our tag."""
    method: str
    """OPTIONS, REGISTER …"""
    status: int
    """The final status; 408 and 503 also when no response came."""
    reason: str
    """Reason phrase."""
    headers: tuple[tuple[str, str], ...]
    """All header fields of the final response, cleaned; names in their usual spelling."""
    why: Why
    """Whether a response came at all."""
    cseq: int
    """CSeq number last used; the next request with this Call-ID takes a higher one."""


Event = (
    IncomingCall
    | Provisional
    | Answered
    | Rejected
    | Acknowledged
    | Reoffered
    | ReofferAnswered
    | ReofferRefused
    | MediaMoved
    | Ended
    | RequestDone
)
