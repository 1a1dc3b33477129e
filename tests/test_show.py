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
            "trunks": {"t1": 4, "t2": 2},
            "trunk_faults": {"t2": "not registered (403 Forbidden)"},
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
    for words in (
        "up 1m",
        "t1 (4 channels), t2 (DOWN: not registered (403 Forbidden))",
        "line FAULT no trunk",
        "2 ready",
        "+331 on t1: page, page 2 of 3, X, 5s",
    ):
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
        (found(fax(state="sent"), states={"sent": 4_999, "failed": 1}), False),
    ],
)
def test_the_end_is_known_when_every_fax_has_ended(what: dict[str, Any], expected: bool | None) -> None:
    assert show.final(what) is expected


def test_progress_shows_pages_and_the_phase_of_the_call() -> None:
    line = show.progress(found(fax(state="calling")), [{"fax": "FN1", "phase": "page"}], NOW)
    assert line == "  +33199000001 [########................] 1/3 pages calling (page)"
    assert show.progress(found(fax(pages=0, pages_confirmed=0)), [], NOW).endswith("0/? pages waiting")
    assert show.progress(found(job=None, message=message()), [], NOW) == "  message received"


def test_detail_counts_the_faxes_that_it_does_not_show() -> None:
    many = show.detail(found(fax(), states={"failed": 10, "sent": 4_990}))
    assert "  5,000 faxes: 10 failed, 4,990 sent; shown: 1" in many.splitlines()
    assert "faxes:" not in show.detail(found(fax(), states={"waiting": 1}))


def test_detail_tells_what_of_a_mail_is_not_faxed() -> None:
    job = {"id": "F1", "open": 0, "pages": 1, "accepted_at": NOW}
    parts = [{"name": "anna.vcf", "why": "business_card"}, {"name": "\x1b[2J.ics", "why": "calendar"}]
    lines = show.detail(found(fax(), job={**job, "left_out": {"parts": parts, "count": 2}})).splitlines()
    assert r"  not faxed: 'anna.vcf' (business card), '\x1b[2J.ics' (calendar)" in lines
    lines = show.detail(found(fax(), job={**job, "left_out": {"parts": parts, "count": 1_002}})).splitlines()
    assert r"  not faxed: 'anna.vcf' (business card), '\x1b[2J.ics' (calendar), and 1,000 more" in lines
    assert "not faxed" not in show.detail(found(fax(), job={**job, "left_out": None}))


def test_detail_and_trace_tell_calls_doubts_and_frames() -> None:
    attempt = {
        "id": "att_1", "number": "+33199000001", "trunk": "t1", "planned_at": NOW, "cause": "remote_hung_up",
        "mark": "done", "first_page": 1, "last_page": 3, "confirmed": 1, "trace": [[0.5, "<", "ff1380", "CSI"]],
        "outcome": {"bit_rate": 14400, "ecm": True, "remote_ident": "X", "detail": "BYE", "transport": "t38"},
    }  # fmt: skip
    attempt["manner"] = {"t38": "never", "measures": ["no_t38_proposal", "slow"]}
    running = {**attempt, "id": "att_2", "cause": "", "mark": "planned", "outcome": None, "trace": None, "manner": None}
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
        "remote_hung_up: pages 1-3, confirmed up to 1, t38, 14400 bit/s ECM, far end 'X', "
        "heeding no_t38_proposal, slow (BYE)",
        "planned: pages 1-3, confirmed up to 1, no media",
        "fax.unknown",
        "from=calling",
        "    0.500  T.30 <----  CSI",
    ):
        assert words in text
    assert "refused: The mail is empty." in show.detail(
        found(job=None, message=message("refused", "The mail is empty."))
    )


# Calls


ROWS = [
    [0.0, ">", "", "INVITE, audio"],
    [7.0, ">", "ffc8820046f844", "DCS pages come"],
    [12.0, "<", "ffc884", "CFR ready"],
    [22.0, ">", "ffc8be2e000045", "PPS-EOP end"],
    [23.0, "<", "ffc88c", "MCF confirmed"],
]


