"""What two sides agree on about the life of a session (RFC 4028)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.message import Headers, Request, Response
from faxgw.foip.session_timer import LEAST_INTERVAL, Refresher, SessionExpires, SessionTimer, Terms, min_se_of


def request(*fields: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:a@b", Headers(fields))


def response(*fields: tuple[str, str], status: int = 200) -> Response:
    return Response(status, "", Headers(fields))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1800", SessionExpires(1800)),
        (" 90 ; Refresher=UAS", SessionExpires(90, Refresher.UAS)),
        ("3600;refresher=uac;x=y", SessionExpires(3600, Refresher.UAC)),
        ("90;refresher=nobody", SessionExpires(90)),
        ("99999999999999", SessionExpires(2**32 - 1)),
    ],
)
def test_session_expires_is_read(text: str, value: SessionExpires) -> None:
    """Section 4."""
    assert SessionExpires.parse(text) == value


def test_session_expires_is_written() -> None:
    assert str(SessionExpires(90)) == "90"
    assert str(SessionExpires(90, Refresher.UAC)) == "90;refresher=uac"
    with pytest.raises(RemoteProtocolError):
        SessionExpires.parse("soon")


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_the_peers_fault(text: str) -> None:
    try:
        SessionExpires.parse(text)
    except RemoteProtocolError:
        return


@pytest.mark.parametrize(("interval", "bye_after"), [(90, 60.0), (96, 64.0), (1800, 1768.0)])
def test_the_bye_leaves_32_s_or_a_third_before_the_expiry(interval: int, bye_after: float) -> None:
    """Section 10; the refresh at half the interval comes long before (section 7.2)."""
    terms = Terms(interval, True)
    assert terms.bye_after == bye_after
    assert terms.refresh_after == interval / 2 < bye_after


def test_the_first_invite_asks_and_leaves_the_refresher_open() -> None:
    """Section 7.1."""
    headers = Headers()
    SessionTimer(1800).ask(headers, first=True)
    assert list(headers) == [("Session-Expires", "1800")]
    quiet = Headers()
    SessionTimer(0).ask(quiet, first=True)
    assert list(quiet) == []


@pytest.mark.parametrize(
    ("said", "terms"),
    [
        ("1800;refresher=uac", Terms(1800, True)),
        ("1800;refresher=uas", Terms(1800, False)),
        ("1800", Terms(1800, True)),
        ("30;refresher=uac", Terms(90, True)),
        ("never", None),
    ],
)
def test_the_2xx_says_who_refreshes(said: str, terms: Terms | None) -> None:
    """Section 7.2; an interval below the least one is kept by refreshing often enough for both."""
    timer = SessionTimer(1800)
    timer.confirm(response(("Session-Expires", said)))
    assert timer.terms == terms


def test_a_2xx_without_the_field_ends_the_timer() -> None:
    timer = SessionTimer(1800)
    timer.terms = Terms(1800, True)
    timer.confirm(response())
    assert timer.terms is None


@pytest.mark.parametrize(("ours", "role"), [(True, "uac"), (False, "uas")])
def test_a_later_request_keeps_the_roles(ours: bool, role: str) -> None:
    """Section 7.4: the interval and the refresher in force, seen from this transaction."""
    timer = SessionTimer(1800)
    timer.terms = Terms(600, ours)
    headers = Headers()
    timer.ask(headers)
    assert list(headers) == [("Session-Expires", f"600;refresher={role}")]


def test_a_422_raises_the_interval_and_min_se_and_only_if_it_names_more() -> None:
    """Sections 7.3 and 7.4."""
    timer = SessionTimer(300)
    timer.ask(Headers(), first=True)
    assert timer.may_retry(response(("Min-SE", "900"), status=422))
    headers = Headers()
    timer.ask(headers, first=True)
    assert list(headers) == [("Session-Expires", "900"), ("Min-SE", "900")]
    assert not timer.may_retry(response(("Min-SE", "900"), status=422))
    assert not timer.may_retry(response(status=422))
    assert not timer.may_retry(response(("Min-SE", "much"), status=422))


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        ([("Session-Expires", "1800")], Terms(1800, True)),
        ([("Session-Expires", "1800;refresher=uac")], Terms(1800, True)),
        ([("Session-Expires", "1800"), ("Supported", "timer")], Terms(1800, False)),
        ([("x", "1800;refresher=uac"), ("k", "100rel, TIMER")], Terms(1800, False)),
        ([("Session-Expires", "1800;refresher=uas"), ("Supported", "timer")], Terms(1800, True)),
        ([("Supported", "timer")], None),
        ([("Session-Expires", "60")], None),
        ([("Session-Expires", "rubbish"), ("Supported", "timer")], None),
    ],
)
def test_the_called_side_grants_what_table_2_allows(fields: list[tuple[str, str]], terms: Terms | None) -> None:
    """Section 9, table 2: a caller that does not know the timer is refreshed by us."""
    assert SessionTimer(1800).grant(request(*fields)) == terms


def test_an_interval_below_ours_gets_422_if_the_caller_knows_what_that_is() -> None:
    """Section 9."""
    timer = SessionTimer(1800, min_se=300)
    with pytest.raises(RemoteProtocolError) as refused:
        timer.grant(request(("Session-Expires", "299"), ("Supported", "timer")))
    assert refused.value.status == 422
    assert timer.min_se == 300
    assert timer.grant(request(("Session-Expires", "299"))) == Terms(299, True)


def test_a_request_in_mid_call_that_forgets_the_timer_leaves_the_refresh_to_us() -> None:
    """Section 9: without the field in our 2xx the session would not expire for the peer alone."""
    timer = SessionTimer(1800)
    timer.terms = Terms(600, False)
    assert timer.grant(request()) == Terms(600, True)
    assert timer.grant(request(("Min-SE", "700"))) == Terms(700, True)


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        (None, []),
        (Terms(90, True), [("Session-Expires", "90;refresher=uas")]),
        (Terms(90, False), [("Session-Expires", "90;refresher=uac"), ("Require", "timer")]),
    ],
)
def test_our_2xx_says_what_was_granted(terms: Terms | None, fields: list[tuple[str, str]]) -> None:
    """Section 9: Require when the caller has to refresh."""
    answer = response()
    SessionTimer(1800).write(answer, terms)
    assert list(answer.headers) == fields


def test_min_se_is_90_without_the_field() -> None:
    """Section 5."""
    assert min_se_of(Headers()) == LEAST_INTERVAL == 90
    assert min_se_of(Headers([("min-se", "120")])) == 120
    assert min_se_of(Headers([("Min-SE", "10")])) == 90
