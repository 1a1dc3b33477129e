"""What is told of a fax and of a job: nothing that changes with the day, and nothing that nobody knows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from faxgw.api.v1 import told
from faxgw.api.v1.fax_models import MAX_TOLD
from faxgw.fax.outcome import Cause
from faxgw.fax.report import LeftOut, LeftOutParts, LeftOutReason
from faxgw.store.fax_book import JobSum


@pytest.mark.parametrize(("user", "name"), [("acme/anna", "anna"), ("", ""), ("acme", "")])
def test_a_user_is_told_by_its_name_within_the_customer(user: str, name: str) -> None:
    assert told.short(user) == name


def row(number: int, e164: str = "+331", typed: str = "01 23", reason: str = "") -> Any:
    return SimpleNamespace(id=f"FN{number}", position=number, numbers=[{"e164": e164, "typed": typed}], reason=reason)


JOB = SimpleNamespace(id="F1", accepted_at=1_795_000_000.0, reference="r")


def test_a_number_that_cannot_be_dialled_is_told_at_once_with_its_reason() -> None:
    made = told.accepted(JOB, 3, [row(1), row(2, "", "007", "too short"), row(3, "", "008")])
    assert [(fax.number, fax.state, fax.detail) for fax in made.faxes] == [
        ("01 23", "accepted", ""), ("007", "failed", "too short"), ("008", "failed", Cause.NUMBER_REFUSED.facts.text),
    ]  # fmt: skip


def test_of_a_broadcast_the_count_is_told_and_the_first_faxes() -> None:
    made = told.accepted(JOB, 5_000, [row(number) for number in range(1, MAX_TOLD + 50)])
    assert (made.count, len(made.faxes), made.faxes[-1].position) == (5_000, MAX_TOLD, MAX_TOLD)


def test_one_alternative_that_can_be_dialled_is_enough() -> None:
    several = SimpleNamespace(
        id="FN1", position=1, reason="", numbers=[{"e164": "", "typed": "007"}, {"e164": "+331", "typed": "01"}]
    )
    assert told.accepted(JOB, 1, [several]).faxes[0].state == "accepted"


def test_a_job_counts_its_faxes_by_state() -> None:
    values: dict[str, Any] = dict.fromkeys(JobSum.__dataclass_fields__, "")
    values |= {"id": "F1", "accepted_at": 1_795_000_000.0, "finished_at": None, "states": {"sent": 2, "failed": 1}}
    values |= {"left_out": LeftOutParts((LeftOut("a.ics", LeftOutReason.CALENDAR),), 3)}
    made = told.job(JobSum(**values))
    assert (made.count, made.states, made.finished_at, made.resend_of) == (3, {"sent": 2, "failed": 1}, None, None)
    assert ([(part.name, part.why) for part in made.left_out], made.left_out_count) == ([("a.ics", "calendar")], 3)
