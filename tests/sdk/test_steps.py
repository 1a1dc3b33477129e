"""What is tried again, how often and after how long; how a request to send is made. No network."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from faxgw.sdk import steps
from faxgw.sdk.errors import ApiError, NoAnswer
from faxgw.sdk.steps import MAX_PAUSE_S, MAX_TRIES, Answer, Lost, Pause, Request, ask, counted, get, segment, sending

REQUEST = Request("GET", "/x")
OK = Answer(200, {}, b"done")


def refused(status: int, code: str = "", **headers: str) -> Answer:
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps({"code": code}).encode()
    )


def carried_out(*answers: Answer | Lost) -> tuple[list[float], Any]:
    """The pauses between tries, and the answer or the error at the end."""
    work, given, pauses = ask(REQUEST), list(answers), list[float]()
    said: Any = None
    try:
        while True:
            step = work.send(said)
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                said = None
            else:
                assert step is REQUEST, "the very same request, with its key"
                said = given.pop(0)
    except StopIteration as done:
        assert not given
        return pauses, done.value
    except (ApiError, NoAnswer) as error:
        assert not given
        return pauses, error


def test_the_first_answer_that_counts_ends_it() -> None:
    assert carried_out(OK) == ([], OK)


@pytest.mark.parametrize("status", sorted(steps.AGAIN))
def test_pauses_double_until_there_is_an_answer(status: int) -> None:
    assert carried_out(refused(status), Lost("reset"), refused(status), OK) == ([0.5, 1.0, 2.0], OK)


def test_after_the_last_try_nobody_waits() -> None:
    pauses, error = carried_out(*[Lost("reset")] * MAX_TRIES)
    assert isinstance(error, NoAnswer) and len(pauses) == MAX_TRIES - 1
    pauses, error = carried_out(*[refused(503, "busy")] * MAX_TRIES)
    assert isinstance(error, ApiError) and (error.code, len(pauses)) == ("busy", MAX_TRIES - 1)


@pytest.mark.parametrize(
    ("said", "waited"), [("7", 7.0), ("99999", MAX_PAUSE_S), ("soon", 0.5), ("-3", 0.5), ("²", 0.5)]
)
def test_retry_after_is_followed_as_far_as_it_makes_sense(said: str, waited: float) -> None:
    assert carried_out(refused(429, retry_after=said), OK)[0] == [waited]


def test_a_twin_in_progress_is_waited_for_but_no_other_conflict() -> None:
    assert carried_out(refused(409, "in_progress"), OK) == ([0.5], OK)
    pauses, error = carried_out(refused(409, "final"))
    assert pauses == [] and error.code == "final"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "bad_json"), (401, "unauthorized"), (422, "invalid"), (429, "quota"), (500, "")]
)
def test_what_trying_again_cannot_help_is_said_at_once(status: int, code: str) -> None:
    """A used-up quota comes back tomorrow, not in half a second."""
    pauses, error = carried_out(refused(status, code))
    assert (pauses, error.status) == ([], status)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff"])
def test_an_answer_that_is_no_error_document_is_an_error_all_the_same(body: bytes) -> None:
    with pytest.raises(ApiError) as error:
        counted(Answer(418, {}, body))
    assert (error.value.status, error.value.code) == (418, "")


def test_what_is_made_once_tells_its_loss() -> None:
    with pytest.raises(NoAnswer):
        counted(Lost("reset"))
    assert counted(OK) is OK


def test_none_is_left_out_of_a_query_and_lists_are_repeated() -> None:
    request = get("/faxes", state=["sent", "failed"], limit=7, cursor=None, empty="")
    assert request.query == (("state", "sent"), ("state", "failed"), ("limit", "7"), ("empty", ""))


def test_a_part_of_a_path_stays_one_part() -> None:
    assert segment("a/b?c#d ..") == "a%2Fb%3Fc%23d%20.."


def test_plain_numbers_and_documents_go_as_a_form(tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF")
    request = sending("+331", [letter, ("b.txt", b"B"), b"raw"], "key", {"reference": "7", "subject": None})
    assert request.headers == {"Idempotency-Key": "key"} and request.json is None
    assert request.files == (
        ("to", (None, b"+331", "text/plain")),
        ("document", ("letter.pdf", b"%PDF", "application/pdf")),
        ("document", ("b.txt", b"B", "application/octet-stream")),
        ("document", ("document", b"raw", "application/octet-stream")),
        ("fax", (None, b'{"reference": "7"}', "application/json")),
    )


@pytest.mark.parametrize(
    ("to", "documents"),
    [
        ("+331", [{"url": "https://a.example/x.pdf"}]),
        ([{"number": "+331"}], [b"x"]),
        ("+331", []),
        ("user@example.org", [b"x"]),
    ],
    ids=["a link", "a recipient with more than a number", "a cover alone", "no number"],
)
def test_anything_else_goes_as_json(to: Any, documents: list[Any]) -> None:
    request = sending(to, documents, "key", {})
    assert request.files == ()
    body: Any = request.json
    assert body["to"] == (to if isinstance(to, list) else [to])
    if documents == [b"x"]:
        assert body["documents"] == [{"name": "document", "data": base64.b64encode(b"x").decode()}]


def test_without_a_key_each_request_has_one_of_its_own() -> None:
    """It makes the tries of one call one request, and two calls two faxes."""
    keys = {sending("+331", [b"x"], None, {}).headers["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3
