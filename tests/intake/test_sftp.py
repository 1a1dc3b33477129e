"""The SFTP server with the clients that people have (OpenSSH's sftp, lftp, curl), and with those that nobody wants."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import pytest_asyncio
from sqlalchemy import update

from faxgw.fax.access import Caller
from faxgw.intake import area, sftp, sftp_session, visitors
from faxgw.intake.area import ShelfPlace
from faxgw.intake.sftp import CIPHERS, HOST_KEYS, KEX, MACS, host_keys
from faxgw.intake.shelf import Shelf
from faxgw.intake.tree import Place
from faxgw.settings import Duration
from faxgw.store import login_keys
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from faxgw.store.errors import OutOfSpace
from tests.house import House, house, house_store
from tests.intake.files_world import CHEAP, PDF, FilesWorld, files_world, job_xml, run
from tests.patience import PATIENCE_S

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


@pytest_asyncio.fixture(loop_scope="session")
async def world(house: House, tmp_path: Path) -> AsyncIterator[FilesWorld]:
    async with files_world(house, tmp_path, serve=True) as made:
        await made.login("erp")
        await made.key("erp")
        (tmp_path / "letter.pdf").write_bytes(PDF)
        (tmp_path / "job1.xml").write_bytes(job_xml())
        yield made


async def until_jobs(world: FilesWorld, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(await world.jobs()) < count:  # noqa: ASYNC110 - the collector tells nobody
            await asyncio.sleep(0.01)


def connect(world: FilesWorld, login: str = "erp", **how: Any) -> Any:
    """asyncssh's own client, which does what no other does."""
    given = {"username": login, "password": "secret", "known_hosts": None, "client_keys": None, "config": None} | how
    return asyncssh.connect("127.0.0.1", world.port, **given)


# -------------------------------------------------------------------------------------------------- usual clients


async def test_a_job_that_openssh_puts_becomes_a_fax(world: FilesWorld, tmp_path: Path) -> None:
    status, said = await world.sftp(f"cd in\nput {tmp_path}/letter.pdf\nput {tmp_path}/job1.xml\n")
    assert status == 0, said
    await until_jobs(world, 1)
    (job,) = await world.jobs()
    assert (job.customer, job.owner, job.subject) == ("acme", "login:erp", "order 5")


async def test_openssh_lists_renames_resumes_fetches_and_removes(world: FilesWorld, tmp_path: Path) -> None:
    (tmp_path / "whole").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "half").write_bytes((bytes(range(256)) * 1000)[:100_000])
    drop = await world.accounts.find("login:erp", "acme")
    assert drop is not None
    await world.threads.run(lambda: drop.out().put("rep1.xml", b"<a/>"))
    commands = f"""ls -1
cd in
put {tmp_path}/half whole
reput {tmp_path}/whole whole
rename whole other
ls -l
get other {tmp_path}/back
rm other
cd /out
ls -1
get rep1.xml {tmp_path}/rep1.xml
rm rep1.xml
ls -1
pwd
"""
    status, said = await world.sftp(commands)
    assert status == 0, said
    assert (tmp_path / "back").read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "rep1.xml").read_bytes() == b"<a/>"
    lines = said.splitlines()
    assert [line for line in lines if line in ("in", "out", "rep1.xml")] == ["in", "out", "rep1.xml"]
    assert any(line.startswith("-rw-------") and line.endswith(" other") and " 256000 " in line for line in lines)
    assert "/out" in lines[-1] and await world.out() == {}


async def test_lftp_mirrors_jobs_in_and_results_out(world: FilesWorld, tmp_path: Path) -> None:
    jobs, back = tmp_path / "jobs", tmp_path / "back"
    jobs.mkdir()
    for index in range(5):
        (jobs / f"p{index}.pdf").write_bytes(PDF)
        (jobs / f"job{index}.xml").write_bytes(job_xml(f"p{index}.pdf"))
    script = f"""set sftp:auto-confirm yes; set net:max-retries 1; set net:timeout 10
set sftp:connect-program "ssh -a -x -F /dev/null -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password"
open -u erp,secret sftp://127.0.0.1:{world.port}
mirror -R --no-perms --parallel=3 {jobs} in
mirror out {back}
"""
    status, said = await run("lftp", "-c", script)
    assert status == 0, said
    await until_jobs(world, 5)
    assert {job.subject for job in await world.jobs()} == {"order 5"} and back.is_dir()


