"""Job files in an account's folder: each becomes its jobs once, is answered once, and survives a kill at any step."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from faxgw.dispatch.jobs import JobGate
from faxgw.fax.ports import Parcel
from faxgw.fax.submission import JobKnown, JobReceipt, JobRefused, JobSubmission
from faxgw.intake import taking
from faxgw.intake.collector import WAIT_S
from faxgw.store import schema as t
from faxgw.store.errors import CommitUncertain, OutOfSpace, StoreDown
from tests.house import House, house, house_store
from tests.intake.files_world import PDF, FilesWorld, files_world, job_xml

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

WRONG = "+1"
"""No number: the fax fails at once, and its job is finished."""


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


@pytest_asyncio.fixture(loop_scope="session")
async def world(house: House, tmp_path: Path) -> AsyncIterator[FilesWorld]:
    async with files_world(house, tmp_path) as made:
        await made.login("erp")
        yield made


async def deliver(world: FilesWorld) -> list[bool]:
    """Deliver the results that are due."""
    query = select(t.outbox).where(t.outbox.c.kind == "result_file").order_by(t.outbox.c.id)
    rows = await world.house.rows(query)
    parcels = [Parcel(row.id, row.kind, row.target, row.payload, 0.0, 1) for row in rows]
    return [(await world.results.deliver(parcel)).delivered for parcel in parcels]


def told(octets: bytes) -> dict[str, str]:
    """The error of a refusal, and the status of its first recipient."""
    root = ElementTree.fromstring(octets)
    found = {child.tag: child.text or "" for child in root.findall("error/*")}
    return found | {"status": root.findtext(".//fax-address/status", "")}


async def documents(world: FilesWorld) -> list[bytes]:
    """The documents of all jobs."""
    rows = await world.house.rows(select(t.job_documents).order_by(t.job_documents.c.job, t.job_documents.c.position))
    return [(world.house.folder / row.key).read_bytes() for row in rows]


# ------------------------------------------------------------------------------------------------------- accepted


async def test_a_job_file_and_its_document_become_a_job_and_leave_the_folder(world: FilesWorld) -> None:
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is False
    (job,) = await world.jobs()
    assert (job.owner, job.subject, job.open) == ("login:erp", "order 5", 1)
    assert await documents(world) == [PDF]
    area = await world.areas.area("acme", "erp")
    assert list(area.work.iterdir()) == [] and area.shelf("in").entries() == []


async def test_the_report_comes_when_the_last_fax_of_the_file_is_final(world: FilesWorld) -> None:
    good, bad = job_xml().split(b"<fax>")[1].split(b"</jobs>")[0], job_xml(number=WRONG)
    await world.lay("letter.pdf", PDF)
    await world.lay("job-2.xml", bad.replace(b"</jobs>", b"<fax>" + good + b"</jobs>"))
    await world.settle()
    first, second = sorted(await world.jobs(), key=lambda job: job.open)
    assert (first.open, second.open) == (0, 1)
    assert await deliver(world) == [True] and await world.out() == {}, "one fax is not final"
    await world.house.change(update(t.faxes).where(t.faxes.c.job == second.id).values(state="sent", cause="ok"))
    await world.house.change(update(t.jobs).where(t.jobs.c.id == second.id).values(open=0, finished_at=world.house.now))
    assert await deliver(world) == [True]
    root = ElementTree.fromstring((await world.out())["rep-2.xml"])
    assert root.tag == "jobs" and root.findtext("reference") == "R1"
    assert [fax.findtext(".//status") for fax in root.findall("fax")] != ["OK", "OK"]
    assert [fax.findtext("job-reference") for fax in root.findall("fax")] == ["order 5", "order 5"]
    assert [fax.findtext(".//file-name") for fax in root.findall("fax")] == ["letter.pdf", "letter.pdf"]
    before = await world.out()
    assert await deliver(world) == [True] and await world.out() == before, "told twice is told once"


async def test_documents_that_come_after_the_job_file_are_waited_for(world: FilesWorld) -> None:
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is True
    assert await world.jobs() == []
    await world.lay("letter.pdf", PDF)
    assert await world.settle() is False
    assert len(await world.jobs()) == 1


async def test_a_document_that_never_comes_is_missing(world: FilesWorld) -> None:
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is True
    world.ticks.now += WAIT_S
    assert await world.settle() is False
    said = told((await world.out())["rep1.xml"])
    assert (said["code"], said["status"]) == ("missing_file", "MISSING_FAX_FILE")
    assert "letter.pdf" in said["text"] and await world.jobs() == []


async def test_a_document_that_is_only_half_there_is_waited_for(world: FilesWorld) -> None:
    area = await world.areas.area("acme", "erp")
    area.shelf("in.partial").put("letter.pdf", PDF[:5])
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is True and await world.jobs() == []
    area.shelf("in.partial").move("letter.pdf", area.shelf("in"))
    await world.settle()
    assert await documents(world) == [PDF[:5]]


async def test_a_job_file_that_is_cut_waits_and_is_then_refused(world: FilesWorld) -> None:
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", job_xml()[:-8])
    assert await world.settle() is True
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is False and len(await world.jobs()) == 1, "sent again in time"
    await world.lay("job2.xml", b"")
    assert await world.settle() is True
    world.ticks.now += WAIT_S
    await world.settle()
    assert told((await world.out())["rep2.xml"])["code"] == "bad_xml"


# -------------------------------------------------------------------------------------------------------- refused


async def test_the_same_file_again_is_a_duplicate_and_another_of_its_name_is_refused(world: FilesWorld) -> None:
    """Reliability section 2.2: duplicates are reported, not sent."""
    for octets in (job_xml(), job_xml(), job_xml(number="+33123456780")):
        await world.lay("letter.pdf", PDF)
        await world.lay("job1.xml", octets)
        await world.settle()
    (job,) = await world.jobs()
    said = told((await world.out())["err1.xml"])
    assert (said["code"], said["job-id"]) == ("name_used", job.id)
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", job_xml())
    await world.settle()
    said = told((await world.out())["err1.xml"])
    assert (said["code"], said["job-id"]) == ("duplicate_job", job.id)
    assert list(await world.out()) == ["err1.xml"], "the first job's own report is still to come"
    assert len(await world.jobs()) == 1 and await documents(world) == [PDF]


async def test_a_job_file_that_comes_again_without_its_documents_is_a_duplicate(world: FilesWorld) -> None:
    """They went with the first one; "missing" would make its sender believe that nothing was sent."""
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", job_xml())
    await world.settle()
    for octets, code in ((job_xml(), "duplicate_job"), (job_xml(number="+33123456780"), "name_used")):
        await world.lay("job1.xml", octets)
        assert await world.settle() is True
        world.ticks.now += WAIT_S
        await world.settle()
        (job,) = await world.jobs()
        said = told((await world.out())["err1.xml"])
        assert (said["code"], said["job-id"]) == (code, job.id)


async def test_a_name_may_be_used_again_when_nothing_of_it_was_sent(world: FilesWorld) -> None:
    for _ in range(2):
        await world.lay("letter.pdf", PDF)
        await world.lay("job1.xml", job_xml(number=WRONG))
        await world.settle()
    assert len(await world.jobs()) == 2


async def test_logins_have_names_and_folders_of_their_own(world: FilesWorld) -> None:
    await world.login("other")
    for login in ("erp", "other"):
        await world.lay("letter.pdf", PDF, login)
        await world.lay("job1.xml", job_xml(), login)
        await world.settle(login)
    assert [job.owner for job in await world.jobs()] != ["login:erp", "login:erp"]
    assert len(await world.jobs()) == 2


TURNED: dict[str, tuple[dict[str, Any], str]] = {
    "suspended": ({"state": "suspended"}, "account_suspended"),
    "ended": ({"state": "ended"}, "account_inactive"),
    "sending suspended": ({"state": "outbound_suspended"}, "account_suspended"),
    "no right to send": ({"scopes": ["faxes:read"]}, "scope_missing"),
    "given to somebody else": ({"customer": "beta"}, "account_inactive"),
}


@pytest.mark.parametrize("case", TURNED)
async def test_what_lies_there_counts_only_while_its_login_may_send(world: FilesWorld, case: str) -> None:
    columns, code = TURNED[case]
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", job_xml())
    await world.house.change(update(t.logins).where(t.logins.c.name == "erp").values(**columns))
    await world.settle()
    assert told((await world.out())["rep1.xml"])["code"] == code and await world.jobs() == []


ADDRESS = b"<fax-address><fax-number>+33123456780</fax-number></fax-address>"
REFUSED: dict[str, tuple[bytes, str]] = {
    "a DTD": (b"<!DOCTYPE a>" + job_xml(), "bad_xml"),
    "no XML": (b"%PDF", "bad_xml"),
    "no fax": (b"<jobs/>", "bad_job"),
    "itself as document": (job_xml("job1.xml"), "missing_file"),
    "another's document": (job_xml("../../other/in/letter.pdf"), "bad_job"),
    "10,000 recipients": (
        job_xml().replace(
            b"<fax-address>", b"<fax-address><fax-number>1</fax-number></fax-address>" * 10_000 + b"<fax-address>"
        ),
        "bad_job",
    ),
    "an unknown charset of a document": (
        job_xml("a.txt").replace(b"</file-name>", b"</file-name><file-encoding>ebcdic</file-encoding>"),
        "bad_job",
    ),
    "an unknown charset": (job_xml().replace(b"UTF-8", b"EBCDIC-9"), "bad_xml"),
    "101 faxes": (job_xml().replace(b"</jobs>", b"<fax/>" * 100 + b"</jobs>"), "bad_job"),
    "61 documents": (
        job_xml().replace(b"</fax-file>", b"</fax-file>" + b"<fax-file><file-name>a</file-name></fax-file>" * 60),
        "bad_job",
    ),
    "an unknown cover": (
        job_xml().replace(b"</fax>", b"<options><coverpage>no</coverpage></options></fax>"),
        "unknown",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_told_at_once(world: FilesWorld, case: str) -> None:
    octets, code = REFUSED[case]
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", octets)
    await world.settle()
    world.ticks.now += WAIT_S
    await world.settle()
    assert told((await world.out())["rep1.xml"])["code"].startswith(code) and await world.jobs() == []


async def test_a_job_file_of_200_mb_is_refused_without_being_read(world: FilesWorld) -> None:
    await world.lay("job1.xml", b"<jobs>")
    os.truncate((await world.areas.area("acme", "erp")).shelf("in").folder / "job1.xml", 200_000_000)
    assert await world.settle() is False
    assert told((await world.out())["rep1.xml"])["code"] == "bad_job" and await world.jobs() == []


async def test_an_account_with_fewer_recipients_is_refused_more(world: FilesWorld) -> None:
    await world.house.change(update(t.customers).values(settings={"max_recipients": 1}))
    two = job_xml().replace(b"</fax-address>", b"</fax-address>" + ADDRESS)
    await world.lay("letter.pdf", PDF)
    await world.lay("job1.xml", two)
    await world.settle()
    said = told((await world.out())["rep1.xml"])
    assert said["code"] == "too_many_recipients" and "has 2 recipients; the limit of this account is 1" in str(said)
    assert await world.jobs() == [] and not _stored(world)


async def test_links_and_pipes_are_not_there(world: FilesWorld, tmp_path: Path) -> None:
    """Reliability X-03."""
    area = await world.areas.area("acme", "erp")
    folder = area.shelf("in").folder
    (tmp_path / "secret").write_bytes(b"root:x:0")
    (folder / "letter.pdf").symlink_to(tmp_path / "secret")
    (folder / "jobs.xml").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "job9.xml")
    (folder / "job8.xml").mkdir()
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is True
    world.ticks.now += WAIT_S
    await world.settle()
    assert told((await world.out())["rep1.xml"])["code"] == "missing_file"
    assert list(await world.out()) == ["rep1.xml"] and await world.jobs() == []


# ------------------------------------------------------------------------------------------------- kills and faults


class Breaks:
    """Submissions that fail as told, else the real ones."""

    def __init__(self, house: House) -> None:
        self.gate = JobGate(house.seat())
        self.before: BaseException | None = None
        self.after: BaseException | None = None

    async def submit(self, job: JobSubmission) -> JobReceipt | JobKnown | JobRefused:
        if self.before is not None:
            failure, self.before = self.before, None
            raise failure
        answer = await self.gate.submit(job)
        if self.after is not None:
            failure, self.after = self.after, None
            raise failure
        return answer


async def test_a_store_that_is_away_costs_time_and_nothing_else(house: House, tmp_path: Path) -> None:
    breaks = Breaks(house)
    async with files_world(house, tmp_path, breaks) as world:
        await world.login("erp")
        await world.lay("letter.pdf", PDF)
        await world.lay("job1.xml", job_xml())
        for failure in ("before", "after"):
            setattr(breaks, failure, StoreDown("away") if failure == "before" else CommitUncertain("perhaps"))
            with pytest.raises(StoreDown):
                await world.settle()
        await world.settle()
        assert len(await world.jobs()) == 1 and await documents(world) == [PDF]
        assert await world.out() == {}


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", range(1, 14))
async def test_a_kill_at_any_step_neither_loses_nor_doubles_a_job(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each system call and each commit of the taking is a step; the next life finishes what it finds."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*args, **kwargs)

        return call

    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        await world.lay("letter.pdf", PDF)
        await world.lay("job1.xml", job_xml())
        with monkeypatch.context() as patch:
            for name in ("rename", "fsync"):
                patch.setattr(os, name, counted(getattr(os, name)))
            patch.setattr(Path, "rename", counted(Path.rename))
            patch.setattr(Path, "unlink", counted(Path.unlink))
            patch.setattr(Path, "rmdir", counted(Path.rmdir))
            with pytest.raises(Killed):
                await world.settle()
    async with files_world(house, tmp_path) as world:
        await world.settle()
        assert len(await world.jobs()) == 1
        assert await documents(world) == [PDF]
        assert await world.out() == {}
        area = await world.areas.area("acme", "erp")
        assert list(area.work.iterdir()) == []


@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_kill_at_the_commit_neither_loses_nor_doubles_a_job(house: House, tmp_path: Path, side: str) -> None:
    breaks = Breaks(house)
    setattr(breaks, side, Killed())
    async with files_world(house, tmp_path, breaks) as world:
        await world.login("erp")
        await world.lay("letter.pdf", PDF)
        await world.lay("job1.xml", job_xml())
        with pytest.raises(Killed):
            await world.settle()
        assert len(await world.jobs()) == (side == "after")
    async with files_world(house, tmp_path) as world:
        await world.settle()
        assert len(await world.jobs()) == 1 and await documents(world) == [PDF] and await world.out() == {}


async def test_what_was_being_taken_is_put_back(world: FilesWorld) -> None:
    area = await world.areas.area("acme", "erp")
    moving = area.work / ("j" + "0" * 32 + ".new")
    moving.mkdir()
    (moving / "1.letter.pdf").write_bytes(PDF)
    (moving / "0.job1.xml").write_bytes(job_xml())
    await world.settle()
    assert len(await world.jobs()) == 1 and await documents(world) == [PDF]


async def test_ids_of_jobs_follow_from_what_was_taken() -> None:
    assert taking.job_of("j0", 0) == taking.job_of("j0", 0) != taking.job_of("j0", 1)
    assert taking.job_of("j0", 0)[0] == "F" and len(taking.job_of("j0", 0)) == 22


async def test_old_files_are_removed(world: FilesWorld) -> None:
    area = await world.areas.area("acme", "erp")
    for folder in ("in", "in.partial", "out"):
        for name, age in (("old", 14.5), ("new", 13.5)):
            area.shelf(folder).put(name, b"x")
            at = world.house.now - age * 86_400
            os.utime(area.folder / folder / name, (at, at))
    assert await world.accounts.prune(world.house.now) == 3
    assert [e.name for f in ("in", "in.partial", "out") for e in area.shelf(f).entries()] == ["new"] * 3


async def test_a_disk_that_fills_up_between_two_documents_is_not_filled_by_trying_again(
    world: FilesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first document of a try that fails at the second one stays nowhere."""
    both = job_xml().replace(b"</fax-file-list>", b"<fax-file><file-name>b.pdf</file-name></fax-file></fax-file-list>")
    await world.lay("letter.pdf", PDF)
    await world.lay("b.pdf", PDF + b"second")
    await world.lay("job1.xml", both)
    real, files, failing = world.house.files.adopt_fd, world.house.files, True

    async def adopt(fd: int, **more: Any) -> Any:
        if failing and os.fstat(fd).st_size > len(PDF):
            raise OutOfSpace("full")
        return await real(fd, **more)

    monkeypatch.setattr(files, "adopt_fd", adopt)
    before = _stored(world)
    for _try in range(3):
        with pytest.raises(OutOfSpace):
            await world.settle()
        assert _stored(world) == before
    failing = False
    await world.settle()
    assert await documents(world) == [PDF, PDF + b"second"]


def _stored(world: FilesWorld) -> list[str]:
    """The objects on the disk."""
    return sorted(path.name for path in world.house.folder.rglob("*") if path.is_file() and "objects" in path.parts)
