"""How a call gets to T.38 and what becomes of its media, over real SIP in virtual time (docs/transport.md D.3)."""

from __future__ import annotations

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip import control
from faxgw.foip.sdp import Origin, SessionDescription, audio_line, offer, t38_line
from faxgw.line.call import LEFT_T38_WITHIN
from faxgw.line.media import MediaLeg, modems
from faxgw.line.ports import PortRange
from faxgw.line.trunk import Trunk, TrunkSettings
from tests.line.far_end import Marks
from tests.line.virtual import Gateway, Inside, Machine, now, run
from tests.t30.conftest import page_image, pixels, tiff

TWO = tiff([page_image(1), page_image(2)])
THEIRS = Origin(3, 1, "192.0.2.9")


def phases_b(gateway: Gateway) -> int:
    """How many engines of a gateway have come to phase B."""
    return sum(isinstance(message, control.PhaseB) for _at, message in gateway.workers.heard)


def ok(inside: Inside, transport: str) -> None:
    assert inside.outcome is not None
    assert (inside.outcome.cause, inside.outcome.transport) == (Cause.OK, transport), inside.outcome.detail
    assert inside.images == pixels(TWO)


# --------------------------------------------------------------------------------------------------- the right moment


def test_called_we_propose_t38_within_a_second_of_the_ack() -> None:
    """D.3 rule 1: many senders never do, and waiting costs 3 to 10 s."""

    async def scene() -> None:
        async with Gateway() as called, Machine(TWO) as machine:
            machine.dial(called)
            await called.inside.over.wait()
            assert 0.2 <= machine.when("Reoffered") - machine.when("Answered") <= 1.0
            ok(called.inside, "t38")

    run(scene())


def test_calling_we_leave_the_far_end_time_for_its_own_proposal() -> None:
    """Ours comes 2 s after CED began, before the DIS is decoded; theirs within that time makes it needless."""

    async def ours() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
            assert 2.0 <= machine.when("Reoffered") - machine.when("Acknowledged") <= 3.0

    async def theirs() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.on["Acknowledged"] = lambda: machine.later(1.0, lambda: machine.reinvite(machine.fax()))
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
            assert "Reoffered" not in machine.log

    run(ours())
    run(theirs())


