"""The operator's commands on accounts: `faxgw account` and `faxgw token`. Who decides what: docs/accounts.md."""

from __future__ import annotations

import getpass
import json
import time
import tomllib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO, TextIO  # Any: JSON

import click

from faxgw.client import Control
from faxgw.fax.account import SETTINGS

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a command's work; an error becomes one line."""
Connect = Callable[[click.Context], Control]
"""The gateway of a command."""
DAY_S = 86_400.0
MAX_PAGE = 1_000
"""Things of one answer (`api.admin`)."""
STATES = {"suspend": "suspended", "resume": "active", "close": "ended"}

_set = click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting; the value as in TOML.")
_unset = click.option("--unset", multiple=True, metavar="KEY", help="Take a setting away: it is inherited again.")
_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable.")


class Asker:
    """Asks the accounts interface for a command."""

    def __init__(self, connect: Connect, run: Run) -> None:
        self._connect = connect
        self._run = run

    def __call__(self, method: str, *path: str, body: object = None, **query: str) -> Mapping[str, Any]:
        """One request; `who` is the user of this machine."""
        control = self._connect(click.get_current_context())
        asked = {"who": getpass.getuser(), **query}
        found: Mapping[str, Any] = self._run(control.admin(method, *path, query=asked, body=body))
        return found

    def rows(self, kind: str, *path: str) -> list[Mapping[str, Any]]:
        """All things of a kind, however many, page by page."""
        found: list[Mapping[str, Any]] = []
        while True:
            after = {"after": _key(found[-1])} if found else {}
            page = self("GET", *path, kind, limit=str(MAX_PAGE), **after)[kind]
            found += page
            if len(page) < MAX_PAGE or kind == "tokens":  # tokens come in one answer
                return found


def register(group: click.Group, connect: Connect, run: Run) -> None:
    """Add the commands to a group."""
    ask = Asker(connect, run)

    @group.group()
    def account() -> None:
        """Customers, profiles, users, numbers, logins: list, create, change, suspend, resume, close."""

    @group.group()
    def token() -> None:
        """API tokens: create, list, suspend, resume, revoke."""

    @group.group()
    def directory() -> None:
        """Directories of users or numbers that are imported: list, import a file, pull."""

    _add_directories(directory, ask)
    _add_accounts(account, ask)
    _add_belongings(account, ask)
    _add_keys(account, ask)
    _add_tokens(token, ask)


