"""A fax comes in: a machine calls one of our numbers over real SIP, and its fax is in the owner's mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pypdf
import pytest
import pytest_asyncio

from tests.end_to_end.world import Gateway, gateway_at
from tests.patience import PATIENCE_S
from tests.t30.conftest import STANDARD, page_image, pixels, tiff

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

OWNER, DESK, GONE = "owner@example.org", "desk@example.org", "owner@example..org"
OWNED, NOBODYS, UNKNOWN = "+33199000099", "+33199000098", "+33199000097"
NUMBERS = f"""
[[customer.number]]
e164 = "{OWNED}"
deliver_to = ["{OWNER}"]

[[customer.number]]
e164 = "{NOBODYS}"
"""
ADDRESSES = 'addresses = ["{alice}"]\n'
VALUES = "[settings.values]\n"
CHANGES = {ADDRESSES: ADDRESSES + NUMBERS, VALUES: f'{VALUES}fallback_mailbox = "{DESK}"\n'}
LONG, SHORT = 250, 120
"""Rows of a page."""
TWO = tiff([page_image(1, LONG), page_image(2, SHORT)])


@dataclass(frozen=True)
class Sent:
    """A call that the simulator placed, and what became of it at our end."""

    code: int
    record: Mapping[str, Any]


async def call(gateway: Gateway, number: str, document: bytes, *options: str) -> Sent:
    """Let a simulated machine call a number of the gateway; returns when the call is over."""
    folder = gateway.folder / "callers"
    folder.mkdir(exist_ok=True)
    name = f"{time.monotonic_ns()}"
    (folder / f"{name}.tiff").write_bytes(document)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw.simulator",
        "--received", str(folder / name),
        "--call", f"sip:{number}@127.0.0.1:{gateway.sip_port}",
        "--file", str(folder / f"{name}.tiff"),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _none = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return Sent(await process.wait(), json.loads(out))


async def reception(gateway: Gateway, state: str, within: float = PATIENCE_S, **wanted: Any) -> Mapping[str, Any]:
    """The one reception that is as wanted, in detail."""
    found: Sequence[Mapping[str, Any]] = ()
    async with asyncio.timeout(within):
        while True:
            found = await gateway.control.receptions(limit=100, everything=True)
            fitting = [r for r in found if r["state"] == state and all(r[k] == v for k, v in wanted.items())]
            if fitting:
                return await gateway.control.find(fitting[0]["id"])
            await asyncio.sleep(0.1)


async def mail_to(gateway: Gateway, address: str, fax: str, within: float = PATIENCE_S) -> EmailMessage:
    """The mail that brings a fax to an address."""
    async with asyncio.timeout(within):
        while True:
            for stored in gateway.mailbox.mails():
                if stored.message["X-Fax-Id"] == fax and address in str(stored.message["To"]):
                    return stored.message
            await asyncio.sleep(0.1)


def pdf_of(mail: EmailMessage) -> bytes:
    (attached,) = mail.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    octets = attached.get_content()
    assert isinstance(octets, bytes)
    return octets


def pages_in(pdf: bytes) -> list[tuple[tuple[int, int], bytes]]:
    """The pixels of a PDF's pages, read by another library than the one that made them."""
    found = []
    for page in pypdf.PdfReader(io.BytesIO(pdf)).pages:
        image = page.images[0].image
        assert image is not None
        found.append((image.size, image.convert("1").tobytes()))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with gateway_at(tmp_path_factory.mktemp("inbound"), "33000-33999", changes=CHANGES) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(gateway: Gateway) -> AsyncIterator[Mapping[str, asyncio.Task[Sent]]]:
    """All calls of this module at once: they overlap."""
    standard = tiff([page_image(3, SHORT)], STANDARD)
    placed = {
        "t38": call(gateway, OWNED, TWO, "--from", "+498955501"),
        "we offer": call(gateway, OWNED, TWO, "--from", "+498955502", "--t38", "offers"),
        "audio": call(gateway, OWNED, TWO, "--from", "+498955503", "--t38", "refuses"),
        "no ECM": call(gateway, OWNED, TWO, "--from", "+498955504", "--machine", "41"),
        "hangs up": call(gateway, OWNED, TWO, "--from", "+498955505", "--goes-wrong", "after first page"),
        "nobody's": call(gateway, NOBODYS, standard, "--from", "+498955506"),
        "unknown": call(gateway, UNKNOWN, TWO),
    }
    tasks = {name: asyncio.create_task(work, name=name) for name, work in placed.items()}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


Calls = Mapping[str, asyncio.Task[Sent]]


