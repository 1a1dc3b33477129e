"""Job files and documents that are sent again: after a lost answer, over each other, and beside what a crash left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from sqlalchemy import update

from faxgw.intake import job_files
from faxgw.intake.area import Inbox, WriteFile
from faxgw.intake.collector import WAIT_S
from faxgw.intake.job_files import ASK_S
from faxgw.intake.shelf import Shelf
from faxgw.intake.tree import Opening
from faxgw.store import schema as t
from faxgw.store import submission
from faxgw.store.errors import StoreDown
from tests.house import House, house, house_store
from tests.intake.files_world import PDF, FilesWorld, files_world, job_xml, run
from tests.intake.test_job_files import WRONG, Killed, documents, told, world

__all__ = ["house", "house_store", "world"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

OTHER = b"%PDF-1.4 for somebody else\n"


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


def two_faxes(first: str = "+33123456789", second: str = "+33123456780") -> bytes:
    """A job file of two faxes: `letter.pdf` and `other.pdf`."""
    more = job_xml("other.pdf", second).split(b"<fax>")[1].split(b"</jobs>")[0]
    return job_xml(number=first).replace(b"</jobs>", b"<fax>" + more + b"</jobs>")


async def accept(world: FilesWorld, octets: bytes, *names: str) -> None:
    for name in names or ("letter.pdf",):
        await world.lay(name, PDF)
    await world.lay("job1.xml", octets)
    assert await world.settle() is False


async def again(world: FilesWorld, octets: bytes) -> bool:
    """A job file comes again, and is looked at twice; whether it still waits."""
    await world.lay("job1.xml", octets)
    assert await world.settle() is True, "its documents may be on their way"
    world.ticks.now += ASK_S
    return await world.settle()


# ---------------------------------------------------------------------------------------------------- job files again


@pytest.mark.parametrize("number, code", [("+33123456789", "duplicate_job"), ("+33123456780", "name_used")])
async def test_a_job_file_that_comes_again_alone_is_answered_at_once(world: FilesWorld, number: str, code: str) -> None:
    """Its sender had no answer to the first one, whose documents went with it: none of them will come."""
    await accept(world, job_xml())
    assert await again(world, job_xml(number=number)) is False
    (job,) = await world.jobs()
    said = told((await world.out())["err1.xml"])
    assert (said["code"], said["job-id"]) == (code, job.id)
    assert list(await world.out()) == ["err1.xml"], "the first one's report is still to come"


async def test_a_job_of_which_nothing_was_sent_waits_for_its_documents_again(world: FilesWorld) -> None:
    """It may be repeated, and is, once they are there."""
    await accept(world, job_xml(number=WRONG))
    assert await again(world, job_xml()) is True
    await world.lay("letter.pdf", OTHER)
    assert await world.settle() is False
    assert len(await world.jobs()) == 2 and OTHER in await documents(world)


async def test_a_fax_of_the_file_that_may_be_repeated_keeps_it_waiting(world: FilesWorld) -> None:
    """One fax was accepted and one failed: the documents of the latter are waited for, and it alone is sent again."""
    await accept(world, two_faxes(second=WRONG), "letter.pdf", "other.pdf")
    first = {job.id for job in await world.jobs()}
    assert await again(world, two_faxes()) is True
    await world.lay("other.pdf", OTHER)
    assert await world.settle() is False
    (new,) = [job for job in await world.jobs() if job.id not in first]
    assert new.subject == "order 5" and (await documents(world)).count(OTHER) == 1
    assert told((await world.out())["err1.xml"])["code"] == "name_used"


async def test_documents_that_are_being_laid_down_are_waited_for(world: FilesWorld) -> None:
    """Left behind, they would lie there for the next job that names them."""
    await accept(world, job_xml())
    inbox = next(place for place in await world.accounts.places(await world.caller("erp")) if place.name == "in")
    writing = await inbox.open("letter.pdf", Opening(write=True, create=True, truncate=True))
    assert await again(world, job_xml()) is True
    await writing.write(0, OTHER)
    await writing.close(complete=True)
    assert await world.settle() is False
    assert told((await world.out())["err1.xml"])["code"] == "duplicate_job"
    assert await inbox.entries() == [] and await documents(world) == [PDF]


async def test_documents_that_come_after_the_answer_stay_until_they_are_removed(world: FilesWorld) -> None:
    await accept(world, job_xml())
    assert await again(world, job_xml()) is False
    await world.lay("letter.pdf", PDF)
    assert await world.settle() is False
    area = await world.areas.area("acme", "erp")
    assert [entry.name for entry in area.shelf("in").entries()] == ["letter.pdf"]
    await world.accounts.prune(area.shelf("in").entries()[0].modified + 14.1 * 86_400)
    assert area.shelf("in").entries() == []


async def test_a_new_file_of_a_name_that_waits_has_its_own_ten_minutes(world: FilesWorld) -> None:
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is True
    world.ticks.now += WAIT_S - 1
    await world.lay("job1.xml", job_xml(number="+33123456780"))
    assert await world.settle() is True
    world.ticks.now += 2
    assert await world.settle() is True and await world.out() == {}
    world.ticks.now += WAIT_S
    assert await world.settle() is False
    assert told((await world.out())["rep1.xml"])["code"] == "missing_file"


async def test_each_file_is_read_and_asked_about_once(world: FilesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a folder is looked into while its files wait."""
    asked: list[int] = []
    read: list[str] = []
    held, shelf_read = submission.held, Shelf.read

    def counted(conn: Any, keys: Any, **more: Any) -> Any:
        asked.append(len(keys))
        return held(conn, keys, **more)

    def noted(self: Shelf, name: str, limit: int) -> bytes:
        read.append(name)
        return shelf_read(self, name, limit)

    monkeypatch.setattr(submission, "held", counted)
    monkeypatch.setattr(job_files, "ASK_AT_ONCE", 2)
    for name in ("job1.xml", "job2.xml", "job3.xml"):
        await world.lay(name, two_faxes())
    monkeypatch.setattr(Shelf, "read", noted)
    for _look in range(5):
        assert await world.settle() is True
        world.ticks.now += ASK_S
    assert asked == [2, 2, 2], "two faxes are two keys; no more in one read than it may have"
    assert sorted(read) == ["job1.xml", "job2.xml", "job3.xml"]


