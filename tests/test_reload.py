"""Which settings a running gateway takes on, and which it names as waiting for a restart."""

from __future__ import annotations

from pathlib import Path

from faxgw.reload import Changes, Current, compare
from faxgw.settings import Settings, changed, load
from faxgw.tables import SECTIONS
from tests.conftest import MakeCertificate

BASE = """
[node]
grace = "20s"
[log]
level = "INFO"
[sip]
listen = "127.0.0.1:0"
[[trunk]]
name = "a"
host = "192.0.2.1"
channels = 2
login = "us"
password = "secret"
[settings.values]
csid = "+33 1"
[[customer]]
id = "acme"
addresses = ["alice@example.org"]
"""


def read(folder: Path, text: str) -> Settings:
    path = folder / "faxgw.toml"
    path.write_text(text)
    path.chmod(0o600)
    settings = load(path, SECTIONS, environ={})
    settings.check()
    return settings


def after(folder: Path, old: str, new: str) -> Changes:
    assert old in BASE
    before = read(folder, BASE)
    return compare(before, before, read(folder, BASE.replace(old, new)))


def test_nothing_changed_is_nothing(tmp_path: Path) -> None:
    assert after(tmp_path, "acme", "acme") == Changes((), ())


def test_what_calls_in_progress_do_not_lean_on_is_taken_on(tmp_path: Path) -> None:
    for old, new, key in (
        ('grace = "20s"', 'grace = "1h"', "node.grace"),
        ('"INFO"', '"DEBUG"', "log.level"),
        ("channels = 2", "channels = 5", "trunk[0].channels"),
        ("+33 1", "+33 2", "settings.values.csid"),
        ("alice", "bob", "customer[0].addresses"),
        ("[sip]", '[relay]\nhost = "192.0.2.9"\n[sip]', "relay.host"),
    ):
        assert after(tmp_path, old, new) == Changes((key,), ()), key


def test_what_is_bound_to_the_start_is_named(tmp_path: Path) -> None:
    for old, new, key in (
        ("127.0.0.1:0", "127.0.0.1:5062", "sip.listen"),
        ("192.0.2.1", "192.0.2.2", "trunk[0].host"),
        ("secret", "other", "trunk[0].password"),
        ("[node]", '[node]\ndata = "/somewhere"', "node.data"),
        ("[sip]", '[pages]\nsocket = "/run/faxgw/pages.sock"\n[sip]', "pages.socket"),
    ):
        assert after(tmp_path, old, new) == Changes((), (key,)), key


def test_a_trunk_that_is_new_waits_with_all_it_says(tmp_path: Path) -> None:
    found = after(tmp_path, "[settings.values]", '[[trunk]]\nname = "b"\nhost = "192.0.2.3"\n[settings.values]')
    assert "trunk[1].name" in found.waiting and "trunk[1].host" in found.waiting


def test_what_waits_is_named_until_the_restart(tmp_path: Path) -> None:
    started = read(tmp_path, BASE)
    current = read(tmp_path, BASE.replace("192.0.2.1", "192.0.2.2"))
    again = read(tmp_path, BASE.replace("192.0.2.1", "192.0.2.2").replace("INFO", "ERROR"))
    assert compare(started, current, again) == Changes(("log.level",), ("trunk[0].host",))


def test_other_certificates_are_taken_on_but_tls_itself_is_not(
    tmp_path: Path, make_certificate: MakeCertificate
) -> None:
    tables = []
    for _ in range(2):
        certificate, key = make_certificate()
        tables.append(f'[smtp.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    without, one, other = (read(tmp_path, BASE + table) for table in ("", *tables))
    assert compare(one, one, other) == Changes(("smtp.tls.certificate", "smtp.tls.key"), ())
    found = compare(without, without, one)
    assert found.taken_on == () and set(found.waiting) == {"smtp.tls", "smtp.tls.certificate", "smtp.tls.key"}


def test_a_changed_secret_is_seen_and_not_shown(tmp_path: Path) -> None:
    before = read(tmp_path, BASE)
    assert changed(before, read(tmp_path, BASE.replace("secret", "other"))) == ["trunk[0].password"]


def test_routes_are_taken_on(tmp_path: Path) -> None:
    found = after(tmp_path, "[settings.values]", '[[route]]\ntrunk = "t"\ncost = 0.5\n[settings.values]')
    assert "route[0].cost" in found.taken_on and found.waiting == ()


def test_settings_are_read_whole_while_others_are_taken_on() -> None:
    """A thread that is amid a reading goes on with what it began with; the next reading has the new ones alone."""
    system = Current({"country": "DE", "keep_days": 9})
    reading = iter(system.items())
    seen = dict([next(reading)])
    system.replace({"retries": 3})
    assert seen | dict(reading) == {"country": "DE", "keep_days": 9}
    assert dict(system) == {"retries": 3} and len(system) == 1
    assert "country" not in system and system.get("keep_days") is None and system["retries"] == 3
    assert list(system.keys()) == list(system) == ["retries"] and list(system.values()) == [3]
