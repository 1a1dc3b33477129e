"""The gateway as a service: a real process, a real notification socket, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faxgw.client import Control
from faxgw.daemon import Daemon
from faxgw.dispatch.seat import Seat
from faxgw.dispatch.station import POLL
from faxgw.fax.account import SETTINGS as SETTINGS_OF_ACCOUNTS
from faxgw.settings import load
from faxgw.store.errors import StoreDown
from faxgw.tables import SECTIONS
from tests.conftest import MakeCertificate

SETTINGS = """
[node]
data = "{data}"
ballast = "1MiB"
grace = "2s"
[log]
level = "INFO"
format = "json"
[[smtp.listeners]]
name = "mail"
listen = "127.0.0.1:0"
security = "starttls"
[smtp.tls]
certificate = "{certificate}"
key = "{key}"
[http]
listen = "127.0.0.1:0"
[http.tls]
certificate = "{certificate}"
key = "{key}"
[relay]
host = "127.0.0.1"
tls = "none"
[sip]
listen = "127.0.0.1:0"
[[trunk]]
name = "nowhere"
host = "127.0.0.1"
port = 9
channels = 2
[[customer]]
id = "acme"
domains = ["fax.example.org"]
addresses = ["alice@example.org"]
"""

HUNG = """
import asyncio, sys
from faxgw.client import Control
from faxgw.daemon import Daemon

async def pulse(self, within):
    return "the store does not answer"

