"""The operator's commands on targets and rules: what they ask the gateway, and how they show what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from faxgw import cli_routing


class Gateway:
    """Keeps what it is asked; answers what the test says."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, tuple[str, ...], Any]] = []

    async def admin(self, method: str, *path: str, query: object = None, body: object = None) -> Any:
        self.asked.append((method, path, body))
        return self.answer


def run(gateway: Gateway, *arguments: str, fails: bool = False, **more: Any) -> str:
    @click.group()
    def main() -> None:
        """Test."""

    @main.group()
    def inbox() -> None:
        """Test."""

    def serve(work: Coroutine[Any, Any, Any]) -> Any:
        try:
            work.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("it waited")

    connect: Callable[..., Any] = lambda context: gateway  # noqa: E731
    cli_routing.register(main, inbox, connect, serve)
    result = CliRunner().invoke(main, arguments, **more)
    assert (result.exit_code != 0) is fails, result.output
    return result.output


TARGET = {
    "name": "crm",
    "kind": "sftp",
    "address": "files.example.org",
    "formats": ["tiff"],
    "searchable": False,
    "upright": True,
    "encryption": "none",
    "secrets": ["password"],
    "active": False,
}
RULE = {
    "id": "rul_1",
    "level": "number",
    "number": "+33199000099",
    "position": 5,
    "name": "a",
    "when": {"csid": ["ACME*"]},
    "then": {"deliver": ["crm"]},
    "stop": False,
    "active": True,
}


def test_a_target_is_made_with_secrets_that_nobody_sees_in_ps(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("KEY\n")
    gateway = Gateway(TARGET)
    out = run(
        gateway, "target", "add", "acme", "crm", "sftp", "files.example.org", "--param", "user=fax",
        "--secret", "password", "--secret", f"private_key=@{tmp_path / 'key'}", "--format", "tiff", "--upright",
        input="hush\n",
    )  # fmt: skip
    assert "hush" not in out
    ((method, path, body),) = gateway.asked
    assert (method, path) == ("POST", ("customers", "acme", "targets"))
    assert body == {
        "name": "crm",
        "kind": "sftp",
        "address": "files.example.org",
        "params": {"user": "fax"},
        "secrets": {"password": "hush", "private_key": "KEY"},
        "formats": ["tiff"],
        "upright": True,
    }
    assert "crm                  sftp     files.example.org  (tiff; upright; secrets: password; inactive)" in out
    assert "--secret is NAME" in run(gateway, "target", "change", "acme", "crm", "--secret", "password=x", fails=True)


def test_a_rule_is_made_of_its_options() -> None:
    gateway = Gateway(RULE)
    out = run(
        gateway, "rule", "add", "-", "a", "--when", "csid=ACME*", "--when", "csid=/^X/", "--when", "pages_min=2",
        "--when", "result=partial", "--deliver", "crm", "--tag", "x", "--extract", "order=/(?P<no>[0-9]+)/", "--go-on",
    )  # fmt: skip
    ((_method, path, body),) = gateway.asked
    assert path == ("gateway", "rules")
    assert body == {
        "name": "a",
        "position": 100,
        "when": {"csid": ["ACME*", "/^X/"], "pages_min": 2, "result": "partial"},
        "then": {
            "deliver": ["crm"],
            "tags": ["x"],
            "extract": [{"name": "order", "pattern": "/(?P<no>[0-9]+)/"}],
        },
        "stop": False,
    }
    assert "rul_1  number +33199000099     5  a:" in out
    assert out.rstrip().endswith(", then the next")
    assert "is a number" in run(gateway, "rule", "add", "acme", "a", "--when", "pages_min=x", fails=True)


def test_what_would_happen_is_told_in_lines() -> None:
    said = {
        "customer": "acme",
        "number": "+33199000099",
        "caller": [],
        "rules": [{"rule": "a", "level": "number", "scope": "", "verdict": "does not fit", "why": "csid"}],
        "waits_for_reading": ["b"],
        "deliveries": [
            {"kind": "mail", "address": "d@example.org", "formats": ["pdf"], "rule": "", "why": "no_owner",
             "waits_for_reading": True},
        ],
        "missing": ["crm"],
        "tags": ["x"],
        "reply": "",
        "extracted": {"order": {"no": "1"}},
    }  # fmt: skip
    gateway = Gateway(said)
    out = run(gateway, "inbox", "route", "--try", "+33199000099", "--barcode", "qr=X", "--partial")
    assert gateway.asked[0][2]["barcodes"] == [("qr", "X")]
    assert gateway.asked[0][2]["complete"] is False
    assert out.splitlines() == [
        "+33199000099 of acme, from nobody known",
        "  number   a: does not fit (csid)",
        "  waits for reading: b; without it:",
        "  -> mail d@example.org  pdf  (fallback mailbox, once it is read)",
        "  no such target, or inactive: crm",
        "  tags: x",
        '  extracted: {"order": {"no": "1"}}',
    ]
    assert json.loads(run(gateway, "inbox", "route", "rcv_1", "--json")) == said
    assert "Give RECEPTION" in run(gateway, "inbox", "route", fails=True)


@pytest.mark.parametrize("delivered", [True, False])
def test_a_test_that_fails_fails_the_command(delivered: bool) -> None:
    out = run(Gateway({"delivered": delivered, "detail": "why"}), "target", "test", "acme", "crm", fails=not delivered)
    assert out == f"{'delivered' if delivered else 'NOT delivered'}: why\n"
