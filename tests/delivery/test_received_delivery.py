"""What every way out is handed: documents as stored, or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from faxgw.delivery import received as module
from faxgw.delivery.received import Consignment, ReceivedDelivery, Undelivered
from faxgw.fax.target import TargetKind
from faxgw.formats.received_payload import FaxDocument, ReceivedFacts
from tests.delivery.consignments import DOCUMENT, RECEPTION, consignment, delivered, parcel, target

TO = target(TargetKind.PULL, "inbox")


class Keeps:
    """A way out that keeps what it is handed, or fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.seen: list[Consignment] = []

    async def deliver(self, consignment: Consignment) -> str:
        if self.fault is not None:
            raise self.fault
        self.seen.append(consignment)
        return "taken"


async def test_a_way_is_handed_the_stored_document_under_its_name() -> None:
    way = Keeps()
    result = await delivered(way, TO)
    assert (result.delivered, result.detail) == (True, "taken")
    (seen,) = way.seen
    assert seen.documents == (FaxDocument(f"acme-{RECEPTION}.pdf", "application/pdf", DOCUMENT),)
    assert (seen.report.reception, seen.target, seen.is_apart) == (RECEPTION, TO, True)


@pytest.mark.parametrize(
    ("fault", "permanent", "word"),
    [
        (Undelivered("later"), False, "later"),
        (Undelivered("never", temporary=False), True, "never"),
        (OSError(5, "Input/output error"), False, "OSError: Input/output error"),
        (TimeoutError(), False, "not finished in time"),
        (Undelivered("two\nlines " + "x" * 1000), False, "two lines xxx"),
    ],
)
async def test_a_fault_is_a_result(fault: Exception, permanent: bool, word: str) -> None:
    result = await delivered(Keeps(fault), TO)
    assert (result.delivered, result.permanent) == (False, permanent)
    assert word in result.detail
    assert len(result.detail) <= module.MAX_DETAIL


async def test_a_document_that_is_not_the_stored_one_never_leaves() -> None:
    way = Keeps()
    with parcel(TO) as made:
        for wrong in ({"sha256": "0" * 64}, {"size": len(DOCUMENT) - 1}, {"size": len(DOCUMENT) + 1}):
            enclosure = replace(made.enclosures[0], **wrong)
            result = await _try(way, replace(made, enclosures=(enclosure,)))
            assert (result.delivered, result.permanent) == (False, False)
        assert not (await _try(way, replace(made, enclosures=()))).delivered
        unreadable = await _try(way, replace(made, payload={}))
        assert (unreadable.delivered, unreadable.permanent) == (False, True)
    assert way.seen == []


async def test_what_is_too_large_for_memory_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reception is then retained, and somebody is told."""
    monkeypatch.setattr(module, "MAX_OCTETS", 1000)
    result = await delivered(Keeps(), TO)
    assert (result.delivered, result.permanent) == (False, True)


async def _try(way: Keeps, made: Any) -> Any:
    async def facts(reception: str) -> ReceivedFacts:
        return ReceivedFacts()

    async def known(one: Any) -> Any:
        return one, {}

    return await ReceivedDelivery(way, facts, known).deliver(made)


def test_sidecars_have_names_of_their_own_and_the_metadata_file_is_the_last() -> None:
    to = target(TargetKind.PICKUP, "erp", params={"sidecars": "idx xml"})
    read = FaxDocument("f.xml", "application/xml", b"<text/>")
    seen = consignment(to, stem="f", documents=(FaxDocument("f.pdf", "application/pdf", b"%PDF"), read))
    assert [file.name for file in seen.files] == ["f.pdf", "f.xml", "f.fax.xml", "f.idx"]
    mark = RECEPTION[-12:]
    assert [file.name for file in seen.apart().files] == [
        f"f-{mark}.pdf", f"f-{mark}.xml", f"f-{mark}.fax.xml", f"f-{mark}.idx",
    ]  # fmt: skip
