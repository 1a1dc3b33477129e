"""A T.30 terminal of libspandsp, over T.38 (`t38`) or G.711 (`audio`), behind one interface (ITU-T T.30, T.38).

`Terminal.receive` takes a datagram, `Terminal.tick` lets 20 ms pass and returns the datagrams to send; there is no
other clock, so a call runs in virtual time as it does in real time. What happened is in `events`, `frames` and
`completion` after each call: the C handlers only append and close the gate.

**The gate** (docs/spine.md section 5): a handler sets `frozen`, and nothing leaves until `release` (T.38: no tick;
G.711: silence, `fax_tx` not called). Received packets are fed on; missed ticks are never made up. It closes

- sending: at CFR while `cleared` does not cover the next page, and at each confirmed page;
- receiving: at each page that was accepted, before its MCF.

**Late confirmations** (docs/transport.md, "False confirmation"): an answer less than `LATE_WINDOW` after a *repeated*
post-page command may be the answer to the first one; `Confirmed.late` says so. One that comes before its question has
been heard (`EARLY_WINDOW`) confirms nothing.
"""

from __future__ import annotations

import abc
import re
from dataclasses import dataclass
from typing import Any, Final  # cffi objects have no types

from faxgw.foip import t30_frames
from faxgw.foip.control import Statistics, Tone
from faxgw.t30 import binding, decoder
from faxgw.t30.binding import LibraryFault, ffi
from faxgw.t30.callback import callback
from faxgw.t30.decoder import Harm

TICK_SAMPLES: Final = 160
"""Samples of one tick: 20 ms at 8 kHz. At most one T.38 chunk leaves per tick; more samples slow the call down."""
PACKET_BUDGET: Final = 60
"""IFP packets of one tick at most; the library can loop for ever inside one call otherwise."""
LATE_WINDOW: Final = 2.2
"""Seconds after a repeated post-page command in which a confirmation is taken for a late one. A modem's answer to the
repeat itself takes 2.3 s: our preamble and frame, the turn-around, its preamble and frame."""
EARLY_WINDOW: Final = 1.1
"""Seconds after a first post-page command was queued in which no answer to it can come: its preamble (1 s) and frame
are still leaving. A confirmation in it belongs to an earlier page (seen: an answer 5.5 s late, on its second copy)."""
REPEAT_WITHIN: Final = 6.5
"""Seconds in which the same post-page command is a repeated one: T4 of a manual machine (4.5 s + 15 %) and the command
itself (1.2 s). Later it is that of another page, which was lost whole; after 8 s the library's T2 ends the wait."""
MAX_TRACE: Final = 4000
"""Frames kept of one call."""
MAX_PATH: Final = 255
"""Octets of a file name the library holds; longer ones it would cut silently."""
MODEMS_V27TER: Final = 1
MODEMS_V29: Final = 2
MODEMS_V17: Final = 4
RESOLUTIONS_ALL: Final = (
    binding.RESOLUTION_STANDARD | binding.RESOLUTION_FINE | binding.RESOLUTION_SUPERFINE | binding.RESOLUTION_R8
)
RESOLUTIONS_NO_SUPERFINE: Final = binding.RESOLUTION_STANDARD | binding.RESOLUTION_FINE | binding.RESOLUTION_R8
RESOLUTIONS_STANDARD_ONLY: Final = binding.RESOLUTION_STANDARD | binding.RESOLUTION_R8
_SIZES: Final = (
    binding.SIZE_A4_WIDTH
    | binding.SIZE_UNLIMITED_LENGTH
    | binding.SIZE_A4_LENGTH
    | binding.SIZE_B4_LENGTH
    | binding.SIZE_LETTER_LENGTH
    | binding.SIZE_LEGAL_LENGTH
)
_ENCODINGS: Final = {1: "MH", 2: "MR", 3: "MMR"}
_RX_G4: Final = 3
"""Received pages are written as G4."""
_STATION_ID: Final = re.compile(r"[+0-9 ]{0,20}")
_SUB_ADDRESS: Final = re.compile(r"[0-9#*]{0,20}")


