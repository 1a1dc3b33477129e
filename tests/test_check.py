"""`faxgw check`: everything that is wrong, at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from faxgw.check import run_checks
from tests.ports import free_port

SETTINGS = """
[node]
data = "{data}"

[[smtp.listeners]]
listen = "127.0.0.1:{taken}"

[http]
listen = "127.0.0.1:0"

[relay]
host = "127.0.0.1"
port = {dead}

[sip]
listen = "127.0.0.1:0"

[[trunk]]
name = "carrier"
host = "127.0.0.1"

[[customer]]
id = "acme"
domains = ["fax.example.org"]
"""


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


async def test_a_taken_port_and_a_dead_relay_are_both_named(tmp_path: Path, taken: int) -> None:
    config = tmp_path / "faxgw.toml"
    config.write_text(SETTINGS.format(data=tmp_path / "data", taken=taken, dead=free_port()))
    found = {f.what: f for f in await run_checks(config)}
    assert not found["port smtp submission"].ok
    assert "another program" in found["port smtp submission"].text
    assert not found["mail relay"].ok
    for good in (
        "settings",
        "python",
        "fax engine",
        "page sandbox",
        "office",
        "data folder",
        "trunk carrier",
        "port http",
    ):
        assert found[good].ok, found[good]


async def test_faulty_settings_are_all_named_and_the_tools_are_still_looked_at(tmp_path: Path) -> None:
    config = tmp_path / "faxgw.toml"
    config.write_text('[node]\ngrace = "soon"\n[smtpp]\n')
    found = await run_checks(config)
    faults = [f.text for f in found if f.what == "settings"]
    assert len(faults) == 2
    assert all(not f.ok for f in found if f.what == "settings")
    assert any(f.what == "fax engine" and f.ok for f in found)


async def test_no_settings_file_points_to_the_sample(tmp_path: Path) -> None:
    first = (await run_checks(tmp_path / "none.toml"))[0]
    assert not first.ok
    assert "config/faxgw.toml" in first.text
    assert set(first.as_json()) == {"what", "ok", "text"}


@pytest.mark.parametrize("proof, good", [("none", False), ("auto", True)])
async def test_senders_whom_anybody_may_be_are_named(tmp_path: Path, proof: str, good: bool) -> None:
    """An address that is believed as it stands, on a port that strangers reach, is an open relay for faxes."""
    config = tmp_path / "faxgw.toml"
    text = SETTINGS.format(data=tmp_path / "data", taken=free_port(), dead=free_port()).replace(
        'listen = "127.0.0.1:', 'listen = "0.0.0.0:', 1
    )
    config.write_text(f'{text}addresses = ["@acme.example"]\nsettings = {{ sender_evidence = "{proof}" }}\n')
    found = {f.what: f for f in await run_checks(config)}
    assert found["senders"].ok is good, found["senders"]
    assert good or "@acme.example" in found["senders"].text
