"""Causes: every one has a status and a sentence, and what the far end did is read right."""

import pytest

from faxgw.fax.outcome import FACTS, Cause, Outcome, Retry, classify_sip, classify_t30

VENDOR = {
    "OK",
    "BUSY",
    "NOFAX",
    "NOFAX_DIS",
    "NOFAX_TO",
    "RING_TO",
    "NO_TRAIN",
    "PAGE_SEND_ERROR",
    "EOD_FAILED",
    "REM_DIS",
    "NO_REMOTEINFO",
    "BAD_LINES",
    "FANS_GF",
    "DIAL_GF",
    "COMERROR",
    "DIAL_NC",
    "CHANGED_NO",
    "WOUT_TO",
    "WRONG_NO",
    "BLACKLIST",
    "PBLACKLIST",
    "MISSING_FAX_FILE",
    "UNKNOWN_FAX_FILE",
    "TIFF_PAGE_ERR",
    "RENDERING_ERROR",
    "CANCELLED",
}


def test_every_cause_has_facts_with_a_vendor_status_and_a_sentence() -> None:
    assert set(FACTS) == set(Cause)
    for facts in FACTS.values():
        assert facts.status in VENDOR
        assert facts.text.endswith(".") and facts.text[0].isupper()


@pytest.mark.parametrize(
    "status, q850, cause",
    [
        (486, None, Cause.BUSY),
        (600, None, Cause.BUSY),
        (404, None, Cause.WRONG_NUMBER),
        (480, None, Cause.NO_ANSWER),
        (480, 17, Cause.BUSY),
        (404, 27, Cause.CARRIER_FAULT),
        (503, None, Cause.CARRIER_FAULT),
        (503, 1, Cause.WRONG_NUMBER),
        (603, None, Cause.REJECTED),
        (484, None, Cause.NUMBER_REFUSED),
        (410, None, Cause.NUMBER_CHANGED),
        (699, None, Cause.CARRIER_FAULT),
        (503, 127, Cause.CARRIER_FAULT),
    ],
)
def test_sip_answers(status: int, q850: int | None, cause: Cause) -> None:
    """RFC 3398 section 8; the Q.850 cause of a Reason header tells more (RFC 3326)."""
    assert classify_sip(status, q850) is cause


@pytest.mark.parametrize(
    "code, phase_b, remote_ended, all_data_sent, cause",
    [
        (3, False, False, False, Cause.NO_FAX_TONE),
        (49, False, True, False, Cause.HUNG_UP_BEFORE_FAX),
        (21, True, False, True, Cause.LAST_PAGE_NOT_CONFIRMED),
        (0, True, False, True, Cause.LAST_PAGE_NOT_CONFIRMED),
        (6, True, False, False, Cause.TRAINING_FAILED),
        (49, True, True, False, Cause.REMOTE_HUNG_UP),
        (41, True, False, False, Cause.DOCUMENT_DAMAGED),
        (21, True, False, False, Cause.PAGE_NOT_CONFIRMED),
        (-1, True, False, False, Cause.MEDIA_LOST),
        (12, True, False, False, Cause.NO_COMMON_MODE),
        (18, True, False, False, Cause.PROTOCOL_ERROR),
    ],
)
def test_t30_results(code: int, phase_b: bool, remote_ended: bool, all_data_sent: bool, cause: Cause) -> None:
    got = classify_t30(code, phase_b=phase_b, remote_ended=remote_ended, all_data_sent=all_data_sent)
    assert got is cause


def test_an_unconfirmed_call_is_never_ok_whatever_the_library_said() -> None:
    """transport J.4: RTN on the last page gives code 0."""
    for code in range(-1, 62):
        for phase_b in (True, False):
            assert classify_t30(code, phase_b=phase_b, remote_ended=False, all_data_sent=False) is not Cause.OK


def test_the_duration_counts_from_the_answer() -> None:
    assert Outcome(Cause.OK, started_at=1.0, answered_at=11.0, ended_at=31.0).duration == 20.0
    assert Outcome(Cause.BUSY, started_at=1.0, ended_at=2.0).duration == 0.0


def test_only_causes_that_a_number_or_document_is_to_blame_for_are_never_retried() -> None:
    never = {c for c in Cause if c.facts.retry is Retry.NEVER}
    assert {Cause.WRONG_NUMBER, Cause.NUMBER_CHANGED, Cause.RENDERING_FAILED, Cause.DENY_LIST} <= never
    assert not never & {Cause.BUSY, Cause.NO_ANSWER, Cause.REMOTE_HUNG_UP, Cause.LINE_FAULT, Cause.CARRIER_FAULT}