def test_without_an_answer_tone_the_v21_preamble_is_the_moment() -> None:
    """At the latest before DIS is decoded: after that the engine stays in audio."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            answered: list[float] = []
            machine.workers.lose = lambda _octets: not answered or now() < answered[0] + 3.1
            machine.on["Acknowledged"] = lambda: answered.append(now())
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome.detail
            heard = [m.tone for _at, m in caller.workers.heard if isinstance(m, control.Heard)]
            assert control.Tone.CED not in heard
            assert machine.when("Reoffered") - answered[0] < 5.0

    run(scene())


# ----------------------------------------------------------------------------------------------------- what is offered


def leg(**trunk: object) -> MediaLeg:
    class Endpoint:
        host = media_address = "192.0.2.1"

    settings = TrunkSettings(name="t", host="192.0.2.2", **trunk)  # type: ignore[arg-type]
    return MediaLeg(Trunk(settings), Endpoint(), None, PortRange(24000, 24999), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("how", "lines"), [("later", "audio"), ("first", "audio image"), ("only", "image")])
def test_the_first_offer_is_as_the_trunk_says(how: str, lines: str) -> None:
    made = leg(t38_offer=how)
    for sdp in (made.offer_first(), made.answer_first(None)):
        assert sdp is not None and " ".join(line.media for line in sdp.media) == lines


def test_t38_in_the_first_offer_needs_t38() -> None:
    with pytest.raises(ValueError, match="needs t38"):
        TrunkSettings(name="t", host="h", t38=False, t38_offer="only")


AUDIO, T38 = audio_line(4000), t38_line(4002)


@pytest.mark.parametrize(
    ("lines", "trunk", "accepted"),
    [
        ((AUDIO,), {}, "audio"),
        ((AUDIO, T38), {}, "audio"),
        ((T38, AUDIO), {}, "image"),
        ((T38,), {}, "image"),
        ((T38, AUDIO), {"t38": False}, "audio"),
        ((T38,), {"t38": False}, None),
        ((audio_line(4000, (8,)), T38), {"audio": ("pcmu",)}, "image"),
    ],
)
def test_one_medium_of_the_first_offer_is_taken(
    lines: tuple[object, ...], trunk: dict[str, object], accepted: str | None
) -> None:
    """T.38 if it stands first, or when there is no audio for us."""
    made = leg(**trunk).answer_first(offer(THEIRS, *lines))  # type: ignore[arg-type]
    taken = None if made is None else [line.media for line in made.media if line.port]
    assert taken == (None if accepted is None else [accepted])


def test_in_mid_call_t38_counts_before_audio_as_long_as_it_is_possible() -> None:
    both = offer(THEIRS, AUDIO, T38)
    made, media = leg().answer_change(both, phase_b=False)
    assert made is not None and [line.port > 0 for line in made.media] == [False, True]
    assert media is not None and media.remote == ("192.0.2.9", 4002)
    made, media = leg().answer_change(both, phase_b=True)
    assert made is not None and [line.port > 0 for line in made.media] == [True, False]
    assert media is None
    assert leg().answer_change(offer(THEIRS, T38), phase_b=True) == (None, None)


def test_another_address_family_than_our_sockets_is_of_no_use() -> None:
    sixth = offer(Origin(3, 1, "2001:db8::9"), AUDIO, T38)
    assert leg().remote_audio(sixth) == (None, None)
    assert leg().t38_of(sixth) is None
    assert leg().answer_first(sixth) is None


def test_the_limits_of_the_far_end_go_to_the_engine() -> None:
    text = (
        b"c=IN IP4 192.0.2.9\nm=image 4 udptl t38\na=T38FaxMaxDatagram:72\na=T38MaxBitRate:14400\na=T38FaxMaxIFP:41\n"
        b"a=T38FaxUdpEC:t38UDPFEC\n"
    )
    assert leg().t38_of(SessionDescription.parse(text)) == control.T38Media(("192.0.2.9", 4), 72, "fec", 9600)
    assert [modems(rate) for rate in (33600, 14400, 12000, 9600, 7200, 4800, 2400)] == [7, 7, 3, 3, 3, 1, 1]


def test_audio_on_hold_from_the_start_has_no_address_yet() -> None:
    held = SessionDescription.parse(b"c=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 8\n")
    assert leg().remote_audio(held) == (None, 8)
    assert leg().answer_first(held) is not None


# -------------------------------------------------------------------------------------------------- the session changes


@pytest.mark.parametrize("how", ["first", "only"])
def test_t38_offered_in_the_first_invite_becomes_a_fax_over_t38(how: str) -> None:
    """Audio stands before T.38 in an offer of both: our own called side takes it, and proposes T.38."""

    async def scene() -> None:
        async with Gateway() as called, Gateway(called.line.port, t38_offer=how) as caller:
            outcome = await caller.fax(TWO)
            await called.inside.over.wait()
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
            ok(called.inside, "t38")

    run(scene())


def test_a_call_that_only_knows_t38_where_nobody_does_finds_no_common_mode() -> None:
    async def scene() -> None:
        async with Gateway(t38=False) as called, Gateway(called.line.port, t38_offer="only") as caller:
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.sip_status, outcome.exposed) == (Cause.NO_COMMON_MODE, 488, False)

    run(scene())


def test_the_far_ends_own_proposal_at_the_same_moment_is_no_harm() -> None:
    """True glare: both get 491 and try again by the timers of RFC 3261 section 14.1."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            agent = caller.line._endpoint.agent
            reinvite, crossed = agent.reinvite, [False]

            def both(*given: object) -> None:
                if not crossed[0]:
                    crossed[0] = True
                    machine.reinvite(machine.fax())
                reinvite(*given)  # type: ignore[arg-type]

            agent.reinvite = both  # type: ignore[method-assign,assignment]
            outcome = await caller.fax(TWO)
            assert crossed[0]
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome.detail
            assert machine.images == pixels(TWO)

    run(scene())


@pytest.mark.parametrize("moved", [False, True], ids=["the same again", "another port"])
def test_a_t38_offer_in_mid_fax_never_restarts_the_engine(moved: bool) -> None:
    """D.2, D.3 rule 4: repeated with a new version it is answered with the same port; another port is followed."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:

            def again() -> None:
                if moved:
                    machine.move()
                machine.reinvite(machine.fax())

            machine.on["PhaseB"] = lambda: machine.later(4.0, again)
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "t38"), outcome.detail
            assert machine.images == pixels(TWO)
            assert phases_b(caller) == 1
            (answer,) = machine.answers
            assert answer.t38 is not None and machine.offers[-1].t38 is not None
            assert answer.t38.port == machine.offers[-1].t38.port

    run(scene())


@pytest.mark.parametrize("to", ["audio", "port 0"])
@pytest.mark.parametrize("role", ["called", "calling"])
def test_back_to_audio_at_the_end_begins_no_new_fax(to: str, role: str) -> None:
    """D.3 rule 4: the re-INVITE is accepted, BYE follows within 1 ms."""

    async def scene() -> None:
        async with Gateway() as called, Machine(TWO if role == "calling" else b"") as machine:
            gateway = called if role == "calling" else Gateway(machine.port)
            done: list[bool] = []

            def end() -> None:
                if done or not {">DCN", "<DCN"} & set(machine.workers.frames()):
                    return
                done.append(True)
                machine.reinvite(machine.audio() if to == "audio" else machine.fax(port=0))
                machine.later(0.001, machine.bye)

            machine.on["Trace"] = end
            if role == "calling":
                machine.dial(called)
                await called.inside.over.wait()
                ok(called.inside, "t38")
            else:
                async with gateway:
                    outcome = await gateway.fax(TWO)
                    assert (outcome.cause, outcome.transport) == (Cause.OK, "t38")
                    assert machine.images == pixels(TWO)
            assert phases_b(gateway) == 1
            assert not gateway.line._calls and len(gateway.workers.places) == 1

    run(scene())


@pytest.mark.parametrize("to", ["audio", "port 0"])
def test_a_far_end_that_leaves_t38_in_mid_fax_has_a_bound(to: str) -> None:
    """Its engine is gone, ours cannot go back: the call ends, and another may do better."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            left: list[float] = []

            def leave() -> None:
                left.append(now())
                machine.stop_engine()
                machine.reinvite(machine.audio() if to == "audio" else machine.fax(port=0))

            machine.on["PhaseB"] = leave
            marks = Marks()
            outcome = await caller.fax(TWO, marks)
            assert (outcome.cause, outcome.doubtful) == (Cause.MEDIA_LOST, False)
            assert "the far end left T.38 and did not hang up" in outcome.detail
            assert now() - left[0] < LEFT_T38_WITHIN + 3
            assert "ReofferAnswered" in machine.log

    run(scene())