def _add_accounts(group: click.Group, ask: Asker) -> None:
    @group.command("list")
    @click.argument("customer", required=False, default="")
    @_json
    def list_(customer: str, as_json: bool) -> None:
        """List the customers, or all that CUSTOMER has."""
        if not customer:
            found = {"customers": ask.rows("customers")}
            rows = [f"{row['id']:24} {row['state']:20} {row['name']}" for row in found["customers"]]
        else:
            kinds = ("profiles", "users", "numbers", "domains", "logins", "senders", "tokens")
            found = {kind: ask.rows(kind, "customers", customer) for kind in kinds}
            rows = [_line(kind, row) for kind in kinds for row in found[kind]]
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(rows))

    @group.command()
    @click.argument("name", metavar="CUSTOMER[/USER]")
    @click.option("--all", "everything", is_flag=True, help="Defaults too.")
    @_json
    def show(name: str, everything: bool, as_json: bool) -> None:
        """Show an account and the settings in force for it, each with its origin."""
        customer, _, user = name.partition("/")
        facts = ask("GET", *_path(name))
        settings = ask("GET", "customers", customer, "settings", user=user)["settings"]
        if as_json:
            click.echo(json.dumps({"account": facts, "settings": settings}, indent=2))
            return
        click.echo(
            f"{name}: {facts['state']}"
            + {"file": ", in the settings file", "directory": ", from the directory"}.get(facts["managed"], "")
        )
        for key, found in settings.items():
            if everything or found["origin"] != "default":
                click.echo(f"{key:22} {found['value']!r:40} {found['origin']}")

    @group.command()
    @click.argument("name", metavar="CUSTOMER[/USER]")
    @click.option("--name", "title", default="", help="Name for people (a customer's).")
    @click.option("--profile", default=None, help="Profile that the user inherits.")
    @_set
    def create(name: str, title: str, profile: str | None, pairs: Sequence[str]) -> None:
        """Make a customer, or a user of one."""
        customer, _, user = name.partition("/")
        if user:
            body = {"name": user, "profile": profile, "settings": _settings(pairs)}
            ask("POST", "customers", customer, "users", body=body)
        else:
            ask("POST", "customers", body={"id": customer, "name": title, "settings": _settings(pairs)})
        click.echo(f"{name} is made")

    @group.command()
    @click.argument("name", metavar="CUSTOMER[/USER]")
    @click.option("--name", "title", default=None, help="Name for people (a customer's).")
    @click.option("--profile", default=None, help="Profile that the user inherits; empty: none.")
    @_set
    @_unset
    def change(name: str, title: str | None, profile: str | None, pairs: Sequence[str], unset: Sequence[str]) -> None:
        """Change a customer or a user."""
        body: dict[str, Any] = {"settings": _settings(pairs, unset)}
        if title is not None:
            body["name"] = title
        if profile is not None:
            body["profile"] = profile or None
        ask("PATCH", *_path(name), body=body)
        click.echo(f"{name} is changed")

    for verb, state in STATES.items():
        _add_state(group, ask, verb, state)

    @group.command()
    @click.argument("customer")
    @click.option("--limit", default=50, show_default=True, help="Lines at most.")
    @_json
    def audit(customer: str, limit: int, as_json: bool) -> None:
        """Show what was changed of CUSTOMER's accounts, newest first."""
        found = ask("GET", "customers", customer, "audit", limit=str(limit))
        if as_json:
            click.echo(json.dumps(found, indent=2))
            return
        for event in found["events"]:
            at = datetime.fromtimestamp(event["at"], UTC).strftime("%Y-%m-%d %H:%M:%S")
            facts = {key: value for key, value in event["data"].items() if key not in ("customer", "key")}
            what = event["what"].removeprefix("account.")
            click.echo(f"{at}  {event['who']:16} {what:18} {event['data'].get('key', '')}  {json.dumps(facts)}")


def _add_state(group: click.Group, ask: Asker, verb: str, state: str) -> None:
    words = {
        "suspend": "Suspend an account; its faxes wait, held, until they are released.",
        "resume": "Let a suspended account work again; release its held faxes with `faxgw release`.",
        "close": "End an account for ever: it can be read until its archive runs out.",
    }

    @click.argument("name", metavar="CUSTOMER[/USER]")
    @click.option("--number", default="", help="This number of the customer instead.")
    @click.option("--login", default="", help="This login of the customer instead.")
    @click.option("--reason", default="", help="For the audit.")
    @click.option("--outbound", is_flag=True, help="Only sending (with suspend).")
    def command(name: str, number: str, login: str, reason: str, outbound: bool) -> None:
        chosen = "outbound_suspended" if outbound and verb == "suspend" else state
        path = _path(name)
        if number or login:
            path = (*path[:2], "numbers" if number else "logins", number or login)
        ask("POST", *path, "state", body={"state": chosen, "reason": reason})
        click.echo(f"{number or login or name}: {chosen}")

    group.command(verb, help=words[verb])(command)


