"""The commands on calls, against a gateway that answers what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest
from click.testing import CliRunner

from faxgw import cli_calls
from tests.test_show import NOW, attempt, fax, found, live


class Gateway:
    """Answers like `faxgw.client.Control`."""

    def __init__(self) -> None:
        self.looks = 0
        self.asked: list[tuple[str, ...]] = []
        self.found = found(fax(attempts=[attempt("att_1"), attempt("att_2")]))

    async def calls(self) -> dict[str, Any]:
        self.looks += 1
        if self.looks > 2:
            raise asyncio.CancelledError
        return {"at": NOW, "calls": [live()]}

    async def find(self, ident: str) -> dict[str, Any]:
        return self.found

    async def recording(self, call: str, form: str) -> bytes:
        self.asked.append((call, form))
        return f"{form} of {call}".encode()

    async def record(self, number: str, who: str) -> str:
        self.asked.append((number,))
        return "noted"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def run(gateway: Gateway) -> Callable[..., tuple[int, str]]:
    def work(coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run(coroutine)
        except asyncio.CancelledError:
            return None

    def invoke(*words: str) -> tuple[int, str]:
        group = click.Group("faxgw")
        cli_calls.register(group, lambda context: gateway, work)  # type: ignore[arg-type,return-value]
        result = CliRunner().invoke(group, list(words))
        return result.exit_code, result.output

    return invoke


def test_calls_are_shown_masked_unless_asked_otherwise(run: Callable[..., tuple[int, str]]) -> None:
    assert "+33199000001" not in run("calls")[1]
    assert "+33199000001" in run("calls", "--full")[1]


def test_calls_can_be_followed_by_a_program(
    run: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_calls, "FOLLOW_EVERY", 0.0)
    code, text = run("calls", "--follow", "--json")
    assert code == 0
    assert [json.loads(line)["calls"][0]["call"] for line in text.splitlines()] == ["att_9", "att_9"]


def test_a_trace_is_told_of_all_calls_or_of_one(run: Callable[..., tuple[int, str]]) -> None:
    assert run("trace", "FN1")[1].count("call att_") == 2
    text = run("trace", "att_2")[1]
    assert text.startswith("call att_2") and "att_1" not in text and "journal" not in text


def test_a_trace_as_data(run: Callable[..., tuple[int, str]]) -> None:
    first, second = json.loads(run("trace", "FN1", "--json")[1])["calls"]
    assert (first["call"], second["call"]) == ("att_1", "att_2")
    assert [entry["kind"] for entry in first["entries"]] == ["sip", "frame", "frame", "data", "frame", "frame"]
    assert first["entries"][3]["answer"] == "confirmed"


def test_a_picture_is_drawn_of_the_newest_call(run: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, text = run("trace", "FN1", "--svg", str(tmp_path / "call.svg"))
    assert (code, text) == (0, "")
    picture = ElementTree.parse(tmp_path / "call.svg").getroot()
    assert "att_2" in str(picture.get("aria-label"))


def test_a_call_that_goes_on_is_not_drawn(run: Callable[..., tuple[int, str]], gateway: Gateway) -> None:
    running = {**attempt("att_3"), "trace": None, "outcome": None, "cause": ""}
    gateway.found = found(fax(attempts=[attempt("att_1"), running]))
    assert "att_1" in run("trace", "FN1", "--svg", "-")[1]


def test_recordings_are_written_in_the_form_that_was_asked_for(
    run: Callable[..., tuple[int, str]], gateway: Gateway, tmp_path: Path
) -> None:
    run("trace", "FN1", "--pcap", str(tmp_path / "a.pcap"), "--recording", str(tmp_path / "a.faxrec"))
    assert (tmp_path / "a.pcap").read_bytes() == b"pcap of att_2"
    assert (tmp_path / "a.faxrec").read_bytes() == b"recording of att_2"
    assert run("trace", "att_1", "--pcap", "-")[1] == "pcap of att_1"


def test_a_fax_without_a_call_has_no_picture(run: Callable[..., tuple[int, str]], gateway: Gateway) -> None:
    gateway.found = found(fax())
    code, text = run("trace", "FN1", "--svg", "-")
    assert code == 1 and "no call yet" in text


def test_a_number_is_recorded_once(run: Callable[..., tuple[int, str]], gateway: Gateway) -> None:
    assert run("record", "+33199000001") == (0, "noted\n")
    assert gateway.asked == [("+33199000001",)]
