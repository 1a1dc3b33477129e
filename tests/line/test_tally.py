"""What a call came to: from facts to cause and doubt."""

from __future__ import annotations

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.control import PhaseE, Statistics, Tone
from faxgw.foip.headers import Cause as ReasonValue
from faxgw.line import facts as module
from faxgw.line.tally import Tally

EOP, MPS, PPS_EOP, PPS_NULL = b"\xff\xc8\x2e", b"\xff\xc8\x4e", b"\xff\xc8\xbe\x2e\x00", b"\xff\xc8\xbe\x00\x00"
DIS, DCS = b"\xff\xc8\x80\x00\xce\xf8", b"\xff\xc8\x83\x00\x26\xf8"
MCF, RTN, PPR, RNR, DCN = b"\xff\xc8\x8c", b"\xff\xc8\x4c", b"\xff\xc8\xbc", b"\xff\xc8\xec", b"\xff\xc8\xfa"


def connected(
    *frames: tuple[str, bytes], confirmed: int = 0, pages: int = 2, code: int = 49, reason: str = ""
) -> Tally:
    made = Tally(100.0, pages=pages)
    made.answered_at = 110.0
    made.phase_b = made.exposed = True
    made.confirmed = {("FN1", number) for number in range(1, confirmed + 1)}
    made.add_frames([(float(at), direction, frame) for at, (direction, frame) in enumerate(frames)])
    made.phase_e = PhaseE(1, code, "text", "", Statistics("t38"), reason)
    return made


@pytest.mark.parametrize(
    ("frames", "doubtful"),
    [
        ([], False),
        ([(">", MPS)], True),
        ([(">", MPS), ("<", MCF)], False),
        ([(">", MPS), ("<", MCF), (">", EOP)], True),
        ([(">", EOP), ("<", RTN)], False),
        ([(">", PPS_EOP), ("<", PPR)], False),
        ([(">", PPS_EOP), ("<", RNR)], True),
        ([(">", PPS_EOP), ("<", DCN)], True),
        ([(">", PPS_NULL)], False),
        ([("<", EOP)], False),
    ],
)
def test_a_page_is_in_doubt_between_its_command_and_the_answer(frames: list[tuple[str, bytes]], doubtful: bool) -> None:
    assert connected(*frames).outcome(120.0).doubtful is doubtful


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (connected(confirmed=2, code=13), Cause.OK),
        (connected((">", EOP), confirmed=1, code=0), Cause.LAST_PAGE_NOT_CONFIRMED),
        (connected((">", EOP), ("<", RTN), confirmed=1, code=0), Cause.BAD_LINES),
        (connected(code=-1, reason="gate"), Cause.LINE_FAULT),
        (connected(code=-1, reason="late"), Cause.LINE_FAULT),
        (connected(code=-1, reason="guard"), Cause.PAGE_NOT_CONFIRMED),
        (connected(code=-1, reason="limit"), Cause.MEDIA_LOST),
        (connected(("<", RTN), code=-1, reason="refused"), Cause.BAD_LINES),
        (connected(code=41), Cause.DOCUMENT_DAMAGED),
        (connected(code=6), Cause.TRAINING_FAILED),
        (connected(code=11, reason="resolution"), Cause.NO_COMMON_MODE),
    ],
)
def test_the_cause_follows_the_facts(made: Tally, cause: Cause) -> None:
    assert made.outcome(120.0).cause is cause


@pytest.mark.parametrize(("code", "cause"), [(20, Cause.MEDIA_LOST), (21, Cause.PAGE_NOT_CONFIRMED)])
def test_a_bye_after_our_own_goodbye_is_not_what_ended_the_fax(code: int, cause: Cause) -> None:
    """T.30 section 5.3.6.1.8: after DCN nothing is answered, and real machines hang up within milliseconds."""
    made = connected((">", DCS), (">", DCS), (">", DCN), code=code)
    made.remote_ended = True
    assert made.outcome(120.0).cause is cause


