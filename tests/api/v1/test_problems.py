"""The table of refusals, and the error documents that are made of it (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faxgw.api.answers import PROBLEM, Refusal
from faxgw.api.v1.problems import BASE, PROBLEMS, QUOTA_RETRY_S, answer, of_code


def document(refusal: Refusal) -> Any:
    made = answer(refusal)
    assert made.content_type == PROBLEM and made.text is not None
    return json.loads(made.text)


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_refusal_has_its_own_type_status_and_words(code: str) -> None:
    made = document(of_code(code, "It is so.", param="to"))
    assert (made["type"], made["status"], made["code"]) == (f"{BASE}#{code}", PROBLEMS[code].status, code)
    assert (made["detail"], made["param"]) == ("It is so.", "to")
    assert made["title"] and PROBLEMS[code].when.endswith(".")


def test_a_code_that_nobody_described_is_a_defect() -> None:
    with pytest.raises(KeyError):
        of_code("mood", "Not today.")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "not_found"), (405, "method_not_allowed"), (408, "too_slow"), (413, "too_large"), (418, "refused")],
)
def test_a_refusal_without_a_code_has_the_one_of_its_status(status: int, code: str) -> None:
    assert document(Refusal(status, "No."))["code"] == code


def test_without_credentials_both_ways_of_giving_them_are_named() -> None:
    refusal = Refusal(401, "Who?", code="unauthorized", headers={"WWW-Authenticate": 'Basic realm="faxgw"'})
    assert answer(refusal).headers["WWW-Authenticate"] == 'Bearer realm="faxgw", Basic realm="faxgw"'


def test_a_used_up_quota_says_when_to_come_again_unless_it_is_known_better() -> None:
    assert answer(of_code("quota", "Used up.")).headers["Retry-After"] == str(QUOTA_RETRY_S)
    better = of_code("quota", "Used up.", headers={"Retry-After": "7"})
    assert answer(better).headers["Retry-After"] == "7"


def test_members_of_a_refusal_stand_in_its_document() -> None:
    assert document(Refusal(409, "Known.", code="conflict", jobId="F1"))["jobId"] == "F1"
