"""Other people's SIP servers as children of a test: on loopback, their files in one folder, ended by their pid.

A program that is missing fails the test: `script/setup --tests` installs every one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST: Final = "127.0.0.1"
READY_WITHIN: Final = 60.0
"""Seconds a peer may take to listen."""
END_WITHIN: Final = 15.0
"""Seconds it may take to end after SIGTERM; SIGKILL follows."""
PACKAGES: Final = {"sipp": "sip-tester", "kamailio": "kamailio", "rtpengine": "rtpengine-daemon"}
"""Programs, and the Debian packages they come from."""


def program(name: str) -> str:
    """Where a program lies.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    if name.startswith("/"):
        return name
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if found is None:
        raise FileNotFoundError(
            f"{name} is missing: script/setup --tests, or apt-get install {PACKAGES.get(name, name)}"
        )
    return found


@dataclass(frozen=True, slots=True)
class Listens:
    """A sign of readiness: a port of this peer."""

    port: int
    stream: bool = False
    """TCP, not UDP."""

    def is_up(self, pid: int) -> bool:
        """Whether the process or a child of it has bound the port."""
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            sockets = [entry for process in family for entry in process.net_connections("inet")]
        except psutil.Error:
            return False
        kind = socket.SOCK_STREAM if self.stream else socket.SOCK_DGRAM
        return any(entry.laddr and entry.laddr.port == self.port and entry.type == kind for entry in sockets)


class Peer:
    """One program of somebody else.

    Args:
        folder: Where it runs, and where its output goes as `<name>.log`.
        arguments: Its command line, the program's name or path first.
        signs: What it binds when it is ready.
    """

    def __init__(self, folder: Path, arguments: Sequence[str], signs: Sequence[Listens]) -> None:
        self.folder = folder
        self.log = folder / f"{Path(arguments[0]).name}.log"
        self._command = [program(arguments[0]), *arguments[1:]]
        self._signs = signs
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self.folder, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(READY_WITHIN):
            while not all(sign.is_up(self._process.pid) for sign in self._signs):
                assert self._process.returncode is None, self.said()
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it, with the children it may have. Idempotent."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            async with asyncio.timeout(END_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL)

    async def ended(self, within: float) -> int:
        """Its exit status, once it ends by itself."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    def said(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-4000:]


@contextlib.asynccontextmanager
async def running(peer: Peer) -> AsyncIterator[Peer]:
    """The peer, started and ended."""
    try:
        await peer.start()
        yield peer
    finally:
        await peer.stop()


async def until(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 -- there is no event to wait for
            await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Authority:
    """A test authority, and one certificate for 127.0.0.1 and localhost that it signed; PEM files."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        folder.mkdir(parents=True, exist_ok=True)
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test Authority")])
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)

        def begun(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
            builder = x509.CertificateBuilder(ca_name, subject, public, x509.random_serial_number())
            return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
                now + datetime.timedelta(days=1)
            )

        authority = (
            begun(ca_name, ca_key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))]
        signed = (
            begun(name, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        made = cls(folder / "ca.pem", folder / "peer.pem", folder / "peer.key")
        made.ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        made.key.touch(mode=0o600)
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return made
