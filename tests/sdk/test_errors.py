"""What a program is told of a refusal."""

from __future__ import annotations

import pytest

from faxgw.sdk.errors import ApiError, NoAnswer


@pytest.mark.parametrize(
    ("problem", "public"),
    [
        ({"detail": "It is no number.", "title": "x"}, "It is no number."),
        ({"title": "Not Found"}, "Not Found"),
        ({"detail": ""}, "The gateway answered with 404."),
        ({}, "The gateway answered with 404."),
    ],
)
def test_the_best_words_there_are(problem: dict[str, str], public: str) -> None:
    assert ApiError(404, problem).public == public


@pytest.mark.parametrize(("status", "temporary"), [(429, True), (503, True), (507, True), (409, False), (500, False)])
def test_only_what_passes_by_itself_is_temporary(status: int, temporary: bool) -> None:
    assert ApiError(status, {}).temporary is temporary


def test_code_place_and_document_are_for_programs() -> None:
    error = ApiError(422, {"code": "invalid", "param": "to[0]", "faults": [1]})
    assert (error.status, error.code, error.param, error.problem["faults"]) == (422, "invalid", "to[0]", [1])


def test_no_answer_may_pass() -> None:
    assert NoAnswer("reset").temporary
