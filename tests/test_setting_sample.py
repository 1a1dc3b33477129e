from __future__ import annotations

import enum
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field

from faxgw import tables
from faxgw.fax import account
from faxgw.setting_sample import sample
from faxgw.settings import ByteSize, Duration, Listener, LogSettings, Many, Maybe, Secret, Section, Sections, Tls, load


class Transport(enum.StrEnum):
    UDP = "udp"


class Door(Section):
    """`[[mail.door]]`: one port."""

    listen: Listener = Listener("127.0.0.1", 25)
    """Where."""
    tls: Tls | None = None
    """How."""


class Mail(Section):
    """`[mail]`: mail in."""

    host: str = Field(examples=["mail.example"])
    """Name of the server."""
    transport: Transport
    """Which."""
    limit: ByteSize = ByteSize(30_000_000)
    """Size of a mail. This text is so long that it does not fit into a single line of the sample file, which is why it
    is broken into two."""
    password: Secret | None = None
    door: tuple[Door, ...] = (Door(),)
    wait: Duration | None = None
    when: Duration = Duration(90)
    names: tuple[str, ...] = ("a", "b")
    values: dict[str, Any] = Field(default_factory=dict)


SECTIONS: Sections = {"mail": Mail, "trunk": Many(Door), "relay": Maybe(Door), "log": LogSettings}


TABLES = {"mail.values": [("csid", "", "Identification"), ("pages", 3, "Pages at most")]}


def switched_on(text: str) -> str:
    """The sample with every key set."""
    return "".join(
        line.removeprefix("#") + "\n" for line in text.splitlines() if line.startswith("#") and line[1:2] != " "
    )


TLS = {"certificate": "/etc/faxgw/server.pem", "key": "/etc/faxgw/server.key"}


def test_every_key_is_named_with_its_default_or_an_example() -> None:
    assert tomllib.loads(switched_on(sample(SECTIONS, TABLES))) == {
        "mail": {
            "host": "mail.example",
            "transport": "udp",
            "limit": "30MB",
            "password": {"file": "/etc/faxgw/password"},
            "wait": "5m",
            "when": "1m30s",
            "names": ["a", "b"],
            "values": {"csid": "", "pages": 3},
            "door": [
                {
                    "listen": "127.0.0.1:25",
                    "tls": TLS,
                }
            ],
        },
        "trunk": [
            {"listen": "127.0.0.1:25", "tls": TLS},
        ],
        "relay": {"listen": "127.0.0.1:25", "tls": TLS},
        "log": {"level": "INFO", "format": "auto", "show_numbers": False},
    }


def test_what_a_key_means_stands_above_it() -> None:
    lines = sample(SECTIONS, TABLES).splitlines()
    assert lines[lines.index("#[mail]") - 1] == "# `[mail]`: mail in."
    above = lines[: lines.index('#limit = "30MB"')][-2:]
    assert above[0].startswith("# Size of a mail. ")
    assert above[1].endswith("is broken into two.")
    assert max(map(len, lines)) <= 120


def test_nothing_is_set_by_the_sample_itself() -> None:
    assert tomllib.loads(sample(SECTIONS, TABLES)) == {}


def test_a_table_switched_on_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "sample.toml"
    file.write_text(switched_on(sample({"log": LogSettings}, {})))
    settings = load(file, {"log": LogSettings}, environ={})
    settings.check()
    assert settings.one("log", LogSettings) == LogSettings()


def test_the_file_in_config_names_every_setting_of_the_daemon() -> None:
    """If this fails: script/sample."""
    values = [(setting.key, setting.default, f"{setting.doc}.") for setting in account.SETTINGS.values()]
    made = sample(tables.SECTIONS, {"settings.values": values})
    assert (Path(__file__).parent.parent / "config/faxgw.toml").read_text() == made