@pytest.mark.parametrize(
    "name, caller, transport, ecm",
    [
        ("t38", "+498955501", "t38", True),
        ("we offer", "+498955502", "t38", True),
        ("audio", "+498955503", "g711", True),
        ("no ECM", "+498955504", "t38", False),
    ],
)
async def test_a_fax_of_two_pages_is_mailed_pixel_for_pixel(
    calls: Calls, gateway: Gateway, name: str, caller: str, transport: str, ecm: bool
) -> None:
    sent = await calls[name]
    assert (sent.code, sent.record["pages_confirmed"]) == (0, 2)
    found = await reception(gateway, "delivered", caller=caller)
    row = found["reception"]
    outcome = row["outcome"]
    assert (outcome["transport"], outcome["ecm"], row["farewell"], row["cause"]) == (transport, ecm, True, "ok")
    assert [page["confirmed"] for page in found["pages"]] == [True, True]
    mail = await mail_to(gateway, OWNER, row["id"])
    assert mail["Subject"] == f"Fax from {caller} to +33 1 99 00 00 99: 2 pages"
    assert pages_in(pdf_of(mail)) == pixels(TWO)
    assert await gateway.control.document(row["id"]) == pdf_of(mail)
    assert [d["state"] for d in found["deliveries"]] == ["done"]


async def test_pages_are_durable_in_order_and_before_their_confirmation(calls: Calls, gateway: Gateway) -> None:
    """Spine sections 3 and 5, seen in the journal; the ladder has both MCFs after it."""
    await calls["t38"]
    found = await reception(gateway, "delivered", caller="+498955501")
    assert [e["what"] for e in found["events"] if e["what"].startswith("reception.")][:5] == [
        "reception.ringing",
        "reception.receiving",
        "reception.page",
        "reception.page",
        "reception.complete",
    ]
    words = [row[3].partition(" ")[0] for row in found["reception"]["trace"] if row[2]]
    assert words.count("MCF") == 2 and words[-1] == "DCN"


async def test_delivery_does_not_wait_for_the_goodbye(calls: Calls, gateway: Gateway) -> None:
    """Spine section 4: a page ended by EOP is delivered while the call still says goodbye."""
    await calls["t38"]
    row = (await reception(gateway, "delivered", caller="+498955501"))["reception"]
    events = (await gateway.control.find(row["id"]))["events"]
    at = {e["what"]: e["at"] for e in events}
    assert at["reception.complete"] <= at["reception.routed"] < at["reception.ended"]


async def test_an_unknown_number_is_404(calls: Calls, gateway: Gateway) -> None:
    sent = await calls["unknown"]
    assert (sent.code, sent.record["status"], sent.record["answered"]) == (1, 404, "")
    everything = await gateway.control.receptions(limit=100, everything=True)
    assert not [r for r in everything if r["number"] == UNKNOWN]


async def test_a_caller_who_hangs_up_after_page_1_leaves_a_fax_that_says_so(calls: Calls, gateway: Gateway) -> None:
    """Spine section 4: kept, marked, delivered."""
    sent = await calls["hangs up"]
    assert sent.record["pages_confirmed"] == 1
    found = await reception(gateway, "delivered", caller="+498955505")
    row = found["reception"]
    assert [e["what"] for e in found["events"]].count("reception.partial") == 1
    assert (row["pages"], row["farewell"]) == (1, False)
    mail = await mail_to(gateway, OWNER, row["id"])
    assert mail["Subject"] == "Incomplete fax from +498955505 to +33 1 99 00 00 99: 1 page"
    assert mail["X-Fax-Result"] == "partial"
    assert pages_in(pdf_of(mail)) == pixels(TWO)[:1]


async def test_a_number_without_a_mailbox_goes_to_the_fallback_at_its_right_size(
    calls: Calls, gateway: Gateway
) -> None:
    """users.md 15: a standard page is not stretched."""
    await calls["nobody's"]
    row = (await reception(gateway, "delivered", caller="+498955506"))["reception"]
    mail = await mail_to(gateway, DESK, row["id"])
    body = mail.get_body(("plain",))
    assert body is not None and "has no mailbox of its own" in body.get_content()
    (page,) = pypdf.PdfReader(io.BytesIO(pdf_of(mail))).pages
    assert float(page.mediabox.width) == pytest.approx(1728 / 204 * 72, rel=0.01)
    assert float(page.mediabox.height) == pytest.approx(SHORT / 98 * 72, rel=0.01)


async def test_the_operator_sees_the_inbox_and_the_metrics(calls: Calls, gateway: Gateway) -> None:
    await asyncio.gather(*calls.values())
    await reception(gateway, "delivered", caller="+498955503")
    listed = await _command(gateway, "inbox")
    assert "+498955501" in listed and "the sender may not know" in listed
    row = (await reception(gateway, "delivered", caller="+498955505"))["reception"]
    shown = await _command(gateway, "show", row["id"])
    assert "DELIVERED" in shown and "page 1: 1728 x" in shown and OWNER in shown
    assert "PPS-MPS" in await _command(gateway, "trace", row["id"])
    metrics = await asyncio.to_thread(_get, f"{gateway.http}/metrics")
    assert 'faxgw_calls_total{cause="ok",direction="in",transport="t38",trunk="far-end"} ' in metrics
    assert 'faxgw_pages_total{direction="in"' in metrics


