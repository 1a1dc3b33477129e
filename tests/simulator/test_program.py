"""The simulator as a process: its ready line, its end, its list, and a fax placed by command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faxgw.simulator.behaviour import BEHAVIOURS, odd_table, zoo_table
from faxgw.simulator.callers import CALLING
from faxgw.simulator.machines import ANSWERING
from faxgw.simulator.manners import NEGOTIATION, NETWORK, REFUSALS, SIGNALLING
from faxgw.simulator.program import main
from tests.patience import PATIENCE_S
from tests.t30.conftest import page_image, tiff

PROGRAM = [sys.executable, "-m", "faxgw.simulator"]


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    process = subprocess.Popen(
        [*PROGRAM, "--bind", "127.0.0.1:0", "--received", str(tmp_path / "in"), "--pace", "0.1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        ready = json.loads(process.stdout.readline())
        yield process, ready
        process.terminate()
        process.wait(PATIENCE_S)


def test_the_ready_line_names_the_port_and_sigterm_ends_it(
    simulator: tuple[subprocess.Popen[str], dict[str, str]], tmp_path: Path
) -> None:
    process, ready = simulator
    assert ready["event"] == "ready"
    assert ready["sip"].startswith("127.0.0.1:")
    assert ready["sip"] != "127.0.0.1:0"
    assert ready["received"] == str(tmp_path / "in")
    assert "No call yet" in (tmp_path / "in" / "index.html").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_a_call_by_command_says_what_became_of_it(
    simulator: tuple[subprocess.Popen[str], dict[str, str]], tmp_path: Path
) -> None:
    fax = tmp_path / "fax.tif"
    fax.write_bytes(tiff([page_image(1, 100)]))
    command = [*PROGRAM, "--received", str(tmp_path / "out"), "--file", str(fax)]
    result = subprocess.run(
        [*command, "--call", f"sip:10@{simulator[1]['sip']}"], capture_output=True, text=True, timeout=30, check=False
    )
    record = json.loads(result.stdout)
    assert (record["status"], record["number"], record["pages_sent"]) == (486, "10", 1)
    assert result.returncode == 1


def test_the_list_has_every_machine(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0].lstrip("…") for line in lines] == list(BEHAVIOURS)


def test_the_documentation_has_every_machine() -> None:
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()
    for behaviour in BEHAVIOURS.values():
        odd = behaviour.manner is not None or behaviour.script is not None
        assert odd or f"| …{behaviour.suffix} | {behaviour.text} |" in text
    assert zoo_table(ANSWERING) in text
    assert zoo_table(CALLING) in text
    for machines in (NEGOTIATION, REFUSALS, SIGNALLING, NETWORK):
        assert odd_table(machines) in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bind", "127.0.0.1"],
        ["--bind", "127.0.0.1:99999"],
        ["--media-ports", "500-400"],
        ["--media-ports", "x"],
        ["--machine", "99"],
        ["--unknown"],
    ],
)
def test_wrong_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["tel:+49", "sip:10@example.com", "sip:@127.0.0.1"])
def test_a_call_needs_an_address_and_a_file(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--call", uri, "--file", "fax.tif", "--received", str(tmp_path)])
    assert ended.value.code == 2
    assert "--call needs" in capsys.readouterr().err


def test_a_call_with_no_tiff_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fax.tif").write_bytes(b"no fax")
    with pytest.raises(SystemExit) as ended:
        main(["--call", "sip:10@127.0.0.1:9", "--file", str(tmp_path / "fax.tif"), "--received", str(tmp_path)])
    assert ended.value.code == 2
    assert "no TIFF" in capsys.readouterr().err
