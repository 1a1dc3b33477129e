"""Bad input: a clear answer to the right person, at the earliest moment it can be known; nothing else is disturbed."""

from __future__ import annotations

import asyncio
import io
import os
import smtplib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from pathlib import Path
from typing import Any

import pypdf
import pytest
import pytest_asyncio
from PIL import Image

from faxgw.demo import MailboxSink
from tests.end_to_end.world import ALICE, DOMAIN, Gateway, gateway_at, mail_with, pdf, submit

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

GOOD = f"+33199000000@{DOMAIN}"
BUSY = f"+33199000010@{DOMAIN}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with gateway_at(tmp_path_factory.mktemp("bad"), media="33000-34999") as running:
        yield running


def refusal(port: int, sender: str, to: str) -> tuple[int, str]:
    """What RCPT (or MAIL) is answered."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        code, text = client.mail(sender)
        if code == 250:
            code, text = client.rcpt(to)
        return code, text.decode()


@pytest.mark.parametrize(
    "sender, to, code, words",
    [
        (ALICE, "+33199000000@elsewhere.example", 550, "not a fax domain"),
        (ALICE, f"bob@{DOMAIN}", 550, "not a telephone number"),
        (ALICE, f"+3319@{DOMAIN}", 550, "too short"),
        (ALICE, f"112@{DOMAIN}", 550, "Emergency"),
        (ALICE, f"+33899123456@{DOMAIN}", 550, "premium"),
        ("mallory@example.net", GOOD, 550, "not authorised"),
        ("", GOOD, 550, "not faxed"),
    ],
)
async def test_what_is_wrong_is_said_at_rcpt(gateway: Gateway, sender: str, to: str, code: int, words: str) -> None:
    answer = await asyncio.to_thread(refusal, gateway.smtp_port, sender, to)
    assert answer[0] == code
    assert words in answer[1]


def empty_mail() -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = ALICE, BUSY, "Nothing", make_msgid()
    mail.set_content("\n \n")
    return mail


def encrypted_pdf() -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(1)))
    writer.encrypt("secret", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def huge_tiff() -> bytes:
    out = io.BytesIO()
    page = Image.new("1", (1728, 8), 1)
    page.save(out, "TIFF", save_all=True, append_images=[page] * 9_999, compression="group4", dpi=(204, 196))
    return out.getvalue()


def many_parts() -> bytes:
    head = f"From: {ALICE}\r\nTo: {BUSY}\r\nMessage-ID: <{time.time_ns()}@parts.example.org>\r\nMIME-Version: 1.0\r\n"
    head += 'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    return head.encode() + b"--b\r\n\r\n\r\n" * 100_000 + b"--b--\r\n"


def submit_octets(port: int, octets: bytes, to: str) -> str:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()
        client.mail(ALICE)
        client.rcpt(to)
        code, text = client.data(octets)
    assert code == 250, text
    return next(word for word in text.decode().split() if word.startswith("msg_"))


@pytest.mark.parametrize(
    "name, make, words",
    [
        ("secret.pdf", encrypted_pdf, "secret.pdf"),
        ("broken.pdf", lambda: pdf(1)[:600], "broken.pdf"),
        ("scan.tif", huge_tiff, "10000"),
        ("virus.exe", lambda: b"MZ" + os.urandom(2000), "virus.exe"),
    ],
)
async def test_a_document_that_cannot_be_faxed_is_named_to_its_sender(
    gateway: Gateway, name: str, make: Any, words: str
) -> None:
    document = await asyncio.to_thread(make)
    mail = mail_with(document, BUSY, name=name)
    await asyncio.to_thread(submit, gateway.smtp_port, mail, [BUSY])
    told = await gateway.told(str(mail["Message-ID"]), within=60)
    text = str(told.get_body(("plain",)).get_content())  # type: ignore[union-attr]
    assert words in text.replace(",", "").replace("\u202f", "")
    assert str(told["To"]) == ALICE
    assert "/" not in text.split(name)[0][-2:]
    assert not gateway.received_by("10")


async def test_an_empty_mail_is_refused_to_its_sender(gateway: Gateway) -> None:
    mail = empty_mail()
    message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [BUSY])
    told = await gateway.told(str(mail["Message-ID"]))
    assert "Not faxed" in str(told["Subject"]) or "not faxed" in str(told["Subject"]).lower()
    assert (await gateway.control.find(message))["message"]["state"] == "refused"


async def test_a_mail_with_100000_parts_is_refused_and_delays_nobody(gateway: Gateway) -> None:
    """Reliability P-01: decided in a child within 2 s of CPU; another mail is accepted and walked beside it."""
    message = await asyncio.to_thread(submit_octets, gateway.smtp_port, many_parts(), BUSY)
    other = mail_with(pdf(1, 2), BUSY, subject="Quick")
    quick = await asyncio.to_thread(submit, gateway.smtp_port, other, [BUSY])
    await gateway.until(quick, lambda f: f["job"] is not None)
    found = await gateway.until(message, lambda f: f["message"]["state"] != "received")
    assert found["message"]["state"] == "refused"
    assert "parts" in found["message"]["reason"]
    await gateway.told("parts.example.org")


async def test_a_relay_that_is_down_delays_the_report_and_loses_nothing(gateway: Gateway) -> None:
    port, folder = gateway.mailbox.port, gateway.folder / "mail"
    await gateway.mailbox.stop()
    mail = mail_with(pdf(1, 2), f"+33199000013@{DOMAIN}", subject="Relay down")
    message = await asyncio.to_thread(submit, gateway.smtp_port, mail, [f"+33199000013@{DOMAIN}"])
    found = await gateway.finished(message)
    assert found["faxes"][0]["state"] == "failed"
    await gateway.until(message, lambda f: any(e["what"] == "outbox.deferred" for e in f["events"]))
    gateway.mailbox = MailboxSink(folder, port=port)
    await gateway.mailbox.start()
    told = await gateway.told(str(mail["Message-ID"]), within=60)
    assert "not assigned" in str(told.get_body(("plain",)).get_content())  # type: ignore[union-attr]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_is_answered_452_and_the_mail_stays_with_its_sender(small_disk: Path) -> None:
    """RFC 1123 section 5.3.3: a predictable shortage; 452 at MAIL FROM, before anything is promised."""
    async with gateway_at(small_disk, media="35000-35999") as gateway:
        code, text = await asyncio.to_thread(refusal, gateway.smtp_port, ALICE, GOOD)
        assert code == 452, text
        assert "storage" in text


async def test_a_second_gateway_on_the_same_folder_is_refused(gateway: Gateway) -> None:
    run = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("faxgw")),
        "--config",
        str(gateway.config),
        "run",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _out, err = await asyncio.wait_for(run.communicate(), 30)
    assert run.returncode == 1
    assert "uses the data folder" in err.decode() or "data folder" in err.decode()