async def test_curl_uploads_with_a_password_and_appends(world: FilesWorld, tmp_path: Path) -> None:
    base = f"sftp://127.0.0.1:{world.port}"
    put = ("curl", "-sS", "-k", "-u", "erp:secret")
    (tmp_path / "a").write_bytes(b"first ")
    (tmp_path / "b").write_bytes(b"second")
    assert await run(*put, "-T", str(tmp_path / "a"), f"{base}/in/notes.txt") == (0, "")
    assert await run(*put, "--append", "-T", str(tmp_path / "b"), f"{base}/in/notes.txt") == (0, "")
    assert await run(*put, f"{base}/in/notes.txt") == (0, "first second")
    assert (await run("curl", "-sS", "-k", "-u", "erp:wrong", f"{base}/in/"))[0] == 67, "login denied"


async def test_a_client_that_writes_under_another_name_and_renames_is_understood(world: FilesWorld) -> None:
    async with connect(world) as connection, connection.start_sftp_client() as client:
        for name, octets in (("letter.pdf", PDF), ("job1.xml", job_xml())):
            async with client.open(f"in/{name}.filepart", "wb") as file:
                await file.write(octets)
            assert await world.jobs() == []
            await client.rename(f"in/{name}.filepart", f"in/{name}")
        await until_jobs(world, 1)


