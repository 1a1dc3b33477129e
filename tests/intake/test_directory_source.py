"""Folders, HTTPS and LDAP, each for real: a web server and a slapd of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from faxgw.intake import directory_source as source
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.intake.directory_source import SETTLED_S, Seen, Unreachable
from faxgw.settings import Secret
from tests.conftest import MakeCertificate
from tests.patience import PATIENCE_S


def directory(**more: Any) -> DirectorySettings:
    return DirectorySettings.model_validate({"name": "people", "customer": "acme", **more})


@contextlib.contextmanager
def unreachable(words: str) -> Iterator[None]:
    """What is told has these words, and no address."""
    with pytest.raises(Unreachable) as refused:
        yield
    assert words in refused.value.public and "localhost" not in refused.value.public


# --------------------------------------------------------------------------------------------------------- folder


def drop(folder: Path, name: str, octets: bytes = b"x", *, age: float = 60) -> Path:
    path = folder / name
    path.write_bytes(octets)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_complete_files_are_taken_oldest_first(tmp_path: Path) -> None:
    drop(tmp_path, "b.csv", b"2", age=60)
    drop(tmp_path, "a.CSV", b"3", age=50)
    drop(tmp_path, "c.csv", b"1", age=70)
    drop(tmp_path, "readme.txt")
    drop(tmp_path, "growing.csv", age=SETTLED_S / 2)
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("/etc/passwd")
    found = source.take_files(tmp_path, 1_000_000)
    assert [dropped.octets for dropped in found] == [b"1", b"2", b"3"]


def test_a_file_is_put_away_and_its_name_may_come_again(tmp_path: Path) -> None:
    for now in (1_000_000, 1_000_001):
        source.put_away(drop(tmp_path, "a.csv"), "done", now)
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["a.1000000.csv", "a.1000001.csv"]
    assert source.take_files(tmp_path, 1_000_000) == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with unreachable("folder cannot be read"):
        source.take_files(tmp_path / "none", 0)


# ---------------------------------------------------------------------------------------------------------- https


class Server:
    """Answers with what the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"a,b", {"ETag": '"1"'}
        self.asked: list[Any] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers)
        if request.headers.get("If-None-Match") == self.headers.get("ETag", ""):
            return web.Response(status=304)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/people.csv", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"{'https' if tls else 'http'}://localhost:{port}/people.csv".replace(
        "localhost", "localhost" if tls else "127.0.0.1"
    )
    try:
        yield server
    finally:
        await runner.cleanup()


async def test_a_list_is_fetched_once_and_then_only_when_it_has_changed() -> None:
    async with serving() as server:
        settings, seen = directory(url=server.url, login="erp", password=Secret("päss")), Seen()
        assert await source.fetch(settings, seen) == b"a,b"
        assert await source.fetch(settings, seen) is None
        server.headers = {"ETag": '"2"'}
        assert await source.fetch(settings, seen) == b"a,b"
        assert [headers.get("If-None-Match") for headers in server.asked] == [None, '"1"', '"1"']
        assert {headers["Authorization"] for headers in server.asked} == {"Basic ZXJwOnDDpHNz"}


async def test_what_is_not_the_list_is_never_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_OCTETS", 1_000)
    async with serving() as server:
        settings = directory(url=server.url)
        for status in (302, 401, 404, 500):
            server.status, server.headers = status, {"Location": "/people.csv"}
            with unreachable(str(status)):
                await source.fetch(settings, Seen())
        server.status, server.body = 200, b"x" * 1_001
        with unreachable("larger than"):
            await source.fetch(settings, Seen())


async def test_the_servers_certificate_is_checked(make_certificate: MakeCertificate) -> None:
    certificate, key = make_certificate()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with serving(tls) as server:
        assert await source.fetch(directory(url=server.url, ca_file=certificate), Seen()) == b"a,b"
        with unreachable("not trusted"):
            await source.fetch(directory(url=server.url), Seen())
        other, _key = make_certificate()
        with unreachable("not trusted"):
            await source.fetch(directory(url=server.url, ca_file=other), Seen())


# ----------------------------------------------------------------------------------------------------------- ldap

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/bin")
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSCACertificateFile {certificate}
sizelimit size.soft=50 size.hard=50 size.pr=100 size.prtotal={total}
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw geheim
directory {folder}/data
require authc
"""
BASE = """dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=reader,dc=example,dc=org
objectClass: person
cn: reader
sn: reader
userPassword: secret

"""
PERSON = """dn: uid=u{n},dc=example,dc=org
objectClass: inetOrgPerson
uid: u{n}
cn: Person {n}
sn: Müller
mail: u{n}@example.org
mail: other{n}@example.org
facsimileTelephoneNumber: +33 1 {n}

