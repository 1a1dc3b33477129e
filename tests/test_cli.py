"""The commands as an operator types them; what needs a running gateway is tested end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner

from faxgw.cli import main
from faxgw.fax.account import SETTINGS


def run(*words: str, stdin: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words), input=stdin)
    return result.exit_code, result.output


def test_every_command_says_what_it_does() -> None:
    code, text = run("--help")
    assert code == 0
    for name in main.commands:
        assert name in text
        assert run(name, "--help")[0] == 0


def test_account_settings_are_listed_with_their_meaning() -> None:
    code, text = run("settings", "--keys")
    assert code == 0
    assert len(text.splitlines()) == len(SETTINGS)
    assert "in_doubt" in text


def test_a_password_becomes_a_hash_and_an_empty_one_is_refused() -> None:
    code, text = run("password", stdin="correct horse\n")
    assert code == 0
    assert PasswordHasher().verify(text.strip(), "correct horse")
    assert run("password", stdin="\n")[0] == 1


def test_all_faults_of_the_settings_are_named_at_once(tmp_path: Path) -> None:
    config = tmp_path / "faxgw.toml"
    config.write_text('[node]\nnam = "x"\n\n[[trunk]]\nname = "t"\nhost = "h"\nport = 99999\n')
    config.chmod(0o600)
    code, text = run("--config", str(config), "run")
    assert code == 2, "a service manager must not start it again"
    assert "faxgw.toml:2" in text and "name" in text
    assert "faxgw.toml:7" in text


def test_what_stands_between_the_tables_is_checked_too(tmp_path: Path) -> None:
    config = tmp_path / "faxgw.toml"
    config.write_text('[[customer]]\nid = "acme"\n[customer.settings]\ntrunk = "gone"\n')
    code, text = run("--config", str(config), "run")
    assert code == 2, "a service manager must not start it again"
    assert "no trunk gone" in text
    assert "no [[trunk]]" in text


def test_without_settings_the_demo_is_proposed(tmp_path: Path) -> None:
    code, text = run("--config", str(tmp_path / "none.toml"), "run")
    assert code == 2, "a service manager must not start it again"
    assert "--demo" in text


@pytest.mark.parametrize("words", [("queue",), ("status",), ("show", "F123456"), ("cancel", "F123456"), ("inbox",)])
def test_a_command_without_a_gateway_says_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, text = run("--data", str(tmp_path), *words)
    assert code == 1
    assert "No gateway runs" in text
    assert "Traceback" not in text


def test_trunks_that_routes_and_lists_of_accounts_name_must_exist(tmp_path: Path) -> None:
    config = tmp_path / "faxgw.toml"
    config.write_text(
        '[[trunk]]\nname = "t"\nhost = "h"\n[[route]]\ntrunk = "lost"\n'
        '[[customer]]\nid = "acme"\n[customer.settings]\ntrunk = "t, gone"\n'
    )
    code, text = run("--config", str(config), "run")
    assert code == 2
    assert "no trunk lost, which a route names" in text
    assert "no trunk gone, which an account names" in text
    assert "no trunk t," not in text
