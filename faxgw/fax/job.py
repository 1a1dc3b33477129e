"""The life of a fax (docs/spine.md section 2): its states as data, and the law that closes an attempt.

Nothing else may change a state: the store's `move` asks `check_transition`, and the dispatcher asks `close`.
The small model in tests/model explores exactly these tables.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from faxgw.fax.errors import IllegalTransition
from faxgw.fax.outcome import Cause
from faxgw.fax.retry import Again, Decision


class FaxState(enum.StrEnum):
    """States of a fax."""

    ACCEPTED = "accepted"
    RENDERING = "rendering"
    READY = "ready"
    WAITING = "waiting"
    CALLING = "calling"
    HELD = "held"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """True when nothing leaves this state."""
        return self in FINAL


FINAL = frozenset({FaxState.SENT, FaxState.FAILED, FaxState.CANCELLED, FaxState.EXPIRED, FaxState.UNKNOWN})

_OPEN = (FaxState.ACCEPTED, FaxState.RENDERING, FaxState.READY, FaxState.WAITING)

TRANSITIONS: Mapping[tuple[FaxState | None, FaxState], str] = {
    (None, FaxState.ACCEPTED): "job committed",
    (FaxState.ACCEPTED, FaxState.RENDERING): "leased by a page step",
    (FaxState.RENDERING, FaxState.ACCEPTED): "lease lost, try + 1",
    (FaxState.RENDERING, FaxState.READY): "body durable, n fixed",
    **{(s, FaxState.FAILED): "no call can help" for s in (*_OPEN, FaxState.HELD)},
    (FaxState.READY, FaxState.WAITING): "earliest time, window, trunk full, number busy with another call",
    (FaxState.WAITING, FaxState.WAITING): "the reason or the time has changed",
    (FaxState.READY, FaxState.CALLING): "an attempt is planned",
    (FaxState.WAITING, FaxState.CALLING): "an attempt is planned",
    (FaxState.CALLING, FaxState.SENT): "the n-th page is confirmed at one number",
    (FaxState.CALLING, FaxState.WAITING): "the retry law says again, or once in doubt by policy",
    (FaxState.CALLING, FaxState.FAILED): "the retry law says stop",
    (FaxState.CALLING, FaxState.UNKNOWN): "result not known after exposure",
    (FaxState.CALLING, FaxState.CANCELLED): "attempt closed, cancel stands",
    (FaxState.CALLING, FaxState.HELD): "attempt closed, hold stands",
    (FaxState.CALLING, FaxState.EXPIRED): "attempt closed, latest time passed",
    **{(s, FaxState.HELD): "operator, account, closed class, restore" for s in _OPEN},
    (FaxState.HELD, FaxState.READY): "released, pages durable",
    (FaxState.HELD, FaxState.ACCEPTED): "released, pages not yet durable",
    **{(s, FaxState.CANCELLED): "owner or operator" for s in (*_OPEN, FaxState.HELD)},
    **{(s, FaxState.EXPIRED): "latest time passed" for s in (*_OPEN, FaxState.HELD)},
}
"""(from, to) → when. From None: the fax is made."""


def check_transition(old: FaxState | None, new: FaxState) -> None:
    """Let a transition of the table pass.

    Raises:
        IllegalTransition: If the table does not hold it.
    """
    if (old, new) not in TRANSITIONS:
        raise IllegalTransition(f"{old} -> {new}")


class MessageState(enum.StrEnum):
    """States of a message (spine section 1)."""

    RECEIVED = "received"
    WALKED = "walked"
    REFUSED = "refused"


class PageState(enum.StrEnum):
    """The ledger's states of one page at one number."""

    UNSENT = "unsent"
    EXPOSED = "exposed"
    DOUBTFUL = "doubtful"
    CONFIRMED = "confirmed"


class Mark(enum.StrEnum):
    """Marks of an attempt, in order (spine section 3)."""

    PLANNED = "planned"
    ANSWERED = "answered"
    EXPOSED = "exposed"
    DONE = "done"


class Wish(enum.StrEnum):
    """A durable wish about a fax in a call; planning reads it too."""

    NONE = ""
    CANCEL = "cancel"
    HOLD = "hold"


class InDoubt(enum.StrEnum):
    """What happens to a fax whose call nobody saw end after its pages were exposed."""

    REPORT = "report"
    REMAINING = "remaining"
    MARKED = "marked"


@dataclass(frozen=True, slots=True)
class Closing:
    """What the close of an attempt does to a fax."""

    state: FaxState
    cause: Cause
    until: float | None = None
    """WAITING: not before, Unix seconds."""
    number: int | None = None
    """WAITING: index of the number to dial."""
    in_doubt: bool = False
    """WAITING: by the in-doubt policy; the sender is told now."""


def close(
    *,
    known: bool,
    exposed: bool,
    decision: Decision,
    wish: Wish,
    in_doubt: InDoubt,
    in_doubt_used: bool,
    ceilings_left: bool,
    number: int,
    latest: float | None,
    now: float,
) -> Closing:
    """The law that closes an attempt which did not confirm all pages (all n confirmed is `sent` already).

    Order: unknown stands, then cancel, then hold; expiry counts only where the law says *again*.

    Args:
        known: The call's result is known (it was seen to end).
        exposed: The mark `exposed` is committed for this fax.
        decision: What the retry law says.
        wish: The wish that stands.
        in_doubt: The fax's policy.
        in_doubt_used: The policy has been used for this fax before.
        ceilings_left: Dials and tries allow another call.
        number: Index of the number just dialled.
        latest: The fax's latest time, Unix seconds.
        now: Unix seconds.
    """
    if not known and exposed:
        again = in_doubt is not InDoubt.REPORT and not in_doubt_used and ceilings_left and wish is Wish.NONE
        if again:
            return Closing(FaxState.WAITING, Cause.IN_DOUBT, now, number, in_doubt=True)
        return Closing(FaxState.UNKNOWN, Cause.IN_DOUBT)
    if wish is Wish.CANCEL:
        return Closing(FaxState.CANCELLED, Cause.CANCELLED)
    if wish is Wish.HOLD:
        return Closing(FaxState.HELD, decision.cause)
    if not isinstance(decision, Again):
        return Closing(FaxState.FAILED, decision.cause)
    if latest is not None and decision.at > latest:
        return Closing(FaxState.EXPIRED, decision.cause)
    return Closing(FaxState.WAITING, decision.cause, decision.at, decision.number)
