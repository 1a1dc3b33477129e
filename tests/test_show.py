"""The operator's answers as text."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw import show

NOW = 1_795_000_000.0


def fax(**changed: Any) -> dict[str, Any]:
    row = {
        "id": "FN1",
        "state": "waiting",
        "e164": "+33199000001",
        "pages": 3,
        "pages_confirmed": 1,
        "doubtful_page": None,
        "dials": 2,
        "accepted_at": NOW - 7200,
        "owner": "alice",
        "reason": "",
        "cause": "busy",
        "until": NOW + 90,
        "attempts": [],
    }
    return {**row, **changed}


def found(*faxes: dict[str, Any], **changed: Any) -> dict[str, Any]:
    job = {"id": "F1", "pages": 3, "accepted_at": NOW, "open": sum(f["state"] == "waiting" for f in faxes)}
    return {"message": None, "job": job, "faxes": list(faxes), "events": [], **changed}


def message(state: str = "received", reason: str = "") -> dict[str, Any]:
    return {
        "id": "msg_1", "state": state, "received_at": NOW, "login": "", "sender": "a@b.test", "subject": "s",
        "reason": reason,
    }  # fmt: skip


def test_the_table_has_a_line_per_fax_with_what_it_waits_for() -> None:
    lines = show.table([fax(), fax(id="FN2", state="held", reason="account suspended", pages=0)], NOW).splitlines()
    assert lines[0].split() == ["FAX", "STATE", "NUMBER", "PAGES", "DIALS", "AGE", "OWNER"]
    assert lines[1].endswith("2h   alice  again in 1m: The number was busy.")
    assert "?" in lines[2] and lines[2].endswith("account suspended")
    assert show.table([], NOW) == "no faxes"


def test_the_status_shows_calls_and_faults() -> None:
    text = show.status(
        {
            "version": "1",
            "node": "n1",
            "started_at": NOW - 90,
            "data": "/d",
            "smtp": ["127.0.0.1:25"],
            "http": "127.0.0.1:80",
            "trunks": {"t1": 4},
            "health": {"store": {"ok": True, "detail": ""}, "line": {"ok": False, "detail": "no trunk"}},
            "faxes": {"ready": 2},
            "calls": [
                {"number": "+331", "trunk": "t1", "phase": "page", "page": 2, "pages": 3, "remote_ident": "X",
                 "started_at": NOW - 5}
            ],
            "receptions": [],
        },
        NOW,
    )  # fmt: skip
    for words in ("up 1m", "t1 (4 channels)", "line FAULT no trunk", "2 ready", "+331 on t1: page, page 2 of 3, X, 5s"):
        assert words in text


@pytest.mark.parametrize(
    "what, expected",
    [
        (found(job=None, message=message()), None),
        (found(job=None, message=message("refused")), False),
        (found(fax(state="sent")), True),
        (found(fax(state="sent"), fax(state="failed")), False),
        (found(fax(state="sent"), fax()), None),
        (found(fax(state="sent"), job={"id": "F1", "open": 900}), None),
    ],
)
def test_the_end_is_known_when_every_fax_has_ended(what: dict[str, Any], expected: bool | None) -> None:
    assert show.final(what) is expected


def test_progress_shows_pages_and_the_phase_of_the_call() -> None:
    line = show.progress(found(fax(state="calling")), [{"fax": "FN1", "phase": "page"}], NOW)
    assert line == "  +33199000001 [########................] 1/3 pages calling (page)"
    assert show.progress(found(fax(pages=0, pages_confirmed=0)), [], NOW).endswith("0/? pages waiting")
    assert show.progress(found(job=None, message=message()), [], NOW) == "  message received"


def test_detail_and_trace_tell_calls_doubts_and_frames() -> None:
    attempt = {
        "id": "att_1", "number": "+33199000001", "trunk": "t1", "planned_at": NOW, "cause": "remote_hung_up",
        "mark": "done", "first_page": 1, "last_page": 3, "confirmed": 1, "trace": [[0.5, "<", "ff1380", "CSI"]],
        "outcome": {"bit_rate": 14400, "ecm": True, "remote_ident": "X", "detail": "BYE", "transport": "t38"},
    }  # fmt: skip
    running = {**attempt, "id": "att_2", "cause": "", "mark": "planned", "outcome": None, "trace": None}
    what = found(
        fax(state="unknown", cause="in_doubt", doubtful_page=2, attempts=[attempt, running]),
        message=message("walked"),
        events=[{"at": NOW, "entity": "FN1", "what": "fax.unknown", "who": "gateway", "data": {"from": "calling"}}],
    )
    text = show.trace(what)
    for words in (
        "message msg_1  walked",
        "UNKNOWN",
        "1 of 3 pages confirmed, page 2 in doubt, 2 dials",
        "remote_hung_up: pages 1-3, confirmed up to 1, t38, 14400 bit/s ECM, far end 'X' (BYE)",
        "planned: pages 1-3, confirmed up to 1, no media",
        "fax.unknown",
        "from=calling",
        "     0.500  <  CSI",
    ):
        assert words in text
    assert "refused: The mail is empty." in show.detail(
        found(job=None, message=message("refused", "The mail is empty."))
    )
