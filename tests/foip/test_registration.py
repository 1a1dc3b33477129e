"""A registration by itself: what is asked for, what is granted, when the next one is due, what failures cost."""

from __future__ import annotations

import pytest

from faxgw.foip.client import MAX_ATTEMPTS, Sending
from faxgw.foip.digest import Authenticator, Credentials
from faxgw.foip.events import CallId, RequestDone, Why
from faxgw.foip.registration import (
    BACK_OFF_LONGEST,
    MAX_AGAIN,
    MAX_EXPIRES,
    MAX_SERVICE_ROUTES,
    REFUSED_LONGEST,
    SHORTEST,
    Account,
    Registration,
    Verdict,
)
from faxgw.foip.uri import SipUri
from tests.foip.wire import numbers

SERVER = ("192.0.2.9", 5060)
OURS = SipUri("192.0.2.1", "fax", 5060)
OTHER = SipUri("192.0.2.1", "fax", 5070, params=(("transport", "tcp"),))
VIA = ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport")


def registration(**changes: object) -> Registration:
    account = Account("sip:example.net", "sip:fax@example.net", **changes)  # type: ignore[arg-type]
    return Registration(account, Credentials("fax", "secret"), numbers(), "192.0.2.1")


def answer(sent: Sending, status: int, *headers: tuple[str, str], why: Why = Why.ANSWERED) -> RequestDone:
    return RequestDone(CallId("x"), "REGISTER", status, "Said So", headers, why, sent.cseq)


def contacts(sent: Sending) -> list[str]:
    return [value for name, value in sent.headers if name == "Contact"]


def ask(made: Registration, now: float, status: int, *headers: tuple[str, str]) -> Verdict:
    return made.done(answer(made.request(SERVER, [OURS]), status, *headers), now)


def test_a_request_names_account_contacts_and_time() -> None:
    """RFC 3261 section 10.2: no user in the Request-URI, To and From are the address of record."""
    sent = registration(expires=300).request(SERVER, [OURS, OTHER], route=["<sip:p.example.net;lr>"])
    assert (sent.method, sent.target, sent.destination) == ("REGISTER", "sip:example.net", SERVER)
    assert sent.from_ == sent.to == "<sip:fax@example.net>"
    assert contacts(sent) == [
        "<sip:fax@192.0.2.1:5060>;expires=300",
        "<sip:fax@192.0.2.1:5070;transport=tcp>;expires=300",
    ]
    assert ("Expires", "300") in sent.headers
    assert sent.route == ["<sip:p.example.net;lr>"]


def test_one_call_id_and_rising_numbers_whatever_happens() -> None:
    """Section 10.2; a request nobody reported on may have used all its numbers."""
    made = registration()
    first = made.request(SERVER, [OURS])
    made.done(answer(first, 200), 0.0)
    second = made.request(SERVER, [OURS])
    third = made.request(SERVER, [OURS])
    assert first.call_id == second.call_id == third.call_id
    assert first.from_tag == second.from_tag
    assert second.cseq == first.cseq + 1
    assert third.cseq == second.cseq + MAX_ATTEMPTS


def test_the_time_of_our_own_contact_counts_and_others_are_left_alone() -> None:
    made = registration(expires=300)
    bindings = ("Contact", '<sip:fax@192.0.2.1>;expires=1000;q=0.5, "x" <sip:desk@192.0.2.77>;expires=20')
    assert ask(made, 100.0, 200, bindings, ("Expires", "50")) is Verdict.BOUND
    assert made.is_bound(1099.0) and not made.is_bound(1100.0)
    assert made.deadline is not None and 100 + 750 <= made.deadline <= 100 + 850
    assert not any("desk" in value for value in contacts(made.request(SERVER, [OURS])))


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ((("Contact", "<sip:fax@192.0.2.1:5060>"), ("Expires", "200")), 200),
        ((("Contact", "<sip:fax@192.0.2.1:5060>"),), 600),
        ((("Expires", "90"),), 90),
        ((("Contact", "nonsense<"), ("Contact", "<sip:fax@192.0.2.1>;expires=80")), 80),
        ((("Contact", "<sip:fax@192.0.2.1>;expires=soon"),), 3600),
    ],
)
def test_the_time_granted_is_found_where_it_is(headers: tuple[tuple[str, str], ...], granted: int) -> None:
    made = registration()
    ask(made, 0.0, 200, *headers)
    assert made.is_bound(granted - 0.5) and not made.is_bound(granted)


def test_of_several_contacts_the_first_to_go_counts() -> None:
    made = registration()
    sent = made.request(SERVER, [OURS, OTHER])
    made.done(answer(sent, 200, ("Contact", f"<{OURS}>;expires=600, <{OTHER}>;expires=120")), 0.0)
    assert not made.is_bound(120.0)


@pytest.mark.parametrize(("granted", "least", "most"), [(60, 30, 30), (1, SHORTEST, SHORTEST), (3600, 2700, 3060)])
def test_the_refresh_leaves_time_for_another_try(granted: int, least: float, most: float) -> None:
    made = registration()
    ask(made, 0.0, 200, ("Expires", str(granted)))
    assert made.deadline is not None and least <= made.deadline <= most


