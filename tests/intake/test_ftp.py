"""The FTP server with the clients that people have (curl, lftp), and with raw commands."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from faxgw.intake import area, ftp_session, visitors
from faxgw.intake.ftp import FtpServer
from faxgw.intake.ftp_settings import FtpListener, FtpSettings
from faxgw.settings import Listener, Tls
from faxgw.store import schema as t
from tests.house import House, house, house_store
from tests.intake.files_world import PDF, FilesWorld, files_world, job_xml, run
from tests.patience import PATIENCE_S

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")
HERE = Listener("127.0.0.1", 0)


@pytest.fixture(scope="session")
def house_engine() -> str:
    return "sqlite"


@dataclass
class Ftp:
    """A world with FTP in front."""

    world: FilesWorld
    port: int
    implicit: int
    folder: Path

    async def curl(self, *arguments: str, login: str = "erp:secret") -> tuple[int, str]:
        return await run("curl", "-sS", "-k", "-u", login, *arguments)

    def url(self, path: str) -> str:
        return f"ftp://127.0.0.1:{self.port}/{path}"


async def start(world: FilesWorld, tls: Tls | None, **values: Any) -> tuple[FtpServer, list[int]]:
    listeners = (FtpListener(listen=HERE), *([FtpListener(listen=HERE, security="implicit")] if tls else []))
    settings = FtpSettings(listeners=listeners, tls=tls, passive_ports="0-0", **values)
    server = FtpServer(settings, world.access, world.accounts.places)
    return server, [port for _host, port in await server.start()]


@pytest_asyncio.fixture(loop_scope="session")
async def ftp(house: House, tmp_path: Path, make_certificate: Callable[..., Any]) -> AsyncIterator[Ftp]:
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        certificate, key = make_certificate()
        server, (port, implicit) = await start(world, Tls(certificate=certificate, key=key))
        task = asyncio.create_task(world.collector.run())
        yield Ftp(world, port, implicit, tmp_path)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop(0.2)


async def until_jobs(world: FilesWorld, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(await world.jobs()) < count:  # noqa: ASYNC110 - the collector tells nobody
            await asyncio.sleep(0.01)


class Raw:
    """Commands as they are typed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, command: str | bytes) -> str:
        octets = command if isinstance(command, bytes) else command.encode() + b"\r\n"
        self.writer.write(octets)
        return await self.reply()

    async def reply(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.reader.readline()).decode():
                if line[3:4] == " " and line[:3].isdigit():
                    return line.rstrip("\r\n")
        return ""


async def raw(port: int, login: str = "", **how: Any) -> Raw:
    client = Raw(*await asyncio.open_connection("127.0.0.1", port, **how))
    assert (await client.reply()).startswith("220")
    if login:
        assert (await client.say(f"USER {login}")).startswith("331")
        assert (await client.say("PASS secret")).startswith("230")
    return client


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --------------------------------------------------------------------------------------------------------- clients


async def test_a_job_that_curl_uploads_with_tls_becomes_a_fax(ftp: Ftp) -> None:
    for name, octets in (("letter.pdf", PDF), ("job1.xml", job_xml())):
        (ftp.folder / name).write_bytes(octets)
        assert await ftp.curl("--ssl-reqd", "-T", str(ftp.folder / name), ftp.url("in/")) == (0, "")
    await until_jobs(ftp.world, 1)
    ((job,), owner) = (await ftp.world.jobs(), "login:erp")
    assert job.owner == owner


