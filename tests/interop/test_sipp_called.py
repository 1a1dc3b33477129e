"""The line calls sipp, whose scenarios answer as carriers and machines do (docs/interop.md).

Signalling is real on both sides; the call worker plays its part without a fax engine, so that a call is over as soon as
its messages are. sipp judges what we send, we judge the outcome.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause, Outcome
from faxgw.foip import session_timer
from faxgw.foip.message import Request
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.settings import Duration, Listener, Secret
from tests.interop.peers import HOST, running
from tests.interop.sipp import (
    AUDIO,
    BOTH,
    KEPT,
    T38,
    Sipp,
    again,
    has,
    invited,
    lacks,
    pause,
    recv,
    reply,
    request,
    send,
    take_bye,
)
from tests.line.far_end import Marks, plan
from tests.patience import PATIENCE_S

FAKE = (sys.executable, str(Path(__file__).parents[1] / "line" / "fake_worker.py"))
PORTS = PortRange(25000, 25999)
NUMBER = "+33199000042"
LOGIN, PASSWORD, REALM = "fax", "open sesame", "carrier.test"
TRYING = reply("100 Trying", tag="")
RINGING = reply("180 Ringing")
OK = reply("200 OK", sdp=AUDIO, repeat=True)
ACK = recv("ACK")
TAG = ";tag=sipp-[call_number]"
BYE = take_bye()
OFFER_T38 = request("INVITE", 1, sdp=T38, repeat=True)
ACK_OURS = request("ACK", 1)
MOVES_AUDIO = (
    request("INVITE", 1, sdp=AUDIO.replace("19100", "19110"), repeat=True),
    recv(200, has("m=audio")),
    ACK_OURS,
)
"""After its refusal the far end moves its audio: the engine without a modem goes on there."""

Check = Callable[[Sipp], None]


def nothing(_sipp: Sipp) -> None:
    pass


@dataclass(frozen=True)
class Row:
    """A scenario and what is to come of it."""

    steps: Sequence[str]
    cause: Cause = Cause.OK
    status: int | None = None
    """SIP status of the outcome; None: any."""
    script: str = "ok"
    """What the call worker plays."""
    transport: str | None = None
    """`t38` or `g711`, as the outcome says; None: any."""
    changes: dict[str, object] = field(default_factory=dict)
    """Of the trunk."""
    check: Check = nothing
    """Of what came."""
    sip: str = "udp"
    options: Sequence[str] = ()
    """Of sipp."""


def challenge(status: int, algorithm: str, qop: str = ',qop="auth"') -> str:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    reason = "Unauthorized" if status == 401 else "Proxy Authentication Required"
    value = f'Digest realm="{REALM}",nonce="0badcafe",algorithm={algorithm},opaque="x"{qop}'
    return reply(f"{status} {reason}", f"{name}: {value}")


def proves(status: int, algorithm: str) -> Check:
    """Every request after the challenge that shows credentials shows right ones, computed here anew (RFC 7616)."""

    def check(sipp: Sipp) -> None:
        name = "Authorization" if status == 401 else "Proxy-Authorization"
        first, second = sipp.received("INVITE")[:2]
        assert first.headers.get(name) is None
        assert second.cseq.number == first.cseq.number + 1
        assert digest_is_right(second, name, algorithm)

    return check


def digest_is_right(message: Request, name: str, algorithm: str) -> bool:
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', message.headers.get(name) or ""))
    function = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def digest(text: str) -> str:
        return function(text.encode()).hexdigest()

    first = digest(f"{LOGIN}:{REALM}:{PASSWORD}")
    second = digest(f"{message.method}:{given['uri']}")
    middle = f"{given['nc']}:{given['cnonce']}:{given['qop']}:" if "qop" in given else ""
    assert given["algorithm"] == algorithm and given["username"] == LOGIN and given["uri"] == message.uri
    return bool(given["response"] == digest(f"{first}:{given['nonce']}:{middle}{second}"))


def counted(method: str, times: int) -> Check:
    def check(sipp: Sipp) -> None:
        assert len(sipp.received(method)) == times

    return check


def strangers_bye(tag: str, remote: str, call_id: str, number: int) -> Sequence[str]:
    """A BYE that belongs to nothing: 481, and the call goes on."""
    return request("BYE", number, tag=tag, remote=remote, call_id=call_id, repeat=True), recv(481)


LOGGED_IN = {"login": LOGIN, "password": Secret(PASSWORD)}
RELIABLE = ("Require: 100rel",)

ROWS: dict[str, Row] = {
    "rings, answers": Row([invited(), TRYING, RINGING, OK, ACK, *BYE]),
    "180 and 183 reliable (RFC 3262)": Row(
        [
            invited(has("100rel", "Supported")),
            reply("180 Ringing", *RELIABLE, "RSeq: 7", repeat=True),
            recv("PRACK", has("^ *7 1 INVITE|^ *7 [0-9]+ INVITE", "RAck")),
            again("200 OK"),
            reply("183 Session Progress", *RELIABLE, "RSeq: 8", sdp=AUDIO, repeat=True),
            recv("PRACK", has("^ *8 [0-9]+ INVITE", "RAck")),
            again("200 OK"),
            OK, ACK, *BYE,
        ],
        check=counted("PRACK", 2),
    ),
    "a reliable 180 that comes three times has one PRACK": Row(
        [
            invited(), reply("180 Ringing", *RELIABLE, "RSeq: 1"), recv("PRACK"),
            *([reply("180 Ringing", *RELIABLE, "RSeq: 1")] * 2), again("200 OK"), pause(300), OK, ACK, *BYE,
        ],
        check=counted("PRACK", 1),
    ),
    "early media unreliably, another description in the 200": Row(
        [invited(), reply("183 Session Progress", sdp=AUDIO.replace("19100", "19110")), OK, ACK, *BYE]
    ),
    "401 with MD5": Row(
        [
            invited(lacks("Authorization:")), challenge(401, "MD5"), ACK,
            invited(has("response=", "Authorization")), OK, ACK, *BYE,
        ],
        changes=LOGGED_IN, check=proves(401, "MD5"),
    ),
    "401 with MD5 without qop (RFC 2069)": Row(
        [invited(), challenge(401, "MD5", qop=""), ACK, invited(), OK, ACK, *BYE], changes=LOGGED_IN,
        check=proves(401, "MD5"),
    ),
    "407 with SHA-256": Row(
        [invited(), challenge(407, "SHA-256"), ACK, invited(has("SHA-256", "Proxy-Authorization")), OK, ACK, *BYE],
        changes=LOGGED_IN, check=proves(407, "SHA-256"),
    ),
    "407 again and again": Row(
        [invited(), challenge(407, "MD5"), ACK, invited(), challenge(407, "MD5"), ACK], Cause.CARRIER_FAULT, 407,
        changes=LOGGED_IN,
    ),
    "401 and no login of ours": Row([invited(), challenge(401, "MD5"), ACK], Cause.CARRIER_FAULT, 401),
    "302 to the same number": Row(
        [
            invited(),
            reply("302 Moved Temporarily", contact=f"Contact: <sip:{NUMBER}@[local_ip]:[local_port];x=1>\n"),
            ACK, invited(has("INVITE sip:.33199000042@127.0.0.1:[0-9]+;x=1")), OK, ACK, *BYE,
        ]
    ),
    "302 to another number": Row(
        [
            invited(),
            reply("302 Moved Temporarily", contact="Contact: <sip:+33199000666@[local_ip]:[local_port]>\n"),
            ACK,
        ],
        Cause.CARRIER_FAULT, 302,
    ),
    "422 with Min-SE": Row(
        [
            invited(has("^ *1800", "Session-Expires")), reply("422 Session Interval Too Small", "Min-SE: 3600"), ACK,
            invited(has("^ *3600", "Session-Expires"), has("^ *3600", "Min-SE")), OK, ACK, *BYE,
        ]
    ),
    "486 with Q.850 17": Row(
        [invited(), RINGING, reply("486 Busy Here", "Reason: Q.850;cause=17;text=\"busy\""), ACK], Cause.BUSY, 486
    ),
    "503 with Retry-After": Row(
        [invited(), reply("503 Service Unavailable", "Retry-After: 77 (later)"), ACK], Cause.CARRIER_FAULT, 503
    ),
    "603": Row([invited(), TRYING, reply("603 Decline"), ACK], Cause.REJECTED, 603),
    "404": Row([invited(), reply("404 Not Found"), ACK], Cause.WRONG_NUMBER, 404),
    "rings and never answers": Row(
        [invited(), RINGING, recv("CANCEL"), again("200 OK", tag=TAG), reply("487 Request Terminated"), ACK],
        Cause.NO_ANSWER, changes={"ring_time": Duration(1.0)},
    ),
    "the answer crosses our CANCEL": Row(
        [
            invited(), RINGING, recv("CANCEL"), again("200 OK", tag=TAG), OK, ACK, *BYE,
        ],
        Cause.NO_ANSWER, changes={"ring_time": Duration(1.0)},
    ),
    "the far end re-INVITEs to T.38": Row(
        [invited(), OK, ACK, OFFER_T38, recv(200, has("m=image [0-9]+ udptl t38")), ACK_OURS, *BYE],
        script="wait", transport="t38",
    ),
    "T.38 with the spellings of the field": Row(
        [
            invited(), OK, ACK,
            request("INVITE", 1, sdp=T38.replace("udptl", "UDPTL").replace("T38MaxBitRate", "T38maxBitRate") +
                    "a=T38FaxFillBitRemoval:0\na=T38FaxTranscodingMMR:0\na=T38VendorInfo:0 0 37\na=T38FaxMaxBuffer:72\n"
                    "a=T38FaxMaxDatagram:316\n", repeat=True),
            recv(200, has("m=image [0-9]+ (udptl|UDPTL) t38")), ACK_OURS, *BYE,
        ],
        script="wait", transport="t38",
    ),
    "a re-INVITE without a description": Row(
        [
            invited(), OK, ACK, request("INVITE", 1, repeat=True), recv(200, has("m=audio [1-9]")),
            request("ACK", 1, sdp=AUDIO), request("INVITE", 2, sdp=T38, repeat=True), recv(200, has("m=image")),
            request("ACK", 2), *BYE,
        ],
        script="wait", transport="t38",
    ),
    **{
        f"our T.38 is refused with {status}": Row(
            [invited(), OK, ACK, recv("INVITE", has("m=image")), again(f"{status} Refused"), ACK, *MOVES_AUDIO, *BYE],
            script="ced", transport="g711",
        )
        for status in (415, 488, 606)
    },
    "our T.38 is taken": Row(
        [invited(), OK, ACK, recv("INVITE", has("m=image")), again("200 OK", sdp=T38, repeat=True), ACK, *BYE],
        script="v21", transport="t38",
    ),
    "our T.38 is answered with a line at port 0": Row(
        [
            invited(), OK, ACK, recv("INVITE"), again("200 OK", sdp=T38.replace("19102", "0"), repeat=True), ACK,
            recv("INVITE", has("m=audio [1-9]")), again("200 OK", sdp=AUDIO, repeat=True), ACK, *BYE,
        ],
        script="ced", transport="g711",
    ),
    "glare: both re-INVITE at once (491)": Row(
        [
            invited(), OK, ACK, recv("INVITE", has("m=image"), *KEPT), again("100 Trying"),
            request("INVITE", 1, sdp=T38, repeat=True, branch="z9hG4bKglare[call_number]"), recv(491),
            request("ACK", 1, branch="z9hG4bKglare[call_number]"),
            reply("491 Request Pending"), ACK,
            recv("INVITE", has("m=image")), again("200 OK", sdp=T38, repeat=True), ACK, *BYE,
        ],
        script="v21", transport="t38",
    ),
    "T.38 alone in the first INVITE": Row(
        [invited(has("m=image"), lacks("m=audio")), reply("200 OK", sdp=T38, repeat=True), ACK, *BYE],
        transport=None, changes={"t38_offer": "only"},
    ),
    "audio and T.38 in the first INVITE, T.38 is taken": Row(
        [
            invited(has("m=audio [1-9][^m]*m=image [1-9]|m=audio")),
            reply("200 OK", sdp=BOTH.replace("m=audio 19100", "m=audio 0"), repeat=True), ACK, *BYE,
        ],
        changes={"t38_offer": "first"},
    ),
    "an UPDATE that refreshes the session (RFC 4028)": Row(
        [
            invited(has("timer", "Supported")), reply("200 OK", "Require: timer", "Session-Expires: 90;refresher=uas",
                                                      sdp=AUDIO, repeat=True),
            ACK, request("UPDATE", 1, "Supported: timer", "Session-Expires: 90;refresher=uac", repeat=True),
            recv(200, has("^ *90;refresher=uac", "Session-Expires")),
            request("INVITE", 2, "Session-Expires: 90;refresher=uac", "Supported: timer", sdp=T38, repeat=True),
            recv(200, has("^ *90;refresher=uac", "Session-Expires")), request("ACK", 2), *BYE,
        ],
        script="wait", transport="t38",
    ),
    "an UPDATE with a shorter interval than we take": Row(
        [
            invited(), OK, ACK, request("UPDATE", 1, "Supported: timer", "Session-Expires: 30", repeat=True),
            recv(422, has("90", "Min-SE")), request("INVITE", 2, sdp=T38, repeat=True), recv(200), request("ACK", 2),
            *BYE,
        ],
        script="wait", transport="t38",
    ),
    "forked: two 200 with two tags": Row(
        [
            invited(), reply("180 Ringing", tag=";tag=one"), reply("180 Ringing", tag=";tag=two"),
            reply("200 OK", sdp=AUDIO, tag=";tag=one"), recv("ACK", has("tag=one", "To")),
            reply("200 OK", sdp=AUDIO, tag=";tag=two"),
            recv("ACK", has("tag=two", "To")), recv("BYE", has("tag=two", "To")), again("200 OK"),
            request("INVITE", 1, sdp=T38, tag=";tag=one", repeat=True), recv(200), request("ACK", 1, tag=";tag=one"),
            recv("BYE", has("tag=one", "To")), again("200 OK"),
        ],
        script="wait", transport="t38",
    ),
    "both hang up at once": Row(
        [invited(), OK, ACK, recv("BYE", *KEPT), request("BYE", 1, branch="z9hG4bKbye[call_number]"), recv(200),
         reply("200 OK")],
    ),
    "the first answer is slow": Row(
        [invited(), pause(1700), OK, ACK, *BYE],
        check=lambda sipp: counted("INVITE", 3)(sipp),
    ),
    "the ACK is lost: 200 again and again": Row(
        [
            invited(), reply("200 OK", sdp=AUDIO), ACK, *([reply("200 OK", sdp=AUDIO), ACK] * 2),
            OFFER_T38, recv(200), ACK_OURS, *BYE,
        ],
        script="wait", transport="t38", options=("-nr",),  # else sipp answers the second ACK with another 200, for ever
    ),
    "BYE that belong to nothing": Row(
        [
            invited(), OK, ACK,
            *strangers_bye(";tag=sipp-[call_number]", "[$remote]", "other///[call_id]", 1),
            *strangers_bye(";tag=wrong", "[$remote]", "[call_id]", 2),
            *strangers_bye(";tag=sipp-[call_number]", "<sip:x@127.0.0.1>;tag=wrong", "[call_id]", 3),
            request("BYE", 4, tag="", repeat=True), recv(481),
            request("INVITE", 5, sdp=T38, repeat=True), recv(200), request("ACK", 5), *BYE,
        ],
        script="wait", transport="t38",
    ),
    "REFER, NOTIFY, INFO, SUBSCRIBE, unknown methods, old CSeq": Row(
        [
            invited(), OK, ACK,
            request("REFER", 1, "Refer-To: <sip:+33199000666@[local_ip]>", repeat=True),
            recv(405, has("INVITE", "Allow")),
            request("NOTIFY", 2, "Event: refer", "Subscription-State: active", repeat=True), recv(481),
            request("INFO", 3, repeat=True), recv(200),
            request("MESSAGE", 4, repeat=True), recv(405), request("NONSENSE", 5, repeat=True), recv(501),
            request("OPTIONS", 6, repeat=True), recv(200), request("UPDATE", 2, repeat=True), recv(500),
            request("INVITE", 8, sdp=T38, repeat=True), recv(200), request("ACK", 8), *BYE,
        ],
        script="wait", transport="t38",
    ),
    "garbage on the port": Row(
        [
            invited(), RINGING, send("HELO x"), send("GET / HTTP/1.1\nHost: x"), send("SIP/2.0 200"),
            reply("299 Strange", via="SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnobody"),
            OK, ACK, *BYE,
        ]
    ),
    "compact header fields": Row(
        [
            invited(),
            send(
                "SIP/2.0 200 OK\nv:[$via]\nf: [$remote]\nt : [$local];tag=c\ni: [call_id]\nCSEQ:   [$cseq]\n"
                "m:\"x\" <sip:sipp@[local_ip]:[local_port]>;expires=60\nc: application/sdp\nk: timer,100rel\n\n" + AUDIO
            ),
            ACK, *BYE,
        ]
    ),
    "no description in the 200": Row([invited(), reply("200 OK", repeat=True), ACK, *BYE], Cause.NO_COMMON_MODE),
    "over TCP": Row(
        [invited(has("SIP/2.0/TCP", "Via")), RINGING, OK, ACK, OFFER_T38, recv(200), ACK_OURS, *BYE],
        script="wait", transport="t38", sip="tcp",
    ),
    "over TCP, 401 and our T.38 refused": Row(
        [
            invited(), challenge(401, "SHA-256"), ACK, invited(), OK, ACK,
            recv("INVITE"), again("488 No"), ACK, *MOVES_AUDIO, *BYE,
        ],
        script="ced", transport="g711", sip="tcp", changes=LOGGED_IN, check=proves(401, "SHA-256"),
    ),
}  # fmt: skip


async def dial(sipp: Sipp, row: Row) -> tuple[Outcome, Marks]:
    """One call of ours to sipp."""
    values: dict[str, object] = {"name": "t", "host": HOST, "port": sipp.port, "keepalive": Duration(0), **row.changes}
    trunk = TrunkSettings(**values, transport=row.sip)  # type: ignore[arg-type]
    line = SipLine(SipSettings(listen=Listener(HOST, 0), media_ports=PORTS, t38_wait=Duration(0)), [trunk], FAKE)
    marks = Marks()
    try:
        await line.start()
        async with asyncio.timeout(PATIENCE_S):
            return await line.call(plan(line.new_identity("t"), NUMBER, row.script, 1), marks), marks
    finally:
        await line.stop()


@pytest.mark.parametrize("name", ROWS)
async def test_sipp_and_we_agree(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    sipp = Sipp(tmp_path, row.steps, transport=row.sip, options=row.options)
    async with running(sipp):
        try:
            outcome, marks = await dial(sipp, row)
        except TimeoutError:
            pytest.fail(f"the call does not end: {await sipp.verdict()}")
        fault = await sipp.verdict()
    assert not fault, f"{fault}\n{outcome}"
    assert outcome.cause is row.cause, outcome.detail
    assert row.status is None or outcome.sip_status == row.status
    assert row.transport is None or outcome.transport == row.transport
    assert (row.cause is Cause.OK) == ("confirmed ok-FN1 1" in [entry.replace(row.script, "ok") for entry in marks.log])
    row.check(sipp)


async def test_the_time_of_retry_after_is_kept(tmp_path: Path) -> None:
    row = ROWS["503 with Retry-After"]
    sipp = Sipp(tmp_path, row.steps)
    async with running(sipp):
        outcome, _marks = await dial(sipp, row)
    assert outcome.retry_after == 77


@pytest.mark.parametrize("update", [True, False], ids=["UPDATE", "re-INVITE"])
async def test_we_refresh_the_session(update: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4028 section 7.2; the shortest interval is 90 s by the RFC, which no test can wait for."""
    monkeypatch.setattr(session_timer, "LEAST_INTERVAL", 2)
    method = "UPDATE" if update else "INVITE"
    allow = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS" + ", UPDATE" * update
    answer = again("200 OK", "Require: timer", "Session-Expires: 2;refresher=uac", sdp="" if update else AUDIO)
    refreshed = [recv(method, has("refresher=uac", "Session-Expires")), answer, *([] if update else [ACK])]
    steps = [
        invited(),
        reply("200 OK", "Require: timer", "Session-Expires: 2;refresher=uac", allow, sdp=AUDIO, repeat=True), ACK,
        *refreshed, *refreshed, request("INVITE", 9, sdp=T38, repeat=True), recv(200), request("ACK", 9), *BYE,
    ]  # fmt: skip
    sipp = Sipp(tmp_path, steps)
    async with running(sipp):
        outcome, _marks = await dial(sipp, Row(steps, script="wait"))
        assert not (fault := await sipp.verdict()), fault
    assert outcome.cause is Cause.OK, outcome.detail


async def test_a_refresh_that_never_comes_ends_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4028 section 10: the BYE comes a third of a short interval before its expiry."""
    monkeypatch.setattr(session_timer, "LEAST_INTERVAL", 2)
    steps = [
        invited(), reply("200 OK", "Require: timer", "Session-Expires: 2;refresher=uas", sdp=AUDIO, repeat=True),
        ACK, *BYE,
    ]  # fmt: skip
    sipp = Sipp(tmp_path, steps)
    async with running(sipp):
        outcome, _marks = await dial(sipp, Row(steps, script="wait"))
        assert not (fault := await sipp.verdict()), fault
    assert outcome.cause is not Cause.OK and not outcome.exposed, outcome
