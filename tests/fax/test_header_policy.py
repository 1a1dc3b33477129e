"""What each header policy asks for: a table of decisions, and texts that say what is lacking."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from faxgw.fax.account import Effective, Level, Origin, resolve
from faxgw.fax.header import HeaderContext, expand, parse
from faxgw.fax.header_policy import MAX_PRINTED, POLICIES, refusal, shortfalls

GOOD = "%d.%m.%Y %H:%M  ACME Ltd  %C%rPage %P/%T"


def account(policy: str, header: str = GOOD, **more: str) -> Effective:
    given = {"caller_name": "ACME Ltd", "csid": "+33 1 88 00 00 01", **more}
    return resolve([(Origin(Level.CUSTOMER, "acme"), {"header_policy": policy, "header": header, **given})])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        "%a, %d %b %y %I:%M %p%cacme  LTD%r%C",
        "%tz=America/New_York;%Y-%m-%dT%H:%M:%S%nfrom ACME Ltd, tel. +1 (212) 555-0123",
        "ACME Ltd 01 88 00 00 01 %B %d, %Y %H:%M",
    ],
)
def test_a_header_with_moment_name_and_number_satisfies_every_policy(policy: str, header: str) -> None:
    assert shortfalls(account(policy, header)) == ()
    assert refusal(account(policy, header)) == ""


@pytest.mark.parametrize(
    ("header", "more", "us", "fr"),
    [
        ("", {}, ["switched off"], ["switched off"]),
        ("%n", {}, ["switched off"], ["switched off"]),
        ("%H:%M ACME Ltd %C", {}, ["the date"], []),
        ("%d.%m. %H:%M ACME Ltd %C", {}, ["the date"], []),
        ("%d.%m.%Y ACME Ltd %C", {}, ["the time"], []),
        ("%d.%m.%Y %I:%M ACME Ltd %C", {}, ["the time"], []),
        ("%Y-%m-%dT%H:%m:%S ACME Ltd %C", {}, ["the time"], []),  # the vendor's own sample prints the month twice
        ("%d.%m.%Y %H:%M %C", {}, ["the name of who sends (ACME"], ["the name of who sends (ACME"]),
        ("%d.%m.%Y %H:%M AC%%ME Ltd %C", {}, ["the name of who"], ["the name of who"]),
        ("%d.%m.%Y %H:%M AC%PME Ltd %C", {}, ["the name of who"], ["the name of who"]),
        (GOOD, {"caller_name": ""}, ["setting caller_name"], ["setting caller_name"]),
        (GOOD, {"caller_name": "  . "}, ["setting caller_name"], ["setting caller_name"]),
        (GOOD, {"csid": ""}, ["a telephone number"], ["a telephone number"]),
        (GOOD, {"csid": "12"}, ["a telephone number"], ["a telephone number"]),
        (GOOD, {"csid": "0899 00 00 00"}, ["charged as an ordinary"], ["charged as an ordinary"]),
        (GOOD, {"csid": "+1 900 555 0123"}, ["charged as an ordinary"], ["charged as an ordinary"]),
        ("%d.%m.%Y %H:%M ACME Ltd to %#", {}, ["a telephone number"], ["or a mail address"]),
        ("%d.%m.%Y %H:%M ACME Ltd fax@acme.example", {}, ["a telephone number"], []),
        ("%d.%m.%Y %H:%M ACME Ltd invoice 2026-1122", {}, ["a telephone number"], ["a telephone number"]),
        ("%C ACME Ltd", {}, ["the date", "the time"], []),
        ("%q ACME Ltd", {}, ["%q"], ["%q"]),
        (GOOD + "x" * 70, {}, ["cut off"], ["cut off"]),
    ],
)
def test_what_is_lacking_is_said(header: str, more: dict[str, str], us: list[str], fr: list[str]) -> None:
    for policy, expected in (("us-tcpa", us), ("fr", fr)):
        settings = account(policy, header, **more)
        found = [said.told() for said in shortfalls(settings)]
        assert len(found) == len(expected), found
        assert all(words in text for words, text in zip(expected, found, strict=True)), found
        said = refusal(settings)
        assert all(text in said for text in found) and (not found or POLICIES[policy].law in said)
    assert shortfalls(account("none", header, **more)) == ()


def test_without_a_policy_the_default_header_is_good() -> None:
    assert shortfalls(resolve([])) == ()


def test_a_lower_level_makes_a_policy_no_weaker() -> None:
    customer, user = Origin(Level.CUSTOMER, "acme"), Origin(Level.USER, "jane")
    strict = resolve([(customer, {"header_policy": "us-tcpa"}), (user, {"header_policy": "none"})])
    assert strict["header_policy"] == "us-tcpa" and strict.origins["header_policy"] is customer
    assert resolve([(user, {"header_policy": "fr"})])["header_policy"] == "fr"


def test_a_line_of_the_greatest_length_is_accepted() -> None:
    rest = MAX_PRINTED - len("30.09.2026 23:59  ACME Ltd  +33 1 88 00 00 01") - 2 - len("Page 100/100")
    assert shortfalls(account("us-tcpa", GOOD.replace("%r", "x" * rest + "%r"))) == ()
    assert shortfalls(account("us-tcpa", GOOD.replace("%r", "x" * (rest + 1) + "%r"))) != ()


@pytest.mark.parametrize(
    ("utc", "printed"),
    [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "25.10.2026 02:30 +0200 CEST"),  # the hour before it comes again
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "25.10.2026 02:30 +0100 CET"),
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "29.03.2026 01:59 +0100 CET"),  # the hour that does not exist
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "29.03.2026 03:00 +0200 CEST"),
    ],
)
def test_the_nights_when_clocks_change(utc: datetime, printed: str) -> None:
    """The zone printed beside the time tells the two half past twos apart."""
    context = HeaderContext(utc, zone="Europe/Paris")
    (line,) = expand(parse("%d.%m.%Y %H:%M %z %Z"), context, 1, 1)
    assert line.left == printed
