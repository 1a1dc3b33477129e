"""A fax of ten pages with text, tables and codes, delivered every way at once, fetched by real clients and compared."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pypdf
import pytest
import pytest_asyncio

from tests.delivery.receiver import Receiver, receiver
from tests.end_to_end import ten_pages
from tests.end_to_end.test_inbound import Sent, call, mail_to, pages_in, reception
from tests.end_to_end.world import Gateway, gateway_at
from tests.sdk.client import PYTHON, ROOT
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

TABLES = """
[[customer.number]]
e164 = "%(number)s"
deliver_to = ["%(archive)s"]

[customer.number.settings]
ocr = true
ocr_languages = ["eng"]
barcodes = true

[[customer.user]]
name = "erp"
login = "erp"
password = "secret"

[api]
push_networks = ["127.0.0.1/32"]

[[target]]
name = "archive"
customer = "acme"
kind = "mail"
address = "%(archive)s"
formats = ["pdf/a"]
searchable = true

[[target]]
name = "files"
customer = "acme"
kind = "sftp"
address = "127.0.0.1:%(sftp)d"
params = {{ user = "gateway", host_key = "%(pin)s", sidecars = "idx" }}
formats = ["tiff"]
file_name = "{{number}}-{{id}}"
secrets = {{ password = "secret" }}

[[target]]
name = "program"
customer = "acme"
kind = "webhook"
address = "%(url)s/faxes"
params = {{ mode = "json", user = "gateway" }}
secrets = {{ password = "secret" }}

[[target]]
name = "topic"
customer = "acme"
kind = "pull"
address = "erp"

[[rule]]
name = "everything"
customer = "acme"
then = {{ deliver = ["archive", "files", "program", "topic"] }}
"""


@dataclass(frozen=True)
class Server:
    """A real SFTP server, and a real client's way to it."""

    port: int
    pin: str

    async def fetch(self) -> Mapping[str, bytes]:
        """Everything that lies there."""
        async with (
            asyncssh.connect(
                "127.0.0.1", self.port, username="gateway", password="secret", known_hosts=None, config=None
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            found: dict[str, bytes] = {}
            for entry in await client.readdir("."):
                name = os.fsdecode(entry.filename)
                if name not in (".", ".."):
                    async with client.open(name, "rb") as file:
                        content = await file.read()
                    assert isinstance(content, bytes)
                    found[name] = content
            return found


class Passwords(asyncssh.SSHServer):
    """Takes one password."""

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("gateway", "secret")


@contextlib.asynccontextmanager
async def sftp_server(root: Path) -> AsyncIterator[Server]:
    key = asyncssh.generate_private_key("ssh-ed25519")
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[key],
        server_factory=Passwords,
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=os.fsencode(root)),
    )
    async with acceptor:
        yield Server(acceptor.get_port(), key.get_fingerprint())


@dataclass(frozen=True)
class World:
    """The gateway, and the one fax that it received."""

    gateway: Gateway
    sent: Sent
    found: Mapping[str, Any]
    """The reception in detail, delivered."""
    read_in_call: tuple[int, ...]
    """Pages whose text could be had while the call still ran."""
    sftp: Server
    posted: Receiver
    polled: list[Any]
    """What the vendor's client was told: the list, the list again, the acknowledgement, the list at last."""
    downloads: Path
    """What it downloaded."""

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


