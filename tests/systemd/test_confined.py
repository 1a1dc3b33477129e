"""The gateway within its units, and a program that tries to get out of them (reliability C-02, rule 8)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.launcher import CHECKOUT, USERS
from tests.tools import needs_office

LAUNCHER = CHECKOUT / "tests" / "systemd" / "launcher.py"
UNITS = CHECKOUT / "systemd"
INSIDE = "/opt/faxgw"
"""Where the checkout lies inside."""
PYTHON = f"{INSIDE}/.venv/bin/python"
ESCAPE = f"{INSIDE}/tests/systemd/escape.py"
IN_A_DOCUMENT = (
    "import runpy, sys; from faxgw.document import seccomp; seccomp.load(seccomp.child_program());"
    f" runpy.run_path({ESCAPE!r}, run_name='__main__')"
)
"""As a document's process: the unit's confinement, and the child's own filter."""


def _may_launch() -> bool:
    if os.geteuid() != 0:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _may_launch(), reason="making namespaces as systemd does needs root")


@dataclass
class World:
    """Folders and sockets that outlive the processes."""

    state: Path
    run: Path
    listener: socket.socket

    def launch(self, unit: str | Path, command: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a command, or the unit's own, as the unit says."""
        words = [sys.executable, str(LAUNCHER), str(UNITS / unit), "--state", str(self.state), "--run", str(self.run)]
        if not command:
            words += ["--listener", str(self.listener.fileno())]
        return subprocess.Popen(
            [*words, *(["--", *command] if command else [])],
            pass_fds=(self.listener.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def world() -> Iterator[World]:
    """In /dev/shm, where the units' users may go."""
    with tempfile.TemporaryDirectory(prefix="faxgw-units-", dir="/dev/shm") as name:
        folder = Path(name)
        folder.chmod(0o755)
        state, run = folder / "state", folder / "run"
        state.mkdir()
        run.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            path = run / "pages.sock"
            listener.bind(str(path))
            listener.listen(8)
            path.chmod(0o600)
            os.chown(path, USERS["faxgw"], USERS["faxgw"])
            yield World(state, run, listener)


@contextlib.contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.terminate()
        try:
            _, err = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            _, err = process.communicate()
        sys.stderr.write(err[-5000:])  # shown when the test fails


def finish(process: subprocess.Popen[str], within: float) -> Any:
    """The last line of what it says, as JSON."""
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    assert out.strip(), err[-3000:]
    return json.loads(out.strip().splitlines()[-1])


GATEWAY = """
import json, os, socket, sys, time
tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
control = socket.socket(socket.AF_UNIX)
control.bind("/var/lib/faxgw/control.sock")
control.listen(8)
with open("/var/lib/faxgw/canary", "w") as canary:
    canary.write("secret")
status = open("/proc/self/status").read()
print(json.dumps({"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}), flush=True)
time.sleep(600)
"""
"""Has what a gateway has that others want, under the gateway's unit."""


@contextlib.contextmanager
def gateway(world: World) -> Iterator[dict[str, Any]]:
    """What `escape.py` must know of a gateway that runs."""
    with running(world.launch("faxgw.service", [PYTHON, "-c", GATEWAY])) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield facts | {
            "pid": int(child),
            "canary": "/var/lib/faxgw/canary",
            "sockets": ["/var/lib/faxgw/control.sock", "/run/faxgw/pages.sock"],
        }


def without(unit: str, *directives: str) -> str:
    """The unit's text without some of its directives."""
    lines = (UNITS / unit).read_text().splitlines()
    assert all(any(line.startswith(f"{name}=") for line in lines) for name in directives)
    return "\n".join(line for line in lines if line.partition("=")[0] not in directives)


def test_nothing_gets_out_of_the_page_processes(world: World) -> None:
    """No network, no store, no other process, nothing to write, no privilege: every single try fails."""
    with gateway(world) as facts:
        for command in ([PYTHON, "-P", ESCAPE], [PYTHON, "-c", IN_A_DOCUMENT]):
            found = finish(world.launch("faxgw-pages.service", [*command, json.dumps(facts)]), 60)
            assert len(found) > 30
            assert [name for name, error in found.items() if error == ""] == []


def test_outside_the_same_program_gets_everywhere(world: World) -> None:
    """The test above can fail: what it tries does work where nothing forbids it."""
    with gateway(world) as facts:
        outside = facts | {"canary": str(world.state / "canary"), "sockets": [str(world.state / "control.sock")]}
        command = [sys.executable, str(CHECKOUT / "tests" / "systemd" / "escape.py"), json.dumps(outside)]
        found = finish(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True), 60)
    # Where the checkout is not in /opt, that try finds nothing; the last ones fail for anybody.
    elsewhere = {"write /opt/faxgw", "write /dev/shm of the machine", "clock", "store by the gateway's root"}
    assert {name: error for name, error in found.items() if error}.keys() <= elsewhere


def test_the_gateway_itself_is_kept_to_its_store_and_its_sockets(world: World) -> None:
    with gateway(world) as facts:
        found = finish(world.launch("faxgw.service", [PYTHON, "-P", ESCAPE, json.dumps(facts)]), 60)
    own = {"tcp", "udp", "store", "signal", "socket control.sock", "socket pages.sock"}
    same_user = {name for name in found if name.startswith(("gateway's", "store by", "descriptor"))}
    assert {name for name, error in found.items() if error == ""} <= own | same_user
    for name in ("ptrace", "mount", "user namespace", "setuid", "writable code", "raw socket", "write /etc"):
        assert found[name] in ("EPERM", "EROFS"), name


@pytest.mark.parametrize(
    ("taken", "tried", "outcome"),
    [
        (("MemoryDenyWriteExecute",), "writable code", ""),
        (("RestrictAddressFamilies",), "udp", "ENETUNREACH"),  # a network without any route
        (("PrivateNetwork", "RestrictAddressFamilies"), "udp", ""),
        (("RestrictNamespaces",), "user namespace", ""),  # @system-service has unshare(2)
    ],
)
def test_a_directive_taken_out_is_noticed(
    world: World, tmp_path: Path, taken: Sequence[str], tried: str, outcome: str
) -> None:
    """Each wall stands by its own directive, and the launcher applies it."""
    unit = tmp_path / "faxgw-pages.service"
    unit.write_text(without(unit.name, *taken))
    facts = {"tcp": 9, "udp": 9, "pid": os.getpid(), "canary": "/nowhere", "sockets": []}
    found = finish(world.launch(unit, [PYTHON, "-P", ESCAPE, json.dumps(facts)]), 60)
    assert found[tried] == outcome


GREEDY = (
    "import os; child = os.fork(); child or (bytearray(256 << 20), os._exit(0));"
    " print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
)
"""Has a child that takes 256 MiB, and says how it ended."""


def test_memory_is_bounded_for_the_whole_unit(world: World, tmp_path: Path) -> None:
    """MemoryMax=, OOMPolicy=continue: the child that takes too much dies, its parent goes on."""
    unit = tmp_path / "faxgw.service"
    unit.write_text((UNITS / "faxgw.service").read_text().replace("MemoryMax=2G", "MemoryMax=64M"))
    shell = f"grep -q faxgw-launcher /proc/self/cgroup || echo 1; exec {PYTHON} -c '{GREEDY}'"
    process = world.launch(unit, ["/bin/sh", "-c", shell])
    out, err = process.communicate(timeout=60)
    if out.startswith("1"):
        pytest.skip("no memory cgroup may be made here")
    assert out.strip() == "-9", err


@pytest.mark.realtime
def test_a_fax_goes_its_whole_way_within_the_units(world: World) -> None:
    """SMTP, pages, SIP and T.38 for real: gateway and call workers in one unit, page processes in the other."""
    with running(world.launch("faxgw-pages.service")) as pages:
        command = [PYTHON, "-m", "faxgw", "selftest", "--json", "--pages-socket", "/run/faxgw/pages.sock"]
        result = finish(world.launch("faxgw.service", command), 250)
        assert pages.poll() is None
    assert result["ok"] and result["pixel_identical"] and result["transport"] == "t38", result


def test_within_its_unit_the_gateway_makes_no_sandbox_of_its_own(world: World) -> None:
    """The unit forbids namespaces: without the page service nothing is converted, and it is said why."""
    process = world.launch("faxgw.service", [PYTHON, "-m", "faxgw", "selftest"])
    out, err = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "The page processes do not start: no sandbox for the page processes works here" in out + err


OFFICE = """
import asyncio, json, os
from faxgw.document import office_pool
from faxgw.document.limits import Limits
from faxgw.document.types import Kind
from tests.tools import needs_office

async def convert():
    pool, source = office_pool.OfficePool(), os.memfd_create("document")
    os.write(source, rb"{\\rtf1 Hello}")
    made = await pool.convert(source, Kind.RTF, 10, Limits())
    await pool.close()
    return os.pread(made, 5, 0).decode()

print(json.dumps(asyncio.run(convert())))
"""


@needs_office
def test_libreoffice_runs_within_the_unit_of_the_page_processes(world: World) -> None:
    """Without memory that is writable and executable, without a folder but /tmp."""
    assert finish(world.launch("faxgw-pages.service", [PYTHON, "-c", OFFICE]), 90) == "%PDF-"
