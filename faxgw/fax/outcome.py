"""The result of a call, and what it is called: causes of ours, the vendor's status codes, plain words.

`classify_sip` and `classify_t30` turn what the far end did into a `Cause`; `Cause` knows its vendor status
(interfaces.md of the docs), whether another dial can help, and the sentence that a sender reads.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Retry(enum.Enum):
    """Which pause table a cause uses (spine section 2, retry law)."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NO_CARRIER = "no_carrier"
    PROTOCOL = "protocol"
    NOFAX = "nofax"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CauseFacts:
    """What is known of a cause."""

    status: str
    """The vendor's status code."""
    retry: Retry
    """Which pauses, or never."""
    text: str
    """One sentence for the sender, English."""
    advice: str = ""
    """What the sender can do; may be empty."""


class Cause(enum.Enum):
    """Why an attempt, or a fax, ended."""

    OK = "ok"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    WRONG_NUMBER = "wrong_number"
    NUMBER_CHANGED = "number_changed"
    NUMBER_REFUSED = "number_refused"
    CARRIER_FAULT = "carrier_fault"
    NO_ROUTE = "no_route"
    PERSON = "person"
    NO_FAX_TONE = "no_fax_tone"
    HUNG_UP_BEFORE_FAX = "hung_up_before_fax"
    NO_COMMON_MODE = "no_common_mode"
    TRAINING_FAILED = "training_failed"
    REMOTE_HUNG_UP = "remote_hung_up"
    PAGE_NOT_CONFIRMED = "page_not_confirmed"
    LAST_PAGE_NOT_CONFIRMED = "last_page_not_confirmed"
    BAD_LINES = "bad_lines"
    PROTOCOL_ERROR = "protocol_error"
    MEDIA_LOST = "media_lost"
    LINE_FAULT = "line_fault"
    DOCUMENT_DAMAGED = "document_damaged"
    RENDERING_FAILED = "rendering_failed"
    NOTHING_TO_SEND = "nothing_to_send"
    DENY_LIST = "deny_list"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    IN_DOUBT = "in_doubt"
    CEILING = "ceiling"

    @property
    def facts(self) -> CauseFacts:
        """Status, retry class and texts."""
        return FACTS[self]


