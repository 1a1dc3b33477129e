"""The zoo's machines that answer: number, what each does, and what our gateway makes of it.

Each is the good machine of `receiving` with exceptions. The expectations hold for two fine pages sent by the gateway;
tests/simulator/test_zoo.py plays each machine against the real engine, docs/simulator.md lists them for people.
"""

from __future__ import annotations

from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.foip import ifp
from faxgw.foip import t30_frames as t30
from faxgw.foip.ifp import Indicator
from faxgw.simulator import frames
from faxgw.simulator.script import CSI, EVERYTHING, Act, After, Expected, Rule, Script, Style, Wire

_OK: Final = ("<DIS", ">DCS", "<CFR", ">PPS-MPS", "<MCF", ">PPS-EOP", "<MCF", ">DCN")
_OK_PLAIN: Final = ("<DIS", ">DCS", "<CFR", ">MPS", "<MCF", ">EOP", "<MCF", ">DCN")
"""Without ECM."""
_PLAIN: Final = tuple(number for number in EVERYTHING if number not in (frames.ECM, frames.MMR))
"""DIS bits of a machine without ECM."""
_OLD: Final = (frames.RECEIVES, *frames.V29_V27TER, frames.FINE)
_FLAGS: Final = tuple(number for number in EVERYTHING if number not in frames.V17)
"""Everything but the modems."""


def _say(code: int) -> Act:
    return Act(frames=(frames.frame(code),))


def _good(ladder: tuple[str, ...] = _OK, never: tuple[str, ...] = (), kept: int | None = None) -> Expected:
    return Expected(Cause.OK, 2, ladder, never, kept)


def _fails(
    cause: Cause, confirmed: int, *ladder: str, never: tuple[str, ...] = (), kept: int | None = None
) -> Expected:
    return Expected(cause, confirmed, ladder, never, kept)


_DCN: Final = _say(t30.DCN)
_SILENT: Final = Act(frames=(), after=After.SILENT)
_NOTHING: Final = Act(frames=())
_BAD_FCS: Final = Act(fcs_ok=False)
_HANGS_UP: Final = Act(frames=(), after=After.HANG_UP)
_NO_SIGNAL: Final = ifp.encode(Indicator.NO_SIGNAL)
_DIS: Final = frames.dis(*EVERYTHING)
_CUT_OFF: Final = (
    b"\xc0",
    b"\xc0\x05\x80",
    b"\xc0\x01\x80\xff\xff\x00",
    b"\x3f",
    b"\xff\xff",
    b"\xc0\x7f" + b"\x00" * 8,
)
"""IFP packets that end before they should, or use what does not exist."""

