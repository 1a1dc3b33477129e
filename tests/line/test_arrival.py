"""What a call to us came to, from its facts (docs/transport.md J.2, J.7 rule 4)."""

from __future__ import annotations

import pytest

from faxgw.fax.outcome import Cause
from faxgw.foip.control import PhaseE, Statistics
from faxgw.foip.headers import Cause as ReasonValue
from faxgw.line.arrival import Arrival

MCF, DCN = b"\xff\xc8\x8c", b"\xff\xc8\xfa"
TSI, DCS, DIS = b"\xff\xc8\x43", b"\xff\xc8\x83\x00\x46\xf8", b"\xff\xc8\x80\x00\xce\xf8"


def end(code: int = 0, reason: str = "", **statistics: object) -> PhaseE:
    return PhaseE(1, code, f"code {code}", "+49", Statistics("t38", **statistics), reason)  # type: ignore[arg-type]


def arrival(**facts: object) -> Arrival:
    made = Arrival(10.0, answered_at=11.0, phase_b=True)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    "facts, cause",
    [
        ({"announced": 2, "released": 2, "whole": True, "phase_e": end()}, Cause.OK),
        ({"announced": 2, "released": 2, "whole": True, "phase_e": end(49), "remote_ended": True}, Cause.OK),
        ({"announced": 2, "released": 2, "whole": True, "worker_gone": "killed"}, Cause.OK),
        ({"announced": 1, "released": 1, "phase_e": end()}, Cause.OK),
        ({"announced": 0, "phase_e": end()}, Cause.PROTOCOL_ERROR),
        ({"announced": 2, "released": 2, "whole": True, "phase_e": end(-1, "gate")}, Cause.LINE_FAULT),
        ({"announced": 1, "released": 1, "phase_e": end(49, "hangup"), "remote_ended": True}, Cause.REMOTE_HUNG_UP),
        ({"announced": 1, "released": 1, "worker_gone": "killed by SIGSEGV"}, Cause.LINE_FAULT),
        ({"phase_b": False, "phase_e": end(2)}, Cause.NO_FAX_TONE),
        ({"phase_b": False, "remote_ended": True}, Cause.HUNG_UP_BEFORE_FAX),
        ({"answered_at": None}, Cause.HUNG_UP_BEFORE_FAX),
        ({"phase_e": end(-1, "page")}, Cause.LINE_FAULT),
        ({"phase_b": False, "phase_e": end(-1, "silent")}, Cause.MEDIA_LOST),
    ],
)
def test_the_acknowledged_pages_decide_over_the_engines_result(facts: dict[str, object], cause: Cause) -> None:
    assert arrival(**facts).outcome(20.0).cause is cause


@pytest.mark.parametrize(("heard", "cause"), [([TSI, DCS], Cause.NO_COMMON_MODE), ([TSI, DCN], Cause.REMOTE_HUNG_UP)])
def test_a_machine_that_was_heard_is_a_fax_machine(heard: list[bytes], cause: Cause) -> None:
    made = arrival(phase_b=False, phase_e=end(35))
    made.add_frames([(1.0, ">", DIS), *((2.0, "<", frame) for frame in heard)])
    assert made.outcome(20.0).cause is cause


@pytest.mark.parametrize(("code", "cause"), [(13, Cause.PROTOCOL_ERROR), (48, Cause.MEDIA_LOST)])
def test_a_bye_after_our_own_goodbye_is_not_what_ended_the_fax(code: int, cause: Cause) -> None:
    """T.30 section 5.3.6.1.8: after DCN nothing is answered, and real machines hang up within milliseconds."""
    made = arrival(phase_e=end(code), remote_ended=True)
    made.add_frames([(1.0, ">", DIS), (2.0, "<", DCS), (3.0, ">", DCN)])
    assert made.outcome(20.0).cause is cause


def test_the_first_reason_of_ours_counts() -> None:
    made = arrival(phase_e=end(49, "hangup"))
    made.force(Cause.LINE_FAULT, "first")
    made.force(Cause.CANCELLED, "second")
    outcome = made.outcome(20.0)
    assert (outcome.cause, outcome.detail) == (Cause.LINE_FAULT, "first; second; code 49")


@pytest.mark.parametrize(
    "announced, released, reason, acknowledged",
    [(2, 2, "", 2), (2, 2, "gate", 1), (2, 1, "gate", 1), (0, 0, "gate", -1), (3, 2, "hangup", 2)],
)
def test_a_page_the_worker_gave_up_waiting_for_is_not_acknowledged(
    announced: int, released: int, reason: str, acknowledged: int
) -> None:
    assert arrival(announced=announced, released=released, phase_e=end(-1, reason)).acknowledged == max(0, acknowledged)


@pytest.mark.parametrize(
    "frames, farewell",
    [
        ([], False),
        ([(">", MCF)], False),
        ([(">", MCF), ("<", DCN)], True),
        ([("<", DCN)], False),
        ([(">", MCF), ("<", DCN), (">", MCF)], False),
        ([(">", DCN), (">", MCF)], False),
    ],
)
def test_a_farewell_is_a_dcn_after_the_last_confirmation(frames: list[tuple[str, bytes]], farewell: bool) -> None:
    """Spine section 4: if our last MCF was not followed by DCN, the reception says so."""
    made = arrival()
    made.add_frames([(float(at), way, frame) for at, (way, frame) in enumerate(frames)])
    assert made.farewell is farewell


def test_the_outcome_tells_how_it_was() -> None:
    made = arrival(
        announced=1,
        released=1,
        whole=True,
        remote_ident="+49 89",
        phase_e=end(bit_rate=14400, ecm=True, encoding="MMR"),
    )
    made.add_causes([ReasonValue("SIP", 200), ReasonValue("Q.850", 16)])
    outcome = made.outcome(20.0)
    assert (outcome.transport, outcome.bit_rate, outcome.ecm, outcome.encoding) == ("t38", 14400, True, "MMR")
    assert (outcome.remote_ident, outcome.q850, outcome.duration) == ("+49 89", 16, 9.0)
