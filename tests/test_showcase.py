"""What a newcomer reads and sees: commands that are right, and pages that let nothing else in."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application

from faxgw import rig, showcase

MACHINES = (("+33199000001", "takes every page"), ("+33199000002", "<b>busy</b>"))
FOLDER = Path("/tmp/a demo")


def test_a_port_that_somebody_has_is_left_to_the_system() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert showcase._free(taken.getsockname()[1], socket.SOCK_STREAM) == 0
        port = taken.getsockname()[1]
    assert showcase._free(port, socket.SOCK_STREAM) == port


def test_the_screen_names_every_machine_and_where_everything_is() -> None:
    text = showcase.screen(2525, "127.0.0.1:8080", 5060, Path("/tmp/demo"), MACHINES)
    for number, habit in MACHINES:
        assert f"{number}  {habit}" in text
    for said in (
        "127.0.0.1:2525",
        "http://127.0.0.1:8080/",
        f"sip:{rig.CALLER}@127.0.0.1:5060",
        "/tmp/demo/faxgw.toml",
    ):
        assert said in text


def test_where_nobody_can_call_no_call_is_offered() -> None:
    assert "Receive one" not in showcase.screen(2525, "127.0.0.1:8080", 0, FOLDER, MACHINES)


def test_the_mail_of_the_first_fax_goes_to_a_number_of_the_demo() -> None:
    text = showcase.screen(2525, "127.0.0.1:8080", 0, Path("/tmp/demo"), MACHINES)
    command = text[text.index("swaks") : text.index("[--attach")].replace("\\\n", " ")
    words = shlex.split(command)
    assert words[words.index("--to") + 1] == f"00{rig.FIRST_PAGES[1:]}@{rig.DOMAIN}"


@pytest.mark.asyncio
async def test_pages_show_habits_as_text_and_only_what_was_received(tmp_path: Path) -> None:
    (tmp_path / "received").mkdir()
    (tmp_path / "secret.txt").write_text("settings")
    application = Application()
    application.add_routes(showcase._pages(tmp_path, MACHINES))
    async with TestClient(TestServer(application)) as client:
        front = await (await client.get("/")).text()
        assert "&lt;b&gt;busy&lt;/b&gt;" in front and "<b>busy" not in front
        assert "Nothing was received yet." in await (await client.get("/received/")).text()
        assert (await client.get("/received/%2e%2e/secret.txt")).status in (403, 404)
