"""Explanations in sentences: every manner, every measure, every obstacle has words of its own."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.fax.destination import CallRecord, Kind, Manner, T38Use
from faxgw.fax.explain import explain, known, overview
from faxgw.fax.outcome import Cause
from faxgw.fax.resolution import Resolution

CALL = CallRecord(
    100.0, "t1", "ok", "done", t38="theirs", transport="t38", bit_rate=14400, ecm=True, ident="FAR",
    resolutions=("204x98", "204x196"), codings=("MH", "MMR"), dis_after=4.0,
)  # fmt: skip
WIRE = {
    "request_uri": "sip:+331@h", "from": "<sip:+332@h>", "to": "<sip:+331@h>", "headers": [["Privacy", "id"]],
    "t38": True, "t38_offer": "later", "t38_wait": 2.0,
}  # fmt: skip
WAY = {
    "trunk": "t1", "why": "route", "prefix": "+33", "cost": 0.02, "order": 100, "held_until": 0.0, "held_why": "",
    "fault": "", "channels": 4, "calls": 1, "full": False,
}  # fmt: skip


def when(at: float) -> str:
    return f"[{at:g}]"


def found(**values: Any) -> dict[str, Any]:
    return {
        "now": 200.0, "typed": "01", "refused": "", "named": "", "trunks": [WAY], "wire": WIRE, "calls": [],
        "account": {"customer": "acme", "user": "acme/alice", "active": True},
        "number": {"e164": "+331", "country": "FR", "kind": "ordinary", "sub_address": "", "zone": "Europe/Paris"},
        "measures": [], "wanted": Manner().to_json(), "manner": Manner().to_json(), "obstacles": [], **values,
    }  # fmt: skip


def measure(kind: Kind, **values: Any) -> dict[str, Any]:
    return {"kind": kind.value, "calls": 2, "last_at": 100.0, "until": 300.0, "good_calls": 1, "value": 0.0, **values}


def test_a_whole_explanation() -> None:
    assert explain(found(), when).splitlines() == [
        "“01” is +331, an ordinary number (FR). acme/alice may dial it.",
        "",
        "Trunk",
        "  It goes over t1: route +33, 0.02 per minute, order 100; 1 of 4 channels in use.",
        "",
        "On the wire",
        "  INVITE sip:+331@h",
        "  From: <sip:+332@h>",
        "  To: <sip:+331@h>",
        "  Privacy: id",
        "",
        "Known of it",
        "  Nothing: it was not called yet, or it was forgotten.",
        "",
        "The call",
        "  T.38 is proposed by us 2 s after the answer tone, unless the far end proposes it first; when it is "
        "refused the fax goes on in the audio.",
        "  At most 14400 bit/s, with error correction, in fine resolution.",
        "  A fax machine must be heard within 60 s of the answer.",
        "  That is how every call is made: nothing that is known speaks against it.",
        "",
        "Now",
        "  Nothing stands in the way: a fax would be called at once.",
    ]


@pytest.mark.parametrize("kind", list(Kind))
def test_each_measure_says_why_and_until_when(kind: Kind) -> None:
    text = explain(found(measures=[measure(kind)]), when)
    assert f"{kind.value}: " in text
    assert "(2 calls, the last [100]); better is tried again after [300] or 1 more successful calls." in text
    forever = explain(found(measures=[measure(kind, until=None, last_at=0.0, calls=1)]), when)
    assert "(1 call); until an operator releases it." in forever


def test_each_use_of_t38_has_words_of_its_own() -> None:
    texts = {explain(found(manner=Manner(t38=use).to_json()), when) for use in T38Use}
    assert len(texts) == len(T38Use)


@pytest.mark.parametrize(
    ("wire", "use", "words"),
    [
        ({"t38": False}, T38Use.LATE, "The trunk has no T.38"),
        ({"t38_offer": "only"}, T38Use.NEVER, "T.38 is all that the first INVITE offers"),
        ({"t38_offer": "first"}, T38Use.EARLY, "T.38 is offered beside the audio"),
        ({"t38_offer": "first"}, T38Use.NEVER, "T.38 is not proposed by us"),
    ],
)
def test_what_the_trunk_says_of_t38_counts(wire: dict[str, Any], use: T38Use, words: str) -> None:
    assert words in explain(found(wire=WIRE | wire, manner=Manner(t38=use).to_json()), when)


def test_what_the_account_wants_and_does_not_get_is_said() -> None:
    text = explain(
        found(manner=Manner(ecm=False, max_bit_rate=9600, resolution=Resolution.STANDARD, isolated=True).to_json()),
        when,
    )
    assert "At most 9600 bit/s, without error correction, although the account wants it, in standard" in text
    assert "a call worker of its own" in text


def test_trunks_that_do_not_work_are_told_with_the_reason() -> None:
    held = WAY | {"trunk": "t2", "why": "unrouted", "cost": None, "held_until": 300.0, "held_why": "SIP 503"}
    down = WAY | {"trunk": "t3", "why": "account", "fault": "not registered"}
    text = explain(found(trunks=[WAY, held, down]), when)
    assert "  then t2: no route names it; it steps in where the others fail; 1 of 4 channels in use; " in text
    assert "held until [300] because of SIP 503." in text
    assert "then t3: named by the account; 1 of 4 channels in use; takes no calls: not registered." in text


def test_obstacles_are_told_with_their_time() -> None:
    text = explain(found(obstacles=[{"what": "it rests", "until": 300.0}, {"what": "it is busy", "until": None}]), when)
    assert text.endswith("Now\n  It rests, until [300].\n  It is busy.")


def test_calls_are_told_newest_first() -> None:
    broken = CallRecord(
        150.0, "t2", "remote_hung_up", "page", ("slow",), t38="refused", ecm=True, ecm_retries=3, bit_rate=9600
    )
    lines = known([CALL.to_json(), broken.to_json()], when)
    assert lines == [
        "2 calls are remembered, 1 of them successful, the last one of [150].",
        "Its machine “FAR” takes 204x98/204x196, MH/MMR, and was heard 4 s after the answer (seen [100]).",
        "[150] on t2: The far end hung up during the transmission (in a page); T.38 refused; 9600 bit/s; ECM; "
        "3 repeated; heeding slow",
        "[100] on t1: sent; T.38 by theirs; 14400 bit/s; ECM",
    ]


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_and_phase_can_be_told(cause: Cause) -> None:
    for phase in ("dial", "answer", "negotiation", "page"):
        assert known([CallRecord(1.0, "t", cause.value, phase).to_json()], when)


def test_the_list_of_destinations() -> None:
    entry = {"e164": "+331", "called_at": 100.0, "calls": [CALL.to_json()], "measures": [measure(Kind.SLOW)]}
    lines = overview({"count": 3, "destinations": [entry]}, when).splitlines()
    assert [line.split() for line in lines] == [
        ["NUMBER", "LAST", "CALL", "CALLS", "SENT", "DEPARTS", "IN"],
        ["+331", "[100]", "1", "1", "slow"],
        ["and", "2", "more"],
    ]
    assert overview({"count": 0, "destinations": []}, when) == "no destinations"
