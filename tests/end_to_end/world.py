"""A real gateway as a process, a real far end as a process, a real mailbox as its relay; all on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import smtplib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from faxgw.client import Control
from faxgw.demo import MailboxSink
from faxgw.fax.errors import FaxError
from faxgw.rig import Simulator
from tests.patience import PATIENCE_S

DOMAIN = "fax.example.org"
ALICE = "alice@example.org"
READY = 90.0
"""Seconds until the gateway's socket answers, on a machine that has much else to do."""

SETTINGS = """
[node]
data = "{data}"
grace = "20s"
ballast = "1MiB"

[log]
level = "DEBUG"
format = "json"

[[smtp.listeners]]
listen = "127.0.0.1:0"

[http]
listen = "127.0.0.1:0"

[relay]
host = "127.0.0.1"
port = {relay}
tls = "none"
sender = "fax@{domain}"

[sip]
listen = "127.0.0.1:0"
media_ports = "{media}"

[[trunk]]
name = "far-end"
host = "127.0.0.1"
port = {sip}
channels = 16

[settings.values]
csid = "+33 1 99 00 00 99"
time_zone = "Europe/Paris"
busy_pauses = [1]
no_answer_pauses = [1]
no_carrier_pauses = [1]
protocol_pauses = [1]
max_dials = 2
max_tries = 2

[[customer]]
id = "acme"
name = "Acme"
domains = ["{domain}"]
addresses = ["{alice}"]
"""


class Gateway:
    """A gateway process and what surrounds it."""

    def __init__(
        self,
        folder: Path,
        media: str = "31000-32999",
        simulator: Sequence[str] = (),
        *,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.config = folder / "faxgw.toml"
        self.data = folder / "data"
        self.received = folder / "received"
        self.received.mkdir(parents=True, exist_ok=True)
        self.mailbox = MailboxSink(folder / "mail")
        self.simulator = Simulator(self.received, simulator)
        self.control = Control(self.data)
        self.process: asyncio.subprocess.Process | None = None
        self.smtp_port = 0
        self.http = ""
        self.sip_port = 0
        self._media = media
        self._changes = changes or {}

    async def start_world(self) -> None:
        (self.folder / "mail").mkdir(exist_ok=True)
        await self.mailbox.start()
        await self.simulator.start()
        settings = SETTINGS
        for old, new in self._changes.items():
            assert old in settings
            settings = settings.replace(old, new)
        self.config.write_text(
            settings.format(
                data=self.data,
                relay=self.mailbox.port,
                sip=self.simulator.port,
                domain=DOMAIN,
                alice=ALICE,
                media=self._media,
            )
        )

        self.config.chmod(0o600)

    async def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "faxgw", "--config", str(self.config), "run", stderr=log
            )
        async with asyncio.timeout(READY):
            while True:
                with contextlib.suppress(FaxError):
                    status = await self.control.status()
                    break
                assert self.process.returncode is None, (self.folder / "log").read_text()[-3000:]
                await asyncio.sleep(0.1)
        self.smtp_port = int(status["smtp"][0].rpartition(":")[2])
        self.http = f"http://{status['http']}"
        self.sip_port = int(status["sip_port"])

    def move_to(self, data: Path) -> None:
        """Talk to a gateway on another data folder, which the settings name by now."""
        self.data = data
        self.control = Control(data)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def stop_world(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await self.stop()
        await self.simulator.stop()
        await self.mailbox.stop()

    async def finished(self, message: str, within: float = 150.0) -> Mapping[str, Any]:
        """The message's job once it is finished."""
        return await self.until(message, _over, within)

    async def until(
        self, message: str, wanted: Callable[[Mapping[str, Any]], bool], within: float = 30.0
    ) -> Mapping[str, Any]:
        """What is known of a message, once it is as wanted."""
        async with asyncio.timeout(within):
            while True:
                found = await self.control.find(message)
                if wanted(found):
                    return found
                await asyncio.sleep(0.1)

    async def told(self, message_id: str, within: float = 120.0) -> EmailMessage:
        """The status mail that answers the mail with this Message-ID."""
        async with asyncio.timeout(within):
            while True:
                for stored in self.mailbox.mails():
                    mail = stored.message
                    if message_id in str(mail["In-Reply-To"] or ""):
                        return mail
                await asyncio.sleep(0.25)

    def received_by(self, number: str) -> list[Mapping[str, Any]]:
        """The simulator's records of ended calls to a number, oldest first."""
        records = [json.loads(path.read_text()) for path in self.received.glob("*.json")]
        return sorted((r for r in records if r["number"].endswith(number)), key=lambda r: r["started"])

    async def records(self, number: str, count: int = 1, within: float = PATIENCE_S) -> list[Mapping[str, Any]]:
        """The simulator's records of a number, once there are so many."""
        async with asyncio.timeout(within):
            while True:
                if len(found := self.received_by(number)) >= count:
                    return found
                await asyncio.sleep(0.1)

    def pages_received(self, record: Mapping[str, Any]) -> list[tuple[tuple[int, int], bytes]]:
        """The pages of a record, as pixels."""
        return [page for p in record["pages"] for page in pages_of((self.received / p["tiff"]).read_bytes())]

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]


@contextlib.asynccontextmanager
async def gateway_at(
    folder: Path,
    media: str = "31000-32999",
    simulator: Sequence[str] = (),
    *,
    changes: Mapping[str, str] | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway that runs; `changes` replaces pieces of its settings file."""
    gateway = Gateway(folder, media, simulator, changes=changes)
    try:
        await gateway.start_world()
        await gateway.start()
        yield gateway
    finally:
        await gateway.stop_world()


def _over(found: Mapping[str, Any]) -> bool:
    """The job is finished and none of its calls is still saying goodbye."""
    calls = [call for fax in found["faxes"] for call in fax["attempts"]]
    return found["job"] is not None and found["job"]["finished_at"] and all(call["done_at"] for call in calls)


def pdf(pages: int = 2, lines: int = 25) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=True)
    for page in range(1, pages + 1):
        canvas.setFont("Helvetica", 12)
        for line in range(lines):
            canvas.drawString(70, 770 - 24 * line, f"Page {page}, line {line}: the quick brown fox, 0123456789")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def mail_with(document: bytes, to: str, name: str = "letter.pdf", subject: str = "A letter") -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = ALICE, to, subject
    mail["Message-ID"] = make_msgid(domain="client.example.org")
    mail.set_content("")
    mail.make_mixed()
    mail.set_payload([])
    mail.add_attachment(document, maintype="application", subtype="pdf", filename=name)
    return mail


def submit(port: int, mail: EmailMessage, to: Sequence[str], sender: str = ALICE) -> str:
    """Send by SMTP; the gateway's message id from its 250."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        code, text = client.mail(sender)
        assert code == 250, text
        for address in to:
            code, text = client.rcpt(address)
            assert code == 250, text
        code, text = client.data(mail.as_bytes())
    assert code == 250, text
    return next(word.rstrip(";.") for word in text.decode().split() if word.startswith("msg_"))


def pages_of(tiff: bytes) -> list[tuple[tuple[int, int], bytes]]:
    with Image.open(io.BytesIO(tiff)) as image:
        return [(page.size, page.convert("1").tobytes()) for page in ImageSequence.Iterator(image)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
