"""What the service manager hears, through a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faxgw.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket, and what NOTIFY_SOCKET says of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        if request.param == "path":
            sock.bind(str(tmp_path / "notify"))
            yield sock, str(tmp_path / "notify")
        else:
            name = f"faxgw-test-{os.getpid()}-{time.monotonic_ns()}"
            sock.bind(f"\0{name}")
            yield sock, f"@{name}"


def heard(sock: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in sock.recv(4096).decode().splitlines())


def test_each_message_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    """sd_notify(3): newline-separated assignments."""
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.starting(300, "starting")
    assert heard(sock) == {"EXTEND_TIMEOUT_USEC": "300000000", "STATUS": "starting"}
    notifier.ready("2 calls in progress")
    assert heard(sock) == {"READY": "1", "STATUS": "2 calls in progress"}
    notifier.alive()
    assert heard(sock) == {"WATCHDOG": "1"}
    notifier.status("7 faxes waiting")
    assert heard(sock) == {"STATUS": "7 faxes waiting"}
    notifier.stopping(12.5)
    assert heard(sock) == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "12500000"}


def test_a_reload_says_when_it_began(manager: tuple[socket.socket, str]) -> None:
    """sd_notify(3): RELOADING=1 comes with MONOTONIC_USEC, of CLOCK_MONOTONIC."""
    sock, name = manager
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": name}).reloading()
    message = heard(sock)
    assert message.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_a_status_stays_one_short_line(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    Notifier({"NOTIFY_SOCKET": name}).status("a\nWATCHDOG=trigger " + "x" * 1000)
    message = heard(sock)
    assert message.keys() == {"STATUS"}
    assert message["STATUS"].startswith("a WATCHDOG=trigger x") and len(message["STATUS"]) == 200


def test_the_watchdog_is_fed_by_the_process_it_is_meant_for() -> None:
    """sd_watchdog_enabled(3)."""
    asked = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "60000000"}
    assert Notifier(asked).watchdog == 60.0
    assert Notifier(asked | {"WATCHDOG_PID": str(os.getpid())}).watchdog == 60.0
    assert Notifier(asked | {"WATCHDOG_PID": "1"}).watchdog == 0.0
    assert Notifier(asked | {"WATCHDOG_USEC": "soon"}).watchdog == 0.0
    assert Notifier({}).watchdog == 0.0


def test_a_manager_that_does_not_listen_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready("on my own")
    notifier.alive()
    assert [record.getMessage() for record in caplog.records] == ["service manager not told"]
    Notifier({}).ready("without one")
    assert len(caplog.records) == 1
