"""The resolution of a fax over the real line: superfine where it is taken, pages rendered anew where fine is not.

A mail, a real SIP and T.38 call, the simulator's machines: …00 takes superfine, …4302 fine, …43 standard only.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from faxgw.fax.resolution import Resolution
from tests.end_to_end.world import DOMAIN, Gateway, gateway_at, mail_with, pages_of, submit

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

SHARP = "sharp.example.org"
SENDER = "anna@sharp.example.com"
CHANGES = {
    'addresses = ["{alice}"]\n': f"""addresses = ["{{alice}}"]

[[customer]]
id = "sharp"
name = "Sharp"
domains = ["{SHARP}"]
addresses = ["{SENDER}"]

[customer.settings]
resolution = "superfine"
"""
}
HEADER_ROWS = 32
"""Rows of the header line at fine."""


def small_print(pages: int = 1) -> bytes:
    """Lines of 8 points."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for page in range(1, pages + 1):
        canvas.setFont("Times-Roman", 8)
        for line in range(30):
            text = f"{page}.{line} The parties agree that the goods remain the seller's until they are paid for"
            canvas.drawString(70, 760 - 20 * line, text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


class Round:
    """A gateway and the faxes that were sent."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def send(self, number: str, pages: int = 1, *, sharp: bool = False) -> Mapping[str, Any]:
        """The fax, once it is over."""
        to = f"{number}@{SHARP if sharp else DOMAIN}"
        mail = mail_with(small_print(pages), to)
        port, sender = self.gateway.smtp_port, {"sender": SENDER} if sharp else {}
        message = await asyncio.to_thread(submit, port, mail, [to], **sender)
        found: Mapping[str, Any] = (await self.gateway.finished(message))["faxes"][0]
        return found

    async def pages(self, fax: Mapping[str, Any]) -> list[np.ndarray]:
        """The pages as composed, rows × 1728 of black; the same as arrived."""
        composed = pages_of(await self.gateway.control.tiff(fax["id"]))
        record = (await self.gateway.records(fax["numbers"][0]["e164"][-8:]))[-1]
        assert self.gateway.pages_received(record) == composed
        return [~np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(height, width).astype(bool)
                for (width, height), bits in composed]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Round]:
    async with gateway_at(tmp_path_factory.mktemp("resolutions"), "33000-33999", changes=CHANGES) as gateway:
        yield Round(gateway)


def squared(page: np.ndarray, height: int) -> np.ndarray:
    """Rows repeated until pixels are square."""
    return np.asarray(page[((np.arange(height) + 0.5) * len(page) / height).astype(int)])


def rows(pages: list[np.ndarray]) -> list[int]:
    return [len(page) for page in pages]


async def test_superfine_arrives_where_it_is_taken_and_less_where_it_is_not(calls: Round) -> None:
    """ITU-T T.30 Table 2, bits 41 and 15; each within its first call."""
    numbers = ("+33199000100", "+33199004302", "+33199000143")
    faxes = await asyncio.gather(*(calls.send(number, sharp=True) for number in numbers))
    assert [(fax["state"], fax["dials"]) for fax in faxes] == [("sent", 1)] * 3
    sent = [await calls.pages(fax) for fax in faxes]
    assert [rows(pages) for pages in sent] == [[4572], [2286], [1143]]
    control = calls.gateway.control
    for fax, (page,), resolution in zip(faxes, sent, reversed(Resolution), strict=True):
        shown = await control.preview(fax["id"])
        assert (shown["as"], shown["resolution"]) == ("sent", resolution.value)
        assert [one["rows"] for one in shown["pages"]] == [len(page)]
        picture = Image.open(io.BytesIO(await control.preview_page(fax["id"], 1)))
        across = picture.width // 1728
        assert (~np.asarray(picture)[::, ::across] == squared(page, picture.height)).all(), "the very bitmap"


async def test_a_machine_for_standard_only_gets_pages_rendered_for_it_known_or_not(calls: Round) -> None:
    """Unknown, it says so in the call; known, the pages are made before it is dialled. No fine page is squashed."""
    fine, unknown = await asyncio.gather(calls.send("+33199000200"), calls.send("+33199000243"))
    first = await calls.pages(unknown)
    known = await calls.send("+33199000243")
    faxes = (fine, unknown, known)
    assert [(fax["state"], fax["dials"], fax["pages_confirmed"]) for fax in faxes] == [("sent", 1, 1)] * 3
    sharp, second = [await calls.pages(fax) for fax in (fine, known)]
    assert rows(sharp) == [2286] and rows(first) == rows(second) == [1143]
    for page, other, made in zip(sharp, first, second, strict=True):
        below = slice(HEADER_ROWS // 2, None)
        assert (other[below] == made[below]).all(), "both were rendered from the document"
        squashed = page[0::2] | page[1::2]
        assert not (squashed[below] == made[below]).all()
        assert made[below].sum() < squashed[below].sum(), "its strokes are not smeared"
    said = str(unknown["attempts"][0]["trace"])
    assert "the far end takes 204x98: the pages are made anew" in said and "the pages have been made anew" in said
    assert "the pages are made anew" not in str(known["attempts"][0]["trace"])
