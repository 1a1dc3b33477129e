"""The life of a received fax (docs/spine.md section 4): its states as data, and the law that closes it by its pages.

Nothing else may change a state: the store's `move` asks `check_transition`; the end of a call and recovery ask
`close`. What the line reports of a page, and what the number's owner is told, are values of this module too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from faxgw.fax.errors import IllegalTransition


class ReceptionState(enum.StrEnum):
    """States of a reception."""

    RINGING = "ringing"
    RECEIVING = "receiving"
    COMPLETE = "complete"
    PARTIAL = "partial"
    EMPTY = "empty"
    ROUTED = "routed"
    DELIVERED = "delivered"
    RETAINED = "retained"

    @property
    def open(self) -> bool:
        """True while pages may still be confirmed."""
        return self in OPEN


OPEN = frozenset({ReceptionState.RINGING, ReceptionState.RECEIVING})
"""The call goes on."""
UNROUTED = frozenset({ReceptionState.COMPLETE, ReceptionState.PARTIAL})
"""The pages are whole, and nobody has been sent them yet."""

TRANSITIONS: Mapping[tuple[ReceptionState | None, ReceptionState], str] = {
    (None, ReceptionState.RINGING): "an INVITE is admitted, before 200 OK",
    (ReceptionState.RINGING, ReceptionState.RECEIVING): "the caller has acknowledged our answer",
    (ReceptionState.RINGING, ReceptionState.EMPTY): "the call ended before it was acknowledged",
    (ReceptionState.RECEIVING, ReceptionState.COMPLETE): "a page ended by EOP, or the call ended after EOM",
    (ReceptionState.RECEIVING, ReceptionState.PARTIAL): "the call ended after a page, without a clean end",
    (ReceptionState.RECEIVING, ReceptionState.EMPTY): "the call ended without a page",
    (ReceptionState.COMPLETE, ReceptionState.ROUTED): "its deliveries are written",
    (ReceptionState.PARTIAL, ReceptionState.ROUTED): "its deliveries are written",
    (ReceptionState.ROUTED, ReceptionState.DELIVERED): "all deliveries are done",
    (ReceptionState.ROUTED, ReceptionState.RETAINED): "a delivery was given up: alarm, fallback mailbox",
}
"""(from, to) → when. From None: the reception is made."""


def check_transition(old: ReceptionState | None, new: ReceptionState) -> None:
    """Let a transition of the table pass.

    Raises:
        IllegalTransition: If the table does not hold it.
    """
    if (old, new) not in TRANSITIONS:
        raise IllegalTransition(f"{old} -> {new}", public="The received fax is in a state that does not allow this.")


class PageEnd(enum.StrEnum):
    """The command that ended a page (ITU-T T.30 section 5.3.6.1.6)."""

    MPS = "mps"
    """Another page of the document follows."""
    EOM = "eom"
    """The document is over, another may follow in the same call: it goes on in the same reception."""
    EOP = "eop"
    """The last page."""


def close(pages: int, end: PageEnd | None) -> ReceptionState:
    """What a reception is once its call is over, or nobody knows how it ended.

    The pages decide, never the engine's result: it may say 0 with the last MCF unsent, or an error with every page
    confirmed (docs/transport.md J.2, J.7 rule 4).

    Args:
        pages: Durable pages.
        end: How the last of them ended; None without a page.
    """
    if pages == 0 or end is None:
        return ReceptionState.EMPTY
    return ReceptionState.PARTIAL if end is PageEnd.MPS else ReceptionState.COMPLETE


@dataclass(frozen=True, slots=True)
class ReceivedPage:
    """A page that came in, as the call worker checked it."""

    page: int
    """From 1."""
    rows: int
    width: int
    """Pixels."""
    x_resolution: int
    """Pixels per metre."""
    y_resolution: int
    """Pixels per metre."""
    bad_rows: int
    """Rows the engine could not decode; 0 with error correction."""
    encoding: str
    """Coding on the line: MH, MR or MMR."""
    end: PageEnd
    ident: str = ""
    """The sender's identification (TSI), bounded and printable."""
    sub_address: str = ""
    """The sub-address that the sender's machine asked for (SUB, T.30 section 5.3.6.2.6), bounded and printable."""


class Why(enum.StrEnum):
    """Why the fallback mailbox gets a fax, or why a mail says more than usual."""

    OWNER = ""
    """It is the owner's: nothing to explain."""
    NO_OWNER = "no_owner"
    """The number has no mailbox."""
    UNDELIVERABLE = "undeliverable"
    """A delivery to the owner was given up."""
    SEALED = "sealed"
    """The same, of documents that were to leave encrypted alone: the mail tells of the fax and has no page of it."""


@dataclass(frozen=True, slots=True)
class ReceivedReport:
    """What the mail with a received fax tells. Times are Unix seconds; strings of strangers are as they came."""

    reception: str
    customer: str
    number: str
    """Our number, E.164."""
    caller: str
    """Caller's number as the trunk gave it; empty when withheld."""
    display: str
    """Caller's name as the trunk gave it."""
    ident: str
    """Sender's identification (TSI)."""
    started_at: float
    received_at: float
    """When the last page was kept."""
    complete: bool
    pages: int
    """Pages delivered."""
    unconfirmed: tuple[int, ...] = ()
    """Pages that are kept although the sender may not have had their confirmation."""
    fine: bool = True
    """True when every page has 196 rows per inch or more."""
    bad_rows: int = 0
    why: Why = Why.OWNER
    target: str = ""
    """UNDELIVERABLE: the address that was given up."""
    again_of: str = ""
    """An earlier reception from the same sender, whose arrival the sender may not know: this may be the same fax."""
    problem: str = ""
    """`tiff` when the pages go as TIFF files because no PDF could be made; else empty."""
    time_zone: str = "UTC"
    language: str = "en"
    style: str = ""
    """Name of the customer's mail template; empty: the shipped designs."""
