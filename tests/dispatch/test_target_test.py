"""Test deliveries: one readable page, once, without a fax; what went wrong is said."""

from __future__ import annotations

import io

import pypdf
import pytest
from sqlalchemy import select

from faxgw.dispatch.target_test import TargetTester, page
from faxgw.fax.ports import DeliveryResult, Parcel
from faxgw.fax.target import Target, TargetKind, from_snapshot, mailbox
from faxgw.formats.report_payload import received_from_payload
from faxgw.store import pulls
from faxgw.store import schema as t
from tests.dispatch.test_inbound import Mailbox
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_is_a_pdf_that_others_read() -> None:
    reader = pypdf.PdfReader(io.BytesIO(page("Test (of) \\ ünits")), strict=True)
    assert len(reader.pages) == 1
    assert reader.pages[0].extract_text().strip() == "Test (of) \\ ?nits"


async def test_a_test_is_a_parcel_like_a_faxs_with_one_page(house: House) -> None:
    way = Mailbox(DeliveryResult(True, detail="250 ok"))
    tester = TargetTester(house.seat(), {"received_mail": way})
    target = mailbox("office@example.org")
    assert await tester.test(target) == {"delivered": True, "detail": "250 ok"}
    parcel, (octets,) = way.got[0]
    assert octets.startswith(b"%PDF-1.4")
    stored = parcel.payload["target"]
    assert isinstance(stored, dict)
    assert from_snapshot(stored) == target
    assert received_from_payload(parcel.payload).ident == "TEST"
    assert await house.rows(select(t.outbox)) == []


async def test_what_went_wrong_is_said_and_nothing_is_tried_again(house: House) -> None:
    way = Mailbox(DeliveryResult(False, detail="no such user"))
    tester = TargetTester(house.seat(), {"received_mail": way})
    assert await tester.test(mailbox("a@example.org")) == {"delivered": False, "detail": "no such user"}
    unknown = await tester.test(Target("t", "acme", "p", TargetKind.PULL, "p"))
    assert unknown["delivered"] is False
    assert "pull" in unknown["detail"]
    assert len(way.got) == 1


async def test_a_test_of_a_topic_is_there_to_be_fetched(house: House) -> None:
    """Such a delivery is done when a program has fetched it; a test has done its part when it lies there."""

    class Facts:
        async def deliver(self, parcel: Parcel) -> DeliveryResult:
            await house.do(
                pulls.lay, parcel.item, customer="acme", topic="inbox", reception="rcv_1", told={}, documents=(),
                now=house.now,
            )  # fmt: skip
            return DeliveryResult(False, detail="waits in inbox to be fetched")

    tester = TargetTester(house.seat(), {"received_pull": Facts()})
    told = await tester.test(Target("t", "acme", "p", TargetKind.PULL, "inbox"))
    assert told == {"delivered": True, "detail": "The test lies in inbox, to be fetched."}
