"""A fax as the vendor's reports tell it (docs/spine.md section 10)."""

from __future__ import annotations

from typing import Any

import pytest

from faxgw.fax.job import FaxState
from faxgw.fax.outcome import Cause
from faxgw.fax.report import AttemptLine
from faxgw.fax.vendor_report import VendorRecipient, recipient_report


def call(cause: Cause, at: float, answered: float | None = None, number: str = "+331") -> AttemptLine:
    return AttemptLine(number, at, answered, at + 60, cause, 0, "t38", 14_400, True, f"ident {at:g}", "")


def told(state: FaxState, cause: Cause | None, *attempts: AttemptLine, reason: str = "") -> VendorRecipient:
    more: dict[str, Any] = {"fax": "FN1", "number": "01", "properties": ()}
    return recipient_report(state=state, cause=cause, reason=reason, attempts=attempts, **more)


@pytest.mark.parametrize("state", [s for s in FaxState if not s.final])
def test_what_is_not_final_is_pending_without_a_call(state: FaxState) -> None:
    found = told(state, Cause.BUSY, call(Cause.BUSY, 10, 20))
    assert (found.status, found.reason) == ("PENDING", "The number was busy.")
    assert (found.sent_at, found.duration, found.sent_to, found.csid) == (None, 0, "", "")


def test_a_fax_that_was_sent_tells_the_call_that_sent_it() -> None:
    found = told(
        FaxState.SENT, None, call(Cause.BUSY, 10), call(Cause.OK, 100, 105), call(Cause.REMOTE_HUNG_UP, 200, 201)
    )
    assert (found.status, found.reason) == ("OK", "OK")
    assert (found.sent_at, found.duration, found.sent_to, found.csid) == (160, 55, "00331", "ident 100")


def test_a_fax_that_failed_tells_its_last_connected_call() -> None:
    found = told(FaxState.FAILED, Cause.REMOTE_HUNG_UP, call(Cause.REMOTE_HUNG_UP, 10, 20), call(Cause.BUSY, 100))
    assert (found.status, found.sent_at, found.duration) == ("REM_DIS", 70, 50)


def test_a_number_never_dialled_has_the_reason_of_its_refusal() -> None:
    found = told(FaxState.FAILED, Cause.NUMBER_REFUSED, reason="Emergency numbers are never dialled.")
    assert (found.status, found.reason, found.sent_to) == ("DIAL_NC", "Emergency numbers are never dialled.", "")


def test_a_fax_that_may_have_arrived_says_so() -> None:
    found = told(FaxState.UNKNOWN, Cause.IN_DOUBT, call(Cause.IN_DOUBT, 10, 20))
    assert found.status == "EOD_FAILED" and "may have arrived" in found.reason


def test_an_expired_fax_has_its_last_cause_or_says_expired() -> None:
    never, busy = told(FaxState.EXPIRED, Cause.EXPIRED), told(FaxState.EXPIRED, Cause.BUSY, call(Cause.BUSY, 10))
    assert (never.status, never.reason) == ("CANCELLED", "expired")
    assert (busy.status, busy.reason) == ("BUSY", "The number was busy.")
    assert told(FaxState.CANCELLED, Cause.CANCELLED).status == "CANCELLED"
