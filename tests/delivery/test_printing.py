"""Received faxes on paper: CUPS as a print server, and printers that say this and that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from faxgw.delivery import printing as module
from faxgw.delivery.printing import PrintWay, web_address
from faxgw.fax.ports import DeliveryResult
from faxgw.fax.target import Target, TargetKind
from faxgw.formats import ipp
from tests.delivery.consignments import DOCUMENT, OPEN, delivered, target
from tests.delivery.receiver import Receiver, receiver
from tests.patience import PATIENCE_S
from tests.ports import free_port


async def send(to: Target) -> DeliveryResult:
    return await delivered(PrintWay(OPEN), to, {})


@dataclass
class Cups:
    """A print server of the test's own with one queue."""

    port: int
    root: Path
    sheets: list[bytes] = field(default_factory=list)
    """What came out of the printer behind it."""

    async def print(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A printer that takes what comes (port 9100)."""
        self.sheets.append(await reader.read(-1))
        writer.close()

    async def run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CUPS_SERVER": f"127.0.0.1:{self.port}"},
        )  # fmt: skip
        out, _err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, out.decode()
        return out.decode()

    def target(self, **params: str) -> Target:
        return target(TargetKind.PRINT, f"ipp://127.0.0.1:{self.port}/printers/fax", params=params)


@pytest.fixture
async def cups() -> AsyncIterator[Cups]:
    tmp_path = Path(tempfile.mkdtemp(prefix="faxgw-cups-"))
    os.chmod(tmp_path, 0o755)  # its printing is done by another user than the one that runs the tests
    port = free_port()
    for name in ("etc/ppd", "state", "cache", "spool/tmp"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cupsd.conf").write_text(
        f"Listen 127.0.0.1:{port}\nLogLevel warn\nBrowsing No\nDefaultAuthType None\nWebInterface No\n"
        "<Location />\nOrder allow,deny\nAllow all\n</Location>\n"
        "<Policy default>\nJobPrivateValues none\n<Limit All>\nOrder deny,allow\n</Limit>\n</Policy>\n"
    )
    (tmp_path / "cups-files.conf").write_text(
        f"ServerRoot {tmp_path}/etc\nStateDir {tmp_path}/state\nCacheDir {tmp_path}/cache\n"
        f"RequestRoot {tmp_path}/spool\nTempDir {tmp_path}/spool/tmp\nSandboxing relaxed\n"
        f"ErrorLog {tmp_path}/error\nAccessLog {tmp_path}/access\nPageLog {tmp_path}/page\n"
    )
    process = await asyncio.create_subprocess_exec(
        "/usr/sbin/cupsd", "-f", "-c", str(tmp_path / "cupsd.conf"), "-s", str(tmp_path / "cups-files.conf")
    )
    made = Cups(port, tmp_path)
    paper = await asyncio.start_server(made.print, "127.0.0.1", 0)
    device = f"socket://127.0.0.1:{paper.sockets[0].getsockname()[1]}/?waiteof=false"
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                assert process.returncode is None, "cupsd does not start"
                with contextlib.suppress(OSError):
                    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        await made.run("/usr/sbin/lpadmin", "-p", "fax", "-v", device, "-m", "raw", "-E")
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        paper.close()
        shutil.rmtree(tmp_path)


async def test_cups_prints_the_document_and_a_second_try_prints_nothing(cups: Cups) -> None:
    first = await send(cups.target(copies="1", media="iso_a4_210x297mm", sides="one-sided"))
    assert first.delivered, first.detail
    second = await send(cups.target())
    assert (second.delivered, second.detail) == (True, first.detail)
    assert cups.sheets == [DOCUMENT]


async def test_a_queue_that_takes_no_jobs_and_one_that_is_not_there_are_told(cups: Cups) -> None:
    await cups.run("/usr/sbin/cupsreject", "fax")
    result = await send(cups.target())
    assert (result.delivered, result.permanent) == (False, False)
    assert "takes no jobs" in result.detail
    await cups.run("/usr/sbin/cupsaccept", "fax")
    assert (await send(cups.target())).delivered
    none = await send(target(TargetKind.PRINT, f"ipp://127.0.0.1:{cups.port}/printers/none"))
    assert (none.delivered, none.permanent) == (False, False)
    assert "the printer refuses" in none.detail


async def test_a_job_that_is_held_up_is_waited_for_and_not_sent_again(
    cups: Cups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRINTED_S", 0.2)
    monkeypatch.setattr(module, "ASK_S", 0.1)
    await cups.run("/usr/sbin/cupsdisable", "fax")
    result = await send(cups.target())
    assert (result.delivered, result.permanent) == (False, False)
    assert "not printed yet" in result.detail
    assert not (await send(cups.target())).delivered
    assert [name for name in os.listdir(cups.root / "spool") if name != "tmp"] == ["d00001-001"]
    monkeypatch.setattr(module, "PRINTED_S", 20.0)
    await cups.run("/usr/sbin/cupsenable", "fax")
    assert (await send(cups.target())).delivered
    assert cups.sheets == [DOCUMENT]


def said(status: int = 0, *groups: tuple[int, list[tuple[str, int, bytes]]]) -> bytes:
    """An answer of a printer."""
    out = struct.pack(">HHI", ipp.VERSION, status, 1)
    for tag, attributes in groups:
        out += bytes([tag])
        for name, kind, value in attributes:
            out += struct.pack(">BH", kind, len(name)) + name.encode() + struct.pack(">H", len(value)) + value
    return out + b"\x03"


PDF_ONLY = (ipp.PRINTER, [("document-format-supported", 0x49, b"image/urf"), ("", 0x49, b"application/pdf")])


def number(value: int) -> bytes:
    return struct.pack(">i", value)


@pytest.fixture
async def printer() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


def answers(printer: Receiver, by_operation: dict[int, bytes]) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        operation = struct.unpack_from(">HH", printer.seen[-1][1])[1]
        return web.Response(body=by_operation[operation], content_type="application/ipp")

    printer.answer = answer


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({0x000B: said(0, (ipp.PRINTER, [("document-format-supported", 0x49, b"image/urf")]))}, "only image/urf"),
        ({0x000B: b"\x02\x00"}, "no IPP message"),
        ({0x000B: said(0, PDF_ONLY)[:-3]}, "cut off"),
        ({0x0002: said(0x0507)}, "PRINT_JOB 0x0507"),
        ({0x0002: said(0)}, "named no job"),
        ({0x0009: said(0, (ipp.JOB, [("job-state", 0x23, number(8))]))}, "aborted"),
        ({0x0009: said(0, (ipp.JOB, [("job-state", 0x23, number(7))]))}, "canceled"),
        ({0x000A: said(0x0401, (ipp.OPERATION, [("status-message", 0x41, b"Go away")]))}, "Go away"),
    ],
)
async def test_what_printers_refuse_is_told_and_tried_again(
    printer: Receiver, changed: dict[int, bytes], word: str
) -> None:
    usual = {
        0x000A: said(),
        0x000B: said(0, PDF_ONLY),
        0x0002: said(0, (ipp.JOB, [("job-id", 0x21, number(7))])),
        0x0009: said(0, (ipp.JOB, [("job-state", 0x23, number(9))])),
    }
    to = target(TargetKind.PRINT, printer.url.replace("http:", "ipp:") + "/ipp/print")
    answers(printer, usual)
    assert (await send(to)).detail == "job 7"
    answers(printer, usual | changed)
    result = await send(to)
    assert (result.delivered, result.permanent) == (False, False)
    assert word in result.detail


async def test_a_printer_that_is_down_or_speaks_otherwise_is_told(printer: Receiver) -> None:
    to = target(TargetKind.PRINT, printer.url.replace("http:", "ipp:") + "/ipp/print")
    printer.says(401)
    assert "the printer: 401" in (await send(to)).detail
    down = await send(target(TargetKind.PRINT, "ipp://127.0.0.1:1/ipp/print"))
    assert (down.delivered, down.permanent) == (False, False)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("ipp://printer/ipp/print", "http://printer:631/ipp/print"),
        ("ipps://printer:443/x", "https://printer:443/x"),
        ("ipp://[::1]/x", "http://[::1]:631/x"),
        ("ipp://printer", "http://printer:631"),
    ],
)
def test_where_a_printer_is_asked(address: str, url: str) -> None:
    assert web_address(address) == url


def test_answers_are_bounded() -> None:
    many: Any = [(f"a{i}", 0x21, number(i)) for i in range(ipp.MAX_ATTRIBUTES + 1)]
    with pytest.raises(ipp.BadIpp):
        ipp.read(said(0, (ipp.PRINTER, many)))
    with pytest.raises(ipp.BadIpp):
        ipp.read(said(0)[:-1] + b"\x21\0\1a\0\4\0\0\0\1\3")
