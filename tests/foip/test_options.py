"""Option tags (RFC 3261 section 19.2)."""

from __future__ import annotations

from faxgw.foip.message import Headers, Request
from faxgw.foip.options import SUPPORTED, lists, unsupported


def test_a_tag_is_found_in_any_case_and_any_field() -> None:
    headers = Headers([("Supported", "a, TIMER"), ("k", "100rel")])
    assert lists(headers, "Supported", "timer")
    assert lists(headers, "Supported", "100rel")
    assert not lists(headers, "Supported", "b")
    assert not lists(headers, "Require", "timer")


def test_a_list_nobody_can_read_has_nothing() -> None:
    assert not lists(Headers([("Allow", 'UPDATE, "')]), "Allow", "UPDATE")


def test_only_what_we_lack_is_unsupported() -> None:
    """Section 8.2.2.3."""
    assert unsupported(Request("INVITE", "sip:a@b", Headers([("Require", "Timer, 100rel, replaces")]))) == ["replaces"]
    assert unsupported(Request("INVITE", "sip:a@b", Headers([("Require", ", ".join(SUPPORTED))]))) == []