def test_nothing_granted_is_a_refusal() -> None:
    made = registration()
    assert ask(made, 0.0, 200, ("Contact", f"<{OURS}>;expires=0")) is Verdict.LATER
    assert not made.is_bound(0.0)


def test_too_brief_a_time_is_lengthened_and_asked_for_at_once() -> None:
    """Section 10.2.8."""
    made = registration(expires=60)
    assert ask(made, 5.0, 423, ("Min-Expires", "1800")) is Verdict.AGAIN
    assert made.deadline == 5.0
    assert contacts(made.request(SERVER, [OURS])) == [f"<{OURS}>;expires=1800"]


@pytest.mark.parametrize("least", [None, "0", "60", "nonsense", str(MAX_EXPIRES + 1)])
def test_a_423_that_cannot_be_obeyed_is_a_refusal(least: str | None) -> None:
    made = registration(expires=60)
    headers = () if least is None else (("Min-Expires", least),)
    assert ask(made, 0.0, 423, *headers) is Verdict.LATER


def test_a_registrar_that_never_has_enough_ends_in_a_pause() -> None:
    made = registration(expires=60)
    verdicts = [ask(made, 0.0, 423, ("Min-Expires", str(100 + number))) for number in range(MAX_AGAIN + 1)]
    assert verdicts == [Verdict.AGAIN] * MAX_AGAIN + [Verdict.LATER]
    assert made.deadline is not None and made.deadline >= 15


def test_a_redirection_is_followed_once_and_not_for_ever() -> None:
    """Section 8.1.3.4; the refresh after it goes to the registrar of the settings again."""
    made = registration()
    assert ask(made, 0.0, 302, ("Contact", "<mailto:a@b>, <sip:x@192.0.2.50:5070;transport=udp>")) is Verdict.AGAIN
    assert made.redirected is not None and made.redirected.host == "192.0.2.50"
    assert made.request(SERVER, [OURS]).target == "sip:192.0.2.50:5070;transport=udp"
    assert made.request(SERVER, [OURS]).target == "sip:example.net"
    verdicts = [ask(made, 0.0, 301, ("Contact", "<sip:192.0.2.51>")) for _ in range(MAX_AGAIN)]
    assert verdicts[-1] is Verdict.LATER and made.redirected is None
    assert ask(registration(), 0.0, 300) is Verdict.LATER


@pytest.mark.parametrize(
    ("status", "why"), [(408, Why.TIMEOUT), (503, Why.TRANSPORT), (503, Why.ANSWERED), (500, Why.ANSWERED)]
)
def test_a_server_that_does_not_work_sends_us_to_the_next(status: int, why: Why) -> None:
    made = registration()
    assert made.done(answer(made.request(SERVER, [OURS]), status, why=why), 0.0) is Verdict.ELSEWHERE


def test_pauses_double_within_bounds_and_end_with_success() -> None:
    """RFC 5626 section 4.5: half to all of a time that doubles."""
    made = registration()
    pauses = []
    for _ in range(9):
        ask(made, 0.0, 503)
        made.exhausted(0.0)
        assert made.deadline is not None
        pauses.append(made.deadline)
    for times, pause in enumerate(pauses):
        most = min(BACK_OFF_LONGEST, 30 * 2.0**times)
        assert most / 2 <= pause <= most
    ask(made, 0.0, 200)
    made.exhausted(0.0)
    assert made.deadline is not None and made.deadline <= 30


@pytest.mark.parametrize(("asked", "pause"), [("90", 90.0), ("1", SHORTEST), ("999999", REFUSED_LONGEST)])
def test_retry_after_is_heeded_within_bounds(asked: str, pause: float) -> None:
    made = registration()
    assert ask(made, 7.0, 503, ("Retry-After", asked)) is Verdict.ELSEWHERE
    made.exhausted(7.0)
    assert made.deadline == 7.0 + pause


def test_refusals_wait_longer_than_failures() -> None:
    """Registrars lock accounts that insist."""
    made = registration()
    pauses = []
    for _ in range(8):
        assert ask(made, 0.0, 403) is Verdict.LATER
        assert made.deadline is not None
        pauses.append(made.deadline)
    assert 60 <= pauses[0] <= 120
    assert 1800 <= pauses[-1] <= REFUSED_LONGEST
    assert made.detail == "403 Said So"
    assert ask(made, 0.0, 403, ("Retry-After", "3000")) is Verdict.LATER
    assert made.deadline is not None and made.deadline >= 3000


def test_after_a_refusal_a_new_challenge_is_answered_again() -> None:
    """The password may have been put right on the other side."""
    made = registration()
    sent = made.request(SERVER, [OURS])
    auth = sent.credentials
    assert isinstance(auth, Authenticator)
    assert auth.challenged(401, ['Digest realm="r", nonce="1"'])
    auth.headers("REGISTER", sent.target, b"")
    assert not auth.challenged(401, ['Digest realm="r", nonce="2"'])
    made.done(answer(sent, 401), 0.0)
    fresh = made.request(SERVER, [OURS]).credentials
    assert isinstance(fresh, Authenticator) and fresh.challenged(401, ['Digest realm="r", nonce="3"'])


