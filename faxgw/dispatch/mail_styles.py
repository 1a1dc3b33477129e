"""The customer's mail template, added to a parcel on its way to the delivery (docs/status-mails.md).

A mail names its template when it is written; what the template says is read when the mail leaves, so that a mended one
holds for mails that wait. A template that is not there any more is no reason not to tell somebody: the shipped designs
are used, and the fault is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from faxgw.dispatch.seat import Seat
from faxgw.fax.ports import Parcel
from faxgw.formats.report_payload import with_style
from faxgw.store import templates
from faxgw.store.templates import Kind

log = logging.getLogger(__name__)

SHIPPED = ("", "default")
"""Names of the shipped designs."""
_REPORTS = ("job", "refused", "received")
"""Where a payload has its report."""


class MailStyles:
    """Finds the templates of mails.

    Args:
        seat: The node.
        fault: Told of every mail that leaves in the shipped designs although its customer has a template.
    """

    def __init__(self, seat: Seat, fault: Callable[[], None] = lambda: None) -> None:
        self._seat = seat
        self._fault = fault

    async def styled(self, parcel: Parcel) -> Parcel:
        """The parcel with what its template says; as it is where it names none."""
        customer, name = _named(parcel.payload)
        if name in SHIPPED or parcel.kind == "dsn":
            return parcel
        found = await self._seat.store.read(lambda conn: templates.find(conn, customer, Kind.MAIL, name))
        if found is None:
            log.error("no mail template", extra={"event": "mail.template", "item": parcel.item, "why": name})
            self._fault()
            return parcel
        return replace(parcel, payload=with_style(parcel.payload, found.content))


def _named(payload: Mapping[str, object]) -> tuple[str, str]:
    """(customer, name) of the template that a payload's report asks for."""
    for key in _REPORTS:
        report = payload.get(key)
        if isinstance(report, Mapping):
            return str(report.get("customer", "")), str(report.get("style", ""))
    return "", ""
