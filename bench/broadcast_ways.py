"""The ways by which `bench.broadcast` hands in its job: REST, SOAP, an XML job file over SFTP, a mail with a list.

REST, SOAP and SFTP have their real servers and, in a process of its own, a real client. A mail is handed to the funnel
where the SMTP server does it, at the final dot, and walked by the page worker; its page processes are scripted.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from aiohttp import ClientSession, ClientTimeout

from faxgw.api.access import Access
from faxgw.dispatch.gate import Gate
from faxgw.dispatch.jobs import JobGate
from faxgw.dispatch.seat import Seat
from faxgw.document.client import PageClient
from faxgw.fax import ids
from faxgw.fax.number import LIST
from faxgw.fax.ports import MailRecipient, MailSubmission, Principal, Receipt
from faxgw.formats.soap import NAMESPACE
from faxgw.intake.area import Areas
from faxgw.intake.collector import Collector
from faxgw.intake.file_accounts import FileAccounts
from faxgw.intake.job_files import JobFiles
from faxgw.intake.sftp import SftpServer
from faxgw.intake.sftp_settings import SftpSettings
from faxgw.intake.taking import Take
from faxgw.intake.threads import Threads
from faxgw.settings import Listener
from faxgw.store.passwords import Passwords
from faxgw.store.space import Watermark

PASSWORD = "a password that nobody guesses"
LIMIT = 900.0
"""Seconds one part may last."""
LOOK_EVERY = 0.05
"""Seconds between two looks into a folder for the job file's end."""
DOCUMENT = b"%PDF-1.4\n" + bytes(20_000)
SENDER = "ann@example.org"


@asynccontextmanager
async def sftp_server(folder: Path, seat: Seat, gate: JobGate) -> AsyncIterator[int]:
    """The SFTP server with its collector and funnel, as the daemon puts them together; its port."""
    access, threads = Access(seat.store, Passwords(time.monotonic), time.time, time.monotonic, {}), Threads()

    async def room() -> None:
        """There is room."""

    areas = Areas(folder / "files", room, threads)
    jobs = JobFiles(seat.store, seat.files, gate, time.time, threads, 400)
    collector = Collector({Take.JOB: jobs}, time.monotonic, threads)
    accounts = FileAccounts(areas, access, collector, 14)
    server = SftpServer(SftpSettings(listen=(Listener("127.0.0.1", 0),)), access, accounts.places, folder / "keys")
    ((_host, port), *_others) = await server.start()
    collecting = asyncio.create_task(collector.run())
    yield port
    await server.stop(1.0)
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    await areas.close()
    await threads.close()


def rest_job(numbers: Sequence[str], *, express: bool = False, cover: bool = False, mail: bool = False) -> Any:
    """A job with a document of one page."""
    asked: dict[str, Any] = {
        "recipients": [
            {"number": number, "properties": [{"key": "name", "value": f"Ann {place}"}]}
            for place, number in enumerate(numbers)
        ],
        "documents": [{"name": "page.pdf", "data": base64.b64encode(DOCUMENT + secrets.token_bytes(16)).decode()}],
    }
    if express:
        asked["transportOptions"] = {"isExpress": True}
    if cover:
        asked["renderingOptions"] = {"coverpageTemplate": "letter"}
    if mail:
        asked["statusReportOptions"] = {"reportMail": {"successAddress": SENDER, "failureAddress": SENDER}}
    return asked


def login(customer: str) -> dict[str, str]:
    """The field of a customer's login."""
    return {"Authorization": "Basic " + base64.b64encode(f"{customer}-erp:{PASSWORD}".encode()).decode()}


async def by_rest(port: int, customer: str, asked: Mapping[str, Any]) -> tuple[str, float]:
    """(job, seconds until its 200)."""
    async with ClientSession(headers=login(customer), timeout=ClientTimeout(LIMIT)) as client:
        begun = time.perf_counter()
        async with client.post(f"http://127.0.0.1:{port}/rest/v1/{customer}/fax", json=asked) as answer:
            found = await answer.json()
            if answer.status != 200:
                raise SystemExit(f"broadcast: {answer.status} {found}")
            return str(found["jobId"]), time.perf_counter() - begun


