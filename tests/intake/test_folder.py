"""Watched folders of this machine: plain documents, sidecars, job files; nothing half, nothing twice."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from faxgw.dispatch.jobs import JobGate
from faxgw.fax.account import from_snapshot
from faxgw.fax.ports import Parcel
from faxgw.intake import collector, job_files, plain_files
from faxgw.intake.collector import WAIT_S, Collector
from faxgw.intake.folder import UNSURE_S, Folder, Folders
from faxgw.intake.folder_settings import FolderSettings, Layout, faults
from faxgw.intake.job_files import JobFiles
from faxgw.intake.plain_files import PlainFiles
from faxgw.intake.result_files import ResultFiles
from faxgw.intake.shelf import Shelf
from faxgw.intake.taking import Take
from faxgw.intake.threads import Threads
from faxgw.store import schema as t
from tests.house import House, house, house_store
from tests.intake.files_world import PDF, Ticks, job_xml

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")
TO = "+33123456789"


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


@dataclass
class Watched:
    """A folder, and what watches it."""

    house: House
    path: Path
    folder: Folder
    collector: Collector
    results: ResultFiles
    ticks: Ticks

    def lay(self, name: str, octets: bytes = PDF) -> Path:
        path = self.path / name
        path.write_bytes(octets)
        return path

    async def look(self, times: int = 2) -> bool:
        """Look so often, with the time between that files need to settle."""
        waits = False
        for _ in range(times):
            waits = await self.collector.work(self.folder.drop)
            self.ticks.now += 5.0
        return waits

    async def jobs(self) -> Sequence[Any]:
        return await self.house.rows(select(t.jobs).order_by(t.jobs.c.accepted_at, t.jobs.c.id))

    async def numbers(self) -> list[str]:
        rows = await self.house.rows(select(t.faxes.c.numbers).order_by(t.faxes.c.position))
        return [row.numbers[0]["e164"] for row in rows]

    def names(self) -> list[str]:
        return sorted(p.name for p in self.path.iterdir() if p.name != ".faxgw")

    def refused(self) -> list[str]:
        folder = self.path / ".faxgw" / "refused"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []

    def told(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / f"{name}.result.json").read_text())
        return found


async def watched(house: House, path: Path, layout: Layout = Layout.PLAIN, **settings: Any) -> tuple[Watched, Threads]:
    threads, ticks = Threads(), Ticks()
    given = FolderSettings(name="scanner", path=path, customer="acme", layout=layout, **settings)
    folder = Folder(given, house.store, {}, ticks)
    gate = JobGate(house.seat())
    arguments = (house.store, house.files, gate, house.clock, threads, 400)
    collector = Collector({Take.JOB: JobFiles(*arguments), Take.PLAIN: PlainFiles(*arguments)}, ticks, threads)
    folders = Folders([folder], {"scanner": collector})

    async def find(name: str, customer: str) -> Any:
        return folders.find(name)

    return Watched(house, path, folder, collector, ResultFiles(house.store, find, threads), ticks), threads


@pytest_asyncio.fixture(loop_scope="session")
async def drop(house: House, tmp_path: Path) -> AsyncIterator[Watched]:
    path = tmp_path / "drop"
    path.mkdir()
    made, threads = await watched(house, path)
    yield made
    made.folder.close()
    await threads.close()


async def test_a_document_named_by_its_number_is_faxed_and_leaves_the_folder(drop: Watched) -> None:
    drop.lay(f"{TO}_invoice 7.pdf")
    drop.lay("0123456780.tif", b"II*\0")
    await drop.look()
    assert sorted(await drop.numbers()) == ["+33123456780", TO]
    assert {job.owner for job in await drop.jobs()} == {"folder:scanner"} and drop.names() == []


async def test_the_result_lies_beside_when_the_fax_is_final(drop: Watched) -> None:
    drop.lay("+12_wrong.pdf")
    await drop.look()
    rows = await drop.house.rows(select(t.outbox).where(t.outbox.c.kind == "result_file"))
    for row in rows:
        assert (await drop.results.deliver(Parcel(row.id, row.kind, row.target, row.payload, 0.0, 1))).delivered
    (recipient,) = drop.told("+12_wrong.pdf")["recipientStatus"]
    assert (recipient["number"], recipient["status"]) == ("+12", "DIAL_NC") and len(rows) == 1
    assert await drop.look() is False and drop.names() == ["+12_wrong.pdf.result.json"]


SIDECARS: dict[str, tuple[str, bytes]] = {
    "JSON": (
        "letter.pdf.json",
        b'{"numbers": ["+33123456789"], "reference": "A-7", "resolution": "high", "properties": {"To": "Ann"}}',
    ),
    "XML": (
        "letter.pdf.xml",
        b"<fax><job-reference>A-7</job-reference><distribution-list><fax-address><fax-number>+33123456789</fax-number>"
        b"<property name='To'>Ann</property></fax-address></distribution-list>"
        b"<options><resolution>HIGH</resolution></options></fax>",
    ),
    "lines": ("letter.pdf.txt", b"+33123456789\r\nReference: A-7\r\nresolution: high\r\n"),
}


@pytest.mark.parametrize("case", SIDECARS)
async def test_a_sidecar_says_who_gets_a_document(drop: Watched, case: str) -> None:
    name, octets = SIDECARS[case]
    drop.lay("letter.pdf")
    assert await drop.look() is True and await drop.jobs() == []
    drop.lay(name, octets)
    await drop.look()
    (job,) = await drop.jobs()
    assert (job.subject, from_snapshot(job.settings)["resolution"]) == ("A-7", "fine")
    assert await drop.numbers() == [TO] and drop.names() == []


REFUSED: dict[str, tuple[dict[str, bytes], str, str]] = {
    "no number": ({"letter.pdf": PDF}, "letter.pdf", "no_number"),
    "a sidecar alone": ({"letter.pdf.json": b"{}"}, "letter.pdf.json", "no_number"),
    "a sidecar without a number": ({"l.pdf": PDF, "l.pdf.json": b"{}"}, "l.pdf", "bad_sidecar"),
    "a sidecar that is cut": ({"l.pdf": PDF, "l.pdf.xml": b"<fax>"}, "l.pdf", "bad_sidecar"),
    "a sidecar with a DTD": ({"l.pdf": PDF, "l.pdf.xml": b"<!DOCTYPE a><fax/>"}, "l.pdf", "bad_sidecar"),
    "no JSON": ({"l.pdf": PDF, "l.pdf.json": b"x"}, "l.pdf", "bad_sidecar"),
    "JSON of another form": ({"l.pdf": PDF, "l.pdf.json": b'{"numbers": {"a": 1}}'}, "l.pdf", "bad_sidecar"),
    "not UTF-8": ({"l.pdf": PDF, "l.pdf.txt": b"\xff"}, "l.pdf", "bad_sidecar"),
    "an unknown word": ({"l.pdf": PDF, "l.pdf.txt": b"+331\ncolour: red"}, "l.pdf", "bad_sidecar"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_told_and_kept(drop: Watched, case: str) -> None:
    files, cause, code = REFUSED[case]
    for name, octets in files.items():
        drop.lay(name, octets)
    await drop.look()
    drop.ticks.now += WAIT_S
    await drop.look()
    assert drop.told(cause)["error"]["code"] == code and await drop.jobs() == []
    assert drop.refused() == sorted(files) and drop.names() == [f"{cause}.result.json"]


@pytest.mark.parametrize("name", [f".{TO}.pdf", f"{TO}.pdf.part", f"{TO}.pdf.tmp", f"~{TO}.pdf", f"{TO}.pdf.filepart"])
async def test_temporary_files_of_others_are_left_alone(drop: Watched, name: str) -> None:
    drop.lay(name)
    assert await drop.look(3) is False
    assert drop.names() == [name] and await drop.jobs() == []


async def test_a_file_that_still_changes_is_not_taken(drop: Watched) -> None:
    """Reliability X-03: half-written files."""
    path = drop.lay(f"{TO}.pdf", b"%PDF")
    for more in (b"-1", b".4", b"\n"):
        assert await drop.look(1) is True
        with path.open("ab") as file:
            file.write(more)
    assert await drop.jobs() == []
    await drop.look()
    (row,) = await drop.house.rows(select(t.job_documents))
    assert (drop.house.folder / row.key).read_bytes() == b"%PDF-1.4\n"


async def test_a_file_that_somebody_has_open_to_write_is_not_taken(drop: Watched) -> None:
    path = drop.lay(f"{TO}.pdf", b"%PDF")
    fd = os.open(path, os.O_WRONLY)
    try:
        assert await drop.look(4) is True and await drop.jobs() == []
    finally:
        os.close(fd)
    await drop.look()
    assert len(await drop.jobs()) == 1


async def test_where_the_kernel_does_not_say_the_while_is_longer(
    drop: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "_is_written", lambda self, name: None)
    drop.lay(f"{TO}.pdf")
    assert await drop.look(3) is True and await drop.jobs() == []
    drop.ticks.now += UNSURE_S
    await drop.look()
    assert len(await drop.jobs()) == 1


async def test_the_same_file_is_a_duplicate_and_another_one_of_its_name_is_a_fax(drop: Watched) -> None:
    for modified in (1_000_000, 1_000_000, 2_000_000):
        os.utime(drop.lay(f"{TO}.pdf"), (modified, modified))
        await drop.look()
    assert len(await drop.jobs()) == 2
    assert drop.told(f"{TO}.pdf")["error"]["code"] == "duplicate_job" and drop.refused() == [f"{TO}.pdf"]


async def test_links_pipes_and_folders_are_left_alone(drop: Watched, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"root:x:0")
    (drop.path / f"{TO}_soft.pdf").symlink_to(tmp_path / "secret")
    (drop.path / f"{TO}_hard.pdf").hardlink_to(tmp_path / "secret")
    os.mkfifo(drop.path / f"{TO}_pipe.pdf")
    (drop.path / f"{TO}_dir.pdf").mkdir()
    assert await drop.look(3) is False and await drop.jobs() == []


async def test_a_work_folder_that_is_a_link_is_not_used(house: House, tmp_path: Path) -> None:
    path = tmp_path / "trap"
    path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (path / ".faxgw").symlink_to(tmp_path / "elsewhere")
    made, threads = await watched(house, path)
    made.lay(f"{TO}.pdf")
    with pytest.raises(OSError):
        await made.look()
    assert list((tmp_path / "elsewhere").iterdir()) == [] and made.names() == [f"{TO}.pdf"]
    made.folder.close()
    await threads.close()


@pytest.mark.parametrize(
    "change, code",
    [({"state": "suspended"}, "account_inactive"), ({"settings": {"interfaces": ["smtp"]}}, "interface_not_booked")],
)
async def test_a_folder_counts_only_while_its_customer_may_send(
    drop: Watched, change: dict[str, Any], code: str
) -> None:
    await drop.house.change(update(t.customers).where(t.customers.c.id == "acme").values(**change))
    drop.lay(f"{TO}.pdf")
    await drop.look()
    assert drop.told(f"{TO}.pdf")["error"]["code"] == code and await drop.jobs() == []


async def test_job_files_lie_in_a_folder_of_their_own(house: House, tmp_path: Path) -> None:
    path = tmp_path / "jobs"
    path.mkdir()
    made, threads = await watched(house, path, Layout.JOBS)
    await made.look(1)
    (path / "in" / "letter.pdf").write_bytes(PDF)
    (path / "in" / "job1.xml").write_bytes(job_xml())
    await made.look()
    (job,) = await made.jobs()
    assert job.owner == "folder:scanner" and list((path / "in").iterdir()) == []
    (path / "in" / "job2.xml").write_bytes(b"<jobs/>")
    await made.look()
    assert [each.name for each in (path / "out").iterdir()] == ["rep2.xml"]
    made.folder.close()
    await threads.close()


async def test_what_is_wrong_between_folders_is_said(tmp_path: Path) -> None:
    one = FolderSettings(name="a", path=tmp_path, customer="acme")
    assert faults((one,)) == []
    inner = FolderSettings(name="a", path=tmp_path / "in", customer="acme")
    assert faults((one, inner)) == ["folder a stands twice", "folder a is, or lies in, folder a"]
    assert faults((FolderSettings(name="b", path=Path("x"), customer="acme"),)) == ["folder b: path must be absolute"]


async def test_results_and_others_temporary_files_hide_no_document(
    drop: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has to remove results: they are not counted among what is looked at."""
    entries = Shelf.entries
    monkeypatch.setattr(Shelf, "entries", lambda self, limit=2, skip=lambda name: False: entries(self, limit, skip))
    monkeypatch.setattr(collector, "MAX_ENTRIES", 2)
    for number in range(50):
        drop.lay(f"{number}.pdf.result.json", b"{}")
        drop.lay(f"{number}.pdf.tmp")
    drop.lay(f"{TO}.pdf")
    await drop.look()
    assert len(await drop.jobs()) == 1
    assert [record for record in caplog.records if getattr(record, "event", "") == "files.full"] == []
    for number in range(3):
        drop.lay(f"nobody {number}.pdf")
    await drop.look()
    assert len([record for record in caplog.records if getattr(record, "event", "") == "files.full"]) == 1


