"""sipp calls the line, and loads it: what carriers, other gateways and strangers ask of the called side.

The call worker receives without a fax engine; under load it is the real one (docs/interop.md).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.message import Response
from faxgw.line.ports import PortRange
from faxgw.line.sip import SipLine
from faxgw.line.trunk import SipSettings, TrunkSettings
from faxgw.line.workers import COMMAND
from faxgw.settings import Duration, Listener
from tests.interop.park import Park, document, send
from tests.interop.peers import HOST, running
from tests.interop.sipp import AUDIO, BOTH, T38, Sipp, again, calls, has, keep, lacks, pause, recv, take_bye
from tests.line import fake_receiver as plays
from tests.line.test_incoming import Inside
from tests.patience import PATIENCE_S
from tests.t30.conftest import pixels

FAKE = (sys.executable, str(Path(__file__).parents[1] / "line" / "fake_receiver.py"))
OUR_NUMBER = "+33199000099"
TARGET = '<ereg regexp="sip:[^&gt;]*" search_in="hdr" header="Contact:" assign_to="target"/>'
PROGRESS = (recv(100, optional=True), recv(180, optional=True))
ANSWER = (*PROGRESS, recv(200, keep("to", "To"), TARGET))


def within(method: str, *headers: str, cseq: int = 1, sdp: str = "") -> str:
    """A request inside the dialog."""
    return calls(method, *headers, cseq=cseq, sdp=sdp, to="[$to]", uri="[$target]")


ACK = within("ACK")
CONNECTED = (calls("INVITE", sdp=AUDIO), *ANSWER, ACK)
BYE = (within("BYE", cseq=9), recv(200))
SAME = "z9hG4bKsame-[pid]-[call_number]"
"""The branch of INVITE, CANCEL and ACK alike."""
G729 = AUDIO.replace("AVP 8 0", "AVP 18").replace("8 PCMA", "18 G729")
IMAGE_FIRST = AUDIO[: AUDIO.index("m=audio")] + T38[T38.index("m=image") :] + AUDIO[AUDIO.index("m=audio") :]

Check = Callable[[Sipp], None]


def nothing(_sipp: Sipp) -> None:
    pass


@dataclass(frozen=True)
class Row:
    """A scenario, and what is to come of it inside."""

    steps: Sequence[str]
    cause: Cause | None = Cause.OK
    """None: nobody inside hears of a call that begins."""
    transport: str = "g711"
    plays: str = plays.TWO
    """What the call worker receives."""
    status: int = 0
    """With which the inside refuses."""
    holds: bool = False
    """The inside never makes up its mind."""
    changes: dict[str, object] = field(default_factory=dict)
    check: Check = nothing
    sip: str = "udp"


def ours(sipp: Sipp, status: int) -> list[Response]:
    """Our responses with a status, each time they came."""
    found = [seen.message for seen in sipp.trace() if seen.received]
    return [message for message in found if isinstance(message, Response) and message.status == status]


def repeats_200(sipp: Sipp) -> None:
    """RFC 3261 section 13.3.1.4: after T1, then 2 T1, until the ACK."""
    came = [seen for seen in sipp.trace() if seen.received and seen.octets.startswith(b"SIP/2.0 200")]
    assert len(came) >= 3 and len({seen.octets for seen in came[:3]}) == 1
    assert came[1].at - came[0].at == pytest.approx(0.5, abs=0.3)


def one_tag(sipp: Sipp) -> None:
    tags = {message.headers.get("To") for message in ours(sipp, 200) if message.cseq.method == "INVITE"}
    assert len(tags) == 1


ROWS: dict[str, Row] = {
    "audio": Row([*CONNECTED, *take_bye()]),
    "we re-INVITE to T.38": Row(
        [
            *CONNECTED, recv("INVITE", has("m=image [0-9]+ udptl t38")), again("200 OK", sdp=T38, repeat=True),
            recv("ACK"), *take_bye(),
        ],
        plays=plays.ON_T38, transport="t38",
    ),
    "the caller re-INVITEs to T.38": Row(
        [*CONNECTED, within("INVITE", cseq=2, sdp=T38), *PROGRESS, recv(200, has("m=image")),
         within("ACK", cseq=2), *take_bye()],
        plays=plays.ON_T38, transport="t38",
    ),
    "no description in the INVITE": Row(
        [calls("INVITE"), *PROGRESS, recv(200, keep("to", "To"), TARGET, has("m=audio [1-9]")),
         within("ACK", sdp=AUDIO), *take_bye()]
    ),
    "no description at all": Row(
        [calls("INVITE"), *ANSWER, ACK, *take_bye()], Cause.NO_COMMON_MODE, transport=""
    ),
    "T.38 alone": Row(
        [calls("INVITE", sdp=T38), *PROGRESS, recv(200, keep("to", "To"), TARGET, has("m=image [1-9]"),
                                                   lacks("m=audio")), ACK, *take_bye()],
        transport="t38",
    ),
    "audio and T.38": Row(
        [calls("INVITE", sdp=BOTH), *PROGRESS, recv(200, keep("to", "To"), TARGET, has("m=audio")), ACK, *take_bye()]
    ),
    "T.38 and audio": Row(
        [calls("INVITE", sdp=IMAGE_FIRST), *PROGRESS,
         recv(200, keep("to", "To"), TARGET, has("m=image [1-9]"), has("m=audio 0")), ACK, *take_bye()],
        transport="t38",
    ),
    "nothing that we can use": Row(
        [calls("INVITE", sdp=G729, branch=SAME), *PROGRESS, recv(488), calls("ACK", branch=SAME)], None
    ),
    "a number that nobody has": Row(
        [calls("INVITE", sdp=AUDIO, branch=SAME), *PROGRESS, recv(404), calls("ACK", branch=SAME)], None, status=404
    ),
    "a stranger": Row(
        [calls("INVITE", sdp=AUDIO, branch=SAME), recv(404), calls("ACK", branch=SAME)], None,
        changes={"host": "127.0.0.9"},
    ),
    "outside of calls": Row(
        [
            calls("OPTIONS"), recv(200, has("INVITE", "Allow")), calls("REFER", "Refer-To: <sip:x@127.0.0.1>", cseq=2),
            recv(405, has("INVITE", "Allow")), calls("SUBSCRIBE", "Event: presence", cseq=3), recv(405),
            calls("REGISTER", cseq=4), recv(405), calls("MESSAGE", cseq=5), recv(405), calls("NONSENSE", cseq=6),
            recv(501), calls("BYE", cseq=7), recv(481), calls("UPDATE", cseq=8), recv(481),
            calls("CANCEL", cseq=9), recv(481), calls("OPTIONS", "Require: teleport", cseq=10),
            recv(420, has("teleport", "Unsupported")),
        ],
        None,
    ),
    "an extension that is required": Row(
        [
            calls("INVITE", "Require: teleport", sdp=AUDIO, branch=SAME), *PROGRESS,
            recv(420, has("teleport", "Unsupported")), calls("ACK", branch=SAME),
        ],
        None,
    ),
    "the ACK is late": Row(
        [calls("INVITE", sdp=AUDIO), *ANSWER, pause(2000), ACK, *take_bye()], check=repeats_200
    ),
    "the INVITE comes twice": Row(
        [
            calls("INVITE", sdp=AUDIO, branch=SAME, repeat=False), calls("INVITE", sdp=AUDIO, branch=SAME), *ANSWER,
            ACK, *take_bye(),
        ],
        check=one_tag,
    ),
    "the INVITE comes by two ways (482)": Row(
        [calls("INVITE", sdp=AUDIO, branch=SAME), *ANSWER, calls("INVITE", sdp=AUDIO, branch=SAME + "b"), recv(482),
         calls("ACK", branch=SAME + "b"), ACK, *take_bye()]
    ),
    "CANCEL": Row(
        [calls("INVITE", sdp=AUDIO, branch=SAME), recv(100), calls("CANCEL", branch=SAME),
         recv(200), recv(487), calls("ACK", branch=SAME)],
        Cause.HUNG_UP_BEFORE_FAX, transport="", holds=True,
    ),
    "CANCEL after the answer": Row(
        [calls("INVITE", sdp=AUDIO, branch=SAME), *ANSWER, calls("CANCEL", branch=SAME), recv(200), ACK, *take_bye()]
    ),
    "reliable responses required: we answer without ringing": Row(
        [calls("INVITE", "Require: 100rel", sdp=AUDIO), recv(100, optional=True), *ANSWER[2:], ACK, *take_bye()]
    ),
    "a session interval that is too short (422)": Row(
        [
            calls("INVITE", "Supported: timer", "Session-Expires: 60", sdp=AUDIO, branch=SAME),
            recv(100, optional=True), recv(422, has("90", "Min-SE")), calls("ACK", branch=SAME),
            calls("INVITE", "Supported: timer", "Session-Expires: 90;refresher=uac", "Min-SE: 90", cseq=2, sdp=AUDIO),
            *PROGRESS, recv(200, keep("to", "To"), TARGET, has("90;refresher=uac", "Session-Expires")),
            within("ACK", cseq=2),
            within("UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uac", cseq=3),
            recv(200, has("90;refresher=uac", "Session-Expires")), *take_bye(),
        ]
    ),
    "requests of a dialog that is none": Row(
        [
            *CONNECTED, calls("BYE", cseq=2, to="<sip:x@127.0.0.1>;tag=wrong", uri="[$target]"), recv(481),
            calls("BYE", cseq=2), recv(481), within("INFO", cseq=1), recv(500),
            within("REFER", "Refer-To: <sip:+33199000666@127.0.0.1>", cseq=4), recv(405), *take_bye(),
        ]
    ),
    "the caller hangs up": Row(
        [*CONNECTED, *BYE], Cause.HUNG_UP_BEFORE_FAX, plays=plays.SILENT, transport=""
    ),
    "over TCP": Row(
        [*CONNECTED, recv("INVITE", has("SIP/2.0/TCP", "Via")), again("200 OK", sdp=T38), recv("ACK"), *take_bye()],
        plays=plays.ON_T38, transport="t38", sip="tcp",
    ),
}  # fmt: skip


async def make_line(inside: Inside, changes: dict[str, object], sip: str) -> SipLine:
    here = Listener(HOST, 0)
    settings = SipSettings(listen=here, listen_tcp=here, media_ports=PortRange(27000, 27499))
    values: dict[str, object] = {"name": "t", "host": HOST, "port": 9, "keepalive": Duration(0), "transport": sip}
    line = SipLine(settings, [TrunkSettings(**{**values, **changes})], FAKE)  # type: ignore[arg-type]
    await line.start()
    line.take_calls(inside)
    return line


@pytest.mark.parametrize("name", ROWS)
async def test_sipp_calls(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    inside = Inside()
    inside.status, inside.station_id = row.status, row.plays
    if row.holds:
        inside.may_admit.clear()
    line = await make_line(inside, row.changes, row.sip)
    sipp = Sipp(tmp_path, row.steps, target=line.ports[row.sip], number=OUR_NUMBER, transport=row.sip)
    try:
        async with running(sipp):
            assert not (fault := await sipp.verdict()), fault
            inside.may_admit.set()
            if row.cause is not None:
                async with asyncio.timeout(PATIENCE_S):
                    outcome, _acknowledged, _farewell = await inside.end()
                assert (outcome.cause, outcome.transport) == (row.cause, row.transport), outcome.detail
    finally:
        inside.may_admit.set()
        await line.stop()
    assert row.cause is not None or not inside.ends
    row.check(sipp)


RATE, SECONDS = 100, 10
"""OPTIONS a second, and as many INVITEs."""


@pytest.mark.realtime
async def test_a_fax_goes_through_while_somebody_tries_numbers(tmp_path: Path) -> None:
    """OPTIONS, then an INVITE to a number that nobody has, 100 times a second; each is answered, the page is whole."""
    here = Listener(HOST, 0)
    inside, park, file = Inside(), Park(tmp_path / "park"), document(tmp_path, 1)
    inside.status = 404
    steps = [
        calls("OPTIONS"), recv(200), calls("INVITE", cseq=2, sdp=AUDIO, branch=SAME), *PROGRESS, recv(404),
        calls("ACK", cseq=2, branch=SAME),
    ]  # fmt: skip
    async with running(park):
        trunk = TrunkSettings(name="t", host=HOST, port=park.port, channels=1000)
        line = SipLine(SipSettings(listen=here, media_ports=PortRange(27500, 27999)), [trunk], COMMAND)
        await line.start()
        line.take_calls(inside)
        rate = ("-r", str(RATE), "-recv_timeout", "20000")
        sipp = Sipp(tmp_path / "sipp", steps, target=line.port, number=OUR_NUMBER, calls=RATE * SECONDS, options=rate)
        try:
            async with running(sipp):
                outcome, fault = await asyncio.gather(send(line, "+33199000000", file), sipp.verdict())
        finally:
            await line.stop()
    assert not fault, fault
    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome
    assert park.pages() == pixels(file.read_bytes())
    assert len(inside.ringing) == RATE * SECONDS
