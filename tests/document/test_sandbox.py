"""What a program in the sandbox can reach: nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from faxgw.document import sandbox
from faxgw.document.client import PageClient, PagesUnavailable
from faxgw.document.sandbox import NoSandbox, Plan
from faxgw.document.types import PageSettings, Sandbox

INTRUDER = """
import json, os, socket, sys
port, canary, pid = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
found = {}
def attempt(name, action):
    try:
        found[name] = repr(action())
    except OSError as exc:
        found[name] = "OSError"
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", port), 2))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)))
attempt("canary", lambda: open(canary).read())
attempt("passwd", lambda: open("/etc/passwd").read())
attempt("kill", lambda: os.kill(pid, 0))
attempt("write", lambda: open("/usr/canary", "w"))
attempt("write root", lambda: open("/canary", "w"))
attempt("root of parent", lambda: os.listdir(f"/proc/{pid}/root"))
import faxgw.document.types, msgpack
found["package"] = "imported"
found["status"] = {k: v.strip() for k, v in (line.split(":", 1) for line in open("/proc/self/status"))}["CapEff"]
print(json.dumps(found))
"""


def intrude(plan: Plan, canary: Path) -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as ear:
        port = listener.getsockname()[1]
        ear.bind(("127.0.0.1", port))
        ear.setblocking(False)
        done = subprocess.run(
            plan.command(["-c", INTRUDER, str(port), str(canary), str(os.getpid())]),
            env=sandbox.environment(),
            capture_output=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        found: dict[str, str] = json.loads(done.stdout)
        try:
            found["udp"] = repr(ear.recv(10))
        except BlockingIOError:
            found["udp"] = "OSError"
    return found


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "canary"
    path.parent.mkdir()
    path.write_text("secret")
    return path


def plan_of(kind: Sandbox) -> Plan:
    try:
        return sandbox.choose(kind)
    except NoSandbox as exc:
        pytest.skip(str(exc))


@pytest.mark.parametrize("kind", [Sandbox.BUBBLEWRAP, Sandbox.UNSHARE])
def test_a_program_inside_reaches_no_network_and_no_folder(kind: Sandbox, canary: Path) -> None:
    """reliability rule 8; P-rule for all: no packet to another host, no file outside."""
    found = intrude(plan_of(kind), canary)
    for name in ("tcp", "udp", "canary", "passwd", "kill", "write", "write root", "root of parent"):
        assert found[name] == "OSError", name
    assert found["package"] == "imported"
    assert int(found["status"], 16) == 0  # no capability


def test_without_a_sandbox_the_same_program_succeeds(canary: Path) -> None:
    """The intruder works: the test above can fail."""
    found = intrude(sandbox.choose(Sandbox.NONE), canary)
    assert "socket" in found["tcp"]
    assert found["udp"] == "b'x'"
    assert found["canary"] == "'secret'"
    assert found["kill"] == "None"


def test_auto_takes_what_works() -> None:
    assert sandbox.choose(Sandbox.AUTO).isolated


def test_without_bubblewrap_and_root_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NoSandbox) as error:
        sandbox.choose(Sandbox.AUTO)
    assert "bwrap is not installed" in str(error.value)
    assert 'sandbox = "none"' in str(error.value)
    report = sandbox.probe(Sandbox.AUTO)
    assert not report.ok and "bubblewrap" in report.detail
    assert sandbox.probe(Sandbox.NONE).ok


def test_a_launcher_that_fails_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    with pytest.raises(NoSandbox):
        sandbox.choose(Sandbox.BUBBLEWRAP)


async def test_the_client_refuses_to_start_without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    client = PageClient()
    try:
        with pytest.raises(PagesUnavailable, match="no sandbox"):
            await client.start()
    finally:
        await client.close()


@pytest.mark.parametrize("kind", [Sandbox.BUBBLEWRAP, Sandbox.UNSHARE, Sandbox.NONE])
async def test_the_server_starts_under_every_launcher(kind: Sandbox) -> None:
    plan_of(kind)
    client = PageClient(PageSettings(sandbox=kind))
    await client.start()
    assert client.plan is not None and client.plan.kind is kind
    await client.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")
def test_an_ordinary_user_has_the_sandbox_too() -> None:
    """In a user namespace, without any privilege."""
    reach = ["test", "-x", sys.executable, "-a", "-r", sandbox.__file__]
    if subprocess.run(reach, user=65534, group=65534, extra_groups=[], check=False).returncode != 0:
        pytest.skip("the checkout lies in a folder that only root may enter")
    code = "import sys; from faxgw.document import sandbox; print(sandbox.choose(sandbox.Sandbox.AUTO).kind.value)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        user=65534,
        group=65534,
        extra_groups=[],
        env=sandbox.environment(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.decode().strip() == "bubblewrap", done.stderr.decode()
