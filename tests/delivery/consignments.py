"""A received fax on its way to a target, for the tests of each way out."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from faxgw.delivery.received import Consignment, ReceivedDelivery, Way
from faxgw.egress import Egress
from faxgw.fax.ports import DeliveryResult, Enclosure, Parcel
from faxgw.fax.reception import ReceivedReport
from faxgw.fax.target import Target, TargetKind, check
from faxgw.formats.received_payload import FaxDocument, ReceivedFacts
from faxgw.formats.report_payload import received_to_payload

RECEPTION = "rcv_0193aaaabbbbccccddddeeeeffff0001"
REPORT = ReceivedReport(
    RECEPTION, "acme", "+33199000099", "+498955500", "Anna", "+49 89 55500", 1_795_000_000.0, 1_795_000_034.0, True, 2,
    time_zone="Europe/Paris",
)  # fmt: skip
FACTS = ReceivedFacts("+33 1 99 00 00 99", 14_400, 34.0, (True, False), tags=("invoice",), extracted={"order": "4711"})
DOCUMENT = b"%PDF-1.4\n" + bytes(range(256)) * 300
OPEN = Egress([ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1")])


def target(kind: TargetKind, address: str, secrets: Mapping[str, str] | None = None, **values: Any) -> Target:
    """A target that could be stored."""
    params = values.pop("params", {})
    made = Target(
        "tgt_1", "acme", "theirs", kind, address, params, secrets=tuple(secrets or {}),
        **{"file_name": "{account}-{id}", **values},
    )  # fmt: skip
    check(made)
    return made


def consignment(to: Target, secrets: Mapping[str, str] | None = None, **values: Any) -> Consignment:
    """What a way out is handed."""
    octets = values.pop("octets", DOCUMENT)
    stem = values.pop("stem", f"acme-{RECEPTION}")
    return replace(
        Consignment(
            "out_0193aaaabbbbccccddddeeeeffff0002", 1, REPORT, FACTS, to, dict(secrets or {}), stem,
            (FaxDocument(f"{stem}.pdf", "application/pdf", octets),),
        ),
        **values,
    )  # fmt: skip


@contextmanager
def parcel(to: Target, octets: bytes = DOCUMENT, name: str = "fax.pdf", **values: Any) -> Iterator[Parcel]:
    """What the outbox hands over."""
    descriptor = os.memfd_create("document")
    try:
        os.write(descriptor, octets)
        enclosure = Enclosure(name, "application/pdf", descriptor, hashlib.sha256(octets).hexdigest(), len(octets))
        payload = received_to_payload(REPORT, ()) | {"target": to.snapshot()}
        made = Parcel("out_1", to.kind.parcel, to.address, payload, 1_795_000_035.0, 1, (enclosure,))
        yield replace(made, **values)
    finally:
        os.close(descriptor)


async def delivered(way: Way, to: Target, secrets: Mapping[str, str] | None = None, **values: Any) -> DeliveryResult:
    """One try of the outbox."""

    async def facts(reception: str) -> ReceivedFacts:
        return FACTS

    async def known(one: Target) -> tuple[Target, Mapping[str, str]]:
        return one, dict(secrets or {})

    within = values.pop("within", 60.0)
    with parcel(to, **values) as made:
        return await ReceivedDelivery(way, facts, known, within).deliver(made)
