"""Received faxes to SFTP servers: OpenSSH's own, and one that the test makes fail."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
import pytest
from asyncssh.asn1 import der_decode, der_encode

from faxgw.delivery import sftp as module
from faxgw.delivery.sftp import SftpWay, host_and_port
from faxgw.egress import Egress
from faxgw.fax.target import Target, TargetKind
from tests.delivery.consignments import DOCUMENT, OPEN, RECEPTION, delivered, target
from tests.patience import PATIENCE_S
from tests.ports import free_port

STEM = f"acme-{RECEPTION}"


@dataclass
class Server:
    """A server with a folder."""

    port: int
    root: Path
    pin: str
    seen: list[str] = field(default_factory=list)

    def target(self, secrets: dict[str, str] | None = None, **values: Any) -> Target:
        params = {"user": getpass.getuser(), "host_key": self.pin, **values.pop("params", {})}
        return target(TargetKind.SFTP, f"127.0.0.1:{self.port}", secrets, params=params, **values)


class Stubborn(asyncssh.SFTPServer):
    """A file server that fails as it is told."""

    fault: Callable[[str], None] = staticmethod(lambda what: None)
    stall: asyncio.Event | None = None
    opened: ClassVar[list[Any]] = []

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self.opened.append(made := super().open(path, pflags, attrs))
        return made

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        type(self).fault("write")
        if self.stall is not None:
            await self.stall.wait()
        result = super().write(file_obj, offset, data)
        assert isinstance(result, int)
        return result

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        type(self).fault("posix_rename")
        super().posix_rename(oldpath, newpath)


class Passwords(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == "secret"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Server, type[Stubborn]]]:
    root = tmp_path / "root"
    root.mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519")
    kind: type[Stubborn] = type("Stubborn", (Stubborn,), {"opened": []})
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[key],
        server_factory=Passwords,
        sftp_factory=lambda chan: kind(chan, chroot=os.fsencode(root)),
    )
    yield Server(acceptor.get_port(), root, key.get_fingerprint()), kind
    acceptor.close()
    for file in kind.opened:
        file.close()


SECRET = {"password": "secret"}


async def test_a_fax_lies_there_whole_with_its_files_and_a_second_try_changes_nothing(server: Any) -> None:
    there, _kind = server
    to = there.target(SECRET, params={"sidecars": "xml idx"})
    for _try in range(2):
        result = await delivered(SftpWay(OPEN), to, SECRET)
        assert result.delivered, result.detail
    assert sorted(os.listdir(there.root)) == [f"{STEM}.idx", f"{STEM}.pdf", f"{STEM}.xml"]
    assert (there.root / f"{STEM}.pdf").read_bytes() == DOCUMENT
    assert b"RESOLUTION=HL\n" in (there.root / f"{STEM}.idx").read_bytes()


async def test_a_folder_of_the_target_is_used_and_one_that_is_not_there_is_told(server: Any) -> None:
    there, _kind = server
    (there.root / "fax").mkdir()
    assert (await delivered(SftpWay(OPEN), there.target(SECRET, params={"folder": "fax"}), SECRET)).delivered
    assert (there.root / "fax" / f"{STEM}.pdf").read_bytes() == DOCUMENT
    missing = await delivered(SftpWay(OPEN), there.target(SECRET, params={"folder": "none"}), SECRET)
    assert (missing.delivered, missing.permanent) == (False, False)
    assert "No such file" in missing.detail


async def test_another_faxs_file_is_never_written_over(server: Any) -> None:
    there, _kind = server
    (there.root / "33199000099.pdf").write_bytes(b"another fax")
    to = there.target(SECRET, file_name="{number}", params={"sidecars": "idx"})
    for _try in range(2):
        assert (await delivered(SftpWay(OPEN), to, SECRET)).delivered
    stem = f"33199000099-{RECEPTION[-12:]}"
    assert sorted(os.listdir(there.root)) == [f"{stem}.idx", f"{stem}.pdf", "33199000099.pdf"]
    assert (there.root / "33199000099.pdf").read_bytes() == b"another fax"


async def test_a_changed_host_key_is_refused_with_an_alarm_and_nothing_is_said(server: Any) -> None:
    there, _kind = server
    pin = asyncssh.generate_private_key("ssh-ed25519").get_fingerprint()
    alarms: dict[str, str] = {}
    to = there.target(SECRET, params={"host_key": pin})
    result = await delivered(SftpWay(OPEN, alarms.__setitem__), to, SECRET)
    assert (result.delivered, result.permanent) == (False, False)
    assert there.pin in result.detail
    assert os.listdir(there.root) == []
    assert alarms == {"theirs": f"another host key, {there.pin}"}
    assert (await delivered(SftpWay(OPEN, alarms.__setitem__), there.target(SECRET), SECRET)).delivered
    assert alarms == {"theirs": ""}


def _no_space(what: str) -> None:
    if what == "write":
        raise asyncssh.SFTPNoSpaceOnFilesystem("No space left")


def _no_posix_rename(what: str) -> None:
    if what == "posix_rename":
        raise asyncssh.SFTPOpUnsupported("no")


def _denied(what: str) -> None:
    raise asyncssh.SFTPPermissionDenied("Permission denied")


@pytest.mark.parametrize(("fault", "word"), [(_no_space, "refuses"), (_denied, "Permission denied")])
async def test_a_server_that_is_full_or_forbids_is_told_and_tried_again(server: Any, fault: Any, word: str) -> None:
    there, kind = server
    kind.fault = staticmethod(fault)
    result = await delivered(SftpWay(OPEN), there.target(SECRET), SECRET)
    assert (result.delivered, result.permanent) == (False, False)
    assert word in result.detail
    assert not (there.root / f"{STEM}.pdf").exists()
    kind.fault = staticmethod(lambda what: None)
    assert (await delivered(SftpWay(OPEN), there.target(SECRET), SECRET)).delivered
    assert os.listdir(there.root) == [f"{STEM}.pdf"]  # what was half has been taken over


async def test_a_server_without_overwriting_rename_gets_the_file_all_the_same(server: Any) -> None:
    there, kind = server
    kind.fault = staticmethod(_no_posix_rename)
    for _try in range(2):
        assert (await delivered(SftpWay(OPEN), there.target(SECRET), SECRET)).delivered
    assert os.listdir(there.root) == [f"{STEM}.pdf"]


async def test_a_server_that_takes_nothing_any_more_ends_the_try(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there, kind = server
    kind.stall = asyncio.Event()
    monkeypatch.setattr(module, "STEP_S", 0.3)
    result = await delivered(SftpWay(OPEN), there.target(SECRET), SECRET)
    assert (result.delivered, result.permanent, result.detail) == (False, False, "not finished in time")
    assert not (there.root / f"{STEM}.pdf").exists()
    kind.stall.set()


async def test_a_wrong_password_and_a_server_that_is_down_are_told(server: Any) -> None:
    there, _kind = server
    result = await delivered(SftpWay(OPEN), there.target(SECRET), {"password": "wrong"})
    assert (result.delivered, result.permanent) == (False, False)
    assert "neither key nor password" in result.detail
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        there.port = nobody.getsockname()[1]
        result = await delivered(SftpWay(OPEN), there.target(SECRET), SECRET)
    assert (result.delivered, result.permanent) == (False, False)
    assert "ConnectionRefusedError" in result.detail


async def test_our_own_network_is_closed_unless_it_is_opened(server: Any) -> None:
    there, _kind = server
    result = await delivered(SftpWay(Egress()), there.target(SECRET), SECRET)
    assert not result.delivered
    assert os.listdir(there.root) == []


async def test_a_key_that_cannot_be_read_is_told(server: Any) -> None:
    there, _kind = server
    secrets = {"private_key": "none"}
    result = await delivered(SftpWay(OPEN), there.target(secrets), secrets)
    assert "private key cannot be read" in result.detail


@pytest.fixture
async def openssh(tmp_path: Path) -> AsyncIterator[tuple[Server, asyncssh.SSHKey]]:
    """OpenSSH's server, unprivileged but for the account that runs the tests."""
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(tmp_path / "host")
    (tmp_path / "host").chmod(0o600)
    user.write_public_key(tmp_path / "authorized")
    root = tmp_path / "root"
    root.mkdir()
    port = free_port()
    (tmp_path / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp -d {root}\n"
    )
    await asyncio.to_thread(Path("/run/sshd").mkdir, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        "/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "config"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        while b"listening" not in (line := await process.stderr.readline()):
            assert line, "sshd does not start"
    yield Server(port, root, host.get_fingerprint()), user
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.communicate()


async def test_openssh_takes_the_files_by_key(openssh: tuple[Server, asyncssh.SSHKey]) -> None:
    there, user = openssh
    for secrets in (
        {"private_key": user.export_private_key().decode()},
        {"private_key": user.export_private_key(passphrase="open").decode(), "passphrase": "open"},
    ):
        result = await delivered(SftpWay(OPEN), there.target(secrets, params={"sidecars": "idx"}), secrets)
        assert result.delivered, result.detail
    assert sorted(os.listdir(there.root)) == [f"{STEM}.idx", f"{STEM}.pdf"]
    assert (there.root / f"{STEM}.pdf").read_bytes() == DOCUMENT


@pytest.mark.parametrize(
    ("address", "found"),
    [("h", ("h", 22)), ("h:2022", ("h", 2022)), ("[::1]:22", ("::1", 22)), ("[::1]", ("::1", 22))],
)
def test_addresses_of_targets(address: str, found: tuple[str, int]) -> None:
    assert host_and_port(address, 22) == found


@pytest.mark.filterwarnings("ignore:.*bcrypt.kdf.*")
async def test_a_key_whose_passphrase_takes_for_ever_is_refused_before_it_is_tried(server: Any) -> None:
    """A customer chooses the rounds: each of them is processor time of everybody's."""
    there, _kind = server
    key = asyncssh.generate_private_key("ssh-ed25519")
    for text, dear in (
        (key.export_private_key(passphrase="word", rounds=1), False),
        (_with_rounds(key.export_private_key(passphrase="word", rounds=1), 4_000_000_000), True),
        (key.export_private_key("pkcs8-pem", passphrase="word"), False),
        (_with_pbkdf2_rounds(key.export_private_key("pkcs8-pem", passphrase="word"), 0x7FFF), False),
        (_with_pbkdf2_rounds(key.export_private_key("pkcs8-pem", passphrase="word"), 0x7FFFFFFF), True),
        (key.export_private_key(), False),
        (b"no key", False),
    ):
        assert bool(module.key_fault(text.decode())) is dear, text
        if dear:
            secrets = {"private_key": text.decode(), "passphrase": "word"}
            result = await delivered(SftpWay(OPEN), there.target(secrets), secrets)
            assert (result.delivered, result.permanent) == (False, False)
            assert "too many rounds" in result.detail


def _with_rounds(key: bytes, rounds: int) -> bytes:
    """The same key with another number of rounds: the last four octets of the second string's options."""
    lines = key.decode().splitlines()
    octets = bytearray(base64.b64decode("".join(lines[1:-1])))
    place = octets.index(b"bcrypt") + len(b"bcrypt")
    end = place + 4 + int.from_bytes(octets[place : place + 4], "big")
    octets[end - 4 : end] = rounds.to_bytes(4, "big")
    return "\n".join([lines[0], base64.b64encode(octets).decode(), lines[-1]]).encode()


def _with_pbkdf2_rounds(key: bytes, rounds: int) -> bytes:
    lines = key.decode().splitlines()
    found: Any = der_decode(base64.b64decode("".join(lines[1:-1])))
    (algorithm, parameters), sealed = found
    (derivation, (salt, _rounds, *rest)), cipher = parameters
    octets = der_encode(((algorithm, ((derivation, (salt, rounds, *rest)), cipher)), sealed))
    return "\n".join([lines[0], base64.b64encode(octets).decode(), lines[-1]]).encode()