"""


def certify(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key: OpenLDAP takes `localhost` for the machine's own name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "slapd.pem", folder / "slapd.key"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.touch(mode=0o600)
    encryption = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, encryption))
    return public, private


class Ldap:
    """A slapd with some people."""

    def __init__(self, folder: Path, people: int, total: str = "unlimited") -> None:
        certificate, key = certify(folder)
        self.certificate = certificate
        (folder / "data").mkdir()
        text = CONFIGURATION.format(folder=folder, certificate=certificate, key=key, total=total)
        (folder / "slapd.conf").write_text(text)
        (folder / "people.ldif").write_text(BASE + "".join(PERSON.format(n=n) for n in range(people)))
        slapadd = ["slapadd", "-q", "-f", str(folder / "slapd.conf"), "-l", str(folder / "people.ldif")]
        subprocess.run(slapadd, check=True, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        self.port, self.tls_port = _free_port(), _free_port()
        urls = f"ldap://127.0.0.1:{self.port}/ ldaps://127.0.0.1:{self.tls_port}/"
        command = [str(SLAPD), "-f", str(folder / "slapd.conf"), "-h", urls, "-d", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port in (self.port, self.tls_port):
            _wait_for(port, self.process)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def settings(self, **ldap: Any) -> DirectorySettings:
        given = {
            "url": f"ldap://127.0.0.1:{self.port}",
            "base": "dc=example,dc=org",
            "bind": "cn=reader,dc=example,dc=org",
            "password": Secret("secret"),
            "attributes": {"e-mail": "mail", "csid": "facsimileTelephoneNumber", "reply-to": "mail", "header": "sn"},
        }
        return directory(ca_file=self.certificate, ldap=given | ldap)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert process.poll() is None, "slapd has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("slapd does not listen")


@contextlib.contextmanager
def slapd(people: int, total: str = "unlimited") -> Iterator[Ldap]:
    with tempfile.TemporaryDirectory(prefix="slapd-") as name:
        server = Ldap(Path(name), people, total)
        try:
            yield server
        finally:
            server.stop()


async def ask(settings: DirectorySettings) -> list[dict[str, str]]:
    assert settings.ldap is not None
    return [dict(entry.values) for entry in await source.search(settings, settings.ldap)]


async def test_an_ldap_directory_is_read_whole_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 2696: the server gives no more than 100 entries at once."""
    monkeypatch.setattr(source, "PAGE", 60)
    with slapd(250) as server:
        found = await ask(server.settings())
        assert len(found) == 250
        assert found[7] == {
            "e-mail": "u7@example.org",
            "csid": "+33 1 7",
            "reply-to": "u7@example.org,other7@example.org",
            "header": "Müller",
        }
        secure = server.settings(url=f"ldaps://127.0.0.1:{server.tls_port}", filter="(uid=u1)")
        assert [entry["e-mail"] for entry in await ask(secure)] == ["u1@example.org"]


async def test_an_ldap_directory_that_does_not_answer_completely_is_none(
    make_certificate: MakeCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PAGE", 60)
    with slapd(120, total="100") as server:
        for wrong, words in (
            (server.settings(), "did not answer completely"),  # more than the server gives in all
            (server.settings(password=Secret("wrong")), "refused the name or the password"),
            (server.settings(base="dc=nowhere"), "nothing at the base"),
            (server.settings(url="ldaps://localhost:1"), "could not be reached"),
            (server.settings(url="ldap://localhost:1"), "could not be asked"),
            (server.settings().model_copy(update={"ca_file": make_certificate()[0]}), "not trusted"),
        ):
            with unreachable(words):
                await ask(wrong)
        assert len(await ask(server.settings(filter="(uid=u1*)"))) == 31
        monkeypatch.setattr(source, "MAX_OCTETS", 100)
        with unreachable("larger"):
            await ask(server.settings(filter="(uid=u1)"))


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "FETCH_S", 0.5)

    async def take_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1_000):
            pass
        writer.close()

    silent = await asyncio.start_server(take_all, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    settings = directory(ldap={"url": f"ldap://127.0.0.1:{port}", "start_tls": False, "base": "dc=x"})
    with unreachable("in time"):
        await ask(settings)
    silent.close()
    await silent.wait_closed()


async def test_without_the_program_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def missing(*command: str, **how: Any) -> None:
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(asyncio, "create_subprocess_exec", missing)
    settings = directory(ldap={"url": "ldap://127.0.0.1:1", "start_tls": False, "base": "dc=x"})
    with unreachable("ldap-utils"):
        await ask(settings)
