"""A fax of ten pages with text, tables and codes, delivered every way at once, fetched by real clients and compared."""

from __future__ import annotations

import asyncio
import io
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdf
import pytest
import pytest_asyncio

from tests.end_to_end import ten_pages
from tests.end_to_end.test_inbound import Sent, call, mail_to, pages_in, reception
from tests.end_to_end.world import Gateway, gateway_at
from tests.t30.conftest import pixels

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

NUMBER, CALLER = "+33199000099", "+498955510"
ARCHIVE = "archive@example.org"
FAX = ten_pages.document()
ADDRESSES = 'addresses = ["{alice}"]\n'
WITHIN = 120.0
"""Seconds after the call in which every delivery is done."""
READ_OF_TEN = 0.8
"""Share of the pages' words that Tesseract finds; how well it reads is measured elsewhere (bench.receive)."""

TABLES = f"""
[[customer.number]]
e164 = "{NUMBER}"
deliver_to = ["{ARCHIVE}"]

[customer.number.settings]
ocr = true
ocr_languages = ["eng"]
barcodes = true

[[target]]
name = "archive"
customer = "acme"
kind = "mail"
address = "{ARCHIVE}"
formats = ["pdf/a"]
searchable = true

[[rule]]
name = "everything"
customer = "acme"
then = {{{{ deliver = ["archive"] }}}}
"""


@dataclass(frozen=True)
class World:
    """The gateway, and the one fax that it received."""

    gateway: Gateway
    sent: Sent
    found: Mapping[str, Any]
    """The reception in detail, delivered."""
    read_in_call: tuple[int, ...]
    """Pages whose text could be had while the call still ran."""

    @property
    def fax(self) -> str:
        return str(self.found["reception"]["id"])


async def _pages_read(gateway: Gateway) -> tuple[int, ...]:
    """Pages of the one reception that have been read by now."""
    listed = await gateway.control.receptions(limit=2, everything=True)
    if not listed:
        return ()
    events = (await gateway.control.find(listed[0]["id"]))["events"]
    return tuple(e["data"]["page"] for e in events if e["what"] == "reception.read")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    changes = {ADDRESSES: ADDRESSES + TABLES}
    async with gateway_at(tmp_path_factory.mktemp("proof"), "37000-37999", changes=changes) as gateway:
        calling = asyncio.create_task(call(gateway, NUMBER, FAX, "--from", CALLER))
        read: tuple[int, ...] = ()
        while not calling.done():
            now = await _pages_read(gateway)
            read = now if not calling.done() else read
            await asyncio.wait([calling], timeout=0.5)
        sent = await calling
        yield World(gateway, sent, await reception(gateway, "delivered", WITHIN, caller=CALLER), read)


async def test_all_ten_pages_are_confirmed_and_every_delivery_is_done(world: World) -> None:
    assert (world.sent.code, world.sent.record["pages_confirmed"]) == (0, 10)
    assert world.found["reception"]["pages"] == 10
    assert {delivery["state"] for delivery in world.found["deliveries"]} == {"done"}


async def test_page_1_is_read_before_the_call_ends(world: World) -> None:
    """G4: page by page while the call runs."""
    at: dict[Any, float] = {}
    for event in world.found["events"]:
        at.setdefault((event["what"], (event["data"] or {}).get("page")), event["at"])
    assert at["reception.read", 1] < at["reception.page", 10] < at["reception.ended", None]
    assert 1 in world.read_in_call


async def test_the_mail_brings_a_pdf_a_with_the_pages_as_sent_and_their_text(world: World, tmp_path: Path) -> None:
    """G2, G3: pixel for pixel; PDF/A by its own word, sound by qpdf's, text as pdftotext finds it."""
    mail = await mail_to(world.gateway, ARCHIVE, world.fax)
    (attached,) = mail.iter_attachments()
    document = attached.get_content()
    assert isinstance(document, bytes)
    assert pages_in(document) == pixels(FAX)
    metadata = pypdf.PdfReader(io.BytesIO(document)).trailer["/Root"]["/Metadata"].get_data()  # type: ignore[index]
    assert b"pdfaid:part" in metadata
    path = tmp_path / "fax.pdf"
    path.write_bytes(document)
    for command in (["qpdf", "--check", str(path)], ["pdftotext", "-layout", str(path), "-"]):
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
    pages = done.stdout.decode().split("\f")[:10]
    found = [word in text for page, text in enumerate(pages, 1) for word in ten_pages.words(page)]
    assert sum(found) >= READ_OF_TEN * len(found), pages
    assert all(item in pages[page - 1] for page in ten_pages.TABLES for item in ten_pages.ITEMS), pages


async def test_the_codes_are_read(world: World) -> None:
    """G4: one- and two-dimensional."""
    events = [event["data"] for event in world.found["events"] if event["what"] == "reception.read"]
    assert {data["page"] for data in events if data["barcodes"]} == set(ten_pages.CODES)