FACTS: dict[Cause, CauseFacts] = {
    Cause.OK: CauseFacts("OK", Retry.NEVER, "All pages were delivered and confirmed."),
    Cause.BUSY: CauseFacts("BUSY", Retry.BUSY, "The number was busy.", "Try again later."),
    Cause.NO_ANSWER: CauseFacts(
        "RING_TO", Retry.NO_ANSWER, "Nobody answered the call.", "The machine may be switched off or out of paper."
    ),
    Cause.REJECTED: CauseFacts("REM_DIS", Retry.BUSY, "The called side rejected the call.", "Ask the recipient."),
    Cause.WRONG_NUMBER: CauseFacts(
        "WRONG_NO", Retry.NEVER, "The number is not assigned.", "Check the number; it will not be dialled again."
    ),
    Cause.NUMBER_CHANGED: CauseFacts(
        "CHANGED_NO", Retry.NEVER, "The number has changed.", "Ask the recipient for the new number."
    ),
    Cause.NUMBER_REFUSED: CauseFacts(
        "DIAL_NC", Retry.NEVER, "The carrier refuses this number: it is invalid or incomplete.", "Check the number."
    ),
    Cause.CARRIER_FAULT: CauseFacts(
        "DIAL_GF", Retry.NO_CARRIER, "The telephone network could not set up the call.", "This is usually temporary."
    ),
    Cause.NO_ROUTE: CauseFacts(
        "DIAL_GF", Retry.NO_CARRIER, "No telephone line was available for this number.", "Tell your administrator."
    ),
    Cause.PERSON: CauseFacts(
        "NOFAX", Retry.NOFAX, "A person or an answering machine took the call, not a fax machine.", "Check the number."
    ),
    Cause.NO_FAX_TONE: CauseFacts(
        "NOFAX_TO", Retry.NOFAX, "The call was answered, but no fax machine was heard.", "Check the number."
    ),
    Cause.HUNG_UP_BEFORE_FAX: CauseFacts(
        "NOFAX_DIS",
        Retry.NOFAX,
        "The call was answered and ended again before a fax machine was heard.",
        "Check the number.",
    ),
    Cause.NO_COMMON_MODE: CauseFacts(
        "NO_REMOTEINFO", Retry.PROTOCOL, "The two fax machines found no common way to transmit.", ""
    ),
    Cause.TRAINING_FAILED: CauseFacts("NO_TRAIN", Retry.PROTOCOL, "The line was too poor to agree on a speed.", ""),
    Cause.REMOTE_HUNG_UP: CauseFacts("REM_DIS", Retry.PROTOCOL, "The far end hung up during the transmission.", ""),
    Cause.PAGE_NOT_CONFIRMED: CauseFacts(
        "PAGE_SEND_ERROR", Retry.PROTOCOL, "The far end did not confirm a page; it may be out of paper.", ""
    ),
    Cause.LAST_PAGE_NOT_CONFIRMED: CauseFacts(
        "EOD_FAILED",
        Retry.PROTOCOL,
        "All pages were sent, but the far end did not confirm the last one: it may have arrived.",
        "Ask the recipient.",
    ),
    Cause.BAD_LINES: CauseFacts("BAD_LINES", Retry.PROTOCOL, "The far end reported too many bad lines.", ""),
    Cause.PROTOCOL_ERROR: CauseFacts("FANS_GF", Retry.PROTOCOL, "The far end did not follow the fax protocol.", ""),
    Cause.MEDIA_LOST: CauseFacts("COMERROR", Retry.PROTOCOL, "The connection was interrupted.", ""),
    Cause.LINE_FAULT: CauseFacts("COMERROR", Retry.PROTOCOL, "The gateway's own line equipment failed.", ""),
    Cause.DOCUMENT_DAMAGED: CauseFacts(
        "TIFF_PAGE_ERR", Retry.NEVER, "The stored document was damaged and was not sent.", "Send it again."
    ),
    Cause.RENDERING_FAILED: CauseFacts(
        "RENDERING_ERROR", Retry.NEVER, "The document could not be turned into fax pages."
    ),
    Cause.NOTHING_TO_SEND: CauseFacts("MISSING_FAX_FILE", Retry.NEVER, "There was nothing to send."),
    Cause.DENY_LIST: CauseFacts("BLACKLIST", Retry.NEVER, "The number is on a deny list and was not dialled."),
    Cause.CANCELLED: CauseFacts("CANCELLED", Retry.NEVER, "The fax was cancelled."),
    Cause.EXPIRED: CauseFacts("CANCELLED", Retry.NEVER, "The latest time for this fax has passed."),
    Cause.IN_DOUBT: CauseFacts(
        "EOD_FAILED",
        Retry.NEVER,
        "The gateway was interrupted during the transmission: the fax may have arrived. It was not repeated.",
        "Ask the recipient before you send it again.",
    ),
    Cause.CEILING: CauseFacts("CANCELLED", Retry.NEVER, "The number of tries allowed for this fax is used up."),
}

_SIP_CAUSES: dict[int, Cause] = {
    400: Cause.CARRIER_FAULT,
    403: Cause.CARRIER_FAULT,
    404: Cause.WRONG_NUMBER,
    406: Cause.CARRIER_FAULT,
    408: Cause.CARRIER_FAULT,
    410: Cause.NUMBER_CHANGED,
    480: Cause.NO_ANSWER,
    484: Cause.NUMBER_REFUSED,
    486: Cause.BUSY,
    487: Cause.NO_ANSWER,
    488: Cause.NO_COMMON_MODE,
    600: Cause.BUSY,
    603: Cause.REJECTED,
    604: Cause.WRONG_NUMBER,
    606: Cause.NO_COMMON_MODE,
    607: Cause.REJECTED,
}
"""SIP final status → cause (RFC 3261 section 21, RFC 3398 section 8)."""

_Q850_CAUSES: dict[int, Cause] = {
    1: Cause.WRONG_NUMBER,
    2: Cause.CARRIER_FAULT,
    3: Cause.CARRIER_FAULT,
    17: Cause.BUSY,
    18: Cause.NO_ANSWER,
    19: Cause.NO_ANSWER,
    20: Cause.NO_ANSWER,
    21: Cause.REJECTED,
    22: Cause.NUMBER_CHANGED,
    27: Cause.CARRIER_FAULT,
    28: Cause.NUMBER_REFUSED,
    34: Cause.CARRIER_FAULT,
    38: Cause.CARRIER_FAULT,
    41: Cause.CARRIER_FAULT,
    42: Cause.CARRIER_FAULT,
}
"""Q.850 cause in a Reason header (RFC 3326) → cause; more telling than the SIP status it comes with."""


