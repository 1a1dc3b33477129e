"""What `faxgw check` says of ports, certificates, host keys and folders."""

from __future__ import annotations

import asyncio
import datetime
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cryptography import x509

from faxgw.check import run_checks
from faxgw.check_listeners import SOON_DAYS, Finding, look_at_connections, look_at_files, look_at_ports
from faxgw.settings import load
from faxgw.tables import SECTIONS

BASE = """
[node]
data = "{data}"
[[smtp.listeners]]
listen = "127.0.0.1:0"
[http]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1:0"
[[customer]]
id = "acme"
domains = ["fax.example.org"]
"""
SFTP = '[sftp]\nlisten = ["127.0.0.1:0"]\n'
FTP = """
[ftp]
passive_ports = "{passive}-{passive}"
[[ftp.listeners]]
listen = "127.0.0.1:{port}"
[ftp.tls]
certificate = "{certificate}"
key = "{key}"
"""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def read(folder: Path, more: str) -> Any:
    config = folder / "faxgw.toml"
    config.write_text(BASE.format(data=folder / "data") + more)
    settings = load(config, SECTIONS)
    assert not settings.faults, settings.faults
    return settings


def named(found: Any) -> dict[str, Finding]:
    return {one.what: one for one in found}


async def test_file_servers_are_looked_at_with_everything_else(
    tmp_path: Path, taken: int, make_certificate: Callable[[], tuple[Path, Path]]
) -> None:
    certificate, key = make_certificate()
    ftp = FTP.format(passive=taken, port=taken, certificate=certificate, key=key)
    read(tmp_path, f'[sftp]\nlisten = ["127.0.0.1:0", "127.0.0.1:{taken}"]\n' + ftp)
    found = named(await run_checks(tmp_path / "faxgw.toml"))
    for what in ("port sftp 2", "port ftp", "ftp passive ports"):
        assert not found[what].ok and "another program uses it" in found[what].text
    assert found["port sftp"].ok
    assert not found["certificate ftp"].ok and "ends on" in found["certificate ftp"].text  # the fixture's: tomorrow
    assert found["host key ssh_host_ed25519_key"].ok and "first start" in found["host key ssh_host_ed25519_key"].text