def attempt(ident: str) -> dict[str, Any]:
    return {
        "id": ident, "number": "+33199000001", "trunk": "t1", "planned_at": NOW, "cause": "ok", "mark": "done",
        "first_page": 3, "last_page": 3, "confirmed": 3, "trace": ROWS,
        "outcome": {"bit_rate": 9600, "ecm": True, "remote_ident": "X", "transport": "t38", "encoding": "MMR",
                    "answered_at": NOW, "ended_at": NOW + 30},
    }  # fmt: skip


def live(**changed: Any) -> dict[str, Any]:
    call = {
        "direction": "out", "call": "att_9", "fax": "FN9", "number": "+33199000001", "caller": "", "trunk": "t1",
        "started_at": NOW - 21, "phase": "page", "page": 2, "pages": 3, "remote_ident": "+33 1 99 00 00 01",
        "detail": "", "transport": "t38", "bit_rate": 14400, "ecm": True, "encoding": "MMR", "modem": "V.17",
        "resolution": "204x196", "retries": 0, "packets_lost": 0, "packets_recovered": 0,
    }  # fmt: skip
    return {**call, **changed}


def shown(*calls: dict[str, Any], full: bool = False) -> list[str]:
    return show.calls({"at": NOW, "calls": list(calls)}, full=full).splitlines()


def test_a_call_in_progress_takes_two_lines() -> None:
    assert shown(live()) == [
        "FN9 to +33…01 on t1, 21s: pages, page 2 of 3",
        "    T.38, V.17 14400 bit/s, MMR 204x196, ECM, far end '+33…01'",
    ]
    assert shown() == ["no calls in progress"]


def test_a_call_that_has_only_begun_takes_one() -> None:
    begun = live(phase="ringing", page=0, remote_ident="", transport="", bit_rate=0, ecm=False, encoding="", modem="",
                 resolution="")  # fmt: skip
    assert shown(begun) == ["FN9 to +33…01 on t1, 21s: ringing"]


def test_a_call_to_us_names_caller_and_number_and_its_troubles() -> None:
    call = live(direction="in", call="rcv_1", fax="", caller="+33199000002", pages=0, transport="g711", ecm=False,
                retries=2, packets_lost=7, packets_recovered=3)  # fmt: skip
    first, second = shown(call, full=True)
    assert first == "rcv_1 from +33199000002 to +33199000001 on t1, 21s: pages, page 2"
    assert second.endswith("no ECM, far end '+33 1 99 00 00 01', 2 retries, 3 packets recovered, 7 packets lost")
    assert shown({**call, "caller": ""})[0].startswith("rcv_1 from unknown to +33…01")


def test_numbers_are_whole_only_when_asked_for() -> None:
    assert "99000001" not in "".join(shown(live())).replace(" ", "")
    assert "+33199000001" in shown(live(), full=True)[0]


def test_one_call_is_told_by_itself() -> None:
    text = show.trace(found(fax(attempts=[attempt("att_1"), attempt("att_2")])), "att_2")
    lines = text.splitlines()
    assert lines[0].startswith("call att_2 to +33199000001 on t1, ")
    assert lines[1] == (
        "  All pages were delivered and confirmed. T.38 9600 bit/s MMR error correction, 30 s connected."
    )
    assert "page ====>  page 3, 10.0 s, 17,920 octets on the line: confirmed" in text


def test_a_received_fax_has_its_call() -> None:
    reception = {
        "id": "rcv_1", "ident": "", "caller": "+33199000002", "number": "+33199000099", "trunk": "t1",
        "started_at": NOW, "cause": "ok", "outcome": None, "trace": ROWS,
    }  # fmt: skip
    (call,) = show.calls_of({"reception": reception, "faxes": []})
    assert call.title.startswith("call rcv_1 from +33199000002 to +33199000099 on t1")
    assert call.far_end == "+33199000002"
    assert call.verdict.startswith("All pages were received, kept and confirmed.")
    assert call.as_json()["entries"][3]["page"] == 1