async def poll(gateway: Gateway, into: Path) -> list[Any]:
    """The vendor's own polling client fetches, downloads and acknowledges."""
    if not PYTHON.exists():
        pytest.fail("the vendor's client is not installed: run script/setup --tests")
    given = {
        "base": f"{gateway.http}/faxin", "login": "erp", "password": "secret", "how": "sync", "into": str(into),
        "topic": "erp",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        str(PYTHON), str(ROOT / "tests/sdk/drive_poll.py"), json.dumps(given),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    assert process.returncode == 0, err.decode()[-2000:]
    told: list[Any] = json.loads(out.splitlines()[-1])
    return told


async def waits_to_be_fetched(gateway: Gateway) -> None:
    """Every delivery but the one that somebody has to fetch is done."""
    async with asyncio.timeout(WITHIN):
        while True:
            routed = await reception(gateway, "routed", WITHIN, caller=CALLER)
            if [delivery["state"] for delivery in routed["deliveries"]].count("done") == 3:
                return
            await asyncio.sleep(0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("proof")
    for name in ("sftp", "polled"):
        (folder / name).mkdir()
    async with contextlib.AsyncExitStack() as stack:
        sftp = await stack.enter_async_context(sftp_server(folder / "sftp"))
        posted = await stack.enter_async_context(receiver())
        tables = TABLES % {
            "number": NUMBER, "archive": ARCHIVE, "sftp": sftp.port, "pin": sftp.pin, "url": posted.url,
        }  # fmt: skip
        changes = {ADDRESSES: ADDRESSES + tables}
        gateway = await stack.enter_async_context(gateway_at(folder / "gateway", "37000-37999", changes=changes))
        calling = asyncio.create_task(call(gateway, NUMBER, FAX, "--from", CALLER))
        read: tuple[int, ...] = ()
        while not calling.done():
            now = await _pages_read(gateway)
            read = now if not calling.done() else read
            await asyncio.wait([calling], timeout=0.5)
        sent = await calling
        await waits_to_be_fetched(gateway)
        polled = await poll(gateway, folder / "polled")
        found = await reception(gateway, "delivered", WITHIN, caller=CALLER)
        yield World(gateway, sent, found, read, sftp, posted, polled, folder / "polled")


async def test_all_ten_pages_are_confirmed_and_every_delivery_is_done(world: World) -> None:
    assert (world.sent.code, world.sent.record["pages_confirmed"]) == (0, 10)
    assert world.found["reception"]["pages"] == 10
    assert [delivery["state"] for delivery in world.found["deliveries"]] == ["done"] * 4


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


async def test_sftp_has_the_tiff_and_then_its_idx(world: World) -> None:
    """G3: the pages as they came; the metadata in the vendor's keys."""
    files = await world.sftp.fetch()
    stem = f"{NUMBER.removeprefix('+')}-{world.fax}"
    assert set(files) == {f"{stem}.tiff", f"{stem}.idx"} or set(files) == {f"{stem}.tif", f"{stem}.idx"}
    (document,) = (octets for name, octets in files.items() if not name.endswith(".idx"))
    assert pixels(document) == pixels(FAX)
    lines = dict(line.split("=", 1) for line in files[f"{stem}.idx"].decode("ascii").splitlines())
    assert (lines["SENDER.FAXNO"], lines["PAGES"], lines["STATUS"]) == ("00498955510", "10", "OK")
    assert lines["RESOLUTION"] == "H" * 10
    assert lines["RECEIPT.ID"].replace(" ", "") == NUMBER


async def test_the_program_was_posted_json_once_with_the_fax_in_it(world: World) -> None:
    """G3: the vendor's fields, login in the body."""
    ((request, body),) = world.posted.seen
    assert (request.method, request.path, request.content_type) == ("POST", "/faxes", "application/json")
    fax = json.loads(body)["Fax"]
    assert (fax["Authentication"]["Username"], fax["Authentication"]["Password"]) == ("gateway", "secret")
    details = fax["FaxDetails"]
    assert (details["JobID"], details["CalledNumber"], details["CallingNumber"]) == (world.fax, NUMBER, "00498955510")
    assert (details["PageCount"], details["Status"], details["Resolution"]) == ("10", "OK", "HIGH")
    (file,) = fax["FaxFile"]
    assert file["FileType"] == details["FileType"] == "pdf"
    assert pages_in(base64.b64decode(file["FileContent"])) == pixels(FAX)


async def test_the_vendors_client_fetched_and_acknowledged_what_the_gateway_holds(world: World) -> None:
    """G3: handed out once, hidden, acknowledged, gone; its document is the gateway's, octet by octet."""
    listed, hidden, acknowledged, empty = world.polled
    (fax,) = listed
    assert (hidden, acknowledged, empty) == ([], [], [])
    assert (fax["JobID"], fax["CallingNumber"], fax["PageCount"]) == (world.fax, "00498955510", "10")
    (document,) = fax["documents"]
    fetched = (world.downloads / document["url"].rpartition("/")[2]).read_bytes()
    held = await world.gateway.control.document(world.fax)
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(held).digest()
    assert pages_in(fetched) == pixels(FAX)