def classify_sip(status: int, q850: int | None = None) -> Cause:
    """The cause of an INVITE's final answer of 300 or more.

    Args:
        status: SIP status code, 300 to 699.
        q850: Q.850 cause of a Reason header, if there was one.
    """
    if q850 in _Q850_CAUSES:
        return _Q850_CAUSES[q850]
    return _SIP_CAUSES.get(status, Cause.CARRIER_FAULT)


def classify_t30(code: int, *, phase_b: bool, remote_ended: bool, all_data_sent: bool) -> Cause:
    """The cause of a call that connected and did not confirm every page.

    Args:
        code: spandsp's completion code, or -1 when the worker ended the call itself.
        phase_b: True once DIS was decoded.
        remote_ended: True when the far end sent BYE before we did.
        all_data_sent: True when only the last page lacks its confirmation, and its data had left.
    """
    if not phase_b:
        return Cause.HUNG_UP_BEFORE_FAX if remote_ended else Cause.NO_FAX_TONE
    if all_data_sent:
        return Cause.LAST_PAGE_NOT_CONFIRMED
    if code in (41, 42, 43, 44, 45, 46, 47):
        return Cause.DOCUMENT_DAMAGED
    if code in (8, 9, 10, 11, 12):
        return Cause.NO_COMMON_MODE
    if code == 6:
        return Cause.TRAINING_FAILED
    if remote_ended or code in (17, 35, 36, 37, 38, 39, 40):
        return Cause.REMOTE_HUNG_UP
    if code in (15, 16, 21, 22, 48):
        return Cause.PAGE_NOT_CONFIRMED
    if code in (-1, 49, 26, 2, 3, 4, 5, 20):
        return Cause.MEDIA_LOST
    return Cause.PROTOCOL_ERROR


@dataclass(frozen=True, slots=True)
class FarEnd:
    """What a call showed of the far end's ways, for the calls to come (`fax.destination`)."""

    t38: str = ""
    """What became of T.38: `theirs` or `ours`, by whose proposal it was agreed; `refused`: ours was; `useless`: agreed
    without media that can be used; empty: nobody proposed it."""
    heard_after: float | None = None
    """Seconds from the answer to the first tone of a fax machine."""
    dis_after: float | None = None
    """Seconds from the answer to its DIS."""
    resolutions: tuple[str, ...] = ()
    """Of its DIS: `204x98`, `204x196`, …; empty when none came."""
    codings: tuple[str, ...] = ()
    """Of its DIS: `MH`, `MR`, `MMR`, …."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to. Times are Unix seconds, UTC."""

    cause: Cause
    connected: bool = False
    """A 2xx was received: the dial counts as a try after connect."""
    exposed: bool = False
    """The mark `exposed` was committed: page data may have left."""
    doubtful: bool = False
    """The post-page command of the first unconfirmed page was sent and not answered: the far end may hold that page."""
    started_at: float = 0.0
    """INVITE."""
    answered_at: float | None = None
    ended_at: float = 0.0
    sip_status: int | None = None
    q850: int | None = None
    retry_after: float | None = None
    """Seconds that the refusal asked us to wait (RFC 3261 section 20.33)."""
    t30_code: int | None = None
    detail: str = ""
    """For the operator: what exactly happened."""
    remote_ident: str = ""
    transport: str = ""
    """`t38`, `g711` or empty."""
    bit_rate: int = 0
    ecm: bool = False
    encoding: str = ""
    ecm_retries: int = 0
    resume: bool = False
    """True when the call was ended by us only to go on in a new one: no try is counted. The false-confirmation guard
    (go on with the next page), or a far end for standard resolution (cause NO_COMMON_MODE, `t30_code` 11, nothing
    exposed: compose at standard and call again)."""
    worker_died: bool = False
    """True when the call worker crashed or was killed during the call."""
    sub_address: str = ""
    """Of a call to us: the sub-address that the sender gave (ITU-T T.33)."""
    frames: tuple[tuple[float, str, bytes], ...] = field(default=())
    """The T.30 ladder: seconds since the INVITE, `>` or `<`, the frame."""
    steps: tuple[tuple[float, str, str], ...] = field(default=())
    """What else happened: seconds since the INVITE, `>` or `<` for a SIP message, `=` for a note of ours, words."""
    far: FarEnd = FarEnd()
    """What it showed of the far end's ways."""

    @property
    def duration(self) -> float:
        """Seconds connected."""
        return max(0.0, self.ended_at - self.answered_at) if self.answered_at is not None else 0.0