async def by_soap(port: int, numbers: Sequence[str]) -> float:
    """Seconds until the answer."""
    people = "".join(
        f"<faxRecipient><number>{number}</number>"
        f"<property><key>name</key><value>Ann {place}</value></property></faxRecipient>"
        for place, number in enumerate(numbers)
    )
    inner = (
        f"<username>acme-erp</username><password>{PASSWORD}</password>{people}"
        f"<document><name>page.pdf</name><data>{base64.b64encode(DOCUMENT).decode()}</data></document>"
        "<options><coverpageTemplateName>letter</coverpageTemplateName></options>"
        f"<reportMail><successAddress>{SENDER}</successAddress><failureAddress>{SENDER}</failureAddress></reportMail>"
    )
    body = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<n:JobRequest xmlns:n="{NAMESPACE}">{inner}</n:JobRequest></s:Body></s:Envelope>'
    )
    async with ClientSession(headers={"Content-Type": "text/xml"}, timeout=ClientTimeout(LIMIT)) as client:
        begun = time.perf_counter()
        async with client.post(f"http://127.0.0.1:{port}/soap/v3", data=body.encode()) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise SystemExit(f"broadcast: {answer.status} {text[:500]}")
            return time.perf_counter() - begun


async def by_sftp(port: int, numbers: Sequence[str]) -> float:
    """Seconds until the job file is in work: it is gone from `in/` when its job is committed."""
    people = "".join(
        f'<fax-address><fax-number>{number}</fax-number><property name="name">Ann</property></fax-address>'
        for number in numbers
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<fax-jobs><reference>bench</reference><fax>'
        f"<job-reference>broadcast</job-reference><distribution-list>{people}</distribution-list>"
        "<fax-file-list><fax-file><file-name>page.pdf</file-name></fax-file></fax-file-list>"
        f"<options><coverpage>letter</coverpage><report-success>{SENDER}</report-success>"
        f"<report-failure>{SENDER}</report-failure></options></fax></fax-jobs>\n"
    )
    begun = time.perf_counter()
    async with (
        asyncssh.connect(
            "127.0.0.1", port, username="acme-erp", password=PASSWORD, known_hosts=None, config=None, client_keys=None
        ) as connection,
        connection.start_sftp_client() as sftp,
    ):
        for name, octets in (("page.pdf", DOCUMENT), ("job1.xml", xml.encode())):
            async with sftp.open(f"in/{name}", "wb") as file:
                await file.write(octets)
        while "job1.xml" in await sftp.listdir("in"):  # noqa: ASYNC110 - the folder is looked at
            await asyncio.sleep(LOOK_EVERY)
    return time.perf_counter() - begun


async def by_mail(seat: Seat, client: PageClient) -> float:
    """Seconds until the final dot's 250: the mail's list was looked into, the mail is durable."""
    gate = Gate(seat, Watermark(0), Passwords(time.monotonic), client)
    begun = time.perf_counter()
    file = await seat.files.keep(b"Subject: [cover=letter]\r\n\r\nHello\r\n")
    mail = MailSubmission(
        message=ids.prefixed("msg", time.time(), secrets.token_bytes(16)),
        principal=Principal("acme", "", "acme-erp", SENDER, "login"),
        sender=SENDER,
        recipients=(MailRecipient("list@fax.example", LIST, "", "", "acme", list_name="distribution-list.txt"),),
        file=file,
        message_id="<1@example.org>",
        subject="broadcast",
        auto_submitted=False,
        received_at=time.time(),
        listed=True,
    )
    answer = await gate.submit_mail(mail)
    if not isinstance(answer, Receipt):
        raise SystemExit(f"broadcast: {answer}")
    return time.perf_counter() - begun