def check_station_id(ident: str) -> str:
    """The identification as T.30 allows it (section 5.3.6.2.4): at most 20 of `+0-9 space`.

    Raises:
        ValueError: If it is anything else; the library would send none, or send what no machine displays.
    """
    if not _STATION_ID.fullmatch(ident):
        raise ValueError("a station identification is at most 20 of +, digits and spaces")
    return ident


def check_sub_address(sub_address: str) -> str:
    """The sub-address as T.30 allows it (section 5.3.6.2.13): at most 20 of `0-9 # *`.

    Raises:
        ValueError: If it is anything else.
    """
    if not _SUB_ADDRESS.fullmatch(sub_address):
        raise ValueError("a sub-address is at most 20 of digits, # and *")
    return sub_address


def modems_for_rate(modems: int, bit_rate: int) -> int:
    """The modem mask clamped to T38MaxBitRate; the library cannot be held to V.17 below 14400."""
    if bit_rate < 9600:
        return modems & MODEMS_V27TER or MODEMS_V27TER
    if bit_rate < 14400:
        return modems & (MODEMS_V27TER | MODEMS_V29) or MODEMS_V27TER
    return modems


@dataclass(frozen=True, slots=True)
class PageRange:
    """Pages of one TIFF file to be sent."""

    path: str
    """The file's name, at most MAX_PATH octets."""
    first: int
    """From 1."""
    last: int
    """Inclusive."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the terminal is and may do."""

    calling_party: bool
    """True when we placed the call."""
    station_id: str
    """Our TSI or CSI."""
    documents: tuple[PageRange, ...] = ()
    """To send, one after the other in one call (EOM between them); empty: receive."""
    receive_path: str = ""
    """File the library writes received pages to."""
    ecm: bool = True
    modems: int = MODEMS_V27TER | MODEMS_V29 | MODEMS_V17
    compressions: int = 14
    """Mask: MH 2, MR 4, MMR 8."""
    resolutions: int = RESOLUTIONS_ALL
    sub_address: str = ""
    """Sending: for SUB, if the far end takes it."""
    takes_sub_address: bool = False
    """Receiving: whether DIS says that we take one."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A tone was heard in the audio."""

    tone: Tone


@dataclass(frozen=True, slots=True)
class PhaseB:
    """DIS (we send) or DCS (we receive) was decoded."""

    frame: bytes
    """The DIS or DCS, in the order of `t30_frames`."""
    remote_ident: str
    sub_address: str
    """The SUB that came, if one did."""


@dataclass(frozen=True, slots=True)
class CfrHeld:
    """CFR came before the next page was cleared: the gate is closed."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The far end confirmed a page: the gate is closed."""

    count: int
    """Pages confirmed in this call."""
    late: bool
    """The answer may belong to an earlier command: end the call after this page."""


@dataclass(frozen=True, slots=True)
class StalePartial:
    """A late confirmation of something less than a page, or of an earlier one: end the call, nothing is confirmed."""


@dataclass(frozen=True, slots=True)
class Received:
    """A page came in and is accepted by the library: the gate is closed."""

    count: int
    """Pages received in this call."""
    rows: int
    width: int
    x_resolution: int
    """Pixels per metre."""
    y_resolution: int
    """Pixels per metre."""
    bad_rows: int
    encoding: str
    last: bool
    """True when the page ended with EOP."""
    document_end: bool = False
    """True when the page ended with EOM: another document may follow."""


@dataclass(frozen=True, slots=True)
class Unkept:
    """The library is about to confirm a page of which nothing has come: end the call."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Phase D without a page more: the page was not accepted (RTN, PIN), by us or by the far end."""

    fcf: int


Event = Heard | PhaseB | CfrHeld | Confirmed | StalePartial | Received | Refused | Unkept


