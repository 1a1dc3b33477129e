"""What the inside expects of the outside: the Protocols that adapters implement or are given.

Intake and the HTTP interfaces are given `Submissions`; the dispatcher is given a `Line`, and the line is given
`InboundCalls`; the outbox is given `Delivery` adapters. `daemon.py` hands the objects over, so that siblings never
import one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from faxgw.fax.account import MAX_RECIPIENTS
from faxgw.fax.destination import PATIENCE, T38Use
from faxgw.fax.outcome import Outcome
from faxgw.fax.reception import ReceivedPage

# ------------------------------------------------------------------------------------------------- submissions


@dataclass(frozen=True, slots=True)
class Principal:
    """Who submits: decided before a recipient is accepted, never taken from the request."""

    customer: str
    """Customer id."""
    user: str
    """User id; empty when an address or network alone was authorised."""
    login: str
    """AUTH login, or empty."""
    address: str
    """The envelope sender's address, or empty for the null sender."""
    how: str
    """`auth`, `address`, `network`: why it is believed."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refusal on the SMTP level, before anything was promised."""

    code: int
    """SMTP reply code, 4xx or 5xx."""
    enhanced: str
    """RFC 3463 status."""
    text: str
    """For the sender: one sentence."""

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


@dataclass(frozen=True, slots=True)
class MailSession:
    """What is known of an SMTP connection."""

    peer: str
    """IP address of the client."""
    tls: bool
    login: str
    """AUTH login after success, else empty."""
    listener: str
    """Name of the listener."""


@dataclass(frozen=True, slots=True)
class MailRecipient:
    """An accepted RCPT TO."""

    address: str
    """As given, without angle brackets."""
    number_typed: str
    number_e164: str
    sub_address: str
    customer: str
    notify: str = ""
    """RFC 3461 NOTIFY, as given."""
    orcpt: str = ""
    """RFC 3461 ORCPT, as given."""
    list_name: str = ""
    """Name, in lower case, of attachments that are distribution lists for this recipient's account; empty: none."""
    most: int = MAX_RECIPIENTS
    """Recipients that a mail of this sender may have."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A durable object, as `store.files` names it."""

    key: str
    sha256: str
    """Hexadecimal."""
    size: int
    """Octets."""


@dataclass(frozen=True, slots=True)
class MailSubmission:
    """A mail at its final dot: the file is durable, nothing is committed yet."""

    message: str
    """The message id, drawn first."""
    principal: Principal
    sender: str
    """Envelope sender, as given."""
    recipients: tuple[MailRecipient, ...]
    file: StoredFile
    message_id: str
    """Message-ID header, bounded, or empty."""
    subject: str
    """Subject, decoded and bounded."""
    auto_submitted: bool
    received_at: float
    envid: str = ""
    ret: str = ""
    listed: bool = False
    """The name of a distribution list was seen in it, so that it has to be looked into before the promise."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The promise was made."""

    message: str
    """Our id; the first one's when every recipient was known already."""
    duplicate_of: str = ""
    """Set when every recipient of the mail was accepted before under this id."""


class Submissions(Protocol):
    """The one funnel that every submission passes (implemented by `dispatch.gate`)."""

    async def authenticate(self, login: str, password: str, session: MailSession) -> bool:
        """Check a login; constant work for unknown logins. The password is never logged."""
        ...

    async def sender(self, session: MailSession, address: str) -> Principal | Rejection:
        """Decide at MAIL FROM/first RCPT who this is. The null sender never creates a fax."""
        ...

    async def recipient(self, session: MailSession, principal: Principal, address: str) -> MailRecipient | Rejection:
        """Decide at RCPT: domain, number syntax, destination class, account state, quota."""
        ...

    async def room_for(self, octets: int) -> Rejection | None:
        """452 while the disk is below the watermark (asked at MAIL FROM with SIZE, and again at DATA)."""
        ...

    async def submit_mail(self, mail: MailSubmission) -> Receipt | Rejection:
        """Commit message, recipients, keys and events in one transaction. 4xx when the commit is uncertain."""
        ...


