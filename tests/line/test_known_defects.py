"""Defects that other fax servers are known for, each as a test of ours; whole calls in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from faxgw.fax.outcome import Cause
from faxgw.fax.reception import PageEnd
from faxgw.foip import control
from faxgw.foip import t30_frames as t30
from faxgw.foip.agent import AgentConfig
from faxgw.foip.sdp import MediaLine, audio_line, offer, t38_line
from faxgw.line.call import FAREWELL_WITHIN
from faxgw.line.incoming import PARTING_WITHIN
from faxgw.simulator import frames
from faxgw.simulator.script import EVERYTHING, Act, After, Expected, Rule, Script
from tests.line.far_end import Marks
from tests.line.virtual import Gateway, Machine, now, run
from tests.t30.conftest import FINE, STANDARD, page_image, pixels, tiff

TWO = tiff([page_image(1), page_image(2)])
RTN = frames.frame(t30.RTN)
WITHOUT_ECM = frames.dis(*(bit for bit in EVERYTHING if bit not in (frames.ECM, frames.MMR)))
GOODBYE = 3.0
"""Seconds from DCN to BYE at most."""


def script(*rules: Rule, dis: bytes = b"") -> Script:
    return Script("0", "test", "a machine of a test", Expected(Cause.OK, 0, ()), rules, command=dis)


# ----------------------------------------------------------------------------------- calls that end after 30 minutes


def test_200_pages_across_at_least_three_session_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 4028: a refresh of either side touches no media. The reports: calls that end after 15 or 30 minutes."""
    monkeypatch.setattr(
        "faxgw.line.endpoint.AgentConfig", lambda *args, **more: AgentConfig(*args, **{**more, "session_expires": 240})
    )
    pages = [page_image(1 + number % 5, rows=60 + number) for number in range(200)]
    document = tiff(pages)

    async def scene() -> None:
        async with Gateway() as called, Gateway(called.line.port) as caller:
            began = now()
            refreshes: list[str] = []
            see = called.line._endpoint._see

            def count(sent: bool, data: bytes, *more: object) -> None:
                method = data.split(b" ", 1)[0].decode()
                refreshes.append(method)
                see(sent, data, *more)

            called.line._endpoint._see = count  # type: ignore[method-assign]
            marks = Marks()
            outcome = await caller.fax(document, marks)
            await called.inside.over.wait()
            assert outcome.cause is Cause.OK, outcome.detail
            assert called.inside.images == pixels(document)
            assert marks.log[-1] == "confirmed FN1 200"
            assert now() - began > 1_000
            assert refreshes.count("UPDATE") + refreshes.count("INVITE") - 2 >= 3
            assert sum(isinstance(message, control.PhaseB) for _at, message in caller.workers.heard) == 1

    run(scene())


# ----------------------------------------------------------------------------------------- hangs after the last page


@pytest.mark.parametrize("after", [After.SILENT, After.HANG_UP])
def test_no_hang_after_the_last_page_that_we_send(after: After) -> None:
    """The far end confirms the last page and then says nothing, or hangs up at once: the call is over, and OK."""

    async def scene() -> None:
        async with Machine(script=script(Rule("MCF", Act(after=after), 2))) as machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: machine.reinvite(machine.fax())
            outcome = await caller.fax(TWO)
            assert outcome.cause is Cause.OK
            if after is After.SILENT:
                assert now() - caller.workers.when(">DCN") < GOODBYE

    run(scene())


@pytest.mark.parametrize("t38", [True, False])
def test_no_hang_after_the_last_page_that_we_receive(t38: bool) -> None:
    """The sender's DCN and BYE are lost: we have every page, and hang up by ourselves."""

    async def scene() -> None:
        async with Gateway(t38=t38) as called, Machine(TWO) as machine:
            machine.workers.lose = lambda _octets: len(called.inside.pages) == 2
            machine.dial(called)
            await called.inside.over.wait()
            assert called.inside.outcome is not None
            assert called.inside.outcome.cause is Cause.OK
            assert not called.inside.farewell
            assert now() - called.workers.when(">MCF") < PARTING_WITHIN + 2
            assert "the sender did not say goodbye" in called.inside.outcome.detail
            await machine.over.wait()

    run(scene())


