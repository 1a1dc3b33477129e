"""What systemd's own tools say of the units (offline: systemd need not run), and whether they fit the program."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from faxgw import daemon, service, tables
from faxgw.line.sip import STOP_WITHIN
from tests.systemd.launcher import CHECKOUT, mounts_on_root_twice, overlooked
from tests.systemd.unit import Service, allowed_calls

UNITS = CHECKOUT / "systemd"
PROGRAM = "/opt/faxgw/.venv/bin/faxgw"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def exposure(unit: Path) -> float:
    """0.0 (best) to 10.0."""
    done = analyze("security", "--offline=true", str(unit))
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.parametrize(("unit", "threshold"), [("faxgw.service", 22), ("faxgw-pages.service", 12)])
def test_the_units_expose_little(unit: str, threshold: int) -> None:
    """Reliability anchor 32 and C-02: at most 2.2 and 1.2."""
    done = analyze("security", "--offline=true", f"--threshold={threshold}", str(UNITS / unit))
    assert done.returncode == 0, done.stdout[-3000:]
    assert exposure(UNITS / unit) <= threshold / 10


def test_low_ports_cost_one_capability_and_little_exposure(tmp_path: Path) -> None:
    """C-03: no capability but NET_BIND_SERVICE. The drop-in is read after the unit."""
    merged = tmp_path / "faxgw.service"
    unit, drop_in = (UNITS / "faxgw.service").read_text(), (UNITS / "privileged-ports.conf").read_text()
    merged.write_text(unit.replace("[Install]", drop_in + "\n[Install]"))
    assert exposure(merged) <= 2.2
    assert Service(merged).one("AmbientCapabilities") == "CAP_NET_BIND_SERVICE"


def test_a_unit_without_its_sandbox_is_seen(tmp_path: Path) -> None:
    """The two tests above can fail."""
    bare = tmp_path / "faxgw.service"
    bare.write_text(f"[Service]\nUser=faxgw\nExecStart={PROGRAM} run\n")
    assert exposure(bare) > 8


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    program = tmp_path / "faxgw"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    for unit in UNITS.glob("faxgw*.*"):
        text = unit.read_text().replace(PROGRAM, str(program)).replace("file:///opt/faxgw", "file:///usr/share")
        (tmp_path / unit.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.glob("faxgw*.*"))
    assert len(units) == 3
    done = analyze("verify", "--man=no", *units)
    complaints = [line for line in done.stderr.splitlines() if "faxgw" in line]
    assert complaints == []


@pytest.mark.parametrize("unit", ["faxgw.service", "faxgw-pages.service"])
def test_the_launcher_knows_every_directive(unit: str) -> None:
    """A directive that nobody applies would be tested by nobody."""
    assert overlooked(Service(UNITS / unit)) == set()


def test_the_launcher_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    unit = tmp_path / "faxgw.service"
    unit.write_text((UNITS / "faxgw.service").read_text().replace("[Install]", "ProtectNothing=yes\n[Install]"))
    assert overlooked(Service(unit)) == {"ProtectNothing"}


def test_the_empty_root_of_the_page_processes_is_the_only_thing_on_root(tmp_path: Path) -> None:
    """systemd 252 drops the temporary file system when ProtectSystem= or DynamicUser= stands beside it."""
    pages = UNITS / "faxgw-pages.service"
    assert not mounts_on_root_twice(Service(pages))
    for line in ("ProtectSystem=strict", "DynamicUser=yes"):
        spoilt = tmp_path / "faxgw-pages.service"
        spoilt.write_text(f"{pages.read_text()}\n{line}\n")
        assert mounts_on_root_twice(Service(spoilt))


def test_filters_take_what_a_fax_gateway_never_needs() -> None:
    calls = allowed_calls(Service(UNITS / "faxgw.service"))
    assert {"read", "execve", "prlimit64", "memfd_create", "socket", "renameat", "fdatasync"} <= calls
    assert not calls & {"ptrace", "mount", "chroot", "setuid", "bpf", "keyctl", "reboot", "chown", "init_module"}


def test_the_units_fit_the_program() -> None:
    """Times that two places must agree on."""
    unit = Service(UNITS / "faxgw.service")
    minutes = int(unit.one("TimeoutStopSec").removesuffix("min"))
    grace = float(tables.NodeSettings().grace)
    assert minutes * 60 >= grace + daemon.STATION_GRACE + STOP_WITHIN
    assert int(unit.one("TimeoutStartSec").removesuffix("min")) * 60 >= service.START_WITHIN
    assert f"{unit.one('StateDirectory')}" == tables.NodeSettings().data.name
    assert unit.words("Environment") == ["FAXGW_PAGES__SOCKET=/run/faxgw/pages.sock"]
    listen = re.findall(r"^ListenStream=(.*)$", (UNITS / "faxgw-pages.socket").read_text(), re.MULTILINE)
    assert listen == ["/run/faxgw/pages.sock"]
    assert unit.one("KillMode") == "mixed" and unit.one("OOMPolicy") == "continue"
