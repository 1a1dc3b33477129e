"""Reason, Retry-After and Warning as peers write them (RFC 3326, RFC 3261 sections 20.33 and 20.43)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.headers import Cause
from faxgw.foip.message import Headers, Response
from faxgw.foip.refusal import MAX_CAUSES, MAX_WARNINGS, Refusal, WarningValue


def refusal(*fields: tuple[str, str]) -> Refusal:
    return Refusal.of(Response(486, "", Headers(fields)))


def test_everything_a_refusal_says_is_read() -> None:
    said = refusal(
        ("Reason", 'Q.850;cause=17;text="User busy", SIP;cause=486'),
        ("Retry-After", "120 (in a meeting);duration=3600"),
        ("Warning", '304 gw.example.net "Media type not available", 399 gw "say \\"fax\\""'),
    )
    assert said.causes == (Cause("Q.850", 17, "User busy"), Cause("SIP", 486))
    assert said.retry_after == 120
    assert said.warnings == (
        WarningValue(304, "gw.example.net", "Media type not available"),
        WarningValue(399, "gw", 'say "fax"'),
    )
    assert str(said.warnings[0]) == "304 Media type not available"


def test_what_cannot_be_read_is_left_out() -> None:
    said = refusal(("Reason", "nonsense, Q.850;cause=16"), ("Retry-After", "soon"), ("Warning", 'warned, 399 gw "x"'))
    assert said == Refusal((Cause("Q.850", 16),), None, (WarningValue(399, "gw", "x"),))
    assert refusal(("Reason", '"'), ("Warning", "<,")) == Refusal()


def test_texts_are_cleaned_and_lists_bounded() -> None:
    said = refusal(
        ("Warning", '399 gw "a\x07b"'),
        *[("Warning", '399 gw "x"')] * 20,
        *[("Reason", "SIP;cause=486")] * 20,
    )
    assert said.warnings[0].text == "ab"
    assert (len(said.warnings), len(said.causes)) == (MAX_WARNINGS, MAX_CAUSES)


@given(st.text(max_size=60))
def test_no_text_of_a_peer_raises(text: str) -> None:
    assert isinstance(refusal(("Reason", text), ("Retry-After", text), ("Warning", text)), Refusal)