@pytest.mark.parametrize("t38", [True, False])
def test_bye_comes_within_3_s_of_dcn_in_both_roles(t38: bool) -> None:
    """docs/transport.md D.3 rule 5; a far end that waits for ours gets it."""

    async def sending() -> None:
        async with Machine() as machine, Gateway(machine.port, t38=t38) as caller:
            outcome = await caller.fax(TWO)
            assert outcome.cause is Cause.OK
            await machine.over.wait()
            assert 0 < machine.times[-1][0] - caller.workers.when(">DCN") < GOODBYE
            assert machine.ended is not None and machine.ended.by.value == "remote"

    async def receiving() -> None:
        async with Gateway(t38=t38) as called, Machine(TWO) as machine:
            machine.dial(called)
            await called.inside.over.wait()
            await machine.over.wait()
            assert 0 < machine.times[-1][0] - called.workers.when("<DCN") < GOODBYE
            assert machine.ended is not None and machine.ended.by.value == "remote"
            assert called.inside.farewell

    run(sending())
    run(receiving())


# ----------------------------------------------------------------------------------------------------- T.38 or audio


@pytest.mark.parametrize("status", [400, 403, 415, 480, 488, 500, 503, 606])
def test_t38_refused_goes_on_in_audio_in_the_same_call(status: int) -> None:
    """D.3 rule 3: whatever the refusal is called."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.takes = lambda sdp: status if sdp.t38 else "audio"
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport, outcome.bit_rate) == (Cause.OK, "g711", 14400)
            assert machine.images == pixels(TWO)
            assert len(machine.offers) == 2, "proposed once"

    run(scene())


def test_t38_refused_then_offered_again_by_the_far_end_is_taken() -> None:
    async def sending() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.takes = lambda sdp: 488 if sdp.t38 else "audio"
            machine.on["Reoffered"] = lambda: machine.reinvite_when_free(machine.fax())
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
            assert machine.images == pixels(TWO)

    async def receiving() -> None:
        async with Gateway() as called, Machine(TWO) as machine:
            machine.takes = lambda sdp: 488 if sdp.t38 else "audio"
            machine.on["Reoffered"] = lambda: machine.reinvite_when_free(machine.fax())
            machine.dial(called)
            await called.inside.over.wait()
            assert called.inside.outcome is not None
            assert (called.inside.outcome.cause, called.inside.outcome.transport) == (Cause.OK, "t38")
            assert called.inside.images == pixels(TWO)

    run(sending())
    run(receiving())


def test_a_t38_only_invite_is_a_fax_in_both_roles() -> None:
    async def receiving() -> None:
        async with Gateway() as called, Machine(TWO) as machine:
            machine.dial(called, machine.fax())
            await called.inside.over.wait()
            assert called.inside.outcome is not None and called.inside.outcome.cause is Cause.OK
            assert called.inside.images == pixels(TWO)
            assert "Reoffered" not in machine.log

    async def sending() -> None:
        async with Machine() as machine, Gateway(machine.port, t38_offer="only") as caller:
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
            assert machine.images == pixels(TWO)
            (only,) = machine.offers
            assert [line.media for line in only.media] == ["image"]

    run(receiving())
    run(sending())


def lines(machine: Machine, order: tuple[str, ...]) -> tuple[MediaLine, ...]:
    rtp, udptl = machine._sockets.rtp_port, machine._sockets.udptl_port
    known = {
        "audio": audio_line(rtp, (0,)),
        "image": t38_line(udptl),
        "tcp": MediaLine("image", udptl, "TCP", ("t38",)),
        "video": MediaLine("video", 9, "RTP/AVP", ("31",)),
    }
    return tuple(known[name] for name in order)


@pytest.mark.parametrize("order", list(permutations(("audio", "image", "tcp", "video")))[::3])
def test_media_lines_in_any_order_are_answered_one_by_one(order: tuple[str, ...]) -> None:
    """RFC 3264 section 6; which medium begins: T.38 if it stands before audio (docs/transport.md)."""

    async def scene() -> None:
        async with Gateway() as called, Machine(TWO) as machine:
            offered = machine.audio()
            machine.dial(called, offer(offered.origin, *lines(machine, order)))
            await called.inside.over.wait()
            assert called.inside.outcome is not None and called.inside.outcome.cause is Cause.OK
            assert called.inside.images == pixels(TWO)
            first = machine.answers[0]
            wanted = "image" if order.index("image") < order.index("audio") else "audio"
            assert [line.media for line in first.media] == [line.media for line in lines(machine, order)]
            assert [name for name, line in zip(order, first.media, strict=True) if line.port] == [wanted]

    run(scene())


# ------------------------------------------------------------------------------------------------- pages not as sent


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
@pytest.mark.parametrize("t38", [True, False], ids=["t38", "g711"])
@pytest.mark.parametrize(("dpi", "y_resolution"), [(FINE, 7700), (STANDARD, 3850)], ids=["fine", "standard"])
def test_no_row_is_lost_and_no_page_is_stretched(
    t38: bool, ecm: bool, dpi: tuple[float, float], y_resolution: int
) -> None:
    """The last rows of a page missing, and pages of standard resolution twice as high: both media, both codings."""
    document = tiff([page_image(number, rows=301 + 7 * number) for number in (1, 2, 3)], dpi)

    async def scene() -> None:
        async with Gateway(t38=t38) as called, Gateway(called.line.port, t38=t38) as caller:
            called.inside.ecm = ecm
            outcome = await caller.fax(document, ecm=ecm)
            await called.inside.over.wait()
            assert (outcome.cause, outcome.transport, outcome.ecm) == (Cause.OK, "t38" if t38 else "g711", ecm)
            assert called.inside.images == pixels(document)
            assert [(page.rows, page.width) for page, _ in called.inside.pages] == [
                (308, 1728),
                (315, 1728),
                (322, 1728),
            ]
            assert {page.y_resolution for page, _ in called.inside.pages} == {y_resolution}
            assert {page.x_resolution for page, _ in called.inside.pages} == {8031}
            assert [page.end for page, _ in called.inside.pages] == [PageEnd.MPS, PageEnd.MPS, PageEnd.EOP]

    run(scene())


# ---------------------------------------------------------------------------------------------------- dropped calls

Moment = Callable[[Gateway, Marks], bool]


def said(frame: str, times: int = 1) -> Moment:
    return lambda caller, _marks: caller.workers.frames().count(frame) >= times


DROPPED: list[tuple[str, Moment, Cause, int, bool, bool]] = [
    ("answered", lambda _caller, marks: "answered" in marks.log, Cause.HUNG_UP_BEFORE_FAX, 0, False, False),
    ("t38 agreed", lambda _caller, marks: "t38" in marks.phases, Cause.HUNG_UP_BEFORE_FAX, 0, False, False),
    ("DIS heard", said("<DIS"), Cause.REMOTE_HUNG_UP, 0, True, False),
    ("DCS said", said(">DCS"), Cause.REMOTE_HUNG_UP, 0, True, False),
    ("CFR heard", said("<CFR"), Cause.REMOTE_HUNG_UP, 0, True, False),
    ("page 1 asked", said(">PPS-MPS"), Cause.REMOTE_HUNG_UP, 0, True, True),
    ("page 1 confirmed", said("<MCF"), Cause.REMOTE_HUNG_UP, 1, True, False),
    ("page 2 asked", said(">PPS-EOP"), Cause.LAST_PAGE_NOT_CONFIRMED, 1, True, True),
    ("page 2 confirmed", said("<MCF", 2), Cause.OK, 2, True, False),
    ("DCN said", said(">DCN"), Cause.OK, 2, True, False),
]


@pytest.mark.parametrize(
    ("name", "moment", "cause", "confirmed", "exposed", "doubtful"), DROPPED, ids=lambda v: str(v)[:20]
)
def test_a_call_dropped_prematurely_is_told_as_it_is(
    name: str, moment: Moment, cause: Cause, confirmed: int, exposed: bool, doubtful: bool
) -> None:
    """Spine sections 2 and 5: what is confirmed counts, one page at most is in doubt, whatever the phase."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            marks = Marks()

            def look() -> None:
                if moment(caller, marks):
                    machine.bye()
                elif machine.ended is None:
                    machine.later(0.02, look)

            machine.on["Acknowledged"] = lambda: machine.reinvite(machine.fax())
            look()
            outcome = await caller.fax(TWO, marks)
            seen = (outcome.cause, len([m for m in marks.log if m.startswith("confirmed")]))
            assert seen == (cause, confirmed), (outcome.detail, marks.log)
            assert (outcome.exposed, outcome.doubtful) == (exposed, doubtful)
            assert outcome.connected

    run(scene())


