"""Jobs over SFTP, FTPS and a watched folder against a real gateway, with the clients that people have."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from tests.end_to_end.world import Gateway, gateway_at, pdf
from tests.intake.files_world import job_xml, run
from tests.ports import free_ports

pytestmark = [pytest.mark.realtime, pytest.mark.asyncio(loop_scope="module")]

SETTINGS = """addresses = ["{{alice}}"]

[[customer.user]]
name = "erp"
login = "erp"
password = "secret"

[sftp]
listen = ["127.0.0.1:{sftp}"]

[ftp]
passive_ports = "0-0"

[[ftp.listeners]]
listen = "127.0.0.1:{ftp}"

[ftp.tls]
certificate = "{certificate}"
key = "{key}"

[[folder]]
name = "scanner"
path = "{folder}"
customer = "acme"
settle = "500ms"
"""


JOBS = 4
"""Jobs that are uploaded while the gateway is killed."""


class Shop:
    """A gateway and where its file servers are."""

    def __init__(self, gateway: Gateway, folder: Path, sftp: int, ftp: int) -> None:
        self.gateway = gateway
        self.folder = folder
        self.sftp_port = sftp
        self.ftp_port = ftp
        self.key = folder / "id"

    async def curl(self, *arguments: str) -> bytes:
        """What curl fetches, or says."""
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "-k", "-u", "erp:secret", *arguments, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
        assert process.returncode == 0
        return out

    async def upload(self, path: Path) -> None:
        """Upload a file under another name and rename it: curl succeeds though a close was never answered."""
        name = path.name
        renaming = ["-Q", f"-*rm in/{name}", "-Q", f"-rename in/{name}.part in/{name}"]
        await self.curl("-T", str(path), f"{self.sftp}/in/{name}.part", *renaming)

    @property
    def sftp(self) -> str:
        return f"sftp://127.0.0.1:{self.sftp_port}"

    async def result(self, name: str, within: float = 90.0) -> ElementTree.Element:
        """A result, once it is there."""
        async with asyncio.timeout(within):
            while name not in (await self.curl("-l", f"{self.sftp}/out/")).decode().split("\n"):  # noqa: ASYNC110
                await asyncio.sleep(0.3)
        return ElementTree.fromstring(await self.curl(f"{self.sftp}/out/{name}"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "drop").mkdir()
    status, said = await run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"),
    )  # fmt: skip
    assert status == 0, said
    (folder / "key.pem").chmod(0o600)
    sftp, ftp = free_ports(2)
    settings = SETTINGS.format(
        sftp=sftp, ftp=ftp, certificate=folder / "cert.pem", key=folder / "key.pem", folder=folder / "drop"
    )
    changes = {'addresses = ["{alice}"]\n': settings}
    async with gateway_at(folder, "34000-34999", changes=changes) as made:
        await listens(sftp, ftp)
        yield Shop(made, folder, sftp, ftp)


async def listens(*ports: int) -> None:
    """Wait until somebody does: the doors are the last to open."""
    async with asyncio.timeout(30):
        for port in ports:
            while True:
                with contextlib.suppress(OSError):
                    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)


async def test_a_job_over_sftp_becomes_a_fax_and_its_report_lies_in_out(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "letter.pdf").write_bytes(pdf(1, 3))
    (tmp_path / "job-order-5-x.xml").write_bytes(job_xml(number="+33199100000"))
    for name in ("letter.pdf", "job-order-5-x.xml"):
        await shop.curl("-T", str(tmp_path / name), f"{shop.sftp}/in/")
    report = await shop.result("rep-order-5-x.xml")
    assert report.findtext(".//fax-address/status") == "OK" and report.findtext("fax/pages") == "1"
    (record,) = await shop.gateway.records("99100000")
    assert len(shop.gateway.pages_received(record)) == 1
    await shop.curl("-Q", "rm out/rep-order-5-x.xml", f"{shop.sftp}/out/", "-l")
    assert b"rep-order-5" not in await shop.curl("-l", f"{shop.sftp}/out/")


async def test_a_job_over_ftp_with_tls_becomes_a_fax(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(pdf(1, 3))
    (tmp_path / "job-ftp.xml").write_bytes(job_xml("paper.pdf", "+33199200000"))
    for name in ("paper.pdf", "job-ftp.xml"):
        await shop.curl("--ssl-reqd", "-T", str(tmp_path / name), f"ftp://127.0.0.1:{shop.ftp_port}/in/")
    report = await shop.result("rep-ftp.xml")
    assert report.findtext(".//fax-address/status") == "OK"


async def test_a_document_in_a_watched_folder_is_faxed_and_its_result_lies_beside_it(shop: Shop) -> None:
    drop = shop.folder / "drop"
    (drop / "+33199300000_scan.pdf").write_bytes(pdf(1, 3))
    result = drop / "+33199300000_scan.pdf.result.json"
    async with asyncio.timeout(90):
        while not result.exists():  # noqa: ASYNC110 - the folder tells nobody
            await asyncio.sleep(0.3)
    assert json.loads(result.read_text())["recipientStatus"][0]["status"] == "OK"
    assert {path.name for path in drop.iterdir()} == {".faxgw", result.name}


async def test_killed_at_any_time_every_job_is_sent_once_and_told(shop: Shop, tmp_path: Path) -> None:
    """SIGKILL in the middle of uploads: what the client saw stored is sent, once each; the client repeats the rest."""
    document = pdf(1, 3)
    stored: set[str] = set()
    kills = 0
    for index in range(JOBS):
        (tmp_path / f"k{index}.pdf").write_bytes(document)
        (tmp_path / f"job-k{index}.xml").write_bytes(job_xml(f"k{index}.pdf", f"+331994{index}0000"))

    async def upload() -> None:
        nonlocal stored
        for index in range(JOBS):
            for name in (f"k{index}.pdf", f"job-k{index}.xml"):
                while name not in stored:
                    try:
                        await shop.upload(tmp_path / name)
                        stored.add(name)
                    except AssertionError:
                        await asyncio.sleep(0.5)  # as a client would: the gateway is to come back

    task = asyncio.create_task(upload())
    for pause in (0.4, 0.9):
        await asyncio.sleep(pause)
        process = shop.gateway.process
        assert process is not None
        kills += 1  # noqa: SIM113 - at the kill, not before its pause
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        await shop.gateway.start()
    async with asyncio.timeout(120):
        await task
    for index in range(JOBS):
        report = await shop.result(f"rep-k{index}.xml", 120)
        status = report.findtext(".//fax-address/status")
        assert status in ("OK", "EOD_FAILED"), "sent, or told that it may have been"
        assert len(shop.gateway.received_by(f"4{index}0000")) <= 2 - (status == "OK")