def _add_belongings(group: click.Group, ask: Asker) -> None:
    @group.command()
    @click.argument("customer")
    @click.argument("name")
    @_set
    @_unset
    @click.option("--remove", is_flag=True, help="Remove it; nobody may use it any more.")
    def profile(customer: str, name: str, pairs: Sequence[str], unset: Sequence[str], remove: bool) -> None:
        """Make, change or remove a profile."""
        if remove:
            ask("DELETE", "customers", customer, "profiles", name)
            done = "removed"
        elif name in {row["name"] for row in ask.rows("profiles", "customers", customer)}:
            ask("PATCH", "customers", customer, "profiles", name, body={"settings": _settings(pairs, unset)})
            done = "changed"
        else:
            body = {"name": name, "settings": _settings(pairs)}
            ask("POST", "customers", customer, "profiles", body=body)
            done = "made"
        click.echo(f"{customer}/{name} is {done}")

    @group.command()
    @click.argument("customer")
    @click.argument("e164")
    @click.option("--inbound/--no-inbound", default=None, help="Receive faxes at it.")
    @click.option("--clip/--no-clip", default=None, help="May be shown as caller number.")
    @click.option("--clip-until", type=click.DateTime(["%Y-%m-%d"]), help="Day on which the consent to that ends.")
    @click.option("--last", default=None, help="Last number of a range, of equal length; only when it is entered.")
    @click.option("--ported", is_flag=True, default=None, help="Ported to us, not assigned by us.")
    @click.option("--profile", default=None, help="Profile that the number inherits; empty: none.")
    @_set
    @_unset
    def number(customer: str, e164: str, pairs: Sequence[str], unset: Sequence[str], **given: Any) -> None:
        """Enter a number into the register, or change it."""
        body: dict[str, Any] = {"settings": _settings(pairs, unset)}
        until, ported = given.pop("clip_until"), given.pop("ported")
        body |= {
            name: value or None if name == "profile" else value for name, value in given.items() if value is not None
        }
        body |= {"clip_until": until.replace(tzinfo=UTC).timestamp()} if until else {}
        body |= {"origin": "ported"} if ported else {}
        if e164 in {row["e164"] for row in ask.rows("numbers", "customers", customer)}:
            ask("PATCH", "customers", customer, "numbers", e164, body=body)
        else:
            ask("POST", "customers", customer, "numbers", body={"e164": e164, **body})
        click.echo(f"{e164} is {customer}'s")

    @group.command()
    @click.argument("customer")
    @click.argument("name")
    @click.option("--remove", is_flag=True, help="Remove it.")
    def domain(customer: str, name: str, remove: bool) -> None:
        """Make or remove a fax domain: mail to number@NAME is faxed."""
        if remove:
            ask("DELETE", "customers", customer, "domains", name)
        else:
            ask("POST", "customers", customer, "domains", body={"name": name})
        owner = f"{customer}'s"
        click.echo(f"{name} is {'removed' if remove else owner}")

    @group.command()
    @click.argument("customer")
    @click.argument("value")
    @click.option("--user", default=None, help="The user it is; default: the customer as a whole.")
    @click.option("--remove", is_flag=True, help="Take it back.")
    def sender(customer: str, value: str, user: str | None, remove: bool) -> None:
        """Let VALUE (address, @domain or network) send without a login, or take it back."""
        kind = "domain" if value.startswith("@") else "address" if "@" in value else "network"
        value = value.removeprefix("@")
        if remove:
            ask("DELETE", "customers", customer, "senders", kind=kind, value=value)
        else:
            ask("POST", "customers", customer, "senders", body={"kind": kind, "value": value, "user": user})
        click.echo(f"{value} {'may no longer send' if remove else 'may send'}")

    @group.command()
    @click.argument("owner", metavar="CUSTOMER[/USER]")
    @click.argument("name")
    @click.option("--password", is_flag=True, help="Ask for a password; default for a new login: one is drawn.")
    @click.option("--scope", "scopes", multiple=True, help="What it may do; default: all but administrate.")
    @click.option("--allow", multiple=True, help="Network from which it may be used; default: from anywhere.")
    @click.option("--remove", is_flag=True, help="Remove it.")
    def login(owner: str, name: str, password: bool, scopes: Sequence[str], allow: Sequence[str], remove: bool) -> None:
        """Make, change or remove a login: name and password for SMTP, REST, SOAP and SFTP."""
        customer, _, user = owner.partition("/")
        if remove:
            ask("DELETE", "customers", customer, "logins", name)
            click.echo(f"{name} is removed")
            return
        body: dict[str, Any] = {"scopes": list(scopes)} if scopes else {}
        body |= {"allow": list(allow)} if allow else {}
        before = next((row for row in ask.rows("logins", "customers", customer) if row["name"] == name), None)
        if before is not None:
            if user and user != before["user"]:
                owned = f"{customer}/{before['user']}" if before["user"] else customer
                raise click.UsageError(f"The login {name} is {owned}'s; remove it and make it again to give it away.")
            if before["state"] == "ended":
                raise click.UsageError(f"The login {name} is ended; remove it before you make it again.")
            if not (body or password):
                raise click.UsageError(f"There is a login {name}: say what is to change, --password, --scope, --allow.")
        body |= {"password": click.prompt("Password", hide_input=True, confirmation_prompt=True)} if password else {}
        if before is not None:
            ask("PATCH", "customers", customer, "logins", name, body=body)
            click.echo(f"{name} is changed")
            return
        made = ask("POST", "customers", customer, "logins", body={"name": name, "user": user or None, **body})
        click.echo(
            f"{name} is made" + (f"; password, shown this once: {made['password']}" if "password" in made else "")
        )


