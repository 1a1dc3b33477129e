"""Letterheads and covers on the far machine's pages: kept by the command line, asked for by REST and by an account."""

from __future__ import annotations

import asyncio
import base64
import io
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from tests.api.desk import basic
from tests.end_to_end.world import DOMAIN, Gateway, gateway_at, mail_with, pdf, submit
from tests.formats.word_files import docx

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

NUMBERS = "+331990000"
SETTINGS = """addresses = ["{alice}"]

[customer.settings]
overlay_mode = "last_page"

[[customer.user]]
name = "erp"
login = "erp"
password = "secret"

[api]
retarus = true
"""
SENT: Mapping[str, dict[str, Any]] = {
    "00": {"overlay": {"name": "head", "mode": "FIRST_PAGE"}},
    "01": {"overlay": {"name": "head", "mode": "ALL_BUT_FIRST_PAGE"}},
    "02": {"overlay": {"name": "head", "mode": "FIRST_FILE"}, "coverpageTemplate": "letter"},
    "43": {"overlay": {"name": "head", "mode": "ALL_PAGES"}},
    "41": {"overlay": {"mode": "NO_OVERLAY"}},
    "51": {"overlay": {"name": "head", "mode": "ALL_BUT_LAST_PAGE"}},
}
"""By the number that they go to, each of documents of two pages and one. 43 takes standard resolution only, 51 hangs up
after the first page once."""
BORNE: Mapping[str, Sequence[bool]] = {
    "00": (True, False, False),
    "01": (False, True, True),
    "02": (False, True, True, False),
    "43": (True, True, True),
    "41": (False, False, False),
    "51": (True, True, False),
}
"""Pages that bear the letterhead; 02 has a cover, which belongs to no file."""


def letterhead() -> bytes:
    """A page with a black field at its upper right, where letters have none."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    canvas.rect(400, 842 - 62, 150, 32, stroke=0, fill=1)
    canvas.setFont("Helvetica-Bold", 9)
    canvas.drawString(60, 25, "Exemple & Fils, 12 rue du Port, Brest")
    canvas.save()
    return out.getvalue()


def cover() -> bytes:
    body = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in ("To ${ToName}", "Pages: ${pages}"))
    return docx(body)


def bears(page: tuple[tuple[int, int], bytes]) -> bool:
    """Whether a received page bears the field: all black or all white, nothing between."""
    (width, rows), octets = page
    bits = np.unpackbits(np.frombuffer(octets, np.uint8)).reshape(rows, width)  # Pillow: 1 is white
    field = bits[rows * 45 // 1000 : rows * 65 // 1000, 1200:1480]
    assert field.min() == field.max(), "half a letterhead"
    return not field.any()


async def faxgw(gateway: Gateway, *words: str) -> str:
    program = str(Path(sys.executable).with_name("faxgw"))
    child = await asyncio.create_subprocess_exec(
        program, "--data", str(gateway.data), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _err = await child.communicate()
    assert child.returncode == 0, out.decode()
    return out.decode()


async def named(gateway: Gateway, event: str) -> None:
    """Name the letterhead in the settings file, and have it read again: refused while there is none of the name."""
    text = gateway.config.read_text().replace('overlay = "head"\n', "")
    gateway.config.write_text(text.replace("overlay_mode", 'overlay = "head"\noverlay_mode'))
    assert gateway.process is not None
    wanted = {"refused": "settings not taken on", "reloaded": "settings taken on"}[event]
    before = (gateway.folder / "log").read_text().count(wanted)
    gateway.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(60):
        while True:
            if (gateway.folder / "log").read_text().count(wanted) > before:
                return
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("overlays")
    (folder / "head.pdf").write_bytes(letterhead())
    (folder / "letter.docx").write_bytes(cover())
    changes = {'addresses = ["{alice}"]\n': SETTINGS}
    async with gateway_at(folder, "34000-34999", changes=changes) as made:
        await named(made, "refused")
        assert "1 page" in await faxgw(made, "template", "add", "overlay", "head", str(folder / "head.pdf"))
        await named(made, "reloaded")
        of = ("--customer", "acme")
        await faxgw(made, "template", "add", "cover", "letter", str(folder / "letter.docx"), *of)
        (folder / "matter.rtf").write_bytes(b"{\\rtf1 To $\\{ToName\\}: $\\{Matter\\}\\par}")
        await faxgw(made, "template", "add", "cover", "matter", str(folder / "matter.rtf"), "--given", "Matter", *of)
        yield made


async def post(gateway: Gateway, body: Mapping[str, Any]) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(headers=basic("erp", "secret")) as client,
        client.post(f"{gateway.http}/rest/v1/acme/fax", json=body) as answer,
    ):
        return answer.status, await answer.json()


def job(suffix: str, rendering: Mapping[str, Any]) -> dict[str, Any]:
    documents = [
        {"name": name, "data": base64.b64encode(pdf(pages, 6)).decode()} for name, pages in (("a.pdf", 2), ("b.pdf", 1))
    ]
    people = [{"number": f"{NUMBERS}{suffix}", "properties": [{"key": "ToName", "value": "Mme Durand"}]}]
    return {"recipients": people, "documents": documents, "renderingOptions": rendering}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sent(gateway: Gateway) -> Gateway:
    """Everything that is sent, at once."""
    for suffix, rendering in SENT.items():
        status, found = await post(gateway, job(suffix, rendering))
        assert status == 200, found
    to = f"{NUMBERS}42@{DOMAIN}"
    await asyncio.to_thread(submit, gateway.smtp_port, mail_with(pdf(2, 6), to), [to])
    return gateway


async def test_the_far_machines_pages_bear_the_letterhead_as_each_mode_says(sent: Gateway) -> None:
    for suffix, borne in BORNE.items():
        records = await sent.records(suffix, 2 if suffix == "51" else 1, within=120.0)
        pages = [page for record in records for page in sent.pages_received(record)]
        assert [bears(page) for page in pages] == list(borne), suffix
        assert all(rows < 1300 for (_width, rows), _octets in pages) == (suffix == "43")


async def test_a_mail_bears_the_accounts_letterhead(sent: Gateway) -> None:
    (record,) = await sent.records("42", within=120.0)
    assert [bears(page) for page in sent.pages_received(record)] == [False, True]


async def test_an_unknown_letterhead_is_refused_in_the_vendors_words(gateway: Gateway) -> None:
    status, found = await post(gateway, job("00", {"overlay": {"name": "nothing", "mode": "FIRST_PAGE"}}))
    assert (status, found["code"], found["param"]) == (400, "unknown_overlay", "renderingOptions.overlay.name")
    assert "nothing" in found["detail"]


async def test_a_value_that_a_recipient_lacks_is_refused_by_its_name(gateway: Gateway) -> None:
    """A cover made with a word processor asks for what HTML covers ask for."""
    status, found = await post(gateway, job("00", {"coverpageTemplate": "matter"}))
    assert (status, found["code"]) == (400, "missing_property")
    assert "Matter" in found["detail"]
