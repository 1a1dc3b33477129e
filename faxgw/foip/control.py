"""Messages between the daemon and a call worker (docs/spine.md section 8), as values and as msgpack octets.

The worker holds the media of a call and libspandsp; the daemon holds SIP and the promises. Each message is one
frame of `faxgw.pipe`; descriptors named in a message travel with its frame, in the order of the fields.

Page numbers are absolute in their document and count from 1. `call` is a number the daemon draws, unique for the
life of the worker.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field
from typing import Any  # msgpack decodes to untyped values; they are checked on the way into the classes

import msgpack

from faxgw.foip.errors import LocalProtocolError

Address = tuple[str, int]
"""IP address literal and port."""


class Role(enum.StrEnum):
    """Who transmits pages in the call."""

    SEND = "send"
    RECEIVE = "receive"


class Tone(enum.StrEnum):
    """What was heard in the audio before phase B; each at most once in a call."""

    CED = "ced"
    V21 = "v21"
    CNG = "cng"
    VOICE = "voice"
    """Speech, or something like it: no tone of a machine."""


class Gate(enum.StrEnum):
    """Which promise an acknowledgement releases (spine section 5)."""

    EXPOSED = "exposed"
    CONFIRMED = "confirmed"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Document:
    """One fax of a call: a TIFF of which pages `first` to `last` are to be sent."""

    fax: str
    """The fax's id (FN…)."""
    pages_in_file: int
    """Pages the file holds; checked against what the library reports."""
    first: int
    """First page to send, from 1."""
    last: int
    """Last page to send, inclusive."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Wall-clock bounds of one call, in seconds."""

    answer_to_phase_b: float = 60.0
    """From media start to the first DIS or DCS: T1 (35 s) and patience."""
    t38_silence: float = 30.0
    """From the beginning of T.38 to the far end's first packet; a little less than T1, which would hide the reason."""
    page: float = 600.0
    """One page, training included."""
    call: float = 7200.0
    """The whole call."""
    gate: float = 2.0
    """CFR gate and received-page gate: longest freeze before the call is ended (spine section 5)."""
    between_pages: float = 1.0
    """Gate between pages: longest freeze."""
    coarser: float = 0.0
    """Sending: from a DIS that does not take the pages' resolution to `Documents`; the far end repeats its DIS every
    3 s for 35 s (T.30 timers T4 and T1). 0: the call ends."""


@dataclass(frozen=True, slots=True)
class T38Media:
    """Negotiated T.38 parameters of the peer (its limits on what we send)."""

    remote: Address
    """Where our UDPTL goes."""
    max_datagram: int = 400
    """Octets of one UDPTL datagram at most (T38FaxMaxDatagram)."""
    error_correction: str = "redundancy"
    """`redundancy`, `fec` or `none` (T38FaxUdpEC)."""
    max_bit_rate: int = 14400
    """T38MaxBitRate; clamps the modems."""


@dataclass(frozen=True, slots=True)
class Start:
    """Daemon → worker: begin a call. Descriptors: RTP socket, UDPTL socket (both bound UDP), then each document."""

    call: int
    role: Role
    rtp_remote: Address | None
    """Where our RTP goes, or None while unknown."""
    payload_type: int
    """RTP payload type: 0 (PCMU) or 8 (PCMA)."""
    t38: T38Media | None
    """Set when the call starts with T.38 at once."""
    station_id: str
    """Our TSI or CSI: at most 20 of `+0-9 space`."""
    documents: tuple[Document, ...] = ()
    ecm: bool = True
    modems: int = 7
    """Mask: V.27ter 1, V.29 2, V.17 4 (transport.md F.2)."""
    compressions: int = 14
    """Mask: MH 2, MR 4, MMR 8."""
    calling_party: bool = True
    """True when we placed the call (we send CNG, the other side CED and DIS)."""
    limits: Limits = field(default_factory=Limits)
    sub_address: str = ""
    """Sending: T.33 sub-address, at most 20 of `0-9 # *`. Sent as SUB if the far end's DIS says that it takes one."""
    takes_sub_address: bool = False
    """Receiving: say in DIS that a sub-address is taken; it comes with PhaseB."""
    record: bool = False
    """One more descriptor comes last: a file to write every datagram to (`foip.recording`)."""
    signalling: str = ""
    """IP address the peer's signalling comes from: media from there may take the place of the address in its SDP."""
    nat: bool = False
    """Media may come from any address, as long as none came from the one in the SDP (the peer sits behind a NAT)."""