async def test_curl_speaks_implicit_tls_fetches_lists_resumes_and_removes(ftp: Ftp) -> None:
    base = f"ftps://127.0.0.1:{ftp.implicit}/"
    (ftp.folder / "a").write_bytes(b"0123456789")
    (ftp.folder / "half").write_bytes(b"01234")
    assert await ftp.curl("-T", str(ftp.folder / "half"), f"{base}in/a") == (0, "")
    assert await ftp.curl("-C", "5", "-T", str(ftp.folder / "a"), f"{base}in/a") == (0, "")
    assert await ftp.curl(f"{base}in/a") == (0, "0123456789")
    assert await ftp.curl("-r", "3-5", f"{base}in/a") == (0, "345")
    status, listed = await ftp.curl(f"{base}in/")
    assert status == 0 and listed.startswith("-rw-------") and listed.rstrip().endswith(" a")
    assert (await ftp.curl("-l", base))[1].split() == ["in", "out"]
    assert (await ftp.curl("-Q", "DELE in/a", "-l", f"{base}in/"))[1] == ""


async def test_lftp_mirrors_both_ways(ftp: Ftp) -> None:
    jobs = ftp.folder / "jobs"
    jobs.mkdir()
    for index in range(3):
        (jobs / f"p{index}.pdf").write_bytes(PDF)
        (jobs / f"job{index}.xml").write_bytes(job_xml(f"p{index}.pdf"))
    script = f"""set ssl:verify-certificate no; set ftp:ssl-force yes; set net:max-retries 1; set net:timeout 10
open -u erp,secret ftp://127.0.0.1:{ftp.port}
mirror -R --no-perms --parallel=2 {jobs} in
cls -1 out
"""
    status, said = await run("lftp", "-c", script)
    assert status == 0, said
    await until_jobs(ftp.world, 3)


async def test_without_tls_only_where_the_settings_say_so(ftp: Ftp) -> None:
    (ftp.folder / "a").write_bytes(b"x")
    status, said = await ftp.curl("-T", str(ftp.folder / "a"), ftp.url("in/"))
    assert status != 0 and "Access denied" in said
    server, (port,) = await start(ftp.world, None, allow_plain=True)
    assert await ftp.curl("-T", str(ftp.folder / "a"), f"ftp://127.0.0.1:{port}/in/") == (0, "")
    await server.stop(0.1)


# ------------------------------------------------------------------------------------------------------- hostile

BEFORE: dict[str, tuple[str, str]] = {
    "a command before the login": ("LIST", "530"),
    "a password before a name": ("PASS x", "503"),
    "a name before TLS": ("USER erp", "530"),
    "an unknown command": ("XYZZY", "502"),
    "HTTP": ("GET / HTTP/1.1", "502"),
    "another security": ("AUTH KERBEROS_V4", "504"),
    "protection without TLS": ("PROT P", "503"),
}


@pytest.mark.parametrize("case", BEFORE)
async def test_before_the_login(ftp: Ftp, case: str) -> None:
    command, code = BEFORE[case]
    client = await raw(ftp.port)
    assert (await client.say(command)).startswith(code)
    client.writer.close()


AFTER: dict[str, tuple[str, str]] = {
    "active mode": ("PORT 127,0,0,1,0,22", "502 Only passive"),
    "active mode of IPv6": ("EPRT |1|127.0.0.1|22|", "502 Only passive"),
    "above the root": ("CWD ../../../etc", "550"),
    "outside": ("RETR /etc/passwd", "550"),
    "a folder as file": ("RETR in", "550"),
    "not there": ("RETR in/none", "550"),
    "at the root": ("STOR job1.xml", "550"),
    "to results": ("STOR out/rep1.xml", "550"),
    "a hidden trick": ("SIZE in/..", "550"),
    "a name with a tab": ("STOR in/a\tb", "553"),
    "a long name": ("STOR in/" + "a" * 300, "553"),
    "make a folder": ("MKD in/a", "550"),
    "remove a folder": ("RMD in", "550"),
    "remove what is not there": ("DELE in/none", "550"),
    "rename what is not there": ("RNFR in/none", "550"),
    "rename to nothing": ("RNTO in/b", "503"),
    "a transfer without a port": ("NLST", "425"),
    "a wrong offset": ("REST -1", "501"),
    "another structure": ("STRU R", "504"),
    "another mode": ("MODE Z", "504"),
    "another type": ("TYPE E", "504"),
    "EPSV of nothing": ("EPSV 9", "522"),
    "SITE": ("SITE CHMOD 777 in", "502"),
}


