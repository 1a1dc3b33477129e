"""`faxgw account` and `faxgw token` against the operator's socket of a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from sqlalchemy import select

from faxgw import cli_accounts
from faxgw.api.admin import AdminRoutes
from faxgw.api.control import ControlServer, Operations
from faxgw.cli import main
from faxgw.fax.access import OPERATOR
from faxgw.formats.directory_csv import OUTBOUND
from faxgw.intake.directory_import import DirectoryImports
from faxgw.intake.directory_settings import DirectorySettings
from faxgw.store import accounts
from faxgw.store import schema as t
from faxgw.store.accounts import Author
from faxgw.store.passwords import Passwords
from tests.api.desk import CHEAP, desk
from tests.house import House, house, house_store

__all__ = ["house", "house_store"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKf2Jmy1YtLRp4pT85N8ciu0ew2iQuHi5yEMIHc7ulKq"
Faxgw = Callable[..., "asyncio.Future[Result]"]


@pytest_asyncio.fixture(loop_scope="session")
async def faxgw(house: House) -> AsyncIterator[Faxgw]:
    passwords = Passwords(house.clock, CHEAP)
    async with desk(house, lambda ground: []) as made:
        people = DirectorySettings(name="people", customer="acme")
        imports = DirectoryImports(house.store, [people], house.clock, {})
        accounts = AdminRoutes(made.ground, passwords, {}, imports).control_routes(OPERATOR)
        operations = Operations(house.store, house.files, None, house.seat(), house.clock, dict, accounts=accounts)  # type: ignore[arg-type]
        server = ControlServer(house.folder, operations)
        await server.start()

        def run(*words: str, answer: str = "") -> asyncio.Future[Result]:
            arguments = ["--data", str(house.folder), *words]
            work = asyncio.to_thread(CliRunner().invoke, main, arguments, input=answer)
            return asyncio.ensure_future(work)

        yield run
        await server.stop()
    passwords.close()


async def lines(result: asyncio.Future[Result]) -> list[str]:
    found = await result
    assert found.exit_code == 0, found.output
    return found.output.splitlines()


async def test_a_customer_with_all_it_needs_is_made_on_the_command_line(faxgw: Faxgw) -> None:
    assert await lines(faxgw("account", "create", "gamma", "--name", "Gamma", "--set", "language=fr")) == [
        "gamma is made"
    ]
    await lines(faxgw("account", "profile", "gamma", "office", "--set", 'paper="Letter"', "--set", "max_dials=3"))
    await lines(faxgw("account", "profile", "gamma", "office", "--unset", "max_dials"))
    await lines(faxgw("account", "create", "gamma/dora", "--profile", "office"))
    await lines(faxgw("account", "number", "gamma", "+33199000009", "--clip", "--clip-until", "2030-01-01"))
    await lines(faxgw("account", "number", "gamma", "+33199000009", "--no-inbound"))
    await lines(faxgw("account", "domain", "gamma", "fax.gamma.example"))
    await lines(faxgw("account", "sender", "gamma", "@gamma.example", "--user", "dora"))
    await lines(faxgw("account", "sender", "gamma", "203.0.113.0/24"))
    await lines(faxgw("account", "change", "gamma/dora", "--set", "clip=+33199000009"))
    shown = await lines(faxgw("account", "show", "gamma/dora"))
    assert shown[0] == "gamma/dora: active"
    assert ["paper", "'Letter'", "profile", "office"] in [line.split() for line in shown]
    assert ["clip", "'+33199000009'", "user", "dora"] in [line.split() for line in shown]
    listed = await lines(faxgw("account", "list", "gamma"))
    assert [line.split()[:2] for line in listed] == [
        ["profile", "office"],
        ["user", "dora"],
        ["number", "+33199000009"],
        ["domain", "fax.gamma.example"],
        ["sender", "203.0.113.0/24"],
        ["sender", "gamma.example"],
    ]
    number = json.loads((await faxgw("account", "list", "gamma", "--json")).output)["numbers"][0]
    assert (number["clip"], number["inbound"], number["clip_until"]) == (True, False, 1893456000.0)
    await lines(faxgw("account", "sender", "gamma", "203.0.113.0/24", "--remove"))
    await lines(faxgw("account", "domain", "gamma", "fax.gamma.example", "--remove"))
    audit = await lines(faxgw("account", "audit", "gamma"))
    assert "domain.removed" in audit[0] and len(audit) == 12


async def test_an_account_is_suspended_resumed_and_closed(faxgw: Faxgw) -> None:
    for words, state in (
        (("suspend", "acme", "--outbound"), "outbound_suspended"),
        (("suspend", "acme", "--reason", "not paid"), "suspended"),
        (("resume", "acme"), "active"),
        (("suspend", "acme/bert"), "suspended"),
        (("close", "acme", "--login", "bert"), "ended"),
    ):
        assert (await lines(faxgw("account", *words)))[0].endswith(f": {state}")
    found = await lines(faxgw("account", "list", "acme"))
    assert {line.split()[0]: line.split()[2] for line in found[:1]} == {"user": "suspended"}
    assert "ended" in next(line for line in found if line.startswith("login"))
    assert (await faxgw("account", "show", "nobody")).exit_code == 1


async def test_a_login_gets_a_password_drawn_or_asked_for(faxgw: Faxgw) -> None:
    (made,) = await lines(faxgw("account", "login", "acme/bert", "erp", "--scope", "faxes:write"))
    assert made.startswith("erp is made; password, shown this once: ") and len(made.split(": ")[1]) >= 20
    typed = await faxgw("account", "login", "acme", "erp", "--password", answer="a long secret\na long secret\n")
    assert typed.exit_code == 0 and "erp is changed" in typed.output and "a long secret" not in typed.output
    assert await lines(faxgw("account", "login", "acme", "erp", "--remove")) == ["erp is removed"]


async def test_the_settings_file_is_named_where_it_decides(faxgw: Faxgw) -> None:
    refused = await faxgw("account", "change", "acme", "--name", "X")
    assert refused.exit_code == 1 and "stands in the settings file; change it there." in refused.output
    assert (await lines(faxgw("account", "show", "acme")))[0] == "acme: active, in the settings file"


async def test_tokens_are_made_listed_and_revoked(faxgw: Faxgw) -> None:
    ident, secret = await lines(faxgw("token", "create", "ERP", "acme/bert", "--scope", "faxes:write", "--days", "30"))
    assert ident.startswith("tok_") and secret.startswith("fxt_")
    (listed,) = await lines(faxgw("token", "list", "acme"))
    assert ident in listed and "user bert" in listed and secret not in listed
    assert await lines(faxgw("token", "revoke", ident, "acme")) == [f"{ident}: ended"]
    operator, _secret = await lines(faxgw("token", "create", "portal"))
    assert operator in (await lines(faxgw("token", "list")))[0]
    assert (await faxgw("token", "create", "ERP", "acme")).exit_code == 2
    assert (await faxgw("token", "revoke", ident)).exit_code == 1, "not an operator's"


async def test_a_directory_is_imported_and_first_tried(faxgw: Faxgw, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(",".join(["anna@acme.example", *[""] * (len(OUTBOUND) - 1)]))
    assert await lines(faxgw("directory", "list")) == ["people"]
    assert await lines(faxgw("directory", "import", "people", str(file), "--dry-run")) == [
        "1 entries would be new, 0 changed, 0 ended, 0 unchanged"
    ]
    assert await lines(faxgw("directory", "import", "people", str(file))) == [
        "1 entries are new, 0 changed, 0 ended, 0 unchanged"
    ]
    assert (await lines(faxgw("account", "show", "acme/anna@acme.example")))[0].endswith(", from the directory")
    file.write_text("x")
    refused = await faxgw("directory", "import", "people", str(file))
    assert refused.exit_code == 1 and "do not have 25 columns" in refused.output
    nowhere = await faxgw("directory", "pull", "people")
    assert nowhere.exit_code == 1 and "not fetched from anywhere" in nowhere.output
    assert (await faxgw("directory", "pull", "none")).exit_code == 1


async def test_a_setting_must_be_key_and_value(faxgw: Faxgw) -> None:
    assert (await faxgw("account", "create", "x", "--set", "language")).exit_code == 2
    refused = await faxgw("account", "create", "x", "--set", "language=xx")
    assert refused.exit_code == 1 and "language: must be one of" in refused.output


async def test_public_keys_are_added_listed_and_removed(faxgw: Faxgw, tmp_path: Path) -> None:
    await lines(faxgw("account", "login", "acme", "erp"))
    file = tmp_path / "id.pub"
    file.write_text(f"{PUBLIC_KEY} erp@host\n")
    (added,) = await lines(faxgw("account", "key", "add", "acme", "erp", str(file)))
    fingerprint = added.partition(" ")[0]
    assert added == f"{fingerprint} is erp's" and fingerprint.startswith("SHA256:")
    (listed,) = await lines(faxgw("account", "key", "list", "acme", "erp"))
    assert listed.split() == [fingerprint, "ssh-ed25519", "erp@host"]
    assert (await faxgw("account", "key", "add", "beta", "erp", str(file))).exit_code == 1, "not beta's login"
    file.write_text("ssh-dss AAAA\n")
    assert (await faxgw("account", "key", "add", "acme", "erp", str(file))).exit_code == 1
    assert (await faxgw("account", "key", "remove", "acme", "erp", "SHA256:other")).exit_code == 1
    assert await lines(faxgw("account", "key", "remove", "acme", "erp", fingerprint)) == [f"{fingerprint} is removed"]
    assert await lines(faxgw("account", "key", "list", "acme", "erp")) == []


async def test_everything_is_listed_however_much_there_is(
    faxgw: Faxgw, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what stands on a later page is changed, not made again."""
    monkeypatch.setattr(cli_accounts, "MAX_PAGE", 2)
    by = Author("operator", house.now)
    for n in range(5):
        await house.do(accounts.create, "acme", accounts.USER, f"u{n}", {"settings": {}}, by=by)
        number = {"settings": {}, "inbound": True, "clip": False, "clip_until": None, "origin": "assigned"}
        await house.do(accounts.create, "acme", accounts.NUMBER, f"+3319900001{n}", number, by=by)
        await house.do(accounts.allow_sender, "acme", "address", f"u{n}@acme.example", "", by=by)
    listed = "\n".join(await lines(faxgw("account", "list", "acme")))
    for n in range(5):
        assert f"user     u{n} " in listed and f"+3319900001{n}" in listed and f"u{n}@acme.example" in listed
    assert listed.count("u3@acme.example") == 1
    await lines(faxgw("account", "number", "acme", "+33199000014", "--no-inbound"))
    await lines(faxgw("account", "number", "acme", "+33199000100", "--last", "+33199000199"))
    assert any("+33199000100 to +33199000199" in line for line in await lines(faxgw("account", "list", "acme")))
    assert not (await house.ask(accounts.row, "acme", accounts.NUMBER, "+33199000014"))["inbound"]
    assert len(await lines(faxgw("account", "list"))) == len(await house.rows(select(t.customers)))


