"""The zoo's machines that call and send: what each does, and what our gateway makes of it.

Each is the good machine of `sending` with exceptions. The expectations hold for two fine pages sent to the gateway.
"""

from __future__ import annotations

from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.foip import ifp
from faxgw.foip import t30_frames as t30
from faxgw.foip.ifp import Indicator
from faxgw.simulator import coding, frames
from faxgw.simulator.script import EVERYTHING, TSI, Act, After, Expected, Rule, Script, Style, Wire

_OK: Final = ("<DCS", ">CFR", "<PPS-MPS", ">MCF", "<PPS-EOP", ">MCF", "<DCN")
_OK_PLAIN: Final = ("<DCS", ">CFR", "<MPS", ">MCF", "<EOP", ">MCF", "<DCN")
_FINE: Final = (frames.FINE, frames.ANY_LENGTH, frames.ECM, frames.MMR)
"""DCS bits of a good machine, but for the modem."""
_SILENT: Final = Act(frames=(), after=After.SILENT)
_HANGS_UP: Final = Act(frames=(), after=After.HANG_UP)
_DCN: Final = Act(frames=(frames.frame(t30.DCN | frames.RECEIVED_DIS),))
_STORM: Final = (ifp.encode(Indicator.NO_SIGNAL),) * 200
_NOISE: Final = bytes((37 * n * n + 11 * n) % 251 for n in range(4000))
_WHITE: Final = coding.EOL + coding.row_bits((), 1728)
_BAR: Final = coding.EOL + coding.row_bits((400, 500), 1728)


def _rows(pattern: str, count: int) -> bytes:
    """Rows without error correction, and the end of the page."""
    return coding.pack(pattern * count + coding.EOL * 6)


def _good(ladder: tuple[str, ...] = _OK, *, intact: bool = True) -> Expected:
    return Expected(Cause.OK, 2, ladder, intact=intact)


def _fails(
    cause: Cause, confirmed: int, *ladder: str, never: tuple[str, ...] = (), kept: int | None = None
) -> Expected:
    return Expected(cause, confirmed, ladder, never, kept)


def _fcd(data: bytes) -> bytes:
    return frames.fcd(0, t30.from_line(data))


