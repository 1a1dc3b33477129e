"""A machine's behaviour as data: what it says at which moment of the T.30 procedure, and what a gateway makes of it.

A `Script` is the normal procedure with exceptions. The machine runs T.30 by itself and asks the script at each moment
when it is its turn to speak; a `Rule` names the moment, the first and the last time it holds, and what is done instead
(`Act`). Moments of a receiving machine: `DIS`, `CFR` (after TCF), `page` (image data begins), `PPR` (frames are
missing), `MCF` (after a post-page command, nothing missing), `RR`, `CTC`, `EOR` (after these commands). Of a sending
machine: `DCS`, `TCF`, `page`, `post-page`, `RR`, `CTC` and `EOR` (after four PPR), `DCN`. Of both: `heard` (a V.21
signal has come in; with `skip` the machine is deaf to it).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.foip import t30_frames as t30
from faxgw.simulator import frames

ALWAYS: Final = 1_000_000
"""As the last time of a rule."""
CSI: Final = frames.ident(t30.CSI, "+49 30 55500")
TSI: Final = frames.ident(t30.TSI | frames.RECEIVED_DIS, "+49 30 55500")
EVERYTHING: Final = (
    frames.RECEIVES,
    *frames.V17,
    frames.FINE,
    frames.MR,
    frames.ANY_LENGTH,
    frames.ECM,
    frames.MMR,
    frames.SUPERFINE,
)
"""DIS bits of a good machine."""


class After(enum.Enum):
    """What a machine does once it has said what it says."""

    GO_ON = "goes on"
    SILENT = "says nothing any more; the line stays open"
    HANG_UP = "hangs up"


class Wire(enum.Enum):
    """How datagrams are made of IFP packets."""

    REDUNDANCY = "three earlier packets repeated"
    FEC = "parity"
    BARE = "nothing repeated"
    LATE_NUMBERS = "numbers begin at 65,000"
    JUMPING = "numbers leave out three of four"
    GARBAGE = "what should be earlier packets is noise"
    TWICE = "each datagram twice"
    BACKWARDS = "of each pair of datagrams the second comes first"


class Style(enum.Enum):
    """How V.21 frames are put into IFP packets."""

    NORMAL = "preamble, a packet per frame, an end"
    BARE = "no preamble and no indicator at the end"
    ENDLESS = "frames without an FCS field and without an end"
    OCTETS = "a packet per octet, the ends in packets of their own"
    WRONG_FIELDS = "frames in fields for data without HDLC"
    ONE_PACKET = "all frames in one packet"


@dataclass(frozen=True, slots=True)
class Act:
    """What is done at a moment."""

    frames: tuple[bytes, ...] | None = None
    """V.21 frames to say; None: the normal ones, empty: none."""
    delay: float = 0.0
    """Seconds later than normal."""
    fcs_ok: bool = True
    """False: the last frame arrives with a bad FCS."""
    after: After = After.GO_ON
    image: bytes | None = None
    """Sending, at `page`: this instead of the coded page, first bit most significant."""
    blocks: tuple[bytes, ...] | None = None
    """Sending, at `page`: these HDLC frames instead of FCD and RCP."""
    packets: tuple[bytes, ...] = ()
    """IFP packets sent first as they are, 20 ms apart."""
    lost: tuple[int, ...] = ()
    """Sending, at `page`: ECM frames with these numbers arrive with a bad FCS."""
    skip: bool = False
    """Sending: the signal is left out and the procedure goes on as if it had been sent. At `heard`: not heard."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An exception."""

    moment: str
    act: Act
    first: int = 1
    """The first time it holds, from 1."""
    last: int = ALWAYS
    """The last time it holds."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What our gateway makes of it, with two fine pages to send, or two sent to it."""

    cause: Cause
    confirmed: int
    """Sending: pages confirmed to us. Receiving: pages we have kept and confirmed."""
    ladder: tuple[str, ...]
    """T.30 frames that occur in this order, others between them: `>` we say, `<` the machine says."""
    never: tuple[str, ...] = ()
    """Frames that do not occur."""
    kept: int | None = None
    """Pages at the receiving end, when that is another number than `confirmed`."""
    intact: bool = True
    """Receiving: the pages we keep are the machine's own, pixel by pixel; False: it has sent something else."""

    @property
    def pages_kept(self) -> int:
        """Pages at the receiving end."""
        return self.confirmed if self.kept is None else self.kept


@dataclass(frozen=True, slots=True)
class Script:
    """One machine."""

    suffix: str
    """Last digits of its numbers; machines that call begin with S and are chosen by it."""
    name: str
    """Short name, unique."""
    text: str
    """What it does, for people."""
    expected: Expected
    rules: tuple[Rule, ...] = ()
    idents: tuple[bytes, ...] | None = None
    """Frames before DIS or DCS; None: CSI or TSI alone."""
    command: bytes = b""
    """The DIS or DCS; empty: that of a good machine."""
    tone: float = 2.6
    """Seconds of CED (receiving) or CNG (sending); 0: none."""
    quiet: float = 0.2
    """Seconds from the answer to the tone."""
    pause: float = 0.0
    """Receiving: seconds from there to the first DIS."""
    dis_every: float = 3.0
    """Seconds between two DIS that nobody answers."""
    patience: float = 35.0
    """Seconds a machine waits for the other to begin (T1, T.30 section 5.4.3.1)."""
    rate: str = "V.17 14400"
    """Sending: modulation (`carrier.RATES`)."""
    trains_as: str = ""
    """Sending: modulation of the T.38 indicators and data, when it is another than DCS says."""
    ecm: bool = True
    """Sending."""
    coding: str = "MMR"
    """Sending: MH, MR or MMR."""
    frame_octets: int = 256
    """Sending: octets of an ECM frame."""
    width: int = 1728
    """Sending: pixels of a row."""
    commands: tuple[int, ...] = ()
    """Sending: post-page command of each page; empty: MPS … EOP."""
    announces_fec: bool = False
    """The session description asks for parity (T38FaxUdpEC), whatever `wire` sends."""
    wire: Wire = Wire.REDUNDANCY
    style: Style = Style.NORMAL
    hasty: bool = False
    """Sending: begins without waiting for DIS."""

    @property
    def sends(self) -> bool:
        """Whether the machine calls and sends."""
        return self.suffix.startswith("S")

    def act(self, moment: str, time: int) -> Act:
        """What is done at a moment, the `time`th of its kind in the call."""
        for rule in self.rules:
            if rule.moment == moment and rule.first <= time <= rule.last:
                return rule.act
        return Act()
