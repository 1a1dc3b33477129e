"""The reports of large jobs, written when the last fax is final: an item of the outbox orders them (`store.reports`).

They are built by a reader, beside the units that pages and calls wait for, and written in one unit of their own. The
items have the same ids however often that is done, so each is written once; until then the order stays in the outbox.
"""

from __future__ import annotations

from functools import partial

from faxgw.dispatch.seat import Seat
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.store import reports


class JobReports:
    """Carries out the orders (a `fax.ports.Delivery`).

    Args:
        seat: The node.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def deliver(self, parcel: Parcel) -> DeliveryResult:
        """Write the reports of one job."""
        seat = self._seat
        try:
            items = await seat.store.read(partial(reports.told, job=parcel.target))
            await seat.store.run(partial(reports.tell, items=items, now=seat.clock()))
        except FaxError as exc:
            return DeliveryResult(False, permanent=not exc.temporary, detail=str(exc))
        return DeliveryResult(True, detail="written")