_PHASE_B: Final = (
    Script("22", "slow DIS", "DIS comes 5 s after the answer tone", _good(), pause=5.0),
    Script("23", "very slow DIS", "DIS comes 30 s after the answer tone", _good(), pause=30.0),
    Script("24", "tone only", "an answer tone and no DIS, ever", _fails(Cause.NO_FAX_TONE, 0, never=(">DCS",)),
           rules=(Rule("DIS", _SILENT),)),
    Script("25", "no CED", "no answer tone, DIS at once", _good(), tone=0.0),
    Script("26", "deaf to DCS", "misses the first DCS and repeats its DIS",
           _good(("<DIS", ">DCS", "<DIS", ">DCS", "<CFR", *_OK[3:])),
           rules=(Rule("CFR", Act(frames=(CSI, _DIS)), last=1),)),
    Script("27", "NSF garbage", "70 octets of a vendor's own before CSI and DIS", _good(("<NSF", "<CSI", *_OK)),
           idents=(frames.frame(t30.NSF, bytes(range(5, 75)), final=False), CSI)),
    Script("28", "cannot receive", "DIS says that it cannot receive",
           _fails(Cause.NO_COMMON_MODE, 0, "<DIS", ">DCN", never=(">DCS",)),
           command=frames.dis(*(number for number in EVERYTHING if number != frames.RECEIVES))),
    Script("29", "old", "a DIS of three octets: V.29, fine, one-dimensional coding only", _good(_OK_PLAIN),
           command=frames.dis(*_OLD)),
    Script("33", "no MMR", "error correction, but no T.6 coding", _good(),
           command=frames.dis(*(number for number in EVERYTHING if number != frames.MMR))),
    Script("34", "V.27ter 2400", "no modem but V.27ter at 2,400 bit/s", _good(), command=frames.dis(*_FLAGS)),
    Script("35", "V.33", "V.27ter, V.29 and V.33 as T.30 once had it; our library knows no such machine",
           _fails(Cause.NO_COMMON_MODE, 0, "<DIS", "<DIS", never=(">DCS",)),
           command=frames.dis(*_FLAGS, *frames.V33)),
    Script("36", "reserved modem", "DIS names a modulation that is reserved", _fails(Cause.NO_COMMON_MODE, 0, "<DIS",
           "<DIS", never=(">DCS",)),
           command=frames.dis(*_FLAGS, 11, 13)),
    Script("37", "empty CSI", "an identification of no characters", _good(), idents=(frames.ident(t30.CSI, b""),)),
    Script("38", "odd CSI", "an identification of control and 8-bit characters", _good(),
           idents=(frames.ident(t30.CSI, bytes((0, 7, 27, 10, 13, 0x9B, 0xFF, 0xE4, 0x3C, 0x25)) * 2),)),
    Script("39", "blank CSI", "an identification of 20 blanks", _good(), idents=(frames.ident(t30.CSI, ""),)),
    Script("45", "hurt DIS", "the first two DIS arrive with a bad FCS", _good(),
           rules=(Rule("DIS", _BAD_FCS, last=2),)),
    Script("46", "endless DIS", "a DIS of 40 octets, every extension set", _good(),
           command=frames.bits(t30.DIS, EVERYTHING, octets=40)),
    Script("47", "DCN first", "DCN instead of DIS, then hangs up", _fails(Cause.REMOTE_HUNG_UP, 0, "<DCN",
           never=(">DCS",)),
           rules=(Rule("DIS", _DCN),)),
    Script("48", "has a document", "can receive, and offers a document to be polled", _good(),
           command=frames.dis(*EVERYTHING, frames.POLLING)),
    Script("49", "wants to poll", "sends DTC instead of DIS, as if it had called, and takes what it gets",
           _good(("<DTC", *_OK[1:])), command=frames.bits(t30.DTC, EVERYTHING)),
    Script("0900", "CFR first", "CFR instead of DIS", _fails(Cause.PROTOCOL_ERROR, 0, "<CFR", never=(">DCS",)),
           rules=(Rule("DIS", _say(t30.CFR)),)),
)  # fmt: skip

_TRAINING: Final = (
    Script("53", "FTT once", "the first training fails", _good(("<DIS", ">DCS", "<FTT", ">DCS", "<CFR", *_OK[3:])),
           rules=(Rule("CFR", _say(t30.FTT), last=1),)),
    Script("54", "FTT thrice", "three trainings fail, the fourth succeeds at a lower rate",
           _good((">DCS", "<FTT", ">DCS", "<FTT", ">DCS", "<FTT", ">DCS", "<CFR", *_OK[3:])),
           rules=(Rule("CFR", _say(t30.FTT), last=3),)),
    Script("55", "FTT always", "no training ever succeeds",
           _fails(Cause.TRAINING_FAILED, 0, ">DCS", "<FTT", ">DCS", "<FTT", ">DCN", never=("<CFR",)),
           rules=(Rule("CFR", _say(t30.FTT)),)),
    Script("56", "CFR lost", "the first CFR arrives with a bad FCS",
           _good((">DCS", ">DCS", "<CFR", *_OK[3:])), rules=(Rule("CFR", _BAD_FCS, last=1),)),
    Script("57", "silent after TCF", "hears the training and says nothing any more",
           _fails(Cause.MEDIA_LOST, 0, ">DCS", ">DCS", ">DCN"), rules=(Rule("CFR", _SILENT),)),
    Script("58", "DCN after TCF", "DCN instead of CFR", _fails(Cause.REMOTE_HUNG_UP, 0, ">DCS", "<DCN"),
           rules=(Rule("CFR", _DCN),)),
    Script("59", "CRP after TCF", "asks for the command again, once", _good((">DCS", "<CRP", ">DCS", "<CFR",
           *_OK[3:])),
           rules=(Rule("CFR", _say(t30.CRP), last=1),)),
)  # fmt: skip