class Terminal(abc.ABC):
    """What T.38 and G.711 have in common: the T.30 engine, its handlers, the gate."""

    transport = ""
    """`t38` or `g711`, for the statistics."""

    def __init__(self, profile: Profile) -> None:
        self.events: list[Event] = []
        """What happened, in order; the owner takes and clears it."""
        self.frames: list[tuple[float, str, bytes]] = []
        """Time, `>` or `<`, frame: T.30 frames but for the image data; the owner takes and clears it."""
        self.frozen = False
        """True while the gate is closed."""
        self.phase_b = False
        """True once DIS or DCS has been decoded."""
        self.completion: int | None = None
        """The library's completion code, once there is one."""
        self.cleared = 0
        """Pages of this call that may be sent: CFR for a later one closes the gate."""
        self.over_budget = False
        """The packet budget of a tick was exceeded: the library's loop was broken."""
        self.packet_budget = PACKET_BUDGET
        """IFP packets of one tick at most."""
        self._profile = profile
        self._lib = binding.library()
        self._now = 0.0
        self._pages = 0
        self._document = 0
        self._negotiation = b""
        self._commands: list[float] = []
        self._late = False
        self._early = False
        self._acknowledged = 0
        self._asked = self._answered = (0, 0.0)
        self._traced = 0
        self._t30: Any = None
        self._decoder: Any = None
        """The library's decoder, if we receive."""
        self._handle: Any = ffi.new_handle(self)

    @property
    def handle(self) -> Any:
        """What the library's callbacks find this terminal by."""
        return self._handle

    @abc.abstractmethod
    def receive(self, datagram: bytes, now: float) -> None:
        """Take one datagram from the far end. Garbage is counted and dropped."""

    @abc.abstractmethod
    def is_media(self, datagram: bytes) -> bool:
        """Whether a datagram can be read as one of this medium; nothing is done with it."""

    @abc.abstractmethod
    def tick(self, now: float) -> list[tuple[bytes, int]]:
        """Let 20 ms pass; returns datagrams to send, each with how many times."""

    @property
    def sequence(self) -> int:
        """Over T.38: number of our next UDPTL datagram; set before the first, it goes on from another engine's."""
        return 0

    @sequence.setter  # noqa: B027 - audio has none
    def sequence(self, value: int) -> None:
        pass  # an engine for audio begins a stream of its own (RFC 3550 section 8)

    def change_payload_type(self, payload_type: int) -> None:  # noqa: B027 - T.38 has none
        """Over G.711: send in another law from now on. Both are understood at any time."""

    @abc.abstractmethod
    def _free(self) -> None:
        """Free the library's objects."""

    @abc.abstractmethod
    def statistics(self) -> Statistics:
        """What has been counted so far."""

    @property
    @abc.abstractmethod
    def losses(self) -> tuple[int, int]:
        """Media packets lost for good, and brought back by redundancy or parity, so far."""

    def release(self) -> None:
        """Open the gate. The ticks that were missed are not made up."""
        self.frozen = False

    def terminate(self, now: float) -> int:
        """End the T.30 session without a word to the far end; returns the completion code.

        0 if the last page was confirmed, else 49. Nothing is sent: hang up as well.
        """
        self._now = now
        if self.completion is None and self._t30 is not None:
            self._lib.t30_terminate(self._t30)
        if self.completion is None:
            self.completion = 49
        return self.completion

    def close(self) -> None:
        """Free everything; nothing else may be called afterwards."""
        if self._t30 is not None:
            self._t30 = None
            self._decoder = None
            self._free()
            self._handle = None

    def _configure(self, t30: Any) -> None:
        lib, profile = self._lib, self._profile
        self._t30 = t30
        if lib.t30_set_tx_ident(t30, check_station_id(profile.station_id).encode("ascii")):
            raise LibraryFault("station identification refused")
        if lib.t30_set_tx_sub_address(t30, check_sub_address(profile.sub_address).encode("ascii")):
            raise LibraryFault("sub-address refused")
        if profile.takes_sub_address:
            lib.t30_set_supported_t30_features(t30, binding.FEATURE_IDENTIFICATION | binding.FEATURE_SUB_ADDRESSING)
        lib.t30_set_ecm_capability(t30, int(profile.ecm))
        lib.t30_set_supported_modems(t30, profile.modems)
        lib.t30_set_supported_compressions(t30, profile.compressions)
        lib.t30_set_supported_resolutions(t30, profile.resolutions)
        lib.t30_set_supported_image_sizes(t30, _SIZES)
        lib.t30_set_phase_b_handler(t30, _phase_b_handler, self._handle)
        lib.t30_set_phase_d_handler(t30, _phase_d_handler, self._handle)
        lib.t30_set_phase_e_handler(t30, _phase_e_handler, self._handle)
        lib.t30_set_real_time_frame_handler(t30, frame_handler, self._handle)
        if profile.documents:
            lib.t30_set_document_handler(t30, _document_handler, self._handle)
            self._load(profile.documents[0])
        else:
            if lib.t30_set_rx_encoding(t30, _RX_G4):
                raise LibraryFault("G4 refused as coding of the received file")
            lib.t30_set_rx_file(t30, _path(profile.receive_path), -1)
            self._watch_decoder()

    def _watch_decoder(self) -> None:
        """What comes in goes through the guard of the decoder, which marks it when it must."""
        decoder.protect()
        self._decoder = decoder.state_of(self._t30)

    @property
    def harm(self) -> Harm:
        """What the page data that came in would have done; then nothing more is decoded, and the call is to end."""
        return Harm.NONE if self._decoder is None else Harm(self._decoder.mark)

    def _load(self, document: PageRange) -> None:
        self._lib.t30_set_tx_file(self._t30, _path(document.path), document.first - 1, document.last - 1)

    def _stats(self) -> Any:
        stats = ffi.new("t30_stats_t *")
        self._lib.t30_get_transfer_statistics(self._t30, stats)
        return stats

    def _fill(self, lost: int, recovered: int) -> Statistics:
        if self._t30 is None or not self.phase_b:
            transport = self.transport if self.transport == "t38" else "audio"
            return Statistics(transport, packets_lost=lost, packets_recovered=recovered)
        stats = self._stats()
        return Statistics(
            transport=self.transport,
            bit_rate=stats.bit_rate,
            ecm=bool(stats.error_correcting_mode),
            encoding=_ENCODINGS.get(stats.encoding, ""),
            pages_in_call=stats.pages_tx if self._profile.documents else stats.pages_rx,
            ecm_retries=stats.error_correcting_mode_retries,
            bad_rows=stats.bad_rows,
            packets_lost=lost,
            packets_recovered=recovered,
            page_rows=stats.length,
            page_octets=stats.image_size,
        )

    def _tell(self, event: Event) -> None:
        self.events.append(event)

    # The library's handlers. They run inside a C call: they append, close the gate, and return.

    def on_phase_b(self) -> None:
        """DIS or DCS decoded."""
        self.phase_b = True
        ident = binding.string(self._lib.t30_get_rx_ident(self._t30)).strip()  # many machines fill up with blanks
        sub_address = binding.string(self._lib.t30_get_rx_sub_address(self._t30)).strip()
        self._tell(PhaseB(self._negotiation, ident, sub_address))

    def on_phase_d(self, code: int) -> None:
        """A page has ended; `code` is the command (receiving) or the answer (sending)."""
        if self.harm:
            self.frozen = True
            return
        stats = self._stats()
        pages = stats.pages_tx if self._profile.documents else stats.pages_rx
        if pages <= self._pages:
            self._tell(Refused(code))
            return
        self.frozen = True
        if self._early:
            self._early = False
            self._tell(StalePartial())
            return
        self._pages = pages
        if self._profile.documents:
            self._tell(Confirmed(pages, self._late))
            self._late = False
            return
        self._tell(
            Received(
                count=pages,
                rows=stats.length,
                width=stats.width,
                x_resolution=stats.x_resolution,
                y_resolution=stats.y_resolution,
                bad_rows=0 if stats.error_correcting_mode else stats.bad_rows,
                encoding=_ENCODINGS.get(stats.encoding, ""),
                last=code & 0xFE == t30_frames.EOP,
                document_end=code & 0xFE == t30_frames.EOM,
            )
        )

    def on_phase_e(self, code: int) -> None:
        """The session is over."""
        if self.completion is None:
            self.completion = code

    def on_frame(self, received: bool, frame: bytes) -> None:
        """A T.30 frame was received, or queued to be sent."""
        code = t30_frames.fcf(frame)
        if code in (t30_frames.FCD, t30_frames.RCP) or (not received and self.harm):
            return  # image data; what the library would answer to those that harm never leaves
        if self._traced < MAX_TRACE:
            self._traced += 1
            self.frames.append((self._now, "<" if received else ">", frame))
        if code in (t30_frames.DIS, t30_frames.DCS) and received:
            self._negotiation = frame
        if not self._profile.documents:
            self._on_page_end(received, code)
        elif received:
            self._on_answer(code)
        elif code in t30_frames.POST_PAGE_COMMANDS:
            self._commands.append(self._now)

    def _on_page_end(self, received: bool, code: int) -> None:
        """Receiving without ECM: asked about a page that was lost whole, the library confirms the one before again.

        Right only for a command that is repeated because our answer was lost: the same one, and soon.
        """
        if code == t30_frames.DCS:
            self._answered = (0, 0.0)
        elif received and code in t30_frames.POST_PAGE_COMMANDS and code != t30_frames.PPS:
            self._asked = (code, self._now)
        elif not received and code in t30_frames.CONFIRMATIONS and self._asked[0]:
            (asked, at), (answered, before) = self._asked, self._answered
            if self._pages == self._acknowledged and (asked != answered or at - before > REPEAT_WITHIN):
                self._tell(Unkept())
            self._acknowledged, self._answered = self._pages, self._asked

    def _on_answer(self, code: int) -> None:
        if code == t30_frames.CFR and self._pages >= self.cleared:
            self.frozen = True
            self._tell(CfrHeld())
        confirms, said = code in t30_frames.CONFIRMATIONS, len(self._commands)
        since = self._now - self._commands[-1] if said else 0.0
        self._early = confirms and said == 1 and since < EARLY_WINDOW
        self._late = confirms and said > 1 and since < LATE_WINDOW
        self._commands.clear()

    def _after(self) -> None:
        """After each C call: a late confirmation that confirmed no page leaves the session unsure."""
        if self._late or self._early:
            self._late = self._early = False
            self._tell(StalePartial())

    def on_document(self) -> int:
        """The last page of a document has been sent; 1 if another follows (EOM), else 0 (EOP)."""
        if self._document + 1 >= len(self._profile.documents):
            return 0
        self._document += 1
        self._load(self._profile.documents[self._document])
        return 1