# -------------------------------------------------------------------------------------------------------- line


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What an INVITE is known by; drawn before the plan is committed."""

    call_id: str
    from_tag: str
    branch: str
    cseq: int


@dataclass(frozen=True, slots=True)
class CallDocument:
    """One fax of a call."""

    fax: str
    descriptor: int
    """Open TIFF, read-only; the line duplicates what it needs and the caller closes it after `call` returns."""
    pages_in_file: int
    first: int
    """First page to send, from 1, absolute."""
    last: int


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A planned attempt, committed before the line sees it."""

    attempt: str
    identity: CallIdentity
    trunk: str
    number: str
    """E.164."""
    sub_address: str
    caller: str
    """CLIP, E.164, or empty for the trunk's own number."""
    station_id: str
    """TSI, at most 20 of `+0-9 space`."""
    documents: tuple[CallDocument, ...]
    ecm: bool
    max_bit_rate: int
    isolated: bool = False
    """True: in a call worker of its own (the number has killed a worker)."""
    t38: T38Use = T38Use.LATE
    """What the call does about T.38 on a trunk that has it."""
    patience: float = PATIENCE
    """Seconds from the answer within which a fax machine must be heard."""
    coarser_within: float = 0.0
    """Seconds from a DIS that does not take the pages' resolution within which coarser ones come; 0: there are none."""
    caller_name: str = ""
    """Name shown beside the caller number."""
    withheld: bool = False
    """True: the called side is not to learn the caller's number (RFC 3323)."""
    not_after: float = 0.0
    """Loop time after which the INVITE must not leave any more (2 s after the commit)."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """What a call is doing, for the live view; never a promise."""

    phase: str
    """`ringing`, `answered`, `t38`, `phase_b`, `page`, `closing`."""
    page: int = 0
    remote_ident: str = ""
    detail: str = ""
    transport: str = ""
    """`t38`, `g711` or empty while no fax is negotiated."""
    bit_rate: int = 0
    ecm: bool = False
    encoding: str = ""
    modem: str = ""
    """Modulation, as DCS says: `V.17`."""
    resolution: str = ""
    """As DCS says, in dots per inch: `204x196`."""
    retries: int = 0
    """Trainings refused, and pages or blocks asked for again."""
    packets_lost: int = 0
    """Media packets that were lost for good, as far as they were counted yet."""
    packets_recovered: int = 0
    """Media packets that redundancy or parity brought back."""


class CallMarks(Protocol):
    """The promises of a call, each durable when the method returns True; False ends the call."""

    async def answered(self, dialog: Mapping[str, object]) -> bool:
        """A 2xx came; the dialog record is committed, then ACK leaves."""
        ...

    async def exposed(self, fax: str, page: int) -> bool:
        """Page data of `fax` from `page` on may leave after this."""
        ...

    async def confirmed(self, fax: str, page: int) -> bool:
        """`page` of `fax` was confirmed by the far end."""
        ...

    async def coarser(self, taken: tuple[str, ...]) -> Sequence[CallDocument]:
        """The far end does not take the pages' resolution, and nothing of the call is exposed.

        Args:
            taken: Resolutions of its DIS.

        Returns:
            The same pages in a resolution that it takes; the descriptors are the caller's to close. Empty: there are
            none in time, and the call ends.
        """
        ...

    def progress(self, what: CallProgress) -> None:
        """Something to show."""
        ...


class Line(Protocol):
    """A telephony adapter (found by name; `sip` is built in)."""

    def new_identity(self, trunk: str) -> CallIdentity:
        """Draw the identity of the next call on a trunk."""
        ...

    def trunks(self) -> Mapping[str, int]:
        """Names of the trunks and their channel limits, in order of preference."""
        ...

    async def call(self, plan: CallPlan, marks: CallMarks) -> Outcome:
        """Place the call and see it to its end. Never raises for a failed fax."""
        ...

    async def hangup(self, attempt: str) -> None:
        """End the call of an attempt (cancel): CANCEL or BYE; `call` then returns."""
        ...

    async def end_stranger(self, trunk: str, identity: CallIdentity, number: str, dialog: Mapping[str, object]) -> None:
        """Recovery: CANCEL (no dialog) or BYE (stored dialog) for a call of an earlier incarnation."""
        ...


class Recordings(Protocol):
    """Where recordings of calls are kept (implemented by `dispatch.recordings`)."""

    def asked(self, *numbers: str) -> bool:
        """Whether somebody wants this call recorded, by a number of it; the wish is fulfilled by asking."""
        ...

    async def keep(self, call: str, octets: bytes) -> None:
        """Keep the recording of an attempt or reception, if there is room."""
        ...


# ------------------------------------------------------------------------------------------------------- inbound


@dataclass(frozen=True, slots=True)
class Ringing:
    """A call that somebody places to us, as its trunk tells it; bounded and printable."""

    trunk: str
    call_id: str
    dialled: str
    """The number dialled, from the field that the trunk's settings name."""
    caller: str
    """Caller's number as it came; empty when withheld."""
    display: str
    """Caller's name as it came."""
    dialog: Mapping[str, object]
    """What is needed to say BYE after a crash."""
    customer: str = ""
    """Whose trunk it is; empty: everybody's."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The call may be answered: its row is durable."""

    reception: str
    station_id: str
    """CSI, at most 20 of `+0-9 space`."""
    ecm: bool
    max_bit_rate: int


