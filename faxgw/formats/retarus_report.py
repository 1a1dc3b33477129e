"""The vendor's REST "Fax for Applications" v1, what we answer: reports and deletions as JSON.

Only the subset that all four of the vendor's clients can read (docs/rest-retarus.md): `reference` always has its three
strings, `properties` is null when there are none, `sentTs` is a time or null, numbers fit 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from faxgw.fax.vendor_report import MAX_COUNT, Deletion, VendorRecipient, VendorReport

NOT_FOUND = "NOT_FOUND"
"""Reason of a deletion that found nothing."""


def report_to_json(report: VendorReport) -> dict[str, object]:
    """A FaxReport."""
    return {
        "jobId": report.job,
        "recipientStatus": [_recipient(r) for r in report.recipients],
        "pages": min(report.pages, MAX_COUNT),
        "reference": {
            key: report.reference.get(key, "") for key in ("customerDefinedId", "billingCode", "billingInfo")
        },
    }


def _recipient(recipient: VendorRecipient) -> dict[str, object]:
    return {
        "number": recipient.number,
        "properties": [{"key": key, "value": value} for key, value in recipient.properties] or None,
        "status": recipient.status,
        "reason": recipient.reason,
        "sentTs": None if recipient.sent_at is None else timestamp(recipient.sent_at),
        "durationInSecs": recipient.duration,
        "sentToNumber": recipient.sent_to,
        "remoteCsid": recipient.csid,
    }


def deletion_to_json(deletion: Deletion) -> dict[str, object]:
    """A JobDeleteReport; `reason` only where nothing was deleted."""
    found: dict[str, object] = {"jobId": deletion.job, "deleted": deletion.deleted}
    return found if deletion.deleted else found | {"reason": NOT_FOUND}


def deletions_to_json(deletions: Sequence[Deletion]) -> list[dict[str, object]]:
    """Deleted ones first: one of the clients drops the whole answer when its first item was not found."""
    return [deletion_to_json(d) for d in sorted(deletions, key=lambda d: not d.deleted)]


def timestamp(at: float) -> str:
    """ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