@dataclass(frozen=True, slots=True)
class Media:
    """Daemon → worker: the peer's RTP address or payload type is known, or has changed."""

    call: int
    remote: Address
    payload_type: int


@dataclass(frozen=True, slots=True)
class SwitchT38:
    """Daemon → worker: T.38 is agreed. After phase B in audio the worker goes on as it is and says SwitchRefused."""

    call: int
    t38: T38Media


@dataclass(frozen=True, slots=True)
class Documents:
    """Daemon → worker: the same pages in a resolution that the far end takes, after `TooFine`.

    Descriptors: each document. Faxes and page ranges must be those of `Start`. The engine begins anew with the next
    DIS. Without documents, or with wrong ones, the call ends as if it had not waited.
    """

    call: int
    documents: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True)
class Ack:
    """Daemon → worker: the promise is durable, the gate may open."""

    call: int
    gate: Gate
    fax: str
    """The fax; empty for a received page."""
    page: int
    """The first page exposed, the page confirmed, or the page received."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """Daemon → worker: end the call now (BYE from the far end, cancel, deadline). Phase E follows."""

    call: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Daemon → worker, every second."""

    serial: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Worker → daemon: a tone in the audio."""

    call: int
    tone: Tone


@dataclass(frozen=True, slots=True)
class PhaseB:
    """Worker → daemon: DIS (we send) or DCS (we receive) was decoded.

    When sending it asks for the mark `exposed`, unless `fax` is empty: then nothing will be sent in this call, and
    PhaseE says why.
    """

    call: int
    remote_ident: str
    """CSI or TSI as received, decoded latin-1, control characters removed."""
    frame: bytes
    """The DIS or DCS frame, octets as in `t30_frames` (least significant bit first on the line)."""
    fax: str = ""
    """The fax whose first page is next; empty when receiving, or when none can be sent."""
    page: int = 0
    """That first page."""
    sub_address: str = ""
    """Receiving: the SUB that came, control characters removed; empty when sending."""


@dataclass(frozen=True, slots=True)
class TooFine:
    """Worker → daemon, after a PhaseB without fax: the far end does not take the pages' resolution.

    Nothing was said to it. The call waits `Limits.coarser` for `Documents`; asked once in a call.
    """

    call: int
    taken: tuple[str, ...]
    """Resolutions of its DIS (`t30_frames.Capabilities`)."""


@dataclass(frozen=True, slots=True)
class Cfr:
    """Worker → daemon: CFR arrived, the gate has closed; it opens at Ack(EXPOSED)."""

    call: int
    fax: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Worker → daemon: `page` of `fax` was confirmed by MCF, RTP or PIP; the call is frozen until Ack(CONFIRMED)."""

    call: int
    fax: str
    page: int
    statistics: Statistics = field(default_factory=lambda: Statistics())
    """What the engine has counted so far: rate, coding and ECM as negotiated."""


@dataclass(frozen=True, slots=True)
class PageReceived:
    """Worker → daemon: a page came in; the call is frozen until Ack(PAGE). Descriptor: a one-page TIFF."""

    call: int
    page: int
    rows: int
    width: int
    x_resolution: int
    """Pixels per metre."""
    y_resolution: int
    """Pixels per metre."""
    bad_rows: int
    encoding: str
    """Coding on the line: MH, MR or MMR."""
    last: bool
    """True when the page ended with EOP."""
    document_end: bool = False
    """True when the page ended with EOM: another document may follow in this call."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the engine counted in a call."""

    transport: str = "audio"
    """`t38` or `g711`; `audio` when no fax was negotiated."""
    bit_rate: int = 0
    ecm: bool = False
    encoding: str = ""
    pages_in_call: int = 0
    """Pages the library counted as transferred in this call."""
    ecm_retries: int = 0
    bad_rows: int = 0
    packets_lost: int = 0
    packets_recovered: int = 0
    page_rows: int = 0
    """Rows of the page that was counted last."""
    page_octets: int = 0
    """Octets of its image, as coded."""


