"""The park's machines with odd signalling, odd negotiation of T.38 or a bad network: numbers, texts, expectations.

The expectations hold for two fine pages sent by the gateway's line in virtual time; tests/simulator/test_manners.py
plays each of them, docs/simulator.md lists them for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from faxgw.fax.outcome import Cause
from faxgw.foip.sdp import ErrorCorrection, T38Parameters
from faxgw.simulator.impairment import Conditions
from faxgw.simulator.manner import ALWAYS, SAME, AtEnd, Layout, Manner, Network, Reply, Twist
from faxgw.simulator.script import Expected

_OK: Final = Expected(Cause.OK, 2, ("<DIS", ">DCS", "<CFR", ">PPS-MPS", "<MCF", ">PPS-EOP", "<MCF", ">DCN"))
_CHALLENGE: Final = 'Digest realm="simulator", nonce="5f3a", algorithm=MD5, qop="auth"'
_PROPOSED: Final = ("> re-INVITE, T.38", "< 200 OK to INVITE, T.38")
_OFFERED: Final = ("< re-INVITE, T.38", "> 200 OK to INVITE, T.38")


@dataclass(frozen=True, slots=True)
class Odd:
    """One of them: what a `Behaviour` is made of."""

    suffix: str
    name: str
    text: str
    manner: Manner
    status: int = 200
    """Final status; 0: none."""
    ring: float = 1.0
    fax: str = "offers"
    """What it does about T.38: `offers`, `waits` or `refuses`."""
    first: tuple[str, ...] = ()
    pause: float = -1.0
    """Seconds before DIS of a fax scripted frame by frame, which is silent before T.38; negative: an engine."""


def _refused(cause: Cause, *steps: str) -> tuple[Expected, tuple[str, ...]]:
    return Expected(cause, 0, (), (">DCS",)), steps


def _refusal(
    suffix: str, name: str, text: str, status: int, cause: Cause, *headers: tuple[str, str], step: str = ""
) -> Odd:
    """A final answer of 300 or more, at once."""
    manner = Manner(Expected(cause, 0, (), (">DCS",)), (step or f"< {status} ", "> ACK"), headers=headers)
    return Odd(suffix, name, text, manner, status, ring=0.0)


def _network(
    suffix: str,
    name: str,
    text: str,
    conditions: Conditions,
    expected: Expected = _OK,
    *,
    t38: T38Parameters | None = None,
) -> Odd:
    """The same conditions in both directions of T.38."""
    network = Network(conditions, conditions)
    return Odd(suffix, name, text, Manner(expected, network=network, t38=t38 or T38Parameters()))


NEGOTIATION: Final = (
    Odd("03", "T.38 only", "answers an INVITE that offers audio with T.38 alone",
        Manner(Expected(Cause.NO_COMMON_MODE, 0, (), (">DCS",)), ("< 200 OK to INVITE, T.38", "> ACK", "> BYE"),
               reply=Reply.T38_ONLY)),
    Odd("04", "late T.38", "silent at first; re-INVITEs to T.38 after 10 s", Manner(_OK, _OFFERED, t38_after=10.0),
        pause=0.0),
    Odd("05", "T.38 twice", "re-INVITEs to T.38, and once more in mid-fax",
        Manner(_OK, (*_OFFERED, *_OFFERED), again_after=8.0)),
    Odd("06", "changes its mind", "refuses our T.38 with 488 and offers its own 1 s later",
        Manner(_OK, ("> re-INVITE, T.38", "< 488 ", *_OFFERED), refuses=1, offers_after_refusal=1.0), fax="waits"),
    Odd("07", "T.38 version 3", "offers T38FaxVersion 3", Manner(_OK, _OFFERED, t38=T38Parameters(version=3))),
    Odd("08", "small datagrams", "offers T38FaxMaxDatagram 72",
        Manner(_OK, ("< re-INVITE, T.38 14400 bit/s, redundancy, datagrams of 72",),
               t38=T38Parameters(max_datagram=72))),
    Odd("09", "no UdpEC", "offers T.38 without T38FaxUdpEC",
        Manner(_OK, ("< re-INVITE, T.38 14400 bit/s, none",),
               t38=T38Parameters(error_correction=ErrorCorrection.NONE))),
    Odd("0301", "image first", "offers image, then audio at port 0",
        Manner(_OK, ("< re-INVITE, T.38", "> 200 OK to INVITE, T.38"), layout=Layout.IMAGE_FIRST)),
    Odd("0302", "audio off first", "offers audio at port 0, then image",
        Manner(_OK, ("< re-INVITE, audio off + T.38", "> 200 OK to INVITE, audio off + T.38"),
               layout=Layout.AUDIO_OFF_FIRST)),
    Odd("0303", "image and audio", "offers image and audio, both alive",
        Manner(_OK, ("< re-INVITE, T.38",), layout=Layout.IMAGE_AND_AUDIO)),
    Odd("0304", "back to audio", "re-INVITEs back to audio when the fax is over",
        Manner(_OK, (*_OFFERED, "< re-INVITE, audio"), at_end=AtEnd.AUDIO)),
    Odd("0305", "image off", "re-INVITEs with the image line at port 0 when the fax is over",
        Manner(_OK, (*_OFFERED, "< re-INVITE, image off"), at_end=AtEnd.NO_IMAGE)),
    Odd("0306", "T.38 unheard", "takes our T.38, none of its packets arrives, and it hangs up after 20 s",
        Manner(Expected(Cause.HUNG_UP_BEFORE_FAX, 0, (), ("<DIS", ">DCS")), (*_PROPOSED, "< BYE"),
               network=Network(there=Conditions(loss=1.0))), fax="waits"),
    Odd("0307", "T.38 from elsewhere", "T.38 comes from another port than the session description says (NAT)",
        Manner(_OK, _OFFERED, other_port=True)),
    Odd("0308", "private address", "its session descriptions name an address that is not its own (NAT)",
        Manner(_OK, _OFFERED, other_host=True)),
    Odd("0309", "415 to T.38", "refuses T.38 with 415 and receives over G.711",
        Manner(_OK, ("> re-INVITE, T.38", "< 415 "), refuses=ALWAYS, refuses_with=415), fax="waits"),
    Odd("0310", "606 to T.38", "refuses T.38 with 606 and receives over G.711",
        Manner(_OK, ("> re-INVITE, T.38", "< 606 "), refuses=ALWAYS, refuses_with=606), fax="waits"),
    Odd("0311", "500 to T.38", "refuses T.38 with 500 once",
        Manner(_OK, ("> re-INVITE, T.38", "< 500 "), refuses=1, refuses_with=500), fax="waits"),
    Odd("0312", "empty T.38", "answers our T.38 with 200 and the image line at port 0",
        Manner(_OK, ("> re-INVITE, T.38", "< 200 OK to INVITE, image off"), refuses=1, refuses_with=200),
        fax="waits"),
    Odd("0313", "deaf to T.38", "our re-INVITEs are lost, every one",
        Manner(_OK, ("> re-INVITE, T.38",), twist=Twist.REINVITE_UNHEARD), fax="waits"),
    Odd("0314", "no description", "its 200 has no session description",
        Manner(Expected(Cause.NO_COMMON_MODE, 0, (), (">DCS",)), ("< 200 OK to INVITE", "> ACK", "> BYE"),
               twist=Twist.NO_BODY)),
    Odd("0315", "other codec", "answers with G.729, which was not offered",
        Manner(Expected(Cause.NO_COMMON_MODE, 0, (), (">DCS",)), ("< 200 OK to INVITE", "> ACK", "> BYE"),
               reply=Reply.OTHER_CODEC)),
    Odd("0316", "no media", "answers with all media lines at port 0",
        Manner(Expected(Cause.NO_COMMON_MODE, 0, (), (">DCS",)), ("< 200 OK to INVITE, audio off", "> ACK", "> BYE"),
               reply=Reply.NO_MEDIA)),
    Odd("0317", "on hold", "answers with audio inactive, then re-INVITEs to T.38",
        Manner(_OK, _OFFERED, reply=Reply.HELD)),
    Odd("0318", "7200 bit/s", "offers T.38 with T38MaxBitRate 7200",
        Manner(_OK, ("< re-INVITE, T.38 7200 bit/s",), t38=T38Parameters(max_bit_rate=7200))),
    Odd("0319", "FEC offered", "offers T.38 with parity and takes nothing else",
        Manner(_OK, ("< re-INVITE, T.38 14400 bit/s, fec", "> 200 OK to INVITE, T.38 14400 bit/s, fec"),
               t38=T38Parameters(error_correction=ErrorCorrection.FEC))),
)  # fmt: skip

REFUSALS: Final = (
    _refusal("15", "unavailable", "temporarily unavailable (480)", 480, Cause.NO_ANSWER),
    _refusal("16", "incomplete", "number incomplete (484)", 484, Cause.NUMBER_REFUSED),
    _refusal("17", "moved away", "gone (410)", 410, Cause.NUMBER_CHANGED),
    _refusal("18", "not acceptable", "no common media (488)", 488, Cause.NO_COMMON_MODE),
    _refusal("19", "no route", "server error (500)", 500, Cause.CARRIER_FAULT),
    _refusal("0151", "timed out", "request timeout (408)", 408, Cause.CARRIER_FAULT),
    _refusal("0152", "terminated", "request terminated (487), which nobody asked for", 487, Cause.NO_ANSWER),
    _refusal("0153", "overloaded", "service unavailable, come back in 30 s (503 with Retry-After)", 503,
             Cause.CARRIER_FAULT, ("Retry-After", "30")),
    _refusal("0154", "busy everywhere", "busy everywhere (600)", 600, Cause.BUSY),
    _refusal("0155", "nowhere acceptable", "not acceptable anywhere (606)", 606, Cause.NO_COMMON_MODE),
    _refusal("0156", "nowhere known", "does not exist anywhere (604)", 604, Cause.WRONG_NUMBER),
    _refusal("0157", "challenge", "wants credentials (401) that nobody has", 401, Cause.CARRIER_FAULT,
             ("WWW-Authenticate", _CHALLENGE)),
    _refusal("0158", "proxy challenge", "wants credentials (407) that nobody has", 407, Cause.CARRIER_FAULT,
             ("Proxy-Authenticate", _CHALLENGE)),
    _refusal("0159", "forbidden", "forbidden (403)", 403, Cause.CARRIER_FAULT),
    _refusal("0160", "bad extension", "wants an extension that nobody has (421)", 421, Cause.CARRIER_FAULT,
             ("Require", "nothing-like-it")),
    _refusal("0161", "wrong number, says Q.850", "temporarily unavailable, and Q.850 cause 1: not assigned", 480,
             Cause.WRONG_NUMBER, ("Reason", "Q.850;cause=1"), step="< 480 Temporarily Unavailable to INVITE, reason"),
    _refusal("0162", "busy, says Q.850", "server error, and Q.850 cause 17: busy", 500, Cause.BUSY,
             ("Reason", "Q.850;cause=17"), step="< 500 Server Internal Error to INVITE, reason"),
    Odd("0163", "redirects once", "moved (302) to this very number, where it receives well the second time",
        Manner(_OK, ("< 302 ", "> INVITE", *_OFFERED)), first=("0165",)),
    Odd("0164", "several choices", "several choices (300): another number, which nobody has allowed",
        Manner(Expected(Cause.CARRIER_FAULT, 0, (), (">DCS",)), ("< 300 ", "> ACK"), redirects_to="00"),
        300, ring=0.0),
    Odd("0165", "redirects for ever", "moved (302) to the same number, every time",
        Manner(Expected(Cause.CARRIER_FAULT, 0, (), (">DCS",)), ("< 302 ", "> ACK", "> INVITE", "< 302 ", "> ACK"),
               redirects_to=SAME), 302, ring=0.0),
    Odd("0166", "announcement", "183 with early media: somebody speaks for 5 s, then 404 with Q.850 cause 1",
        Manner(Expected(Cause.WRONG_NUMBER, 0, (), (">DCS",)), ("< 183 ", "> PRACK", "< 404 "),
               headers=(("Reason", "Q.850;cause=1"),), early_media=5.0), 404),
    Odd("0167", "longer sessions", "wants sessions of at least 3,600 s (422) first, then receives well",
        Manner(_OK, ("< 422 ", "> INVITE", *_OFFERED)), first=("0168",)),
    Odd("0168", "endless sessions", "refuses any session interval (422)",
        Manner(Expected(Cause.CARRIER_FAULT, 0, (), (">DCS",)), ("< 422 ", "> INVITE", "< 422 "),
               headers=(("Min-SE", "3600"),)), 422, ring=0.0),
)  # fmt: skip

SIGNALLING: Final = (
    Odd("61", "100 only", "100 Trying, and nothing more",
        Manner(Expected(Cause.NO_ANSWER, 0, (), (">DCS",)), ("< 100 ", "> CANCEL", "< 487 "), trying_only=True)),
    Odd("62", "early answer", "183 with its answer, reliable, then 200 without one",
        Manner(_OK, ("< 183 Session Progress to INVITE, audio", "> PRACK", "< 200 OK to PRACK", "< 200 OK to INVITE"),
               early_media=2.0)),
    Odd("63", "short session", "the session lasts 90 s, and we must refresh it",
        Manner(_OK, ("< 200 OK to INVITE", "> UPDATE", "< 200 OK to UPDATE"), twist=Twist.REFRESHED_BY_GATEWAY),
        pause=30.0),
    Odd("64", "forked", "two machines answer, one right after the other",
        Manner(_OK, ("< 200 OK to INVITE", "> BYE", *_OFFERED), twist=Twist.FORKED)),
    Odd("65", "hears no ACK", "the first two ACKs are lost: it says 200 again",
        Manner(_OK, ("< 200 OK to INVITE", "> ACK", *_OFFERED), twist=Twist.ACK_LOST_TWICE)),
    Odd("67", "glare", "its re-INVITE to T.38 crosses ours",
        Manner(_OK, ("> re-INVITE, T.38", "< re-INVITE, T.38", "> 491 "), twist=Twist.GLARE), fax="waits"),
    Odd("68", "answers too late", "rings until we give up; its 200 crosses our CANCEL",
        Manner(Expected(Cause.NO_ANSWER, 0, (), (">DCS",)), ("> CANCEL", "< 200 OK to INVITE", "> ACK", "> BYE"),
               twist=Twist.ANSWERS_CANCEL, trying_only=True)),
    Odd("69", "hangs up, with a reason", "BYE with Q.850 cause 41 after 10 s",
        Manner(Expected(Cause.REMOTE_HUNG_UP, 0, ("<DIS",), ("<CFR",)), ("< BYE, reason Q.850;cause=41",),
               twist=Twist.REASON, bye_after=10.0)),
    Odd("0601", "short session of its own", "the session lasts 90 s, and the machine refreshes it",
        Manner(_OK, ("< 200 OK to INVITE", "< UPDATE", "> 200 OK to UPDATE"), twist=Twist.REFRESHED_BY_MACHINE),
        pause=30.0),
    Odd("0602", "BYE at once", "BYE right after our ACK",
        Manner(Expected(Cause.HUNG_UP_BEFORE_FAX, 0, (), (">DCS",)), ("> ACK", "< BYE", "> 200 OK to BYE"),
               bye_after=0.0)),
    Odd("0603", "200 lost", "its first 200 is lost", Manner(_OK, _OFFERED, twist=Twist.FIRST_200_LOST)),
    Odd("0604", "BYE unheard", "its first three answers to our BYE are lost",
        Manner(_OK, (*_OFFERED, "> BYE"), twist=Twist.BYE_UNHEARD)),
    Odd("0605", "stutters", "says each message twice", Manner(_OK, _OFFERED, twist=Twist.ALL_TWICE)),
    Odd("0606", "noise between messages", "each message comes after a datagram that is none",
        Manner(_OK, _OFFERED, twist=Twist.NOISE)),
    Odd("0607", "dead", "says nothing at all, not even 100",
        Manner(Expected(Cause.CARRIER_FAULT, 0, (), (">DCS",)), ("> INVITE",), twist=Twist.MUTE)),
    Odd("0608", "long ringing", "rings for 50 s, then receives well", Manner(_OK, ("< 180 ", "< 200 ", *_OFFERED)),
        ring=50.0),
)  # fmt: skip

NETWORK: Final = (
    _network("70", "2 % lost", "T.38: 2 % of the datagrams are lost, each way", Conditions(loss=0.02)),
    _network("71", "5 % lost", "T.38: 5 % of the datagrams are lost, each way", Conditions(loss=0.05)),
    _network("72", "20 % lost", "T.38: 20 % of the datagrams are lost, each way", Conditions(loss=0.2)),
    _network("73", "5 % lost, parity", "T.38 with parity: 5 % of the datagrams are lost, each way",
             Conditions(loss=0.05), t38=T38Parameters(error_correction=ErrorCorrection.FEC)),
    _network("74", "5 % reordered", "T.38: 5 % of the datagrams are overtaken, each way", Conditions(reordered=0.05)),
    _network("75", "10 % twice", "T.38: 10 % of the datagrams come twice, each way", Conditions(duplicated=0.1)),
    _network("76", "jitter", "T.38: up to 200 ms of jitter, each way", Conditions(jitter=0.2)),
    _network("78", "1 s outage", "T.38: nothing comes through for 1 s in page 1", Conditions(outages=((12.5, 13.5),))),
    _network("79", "3 s outage", "T.38: nothing comes through for 3 s in page 1", Conditions(outages=((12.5, 15.5),))),
    Odd("0701", "unheard after page 1", "nothing it says arrives once it has confirmed page 1",
        Manner(Expected(Cause.LAST_PAGE_NOT_CONFIRMED, 1, ("<MCF", ">PPS-EOP", ">PPS-EOP", ">PPS-EOP"), kept=2),
               network=Network(silent_after_page=1))),
    Odd("0702", "deaf after page 1", "nothing reaches it once it has confirmed page 1",
        Manner(Expected(Cause.LAST_PAGE_NOT_CONFIRMED, 1, ("<MCF", ">PPS-EOP"), kept=1),
               network=Network(deaf_after_page=1))),
    Odd("0703", "G.711, 0.1 % lost", "G.711: 0.1 % of the packets are lost, each way",
        Manner(_OK, network=Network(Conditions(loss=0.001), Conditions(loss=0.001), audio=True)), fax="refuses"),
    Odd("0704", "G.711, 1 % lost", "G.711: 1 % of the packets are lost, each way",
        Manner(_OK, network=Network(Conditions(loss=0.01), Conditions(loss=0.01), audio=True)), fax="refuses"),
    _network("0705", "octets hurt", "T.38: one octet is another in 2 % of the datagrams, unnoticed by UDP",
             Conditions(corrupted=0.02), Expected(Cause.PAGE_NOT_CONFIRMED, 0, (">PPS-MPS", "<DIS", ">DCN"))),
    _network("0706", "lost in bursts", "T.38: 5 % of the datagrams are lost in bursts of three, each way",
             Conditions(loss=0.05, burst=3.0)),
    _network("0707", "satellite", "T.38: 600 ms each way", Conditions(delay=0.6)),
    _network("0708", "everything at once", "T.38: 5 % lost, 2 % overtaken, 2 % twice, 100 ms of jitter, each way",
             Conditions(loss=0.05, reordered=0.02, duplicated=0.02, jitter=0.1)),
    _network("0709", "outage in training", "T.38: nothing comes through for 3 s in the training",
             Conditions(outages=((9.0, 12.0),)), Expected(Cause.PROTOCOL_ERROR, 0, (">DCS", "<FTT", ">DCN"))),
)  # fmt: skip

ODD: Final = (*NEGOTIATION, *REFUSALS, *SIGNALLING, *NETWORK)
"""All of them, in the order of the documentation."""