def test_a_goodbye_instead_of_an_answer_is_the_far_ends_doing() -> None:
    assert connected((">", DCS), ("<", DCN), code=14).outcome(120.0).cause is Cause.REMOTE_HUNG_UP
    crossed = connected((">", PPS_NULL), ("<", MCF), ("<", DCN), (">", DCN), code=13)
    assert crossed.outcome(120.0).cause is Cause.REMOTE_HUNG_UP
    assert connected((">", DCS), ("<", MCF), code=14).outcome(120.0).cause is Cause.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("frames", "cause"),
    [
        ([("<", DIS), ("<", DIS)], Cause.NO_COMMON_MODE),
        ([("<", DCN)], Cause.REMOTE_HUNG_UP),
        ([("<", MCF), (">", DCN)], Cause.PROTOCOL_ERROR),
    ],
)
@pytest.mark.parametrize("remote_ended", [False, True])
def test_a_machine_that_was_heard_is_a_fax_machine(
    frames: list[tuple[str, bytes]], cause: Cause, remote_ended: bool
) -> None:
    made = connected(*frames, code=17)
    made.phase_b, made.remote_ended = False, remote_ended
    assert made.outcome(120.0).cause is cause


def silent_call(*heard: Tone, code: int = 49, reason: str = "hangup", remote_ended: bool = True) -> Tally:
    """Answered, and no fax machine came."""
    made = connected(code=code, reason=reason)
    made.phase_b = made.exposed = False
    made.heard, made.remote_ended = set(heard), remote_ended
    return made


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (silent_call(Tone.VOICE), Cause.PERSON),
        (silent_call(Tone.VOICE, Tone.CNG, code=2, reason="", remote_ended=False), Cause.PERSON),
        (silent_call(Tone.VOICE, Tone.CED), Cause.HUNG_UP_BEFORE_FAX),
        (silent_call(Tone.VOICE, Tone.V21, code=2, reason="", remote_ended=False), Cause.NO_FAX_TONE),
        (silent_call(), Cause.HUNG_UP_BEFORE_FAX),
        (silent_call(code=2, reason="", remote_ended=False), Cause.NO_FAX_TONE),
        (silent_call(Tone.VOICE, code=-1, reason="late", remote_ended=False), Cause.LINE_FAULT),
        (silent_call(Tone.VOICE, code=-1, reason="silent", remote_ended=False), Cause.MEDIA_LOST),
    ],
)
def test_speech_and_no_tone_of_a_machine_is_a_person(made: Tally, cause: Cause) -> None:
    assert made.outcome(120.0).cause is cause


def test_speech_before_the_fax_machine_took_over_is_forgotten() -> None:
    made = connected(code=6)
    made.heard = {Tone.VOICE}
    assert made.outcome(120.0).cause is Cause.TRAINING_FAILED


def test_only_guard_and_resolution_ask_for_another_call_without_counting() -> None:
    assert connected(code=-1, reason="guard").outcome(1.0).resume
    assert not connected(code=-1, reason="guard", confirmed=2).outcome(1.0).resume
    assert not connected().outcome(1.0).resume
    assert connected(code=11, reason="resolution").outcome(1.0).resume
    assert not connected(code=11).outcome(1.0).resume


def test_what_we_did_ourselves_comes_before_what_it_led_to() -> None:
    made = connected()
    made.force(Cause.NO_COMMON_MODE, "first")
    made.force(Cause.LINE_FAULT, "second")
    assert made.outcome(1.0).cause is Cause.NO_COMMON_MODE
    assert "first; second" in made.outcome(1.0).detail
    made.cancelled = True
    assert made.outcome(1.0).cause is Cause.CANCELLED


def test_a_call_that_was_not_answered_is_named_by_its_status() -> None:
    made = Tally(0.0, pages=1)
    made.sip_status = 480
    assert made.outcome(1.0).cause is Cause.NO_ANSWER
    made.add_causes([ReasonValue("SIP", 480), ReasonValue("Q.850", 17)])
    assert made.outcome(1.0).cause is Cause.BUSY
    assert made.outcome(1.0).transport == ""


def test_the_ladder_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRAMES", 3)
    made = Tally(0.0, pages=1)
    for _ in range(3):
        made.add_frames([(0.0, ">", EOP)] * 2)
    assert len(made.frames) == 3
