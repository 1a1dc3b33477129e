"""Received faxes laid where a program fetches them (`/faxin/rest/v1`, docs/deliveries.md).

The delivery is done when the program has acknowledged the fax, not before: until then each try says that it waits,
and after five days the fallback mailbox is told. Documents lie in the spool as they may leave, encrypted where the
target wants that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from faxgw.delivery.received import Consignment, Undelivered
from faxgw.fax.ports import EnclosedFile
from faxgw.formats.received_payload import details
from faxgw.store import pulls
from faxgw.store.engine import Store
from faxgw.store.errors import StoreError
from faxgw.store.files import Files


class PullWay:
    """Lays faxes into topics.

    Args:
        store: Where topics are.
        files: Where documents lie.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, files: Files, clock: Callable[[], float]) -> None:
        self._store = store
        self._files = files
        self._clock = clock

    async def deliver(self, consignment: Consignment) -> str:
        """See `received.Way`."""
        topic = consignment.target.address
        found = await self._store.read(lambda conn: pulls.laid(conn, consignment.item))
        if found is None:
            await self._lay(consignment, topic)
        elif found.acknowledged:
            return f"fetched from {topic}"
        raise Undelivered(f"waits in {topic} to be fetched")

    async def _lay(self, consignment: Consignment, topic: str) -> None:
        kept = [
            EnclosedFile(one.name, one.content_type, await self._files.keep(one.octets))
            for one in consignment.documents
        ]
        told = details(consignment.report, consignment.facts, consignment.documents[0].file_type)
        new = await self._store.run(
            lambda conn: pulls.lay(
                conn,
                consignment.item,
                customer=consignment.report.customer,
                topic=topic,
                reception=consignment.report.reception,
                told=told,
                documents=kept,
                now=self._clock(),
            )
        )
        if not new:
            for one in kept:
                with contextlib.suppress(StoreError, OSError):  # what stays is swept at the next start
                    await self._files.remove(one.file.key)