@dataclass(frozen=True, slots=True)
class PhaseE:
    """Worker → daemon: the call's fax part is over. Last message of a call but for Trace."""

    call: int
    code: int
    """spandsp's completion code, 0 to 61 (transport.md F.7); -1 when the worker itself ended the call (but for
    `resolution`, which is 11 in any case)."""
    text: str
    """The code in words, or why the worker ended the call."""
    remote_ident: str
    statistics: Statistics
    reason: str = ""
    """`gate` (no acknowledgement in time), `limit` (a wall-clock bound), `guard` (late confirmation: resume in a
    new call), `budget` (packet storm), `late` (ticks too late), `hangup` (asked to; the code is the library's),
    `silent` (T.38 was agreed and not one packet of it came), `refused` (a page was refused twice with RTN or PIN),
    `page` (a received page could not be stored), `start` (the call could not begin), `fault` (our own fault),
    `resolution` (the far end does not take a page's resolution: code 11, nothing was exposed);
    empty: the library ended it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Worker → daemon: T.30 frames of a call since the last Trace."""

    call: int
    frames: tuple[tuple[float, str, bytes], ...]
    """Seconds since the start of the call, `>` sent or `<` received, the frame's octets as in `t30_frames`."""
    packets_lost: int = 0
    """Media packets lost for good so far."""
    packets_recovered: int = 0
    """Media packets that redundancy or parity brought back."""


@dataclass(frozen=True, slots=True)
class SwitchRefused:
    """Worker → daemon: T.38 was agreed, but phase B has begun in audio and the engine stays there.

    The peer may have left audio already: its owner offers audio again, or ends the call.
    """

    call: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker → daemon: answer to Ping."""

    serial: int
    lateness_ms: float
    """Worst tick lateness since the last Pong, in milliseconds."""
    calls: int
    """Calls in progress."""


Message = (
    Start
    | Media
    | SwitchT38
    | Documents
    | Ack
    | Hangup
    | Ping
    | Heard
    | PhaseB
    | TooFine
    | Cfr
    | Confirmed
    | PageReceived
    | PhaseE
    | Trace
    | SwitchRefused
    | Pong
)
_CLASSES: dict[str, type[Any]] = {
    c.__name__: c
    for c in (
        Start,
        Media,
        SwitchT38,
        Documents,
        Ack,
        Hangup,
        Ping,
        Heard,
        PhaseB,
        TooFine,
        Cfr,
        Confirmed,
        PageReceived,
        PhaseE,
        Trace,
        SwitchRefused,
        Pong,
    )
}


def encode(message: Message) -> bytes:
    """The message as one frame's payload."""
    return bytes(msgpack.packb([type(message).__name__, asdict(message)], use_bin_type=True))


def decode(payload: bytes) -> Message:
    """The message in a frame's payload.

    Raises:
        LocalProtocolError: If it is none of ours: both ends are our own processes.
    """
    try:
        name, values = msgpack.unpackb(payload, raw=False, use_list=False)
        message: Message = _build(_CLASSES[name], dict(values))
        return message
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise LocalProtocolError(f"not a control message: {exc}") from exc


def _build(cls: type[Any], values: dict[str, Any]) -> Any:
    if cls is Start:
        values["role"] = Role(values["role"])
        values["t38"] = values["t38"] and T38Media(**values["t38"])
        values["documents"] = tuple(Document(**d) for d in values["documents"])
        values["limits"] = Limits(**values["limits"])
    elif cls is Documents:
        values["documents"] = tuple(Document(**d) for d in values["documents"])
    elif cls is SwitchT38:
        values["t38"] = T38Media(**values["t38"])
    elif cls is Ack:
        values["gate"] = Gate(values["gate"])
    elif cls is Heard:
        values["tone"] = Tone(values["tone"])
    elif cls is PhaseE or cls is Confirmed:
        values["statistics"] = Statistics(**values["statistics"])
    return cls(**values)