def _add_keys(group: click.Group, ask: Asker) -> None:
    @group.group()
    def key() -> None:
        """Public keys of logins, for SFTP: add, list, remove."""

    @key.command()
    @click.argument("customer")
    @click.argument("login")
    @click.argument("file", type=click.File("r"))
    def add(customer: str, login: str, file: TextIO) -> None:
        """Let LOGIN log in with the public key in FILE, such as id_ed25519.pub (- for standard input)."""
        made = ask("POST", "customers", customer, "keys", body={"login": login, "key": file.read().strip()})
        click.echo(f"{made['fingerprint']} is {login}'s")

    @key.command("list")
    @click.argument("customer")
    @click.argument("login")
    def list_keys(customer: str, login: str) -> None:
        """List the keys of LOGIN."""
        for row in ask("GET", "customers", customer, "keys", login=login)["keys"]:
            click.echo(f"{row['fingerprint']} {row['key'].partition(' ')[0]:20} {row['comment']}".rstrip())

    @key.command()
    @click.argument("customer")
    @click.argument("login")
    @click.argument("fingerprint")
    def remove(customer: str, login: str, fingerprint: str) -> None:
        """Take the key with FINGERPRINT (SHA256:…, as listed) from LOGIN."""
        ask("DELETE", "customers", customer, "keys", login=login, fingerprint=fingerprint)
        click.echo(f"{fingerprint} is removed")


def _add_tokens(group: click.Group, ask: Asker) -> None:
    @group.command("list")
    @click.argument("customer", required=False, default="")
    @_json
    def list_(customer: str, as_json: bool) -> None:
        """List the tokens of CUSTOMER, or the operators'."""
        found = ask("GET", *_owner(customer), "tokens")
        rows = [_line("tokens", row) for row in found["tokens"]]
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(rows))

    @group.command()
    @click.argument("name")
    @click.argument("owner", required=False, default="", metavar="[CUSTOMER[/USER]]")
    @click.option("--scope", "scopes", multiple=True, help="What it may do, such as faxes:write; may be repeated.")
    @click.option("--allow", multiple=True, help="Network from which it may be used; default: from anywhere.")
    @click.option("--days", type=click.IntRange(1, 36500), help="Days until it expires; default: never.")
    @_json
    def create(
        name: str, owner: str, scopes: Sequence[str], allow: Sequence[str], days: int | None, as_json: bool
    ) -> None:
        """Make a token called NAME; without CUSTOMER an operator's. Its secret is shown this once."""
        customer, _, user = owner.partition("/")
        if customer and not scopes:
            raise click.UsageError("A customer's token needs --scope.")
        body: dict[str, Any] = {"name": name, "scopes": list(scopes) or ["operator"], "allow": list(allow)}
        body |= {"user": user} if user else {}
        body |= {"expires_at": time.time() + days * DAY_S} if days else {}
        made = ask("POST", *_owner(customer), "tokens", body=body)
        click.echo(json.dumps(made, indent=2) if as_json else f"{made['id']}\n{made['token']}")

    for verb, state in {"suspend": "suspended", "resume": "active", "revoke": "ended"}.items():

        @click.argument("ident", metavar="TOKEN")
        @click.argument("customer", required=False, default="")
        def command(ident: str, customer: str, state: str = state) -> None:
            ask("POST", *_owner(customer), "tokens", ident, "state", body={"state": state})
            click.echo(f"{ident}: {state}")

        words = f"{verb.capitalize()} a token of CUSTOMER, or an operator's."
        group.command(verb, help=words)(command)