class InboundCalls(Protocol):
    """What the line asks of the inside about calls to us (implemented by `dispatch.inbound`)."""

    async def admit(self, ringing: Ringing) -> Admission | int:
        """Decide over an INVITE: the reception's row is durable, or the SIP status that refuses the call.

        404: no number of ours; 480: suspended, or nobody to deliver to; 503: no room, or the store is away.
        """
        ...

    async def answered(self, reception: str) -> bool:
        """The caller has acknowledged our 200 OK; durable when True, False ends the call."""
        ...

    async def page(self, reception: str, page: ReceivedPage, descriptor: int) -> bool:
        """Keep a page; only True lets its MCF leave. The descriptor stays the line's."""
        ...

    def progress(self, reception: str, what: CallProgress) -> None:
        """Something to show."""
        ...

    async def ended(self, reception: str, outcome: Outcome, *, acknowledged: int, farewell: bool) -> None:
        """The call is over; every page was reported before.

        Args:
            reception: The reception.
            outcome: What the call came to.
            acknowledged: Pages whose release reached the call worker in time: their MCF may have left.
            farewell: DCN came after the last confirmation: the sender knows.
        """
        ...


# ---------------------------------------------------------------------------------------------------- delivery


@dataclass(frozen=True, slots=True)
class EnclosedFile:
    """A stored document that a parcel's payload names."""

    name: str
    """File name for the receiver, ASCII."""
    content_type: str
    file: StoredFile


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A stored document that goes with a parcel, opened and checked for one try."""

    name: str
    """File name for the receiver, ASCII."""
    content_type: str
    descriptor: int
    """At its beginning; closed by whoever opened it, after the try."""
    sha256: str
    """Hexadecimal."""
    size: int
    """Octets."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One outbox item to be delivered."""

    item: str
    """Outbox id; stable over retries, the receiver's idempotency key."""
    kind: str
    """`status_mail`, `refused_mail`, `received_mail`, later `dsn`, `push`, …"""
    target: str
    """Mail address, URL, …"""
    payload: Mapping[str, object]
    """What was decided when the item was written; JSON-able."""
    created_at: float
    tries: int
    enclosures: tuple[Enclosure, ...] = ()
    """The stored documents that the payload names."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of one try."""

    delivered: bool
    permanent: bool = False
    """Not delivered and never will be."""
    detail: str = ""


class Delivery(Protocol):
    """A way out, found by the parcel's kind. Never raises for a failed delivery."""

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """One try."""
        ...