Daemon.pulse = pulse
from faxgw.cli import main
main()
"""


class Service:
    """The process and its manager."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path]) -> None:
        self.config = folder / "faxgw.toml"
        self.log = folder / "log"
        self.text = SETTINGS.format(data=folder / "data", certificate=certificate[0], key=certificate[1])
        self.write(self.text)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(folder / "notify"))
        self.sock.settimeout(40)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, text: str) -> None:
        self.config.write_text(text)
        self.config.chmod(0o600)

    def start(self, *program: str, watchdog: float = 0.0) -> None:
        environ = os.environ | {"NOTIFY_SOCKET": self.sock.getsockname()}
        if watchdog:
            environ["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(program or ("-m", "faxgw")), "--config", str(self.config), "run"],
                env=environ,
                stderr=log,
            )

    def hear(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())

    def hear_of(self, key: str) -> dict[str, str]:
        """The next message that has the key."""
        while key not in (message := self.hear()):
            pass
        return message

    def reload(self) -> str:
        """SIGHUP; the status at its end."""
        self.signal(signal.SIGHUP)
        assert self.hear_of("RELOADING")["MONOTONIC_USEC"].isdecimal()
        return self.hear_of("READY")["STATUS"]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def logged(self, event: str) -> list[Mapping[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def port(self, event: str) -> int:
        """Where it listens, as it logged."""
        (line,) = self.logged(event)
        return int(str(line.get("port") or line["address"]).rpartition(":")[2])

    def in_force(self, account: str) -> Mapping[str, Any]:
        """The settings of an account, from the running gateway."""
        found = asyncio.run(Control(self.config.parent / "data").settings(account))
        return {key: one["value"] for key, one in found.items()}

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        self.sock.close()


@pytest.fixture
def service(tmp_path: Path, make_certificate: MakeCertificate) -> Iterator[Service]:
    made = Service(tmp_path, make_certificate())
    yield made
    made.close()


def certificate_of(service: Service) -> tuple[str, str]:
    """What HTTPS and STARTTLS show."""
    https = ssl.get_server_certificate(("127.0.0.1", service.port("http_started")), timeout=20)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", service.port("smtp_listens")), 20) as sock:
        sock.recv(500)
        sock.sendall(b"EHLO test\r\n")
        while b"250 " not in sock.recv(2000):
            pass
        sock.sendall(b"STARTTLS\r\n")
        assert sock.recv(500).startswith(b"220")
        with context.wrap_socket(sock) as tls:
            octets = tls.getpeercert(True)
    assert octets is not None
    return https, ssl.DER_cert_to_PEM_cert(octets)


def test_a_service_from_start_to_stop(service: Service) -> None:
    """sd_notify(3): ready when its doors are open, alive while it runs, stopping when told to."""
    service.start(watchdog=3.0)
    assert service.hear() == {"EXTEND_TIMEOUT_USEC": "300000000", "STATUS": "starting"}
    assert service.hear() == {"READY": "1", "STATUS": "0 calls in progress, 0 faxes waiting"}
    socket.create_connection(("127.0.0.1", service.port("smtp_listens")), 5).close()
    for _ in range(3):
        assert service.hear() == {"WATCHDOG": "1", "STATUS": "0 calls in progress, 0 faxes waiting"}
    service.signal(signal.SIGTERM)
    message = service.hear_of("STOPPING")
    assert int(message["EXTEND_TIMEOUT_USEC"]) > 2_000_000
    assert service.process is not None and service.process.wait(30) == 0


def test_reload_takes_on_what_it_may_and_names_the_rest(service: Service, make_certificate: MakeCertificate) -> None:
    """docs/systemd.md, "Reload"; the connection that was open before goes on."""
    service.start()
    service.hear_of("READY")
    before = certificate_of(service)
    certificate, key = make_certificate()
    with socket.create_connection(("127.0.0.1", service.port("smtp_listens")), 20) as client:
        assert client.recv(500).startswith(b"220")
        old_certificate, old_key = (
            service.text.split('certificate = "')[1].split('"')[0],
            service.text.split('key = "')[1],
        )
        text = service.text.replace(old_certificate, str(certificate)).replace(old_key.split('"')[0], str(key))
        text = text.replace("alice@", "bob@").replace("channels = 2", "channels = 7").replace('"2s"', '"3s"')
        service.write(text.replace('127.0.0.1:0"\n[[trunk', '127.0.0.1:5999"\n[[trunk'))
        assert service.reload() == "0 calls in progress, 0 faxes waiting; 1 settings need a restart"
        client.sendall(b"MAIL FROM:<bob@example.org>\r\nQUIT\r\n")
        assert client.recv(500).startswith(b"503")  # EHLO first: it was listened to
    assert certificate_of(service) == (certificate.read_text(),) * 2 != before
    (taken,) = service.logged("settings.reloaded")
    assert {"customer[0].addresses", "trunk[0].channels", "node.grace"} < set(taken["keys"])
    assert [line["key"] for line in service.logged("settings.waiting")] == ["sip.listen"]
    control = subprocess.run(
        [sys.executable, "-m", "faxgw", "--config", str(service.config), "status"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert "nowhere" in control.stdout and "7" in control.stdout


def test_faulty_settings_are_refused_whole_and_the_old_ones_hold(service: Service) -> None:
    service.start()
    service.hear_of("READY")
    before = certificate_of(service)
    service.write(service.text.replace("channels = 2", "channels = 0\ncolour = 1").replace("alice@", "bob@"))
    refused = "0 calls in progress, 0 faxes waiting; settings refused for 2 faults, the earlier ones hold"
    assert service.reload() == refused
    faults = [line["fault"] for line in service.logged("settings.refused")]
    assert any("channels" in fault for fault in faults) and any("colour" in fault for fault in faults)
    assert not service.logged("settings.reloaded")
    assert certificate_of(service) == before
    service.write(service.text)
    assert service.reload() == "0 calls in progress, 0 faxes waiting"


def test_what_the_file_names_no_more_has_its_default_again(service: Service) -> None:
    """docs/systemd.md, "Reload": of the system level, of an account, and of a table that is gone as a whole."""
    own = "[customer.settings]\nmax_recipients = 7\n"
    system = '[settings.values]\nkeep_days = 9\ncountry = "DE"\n'
    seen = []
    for text in (own + system, own + system.replace("keep_days = 9\n", ""), system, ""):
        service.write(service.text + text)
        if service.process is None:
            service.start()
            service.hear_of("READY")
        else:
            service.reload()
        in_force = service.in_force("acme")
        seen.append([in_force[key] for key in ("max_recipients", "keep_days", "country")])
    many, days, country = (SETTINGS_OF_ACCOUNTS[key].default for key in ("max_recipients", "keep_days", "country"))
    assert seen == [[7, 9, "DE"], [7, days, "DE"], [many, 9, "DE"], [many, days, country]]
    assert country != "DE" and many != 7 and days != 9


def test_a_gateway_that_does_not_move_feeds_no_watchdog(service: Service) -> None:
    """A loop that still turns is not enough."""
    service.start("-c", HUNG, watchdog=1.5)
    service.hear_of("READY")
    for _ in range(4):  # one a third of the span: longer than the span
        assert service.hear() == {"STATUS": "does not move: the store does not answer"}


def test_faulty_settings_at_the_start_end_with_a_status_of_their_own(service: Service) -> None:
    """systemd/faxgw.service, RestartPreventExitStatus=2."""
    service.write("[nod]\n")
    service.start()
    assert service.process is not None and service.process.wait(30) == 2
    assert "[node]" in service.log.read_text() or "node" in service.log.read_text()


class Stuck:
    """A store of which one half has stopped answering."""

    def __init__(self, *answers: str) -> None:
        self._answers = answers

    async def run(self, _unit: object) -> None:
        await self._answer("run")

    async def read(self, _unit: object) -> None:
        await self._answer("read")

    async def _answer(self, way: str) -> None:
        if way not in self._answers:
            await asyncio.Event().wait()


class Away(Stuck):
    async def _answer(self, way: str) -> None:
        raise StoreDown("no database")


def daemon_with(tmp_path: Path, store: Stuck) -> Daemon:
    path = tmp_path / "faxgw.toml"
    path.write_text("[node]\n")
    daemon = Daemon(load(path, SECTIONS, environ={}))
    daemon._seat = cast(Seat, SimpleNamespace(store=store))
    return daemon


async def test_the_pulse_asks_the_store_to_write_and_to_read(tmp_path: Path) -> None:
    assert await daemon_with(tmp_path, Stuck("run", "read")).pulse(0.05) == ""
    for half in ("run", "read"):
        assert await daemon_with(tmp_path, Stuck(half)).pulse(0.05) == "the store does not answer"


async def test_a_database_that_is_away_is_no_reason_to_die(tmp_path: Path) -> None:
    """docs/spine.md section 5: database gone, the gateway waits for it."""
    assert await daemon_with(tmp_path, Away()).pulse(0.05) == ""


async def test_the_pulse_misses_a_station_that_no_longer_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = daemon_with(tmp_path, Stuck("run", "read"))
    now = 1_000_000.0
    stations = [SimpleNamespace(name="call", looked_at=now - POLL - 6), SimpleNamespace(name="walk", looked_at=now - 1)]
    monkeypatch.setattr(daemon, "_stations", stations)
    monkeypatch.setattr("faxgw.daemon.time", SimpleNamespace(monotonic=lambda: now))
    assert await daemon.pulse(5.0) == "call: no look at what waits"
    assert await daemon.pulse(7.0) == ""