async def test_what_is_switched_off_is_not_looked_at(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert [one.what for one in look_at_ports(settings)] == ["port smtp submission", "port http", "port sip"]
    assert look_at_files(settings, 0.0) == []


async def test_an_address_that_the_machine_does_not_have_is_named(tmp_path: Path) -> None:
    settings = read(tmp_path, '[sftp]\nlisten = ["192.0.2.1:2022"]\n')
    found = named(look_at_ports(settings))["port sftp"]
    assert not found.ok and "no such address" in found.text


async def test_free_passive_ports_are_counted(
    tmp_path: Path, taken: int, make_certificate: Callable[[], tuple[Path, Path]]
) -> None:
    certificate, key = make_certificate()
    first = taken if taken < 65_000 else taken - 3
    ftp = FTP.format(passive=0, port=0, certificate=certificate, key=key).replace('"0-0"', f'"{first}-{first + 3}"')
    found = named(look_at_ports(read(tmp_path, ftp)))["ftp passive ports"]
    assert found.ok and " of 4 are free" in found.text and "4 of 4" not in found.text


@pytest.mark.parametrize(
    ("days", "ok", "says"),
    [(-2.0, False, "not valid before"), (0.0, False, "ends on"), (SOON_DAYS, False, "ended on"), (2.0, False, "ended")],
)
async def test_a_certificate_is_young_enough_and_old_enough(
    tmp_path: Path, make_certificate: Callable[[], tuple[Path, Path]], days: float, ok: bool, says: str
) -> None:
    certificate, key = make_certificate()
    settings = read(tmp_path, FTP.format(passive=unused(), port=0, certificate=certificate, key=key))
    now = datetime.datetime.now(datetime.UTC).timestamp() + days * 86_400
    (found,) = look_at_files(settings, now)
    assert (found.what, found.ok) == ("certificate ftp", ok) and says in found.text


async def test_a_certificate_with_time_left_is_right(
    tmp_path: Path, make_certificate: Callable[[], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate()
    settings = read(tmp_path, FTP.format(passive=unused(), port=0, certificate=certificate, key=key))
    monkeypatch.setattr("faxgw.check_listeners.SOON_DAYS", 0)
    (found,) = look_at_files(settings, datetime.datetime.now(datetime.UTC).timestamp())
    ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    assert found.ok and f"until {ends:%Y-%m-%d}" in found.text


def _key(algorithm: str, **how: Any) -> bytes:
    return asyncssh.generate_private_key(algorithm, **how).export_private_key()


@pytest.mark.parametrize(
    ("name", "octets", "mode", "says"),
    [
        ("ssh_host_ed25519_key", lambda: b"", 0o600, "is no private key without a passphrase"),
        ("ssh_host_ed25519_key", lambda: b"\xff" * 100, 0o600, "is no private key without a passphrase"),
        ("ssh_host_ed25519_key", lambda: _key("ecdsa-sha2-nistp256"), 0o600, "is a key of ecdsa"),
        ("ssh_host_rsa_key", lambda: _key("ssh-rsa", key_size=1_024), 0o600, "1024 bits"),
        ("ssh_host_ed25519_key", lambda: _key("ssh-ed25519"), 0o644, "chmod 600"),
        (
            "ssh_host_ed25519_key",
            lambda: asyncssh.generate_private_key("ssh-ed25519").export_private_key(passphrase="x"),
            0o600,
            "without a passphrase",
        ),
        ("ssh_host_ed25519_key", lambda: _key("ssh-ed25519"), 0o600, ""),
    ],
)
async def test_a_host_key_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, octets: Callable[[], bytes], mode: int, says: str
) -> None:
    settings = read(tmp_path, SFTP)
    folder = tmp_path / "data/sftp"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(octets())
    (folder / name).chmod(mode)
    found = named(await asyncio.to_thread(look_at_files, settings, 0.0))[f"host key {name}"]
    assert found.ok is not bool(says) and (says or "SHA256:") in found.text


@pytest.mark.parametrize("kind", ["link", "pipe", "two names"])
async def test_a_host_key_is_a_plain_file(tmp_path: Path, kind: str) -> None:
    settings = read(tmp_path, SFTP)
    path = tmp_path / "data/sftp/ssh_host_ed25519_key"
    path.parent.mkdir(parents=True)
    match kind:
        case "link":
            path.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.write_bytes(b"")
            os.link(path, path.with_name("other"))
    found = named(await asyncio.to_thread(look_at_files, settings, 0.0))["host key ssh_host_ed25519_key"]
    assert not found.ok and "no plain file" in found.text


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    more = "".join(
        f'[[folder]]\nname = "{name}"\npath = "{tmp_path / name}"\ncustomer = "acme"\n' for name in ("here", "gone")
    )
    found = named(look_at_files(read(tmp_path, more), 0.0))
    assert found["folder here"].ok
    assert not found["folder gone"].ok and "make it, or mount it" in found["folder gone"].text


@pytest.mark.parametrize(
    "hard, smtp, ok, text",
    [
        (65_536, "", True, "1000 at a time"),
        (resource.RLIM_INFINITY, "", True, "1000 at a time"),
        (2_064, "", True, "1000 at a time"),
        (1_064, "", False, "500 at a time, not 1000: only 1064 files may be open here (ulimit -H -n); raise that"),
        (1_064, "processes = 2", True, "1000 at a time"),
        (1_064, "processes = 0", True, "1000 at a time"),
        (1_064, "connection_limit = 500", True, "500 at a time"),
    ],
)
def test_connections_that_find_no_descriptor_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: int, smtp: str, ok: bool, text: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1_024, hard))
    found = look_at_connections(read(tmp_path, f"[smtp]\n{smtp}\n"))
    assert (found.what, found.ok) == ("smtp connections", ok)
    assert found.text.startswith(text)