async def test_a_client_that_looks_after_its_file_finds_it_though_it_is_taken(
    world: FilesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paramiko's `put` asks for the size when it has closed; WinSCP renames, then sets times and permissions."""
    monkeypatch.setattr(area, "RECENT_S", 600.0)
    async with connect(world) as connection, connection.start_sftp_client() as client:
        await client.put(str(world.folder / "letter.pdf"), "in/letter.pdf.filepart", preserve=True)
        await client.rename("in/letter.pdf.filepart", "in/letter.pdf")
        await client.put(str(world.folder / "job1.xml"), "in/job1.xml")
        await until_jobs(world, 1)
        for name in ("letter.pdf", "job1.xml"):
            assert (await client.stat(f"in/{name}")).size == (world.folder / name).stat().st_size
            await client.utime(f"in/{name}", (1, 1))
            await client.chmod(f"in/{name}", 0o644)
            with pytest.raises(NO_FILE):
                await client.open(f"in/{name}", "rb")
        assert sorted(str(name) for name in await client.listdir("in")) == [".", ".."]


async def test_times_and_permissions_that_are_to_be_kept_trouble_nobody(world: FilesWorld) -> None:
    """OpenSSH's `put -p` and lftp's `mirror -R`, as docs/sftp.md has it, set them."""
    status, said = await world.sftp(f"put -p {world.folder}/letter.pdf in/\nput -p {world.folder}/job1.xml in/\n")
    assert status == 0, said
    await until_jobs(world, 1)
    outgoing = world.folder / "outgoing"
    outgoing.mkdir()
    for index in range(3):
        (outgoing / f"p{index}.pdf").write_bytes(PDF)
        (outgoing / f"job-p{index}.xml").write_bytes(job_xml(f"p{index}.pdf"))
    script = f"""set sftp:auto-confirm yes; set net:max-retries 1; set net:timeout 30
set sftp:connect-program "ssh -a -x -F /dev/null -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password"
open -u erp,secret sftp://127.0.0.1:{world.port}
mirror -R {outgoing} in
"""
    status, said = await run("lftp", "-c", script)
    assert status == 0, said
    await until_jobs(world, 4)


# ----------------------------------------------------------------------------------------------------- half files


async def test_a_session_that_dies_leaves_its_file_half_and_the_next_resumes_it(world: FilesWorld) -> None:
    """Reliability X-03: half-written files."""
    octets = job_xml()
    await world.lay("letter.pdf", PDF)
    for way in ("abort", "channel"):
        connection = await connect(world)
        client = await connection.start_sftp_client()
        file = await client.open("in/job1.xml", "ab")
        await file.write(octets[:100] if way == "abort" else octets[100:])
        connection.abort() if way == "abort" else client.exit()
        await connection.wait_closed() if way == "abort" else await client.wait_closed()
        connection.close()
    async with asyncio.timeout(PATIENCE_S):
        while (await world.areas.area("acme", "erp")).shelf("in.partial").entry("job1.xml") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await world.settle() is False and await world.jobs() == [], "all octets are there, but nobody closed it"
    async with connect(world) as connection, connection.start_sftp_client() as client:
        assert (await client.stat("in/job1.xml")).size == len(octets)
        async with client.open("in/job1.xml", "ab"):
            pass
        await until_jobs(world, 1)


async def test_a_file_that_is_opened_again_belongs_to_the_last_who_did(world: FilesWorld) -> None:
    async with connect(world) as one, one.start_sftp_client() as first:  # noqa: SIM117 - two sessions
        async with connect(world) as two, two.start_sftp_client() as second:
            old = await first.open("in/a.pdf", "wb")
            await old.write(b"old")
            new = await second.open("in/a.pdf", "wb")
            with pytest.raises(asyncssh.SFTPFailure):
                await old.write(b"more", 3)
            await new.write(b"new")
            with pytest.raises(asyncssh.SFTPFailure):
                await old.close()
            await new.close()
            async with second.open("in/a.pdf", "rb") as back:
                assert await back.read() == b"new"


async def test_a_file_that_is_written_over_is_half_until_it_is_closed(world: FilesWorld) -> None:
    await world.lay("letter.pdf", PDF)
    async with connect(world) as connection, connection.start_sftp_client() as client:
        file = await client.open("in/letter.pdf", "wb")
        await world.lay("job1.xml", job_xml())
        assert await world.settle() is True and await world.jobs() == []
        await file.write(b"%PDF-1.7 another")
        await file.close()
        await until_jobs(world, 1)


# ----------------------------------------------------------------------------------------------- hostile requests

NO_FILE, DENIED, FAILURE, UNSUPPORTED = (
    asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied, asyncssh.SFTPFailure, asyncssh.SFTPOpUnsupported,
)  # fmt: skip


async def _write(client: asyncssh.SFTPClient, path: str | bytes, data: bytes = b"x", offset: int = 0) -> None:
    async with client.open(path, "wb") as file:
        await file.write(data, offset)


REQUESTS: dict[str, tuple[Any, type[Exception], str]] = {
    "read outside": (lambda c: c.open("/etc/passwd", "rb"), DENIED, "not permitted"),
    "read above": (lambda c: c.open("../../../../etc/passwd", "rb"), DENIED, "not permitted"),
    "list outside": (lambda c: c.listdir("/etc"), NO_FILE, "no such file"),
    "list above is the root": (lambda c: c.listdir("/../../in/x"), NO_FILE, "no such file"),
    "deeper": (lambda c: c.listdir("/in/a/b"), NO_FILE, "no such file"),
    "write at the root": (lambda c: _write(c, "/job1.xml"), DENIED, "not permitted"),
    "write to results": (lambda c: _write(c, "/out/rep1.xml"), DENIED, "not permitted"),
    "write a folder": (lambda c: _write(c, "/in"), DENIED, "not permitted"),
    "a name with a newline": (lambda c: _write(c, b"in/a\nb"), FAILURE, "not a name"),
    "a name with NUL": (lambda c: _write(c, b"in/a\0b"), FAILURE, "not a name"),
    "a name of invalid UTF-8": (lambda c: _write(c, b"in/\xff"), FAILURE, "not a name"),
    "a name of 4 kB": (lambda c: _write(c, b"in/" + b"a" * 4096), FAILURE, "not a name"),
    "a path of 32 parts and more": (lambda c: c.stat(b"./" * 40), FAILURE, "not a name"),
    "a link": (lambda c: c.symlink("/etc/passwd", "/in/a"), UNSUPPORTED, "not supported"),
    "read a link": (lambda c: c.readlink("/in/a"), UNSUPPORTED, "not supported"),
    "make a folder": (lambda c: c.mkdir("/in/a"), DENIED, "not permitted"),
    "make what is there": (lambda c: c.mkdir("/in"), FAILURE, "already"),
    "remove a folder": (lambda c: c.rmdir("/in"), DENIED, "not permitted"),
    "remove what is not there": (lambda c: c.remove("/in/none"), NO_FILE, "no such file"),
    "rename what is not there": (lambda c: c.rename("/in/a", "/in/b"), NO_FILE, "no such file"),
    "rename across folders": (lambda c: c.rename("/in/letter.pdf", "/out/letter.pdf"), DENIED, "not permitted"),
    "rename over another": (lambda c: c.rename("/in/letter.pdf", "/in/other.pdf"), FAILURE, "already"),
    "rename a folder": (lambda c: c.rename("/in", "/out2"), DENIED, "not permitted"),
    "too large": (lambda c: _write(c, "/in/a", b"x", area.MAX_FILE), FAILURE, "larger"),
    "set a size by name": (lambda c: c.truncate("/in/letter.pdf", 1), UNSUPPORTED, "not supported"),
    "how full is the disk": (lambda c: c.statvfs("/in"), UNSUPPORTED, "not supported"),
    "exclusive": (lambda c: c.open("/in/letter.pdf", "xb"), FAILURE, "already"),
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_what_is_not_done_is_refused_with_a_reason(world: FilesWorld, case: str) -> None:
    """Reliability X-03, X-04."""
    request, error, said = REQUESTS[case]
    await world.lay("letter.pdf", PDF)
    await world.lay("other.pdf", PDF)
    async with connect(world) as connection, connection.start_sftp_client() as client:
        with pytest.raises(error) as caught:
            await request(client)
        reason = str(caught.value.reason)  # type: ignore[attr-defined]  # of SFTPError
        assert said in reason.lower()
        assert "/" not in reason.replace("and/or", "") and str(world.folder) not in reason


async def test_hard_links_are_refused(world: FilesWorld) -> None:
    async with connect(world) as connection, connection.start_sftp_client() as client:
        with pytest.raises(asyncssh.SFTPError):
            await client.link("/in/a", "/in/b")


async def test_links_that_somebody_made_on_the_disk_are_not_followed(world: FilesWorld, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"root:x:0")
    shelf = (await world.areas.area("acme", "erp")).shelf("in")
    (shelf.folder / "soft").symlink_to(tmp_path / "secret")
    (shelf.folder / "hard").hardlink_to(tmp_path / "secret")
    partial = (await world.areas.area("acme", "erp")).shelf("in.partial")
    (partial.folder / "written").symlink_to(tmp_path / "secret")
    async with connect(world) as connection, connection.start_sftp_client() as client:
        assert sorted(str(name) for name in await client.listdir("in")) == [".", ".."]
        for name in ("soft", "hard"):
            with pytest.raises(NO_FILE):
                await client.open(f"in/{name}", "rb")
        with pytest.raises(DENIED):
            await _write(client, "in/written", b"gone")
    assert (tmp_path / "secret").read_bytes() == b"root:x:0"


async def test_a_read_larger_than_any_answer_gets_what_fits(world: FilesWorld) -> None:
    await world.lay("big.pdf", bytes(area.MAX_READ * 2))
    async with connect(world) as connection, connection.start_sftp_client() as client:
        file = await client.open("in/big.pdf", "rb", block_size=0)
        assert len(await file.read(2**22)) == area.MAX_READ


async def test_open_files_and_listings_are_bounded(world: FilesWorld) -> None:
    async with connect(world) as connection, connection.start_sftp_client() as client:
        files = [await client.open(f"in/{n}", "wb") for n in range(sftp_session.MAX_OPEN)]
        with pytest.raises(FAILURE) as caught:
            await client.open("in/more", "wb")
        assert "Too many" in caught.value.reason
        await files[0].close()
        await (await client.open("in/more", "wb")).close()
        handler = client._handler
        for _ in range(sftp_session.MAX_LISTINGS):
            await handler.opendir(b"/in")
        with pytest.raises(FAILURE):
            await handler.opendir(b"/in")


async def test_an_account_that_is_full_takes_nothing_more(world: FilesWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(area, "MAX_ACCOUNT", 10)
    async with connect(world) as connection, connection.start_sftp_client() as client:
        with pytest.raises(FAILURE) as caught:
            await _write(client, "in/a.pdf", b"x" * 11)
        assert "full" in caught.value.reason
        assert [str(n) for n in await client.listdir("out")] == [".", ".."]


async def test_a_full_disk_is_said_before_anything_is_written(world: FilesWorld) -> None:
    async def room() -> None:
        raise OutOfSpace("none")

    world.areas.room = room
    async with connect(world) as connection, connection.start_sftp_client() as client:
        with pytest.raises(FAILURE) as caught:
            await _write(client, "in/a.pdf")
        assert "storage space" in caught.value.reason


# ------------------------------------------------------------------------------------------------ hostile sessions


@pytest.mark.parametrize("command", ["id", "scp -t /in", "internal-sftp"])
async def test_no_command_is_run(world: FilesWorld, command: str) -> None:
    """Reliability X-05."""
    async with connect(world) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run(command)


async def test_no_shell_no_terminal_no_other_subsystem(world: FilesWorld) -> None:
    async with connect(world) as connection:
        for how in ({}, {"term_type": "xterm"}, {"subsystem": "netconf"}):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(**how)


async def test_nothing_is_forwarded(world: FilesWorld) -> None:
    async with connect(world) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", world.port)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("", 0, "127.0.0.1", 9)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection("/run/any")


async def test_sessions_of_a_connection_are_bounded(world: FilesWorld) -> None:
    async with connect(world) as connection:
        clients = [await connection.start_sftp_client() for _ in range(sftp.MAX_SESSIONS)]
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()
        clients[0].exit()
        await clients[0].wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await connection.start_sftp_client()
                    break
                except asyncssh.ChannelOpenError:
                    await asyncio.sleep(0.01)


async def test_connections_of_a_client_are_bounded(house: House, tmp_path: Path) -> None:
    async with files_world(house, tmp_path, serve=True, client_connection_limit=2) as world:
        await world.login("erp")
        async with connect(world), connect(world):
            with pytest.raises((asyncssh.Error, OSError)):
                await connect(world)
        async with connect(world):
            pass


async def test_a_session_that_asks_for_nothing_is_ended(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with files_world(house, tmp_path, serve=True) as world:
        await world.login("erp")
        server = world.extra["server"]
        monkeypatch.setattr(server, "settings", server.settings.model_copy(update={"idle": Duration(0.05)}))
        connection = await connect(world)
        client = await connection.start_sftp_client()
        async with asyncio.timeout(PATIENCE_S):
            await client.wait_closed()
            await connection.wait_closed()


# --------------------------------------------------------------------------------------------------------- logins

DENIED_LOGINS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unknown login": ({}, {"username": "nobody"}),
    "wrong password": ({}, {"password": "wrong"}),
    "suspended": ({"state": "suspended"}, {}),
    "ended": ({"state": "ended"}, {}),
    "from elsewhere": ({"allow": ["192.0.2.0/24"]}, {}),
    "a key of nobody": ({}, {"password": None, "client_keys": "fresh"}),
    "another's key": ({}, {"password": None, "client_keys": "erp"}),
}


@pytest.mark.parametrize("case", DENIED_LOGINS)
async def test_who_may_not_is_told_no_more_than_that(world: FilesWorld, case: str) -> None:
    columns, how = DENIED_LOGINS[case]
    await world.login("sap", **columns)
    if how.get("client_keys") == "fresh":
        how = how | {"client_keys": [asyncssh.generate_private_key("ssh-ed25519")]}
    elif how.get("client_keys") == "erp":
        how = how | {"client_keys": [str(world.folder / "key-erp")]}
    with pytest.raises(asyncssh.PermissionDenied) as caught:
        await connect(world, "sap", **how)
    assert caught.value.reason.startswith("Permission denied for user")


async def test_a_customer_without_the_interface_is_not_let_in(world: FilesWorld) -> None:
    closed = update(t.customers).where(t.customers.c.id == "acme").values(settings={"interfaces": ["smtp", "rest"]})
    await world.house.change(closed)
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(world)


async def test_tries_are_bounded(world: FilesWorld) -> None:
    keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(sftp.MAX_TRIES + 1)]
    with pytest.raises(asyncssh.DisconnectError) as caught:
        await connect(world, client_keys=keys)
    assert "Too many logins" in caught.value.reason


async def test_a_key_that_was_only_asked_about_lets_nobody_in(world: FilesWorld) -> None:
    """RFC 4252 section 7: the question whether a key would do is no proof of having it."""
    await world.login("sap", "other")

    class Liar(asyncssh.SSHClient):
        asked = False

        def public_key_auth_requested(self) -> Any:
            if self.asked:
                return None
            self.asked = True
            pair = asyncssh.load_keypairs(str(world.folder / "key-erp"))[0]
            pair.sign = lambda data: b"no signature"  # type: ignore[method-assign]
            return pair

        def password_auth_requested(self) -> str | None:
            return None

    with pytest.raises(asyncssh.Error):
        await connect(world, client_factory=Liar, password=None, client_keys=())


async def test_a_login_that_only_reads_sees_results_and_no_inbox(world: FilesWorld) -> None:
    await world.login("reader", scopes=["faxes:read"])
    async with connect(world, "reader") as connection, connection.start_sftp_client() as client:
        assert sorted(str(name) for name in await client.listdir("/")) == [".", "..", "out"]


async def test_logins_see_their_own_files_alone(world: FilesWorld) -> None:
    await world.login("sap")
    await world.lay("letter.pdf", PDF)
    async with connect(world, "sap") as connection, connection.start_sftp_client() as client:
        assert [str(n) for n in await client.listdir("in")] == [".", ".."]
        with pytest.raises(NO_FILE):
            await client.open("in/letter.pdf", "rb")


# ----------------------------------------------------------------------------------------------------------- SSH


async def test_ssh_audit_finds_no_failure(world: FilesWorld) -> None:
    """Reliability X-05."""
    _status, said = await run("ssh-audit", "-j", "-p", str(world.port), "127.0.0.1")
    found = json.loads(said)
    names = {kind: [e if isinstance(e, str) else e["algorithm"] for e in found[kind]] for kind in ("enc", "mac")}
    named = {kind: [e["algorithm"] for e in found[kind]] for kind in ("kex", "key")}
    offered = {kind: set(algorithms) for kind, algorithms in (names | named).items()}
    assert offered["enc"] == set(CIPHERS) and offered["mac"] == set(MACS)
    assert offered["kex"] >= set(KEX) and offered["kex"] <= {*KEX, "kex-strict-s-v00@openssh.com", "ext-info-s"}
    assert offered["key"] == {"ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512"}
    _status, text = await run("ssh-audit", "-n", "-p", str(world.port), "127.0.0.1")
    failures = [line for line in text.splitlines() if "[fail]" in line]
    assert [line for line in failures if "strict" not in line and "mlkem" not in line] == []


async def test_strict_key_exchange_is_offered(world: FilesWorld) -> None:
    """Terrapin, CVE-2023-48795."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(b"SSH-2.0-test\r\n")
    async with asyncio.timeout(PATIENCE_S):
        octets = await reader.readuntil(b"kex-strict-s-v00@openssh.com")
    assert octets.startswith(b"SSH-2.0-faxgw\r\n")
    writer.close()


WEAK: dict[str, dict[str, Any]] = {
    "SHA-1 key exchange": {"kex_algs": ["diffie-hellman-group14-sha1"]},
    "CBC": {"encryption_algs": ["aes128-cbc"]},
    "SHA-1 MAC": {"encryption_algs": ["aes128-ctr"], "mac_algs": ["hmac-sha1"]},
    "SHA-1 host key": {"server_host_key_algs": ["ssh-rsa"]},
}


@pytest.mark.parametrize("case", WEAK)
async def test_weak_algorithms_are_not_agreed_on(world: FilesWorld, case: str) -> None:
    with pytest.raises(asyncssh.KeyExchangeFailed):
        await connect(world, **WEAK[case])


@pytest.mark.parametrize(
    "octets", [b"GET / HTTP/1.1\r\n\r\n", b"SSH-1.5-old\r\n", b"\0" * 70_000, b"SSH-2.0-x\r\n" + b"\xff" * 40]
)
async def test_who_speaks_something_else_is_hung_up_on(world: FilesWorld, octets: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(octets)
    async with asyncio.timeout(PATIENCE_S):
        await reader.read(-1)
    writer.close()
    async with connect(world):
        pass


async def test_host_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = await asyncio.to_thread(host_keys, folder)
    again = await asyncio.to_thread(host_keys, folder)
    assert [key.public_data for key in first] == [key.public_data for key in again]
    assert {path.name for path in folder.iterdir()} == {*HOST_KEYS, *(f"{name}.pub" for name in HOST_KEYS)}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    shutil.rmtree(folder)


async def test_a_host_key_that_cannot_be_used_stops_the_start_and_says_why(tmp_path: Path) -> None:
    with Shelf(tmp_path / "keys") as shelf:
        shelf.put("ssh_host_ed25519_key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(OSError, match="ssh_host_ed25519_key is no private key without a passphrase"):
        await asyncio.to_thread(host_keys, tmp_path / "keys")
    assert not (tmp_path / "keys/ssh_host_rsa_key").exists()


async def test_another_part_can_show_a_folder_of_its_own(world: FilesWorld, tmp_path: Path) -> None:
    """What a pick-up area needs: a maker of places."""
    shelf = Shelf(tmp_path / "received")
    shelf.put("fax.pdf", PDF)

    async def make(caller: Caller) -> list[Place]:
        return [ShelfPlace("received", world.areas, lambda: shelf)]

    world.accounts.more.append(make)
    async with connect(world) as connection, connection.start_sftp_client() as client:
        assert "received" in [str(name) for name in await client.listdir("/")]
        async with client.open("received/fax.pdf", "rb") as file:
            assert await file.read() == PDF
        await client.remove("received/fax.pdf")
    assert shelf.entries() == []
    shelf.close()


@pytest.mark.parametrize("case", ["ended", "suspended", "key", "password", "network", "interface"])
async def test_who_is_shut_out_loses_the_connection(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """An open session would fetch on for ever what it may not have any more."""
    monkeypatch.setattr(visitors, "RECHECK_S", 0.05)
    login = update(t.logins).where(t.logins.c.name == "erp")
    async with files_world(house, tmp_path, serve=True) as world:
        await world.login("erp")
        private = await world.key("erp")
        how: dict[str, Any] = {"client_keys": [str(private)], "password": None} if case == "key" else {}
        async with connect(world, **how) as connection, connection.start_sftp_client() as client:
            for _look in range(3):  # it stays as long as its login holds
                assert "in" in await client.listdir("/")
                await asyncio.sleep(0.1)
            match case:
                case "key":
                    (row,) = await house.ask(login_keys.rows, "acme", "erp")
                    await house.do(login_keys.remove, "acme", "erp", row["fingerprint"], by=Author("test", house.now))
                case "password":
                    await house.change(login.values(password=CHEAP.hash("another")))
                case "network":
                    await house.change(login.values(allow=["192.0.2.0/24"]))
                case "interface":
                    await house.change(update(t.customers).values(settings={"interfaces": ["api"]}))
                case _:
                    await house.change(login.values(state=case))
            async with asyncio.timeout(PATIENCE_S):
                await connection.wait_closed()


async def test_who_came_by_key_stays_when_the_password_is_changed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "RECHECK_S", 3_600.0)
    async with files_world(house, tmp_path, serve=True) as world:
        await world.login("erp")
        private = await world.key("erp")
        how: dict[str, Any] = {"client_keys": [str(private)], "password": None}
        async with connect(world, **how) as connection, connection.start_sftp_client() as client:
            assert "in" in await client.listdir("/")
            inside = world.extra["server"]._visitors
            await house.change(update(t.logins).values(password=CHEAP.hash("another")))
            await inside.look()
            assert len(inside) == 1
            assert "in" in await client.listdir("/")