# -------------------------------------------------------------------------------------------- what the far end answers


def test_rtn_on_a_page_sends_it_again_once_at_a_lower_rate() -> None:
    async def scene() -> None:
        machine = Machine(script=script(Rule("MCF", Act(frames=(RTN,)), 1, 1), dis=WITHOUT_ECM))
        async with machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: machine.reinvite(machine.fax())
            marks = Marks()
            outcome = await caller.fax(TWO, marks)
            assert outcome.cause is Cause.OK
            assert marks.log[-2:] == ["confirmed FN1 1", "confirmed FN1 2"]
            ladder = caller.workers.frames()
            assert (ladder.count(">MPS"), ladder.count(">DCS"), ladder.count("<CFR")) == (2, 2, 2)
            rates = [frame[4] & 0x3C for _at, way, frame in outcome.frames if way == ">" and t30.fcf(frame) == t30.DCS]
            assert len(set(rates)) == 2, "the second DCS has another rate"
            assert outcome.bit_rate < 14400

    run(scene())


@pytest.mark.parametrize("answer", [t30.RTN, t30.PIN])
def test_rtn_for_ever_is_not_a_page_for_ever(answer: int) -> None:
    """Each copy of the page may have been printed: two, then BAD_LINES, and the retry law decides."""

    async def scene() -> None:
        machine = Machine(script=script(Rule("MCF", Act(frames=(frames.frame(answer),))), dis=WITHOUT_ECM))
        async with machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: machine.reinvite(machine.fax())
            marks = Marks()
            outcome = await caller.fax(TWO, marks)
            assert (outcome.cause, outcome.doubtful) == (Cause.BAD_LINES, False)
            assert "a page was refused 2 times" in outcome.detail
            assert caller.workers.frames().count(">MPS") == 2
            assert not [mark for mark in marks.log if mark.startswith("confirmed")]

    run(scene())


