"""Test deliveries: one page that says that it is a test, sent once to a target, without a fax and without a retry."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any  # JSON

from faxgw.dispatch.seat import Seat
from faxgw.fax.errors import FaxError
from faxgw.fax.ports import Delivery, Enclosure, Parcel
from faxgw.fax.reception import ReceivedReport
from faxgw.fax.target import Target, TargetKind
from faxgw.formats.report_payload import received_to_payload
from faxgw.store import pulls

WITHIN = 60.0
"""Seconds of a test."""
NUMBER = "+33199000000"
"""Stands for our number in a test; nobody has it (France keeps it for fiction)."""


class TargetTester:
    """Sends test deliveries.

    Args:
        seat: The node.
        ways: Ways out by the kind of what they deliver.
    """

    def __init__(self, seat: Seat, ways: Mapping[str, Delivery]) -> None:
        self._seat = seat
        self._ways = ways

    async def test(self, target: Target) -> Mapping[str, Any]:
        """See the port."""
        way = self._ways.get(target.kind.parcel)
        if way is None:
            return {"delivered": False, "detail": f"This gateway has no way out for {target.kind.value} targets."}
        octets = page(f"Test of the target {target.name}: no fax.")
        descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, octets)
            os.lseek(descriptor, 0, os.SEEK_SET)
            parcel = self._parcel(target, descriptor, octets)
            async with asyncio.timeout(WITHIN):
                result = await way.deliver(parcel)
        except TimeoutError:
            return {"delivered": False, "detail": f"no result after {WITHIN:.0f} s"}
        except FaxError as exc:
            return {"delivered": False, "detail": str(exc)[:400]}
        finally:
            os.close(descriptor)
        if target.kind is TargetKind.PULL and await self._lies(parcel.item):
            return {"delivered": True, "detail": f"The test lies in {target.address}, to be fetched."}
        return {"delivered": result.delivered, "detail": result.detail[:400]}

    async def _lies(self, item: str) -> bool:
        """Whether a test lies in its topic: its delivery is done only when a program has fetched it."""
        return await self._seat.store.read(lambda conn: pulls.laid(conn, item) is not None)

    def _parcel(self, target: Target, descriptor: int, octets: bytes) -> Parcel:
        seat, now = self._seat, self._seat.clock()
        report = ReceivedReport(
            reception=seat.id("rcv"),
            customer=target.customer,
            number=NUMBER,
            caller="",
            display="",
            ident="TEST",
            started_at=now,
            received_at=now,
            complete=True,
            pages=1,
        )
        # A test is a PDF that does not bear text, whatever the target wants of faxes.
        told = replace(target, searchable=False).snapshot()
        payload = {**received_to_payload(report, ()), "target": told, "rule": "", "made": True, "thumbnail": ""}
        digest = hashlib.sha256(octets).hexdigest()
        enclosure = Enclosure("faxgw-test.pdf", "application/pdf", descriptor, digest, len(octets))
        return Parcel(seat.id("out"), target.kind.parcel, target.address or target.name, payload, now, 1, (enclosure,))


def page(text: str) -> bytes:
    """A PDF of one page of A4 with one line of ASCII text (ISO 32000-1 section 7.5)."""
    line = text.encode("ascii", "replace").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    drawn = b"BT /F 14 Tf 72 760 Td (" + line + b") Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table) + end