CALLING: Final = (
    Script("S01", "sender", "sends well: V.17, error correction, MMR", _good()),
    Script("S02", "MH sender", "no error correction, one-dimensional coding", _good(_OK_PLAIN), ecm=False,
           coding="MH"),
    Script("S03", "V.29 sender", "no error correction, two-dimensional coding, V.29 at 7,200 bit/s", _good(_OK_PLAIN),
           ecm=False, coding="MR", rate="V.29 7200"),
    Script("S04", "64-octet sender", "error correction with frames of 64 octets", _good(), frame_octets=64),
    Script("S05", "slow sender", "V.27ter at 2,400 bit/s", _good(), rate="V.27ter 2400"),
    Script("S06", "B4 sender", "pages of 2,048 pixels", _good(), width=2048),
    Script("S07", "A3 sender", "pages of 2,432 pixels, which our DIS does not offer", _good(), width=2432),
    Script("S08", "reserved width", "DCS with the reserved page width, deadly to an unguarded library",
           _fails(Cause.REMOTE_HUNG_UP, 0, ">DIS", "<TSI", "<DCN", never=("<DCS", ">CFR")),
           command=frames.dcs("V.17 14400", *_FINE, frames.B4, frames.A3)),
    Script("S09", "300 dpi sender", "DCS for 300 × 300 dpi, which our DIS does not offer", _good(), width=2592,
           command=frames.dcs("V.17 14400", *_FINE[1:], frames.INCH_300)),
    Script("S10", "V.33 sender", "DCS for a modem that our DIS does not offer",
           _fails(Cause.NO_COMMON_MODE, 0, "<DCS", "<DCN", never=(">CFR",)),
           command=frames.bits(t30.DCS | 1, (frames.RECEIVES, 13, *_FINE))),
    Script("S11", "hasty sender", "commands at once, before any DIS", _good(), tone=0.0, hasty=True),
    Script("S12", "no training", "leaves out TCF, three times", _fails(Cause.PROTOCOL_ERROR, 0, "<DCS",
           never=(">CFR",)),
           rules=(Rule("TCF", Act(skip=True)),)),
    Script("S13", "noisy training", "TCF is noise once, then zeros", _good(("<DCS", ">FTT", "<DCS", *_OK[1:])),
           rules=(Rule("TCF", Act(image=b"\x5a" * 2700), last=1),)),
    Script("S14", "never trains", "TCF is always noise", _fails(Cause.REMOTE_HUNG_UP, 0, "<DCS", ">FTT", ">FTT",
           "<DCN"),
           rules=(Rule("TCF", Act(image=b"\x5a" * 2700)),)),
    Script("S15", "silent after training", "hears CFR and says nothing any more",
           _fails(Cause.MEDIA_LOST, 0, ">CFR"), rules=(Rule("page", Act(skip=True, after=After.SILENT)),)),
    Script("S16", "hangs up after training", "BYE instead of page 1", _fails(Cause.REMOTE_HUNG_UP, 0, ">CFR"),
           rules=(Rule("page", Act(skip=True, after=After.HANG_UP)),)),
    Script("S17", "page without an end", "page 1 and no post-page command, then nothing",
           _fails(Cause.MEDIA_LOST, 0, ">CFR", never=(">MCF",)), rules=(Rule("post-page", _SILENT),)),
    Script("S18", "command lost", "the first post-page command arrives with a bad FCS", _good(),
           rules=(Rule("post-page", Act(fcs_ok=False), last=1),)),
    Script("S19", "DCN for MPS", "DCN instead of the post-page command", _fails(Cause.REMOTE_HUNG_UP, 0, "<DCN"),
           rules=(Rule("post-page", _DCN),)),
    Script("S20", "two documents", "EOM after page 1, then a second document",
           _good(("<PPS-EOM", ">MCF", ">DIS", "<DCS", ">CFR", "<PPS-EOP", ">MCF", "<DCN")), commands=(t30.EOM,)),
    Script("S21", "vanishes", "MPS after page 2, then nothing: was it the last one?",
           _fails(Cause.MEDIA_LOST, 2, "<PPS-MPS", ">MCF", "<PPS-MPS", ">MCF", kept=2), commands=(t30.MPS, t30.MPS),
           rules=(Rule("DCN", _SILENT),)),
    Script("S22", "no goodbye sender", "hangs up right after the confirmation of the last page", _good(_OK[:-1]),
           rules=(Rule("DCN", _HANGS_UP),)),
    Script("S23", "deaf to MCF", "does not hear the confirmation of page 1 and asks again", _good(("<PPS-MPS", ">MCF",
           "<PPS-MPS", ">MCF", "<PPS-EOP", ">MCF", "<DCN")),
           rules=(Rule("heard", Act(skip=True), 3, 3),)),
    Script("S24", "frames hurt", "frames 0 and 2 of page 1 are hurt once", _good(("<PPS-MPS", ">PPR", *_OK[2:])),
           rules=(Rule("page", Act(lost=(0, 2)), last=1),)),
    Script("S25", "frames always hurt", "frame 1 of page 1 never arrives: CTC, then EOR",
           _fails(Cause.PROTOCOL_ERROR, 0, ">PPR", ">PPR", ">PPR", ">PPR", "<CTC", ">CTR", ">PPR", "<EOR-MPS", ">ERR"),
           rules=(Rule("page", Act(lost=(1,))),)),
    Script("S26", "short FCD", "an image frame of three octets, deadly to an unguarded library",
           _fails(Cause.PROTOCOL_ERROR, 0, ">CFR", ">PPR"), rules=(Rule("page",
           Act(blocks=(frames.frame(t30.FCD),) * 4)),)),
    Script("S27", "endless frame", "a V.21 frame of 400 octets before DCS", _good(),
           idents=(TSI, frames.frame(0x22, bytes(400), final=False))),
    Script("S28", "garbage in MMR", "error correction, and page 1 is noise", _good(intact=False),
           rules=(Rule("page", Act(blocks=tuple(frames.fcd(n, _NOISE[256 * n : 256 * n + 256]) for n in range(12))),
                       last=1),)),
    Script("S29", "bad rows", "no error correction; page 1 is noise, as often as it is asked for",
           _fails(Cause.MEDIA_LOST, 0, "<MPS", ">RTN", "<MPS", ">RTN", "<MPS", ">RTN"),
           ecm=False, coding="MH", rules=(Rule("page", Act(image=_NOISE)),)),
    Script("S30", "no EOL", "no error correction; page 1 has no EOL, once",
           _good(("<MPS", ">RTN", "<DCS", ">CFR", "<MPS", ">MCF", "<EOP", ">MCF", "<DCN")),
           ecm=False, coding="MH", rules=(Rule("page", Act(image=coding.pack(coding.row_bits((9, 99), 1728) * 300)),
           last=1),)),
    Script("S31", "no rows", "no error correction; page 1 has no row, once",
           _good(("<MPS", ">RTN", "<DCS", ">CFR", "<MPS", ">MCF", "<EOP", ">MCF", "<DCN")),
           ecm=False, coding="MH", rules=(Rule("page", Act(image=_rows("", 0)), last=1),)),
    Script("S32", "endless page", "no error correction; page 1 has 15,000 rows", _good(_OK_PLAIN, intact=False),
           ecm=False, coding="MH",
           rules=(Rule("page", Act(image=_rows(_BAR, 15_000)), last=1),)),
    Script("S33", "white page", "no error correction; page 1 has 4,000 white rows", _good(_OK_PLAIN, intact=False),
           ecm=False,
           coding="MH", rules=(Rule("page", Act(image=_rows(_WHITE, 4_000)), last=1),)),
    Script("S34", "polling sender", "DTC instead of DCS: it wants us to send", _fails(Cause.NO_COMMON_MODE, 0, "<DTC",
           ">DCN"),
           command=frames.bits(t30.DTC, EVERYTHING), rules=(Rule("TCF", Act(skip=True)),)),
    Script("S35", "SUB", "a sub-address before DCS", _good(("<SUB", *_OK)),
           idents=(TSI, frames.ident(frames.SUB | 1, "4711"))),
    Script("S36", "SID and PWD", "a sender's identification and a password before DCS", _good(),
           idents=(TSI, frames.ident(frames.SID | 1, "9"), frames.ident(frames.PWD, "0815"))),
    Script("S37", "odd TSI", "an identification of control and 8-bit characters", _good(),
           idents=(frames.ident(t30.TSI | 1, bytes((0, 7, 27, 10, 13, 0x9B, 0xFF, 0xE4, 0x3C, 0x25)) * 2),)),
    Script("S38", "interrupted", "PRI-EOP: it wants to speak to somebody",
           _good(("<MPS", ">MCF", "<PRI-EOP", ">MCF", "<DCN")),
           ecm=False, coding="MH", commands=(t30.MPS, frames.PRI_EOP)),
    Script("S39", "wrong modem", "DCS says V.17, the T.38 packets say V.29", _good(), trains_as="V.29 9600"),
    Script("S40", "no-signal sender", "T.38: 200 no-signal indicators before each command", _good(),
           rules=tuple(Rule(moment, Act(packets=_STORM)) for moment in ("DCS", "post-page"))),
    Script("S41", "octet by octet sender", "T.38: a packet per octet", _good(), style=Style.OCTETS),
    Script("S42", "endless frames sender", "T.38: frames without their FCS field", _fails(Cause.HUNG_UP_BEFORE_FAX, 0,
           never=("<DCS",)),
           style=Style.ENDLESS),
    Script("S43", "late numbers sender", "UDPTL numbers begin at 65,000 and wrap in the call", _good(),
           wire=Wire.LATE_NUMBERS),
    Script("S44", "noise for redundancy sender", "UDPTL: what should be earlier packets is noise",
           _fails(Cause.HUNG_UP_BEFORE_FAX, 0, never=("<DCS",)), wire=Wire.GARBAGE),
    Script("S45", "backwards sender", "UDPTL: of each pair of datagrams the second comes first", _good(),
           wire=Wire.BACKWARDS),
    Script("S46", "busy signaller", "never speaks but for CNG", _fails(Cause.NO_FAX_TONE, 0), rules=(Rule("DCS",
           _SILENT),)),
    Script("S47", "JBIG sender", "DCS for JBIG, which our DIS does not offer and our library does not know",
           _fails(Cause.PROTOCOL_ERROR, 0, "<DCS", ">CFR", "<PPS-MPS"),
           command=frames.dcs("V.17 14400", *_FINE[:3], 78)),
    Script("S48", "superfine sender", "pages of 204 × 391 dpi", _good(),
           command=frames.dcs("V.17 14400", *_FINE[1:], frames.SUPERFINE)),
    Script("S49", "counts too many", "PPS speaks of 256 frames, most of which do not exist",
           _fails(Cause.REMOTE_HUNG_UP, 0, "<PPS-MPS", ">PPR", ">PPR", "<EOR-MPS", ">ERR", never=(">MCF",)),
           rules=(Rule("post-page", Act(frames=(frames.pps(t30.MPS, 0, 0, 256),))),)),
    Script("S50", "counts too few", "PPS speaks of 2 frames of the many that came",
           _good(intact=False), rules=(Rule("post-page", Act(frames=(frames.pps(t30.MPS, 0, 0, 2),)), last=1),)),
    Script("S51", "page lost", "no error correction; nothing of page 2 arrives but its EOP",
           _fails(Cause.MEDIA_LOST, 1, "<MPS", ">MCF", "<EOP"), ecm=False, coding="MH",
           rules=(Rule("page", Act(skip=True), 2),)),
    Script("S52", "page lost in time", "no error correction; both pages end with MPS, nothing of page 2 arrives",
           _fails(Cause.MEDIA_LOST, 1, "<MPS", ">MCF", "<MPS"), ecm=False, coding="MH", commands=(t30.MPS, t30.MPS),
           rules=(Rule("page", Act(skip=True), 2), Rule("post-page", Act(delay=5.0), 2, 2))),
)  # fmt: skip
"""All machines that call, in the order of the list."""