def test_rtn_on_the_last_page_is_no_success() -> None:
    """docs/transport.md J.4: the library says OK."""

    async def scene() -> None:
        machine = Machine(script=script(Rule("MCF", Act(frames=(RTN,)), 2), dis=WITHOUT_ECM))
        async with machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: machine.reinvite(machine.fax())
            marks = Marks()
            outcome = await caller.fax(TWO, marks)
            assert (outcome.cause, outcome.doubtful) == (Cause.BAD_LINES, False)
            assert marks.log[-1] == "confirmed FN1 1"

    run(scene())


@pytest.mark.parametrize("after", [After.GO_ON, After.HANG_UP])
def test_the_last_mcf_lost_leaves_the_last_page_in_doubt(after: After) -> None:
    """Spine section 5: exactly one page is in doubt, and it is not called sent."""

    async def scene() -> None:
        machine = Machine(script=script(Rule("MCF", Act(frames=(), after=after), 2)))
        async with machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: machine.reinvite(machine.fax())
            marks = Marks()
            began = now()
            outcome = await caller.fax(TWO, marks)
            assert (outcome.cause, outcome.doubtful) == (Cause.LAST_PAGE_NOT_CONFIRMED, True)
            assert marks.log[-1] == "confirmed FN1 1"
            assert now() - began < 60 + FAREWELL_WITHIN

    run(scene())


def test_our_last_mcf_lost_is_said_of_the_reception() -> None:
    """Spine section 4: whole, delivered, and marked: the sender may come again."""

    async def scene() -> None:
        async with Gateway() as called, Machine(TWO) as machine:
            called.workers.lose = lambda _octets: len(called.inside.pages) == 2
            machine.dial(called)
            await called.inside.over.wait()
            assert called.inside.outcome is not None and called.inside.outcome.cause is Cause.OK
            assert (called.inside.acknowledged, called.inside.farewell) == (2, False)

    run(scene())
