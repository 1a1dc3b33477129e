"""Received faxes to an FTP server of another make, in the clear, with TLS and implicit TLS, and one that fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faxgw.delivery import ftp as module
from faxgw.delivery.ftp import FtpWay
from faxgw.fax.ports import DeliveryResult
from faxgw.fax.target import Target, TargetKind
from tests.delivery.consignments import DOCUMENT, OPEN, RECEPTION, delivered, target
from tests.patience import PATIENCE_S
from tests.ports import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it stands on asyncore, which Python 3.12 no longer has, and which it then brings
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

STEM = f"acme-{RECEPTION}"
SECRET = {"password": "secret"}
VSFTPD = {
    "listen": "YES", "listen_ipv6": "NO", "background": "NO", "anonymous_enable": "YES", "write_enable": "YES",
    "anon_upload_enable": "YES", "anon_other_write_enable": "YES", "anon_world_readable_only": "NO",
    "anon_umask": "022", "ssl_enable": "YES", "allow_anon_ssl": "YES", "force_anon_logins_ssl": "YES",
    "force_anon_data_ssl": "YES", "require_ssl_reuse": "YES", "ssl_ciphers": "HIGH", "seccomp_sandbox": "NO",
    "isolate": "NO", "isolate_network": "NO",
}  # fmt: skip


@dataclass
class Server:
    """A server in a thread of its own."""

    root: Path
    port: int = 0
    handler: Any = None
    context: ssl.SSLContext | None = None

    def target(self, tls: str = "none", **values: Any) -> Target:
        params = {"user": "erp", "tls": tls, **values.pop("params", {})}
        return target(TargetKind.FTP, values.pop("address", f"127.0.0.1:{self.port}"), SECRET, params=params, **values)

    async def deliver(self, to: Target, secrets: dict[str, str] | None = None, **values: Any) -> DeliveryResult:
        way = FtpWay(OPEN, self.context)
        try:
            return await delivered(way, to, SECRET if secrets is None else secrets, **values)
        finally:
            way.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    loop = IOLoop()
    root = tmp_path / "root"
    root.mkdir()
    stopping = threading.Event()
    threads = []

    def make(kind: type[Any] = FTPHandler, perm: str = "elradfmw", **values: Any) -> Server:
        authorizer = DummyAuthorizer()
        authorizer.add_user("erp", "secret", str(root), perm=perm)
        handler = type("Handler", (kind,), {"authorizer": authorizer, "use_sendfile": False, **values})
        served = FTPServer(("127.0.0.1", 0), handler, ioloop=loop)

        def serve() -> None:
            while not stopping.is_set():
                loop.loop(timeout=0.05, blocking=False)
            served.close_all()

        threads.append(thread := threading.Thread(target=serve))
        thread.start()
        return Server(root, served.socket.getsockname()[1], handler)

    yield make
    stopping.set()
    for thread in threads:
        thread.join()
    loop.close()


async def test_a_fax_lies_there_whole_and_a_second_try_changes_nothing(start: Callable[..., Server]) -> None:
    there = start()
    (there.root / "fax").mkdir()
    to = there.target(params={"sidecars": "xml idx", "folder": "fax"})
    for _try in range(2):
        result = await there.deliver(to)
        assert result.delivered, result.detail
    assert sorted(os.listdir(there.root / "fax")) == [f"{STEM}.idx", f"{STEM}.pdf", f"{STEM}.xml"]
    assert (there.root / "fax" / f"{STEM}.pdf").read_bytes() == DOCUMENT


async def test_another_faxs_file_is_never_written_over(start: Callable[..., Server]) -> None:
    there = start()
    (there.root / "33199000099.pdf").write_bytes(DOCUMENT[:-1] + b"!")  # of the same size
    for _try in range(2):
        assert (await there.deliver(there.target(file_name="{number}"))).delivered
    assert sorted(os.listdir(there.root)) == [f"33199000099-{RECEPTION[-12:]}.pdf", "33199000099.pdf"]
    assert (there.root / "33199000099.pdf").read_bytes() == DOCUMENT[:-1] + b"!"


async def test_a_server_that_only_takes_uploads_is_enough(start: Callable[..., Server]) -> None:
    """No list, no read: names with the fax's id need none of it."""
    there = start(perm="ewf")
    assert (await there.deliver(there.target())).delivered
    assert os.listdir(there.root) == [f"{STEM}.pdf"]


