"""`faxgw selftest`: a fax to itself through SMTP, pages, SIP and T.38, compared pixel by pixel.

A private gateway on free loopback ports sends a mail with a two-page PDF to a simulated machine. The pages that the
machine received are compared with the pages that were composed for the call, and the status mail is read.
"""

from __future__ import annotations

import asyncio
import io
import json
import smtplib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path
from typing import Any  # JSON of the simulator and of the control socket

from PIL import Image, ImageDraw, ImageSequence

from faxgw import rig
from faxgw.client import Control

DEADLINE = 240.0
"""Seconds the whole test may take; a two-page fax needs about 60."""
PAGES = 2
LOOK_EVERY = 0.25
"""Seconds between looks at the fax's state."""


async def run_selftest(
    keep: Path | None, say: Callable[[str], None] | None = None, pages: Path | None = None
) -> dict[str, Any]:
    """Run it.

    Args:
        keep: Folder to leave everything in; None: a temporary one.
        say: Told what is going on, a line each.
        pages: Socket of a page service; None: the gateway starts its own page processes.

    Returns:
        `ok`, `pages`, `pixel_identical`, `seconds`, and what was seen; `why` when it is not ok.
    """
    tell = say or (lambda line: None)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faxgw-selftest-") as temporary:
        folder = keep or Path(temporary)
        try:
            async with asyncio.timeout(DEADLINE), rig.running(folder, pages=pages) as gateway:
                tell(f"gateway runs: smtp port {gateway.smtp_port}")
                result = await _send_and_compare(gateway, tell)
        except TimeoutError:
            result = {"ok": False, "pages": 0, "pixel_identical": False, "why": f"no result within {DEADLINE:g} s"}
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


async def _send_and_compare(gateway: rig.Rig, tell: Callable[[str], None]) -> dict[str, Any]:
    mail = await asyncio.to_thread(_mail)
    reply = await asyncio.to_thread(_submit, gateway.smtp_port, mail)
    message = next((word for word in reply.split() if word.startswith("msg_")), "")
    tell(f"mail accepted: {reply}")
    control = Control(gateway.data)
    found = await _finished(control, message, tell)
    fax = found["faxes"][0]
    composed = await control.tiff(fax["id"])
    (mailed,) = await gateway.mailbox.wait_for(1)
    received = await _pages_received(gateway.received) if fax["state"] == "sent" else []
    identical = await asyncio.to_thread(_same_pixels, composed, received)
    outcome = (fax["attempts"][-1]["outcome"] if fax["attempts"] else None) or {}
    told = str(mailed.message["Subject"])
    ok = fax["state"] == "sent" and fax["pages_confirmed"] == PAGES and identical and told.startswith("Delivered")
    tell(f"status mail: {told}")
    result = {
        "ok": ok,
        "pages": fax["pages_confirmed"],
        "pixel_identical": identical,
        "state": fax["state"],
        "transport": outcome.get("transport", ""),
        "bit_rate": outcome.get("bit_rate", 0),
        "ecm": outcome.get("ecm", False),
        "status_mail": told,
    }
    if not ok:
        result["why"] = f"state {fax['state']}, cause {fax['cause']}, pixel_identical {identical}, told {told!r}"
    return result


async def _pages_received(folder: Path) -> list[bytes]:
    """What the far machine wrote down, a moment after the call."""
    while True:
        if received := await asyncio.to_thread(_received, folder):
            return received
        await asyncio.sleep(LOOK_EVERY)


async def _finished(control: Control, message: str, tell: Callable[[str], None]) -> Mapping[str, Any]:
    last = ""
    while True:
        found = await control.find(message)
        states = [fax["state"] for fax in found["faxes"]] or [found["message"]["state"]]
        line = f"{states[0]}, {found['faxes'][0]['pages_confirmed'] if found['faxes'] else 0} pages confirmed"
        if line != last:
            tell(line)
            last = line
        calls = [call for fax in found["faxes"] for call in fax["attempts"]]
        if found["faxes"] and found["job"]["finished_at"] is not None and all(call["done_at"] for call in calls):
            return found
        await asyncio.sleep(LOOK_EVERY)


def _mail() -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = rig.SENDER, f"{rig.FIRST_PAGES}@{rig.DOMAIN}"
    mail["Subject"] = "faxgw self-test"
    mail["Message-ID"] = make_msgid(domain="selftest.localhost")
    mail.set_content("")
    mail.make_mixed()
    mail.set_payload([])
    mail.add_attachment(_pdf(), maintype="application", subtype="pdf", filename="selftest.pdf")
    return mail


def _pdf() -> bytes:
    """Two pages of marks that a shifted, mirrored or missing row would change."""
    pages = []
    for number in range(1, PAGES + 1):
        page = Image.new("L", (1240, 1754), 255)
        draw = ImageDraw.Draw(page)
        for row in range(12):
            draw.text((120, 140 + 60 * row), f"faxgw self-test, page {number}, line {row}", fill=0, font_size=30)
        for step in range(20):
            draw.line((120 + 50 * step, 1000, 170 + 40 * step, 1600), fill=0, width=1 + step % 3)
        draw.rectangle((100, 980, 1140, 1640), outline=0, width=2)
        pages.append(page)
    out = io.BytesIO()
    pages[0].save(out, "PDF", resolution=150, save_all=True, append_images=pages[1:])
    return out.getvalue()


def _submit(port: int, mail: EmailMessage) -> str:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        client.mail(rig.SENDER)
        code, text = client.rcpt(str(mail["To"]))
        if code == 250:
            code, text = client.data(mail.as_bytes())
    reply = text.decode(errors="replace")
    if code != 250:
        raise RuntimeError(f"mail refused: {code} {reply}")
    return reply


def _received(folder: Path) -> list[bytes]:
    """The TIFFs, one a page, of the newest call that left any."""
    for record in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        pages = json.loads(record.read_text()).get("pages", [])
        if pages:
            return [(folder / page["tiff"]).read_bytes() for page in pages]
    return []


def _same_pixels(composed: bytes, received: Sequence[bytes]) -> bool:
    ours = _pages(composed)
    theirs = [page for tiff in received for page in _pages(tiff)]
    return len(ours) == len(theirs) == PAGES and all(a == b for a, b in zip(ours, theirs, strict=True))


def _pages(tiff: bytes) -> list[tuple[tuple[int, int], bytes]]:
    with Image.open(io.BytesIO(tiff)) as image:
        return [(page.size, page.convert("1").tobytes()) for page in ImageSequence.Iterator(image)]
