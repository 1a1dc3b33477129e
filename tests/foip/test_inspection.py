"""What is asked of a request before anything is kept of it (RFC 3261 sections 8.2 and 18.2.1)."""

from __future__ import annotations

import pytest

from faxgw.foip.errors import RemoteProtocolError
from faxgw.foip.inspection import MAX_REQUIRE, check_content, check_extensions, mark_source, method_status, refusal
from faxgw.foip.message import Headers, Request


def invite(*fields: tuple[str, str], body: bytes = b"", method: str = "INVITE") -> Request:
    return Request(method, "sip:a@b", Headers(fields), body)


def test_the_topmost_via_gets_received_and_rport() -> None:
    """Section 18.2.1, RFC 3581 section 4."""
    request = invite(
        ("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa;rport"), ("Via", "SIP/2.0/UDP p;branch=z9hG4bKb")
    )
    mark_source(request, ("192.0.2.7", 6000))
    first, second = request.headers.get_all("Via")
    assert "received=192.0.2.7" in first
    assert "rport=6000" in first
    assert second == "SIP/2.0/UDP p;branch=z9hG4bKb"


def test_a_via_that_cannot_be_read_or_is_not_there_stays() -> None:
    for request in (invite(), invite(("Via", "rubbish"))):
        before = list(request.headers)
        mark_source(request, ("192.0.2.7", 6000))
        assert list(request.headers) == before


@pytest.mark.parametrize(
    ("method", "status"),
    [("BYE", 481), ("UPDATE", 481), ("PRACK", 481), ("INFO", 481), ("NOTIFY", 481), ("REFER", 405),
     ("SUBSCRIBE", 405), ("MESSAGE", 405), ("PUBLISH", 405), ("REGISTER", 405), ("FLY", 501)],
)  # fmt: skip
def test_methods_that_begin_nothing_here(method: str, status: int) -> None:
    """Sections 8.2.1, 12.2.2 and 15.1.2."""
    assert method_status(method) == status


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ([("Content-Type", "text/plain")], b"x", 415),
        ([("Content-Type", "application/sdp"), ("Content-Encoding", "gzip")], b"x", 415),
        ([("Accept", "text/plain")], b"", 406),
        ([("Content-Type", "application/sdp"), ("Accept", "text/html, application/*")], b"x", 0),
        ([("Content-Type", "multipart/mixed;boundary=x")], b"x", 0),
        ([], b"", 0),
    ],
)
def test_bodies_and_what_the_caller_accepts(fields: list[tuple[str, str]], body: bytes, status: int) -> None:
    """Sections 8.2.3 and 13.2.1."""
    if not status:
        check_content(invite(*fields, body=body))
        return
    with pytest.raises(RemoteProtocolError) as fault:
        check_content(invite(*fields, body=body))
    assert fault.value.status == status


def test_only_extensions_we_lack_are_refused() -> None:
    """Section 8.2.2.3."""
    check_extensions(invite(("Require", "100rel, timer")))
    with pytest.raises(RemoteProtocolError) as fault:
        check_extensions(invite(("Require", "100rel, replaces")))
    assert fault.value.status == 420


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [(415, "Accept", "application/sdp"), (422, "Min-SE", "120"), (503, "Retry-After", "10"), (420, "Unsupported", "x")],
)
def test_a_refusal_says_what_would_help(status: int, name: str, value: str) -> None:
    request = invite(("Require", "timer, x"), ("CSeq", "1 INVITE"))
    assert refusal(request, status, "t", 120).headers.get(name) == value


def test_a_refusal_lists_what_is_allowed_and_no_endless_list() -> None:
    assert "PRACK" in (refusal(invite(), 405, "t", 90).headers.get("Allow") or "")
    request = invite(("Require", ", ".join(f"x{number}" for number in range(100))))
    assert len(refusal(request, 420, "t", 90).headers.tokens("Unsupported")) == MAX_REQUIRE