@pytest.mark.parametrize("case", ["password", "store", "folder", "plain"])
async def test_what_the_server_refuses_is_told_and_tried_again(start: Callable[..., Server], case: str) -> None:
    there = start(perm="el" if case == "store" else "elradfmw")
    to = there.target("explicit" if case == "plain" else "none", params={"folder": "none"} if case == "folder" else {})
    result = await there.deliver(to, {"password": "wrong"} if case == "password" else None)
    assert (result.delivered, result.permanent) == (False, False)
    assert "the server refuses: 5" in result.detail
    assert os.listdir(there.root) == []


async def test_a_full_server_leaves_no_file_under_the_name(start: Callable[..., Server]) -> None:
    class Full(FTPHandler):  # type: ignore[misc]  # its package has no types
        def on_file_received(self, file: str) -> None:
            Path(file).write_bytes(Path(file).read_bytes()[:1000])  # as a disk that filled up

    there = start(Full)
    result = await there.deliver(there.target())
    assert (result.delivered, result.permanent) == (False, False)
    assert not (there.root / f"{STEM}.pdf").exists()


async def test_a_server_that_says_nothing_ends_the_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "STEP_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        there = Server(tmp_path, mute.getsockname()[1])
        result = await there.deliver(there.target())
    assert (result.delivered, result.permanent) == (False, False)


async def test_a_try_that_lasts_too_long_leaves_no_thread_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        there = Server(tmp_path, mute.getsockname()[1])
        way = FtpWay(OPEN)
        result = await delivered(way, there.target(), SECRET, within=0.3)
    assert result.detail == "not finished in time"
    await asyncio.to_thread(way._threads.shutdown)  # would wait STEP_S for a thread that nobody woke


@pytest.fixture
async def vsftpd(tmp_path: Path, make_certificate: Callable[..., Any]) -> AsyncIterator[Callable[..., Any]]:
    """vsftpd with TLS on both connections, which must be of one session."""
    certificate, key = make_certificate()
    processes = []
    home = tempfile.mkdtemp(prefix="faxgw-vsftpd-")

    async def make(**values: str) -> Server:
        port = free_port()
        os.chmod(home, 0o755)
        os.mkdir(f"{home}/fax")
        os.chmod(f"{home}/fax", 0o777)
        settings = {
            "listen_address": "127.0.0.1", "listen_port": str(port), "anon_root": home,
            "rsa_cert_file": str(certificate), "rsa_private_key_file": str(key), "secure_chroot_dir": str(tmp_path),
            "vsftpd_log_file": str(tmp_path / "log"), **VSFTPD, **values,
        }  # fmt: skip
        config = tmp_path / f"vsftpd-{port}.conf"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        process = await asyncio.create_subprocess_exec("/usr/sbin/vsftpd", str(config))
        processes.append(process)
        async with asyncio.timeout(PATIENCE_S):
            while not await _answers(port):
                assert process.returncode is None, "vsftpd does not start"
                await asyncio.sleep(0.02)
        return Server(Path(home, "fax"), port, context=ssl.create_default_context(cafile=str(certificate)))

    yield make
    for process in processes:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    shutil.rmtree(home)


async def _answers(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize("tls", ["explicit", "implicit"])
async def test_a_server_that_demands_one_tls_session_takes_the_files(vsftpd: Callable[..., Any], tls: str) -> None:
    there = await vsftpd(implicit_ssl="YES" if tls == "implicit" else "NO")
    params = {"user": "ftp", "folder": "fax", "sidecars": "idx"}
    to = there.target(tls, address=f"localhost:{there.port}", params=params)
    for _try in range(2):
        result = await there.deliver(to)
        assert result.delivered, result.detail
    assert sorted(os.listdir(there.root)) == [f"{STEM}.idx", f"{STEM}.pdf"]
    assert (there.root / f"{STEM}.pdf").read_bytes() == DOCUMENT


@pytest.mark.parametrize("case", ["stranger", "name", "plain"])
async def test_a_wrong_certificate_and_a_missing_tls_are_refused(vsftpd: Callable[..., Any], case: str) -> None:
    there = await vsftpd()
    address = f"{'127.0.0.1' if case == 'name' else 'localhost'}:{there.port}"
    if case == "stranger":
        there.context = None
    to = there.target("none" if case == "plain" else "explicit", address=address, params={"user": "ftp"})
    result = await there.deliver(to)
    assert (result.delivered, result.permanent) == (False, False)
    assert ("the server refuses: 530" if case == "plain" else "certificate is not good") in result.detail
    assert os.listdir(there.root) == []