async def _command(gateway: Gateway, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faxgw", "--data", str(gateway.data), *words, stdout=asyncio.subprocess.PIPE
    )
    out, _none = await process.communicate()
    assert await process.wait() == 0
    return out.decode()


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())


# --------------------------------------------------------------------------------------------------------- faults


async def kept(gateway: Gateway, pages: int, within: float = 60.0) -> Mapping[str, Any]:
    """The live reception once so many pages are durable."""
    async with asyncio.timeout(within):
        while True:
            live = (await gateway.control.status())["receptions"]
            if live and live[0]["pages"] >= pages:
                return dict(live[0])
            await asyncio.sleep(0.02)


async def _no_room_for_page_2(folder: Path) -> None:
    async with gateway_at(folder, "34000-34999", changes=CHANGES) as gateway:
        task = asyncio.create_task(call(gateway, OWNED, TWO))
        await kept(gateway, 1)
        writing = gateway.data / "tmp"
        shutil.move(writing, gateway.data / "away")
        sent = await task
        shutil.move(gateway.data / "away", writing)
        assert (sent.code, sent.record["pages_confirmed"]) == (1, 1)
        row = (await reception(gateway, "delivered"))["reception"]
        assert (row["pages"], row["cause"], row["farewell"]) == (1, "line_fault", False)
        mail = await mail_to(gateway, OWNER, row["id"])
        assert pages_in(pdf_of(mail)) == pixels(TWO)[:1]


async def _killed_in_page_3(folder: Path) -> None:
    three = tiff([page_image(number, SHORT) for number in (1, 2, 3)])
    async with gateway_at(folder, "35000-35999", changes=CHANGES) as gateway:
        task = asyncio.create_task(call(gateway, OWNED, three))
        live = await kept(gateway, 2)
        await gateway.stop(signal.SIGKILL)
        await gateway.start()
        found = await reception(gateway, "delivered")
        row = found["reception"]
        assert (row["id"], row["pages"]) == (live["reception"], 2)
        assert "reception.interrupted" in [e["what"] for e in found["events"]]
        mail = await mail_to(gateway, OWNER, row["id"])
        assert mail["X-Fax-Result"] == "partial"
        assert pages_in(pdf_of(mail)) == pixels(three)[:2]
        sent = await task
        assert sent.code == 1
        assert sent.record["pages_confirmed"] in (1, 2)  # the second MCF may have been on its way
        await gateway.stop()
        await gateway.start()
        assert len(await gateway.control.receptions(limit=10, everything=True)) == 1


async def _nobody_at_the_owners_address(folder: Path) -> None:
    gone = {**CHANGES, ADDRESSES: CHANGES[ADDRESSES].replace(OWNER, GONE)}
    async with gateway_at(folder, "36000-36999", changes=gone) as gateway:
        sent = await call(gateway, OWNED, tiff([page_image(1, SHORT)]))
        assert sent.code == 0
        row = (await reception(gateway, "retained"))["reception"]
        mail = await mail_to(gateway, DESK, row["id"])
        body = mail.get_body(("plain",))
        assert body is not None and f"could not be delivered to {GONE}" in body.get_content()
        assert pages_in(pdf_of(mail)) == pixels(tiff([page_image(1, SHORT)]))
        assert await gateway.control.document(row["id"]) == pdf_of(mail)
        health = (await gateway.control.status())["health"]["delivery"]
        assert not health["ok"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faults(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, asyncio.Task[None]]]:
    """The faults, each at a gateway of its own, all at once: callers take their time to give up."""
    stories = {"room": _no_room_for_page_2, "kill": _killed_in_page_3, "mailbox": _nobody_at_the_owners_address}
    tasks = {
        name: asyncio.create_task(story(tmp_path_factory.mktemp(name)), name=name) for name, story in stories.items()
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def test_a_page_that_cannot_be_kept_is_not_confirmed(faults: Mapping[str, asyncio.Task[None]]) -> None:
    """Spine section 5: no durable page, no MCF; the sender keeps the responsibility."""
    await faults["room"]


async def test_a_mailbox_that_cannot_be_reached_is_told_to_the_fallback(
    faults: Mapping[str, asyncio.Task[None]],
) -> None:
    """Spine section 4: one dead is retained, alarm, fallback mailbox; the fax can be fetched."""
    await faults["mailbox"]


async def test_a_killed_gateway_delivers_what_it_had_confirmed(faults: Mapping[str, asyncio.Task[None]]) -> None:
    """Spine section 5: kill -9 in mid-reception; the pages on disk are the fax."""
    await faults["kill"]