@pytest.mark.parametrize("case", AFTER)
async def test_what_is_not_done_is_refused(ftp: Ftp, case: str) -> None:
    """Reliability X-03, X-04."""
    command, said = AFTER[case]
    client = await raw(ftp.implicit, "erp", ssl=trusting())
    assert (await client.say(command)).startswith(said)
    assert (await client.say("NOOP")).startswith("200"), "and the session goes on"
    client.writer.close()


async def test_a_client_that_asks_for_the_size_of_what_it_has_laid_down_is_told_it(
    ftp: Ftp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FileZilla and others do, and the file may be taken by then."""
    monkeypatch.setattr(area, "RECENT_S", 600.0)
    for name, octets in (("letter.pdf", PDF), ("job1.xml", job_xml())):
        (ftp.folder / name).write_bytes(octets)
        assert await ftp.curl("--ssl-reqd", "-T", str(ftp.folder / name), ftp.url("in/")) == (0, "")
    await until_jobs(ftp.world, 1)
    client = await raw(ftp.implicit, "erp", ssl=trusting())
    assert await client.say("SIZE in/job1.xml") == f"213 {len(job_xml())}"
    assert (await client.say("MDTM in/job1.xml")).startswith("213 20")
    assert (await client.say("SIZE in/job2.xml")).startswith("550")
    client.writer.close()


async def test_data_is_under_tls_unless_the_settings_say_otherwise(ftp: Ftp) -> None:
    client = await raw(ftp.implicit, "erp", ssl=trusting())
    assert (await client.say("PROT C")).startswith("534")
    assert (await client.say("EPSV")).startswith("229")
    assert (await client.say("NLST")).startswith("521")
    client.writer.close()


async def test_nobody_else_gets_a_data_connection(ftp: Ftp) -> None:
    server, (port,) = await start(ftp.world, None, allow_plain=True)
    client = await raw(port, "erp")
    passive = int((await client.say("EPSV")).split("|")[3])
    _reader, thief = await asyncio.open_connection("127.0.0.1", passive, local_addr=("127.0.0.2", 0))
    _reader, own = await asyncio.open_connection("127.0.0.1", passive)
    assert (await client.say("STOR in/a.pdf")).startswith("150")
    own.write(b"mine")
    own.close()
    assert (await client.reply()).startswith("226")
    assert (await ftp.world.areas.area("acme", "erp")).shelf("in").read("a.pdf", 10) == b"mine"
    for writer in (thief, own, client.writer):
        writer.close()
    await server.stop(0.1)


async def test_an_upload_that_breaks_stays_half(ftp: Ftp) -> None:
    server, (port,) = await start(ftp.world, None, allow_plain=True)
    client = await raw(port, "erp")
    passive = int((await client.say("EPSV")).split("|")[3])
    _reader, own = await asyncio.open_connection("127.0.0.1", passive)
    assert (await client.say("STOR in/job1.xml")).startswith("150")
    own.write(job_xml())
    await own.drain()
    sock = own.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    own.transport.abort()
    assert (await client.reply()).startswith("426")
    assert await ftp.world.settle() is False and await ftp.world.jobs() == []
    client.writer.close()
    await server.stop(0.1)


@pytest.mark.parametrize("how", ["abort", "dies"])
async def test_an_upload_that_is_given_up_stays_half_though_its_connection_ends_in_order(ftp: Ftp, how: str) -> None:
    """ABOR (RFC 959 section 4.1.3), or the program is gone: its system ends both connections as if all were sent."""
    server, (port,) = await start(ftp.world, None, allow_plain=True)
    client = await raw(port, "erp")
    passive = int((await client.say("EPSV")).split("|")[3])
    _reader, data = await asyncio.open_connection("127.0.0.1", passive)
    assert (await client.say("STOR in/letter.pdf")).startswith("150")
    data.write(b"half")
    await data.drain()
    shelf = (await ftp.world.areas.area("acme", "erp")).shelf("in.partial")
    if how == "abort":
        client.writer.write(b"\xff\xf4\xffABOR\r\n")
        await client.writer.drain()
        data.close()
        assert (await client.reply()).startswith("426") and (await client.reply()).startswith("226")
    client.writer.close()
    await client.writer.wait_closed()
    data.close()
    async with asyncio.timeout(PATIENCE_S):
        while server._sessions:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)
    assert [entry.name for entry in shelf.entries()] == ["letter.pdf"] and shelf.read("letter.pdf", 10) == b"half"
    await server.stop(0.1)


async def test_a_command_sent_ahead_does_not_give_an_upload_up(ftp: Ftp) -> None:
    """Whose argument has the letters of ABOR, as a laboratory's files do."""
    server, (port,) = await start(ftp.world, None, allow_plain=True)
    client = await raw(port, "erp")
    passive = int((await client.say("EPSV")).split("|")[3])
    _reader, data = await asyncio.open_connection("127.0.0.1", passive)
    assert (await client.say("STOR in/letter.pdf")).startswith("150")
    data.write(PDF)
    await data.drain()
    client.writer.write(b"SIZE in/labor.pdf\r\n")
    await client.writer.drain()
    data.close()
    assert (await client.reply()).startswith("226") and (await client.reply()).startswith("550")
    assert (await ftp.world.areas.area("acme", "erp")).shelf("in").read("letter.pdf", 100) == PDF
    client.writer.close()
    await server.stop(0.1)


async def test_a_transfer_that_cannot_begin_changes_no_file(ftp: Ftp) -> None:
    await ftp.world.lay("letter.pdf", PDF)
    client = await raw(ftp.implicit, "erp", ssl=trusting())
    assert (await client.say("STOR in/letter.pdf")).startswith("425")
    assert (await client.say("APPE in/letter.pdf")).startswith("425")
    assert (await ftp.world.areas.area("acme", "erp")).shelf("in").read("letter.pdf", 100) == PDF
    client.writer.close()


async def test_a_file_that_is_too_large_is_told_and_stays_half(ftp: Ftp, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MB where 100 are taken, in small."""
    monkeypatch.setattr(area, "MAX_FILE", 100_000)
    (ftp.folder / "a").write_bytes(bytes(200_000))
    status, said = await ftp.curl("--ssl-reqd", "-v", "-T", str(ftp.folder / "a"), ftp.url("in/"))
    assert status != 0 and "552" in said
    assert (await ftp.world.areas.area("acme", "erp")).shelf("in").entries() == []


async def test_what_is_sent_ahead_of_tls_is_not_taken(ftp: Ftp) -> None:
    """RFC 4217 section 10: a command in the clear must not count as one under TLS."""
    client = await raw(ftp.port)
    assert (await client.say(b"AUTH TLS\r\nUSER erp\r\n")).startswith("421")
    client.writer.close()


async def test_wrong_logins_are_answered_alike_and_bounded(ftp: Ftp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftp_session, "FAILED_S", 0.0)
    client = await raw(ftp.implicit, ssl=trusting())
    said = set()
    for name in ("nobody", "erp", "nobody", "erp", "nobody", "erp"):
        await client.say(f"USER {name}")
        said.add(await client.say("PASS wrong"))
    assert len(said) == 1 and next(iter(said)).startswith("530")
    await client.say("USER erp")
    assert (await client.say("PASS secret")).startswith("421")
    client.writer.close()


async def test_connections_of_a_client_are_bounded(ftp: Ftp) -> None:
    server, (port,) = await start(ftp.world, None, allow_plain=True, client_connection_limit=1)
    first = await raw(port)
    second = Raw(*await asyncio.open_connection("127.0.0.1", port))
    assert (await second.reply()).startswith("421")
    for client in (first, second):
        client.writer.close()
    await server.stop(0.1)


async def test_a_full_account_is_told(ftp: Ftp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(area, "MAX_ACCOUNT", 3)
    (ftp.folder / "a").write_bytes(b"12345")
    status, said = await ftp.curl("--ssl-reqd", "-T", str(ftp.folder / "a"), ftp.url("in/"))
    assert (status, said) == (70, "curl: (70) Exceeded storage allocation\n")


async def test_a_line_without_an_end_ends_the_session(ftp: Ftp) -> None:
    client = await raw(ftp.port)
    client.writer.write(b"A" * 10_000)
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read(-1) == b""
    client.writer.close()


async def test_a_new_certificate_is_shown_to_those_who_come_after_it(
    house: House, tmp_path: Path, make_certificate: Callable[..., Any]
) -> None:
    async with files_world(house, tmp_path) as world:
        certificate, key = make_certificate()
        server, (_port, implicit) = await start(world, Tls(certificate=certificate, key=key))
        shown = []
        for _ in range(2):
            client = await raw(implicit, ssl=trusting())
            shown.append(client.writer.get_extra_info("ssl_object").getpeercert(True))
            client.writer.close()
            new, its_key = make_certificate()
            server.reload_tls(Tls(certificate=new, key=its_key))
        assert shown[0] != shown[1]
        await server.stop(0.1)


async def test_settings_without_tls_need_consent() -> None:
    with pytest.raises(ValueError, match="allow_plain"):
        FtpSettings()
    with pytest.raises(ValueError, match="two ports"):
        FtpSettings(allow_plain=True, passive_ports="9-1")


@pytest.mark.parametrize("state", ["ended", "suspended"])
async def test_who_is_shut_out_is_told_and_loses_the_connection(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(visitors, "RECHECK_S", 0.05)
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        server, (port,) = await start(world, None, allow_plain=True)
        client = await raw(port, "erp")
        assert (await client.say("PWD")).startswith("257")
        await house.change(update(t.logins).where(t.logins.c.name == "erp").values(state=state))
        assert (await client.reply()).startswith("421")  # without being asked
        assert await client.reply() == ""
        client.writer.close()
        await server.stop(0.2)


async def test_what_is_being_laid_down_by_one_who_is_shut_out_stays_half(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "RECHECK_S", 0.05)
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        server, (port,) = await start(world, None, allow_plain=True)
        client = await raw(port, "erp")
        data_port = int((await client.say("EPSV")).split("|")[3])
        _reader, data = await asyncio.open_connection("127.0.0.1", data_port)
        assert (await client.say("STOR in/job1.xml")).startswith("150")
        data.write(job_xml())
        await data.drain()
        await house.change(update(t.logins).where(t.logins.c.name == "erp").values(state="ended"))
        assert (await client.reply()).startswith("421")
        data.close()
        drop = await world.accounts.find("login:erp", "acme")
        assert drop is not None
        async with asyncio.timeout(PATIENCE_S):
            while server._sessions:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
        assert [entry.name for entry in drop.inbox().entries()] == []
        client.writer.close()
        await server.stop(0.2)


async def test_a_rename_takes_the_place_of_what_had_the_name(house: House, tmp_path: Path) -> None:
    """As rename(2) does, and as those expect who upload under another name; SFTP has two ways to say it."""
    async with files_world(house, tmp_path) as world:
        await world.login("erp")
        server, (port,) = await start(world, None, allow_plain=True)
        for name, octets in (("letter.pdf", b"old"), ("letter.tmp", b"new")):
            await world.lay(name, octets)
        client = await raw(port, "erp")
        assert (await client.say("RNFR in/letter.tmp")).startswith("350")
        assert (await client.say("RNTO in/letter.pdf")).startswith("250")
        drop = await world.accounts.find("login:erp", "acme")
        assert drop is not None
        assert [(one.name, drop.inbox().read(one.name, 10)) for one in drop.inbox().entries()] == [
            ("letter.pdf", b"new")
        ]
        client.writer.close()
        await server.stop(0.2)