async def test_what_is_remembered_of_waiting_files_is_bounded(
    world: FilesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is answered when its time is up."""
    monkeypatch.setattr(job_files, "MAX_NAMES", 4)
    await accept(world, job_xml())
    await world.lay("job0.xml", job_xml())
    assert await again(world, job_xml()) is True
    world.ticks.now += WAIT_S
    assert await world.settle() is False
    codes = {name: told(octets)["code"] for name, octets in (await world.out()).items()}
    assert codes == {"rep0.xml": "missing_file", "err1.xml": "duplicate_job"}


async def test_a_store_that_is_away_when_it_is_asked_is_asked_again(
    world: FilesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accept(world, job_xml())
    await world.lay("job1.xml", job_xml())
    assert await world.settle() is True
    world.ticks.now += ASK_S

    async def away(work: Any) -> Any:
        raise StoreDown("away")

    with monkeypatch.context() as patch:
        patch.setattr(world.house.store, "read", away)
        with pytest.raises(StoreDown):
            await world.settle()
    assert await world.settle() is False
    assert told((await world.out())["err1.xml"])["code"] == "duplicate_job"


# ---------------------------------------------------------------------------------------- reports stay what they are


async def test_a_refusal_never_takes_the_place_of_a_report(world: FilesWorld) -> None:
    """The second fax of the first file was accepted, the first was not: what is refused later goes to `err`."""
    await world.lay("other.pdf", PDF)
    await world.lay("job1.xml", two_faxes())
    assert await world.settle() is True
    world.ticks.now += WAIT_S
    assert await world.settle() is False and len(await world.jobs()) == 1
    assert told((await world.out())["err1.xml"])["code"] == "missing_file"
    await world.lay("job1.xml", b"<!DOCTYPE a><a/>")
    await world.settle()
    assert told((await world.out())["err1.xml"])["code"] == "bad_xml" and list(await world.out()) == ["err1.xml"]


async def test_a_report_on_a_failure_is_not_written_over_either(world: FilesWorld) -> None:
    await accept(world, job_xml(number=WRONG))
    await world.lay("job1.xml", b"<!DOCTYPE a><a/>")
    await world.settle()
    assert told((await world.out())["err1.xml"])["code"] == "bad_xml" and list(await world.out()) == ["err1.xml"]


async def test_a_login_that_may_no_longer_send_keeps_the_reports_it_has(world: FilesWorld) -> None:
    await accept(world, job_xml())
    await world.house.change(update(t.logins).where(t.logins.c.name == "erp").values(state="suspended"))
    assert await again(world, job_xml()) is False
    assert list(await world.out()) == ["err1.xml"]
    assert told((await world.out())["err1.xml"])["code"] == "account_suspended"


# --------------------------------------------------------------------------------------------------- one over another


async def _write(client: asyncssh.SFTPClient, name: str, octets: bytes) -> None:
    async with client.open(f"in/{name}", "wb") as file:
        await file.write(octets)


async def _overwrite(client: asyncssh.SFTPClient) -> None:
    await _write(client, "letter.pdf", OTHER)


async def _remove(client: asyncssh.SFTPClient) -> None:
    with pytest.raises(asyncssh.SFTPNoSuchFile):
        await client.remove("in/letter.pdf")
    await _overwrite(client)


async def _rename(client: asyncssh.SFTPClient) -> None:
    await _write(client, "letter.tmp", OTHER)
    await client.posix_rename("in/letter.tmp", "in/letter.pdf")


async def _append(client: asyncssh.SFTPClient) -> None:
    async with client.open("in/letter.pdf", "ab") as file:
        await file.write(OTHER)


@pytest.mark.parametrize("change", [_overwrite, _remove, _rename, _append])
async def test_a_job_has_the_documents_that_lay_there_when_it_was_complete(
    house: House, tmp_path: Path, change: Callable[[asyncssh.SFTPClient], Any]
) -> None:
    """A sender that uses one name for the documents of all its jobs: no recipient gets what was meant for another."""
    async with files_world(house, tmp_path, serve=True) as world:
        await world.login("erp")
        world.extra["task"].cancel()  # the collector comes as late as it likes
        how: dict[str, Any] = {"password": "secret", "known_hosts": None, "client_keys": None, "config": None}
        async with (
            asyncssh.connect("127.0.0.1", world.port, username="erp", **how) as connection,
            connection.start_sftp_client() as client,
        ):
            await _write(client, "letter.pdf", PDF)
            await _write(client, "job1.xml", job_xml(number="+33123456781"))
            await change(client)
            await _write(client, "job2.xml", job_xml(number="+33123456782"))
        assert await world.settle() is False
        assert sorted(await documents(world)) == sorted([PDF, OTHER])
        assert len(await world.jobs()) == 2


async def test_what_a_crash_left_half_taken_is_not_mixed_with_what_comes_next(house: House, tmp_path: Path) -> None:
    """It is put back before a visitor can lay down anything, and then it is complete."""
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        area = await world.areas.area("acme", "erp")
        moving = area.work / ("j" + "0" * 32 + ".new")
        moving.mkdir()
        (moving / "1.letter.pdf").write_bytes(PDF)
        await world.lay("job1.xml", job_xml(number="+33123456781"))
    async with files_world(house, tmp_path) as world:
        inbox = next(place for place in await world.accounts.places(await world.caller("erp")) if place.name == "in")
        for name, octets in (("letter.pdf", OTHER), ("job2.xml", job_xml(number="+33123456782"))):
            writing = await inbox.open(name, Opening(write=True, create=True, truncate=True))
            await writing.write(0, octets)
            await writing.close(complete=True)
        assert await world.settle() is False
        rows = await world.house.rows(t.job_documents.select())
        numbers = {row.job: row.numbers[0]["e164"] for row in await world.house.rows(t.faxes.select())}
        sent = {numbers[row.job]: (world.house.folder / row.key).read_bytes() for row in rows}
        assert sent == {"+33123456781": PDF, "+33123456782": OTHER}


# ------------------------------------------------------------------------------------------------------- lost answers


def _curl(world: FilesWorld, document: Path) -> tuple[str, ...]:
    there = f"in/{document.name}"
    return (
        "curl", "-sS", "-k", "-u", "erp:secret", "-T", str(document), f"sftp://127.0.0.1:{world.port}/{there}.part",
        "-Q", f"-rename {there}.part {there}",
    )  # fmt: skip


def _lftp(world: FilesWorld, document: Path) -> tuple[str, ...]:
    script = f"""set sftp:auto-confirm yes; set net:reconnect-interval-base 1; set net:max-retries 3
set sftp:connect-program "ssh -a -x -F /dev/null -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password"
open -u erp,secret sftp://127.0.0.1:{world.port}
put -O in {document}
"""
    return "lftp", "-c", script


def _sftp(world: FilesWorld, document: Path) -> tuple[str, ...]:
    batch = document.with_suffix(".batch")
    batch.write_text(f"put {document} in/\n")
    return "sftp", "-b", str(batch), *world.ssh_options("erp"), "erp@127.0.0.1"


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(("client", "status"), [(_curl, 21), (_lftp, 0), (_sftp, 255)])
async def test_a_client_notices_that_the_answer_to_the_closing_is_lost(
    house: House,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: Callable[[FilesWorld, Path], tuple[str, ...]],
    status: int,
    stored: bool,
) -> None:
    """As docs/sftp.md has it: curl with a rename, for without it ends well; lftp tries again by itself."""
    real, times = Inbox.complete, 0

    async with files_world(house, tmp_path, serve=True) as world:

        async def complete(self: Inbox, writer: WriteFile) -> None:
            nonlocal times
            times += 1
            if stored or times > 1:
                await real(self, writer)
            if times == 1:
                for connection in list(world.extra["server"]._connections):
                    connection.abort()

        monkeypatch.setattr(Inbox, "complete", complete)
        await world.login("erp")
        await world.key("erp")
        (tmp_path / "letter.pdf").write_bytes(PDF)
        ended, said = await run(*client(world, tmp_path / "letter.pdf"))
        assert ended == status, said
        area = await world.areas.area("acme", "erp")
        whole = [entry.name for entry in area.shelf("in").entries()]
        assert whole == (["letter.pdf.part"] if client is _curl else ["letter.pdf"]) * (stored or status == 0)


# -------------------------------------------------------------------------------------------------------------- kills


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process dies at the n-th change of a folder."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "fsync", "unlink"):
            patch.setattr(os, name, counted(getattr(os, name)))
        for name in ("rename", "unlink", "rmdir", "mkdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        yield


async def lay_down(world: FilesWorld, name: str, octets: bytes) -> None:
    """As a client does it."""
    places = await world.accounts.places(await world.caller("erp"))
    inbox = next(place for place in places if place.name == "in")
    writing = await inbox.open(name, Opening(write=True, create=True, truncate=True))
    await writing.write(0, octets)
    await writing.close(complete=True)


@pytest.mark.parametrize("step", range(1, 15))
@pytest.mark.parametrize("names", [("job1.xml",), ("letter.pdf", "job1.xml")])
async def test_a_kill_while_a_job_is_taken_and_a_client_that_sends_it_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, names: tuple[str, ...]
) -> None:
    """Wherever it died and whatever comes again: the job is there once, and nothing waits for what never comes."""
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        await world.lay("letter.pdf", PDF)
        await world.lay("job1.xml", job_xml())
        with killed_at(step, monkeypatch), pytest.raises(Killed):
            await world.settle()
    async with files_world(house, tmp_path) as world:
        for name in names:
            await lay_down(world, name, PDF if name == "letter.pdf" else job_xml())
        await world.settle()
        world.ticks.now += ASK_S
        assert await world.settle() is False, "nothing waits"
        assert len(await world.jobs()) == 1 and await documents(world) == [PDF]
        assert {name: told(octets)["code"] for name, octets in (await world.out()).items()} == {
            "err1.xml": "duplicate_job"
        }
        area = await world.areas.area("acme", "erp")
        assert list(area.work.iterdir()) == []
        assert [e.name for e in area.shelf("in").entries()] == []


@pytest.mark.parametrize("step", range(1, 20))
async def test_a_kill_while_a_second_copy_is_answered(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """It is answered in this life or in the next one, and never sent."""
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        await accept(world, job_xml())
        await world.lay("job1.xml", job_xml())
        assert await world.settle() is True
        world.ticks.now += ASK_S
        with killed_at(step, monkeypatch), pytest.raises(Killed):
            await world.settle()
    async with files_world(house, tmp_path) as world:
        await world.settle()
        world.ticks.now += ASK_S
        assert await world.settle() is False
        assert len(await world.jobs()) == 1 and await documents(world) == [PDF]
        assert told((await world.out())["err1.xml"])["code"] == "duplicate_job"
        assert (await world.areas.area("acme", "erp")).shelf("in").entries() == []