async def test_what_is_refused_under_one_name_twice_is_kept_twice(drop: Watched) -> None:
    for octets in (b"first", b"second"):
        drop.lay("letter.pdf", octets)
        drop.lay("letter.pdf.json", b"{}")
        await drop.look()
    kept = drop.path / ".faxgw" / "refused"
    assert drop.refused() == ["2 letter.pdf", "2 letter.pdf.json", "letter.pdf", "letter.pdf.json"]
    assert [(kept / name).read_bytes() for name in ("letter.pdf", "2 letter.pdf")] == [b"first", b"second"]


@pytest.mark.parametrize("layout", list(Layout))
async def test_a_document_that_is_too_large_is_refused_and_holds_up_no_other(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    for module in (plain_files, job_files):
        monkeypatch.setattr(module, "MAX_FILE", 100)
    path = tmp_path / "drop"
    path.mkdir()
    drop, threads = await watched(house, path, layout)
    if layout is Layout.JOBS:
        (path / "in").mkdir()
        for number, octets in (("1", bytes(101)), ("2", PDF)):
            (path / "in" / f"{number}.pdf").write_bytes(octets)
            (path / "in" / f"job{number}.xml").write_bytes(job_xml(f"{number}.pdf"))
    else:
        drop.lay(f"{TO}_1.pdf", bytes(101))
        drop.lay(f"{TO}_2.pdf")
    await drop.look(3)
    assert len(await drop.jobs()) == 1
    if layout is Layout.JOBS:
        (told,) = (path / "out").iterdir()
        assert told.name == "rep1.xml" and "<code>too_large</code>" in told.read_text()
    else:
        assert drop.told(f"{TO}_1.pdf")["error"]["code"] == "too_large" and drop.refused() == [f"{TO}_1.pdf"]
    drop.folder.close()
    await threads.close()
