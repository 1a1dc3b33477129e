"""The gate is given who believes signatures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faxgw.dispatch.evidence import Evidence
from faxgw.parts import evidence
from faxgw.settings import Settings, load
from faxgw.tables import SECTIONS
from tests.house import House
from tests.parts.gateway import started


@pytest.mark.asyncio(loop_scope="session")
async def test_the_gate_asks_it(house: House, tmp_path: Path) -> None:
    believed: list[Any] = []
    gate = SimpleNamespace(believe=believed.append)
    async with started(house, tmp_path, evidence.PART, gate=gate):
        assert [type(one) for one in believed] == [Evidence]


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "faxgw.toml"
    path.write_text(text)
    settings = load(path, SECTIONS, environ={})
    settings.check()
    return settings


ACCOUNTS = """
[[customer]]
id = "acme"
addresses = ["@acme.example"]
{customer}

[[customer.user]]
name = "erp"
profile = "machines"
addresses = ["erp@acme.example"]
{user}

[customer.profile.machines]
{profile}
"""


@pytest.mark.parametrize(
    "listen, allow, is_open",
    [
        ("0.0.0.0:25", "[]", True),
        ("[::]:25", "[]", True),
        ("203.0.113.5:25", "[]", True),
        ("203.0.113.5:25", '["0.0.0.0/0"]', True),
        ("203.0.113.5:25", '["198.51.100.0/28"]', False),
        ("127.0.0.1:25", "[]", False),
        ("192.168.1.5:25", "[]", False),
        ("localhost:25", "[]", False),
    ],
)
def test_a_listener_that_strangers_reach_is_named(tmp_path: Path, listen: str, allow: str, is_open: bool) -> None:
    text = '[[smtp.listeners]]\nname = "inner"\nlisten = "127.0.0.1:2526"\n[[smtp.listeners]]\nname = "mx"\n'
    settings = loaded(tmp_path, f'{text}listen = "{listen}"\nallow = {allow}\n')
    assert evidence.open_listeners(settings) == (["mx"] if is_open else [])


@pytest.mark.parametrize(
    "system, customer, user, profile, believed",
    [
        ("", "", "", "", []),
        ("none", "", "", "", ["@acme.example", "erp@acme.example"]),
        ("none", "spf", "", "", []),
        ("", "none", "dkim", "", ["@acme.example"]),
        ("", "", "none", "", ["erp@acme.example"]),
        ("", "", "", "none", ["erp@acme.example"]),
    ],
)
def test_who_is_believed_by_address_alone_is_named(
    tmp_path: Path, system: str, customer: str, user: str, profile: str, believed: list[str]
) -> None:
    def line(value: str, within: str = "settings = {{ {} }}") -> str:
        return within.format(f'sender_evidence = "{value}"') if value else ""

    text = ACCOUNTS.format(customer=line(customer), user=line(user), profile=line(profile, "{}"))
    settings = loaded(tmp_path, f"[settings.values]\n{line(system, '{}')}\n{text}")
    assert evidence.by_address_alone(settings) == believed


@pytest.mark.asyncio(loop_scope="session")
async def test_networks_that_listeners_name_are_no_strangers(house: House, tmp_path: Path) -> None:
    believed: list[Any] = []
    gate = SimpleNamespace(believe=believed.append)
    text = '[[smtp.listeners]]\nlisten = "127.0.0.1:0"\nallow = ["198.51.100.0/28"]\n'
    async with started(house, tmp_path, evidence.PART, gate=gate, text=text):
        assert [str(network) for network in believed[0].neighbours] == ["198.51.100.0/28"]


@pytest.mark.parametrize(
    "listen, proof, good, words",
    [
        ("0.0.0.0:25", "none", False, ["smtp mx", "@acme.example", '"auto"', "allow"]),
        ("0.0.0.0:25", "auto", True, ["smtp mx", "prove"]),
        ("10.0.0.5:25", "none", True, ["strangers reach no"]),
    ],
)
def test_the_operator_is_told_when_anybody_can_send(
    tmp_path: Path, listen: str, proof: str, good: bool, words: list[str]
) -> None:
    text = f'[[smtp.listeners]]\nname = "mx"\nlisten = "{listen}"\n[settings.values]\nsender_evidence = "{proof}"\n'
    ok, said = evidence.look(loaded(tmp_path, text + ACCOUNTS.format(customer="", user="", profile="")))
    assert ok is good and all(word in said for word in words), said