def _add_directories(group: click.Group, ask: Asker) -> None:
    dry = click.option("--dry-run", is_flag=True, help="Only say what would happen.")

    @group.command("list")
    def list_() -> None:
        """List the directories of the settings file."""
        click.echo("\n".join(ask("GET", "directories")["directories"]))

    @group.command("import")
    @click.argument("name")
    @click.argument("file", type=click.File("rb"))
    @dry
    def import_(name: str, file: BinaryIO, dry_run: bool) -> None:
        """Import the CSV FILE as the directory NAME (- for standard input)."""
        octets, flag = file.read(), "1" if dry_run else "0"
        click.echo(_imported(ask("POST", "directories", name, "import", body=octets, dry_run=flag), dry_run))

    @group.command()
    @click.argument("name")
    @dry
    def pull(name: str, dry_run: bool) -> None:
        """Fetch the directory NAME now, and import it."""
        found = ask("POST", "directories", name, "pull", dry_run="1" if dry_run else "0")
        click.echo(_imported(found, dry_run) if found else "It has not changed since it was last taken.")


def _imported(found: Mapping[str, Any], dry_run: bool) -> str:
    verb = "would be" if dry_run else "are"
    lines = [
        f"{found['created']} entries {verb} new, {found['changed']} changed, {found['ended']} ended, "
        f"{found['unchanged']} unchanged"
    ]
    lines += [
        f"column {column} has no effect here; {count} entries fill it" for column, count in found["unused"].items()
    ]
    return "\n".join(lines)


def _owner(customer: str) -> tuple[str, ...]:
    return ("customers", customer) if customer else ()


def _path(name: str) -> tuple[str, ...]:
    customer, _, user = name.partition("/")
    return ("customers", customer, "users", user) if user else ("customers", customer)


def _settings(pairs: Sequence[str], unset: Sequence[str] = ()) -> dict[str, Any]:
    """The settings that options give; a value that is no TOML is a text."""
    found: dict[str, Any] = dict.fromkeys(unset)
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set {pair}: must be KEY=VALUE.")
        found[key.strip()] = _value(key.strip(), text)
    return found


def _value(key: str, text: str) -> Any:
    """What stands behind KEY=; +33123456789 would be a whole number to TOML."""
    if key in SETTINGS and isinstance(SETTINGS[key].default, str) and not text.startswith(('"', "'")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _key(row: Mapping[str, Any]) -> str:
    """What a list goes on from; customers have names for people too."""
    return str(row.get("e164") or row.get("value") or (row["name"] if "customer" in row else row["id"]))


def _line(kind: str, row: Mapping[str, Any]) -> str:
    key = row["id"] if kind == "tokens" else _key(row)
    key += f" to {row['last']}" if row.get("last") else ""
    facts = [str(row.get("state", "")), f"user {row['user']}" if row.get("user") else ""]
    facts += [" ".join(row["scopes"])] if "scopes" in row else []
    facts += [row["name"]] if kind == "tokens" else []
    facts += [{"file": "(settings file)", "directory": "(directory)"}.get(row.get("managed", ""), "")]
    return f"{kind[:-1]:8} {key:40} {' '.join(fact for fact in facts if fact)}".rstrip()