def _path(path: str) -> bytes:
    octets = path.encode()
    if not octets or len(octets) > MAX_PATH:
        raise LibraryFault(f"file name of {len(octets)} octets")
    return octets


@callback("phase_handler_t", error=-1)
def _phase_b_handler(_t30: Any, user_data: Any, _code: int) -> int:
    ffi.from_handle(user_data).on_phase_b()
    return 0


@callback("phase_handler_t", error=-1)
def _phase_d_handler(_t30: Any, user_data: Any, code: int) -> int:
    ffi.from_handle(user_data).on_phase_d(code)
    return 0


@callback("phase_e_handler_t")
def _phase_e_handler(_t30: Any, user_data: Any, code: int) -> None:
    ffi.from_handle(user_data).on_phase_e(code)


@callback("frame_handler_t")
def frame_handler(_t30: Any, user_data: Any, direction: int, message: Any, length: int) -> None:
    """The library's real-time frame handler of a terminal."""
    if length > 0 and message != ffi.NULL:
        ffi.from_handle(user_data).on_frame(bool(direction), bytes(ffi.buffer(message, length)))


@callback("phase_handler_t", error=0)
def _document_handler(_t30: Any, user_data: Any, _code: int) -> int:
    more: int = ffi.from_handle(user_data).on_document()
    return more