async def test_what_is_missing_is_named(faxgw: Faxgw) -> None:
    missing = await faxgw("account", "create", "acme/zoe", "--profile", "none")
    assert missing.exit_code == 1 and "There is no profile none." in missing.output
    missing = await faxgw("account", "login", "acme/nobody", "zoe")
    assert missing.exit_code == 1 and "There is no user nobody." in missing.output
    missing = await faxgw("account", "sender", "acme", "zoe@acme.example", "--user", "nobody")
    assert missing.exit_code == 1 and "There is no user nobody." in missing.output


async def test_a_login_that_is_there_is_changed_only_as_asked(faxgw: Faxgw) -> None:
    await lines(faxgw("account", "create", "acme/zoe"))
    assert "shown this once" in (await lines(faxgw("account", "login", "acme/zoe", "zoe")))[0]
    for words, said in (
        (("acme/zoe", "zoe"), "say what is to change"),
        (("acme/bert", "zoe", "--scope", "admin"), "The login zoe is acme/zoe's"),
    ):
        refused = await faxgw("account", "login", *words)
        assert refused.exit_code == 2 and said in " ".join(refused.output.split())
    assert await lines(faxgw("account", "login", "acme/zoe", "zoe", "--scope", "faxes:read")) == ["zoe is changed"]
    await lines(faxgw("account", "close", "acme", "--login", "zoe"))
    refused = await faxgw("account", "login", "acme/zoe", "zoe", "--scope", "faxes:read")
    assert refused.exit_code == 2 and "is ended" in refused.output
    await lines(faxgw("account", "login", "acme/zoe", "zoe", "--remove"))
    assert "shown this once" in (await lines(faxgw("account", "login", "acme/zoe", "zoe")))[0]
