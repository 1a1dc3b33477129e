"""How a call heeds what is known of its destination, what it tells of it, and how its identity looks on the wire."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from faxgw.fax.destination import T38Use
from faxgw.fax.outcome import Cause
from faxgw.foip.events import IncomingCall
from faxgw.line.sip import SipLine
from faxgw.settings import Duration
from tests.line.far_end import FarEnd, until
from tests.line.test_incoming import Caller, Inside, make_line
from tests.line.test_sip import FAKE, dial, settings, trunk


class Remembering(FarEnd):
    """A far end that remembers the INVITEs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[IncomingCall] = []

    def _on_call(self, event: IncomingCall) -> None:
        self.calls.append(event)
        super()._on_call(event)


@pytest.fixture
async def far() -> AsyncIterator[Remembering]:
    far_end = Remembering()
    async with far_end:
        yield far_end


@contextlib.asynccontextmanager
async def line_to(far: FarEnd, wait: float = 0.05, **changes: object) -> AsyncIterator[SipLine]:
    line = SipLine(settings(t38_wait=Duration(wait)), [trunk(far, **changes)], FAKE)
    await line.start()
    try:
        yield line
    finally:
        await line.stop()


@pytest.mark.parametrize("use", [T38Use.NEVER, T38Use.AUDIO])
async def test_t38_is_not_proposed_where_it_was_refused(far: Remembering, use: T38Use) -> None:
    async with line_to(far) as line:
        call = asyncio.create_task(dial(line, script="ced", t38=use))
        await asyncio.sleep(0.5)
        await line.hangup("att_1")
        outcome = await call
    assert "Reoffered" not in far.log
    assert outcome.far.t38 == ""


async def test_the_far_ends_proposal_is_taken_where_ours_was_refused(far: Remembering) -> None:
    far.after_ack = far.propose_t38
    async with line_to(far) as line:
        outcome = await dial(line, script="wait", t38=T38Use.NEVER)
    assert (outcome.cause, outcome.transport, outcome.far.t38) == (Cause.OK, "t38", "theirs")


async def test_the_far_ends_proposal_is_refused_where_t38_broke(far: Remembering) -> None:
    far.after_ack = far.propose_t38
    async with line_to(far) as line:
        call = asyncio.create_task(dial(line, script="wait", t38=T38Use.AUDIO))
        await until(lambda: "refused 488" in far.log)
        await line.hangup("att_1")
        await call


async def test_where_ours_is_taken_it_comes_at_the_answer_tone(far: Remembering) -> None:
    began = monotonic()
    async with line_to(far, wait=120.0) as line:
        outcome = await dial(line, script="ced", t38=T38Use.EARLY)
    assert (outcome.cause, outcome.transport, outcome.far.t38) == (Cause.OK, "t38", "ours")
    assert outcome.far.heard_after is not None and outcome.far.heard_after < monotonic() - began < 120.0


async def test_no_first_offer_has_t38_where_it_is_not_proposed(far: Remembering) -> None:
    async with line_to(far, t38_offer="first") as line:
        await dial(line, script="ok", t38=T38Use.NEVER)
        await dial(line, script="ok", t38=T38Use.LATE)
    assert [sdp.t38 is None for sdp in far.offers[:2]] == [True, False]


async def test_what_the_call_showed_of_the_far_end_is_told(far: Remembering) -> None:
    far.refuse_t38 = True
    async with line_to(far) as line:
        assert (await dial(line, script="sub")).far.resolutions[0] == "204x98"
        far.after_refusal = far.propose_audio_when_free
        outcome = await dial(line, script="ced")
    assert (outcome.far.t38, outcome.transport) == ("refused", "g711")
    assert outcome.far.dis_after is not None


async def test_t38_agreed_without_media_is_told_as_useless(far: Remembering) -> None:
    far.empty_t38 = True
    async with line_to(far) as line:
        outcome = await dial(line, script="ced")
    assert outcome.far.t38 == "useless"


async def test_the_identity_leaves_as_the_trunk_wants_it(far: Remembering) -> None:
    async with line_to(far, identity="from+pai", uri="phone", domain="example.org", diversion="+33166000000") as line:
        await dial(line, number="+404", caller="+33188000000", caller_name="Fax")
        await dial(line, number="+404", caller="+33188000000", caller_name="Fax", withheld=True)
    shown, hidden = (dict(call.headers) for call in far.calls)
    assert shown["P-Asserted-Identity"] == '"Fax" <sip:+33188000000@example.org;user=phone>'
    assert shown["From"].startswith('"Fax" <sip:+33188000000@example.org;user=phone>;tag=')
    assert shown["To"] == "<sip:+404@example.org;user=phone>"
    assert shown["Diversion"].startswith("<sip:+33166000000@example.org;user=phone>;reason=")
    assert "Privacy" not in shown
    assert (hidden["Privacy"], hidden["P-Asserted-Identity"]) == ("id", "<sip:+33188000000@example.org;user=phone>")
    assert "anonymous.invalid" in hidden["From"] and "33188000000" not in hidden["From"]


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ((("P-Asserted-Identity", '"Head office" <tel:+33188000000>'),), ("+33188000000", "Head office")),
        ((("P-Asserted-Identity", "<tel:+33188000000>"), ("Privacy", "id")), ("", "")),
        ((), ("+498955", "Peer")),
    ],
)
async def test_who_calls_us_is_told_to_the_inside(
    headers: tuple[tuple[str, str], ...], caller: tuple[str, str]
) -> None:
    inside = Inside()
    inside.status = 404
    line = await make_line(inside, dialled_from="history_info")
    peer = Caller(line)
    await peer.start()
    history = ("History-Info", "<sip:+33199000042@pbx>;index=1, <sip:x@y;cause=302>;index=1.1;mp=1")
    try:
        peer.invite(headers=(*headers, history))
        assert await peer.status() == 404
    finally:
        await peer.stop()
        await line.stop()
    (ringing,) = inside.ringing
    assert (ringing.caller, ringing.display) == caller
    assert ringing.dialled == "+33199000042"
