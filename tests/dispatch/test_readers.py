"""Who reads status mails: reply-to, copies and error-to of the vendor's accounts."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.dispatch.readers import failure_targets, report_targets
from faxgw.fax.account import Level, Origin, resolve

ALICE, TEAM, BOSS, HELP = "alice@example.org", "team@example.org", "boss@example.org", "help@example.org"


@pytest.mark.parametrize(
    "settings, success, failure",
    [
        ({}, [ALICE], [ALICE]),
        ({"report_addresses": [TEAM]}, [TEAM], [TEAM]),
        ({"report_cc": [BOSS]}, [ALICE, BOSS], [ALICE, BOSS]),
        ({"report_cc": ["Alice@Example.org", BOSS]}, ["alice@example.org", BOSS], ["alice@example.org", BOSS]),
        ({"report_error_to": [HELP]}, [ALICE], [HELP]),
        ({"report_addresses": [TEAM], "report_error_to": [HELP], "report_cc": [BOSS]}, [TEAM, BOSS], [HELP, BOSS]),
    ],
)
def test_who_reads_what(settings: dict[str, Any], success: list[str], failure: list[str]) -> None:
    given = resolve([(Origin(Level.USER, "bert"), settings)])
    found = report_targets(given, ALICE)
    both = found if isinstance(found, dict) else {"success": list(found), "failure": list(found)}
    assert both == {"success": success, "failure": failure}
    assert list(failure_targets(given, ALICE)) == failure


def test_nobody_is_told_where_nobody_is_named() -> None:
    assert report_targets(resolve([]), "") == ()