def test_a_hold_is_answered_and_the_fax_goes_on() -> None:
    """A PBX that puts its caller on hold and takes him back: a=sendonly, a=inactive, c=0.0.0.0."""

    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port, t38=False) as caller:

            def hold(kind: str) -> None:
                usual = machine.audio()
                if kind == "0.0.0.0":
                    sdp = SessionDescription(usual.origin, usual.media, "0.0.0.0")
                else:
                    sdp = SessionDescription(usual.origin, usual.media, usual.connection, ((kind, None),))
                    sdp = SessionDescription.parse(sdp.to_bytes().replace(b"a=sendrecv\r\n", b""))
                machine.reinvite(sdp)

            def holds() -> None:
                for after, kind in ((1.0, "sendonly"), (2.0, "inactive"), (3.0, "0.0.0.0")):
                    machine.later(after, lambda kind=kind: hold(kind))  # type: ignore[misc]
                machine.later(4.0, lambda: machine.reinvite(machine.audio()))

            machine.on["Acknowledged"] = holds
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "g711"), outcome.detail
            assert machine.images == pixels(TWO)
            directions = [sdp.direction_of(sdp.media[0]) for sdp in machine.answers]
            assert directions == ["recvonly", "inactive", "sendrecv", "sendrecv"]

    run(scene())


# ------------------------------------------------------------------------------------------------- T.38 that comes late


@pytest.mark.parametrize("audio_too", [True, False])
def test_t38_accepted_after_phase_b_goes_back_to_audio_or_is_tried_again(audio_too: bool) -> None:
    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.hesitates, machine.switches = 3.0, False
            machine.takes = lambda sdp: "t38" if sdp.t38 else "audio" if audio_too or not machine.t38 else 488
            outcome = await caller.fax(TWO)
            assert "phase B came before T.38" in outcome.detail
            if audio_too:
                assert (outcome.cause, outcome.transport) == (Cause.OK, "g711")
                assert machine.images == pixels(TWO)
            else:
                assert outcome.cause is Cause.MEDIA_LOST
                assert "audio refused with 488" in outcome.detail

    run(scene())


@pytest.mark.parametrize("role", ["called", "calling"])
def test_t38_of_which_nothing_comes_is_named(role: str) -> None:
    """One-way media: the packets of the far end never arrive."""

    async def calling() -> None:
        async with Machine() as machine, Gateway(machine.port) as caller:
            machine.workers.lose = lambda _octets: machine.t38
            outcome = await caller.fax(TWO)
            assert outcome.cause is Cause.MEDIA_LOST
            assert f"no T.38 packets came from 127.0.0.1 port {machine._sockets.udptl_port}" in outcome.detail
            assert now() - machine.when("Reoffered") < control.Limits().t38_silence + 3

    async def called() -> None:
        async with Gateway() as gateway, Machine(TWO) as machine:
            machine.workers.lose = lambda _octets: machine.t38
            machine.dial(gateway)
            await gateway.inside.over.wait()
            assert gateway.inside.outcome is not None
            assert gateway.inside.outcome.cause is Cause.MEDIA_LOST
            assert "no T.38 packets came from 127.0.0.1 port" in gateway.inside.outcome.detail

    run(calling() if role == "calling" else called())


def test_a_session_refresh_touches_no_media(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with Machine() as machine, Gateway(machine.port, t38=False) as caller:
            usual: list[SessionDescription] = []
            monkeypatch.setattr(Machine, "audio", remember(usual))
            machine.on["Acknowledged"] = lambda: machine.later(
                8.0,
                lambda: machine.reinvite(machine.endpoint.agent._calls[machine.call].local_sdp),  # type: ignore[arg-type]
            )
            outcome = await caller.fax(TWO)
            assert (outcome.cause, outcome.transport) == (Cause.OK, "g711")
            assert phases_b(caller) == 1 and len(machine.answers) == 1

    run(scene())


def remember(usual: list[SessionDescription]) -> object:
    real = Machine.audio

    def audio(machine: Machine, *more: object) -> SessionDescription:
        usual.append(real(machine, *more))
        return usual[-1]

    return audio