def test_the_next_nonce_is_used_for_the_refresh() -> None:
    """RFC 7616 section 3.5."""
    made = registration()
    sent = made.request(SERVER, [OURS])
    auth = sent.credentials
    assert isinstance(auth, Authenticator)
    auth.challenged(401, ['Digest realm="r", nonce="1", qop="auth"'])
    made.done(answer(sent, 200, ("Authentication-Info", 'nextnonce="2"')), 0.0)
    assert 'nonce="2"' in auth.headers("REGISTER", "sip:example.net", b"")[0][1]


def test_a_failed_refresh_leaves_the_binding_until_its_time_is_over() -> None:
    made = registration()
    ask(made, 0.0, 200, ("Expires", "600"))
    ask(made, 480.0, 503)
    made.exhausted(480.0)
    assert made.is_bound(599.0)
    ask(made, 601.0, 503)
    made.exhausted(601.0)
    assert not made.is_bound(601.0)


def test_a_way_that_is_free_again_shortens_the_pause_but_not_after_a_refusal() -> None:
    made = registration()
    made.hasten(0.0)
    assert made.deadline == 0.0
    ask(made, 0.0, 503)
    made.exhausted(0.0)
    made.hasten(3.0)
    assert made.deadline == 3.0
    refused = registration()
    ask(refused, 0.0, 503)
    refused.exhausted(0.0)
    ask(refused, 0.0, 403)
    refused.hasten(3.0)
    assert refused.deadline is not None and refused.deadline >= 60


def test_at_the_end_our_own_bindings_are_removed_and_no_others() -> None:
    """Section 10.2.2."""
    made = registration()
    assert made.removal(SERVER) is None
    made.done(answer(made.request(SERVER, [OURS, OTHER]), 200, ("Contact", "<sip:desk@192.0.2.77>")), 0.0)
    sent = made.removal(SERVER)
    assert sent is not None
    assert contacts(sent) == [f"<{OURS}>;expires=0", f"<{OTHER}>;expires=0"]
    assert ("Expires", "0") in sent.headers
    assert made.done(answer(sent, 200, ("Contact", "<sip:desk@192.0.2.77>;expires=60")), 5.0) is Verdict.REMOVED
    assert not made.is_bound(5.0) and made.deadline is None
    assert made.removal(SERVER) is None


def test_a_request_whose_answer_was_never_seen_is_removed_as_well() -> None:
    made = registration()
    made.request(SERVER, [OURS])
    sent = made.removal(SERVER)
    assert sent is not None and contacts(sent) == [f"<{OURS}>;expires=0"]


def test_the_address_others_see_us_at_is_learnt_and_followed() -> None:
    """RFC 3581: the first answer tells; the old contact goes with the same request."""
    made = registration(follow_address=True)
    seen = ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;received=198.51.100.7;rport=40123")
    assert ask(made, 0.0, 200, seen) is Verdict.AGAIN
    assert made.learnt == ("198.51.100.7", 40123)
    moved = SipUri("198.51.100.7", "fax", 40123)
    sent = made.request(SERVER, [moved])
    assert contacts(sent) == [f"<{moved}>;expires=600", f"<{OURS}>;expires=0"]
    assert made.done(answer(sent, 200, seen), 0.0) is Verdict.BOUND
    assert contacts(made.request(SERVER, [moved])) == [f"<{moved}>;expires=600"]


def test_without_the_setting_an_address_is_learnt_but_not_followed() -> None:
    made = registration()
    assert ask(made, 0.0, 200, ("Via", f"{VIA[1]}=40123;received=198.51.100.7")) is Verdict.BOUND
    assert made.learnt == ("198.51.100.7", 40123)


@pytest.mark.parametrize("via", ["nonsense", "SIP/2.0/UDP 192.0.2.1;received=evil.example;rport=1", f"{VIA[1]}=999999"])
def test_an_address_that_is_none_is_not_learnt(via: str) -> None:
    made = registration(follow_address=True)
    assert ask(made, 0.0, 200, ("Via", via)) is Verdict.BOUND
    assert made.learnt is None


def test_service_routes_are_kept_bounded_and_replaced() -> None:
    """RFC 3608 section 5: each 200 replaces them, also by none."""
    made = registration()
    ask(made, 0.0, 200, ("Service-Route", "<sip:a;lr>, <sip:b;lr>"))
    assert made.service_route == ("<sip:a;lr>", "<sip:b;lr>")
    ask(made, 0.0, 200, *(("Service-Route", f"<sip:{number};lr>") for number in range(30)))
    assert len(made.service_route) == MAX_SERVICE_ROUTES
    ask(made, 0.0, 200, ("Service-Route", ",,"))
    assert made.service_route == ()