_PAGES: Final = (
    Script("80", "DCN in page 1", "DCN in the middle of page 1", _fails(Cause.REMOTE_HUNG_UP, 0, "<CFR"),
           rules=(Rule("page", _DCN),)),
    Script("81", "silent in page 1", "says nothing any more from page 1 on; the line stays open",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, "<CFR", ">PPS-MPS", ">PPS-MPS", ">DCN"), rules=(Rule("page",
           _SILENT),)),
    Script("82", "PPR once", "asks for frames 0 and 3 of page 1 again",
           _good((">PPS-MPS", "<PPR", ">PPS-MPS", "<MCF", ">PPS-EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", Act(frames=(frames.ppr((0, 3)),)), last=1),)),
    Script("83", "PPR four times", "asks four times for the same frame, then takes the page at another rate",
           _good(("<PPR", "<PPR", "<PPR", "<PPR", ">CTC", "<CTR", ">PPS-MPS", "<MCF", ">PPS-EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", Act(frames=(frames.ppr((1,)),)), last=4),)),
    Script("84", "PPR always", "asks for the same frame for ever",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, "<PPR", "<PPR", "<PPR", "<PPR", ">CTC", "<CTR", "<PPR", ">EOR-MPS",
           "<ERR",
                  ">DCN", kept=1),
           rules=(Rule("MCF", Act(frames=(frames.ppr((1,)),))),)),
    Script("85", "PPR for all", "asks once for 256 frames, most of which were never sent", _good(("<PPR", *_OK[4:])),
           rules=(Rule("MCF", Act(frames=(frames.ppr(range(256)),)), last=1),)),
    Script("86", "PPR for nothing", "asks once for frames again and names none", _good(("<PPR", *_OK[4:])),
           rules=(Rule("MCF", Act(frames=(frames.ppr(()),)), last=1),)),
    Script("87", "RNR for 10 s", "is not ready for some 10 s after page 1",
           _good((">PPS-MPS", "<RNR", ">RR", "<RNR", ">RR", "<MCF", ">PPS-EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", _say(t30.RNR), last=1), Rule("RR", _say(t30.RNR), last=3))),
    Script("88", "RNR for ever", "is never ready after page 1",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS", "<RNR", ">RR", "<RNR"),
           rules=(Rule("MCF", _say(t30.RNR)), Rule("RR", _say(t30.RNR)))),
    Script("89", "late MCF", "confirms page 1 so late that the answer meets the repeated question",
           _fails(Cause.PAGE_NOT_CONFIRMED, 1, ">PPS-MPS", ">PPS-MPS", "<MCF", kept=1),
           rules=(Rule("MCF", Act(delay=3.5), last=1),)),
    Script("90", "MCF lost", "page 1 is confirmed only when asked twice",
           _good((">PPS-MPS", ">PPS-MPS", "<MCF", ">PPS-EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", _NOTHING, last=1),)),
    Script("91", "hurt MCF", "the first MCF arrives with a bad FCS", _good(), rules=(Rule("MCF", _BAD_FCS, last=1),)),
    Script("92", "last MCF lost", "page 2 is confirmed only when asked twice",
           _good((">PPS-EOP", ">PPS-EOP", "<MCF", ">DCN")), rules=(Rule("MCF", _NOTHING, 2, 2),)),
    Script("93", "DCN after page 1", "DCN instead of the confirmation of page 1",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS", "<DCN"), rules=(Rule("MCF", _DCN),)),
    Script("94", "DCN after page 2", "DCN instead of the confirmation of the last page",
           _fails(Cause.LAST_PAGE_NOT_CONFIRMED, 1, ">PPS-EOP", "<DCN"), rules=(Rule("MCF", _DCN, 2),)),
    Script("95", "RTN once", "no error correction; refuses page 1 once, then takes it",
           _good((">MPS", "<RTN", ">DCS", "<CFR", ">MPS", "<MCF", ">EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", _say(t30.RTN), last=1),), command=frames.dis(*_PLAIN)),
    Script("96", "RTN always", "no error correction; refuses every page",
           _fails(Cause.BAD_LINES, 0, ">MPS", "<RTN", never=("<MCF",)),
           rules=(Rule("MCF", _say(t30.RTN)),), command=frames.dis(*_PLAIN)),
    Script("97", "RTN at the end", "no error correction; refuses the last page for ever",
           _fails(Cause.BAD_LINES, 1, "<MCF", ">EOP", "<RTN"),
           rules=(Rule("MCF", _say(t30.RTN), 2),), command=frames.dis(*_PLAIN)),
    Script("98", "late MCF, no ECM", "no error correction; confirms page 1 late: a trap of the gateway's library",
           _fails(Cause.PAGE_NOT_CONFIRMED, 1, ">MPS", ">MPS", "<MCF", kept=1),
           rules=(Rule("MCF", Act(delay=3.5), last=1),), command=frames.dis(*_PLAIN)),
    Script("99", "no goodbye", "hangs up right after its last confirmation", _good(_OK[:-1]),
           rules=(Rule("MCF", Act(after=After.HANG_UP), 2),)),
    Script("0901", "RTP", "no error correction; takes page 1 and wants to be trained anew",
           _good((">MPS", "<RTP", ">DCS", "<CFR", ">EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", _say(t30.RTP), last=1),), command=frames.dis(*_PLAIN)),
    Script("0902", "PIP", "no error correction; takes page 1 and asks for an operator", _good((">MPS", "<PIP")),
           rules=(Rule("MCF", _say(t30.PIP), last=1),), command=frames.dis(*_PLAIN)),
    Script("0903", "PIN", "no error correction; refuses page 1 and asks for an operator",
           _fails(Cause.BAD_LINES, 0, ">MPS", "<PIN"),
           rules=(Rule("MCF", _say(t30.PIN)),), command=frames.dis(*_PLAIN)),
    Script("0904", "RTN with ECM", "refuses page 1 though error correction is on",
           _fails(Cause.BAD_LINES, 0, ">PPS-MPS", "<RTN"), rules=(Rule("MCF", _say(t30.RTN)),)),
    Script("0905", "CFR for MCF", "says CFR where MCF belongs", _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS",
           "<CFR"),
           rules=(Rule("MCF", _say(t30.CFR)),)),
    Script("0906", "restarts", "has forgotten the call after page 1 and sends DIS",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS", "<DIS"), rules=(Rule("MCF", Act(frames=(CSI, _DIS))),)),
    Script("0907", "MCF twice", "each confirmation is said twice in one breath",
           _fails(Cause.PROTOCOL_ERROR, 1, ">PPS-MPS", "<MCF", "<MCF", ">DCN"),
           rules=(Rule("MCF", Act(frames=(frames.frame(t30.MCF), frames.frame(t30.MCF)))),)),
    Script("0908", "MCF and DCN", "confirms page 1 and says goodbye in one breath",
           _fails(Cause.REMOTE_HUNG_UP, 1, ">PPS-MPS", "<MCF", "<DCN"),
           rules=(Rule("MCF", Act(frames=(frames.frame(t30.MCF), frames.frame(t30.DCN))), last=1),)),
    Script("0909", "CRP after page 1", "asks for the post-page command again, once",
           _good((">PPS-MPS", "<CRP", ">PPS-MPS", "<MCF", ">PPS-EOP", "<MCF", ">DCN")),
           rules=(Rule("MCF", _say(t30.CRP), last=1),)),
    Script("0910", "hangs up in page 1", "BYE in the middle of page 1", _fails(Cause.REMOTE_HUNG_UP, 0, "<CFR"),
           rules=(Rule("page", _HANGS_UP),)),
    Script("0911", "hangs up after page 2", "BYE instead of the confirmation of the last page",
           _fails(Cause.LAST_PAGE_NOT_CONFIRMED, 1, ">PPS-EOP"), rules=(Rule("MCF", _HANGS_UP, 2),)),
    Script("0912", "unknown answer", "answers with a frame that T.30 does not know",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS"), rules=(Rule("MCF", _say(0x74)),)),
    Script("0913", "very late MCF", "confirms page 1 twice, in one breath, after the gateway has asked twice",
           _fails(Cause.PROTOCOL_ERROR, 1, ">PPS-MPS", ">PPS-MPS", "<MCF", "<MCF", ">DCN", kept=1),
           rules=(Rule("MCF", Act(delay=4.5), last=1),)),
    Script("0914", "silent after page 1", "receives page 1 and says nothing any more; the line stays open",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS", ">PPS-MPS", ">PPS-MPS", ">DCN"),
           rules=(Rule("MCF", _SILENT),)),
    Script("0915", "silent after page 2", "receives the last page and says nothing any more",
           _fails(Cause.LAST_PAGE_NOT_CONFIRMED, 1, "<MCF", ">PPS-EOP", ">PPS-EOP", ">DCN"),
           rules=(Rule("MCF", _SILENT, 2),)),
    Script("0916", "short PPR", "asks for frame 0 again, with a bitmap of one octet",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS", "<PPR", never=("<MCF",)),
           rules=(Rule("MCF", Act(frames=(frames.frame(t30.PPR, b"\1"),)), last=1),)),
    Script("0917", "long PPR", "asks for frames again, with a bitmap of 64 octets",
           _fails(Cause.PAGE_NOT_CONFIRMED, 0, ">PPS-MPS", "<PPR", never=("<MCF",)),
           rules=(Rule("MCF", Act(frames=(frames.frame(t30.PPR, b"\3" + bytes(63)),)), last=1),)),
    Script("0918", "takes SUB", "DIS says that it takes a sub-address: it gets one", _good(("<DIS", ">SUB", *_OK[1:])),
           command=frames.dis(*EVERYTHING, frames.SUB_ADDRESS)),
    Script("0919", "reversed CSI", "an identification in the wrong order", _good(),
           idents=(frames.ident(t30.CSI, b"+49 30 55500        "),)),
)  # fmt: skip

_LIARS: Final = (
    Script("0920", "no preamble", "T.38: frames come without the indicator of their preamble", _good(),
           style=Style.BARE),
    Script("0921", "endless frames", "T.38: frames without their FCS field: none is ever whole",
           _fails(Cause.NO_FAX_TONE, 0, never=("<DIS",)), style=Style.ENDLESS),
    Script("0922", "octet by octet", "T.38: a packet per octet, ends in packets of their own", _good(),
           style=Style.OCTETS),
    Script("0923", "wrong fields", "T.38: frames in fields meant for image data",
           _fails(Cause.NO_FAX_TONE, 0, never=("<DIS",)), style=Style.WRONG_FIELDS),
    Script("0924", "one packet", "T.38: all frames of a signal in one packet", _good(), style=Style.ONE_PACKET),
    Script("0925", "no-signal storm", "T.38: 300 no-signal indicators before DIS and after page 1", _good(),
           rules=(Rule("DIS", Act(packets=(_NO_SIGNAL,) * 300)), Rule("MCF", Act(packets=(_NO_SIGNAL,) * 60)))),
    Script("0926", "cut-off packets", "T.38: packets that end too early before each frame", _good(),
           rules=tuple(Rule(moment, Act(packets=_CUT_OFF)) for moment in ("DIS", "CFR", "MCF"))),
    Script("0927", "late numbers", "UDPTL numbers begin at 65,000", _good(), wire=Wire.LATE_NUMBERS),
    Script("0928", "jumping numbers", "UDPTL numbers leave out three of four: each packet looks like one after a loss",
           _fails(Cause.NO_FAX_TONE, 0, never=("<DIS",)), wire=Wire.JUMPING),
    Script("0929", "noise for redundancy", "UDPTL: what should be earlier packets is noise", _good(),
           wire=Wire.GARBAGE),
    Script("0930", "FEC unasked", "UDPTL: parity where redundancy was agreed", _good(), wire=Wire.FEC),
    Script("0931", "all twice", "UDPTL: each datagram twice", _good(), wire=Wire.TWICE),
    Script("0932", "backwards", "UDPTL: of each pair of datagrams the second comes first", _good(),
           wire=Wire.BACKWARDS),
    Script("0933", "no redundancy", "UDPTL: nothing is repeated", _good(), wire=Wire.BARE),
    Script("0934", "not one packet", "T.38 is agreed, and not one packet comes", _fails(Cause.MEDIA_LOST, 0,
           never=("<DIS",)),
           tone=0.0, rules=(Rule("DIS", _SILENT),)),
    Script("0935", "FEC announced", "UDPTL: the session says parity, the machine sends redundancy", _good(),
           announces_fec=True),
    Script("0936", "FEC both ways", "UDPTL: parity agreed and sent", _good(), announces_fec=True, wire=Wire.FEC),
)  # fmt: skip

ANSWERING: Final = (*_PHASE_B, *_TRAINING, *_PAGES, *_LIARS)
"""All machines that answer, in the order of the list."""
